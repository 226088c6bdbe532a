//! `/api/webhooks/dead-letters`: events that a webhook's receiver did not take. The chat's later events went on.
//! `/api/webhooks/test`: one event, to see whether a receiver takes it.

use super::shape::sound_hook;
use super::{Api, default_session};
use crate::auth::{Caller, Door};
use crate::error::ApiError;
use crate::store::repo::deliveries::{Dead, DeadDelivery};
use crate::store::repo::identity::Holder;
use crate::webhook::post::Answer;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::ids::SessionId;
use wardroom_actors::domain::webhook::Hooks;
use wardroom_actors::handle::Refusal;

/// Longest page.
const MOST: u64 = 1000;

/// Which page.
#[derive(Deserialize, IntoParams)]
pub struct Page {
    /// Of one session only.
    #[param(example = "default")]
    session: Option<String>,
    /// Recorded at or after, Unix milliseconds.
    #[param(example = 1741249702485_i64)]
    from: Option<i64>,
    /// Recorded before, Unix milliseconds.
    #[param(example = 1741336102485_i64)]
    to: Option<i64>,
    /// At most so many, 1 to 1000.
    #[param(example = 100)]
    limit: Option<u64>,
    /// Older than this one.
    #[param(example = 4711)]
    before: Option<i64>,
}

/// Which are told again. At least one of the fields is needed.
#[derive(Deserialize, ToSchema)]
pub struct Replay {
    /// These.
    #[schema(example = json!([4711, 4712]))]
    ids: Option<Vec<i64>>,
    /// Of one session.
    #[schema(example = "default")]
    session: Option<String>,
    /// Recorded at or after, Unix milliseconds.
    #[schema(example = 1741249702485_i64)]
    from: Option<i64>,
    /// Recorded before, Unix milliseconds.
    #[schema(example = 1741336102485_i64)]
    to: Option<i64>,
}

/// A webhook that is tried.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"session": "default", "webhook": {"url": "https://example.com/hook", "hmac": {"key": "secret"}}}))]
pub struct Trial {
    /// Of this session an event is posted.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    session: String,
    /// A webhook as in a session's config; it need not stand there.
    #[schema(value_type = Object)]
    webhook: Value,
}

fn which(holder: Holder) -> Dead {
    let session = holder.session.filter(|_| !holder.reaches_all());
    Dead { user: (!holder.reaches_all()).then_some(holder.user), session, ..Dead::default() }
}

fn session_of(api: &Api, holder: Holder, name: Option<&String>) -> Result<Option<SessionId>, ApiError> {
    let named = name.map(|name| Ok::<_, ApiError>(api.session(holder, name)?.1.spec.id)).transpose()?;
    Ok(named.or(which(holder).session))
}

fn missing() -> ApiError {
    ApiError::new("not_found", "There is no such dead letter")
}

/// What webhooks were not told, the newest first.
///
/// # Errors
/// 400 for a page that nobody can have, 404 for an unknown session.
#[utoipa::path(get, path = "/api/webhooks/dead-letters", tag = "webhooks", params(Page), responses(
    (status = 200, description = "Dead letters"), (status = 400, description = "Bad page"),
    (status = 404, description = "No such session")))]
pub async fn list(caller: Caller, api: web::Data<Api>, page: web::Query<Page>) -> Result<HttpResponse, ApiError> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be 1 to {MOST}")));
    }
    let session = session_of(&api, caller.0, page.session.as_ref())?;
    let which = Dead { session, before: page.before, from_ms: page.from, to_ms: page.to, ..which(caller.0) };
    let letters = api.store.dead_deliveries(caller.0.tenant, which, limit).await?;
    let bodies: Vec<_> = letters.into_iter().map(|letter| body(&api, letter, false)).collect();
    Ok(HttpResponse::Ok().json(bodies))
}

/// One of them, with the body that was posted.
///
/// # Errors
/// 404 when there is none of this id.
#[utoipa::path(get, path = "/api/webhooks/dead-letters/{id}", tag = "webhooks", params(("id" = i64, Path, example = 4711)),
    responses((status = 200, description = "The dead letter"), (status = 404, description = "No such dead letter")))]
pub async fn get(caller: Caller, api: web::Data<Api>, id: web::Path<i64>) -> Result<HttpResponse, ApiError> {
    let which = Dead { ids: Some(vec![*id]), ..which(caller.0) };
    let letter = api.store.dead_deliveries(caller.0.tenant, which, 1).await?.pop().ok_or_else(missing)?;
    Ok(HttpResponse::Ok().json(body(&api, letter, true)))
}

/// Tells one again.
///
/// # Errors
/// 404 when there is none of this id.
#[utoipa::path(post, path = "/api/webhooks/dead-letters/{id}/replay", tag = "webhooks",
    params(("id" = i64, Path, example = 4711)),
    responses((status = 202, description = "It will be told again"), (status = 404, description = "No such dead letter")))]
pub async fn replay(caller: Caller, api: web::Data<Api>, id: web::Path<i64>) -> Result<HttpResponse, ApiError> {
    let which = Dead { ids: Some(vec![*id]), ..which(caller.0) };
    match api.store.revive(caller.0.tenant, which).await? {
        0 => Err(missing()),
        replayed => Ok(HttpResponse::Accepted().json(json!({"replayed": replayed}))),
    }
}

/// Tells many again: by id, by session, by time, or what all of these have in common.
///
/// # Errors
/// 400 when nothing is named, 404 for an unknown session.
#[utoipa::path(post, path = "/api/webhooks/dead-letters/replay", tag = "webhooks", request_body = Replay, responses(
    (status = 202, description = "How many will be told again"), (status = 400, description = "Nothing is named"),
    (status = 404, description = "No such session")))]
pub async fn replay_many(
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<Replay>,
) -> Result<HttpResponse, ApiError> {
    let Replay { ids, session, from, to } = body.into_inner();
    if ids.is_none() && session.is_none() && from.is_none() && to.is_none() {
        return Err(ApiError::invalid("name ids, session, from or to"));
    }
    if ids.as_ref().is_some_and(|ids| u64::try_from(ids.len()).is_ok_and(|many| many > MOST)) {
        return Err(ApiError::invalid(format!("ids must be at most {MOST}")));
    }
    let session = session_of(&api, caller.0, session.as_ref())?;
    let which = Dead { ids, session, from_ms: from, to_ms: to, ..which(caller.0) };
    let replayed = api.store.revive(caller.0.tenant, which).await?;
    Ok(HttpResponse::Accepted().json(json!({"replayed": replayed})))
}

/// Posts a `session.status` of the session as it is now to a webhook, once, signed as always. Nothing is stored.
///
/// # Errors
/// 400 when it is no webhook, 404 for an unknown session, 429 when too many are tried, at once or in a minute.
#[utoipa::path(post, path = "/api/webhooks/test", tag = "webhooks", request_body = Trial, responses(
    (status = 200, description = "`taken`, or the `code` of why not, and how long it took in milliseconds"),
    (status = 400, description = "Not a webhook"), (status = 404, description = "No such session"),
    (status = 429, description = "Too many are tried, at once or in a minute")))]
pub async fn test(
    caller: Caller,
    api: web::Data<Api>,
    door: web::Data<Door>,
    body: web::Json<Trial>,
) -> Result<HttpResponse, ApiError> {
    let Trial { session, webhook } = body.into_inner();
    let (_, seen) = api.session(caller.0, &session)?;
    let hooks = Hooks::of_config(&json!({"webhooks": [webhook]})).map_err(ApiError::invalid)?;
    let hook = hooks.iter().next().map(|(_, hook)| hook).ok_or_else(|| ApiError::invalid("webhook is missing"))?;
    sound_hook(hook).map_err(|what| ApiError::invalid(format!("webhook: {what}")))?;
    let often = |seconds| ApiError::new("too_many_requests", "Too many receivers are tried out").retry(seconds);
    door.access.limits.tests(caller.0.tenant, caller.0.user).map_err(often)?;
    let (answer, ms) = api.webhooks.try_out(seen, hook.clone()).await.ok_or(Refusal::Busy)?;
    let code = match answer {
        Answer::Taken => None,
        Answer::Refused(refusal) => Some(refusal.code),
        Answer::Away(how) => Some(how.to_owned()),
    };
    Ok(HttpResponse::Ok().json(json!({"taken": code.is_none(), "code": code, "ms": ms})))
}

fn body(api: &Api, letter: DeadDelivery, whole: bool) -> Value {
    let hooked = api.handle.hooked(letter.lane.key);
    let hook = hooked.as_ref().and_then(|(_, hooks)| hooks.get(letter.lane.hook));
    let url = hook.filter(|hook| !hook.global).map(|hook| hook.url.as_str());
    let seen = hooked.as_ref().map(|(seen, _)| seen);
    let delivery = letter.delivery;
    let mut body = json!({
        "id": delivery.id, "session": seen.map(|seen| seen.spec.name.as_str()), "url": url, "event": delivery.name,
        "eventId": delivery.event.as_ref().map(|told| told.id.as_str()), "code": letter.code,
        "attempts": delivery.attempts, "recordedAt": letter.recorded_ms, "failedAt": delivery.since_ms,
    });
    if let (true, Some(seen), Some(told), Some(object)) = (whole, seen, delivery.event, body.as_object_mut()) {
        let posted = crate::webhook::body(seen, told, &delivery.name);
        let posted = posted.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        object.insert("body".into(), posted.unwrap_or_default());
    }
    body
}
