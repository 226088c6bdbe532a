//! What was done in the tenant: `/api/audit`, for admins.

use super::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::store::repo::audit::{Link, Personal};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

/// Records of one answer.
const MOST: u64 = 500;

/// Which records.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// So many at most.
    #[param(minimum = 1, maximum = 500, default = 100, example = 100)]
    pub limit: Option<u64>,
    /// Those before this `seq`.
    #[param(example = 1000)]
    pub before: Option<i64>,
}

impl Asked {
    /// How many.
    ///
    /// # Errors
    /// 400 for a number that is none.
    pub fn limit(&self) -> Result<u64, ApiError> {
        let limit = self.limit.unwrap_or(100);
        let known = (1..=MOST).contains(&limit);
        if known { Ok(limit) } else { Err(ApiError::invalid(format!("limit must be from 1 to {MOST}"))) }
    }
}

fn fields(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// A record with what is personal in it, if it can still be read.
#[must_use]
pub fn body(link: &Link) -> Value {
    let mut body = fields(&link.record);
    if let Personal::Open(text) = &link.personal {
        body.extend(fields(text));
    }
    body.remove("salt");
    body.insert("seq".to_owned(), link.seq.into());
    body.insert("at".to_owned(), link.at_ms.into());
    Value::Object(body)
}

/// What was done in the tenant, the latest first: what changed something, who was let in or refused, that keys were used. `by` has the
/// key or the stay, or is `operator`, `claim` (somebody who did not show who they are) or `nobody`; `times` says that it came so
/// often within a minute. Names, chats and addresses are gone from records of users who were deleted.
///
/// # Errors
/// 400 for a limit that is none, 403 without an admin key or role.
#[utoipa::path(get, path = "/api/audit", tag = "audit", operation_id = "audit", params(Asked), responses(
    (status = 200, description = "Records"), (status = 400, description = "No such limit"),
    (status = 403, description = "Not an admin")))]
pub async fn list(caller: Caller, api: web::Data<Api>, asked: web::Query<Asked>) -> Result<HttpResponse, ApiError> {
    let links = api.store.audited(caller.0.tenant, asked.before, asked.limit()?).await?;
    Ok(HttpResponse::Ok().json(links.iter().map(body).collect::<Vec<_>>()))
}
