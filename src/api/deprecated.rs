//! Paths that WAHA keeps for scripts of its early days. Each does what its successor does.

use super::chats::{MessagesPage, messages as messages_of};
use super::contacts::{Which, exists};
use super::sending::{SendText, To, send, send_text};
use super::sessions::create::{CreateSession, create};
use super::shape::{read_config, session_body};
use super::{Api, Named, default_session};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::store::repo::identity::Action;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::draft::Content;
use wardroom_actors::domain::session::Status;

/// A session to create or to change, and to start.
#[derive(Deserialize, ToSchema)]
pub struct Started {
    /// 1 to 54 characters.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    name: String,
    /// The whole config, where it shall be another.
    #[schema(value_type = Option<Object>, example = json!({"network": "simulator"}))]
    config: Option<Value>,
}

/// A session to stop.
#[derive(Deserialize, ToSchema)]
pub struct Stopped {
    /// Its name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    name: String,
    /// Log it out and remove it, too.
    #[serde(default)]
    #[schema(example = false)]
    logout: bool,
}

/// A session to log out.
#[derive(Deserialize, ToSchema)]
pub struct LoggedOut {
    /// Its name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    name: String,
}

/// A link for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendLink {
    #[serde(flatten)]
    to: To,
    /// Where it leads.
    #[schema(example = "https://example.com/")]
    url: String,
    /// What stands above it.
    #[schema(example = "Our shop")]
    title: String,
}

/// Whose messages.
#[derive(Deserialize, IntoParams)]
pub struct OfChat {
    /// The session's name.
    #[serde(default = "default_session")]
    #[param(example = "default")]
    session: String,
    /// A number or an id.
    #[serde(rename = "chatId")]
    #[param(rename = "chatId", example = "12132132130@c.us")]
    chat_id: String,
}

/// Creates a session or changes its config, and starts it.
///
/// # Errors
/// As for creating one; 403 for a key that may not start it, 422 when it runs.
#[utoipa::path(post, path = "/api/sessions/start", tag = "deprecated", request_body = Started, responses(
    (status = 201, description = "The session"), (status = 400, description = "Bad input"), (status = 403, description = "The key may not start it"),
    (status = 422, description = "It runs; or as for creating one"), (status = 503, description = "Node full")))]
pub async fn start(caller: Caller, api: web::Data<Api>, body: web::Json<Started>) -> Result<HttpResponse, ApiError> {
    let Started { name, config } = body.into_inner();
    let Ok((known, seen)) = api.session(caller.0, &name) else {
        let new = CreateSession { name: Some(name), start: true, config, user: None };
        return create(caller, api, web::Json(new)).await;
    };
    if !caller.0.may(Action::Control) {
        return Err(ApiError::new("forbidden", "This key may not start a session"));
    }
    if seen.view.status != Status::Stopped {
        let status = seen.view.status.as_str();
        let text = format!("Session '{known}' is already started: it is {status}. Stop or restart it.");
        return Err(ApiError::new("session_exists", text));
    }
    if let Some(config) = config {
        let network = read_config(&config)?;
        api.handle.configure(caller.0.tenant, &known, network, config.to_string()).await?;
    }
    let seen = api.handle.start(caller.0.tenant, &known).await?;
    Ok(HttpResponse::Created().json(session_body(&seen, &caller.0)))
}

/// Stops a session; with `logout` it is logged out and removed.
///
/// # Errors
/// 403 for a key that may not delete, where that is asked for; 404.
#[utoipa::path(post, path = "/api/sessions/stop", tag = "deprecated", request_body = Stopped, responses(
    (status = 201, description = "Done"), (status = 403, description = "`logout` takes a key that may delete"),
    (status = 404, description = "No such session")))]
pub async fn stop(caller: Caller, api: web::Data<Api>, body: web::Json<Stopped>) -> Result<HttpResponse, ApiError> {
    let Stopped { name, logout } = body.into_inner();
    if logout && !caller.0.may(Action::Delete) {
        return Err(ApiError::new("forbidden", "This key may not delete a session"));
    }
    let (name, _) = api.session(caller.0, &name)?;
    if logout {
        api.handle.remove(caller.0.tenant, &name).await?;
    } else {
        api.handle.stop(caller.0.tenant, &name).await?;
    }
    Ok(HttpResponse::Created().finish())
}

/// Stops a session, logs it out and removes it.
///
/// # Errors
/// 404.
#[utoipa::path(post, path = "/api/sessions/logout", tag = "deprecated", request_body = LoggedOut,
    responses((status = 201, description = "It is gone"), (status = 404, description = "No such session")))]
pub async fn logout(caller: Caller, api: web::Data<Api>, body: web::Json<LoggedOut>) -> Result<HttpResponse, ApiError> {
    let (name, _) = api.session(caller.0, &body.name)?;
    api.handle.remove(caller.0.tenant, &name).await?;
    Ok(HttpResponse::Created().finish())
}

/// Sends a text that answers another: `POST /api/sendText` with `reply_to`.
///
/// # Errors
/// As for a text.
#[utoipa::path(post, path = "/api/reply", tag = "deprecated", request_body = SendText, responses(
    (status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session or message"), (status = 422, description = "As for a text"),
    (status = 429, description = "Too many messages wait")))]
pub async fn reply(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendText>,
) -> Result<HttpResponse, ApiError> {
    send_text(request, caller, api, body).await
}

/// Sends a title and a link, of which WhatsApp may make a preview: `POST /api/sendText` with `linkPreview`.
///
/// # Errors
/// As for a text.
#[utoipa::path(post, path = "/api/sendLinkPreview", tag = "deprecated", request_body = SendLink, responses(
    (status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session"), (status = 422, description = "As for a text"),
    (status = 429, description = "Too many messages wait")))]
pub async fn send_link_preview(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendLink>,
) -> Result<HttpResponse, ApiError> {
    let SendLink { to, url, title } = body.into_inner();
    let text = format!("{title}\n{url}");
    if url.is_empty() || text.len() > api.text_bytes {
        return Err(ApiError::invalid(format!("url must be there; it and title may have {} bytes", api.text_bytes)));
    }
    send(&request, caller, &api, to, Content::Text { text, mentions: vec![], preview: true }).await
}

/// The messages of a chat: `GET /api/{session}/chats/{chat}/messages`.
///
/// # Errors
/// As there.
#[utoipa::path(get, path = "/api/messages", tag = "deprecated", params(OfChat, MessagesPage), responses(
    (status = 200, description = "Messages"), (status = 400, description = "Bad parameters"),
    (status = 404, description = "No such session"), (status = 422, description = "With `history`: not WORKING")))]
pub async fn messages(
    caller: Caller,
    api: web::Data<Api>,
    of: web::Query<OfChat>,
    page: web::Query<MessagesPage>,
) -> Result<HttpResponse, ApiError> {
    let OfChat { session, chat_id } = of.into_inner();
    let (name, seen) = api.session(caller.0, &session)?;
    let named = Named { holder: caller.0, name, seen };
    messages_of(named, api, web::Path::from((session, chat_id)), page).await
}

/// Whether a number is on the network: `GET /api/contacts/check-exists`.
///
/// # Errors
/// As there.
#[utoipa::path(get, path = "/api/checkNumberStatus", tag = "deprecated", params(Which), responses(
    (status = 200, description = "`numberExists`, and `chatId` where it does"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING")))]
pub async fn check_number(
    caller: Caller,
    api: web::Data<Api>,
    query: web::Query<Which>,
) -> Result<HttpResponse, ApiError> {
    exists(caller, api, query).await
}
