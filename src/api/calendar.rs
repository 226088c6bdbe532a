//! `/api/{session}/events`: dates that are sent to a chat.

use super::sending::{To, send};
use super::{Api, Named};
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;
use wardroom_actors::domain::draft::Content;

/// Longest name, place and description in bytes.
const NAME: usize = 400;
const DESCRIPTION: usize = 8192;
/// The year 2100: what is behind it was meant as milliseconds.
const LAST: i64 = 4_102_444_800;

/// A date for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendEvent {
    /// A number or an id.
    #[serde(rename = "chatId")]
    #[schema(example = "12132132130@c.us")]
    chat_id: String,
    /// The message that this one answers.
    #[schema(example = "false_11111111111@c.us_AAAAAAAAAAAAAAAAAAAA")]
    reply_to: Option<String>,
    /// The id that the message gets, from `GET /api/{session}/new-message-id`.
    #[schema(example = "3EB0123456789ABCDEF012")]
    id: Option<String>,
    /// The date.
    event: Date,
}

/// Something that will be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Date {
    /// What it is called.
    #[schema(example = "Launch")]
    name: String,
    /// What it is about.
    #[schema(example = "Of the new boat")]
    description: Option<String>,
    /// When it begins, in Unix seconds.
    #[schema(example = 1_893_456_000)]
    start_time: i64,
    /// When it ends. Missing: two hours later.
    #[schema(example = 1_893_463_200)]
    end_time: Option<i64>,
    /// Where.
    location: Option<Where>,
}

/// A place by its name.
#[derive(Deserialize, ToSchema)]
pub struct Where {
    /// Its name.
    #[schema(example = "Harbour")]
    name: String,
}

/// Sends a date.
///
/// # Errors
/// As for a text.
#[utoipa::path(post, path = "/api/{session}/events", tag = "chatting", request_body = SendEvent,
    params(("session" = String, Path, example = "default"),
        ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"),
        ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")),
    responses((status = 201, description = "The message"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 422, description = "As for a text"),
        (status = 429, description = "Too many messages wait")))]
pub async fn send_event(
    request: HttpRequest,
    named: Named,
    api: web::Data<Api>,
    body: web::Json<SendEvent>,
) -> Result<HttpResponse, ApiError> {
    let SendEvent { chat_id, reply_to, id, event } = body.into_inner();
    let Date { name, description, start_time: start, end_time: end, location } = event;
    let place = location.map(|place| place.name);
    if name.is_empty() || name.len() > NAME || place.as_ref().is_some_and(|name| name.is_empty() || name.len() > NAME) {
        return Err(ApiError::invalid(format!("event.name and event.location.name must have 1 to {NAME} bytes")));
    }
    if description.as_ref().is_some_and(|text| text.len() > DESCRIPTION) {
        return Err(ApiError::invalid(format!("event.description may have {DESCRIPTION} bytes")));
    }
    if !(0..LAST).contains(&start) || end.is_some_and(|end| end <= start || end > LAST) {
        return Err(ApiError::invalid("event.startTime and endTime are Unix seconds, one before the other"));
    }
    let to = To { session: named.name.to_string(), chat_id, reply_to, id };
    let content = Content::Event { name, description, start, end, place };
    send(&request, Caller(named.holder), &api, to, content).await
}
