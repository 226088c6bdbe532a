//! `/api/dead-letters`: signals whose handling panicked too often. The chat went on without them.

use super::Api;
use super::shape::message_body;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::store::repo::dead_letters::DeadLetter;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::ports::journal::Entry;

/// Longest page.
const MOST: u64 = 1000;

/// Which page.
#[derive(Deserialize, IntoParams)]
pub struct Page {
    /// At most so many, 1 to 1000.
    #[param(example = 100)]
    limit: Option<u64>,
    /// Older than this one.
    #[param(example = 4711)]
    before: Option<i64>,
}

/// Dead letters, the newest first.
///
/// # Errors
/// 400 for a page that nobody can have.
#[utoipa::path(get, path = "/api/dead-letters", tag = "supervision", params(Page),
    responses((status = 200, description = "Dead letters"), (status = 400, description = "Bad page")))]
pub async fn list(caller: Caller, api: web::Data<Api>, page: web::Query<Page>) -> Result<HttpResponse, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be 1 to {MOST}")));
    }
    let letters = api.store.dead_letters(caller.0.tenant, page.before, limit).await?;
    let bodies: Vec<_> =
        letters.iter().filter(|letter| caller.0.reaches(letter.user, letter.key.session)).map(body).collect();
    Ok(HttpResponse::Ok().json(bodies))
}

/// Hands one to its agent again, behind everything that the chat has got meanwhile. Done twice, it is done once.
///
/// # Errors
/// 404 when there is none of this id, 410 when the journal does not keep its signal any more.
#[utoipa::path(post, path = "/api/dead-letters/{id}/replay", tag = "supervision", params(("id" = i64, Path, example = 4711)),
    responses((status = 202, description = "It will be handled again"), (status = 404, description = "No such dead letter"),
        (status = 410, description = "Its signal is too old")))]
pub async fn replay(caller: Caller, api: web::Data<Api>, id: web::Path<i64>) -> Result<HttpResponse, ApiError> {
    let missing = || ApiError::new("not_found", "There is no such dead letter");
    let letter = api.store.dead_letter(caller.0.tenant, *id).await?.ok_or_else(missing)?;
    if !caller.0.reaches(letter.user, letter.key.session) {
        return Err(missing());
    }
    if letter.signal.is_none() {
        return Err(ApiError::new("gone", "The journal does not keep its signal any more"));
    }
    let seen = api.handle.session(caller.0.tenant, &letter.session)?;
    let entry = Entry {
        key: letter.key,
        user: letter.user,
        session: letter.session,
        epoch: seen.spec.link_epoch,
        dedupe: format!("replay:{}", letter.id),
        kind: EventKind::Replay { of: letter.id, chat: letter.chat },
        told: vec![],
    };
    api.handle.record(entry).await?;
    api.store.bury_letter(caller.0.tenant, letter.id).await?;
    Ok(HttpResponse::Accepted().json(json!({"id": letter.id, "replayed": true})))
}

fn body(letter: &DeadLetter) -> Value {
    let (kind, signal) = match &letter.signal {
        Some(EventKind::Message(message)) => ("message", message_body(message, None)),
        Some(EventKind::Ack(ack)) => ("ack", json!({"id": ack.message_id, "ack": i8::from(ack.ack)})),
        Some(EventKind::Change(change)) => ("change", json!({"id": change.id, "messageId": change.message_id})),
        _ => ("unknown", Value::Null),
    };
    json!({
        "id": letter.id, "session": letter.session.as_str(), "chatId": letter.chat_id, "at": letter.at_ms,
        "kind": kind, "signal": signal,
    })
}
