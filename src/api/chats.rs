//! `/api/{session}/chats`: reading. Answers come from the journal, so they are there while the session is not.

use super::shape::message_body;
use super::{Api, Named};
use crate::error::ApiError;
use crate::store::repo::chats::Page;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use wardroom_actors::domain::chat::ChatId;

/// Longest page.
const MOST: u64 = 1000;

/// Which page of the chats.
#[derive(Deserialize, IntoParams)]
pub struct ChatsPage {
    /// At most so many, 1 to 1000.
    #[param(example = 100)]
    limit: Option<u64>,
    /// After skipping so many.
    #[param(example = 0)]
    offset: Option<u64>,
}

/// Which page of a chat's messages.
#[derive(Deserialize, IntoParams)]
pub struct MessagesPage {
    /// At most so many, 1 to 1000.
    #[param(example = 10)]
    limit: Option<u64>,
    /// After skipping so many.
    #[param(example = 0)]
    offset: Option<u64>,
    /// `desc` (newest first, default) or `asc`.
    #[serde(rename = "sortOrder")]
    #[param(rename = "sortOrder", example = "desc")]
    sort_order: Option<String>,
}

fn limit(asked: Option<u64>, default: u64) -> Result<u64, ApiError> {
    match asked.unwrap_or(default) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(ApiError::invalid(format!("limit must be 1 to {MOST}"))),
    }
}

fn offset(asked: Option<u64>) -> Result<u64, ApiError> {
    match asked.unwrap_or_default() {
        offset if i64::try_from(offset).is_ok() => Ok(offset),
        _ => Err(ApiError::invalid("offset is too large")),
    }
}

/// The session's chats, the latest first.
///
/// # Errors
/// 404 when there is no such session.
#[utoipa::path(get, path = "/api/{session}/chats", tag = "chats", params(("session" = String, Path, example = "default"), ChatsPage),
    responses((status = 200, description = "Chats"), (status = 404, description = "No such session")))]
pub async fn list(named: Named, api: web::Data<Api>, page: web::Query<ChatsPage>) -> Result<HttpResponse, ApiError> {
    let (limit, offset) = (limit(page.limit, 100)?, offset(page.offset)?);
    let chats = api.store.chats(&named.seen.spec, limit, offset).await?;
    let body = chats
        .iter()
        .map(|chat| json!({"id": chat.id, "name": chat.name, "conversationTimestamp": chat.last_at / 1000}));
    Ok(HttpResponse::Ok().json(body.collect::<Vec<_>>()))
}

/// The messages of a chat.
///
/// # Errors
/// 400 for an id that no chat can have, 404 when there is no such session.
#[utoipa::path(get, path = "/api/{session}/chats/{chat}/messages", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"), MessagesPage),
    responses((status = 200, description = "Messages"), (status = 404, description = "No such session")))]
pub async fn messages(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    page: web::Query<MessagesPage>,
) -> Result<HttpResponse, ApiError> {
    let chat = ChatId::parse(&path.1).map_err(|bad| ApiError::invalid(bad.to_string()))?;
    let ascending = match page.sort_order.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(ApiError::invalid("sortOrder must be asc or desc")),
    };
    let page = Page { limit: limit(page.limit, 10)?, offset: offset(page.offset)?, ascending };
    let messages = api.store.messages(&named.seen.spec, chat.as_str(), page).await?;
    let account = named.seen.view.account.as_ref();
    Ok(HttpResponse::Ok().json(messages.iter().map(|message| message_body(message, account)).collect::<Vec<_>>()))
}
