//! What is done to whole chats: read, unread, archived, cleared, removed.

use super::asking::{act_named, ask_named};
use super::{Api, Named, chat_id};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking;

/// Messages of one request that become read.
const MOST: u32 = 1000;
/// As in WAHA, of a person and of a group.
const DEFAULTS: (u32, u32) = (30, 100);
/// As in WAHA.
const DAYS: u32 = 7;

/// Which messages become read.
#[derive(Clone, Copy, Default, Deserialize, IntoParams, ToSchema)]
pub struct HowMany {
    /// At most so many, the newest; by default 30 of a person and 100 of a group.
    #[param(example = 30)]
    #[schema(example = 30)]
    messages: Option<u32>,
    /// Not older than so many days.
    #[param(example = 7)]
    #[schema(example = 7)]
    days: Option<u32>,
}

/// Marks a chat as read, as a whole; `messages` and `days` bound the ids that are answered.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING.
#[utoipa::path(post, path = "/api/{session}/chats/{chat}/messages/read", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"), HowMany),
    request_body = Option<HowMany>,
    responses((status = 201, description = "`ids` of the messages that were unread"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn read(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: web::Query<HowMany>,
    body: web::Bytes,
) -> Result<HttpResponse, ApiError> {
    let chat = chat_id(&path.1)?;
    // WAHA's documentation has a body, its OpenAPI document a query.
    let body: HowMany = match body.is_empty() {
        true => HowMany::default(),
        false => serde_json::from_slice(&body).map_err(|error| ApiError::invalid(error.to_string()))?,
    };
    let default = if chat.is_group() { DEFAULTS.1 } else { DEFAULTS.0 };
    let most = body.messages.or(query.messages).unwrap_or(default);
    if most == 0 || most > MOST {
        return Err(ApiError::invalid(format!("messages must be 1 to {MOST}")));
    }
    let days = i64::from(body.days.or(query.days).unwrap_or(DAYS));
    let since = api.store.unix_ms() / 1000 - days * 86_400;
    let ids = ask_named(&api, &named, asking::read_up(chat, most, since)).await?;
    Ok(HttpResponse::Created().json(json!({"ids": ids})))
}

/// What is asked for anew.
#[derive(Deserialize, IntoParams)]
pub struct Refresh {
    /// Past what the page remembers.
    #[serde(default)]
    #[param(example = false)]
    pub(super) refresh: bool,
}

/// Address of the chat's picture.
///
/// # Errors
/// As for reading.
#[utoipa::path(get, path = "/api/{session}/chats/{chat}/picture", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"), Refresh),
    responses((status = 200, description = "`url`, null where none is shown"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn picture(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    asked: web::Query<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let url = ask_named(&api, &named, asking::picture(chat_id(&path.1)?, asked.refresh)).await?;
    Ok(HttpResponse::Ok().json(json!({"url": url})))
}

/// Puts a chat away.
///
/// # Errors
/// As for reading.
#[utoipa::path(post, path = "/api/{session}/chats/{chat}/archive", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 201, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn archive(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Archive { chat: chat_id(&path.1)?, on: true }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Brings a chat back.
///
/// # Errors
/// As for reading.
#[utoipa::path(post, path = "/api/{session}/chats/{chat}/unarchive", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 201, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn unarchive(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Archive { chat: chat_id(&path.1)?, on: false }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Marks a chat as unread.
///
/// # Errors
/// As for reading.
#[utoipa::path(post, path = "/api/{session}/chats/{chat}/unread", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 201, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn unread(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Unread { chat: chat_id(&path.1)? }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Removes a chat from the account's devices. The journal keeps what it recorded until its retention ends.
///
/// # Errors
/// As for reading.
#[utoipa::path(delete, path = "/api/{session}/chats/{chat}", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn delete(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Delete { chat: chat_id(&path.1)? }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Removes a chat's messages from the account's devices. The journal keeps what it recorded until its retention ends.
///
/// # Errors
/// As for reading.
#[utoipa::path(delete, path = "/api/{session}/chats/{chat}/messages", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn clear(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Clear { chat: chat_id(&path.1)? }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}
