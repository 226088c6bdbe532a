//! `/api/{session}/presence`: who is there, and what the account shows of itself.

use super::asking::{act_named, ask_named};
use super::{Api, Named, chat_id};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking::{self, Presence};

/// What the account shows.
#[derive(Deserialize, ToSchema)]
pub struct Shown {
    /// The chat, for `typing`, `recording` and `paused`.
    #[serde(rename = "chatId")]
    #[schema(example = "12132132130@c.us")]
    chat_id: Option<String>,
    /// `online`, `offline`, `typing`, `recording` or `paused`.
    #[schema(example = "online")]
    presence: String,
}

fn shape(presence: &Presence) -> Value {
    let person = |one: &asking::Person| json!({"participant": one.id, "lastKnownPresence": one.state, "lastSeen": one.last_seen});
    json!({"id": presence.chat, "presences": presence.people.iter().map(person).collect::<Vec<_>>()})
}

/// Shows the account as online or not, or that it types in a chat.
///
/// # Errors
/// 400 for a presence that goes without (or with) a chat, 404, 422 when the session is not WORKING.
#[utoipa::path(post, path = "/api/{session}/presence", tag = "presence", request_body = Shown,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "Done"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 422, description = "Not WORKING")))]
pub async fn set(named: Named, api: web::Data<Api>, body: web::Json<Shown>) -> Result<HttpResponse, ApiError> {
    let Shown { chat_id: chat, presence } = body.into_inner();
    let chat = chat.as_deref().map(chat_id).transpose()?;
    let action = match (presence.as_str(), chat) {
        ("online", None) => Action::Available { on: true },
        ("offline", None) => Action::Available { on: false },
        ("typing", Some(chat)) => Action::Typing { chat, on: true },
        ("paused", Some(chat)) => Action::Typing { chat, on: false },
        ("recording", Some(chat)) => Action::Recording { chat },
        ("online" | "offline", Some(_)) => {
            return Err(ApiError::invalid(format!("'{presence}' presence goes without 'chatId'")));
        }
        ("typing" | "paused" | "recording", None) => {
            return Err(ApiError::invalid(format!("'{presence}' presence requires 'chatId' field.")));
        }
        _ => return Err(ApiError::invalid("presence must be online, offline, typing, recording or paused")),
    };
    act_named(&api, &named, action).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Who is there, of all chats that were asked about.
///
/// # Errors
/// 404, 422 when the session is not WORKING.
#[utoipa::path(get, path = "/api/{session}/presence", tag = "presence", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Chats"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn list(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let all = ask_named(&api, &named, asking::presences()).await?;
    Ok(HttpResponse::Ok().json(all.iter().map(shape).collect::<Vec<_>>()))
}

/// Who is there in a chat. From then on `presence.update` tells of changes.
///
/// # Errors
/// As for all.
#[utoipa::path(get, path = "/api/{session}/presence/{chat}", tag = "presence",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "The chat"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn get(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let found = ask_named(&api, &named, asking::presence(chat_id(&path.1)?)).await?;
    Ok(HttpResponse::Ok().json(shape(&found)))
}

/// Asks the network to tell of changes in a chat.
///
/// # Errors
/// As for all.
#[utoipa::path(post, path = "/api/{session}/presence/{chat}/subscribe", tag = "presence",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 201, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn subscribe(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    ask_named(&api, &named, asking::presence(chat_id(&path.1)?)).await?;
    Ok(HttpResponse::Created().finish())
}
