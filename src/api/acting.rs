//! What is done to messages and chats that are there: done at once by the running session, or refused.

use super::{Api, Named, chat_id, default_session};
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::ids::SessionName;
use wardroom_actors::domain::session::Status;
use wardroom_actors::ports::engine::Command;

/// Longest message id that is looked for.
const ID: usize = 200;
/// Longest reaction in bytes: an emoji of several parts.
const REACTION: usize = 64;
/// How long a message may stay pinned, as on the network: a day, a week, 30 days.
const PINNED: [u32; 3] = [86_400, 604_800, 2_592_000];

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

/// A reaction to a message.
#[derive(Deserialize, ToSchema)]
pub struct Reaction {
    /// The session's name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    session: String,
    /// The message.
    #[serde(rename = "messageId")]
    #[schema(example = "false_11111111111@c.us_AAAAAAAAAAAAAAAAAAAA")]
    message_id: String,
    /// An emoji; empty removes the reaction.
    #[schema(example = "🙏")]
    reaction: String,
}

/// A star for a message.
#[derive(Deserialize, ToSchema)]
pub struct Star {
    #[serde(flatten)]
    chat: InChat,
    /// The message.
    #[serde(rename = "messageId")]
    #[schema(example = "false_11111111111@c.us_AAAAAAAAAAAAAAAAAAAA")]
    message_id: String,
    /// Set or remove.
    #[schema(example = true)]
    star: bool,
}

/// A new text.
#[derive(Deserialize, ToSchema)]
pub struct Edit {
    /// The text.
    #[schema(example = "Hello, world!")]
    text: String,
}

/// For how long.
#[derive(Deserialize, ToSchema)]
pub struct Pinned {
    /// Seconds: 86400, 604800 or 2592000.
    #[schema(example = 86400)]
    duration: u32,
}

/// A vote in a poll.
#[derive(Deserialize, ToSchema)]
pub struct Vote {
    #[serde(flatten)]
    chat: InChat,
    /// The poll.
    #[serde(rename = "pollMessageId")]
    #[schema(example = "false_11111111111@c.us_AAAAAAAAAAAAAAAAAAAA")]
    message_id: String,
    /// What is chosen, in the poll's own words; replaces an earlier choice.
    #[schema(example = json!(["Awesome!"]))]
    votes: Vec<String>,
}

fn message(id: String) -> Result<String, ApiError> {
    if id.is_empty() || id.len() > ID { Err(ApiError::invalid("messageId is not a message id")) } else { Ok(id) }
}

/// Waits until the session is WORKING, and has it do something.
pub(super) async fn act(api: &Api, caller: Caller, session: &str, action: Action) -> Result<(), ApiError> {
    let (name, _) = api.session(caller.0, session)?;
    act_in(api, caller.0.tenant, &name, action).await
}

pub(super) async fn act_in(
    api: &Api,
    tenant: wardroom_actors::domain::ids::TenantId,
    name: &SessionName,
    action: Action,
) -> Result<(), ApiError> {
    api.expect(tenant, name, Status::Working).await?;
    Ok(api.handle.ask(tenant, name, |answer| Command::Act { action, answer }).await?)
}

/// Marks a chat as read.
///
/// # Errors
/// 400, 404, 422 as for a text.
#[utoipa::path(post, path = "/api/sendSeen", tag = "chatting", request_body = InChat, responses(
    (status = 201, description = "Done"), (status = 404, description = "No such session")))]
pub async fn send_seen(caller: Caller, api: web::Data<Api>, body: web::Json<InChat>) -> Result<HttpResponse, ApiError> {
    act(&api, caller, &body.session, Action::Seen { chat: chat_id(&body.chat_id)? }).await?;
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
    act(&api, caller, &body.session, Action::Typing { chat: chat_id(&body.chat_id)?, on: true }).await?;
    Ok(HttpResponse::Created().json(json!({"result": true})))
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
    act(&api, caller, &body.session, Action::Typing { chat: chat_id(&body.chat_id)?, on: false }).await?;
    Ok(HttpResponse::Created().json(json!({"result": true})))
}

/// Reacts to a message, or takes the reaction back.
///
/// # Errors
/// 404 when there is no such session or message, else as for a text.
#[utoipa::path(put, path = "/api/reaction", tag = "chatting", request_body = Reaction, responses(
    (status = 200, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn react(caller: Caller, api: web::Data<Api>, body: web::Json<Reaction>) -> Result<HttpResponse, ApiError> {
    let Reaction { session, message_id, reaction } = body.into_inner();
    if reaction.len() > REACTION {
        return Err(ApiError::invalid("reaction must be one emoji, or empty"));
    }
    act(&api, caller, &session, Action::React { message: message(message_id)?, reaction }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Stars a message, or takes the star away.
///
/// # Errors
/// As for a reaction.
#[utoipa::path(put, path = "/api/star", tag = "chatting", request_body = Star, responses(
    (status = 200, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn star(caller: Caller, api: web::Data<Api>, body: web::Json<Star>) -> Result<HttpResponse, ApiError> {
    let Star { chat, message_id, star } = body.into_inner();
    chat_id(&chat.chat_id)?;
    act(&api, caller, &chat.session, Action::Star { message: message(message_id)?, on: star }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Votes in a poll.
///
/// # Errors
/// As for a reaction; 422 when the poll has no such answer.
#[utoipa::path(post, path = "/api/sendPollVote", tag = "chatting", request_body = Vote, responses(
    (status = 201, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn vote(caller: Caller, api: web::Data<Api>, body: web::Json<Vote>) -> Result<HttpResponse, ApiError> {
    let Vote { chat, message_id, votes } = body.into_inner();
    chat_id(&chat.chat_id)?;
    act(&api, caller, &chat.session, Action::Vote { message: message(message_id)?, options: votes }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Replaces the text of an own message.
///
/// # Errors
/// As for a reaction; 422 when the network does not allow it any more.
#[utoipa::path(put, path = "/api/{session}/chats/{chat}/messages/{message}", tag = "chatting", request_body = Edit,
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"),
        ("message" = String, Path, example = "true_12132132130@c.us_AAAAAAAAAAAAAAAAAAAA")),
    responses((status = 200, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn edit(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
    body: web::Json<Edit>,
) -> Result<HttpResponse, ApiError> {
    let text = body.into_inner().text;
    if text.is_empty() || text.len() > api.text_bytes {
        return Err(ApiError::invalid(format!("text must have 1 to {} bytes", api.text_bytes)));
    }
    in_path(named, &api, path.into_inner(), |message| Action::Edit { message, text }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Takes an own message back, for everybody.
///
/// # Errors
/// As for an edit.
#[utoipa::path(delete, path = "/api/{session}/chats/{chat}/messages/{message}", tag = "chatting",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"),
        ("message" = String, Path, example = "true_12132132130@c.us_AAAAAAAAAAAAAAAAAAAA")),
    responses((status = 200, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn revoke(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    in_path(named, &api, path.into_inner(), |message| Action::Revoke { message }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Pins a message in its chat.
///
/// # Errors
/// As for an edit.
#[utoipa::path(post, path = "/api/{session}/chats/{chat}/messages/{message}/pin", tag = "chatting", request_body = Pinned,
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"),
        ("message" = String, Path, example = "true_12132132130@c.us_AAAAAAAAAAAAAAAAAAAA")),
    responses((status = 201, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn pin(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
    body: web::Json<Pinned>,
) -> Result<HttpResponse, ApiError> {
    let seconds = body.duration;
    if !PINNED.contains(&seconds) {
        return Err(ApiError::invalid("duration must be 86400, 604800 or 2592000"));
    }
    in_path(named, &api, path.into_inner(), |message| Action::Pin { message, seconds }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Unpins a message.
///
/// # Errors
/// As for an edit.
#[utoipa::path(post, path = "/api/{session}/chats/{chat}/messages/{message}/unpin", tag = "chatting",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"),
        ("message" = String, Path, example = "true_12132132130@c.us_AAAAAAAAAAAAAAAAAAAA")),
    responses((status = 201, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or message"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn unpin(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    in_path(named, &api, path.into_inner(), |message| Action::Unpin { message }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Does something to the message of a path.
async fn in_path(
    named: Named,
    api: &Api,
    (_, chat, id): (String, String, String),
    action: impl FnOnce(String) -> Action,
) -> Result<(), ApiError> {
    chat_id(&chat)?;
    act_in(api, named.holder.tenant, &named.name, action(message(id)?)).await
}
