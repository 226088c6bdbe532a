//! `/api/{session}/channels`: what an account publishes, and what it follows.

use super::asking::{act_named, ask_named};
use super::{Api, Named, chat_id};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking::{self, Channel, ChannelRole};
use wardroom_actors::domain::chat::ChatId;

/// Longest name and description in bytes, longest text that is looked for, and longest place where an answer ended.
const NAME: usize = 400;
const DESCRIPTION: usize = 8192;
const TEXT: usize = 400;
const PLACE: usize = 1024;
/// Channels that are found at once, and categories to look in.
const MOST: u32 = 100;
const CATEGORIES: usize = 20;

/// Which channels.
#[derive(Deserialize, IntoParams)]
pub struct Which {
    /// Those where the account is `OWNER`, `ADMIN` or `SUBSCRIBER`.
    #[param(example = "SUBSCRIBER")]
    role: Option<String>,
}

/// A channel to be made.
#[derive(Deserialize, ToSchema)]
pub struct NewChannel {
    /// Its name.
    #[schema(example = "Harbour news")]
    name: String,
    /// What it is about.
    #[schema(example = "Who comes, who goes")]
    description: Option<String>,
}

/// What to look for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// A text in the channel's name or description.
    #[schema(example = "harbour")]
    text: String,
    /// Categories of the network's directory; all of them where nobody stands.
    #[serde(default)]
    #[schema(example = json!([]))]
    categories: Vec<String>,
    /// At most so many, 1 to 100.
    #[serde(default = "fifty")]
    #[schema(example = 50)]
    limit: u32,
    /// Behind the `endCursor` of an earlier answer.
    #[serde(default)]
    #[schema(example = "")]
    start_cursor: String,
}

fn fifty() -> u32 {
    50
}

fn word(role: ChannelRole) -> &'static str {
    match role {
        ChannelRole::Owner => "OWNER",
        ChannelRole::Admin => "ADMIN",
        ChannelRole::Subscriber => "SUBSCRIBER",
        ChannelRole::Guest => "GUEST",
    }
}

/// The pictures of channels are not among what the page tells.
fn shape(channel: &Channel) -> Value {
    let invite = channel.invite.as_ref().map(|code| format!("https://www.whatsapp.com/channel/{code}"));
    json!({
        "id": channel.id, "name": channel.name, "description": channel.description, "invite": invite,
        "preview": null, "picture": null, "verified": channel.verified, "role": word(channel.role),
        "subscribersCount": channel.followers,
    })
}

fn channel_id(text: &str) -> Result<ChatId, ApiError> {
    let id = chat_id(text)?;
    if id.as_str().ends_with("@newsletter") {
        Ok(id)
    } else {
        Err(ApiError::invalid("a channel's id ends in @newsletter"))
    }
}

/// The channels that the account has or follows.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING.
#[utoipa::path(get, path = "/api/{session}/channels", tag = "channels",
    params(("session" = String, Path, example = "default"), Which),
    responses((status = 200, description = "Channels"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn list(named: Named, api: web::Data<Api>, which: web::Query<Which>) -> Result<HttpResponse, ApiError> {
    let role = which.into_inner().role.filter(|role| !role.is_empty());
    if role.as_deref().is_some_and(|role| !["OWNER", "ADMIN", "SUBSCRIBER"].contains(&role)) {
        return Err(ApiError::invalid("role must be OWNER, ADMIN or SUBSCRIBER"));
    }
    let all = ask_named(&api, &named, asking::channels()).await?;
    let wanted = all.iter().filter(|one| role.as_deref().is_none_or(|role| word(one.role) == role));
    Ok(HttpResponse::Ok().json(wanted.map(shape).collect::<Vec<_>>()))
}

/// Makes a channel.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING or the network refuses.
#[utoipa::path(post, path = "/api/{session}/channels", tag = "channels", request_body = NewChannel,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The channel"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn create(named: Named, api: web::Data<Api>, body: web::Json<NewChannel>) -> Result<HttpResponse, ApiError> {
    let NewChannel { name, description } = body.into_inner();
    if name.is_empty() || name.len() > NAME || description.as_ref().is_some_and(|text| text.len() > DESCRIPTION) {
        return Err(ApiError::invalid(format!("name must have 1 to {NAME} bytes, description at most {DESCRIPTION}")));
    }
    let made = ask_named(&api, &named, asking::create_channel(name, description)).await?;
    Ok(HttpResponse::Created().json(shape(&made)))
}

/// One channel: by its id, or by its invite's code where the account has or follows it.
///
/// # Errors
/// As for all channels; 404 when there is no such channel.
#[utoipa::path(get, path = "/api/{session}/channels/{channel}", tag = "channels",
    params(("session" = String, Path, example = "default"), ("channel" = String, Path, example = "120363000000000001@newsletter")),
    responses((status = 200, description = "The channel"), (status = 404, description = "No such session or channel"),
        (status = 422, description = "Not WORKING")))]
pub async fn get(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let channel = path.into_inner().1;
    let code = channel.len() <= 64 && channel.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let channel = if code { channel } else { channel_id(&channel)?.to_string() };
    let found = ask_named(&api, &named, asking::channel(channel)).await?;
    Ok(HttpResponse::Ok().json(shape(&found)))
}

macro_rules! changes {
    ($($(#[$doc:meta])* $name:ident $verb:ident $path:literal $status:literal $answer:ident => $action:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// As for one channel; 422 when the network refuses.
        #[utoipa::path($verb, path = $path, tag = "channels",
            params(("session" = String, Path, example = "default"), ("channel" = String, Path, example = "120363000000000001@newsletter")),
            responses((status = $status, description = "Done"), (status = 404, description = "No such session or channel"),
                (status = 422, description = "Not WORKING, or refused")))]
        pub async fn $name(
            named: Named,
            api: web::Data<Api>,
            path: web::Path<(String, String)>,
        ) -> Result<HttpResponse, ApiError> {
            let action: fn(ChatId) -> Action = $action;
            act_named(&api, &named, action(channel_id(&path.1)?)).await?;
            Ok(HttpResponse::$answer().json(json!({"success": true})))
        }
    )*};
}

changes! {
    /// Ends an own channel.
    delete delete "/api/{session}/channels/{channel}" 200 Ok => |channel| Action::DeleteChannel { channel };
    /// Follows a channel.
    follow post "/api/{session}/channels/{channel}/follow" 201 Created => |channel| Action::Follow { channel, on: true };
    /// Follows a channel no more.
    unfollow post "/api/{session}/channels/{channel}/unfollow" 201 Created => |channel| Action::Follow { channel, on: false };
    /// Keeps quiet about a channel.
    mute post "/api/{session}/channels/{channel}/mute" 201 Created => |channel| Action::Mute { channel, on: true };
    /// Keeps quiet about it no more.
    unmute post "/api/{session}/channels/{channel}/unmute" 201 Created => |channel| Action::Mute { channel, on: false };
}

/// Looks for channels by a text.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING or the network refuses.
#[utoipa::path(post, path = "/api/{session}/channels/search/by-text", tag = "channels", request_body = Search,
    params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Channels"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn search(named: Named, api: web::Data<Api>, body: web::Json<Search>) -> Result<HttpResponse, ApiError> {
    let Search { text, categories, limit, start_cursor } = body.into_inner();
    if text.trim().is_empty() || text.len() > TEXT || start_cursor.len() > PLACE {
        return Err(ApiError::invalid(format!("text must have 1 to {TEXT} bytes, startCursor at most {PLACE}")));
    }
    if limit == 0 || limit > MOST || categories.len() > CATEGORIES || categories.iter().any(|one| one.len() > TEXT) {
        return Err(ApiError::invalid(format!("limit must be 1 to {MOST}, categories at most {CATEGORIES}")));
    }
    let after = Some(start_cursor.clone()).filter(|place| !place.is_empty());
    let has_before = after.is_some();
    let found = ask_named(&api, &named, asking::search_channels(text, categories, limit, after)).await?;
    let page = json!({
        "startCursor": start_cursor, "endCursor": found.end, "hasNextPage": found.more, "hasPreviousPage": has_before,
    });
    Ok(HttpResponse::Ok().json(json!({"page": page, "channels": found.channels.iter().map(shape).collect::<Vec<_>>()})))
}
