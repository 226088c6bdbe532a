//! Questions to a running session, as handlers ask them.

use super::{Api, Named};
use crate::error::ApiError;
use actix_web::web;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking::Ask;
use wardroom_actors::domain::ids::{SessionName, TenantId};
use wardroom_actors::domain::session::Status;
use wardroom_actors::ports::engine::Command;

/// Longest part that can be asked for.
const MOST: usize = 1000;

/// Waits until the session is WORKING, and asks it.
pub(super) async fn ask<T: DeserializeOwned>(
    api: &Api,
    tenant: TenantId,
    name: &SessionName,
    ask: Ask<T>,
) -> Result<T, ApiError> {
    api.expect(tenant, name, Status::Working).await?;
    let question = ask.question;
    let answer = api.handle.ask(tenant, name, |answer| Command::Ask { question, answer }).await?;
    Ask::<T>::read(answer)
        .ok_or_else(|| ApiError::new("strange_answer", "The page answered in a shape that is not known"))
}

/// [`ask`] of the session of a path.
pub(super) async fn ask_named<T: DeserializeOwned>(
    api: &web::Data<Api>,
    named: &Named,
    question: Ask<T>,
) -> Result<T, ApiError> {
    ask(api, named.holder.tenant, &named.name, question).await
}

/// Waits until the session of a path is WORKING, and has it do something.
pub(super) async fn act_named(api: &web::Data<Api>, named: &Named, action: Action) -> Result<(), ApiError> {
    super::acting::act_in(api, named.holder.tenant, &named.name, action).await
}

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
pub struct Part {
    /// At most so many, 1 to 1000; all that there are where nothing is said.
    #[param(example = 100)]
    limit: Option<usize>,
    /// After skipping so many.
    #[param(example = 0)]
    offset: Option<usize>,
    /// By what it is sorted: `id`, or `name` (of groups `subject`).
    #[serde(rename = "sortBy")]
    #[param(rename = "sortBy", example = "id")]
    sort_by: Option<String>,
    /// `asc` (default) or `desc`.
    #[serde(rename = "sortOrder")]
    #[param(rename = "sortOrder", example = "asc")]
    sort_order: Option<String>,
}

impl Part {
    /// Of these rows, whose keys are named like their fields; `id` names the one by which they are told apart.
    pub(super) fn of(&self, mut rows: Vec<Value>, id: &str) -> Result<Vec<Value>, ApiError> {
        let by = match self.sort_by.as_deref() {
            None | Some("id") => id,
            Some(by @ ("name" | "subject")) => by,
            Some(_) => return Err(ApiError::invalid("sortBy must be id, name or subject")),
        };
        let descending = match self.sort_order.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(ApiError::invalid("sortOrder must be asc or desc")),
        };
        if self.limit.is_some_and(|limit| limit == 0 || limit > MOST) {
            return Err(ApiError::invalid(format!("limit must be 1 to {MOST}")));
        }
        let limit = self.limit.unwrap_or(usize::MAX);
        let key = |row: &Value| row.get(by).and_then(Value::as_str).map(str::to_owned);
        rows.sort_by_cached_key(key);
        if descending {
            rows.reverse();
        }
        Ok(rows.into_iter().skip(self.offset.unwrap_or_default()).take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part(limit: Option<usize>, offset: Option<usize>, by: Option<&str>, order: Option<&str>) -> Part {
        Part { limit, offset, sort_by: by.map(str::to_owned), sort_order: order.map(str::to_owned) }
    }

    #[test]
    fn a_part_is_sorted_and_bounded() {
        let rows =
            || vec![json!({"id": "2", "name": "a"}), json!({"id": "1", "name": "c"}), json!({"id": "3", "name": null})];
        let ids = |part: Part| part.of(rows(), "id").unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(part(None, None, None, None)), ["1", "2", "3"]);
        assert_eq!(ids(part(None, None, Some("name"), Some("desc"))), ["1", "2", "3"]);
        assert_eq!(ids(part(Some(1), Some(1), None, Some("desc"))), ["2"]);
        for bad in [part(Some(0), None, None, None), part(Some(1001), None, None, None)] {
            assert!(bad.of(rows(), "id").is_err());
        }
        assert!(part(None, None, Some("t"), None).of(rows(), "id").is_err());
        assert!(part(None, None, None, Some("up")).of(rows(), "id").is_err());
    }
}
