//! Sending: `/api/sendText`, `/api/sendSeen`, `/api/startTyping`, `/api/stopTyping`.

use super::Api;
use super::shape::message_body;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::store::repo::identity::KeyHolder;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use utoipa::ToSchema;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::ids::SessionName;
use wardroom_actors::domain::message::{Ack, Message};
use wardroom_actors::domain::session::Status;
use wardroom_actors::ports::engine::Command;

/// How long a send waits for the network.
const SENT: Duration = Duration::from_secs(5);

/// A text for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendText {
    /// The session's name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    session: String,
    /// A number or an id.
    #[serde(rename = "chatId")]
    #[schema(example = "12132132130@c.us")]
    chat_id: String,
    /// The text.
    #[schema(example = "Hi there!")]
    text: String,
}

/// A chat of a session.
#[derive(Deserialize, ToSchema)]
pub struct InChat {
    /// The session's name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    session: String,
    /// A number or an id.
    #[serde(rename = "chatId")]
    #[schema(example = "12132132130@c.us")]
    chat_id: String,
}

fn default_session() -> String {
    "default".to_owned()
}

fn chat(text: &str) -> Result<ChatId, ApiError> {
    ChatId::parse(text).map_err(|bad| ApiError::invalid(bad.to_string()))
}

async fn working(api: &Api, holder: KeyHolder, session: &str) -> Result<SessionName, ApiError> {
    let (name, _) = api.session(holder, session)?;
    api.expect(holder.tenant, &name, Status::Working).await?;
    Ok(name)
}

/// Sends a text. It is accepted into the outbox first, then this waits up to 5 s for the network (ack ≥ 1); a text that
/// takes longer is answered with ack 0 and sent all the same. `Prefer: respond-async` answers at once.
///
/// # Errors
/// 400 for bad input, 404, 422 when the session is not WORKING or the number is not on WhatsApp.
#[utoipa::path(post, path = "/api/sendText", tag = "chatting", request_body = SendText, responses(
    (status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session"), (status = 422, description = "Not WORKING, or not on WhatsApp"),
    (status = 429, description = "Too many texts wait")))]
pub async fn send_text(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendText>,
) -> Result<HttpResponse, ApiError> {
    let SendText { session, chat_id, text } = body.into_inner();
    let tenant = caller.0.tenant;
    let chat = chat(&chat_id)?;
    if text.is_empty() || text.len() > api.text_bytes {
        return Err(ApiError::invalid(format!("text must have 1 to {} bytes", api.text_bytes)));
    }
    let name = working(&api, caller.0, &session).await?;
    let seen = api.handle.session(tenant, &name)?;
    let (accepted, delivered) = api.handle.send_text(tenant, &name, &chat, text).await?;
    let prefer = request.headers().get("prefer").and_then(|prefer| prefer.to_str().ok()).unwrap_or_default();
    let wait = if prefer.contains("respond-async") { Duration::ZERO } else { SENT };
    let message = match tokio::time::timeout(wait, delivered).await {
        Ok(Ok(Ok(message))) => message,
        Ok(Ok(Err(code))) if code == "not_on_whatsapp" => {
            return Err(ApiError::new("not_on_whatsapp", "The number is not on WhatsApp"));
        }
        Ok(Ok(Err(_))) => return Err(ApiError::new("refused_by_network", "WhatsApp refused the message")),
        // It goes on in the background, across restarts.
        _ => Message {
            id: format!("true_{chat}_{}", accepted.message_id),
            chat: chat.to_string(),
            chat_alias: None,
            from_me: true,
            participant: None,
            push_name: None,
            kind: "chat".to_owned(),
            body: accepted.text,
            timestamp: api.store.unix_ms() / 1000,
            ack: Ack::Pending,
            via_api: true,
        },
    };
    Ok(HttpResponse::Created().json(message_body(&message, seen.view.account.as_ref())))
}

/// Marks a chat as read.
///
/// # Errors
/// 400, 404, 422 as for a text.
#[utoipa::path(post, path = "/api/sendSeen", tag = "chatting", request_body = InChat, responses(
    (status = 201, description = "Done"), (status = 404, description = "No such session")))]
pub async fn send_seen(caller: Caller, api: web::Data<Api>, body: web::Json<InChat>) -> Result<HttpResponse, ApiError> {
    let chat = chat(&body.chat_id)?;
    let name = working(&api, caller.0, &body.session).await?;
    api.handle.ask(caller.0.tenant, &name, |answer| Command::Seen { chat, answer }).await?;
    Ok(HttpResponse::Created().json(json!({"result": true})))
}

/// Shows "typing…" to the other side.
///
/// # Errors
/// 400, 404, 422 as for a text.
#[utoipa::path(post, path = "/api/startTyping", tag = "chatting", request_body = InChat, responses(
    (status = 201, description = "Done"), (status = 404, description = "No such session")))]
pub async fn start_typing(
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<InChat>,
) -> Result<HttpResponse, ApiError> {
    typing(caller, &api, &body, true).await
}

/// Hides "typing…" again.
///
/// # Errors
/// 400, 404, 422 as for a text.
#[utoipa::path(post, path = "/api/stopTyping", tag = "chatting", request_body = InChat, responses(
    (status = 201, description = "Done"), (status = 404, description = "No such session")))]
pub async fn stop_typing(
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<InChat>,
) -> Result<HttpResponse, ApiError> {
    typing(caller, &api, &body, false).await
}

async fn typing(caller: Caller, api: &Api, body: &InChat, on: bool) -> Result<HttpResponse, ApiError> {
    let chat = chat(&body.chat_id)?;
    let name = working(api, caller.0, &body.session).await?;
    api.handle.ask(caller.0.tenant, &name, |answer| Command::Typing { chat, on, answer }).await?;
    Ok(HttpResponse::Created().json(json!({"result": true})))
}
