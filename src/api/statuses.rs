//! `/api/{session}/status`: what an account shows its contacts for a day.

use super::asking::act_named;
use super::sending::{To, people, send};
use super::sending_files::{FileBody, bad_body, body_of, read};
use super::{Api, Named};
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::draft::{Content, Shown};
use wardroom_actors::domain::ids::message_id;

/// Fonts of the network.
const FONTS: std::ops::RangeInclusive<u8> = 0..=5;

/// A text to show.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusText {
    /// The text.
    #[schema(example = "Open until eight today")]
    text: String,
    /// What is behind it.
    #[serde(default = "green")]
    #[schema(example = "#38b42f")]
    background_color: String,
    /// Place among the network's fonts, 0 to 5.
    #[serde(default)]
    #[schema(example = 0)]
    font: u8,
    /// Who sees it. Missing: all of the account's contacts.
    #[schema(example = json!(["12132132130@c.us"]))]
    contacts: Option<Vec<String>>,
    /// The id that it gets, from `GET /api/{session}/status/new-message-id`.
    #[schema(example = "3EB0123456789ABCDEF012")]
    id: Option<String>,
}

/// A picture or a film to show.
#[derive(ToSchema)]
#[expect(dead_code, reason = "tells the document what the body is; it is read in pieces")]
pub struct StatusFile {
    /// The file.
    file: FileBody,
    /// A text with it.
    #[schema(example = "Look!")]
    caption: Option<String>,
    /// Who sees it. Missing: all of the account's contacts.
    #[schema(example = json!(["12132132130@c.us"]))]
    contacts: Option<Vec<String>>,
    /// A film that is not in WhatsApp's format is converted, where the server has ffmpeg.
    #[schema(example = false)]
    convert: Option<bool>,
    /// Names the request: made again, it is answered and not done again.
    #[schema(example = "3EB0123456789ABCDEF012")]
    id: Option<String>,
}

/// What is not to be shown any longer.
#[derive(Deserialize, ToSchema)]
pub struct Gone {
    /// Its id.
    #[schema(example = "true_status@broadcast_AAAAAAAAAAAAAAAAAAAA_12132132130@c.us")]
    id: String,
}

/// WAHA's color.
fn green() -> String {
    "#38b42f".to_owned()
}

/// Where status updates go, under an id that the caller may have chosen.
fn to(named: &Named, id: Option<String>) -> To {
    To { session: named.name.to_string(), chat_id: ChatId::STATUS.to_owned(), reply_to: None, id }
}

/// Shows a text for a day.
///
/// # Errors
/// As for a text in a chat.
#[utoipa::path(post, path = "/api/{session}/status/text", tag = "status", request_body = StatusText,
    params(("session" = String, Path, example = "default"),
        ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"),
        ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")),
    responses((status = 201, description = "The message"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 422, description = "As for a text"),
        (status = 429, description = "Too many messages wait")))]
pub async fn text(
    request: HttpRequest,
    named: Named,
    api: web::Data<Api>,
    body: web::Json<StatusText>,
) -> Result<HttpResponse, ApiError> {
    let StatusText { text, background_color: background, font, contacts, id } = body.into_inner();
    if text.is_empty() || text.len() > api.text_bytes {
        return Err(ApiError::invalid(format!("text must have 1 to {} bytes", api.text_bytes)));
    }
    let digits = background.strip_prefix('#').unwrap_or_default();
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::invalid("backgroundColor must be like #38b42f"));
    }
    if !FONTS.contains(&font) {
        return Err(ApiError::invalid("font must be 0 to 5"));
    }
    let audience = people("contacts", contacts.unwrap_or_default())?;
    let content = Content::Status { text, background, font, audience };
    send(&request, Caller(named.holder), &api, to(&named, id), content).await
}

/// Shows a picture for a day.
///
/// # Errors
/// As for a picture in a chat.
#[utoipa::path(post, path = "/api/{session}/status/image", tag = "status", request_body = StatusFile,
    params(("session" = String, Path, example = "default"),
        ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"),
        ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")),
    responses((status = 201, description = "The message"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 413, description = "The file is too long"),
        (status = 422, description = "As for a text, or the file cannot be fetched"),
        (status = 429, description = "Too many messages wait")))]
pub async fn image(
    request: HttpRequest,
    named: Named,
    api: web::Data<Api>,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    show(&request, &named, &api, body, Shown::Image).await
}

/// Shows a film for a day.
///
/// # Errors
/// As for a film in a chat.
#[utoipa::path(post, path = "/api/{session}/status/video", tag = "status", request_body = StatusFile,
    params(("session" = String, Path, example = "default"),
        ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"),
        ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")),
    responses((status = 201, description = "The message"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 413, description = "The file is too long"),
        (status = 422, description = "As for a text, or the file cannot be fetched or converted"),
        (status = 429, description = "Too many messages wait")))]
pub async fn video(
    request: HttpRequest,
    named: Named,
    api: web::Data<Api>,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    show(&request, &named, &api, body, Shown::Video).await
}

async fn show(
    request: &HttpRequest,
    named: &Named,
    api: &Api,
    body: web::Payload,
    shown: Shown,
) -> Result<HttpResponse, ApiError> {
    #[derive(Deserialize)]
    struct Name {
        id: Option<String>,
    }
    let caller = Caller(named.holder);
    let (to, pending) = {
        let (_turn, body) = body_of(api, body, api.file_bytes).await?;
        let name: Name = serde_json::from_slice(&body).map_err(bad_body)?;
        read(request, caller, api, to(named, name.id), &body, shown).await?
    };
    send(request, caller, api, to, pending.content(api).await?).await
}

/// Takes a status update back.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING or the network refuses.
#[utoipa::path(post, path = "/api/{session}/status/delete", tag = "status", request_body = Gone,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or status update"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn delete(named: Named, api: web::Data<Api>, body: web::Json<Gone>) -> Result<HttpResponse, ApiError> {
    let message = body.into_inner().id;
    if !message.starts_with(&format!("true_{}_", ChatId::STATUS)) || message.len() > 200 {
        return Err(ApiError::invalid("id is not the id of an own status update"));
    }
    act_named(&api, &named, Action::Revoke { message }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// An id for a status update that is to be shown.
///
/// # Errors
/// 404.
#[utoipa::path(get, path = "/api/{session}/status/new-message-id", tag = "status",
    params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "An id"), (status = 404, description = "No such session")))]
pub async fn new_message_id(_: Named) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(json!({"id": message_id()})))
}
