//! The REST API. Path = URL = verb: `api/sessions/restart.rs` serves `POST /api/sessions/{session}/restart`.
//!
//! WAHA's paths, names, payloads and statuses are kept; `openapi.json` beside this file is generated from the handlers. A
//! handler gets its caller from the guard and its session from [`Named`]; what belongs to another tenant is not found.

pub mod acting;
pub mod asking;
pub mod audit;
pub mod auth;
pub mod calendar;
pub mod channels;
pub mod chat_acts;
pub mod chats;
pub mod contacts;
pub mod converting;
pub mod dead_letters;
pub mod deprecated;
pub mod docs;
pub mod engines;
pub mod explorer;
pub mod files;
pub mod groups;
pub mod health;
pub mod keys;
pub mod labels;
pub mod pictures;
pub mod presence;
pub mod profile;
pub mod quotas;
pub mod screenshot;
pub mod sending;
pub mod sending_files;
pub mod server;
pub mod sessions;
pub mod shape;
pub mod sign_ins;
pub mod statuses;
pub mod supervision;
pub mod users;
pub mod waha;
pub mod webhooks;

use crate::auth::{Caller, guard};
use crate::error::ApiError;
use crate::fetch::Fetcher;
use crate::quotas::QuotaBook;
use crate::store::Store;
use crate::store::repo::identity::Holder;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, HttpRequest, HttpResponse, Resource, Route, web};
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::ids::{SessionName, TenantId};
use wardroom_actors::domain::session::Status;
use wardroom_actors::handle::{Handle, Refusal, Seen};
use wardroom_actors::ports::files::FileStore;

/// What all handlers share.
pub struct Api {
    /// The kernel.
    pub handle: Handle,
    /// Reading what is stored.
    pub store: Store,
    /// How long a request waits for a status.
    pub status_wait: Duration,
    /// Longest text of a message in bytes.
    pub text_bytes: usize,
    /// Names that no session may have, because paths have them.
    pub reserved: std::collections::HashSet<String>,
    /// How the node is.
    pub health: Arc<crate::health::Health>,
    /// Files that messages carry.
    pub files: Arc<dyn FileStore>,
    /// Webhooks, to try one.
    pub webhooks: crate::webhook::Dispatcher,
    /// What everybody may have.
    pub quotas: Arc<QuotaBook>,
    /// Files that users name by URL.
    pub fetcher: Fetcher,
    /// Makes voice messages and films.
    pub converter: crate::ffmpeg::Converter,
    /// Longest file in bytes.
    pub file_bytes: u64,
    /// Bodies with files that may be in memory at once.
    pub uploads: Semaphore,
    /// Unix milliseconds of the start.
    pub started_at_ms: i64,
}

impl Api {
    /// A session that the caller's key reaches, by the text that a client sent.
    ///
    /// # Errors
    /// 404.
    pub fn session(&self, holder: Holder, name: &str) -> Result<(SessionName, Seen), ApiError> {
        let name = SessionName::parse(name).map_err(|_| ApiError::no_session())?;
        let seen = self.handle.session(holder.tenant, &name)?;
        if holder.reaches(seen.spec.user, seen.spec.id) { Ok((name, seen)) } else { Err(ApiError::no_session()) }
    }

    /// Waits for a status as WAHA does, then says what is wrong.
    ///
    /// # Errors
    /// 422 with the status that the session has instead.
    pub async fn expect(&self, tenant: TenantId, name: &SessionName, status: Status) -> Result<(), ApiError> {
        match self.handle.wait_for(tenant, name, status, self.status_wait).await {
            Ok(_) => Ok(()),
            Err(Refusal::WrongStatus(is)) => Err(ApiError::status(name.as_str(), is, &[status])),
            Err(other) => Err(other.into()),
        }
    }
}

/// The session of the path, proven to belong to the caller.
pub struct Named {
    /// Who asks.
    pub holder: Holder,
    /// The session's name.
    pub name: SessionName,
    /// What it looks like.
    pub seen: Seen,
}

impl FromRequest for Named {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(request, payload).into_inner();
        ready(caller.and_then(|caller| named(request, caller.0)))
    }
}

/// The session of the path for a caller that is known.
///
/// # Errors
/// 404.
pub fn named(request: &HttpRequest, holder: Holder) -> Result<Named, ApiError> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(ApiError::no_session)?;
    let text = request.match_info().get("session").unwrap_or_default();
    let (name, seen) = api.session(holder, text)?;
    Ok(Named { holder, name, seen })
}

/// WAHA's session where a body names none.
fn default_session() -> String {
    "default".to_owned()
}

fn chat_id(text: &str) -> Result<ChatId, ApiError> {
    ChatId::parse(text).map_err(|bad| ApiError::invalid(bad.to_string()))
}

/// A path and its verbs, each behind the guard; any other verb is 405 with `Allow`.
fn resource<const N: usize>(path: &str, verbs: [(&'static str, Route); N]) -> Resource {
    let allow = verbs.iter().map(|(verb, _)| *verb).collect::<Vec<_>>().join(", ");
    let mut resource = web::resource(path);
    for (_, route) in verbs {
        resource = resource.route(route.wrap(from_fn(guard)));
    }
    resource.default_service(web::to(move |request: HttpRequest| {
        let allow = allow.clone();
        async move {
            if let Some(answer) = waha::absent(&request) {
                return answer;
            }
            let mut response = actix_web::ResponseError::error_response(&ApiError::new(
                "method_not_allowed",
                format!("This path takes {allow}"),
            ));
            if let Ok(value) = header::HeaderValue::from_str(&allow) {
                response.headers_mut().insert(header::ALLOW, value);
            }
            response
        }
    }))
}

/// All routes, the literal ones first.
pub fn routes(config: &mut web::ServiceConfig) {
    use web::{delete, get, post, put};
    config
        .configure(deprecated)
        .service(resource("/api/sessions", [("GET", get().to(sessions::list)), ("POST", post().to(sessions::create))]))
        .service(resource("/api/screenshot", [("GET", get().to(screenshot::get))]))
        .service(resource("/api/sendText", [("POST", post().to(sending::send_text))]))
        .service(resource("/api/sendLocation", [("POST", post().to(sending::send_location))]))
        .service(resource("/api/sendContactVcard", [("POST", post().to(sending::send_contacts))]))
        .service(resource("/api/sendPoll", [("POST", post().to(sending::send_poll))]))
        .service(resource("/api/forwardMessage", [("POST", post().to(sending::forward))]))
        .service(resource("/api/sendImage", [("POST", post().to(sending_files::send_image))]))
        .service(resource("/api/sendFile", [("POST", post().to(sending_files::send_document))]))
        .service(resource("/api/sendVoice", [("POST", post().to(sending_files::send_voice))]))
        .service(resource("/api/sendVideo", [("POST", post().to(sending_files::send_video))]))
        .service(resource("/api/files/{file}", [("GET", get().to(files::get))]))
        .service(resource("/api/sendPollVote", [("POST", post().to(acting::vote))]))
        .service(resource("/api/sendSeen", [("POST", post().to(acting::send_seen))]))
        .service(resource("/api/startTyping", [("POST", post().to(acting::start_typing))]))
        .service(resource("/api/stopTyping", [("POST", post().to(acting::stop_typing))]))
        .service(resource("/api/reaction", [("PUT", put().to(acting::react))]))
        .service(resource("/api/star", [("PUT", put().to(acting::star))]))
        .service(resource("/api/events", [("GET", get().to(crate::live::stream::open))]))
        .configure(of_people)
        .service(resource("/api/keys", [("GET", get().to(keys::list)), ("POST", post().to(keys::create))]))
        .service(resource("/api/keys/media", [("POST", post().to(keys::media))]))
        .service(resource("/api/keys/control", [("POST", post().to(keys::control))]))
        .service(resource("/api/keys/{id}", [("PUT", put().to(keys::update)), ("DELETE", delete().to(keys::delete))]))
        .service(resource("/api/keys/{id}/rotate", [("POST", post().to(keys::rotate))]))
        .service(resource("/api/server/version", [("GET", get().to(server::version))]))
        .service(resource("/api/server/status", [("GET", get().to(server::status))]))
        .service(resource("/api/supervision", [("GET", get().to(supervision::tree))]))
        .service(resource("/api/supervision/pulse", [("GET", get().to(supervision::pulse))]))
        .service(resource("/health", [("GET", get().to(health::health))]))
        .service(resource("/api/health/detailed", [("GET", get().to(health::detailed))]))
        .service(resource("/api/dead-letters", [("GET", get().to(dead_letters::list))]))
        .service(resource("/api/dead-letters/{id}/replay", [("POST", post().to(dead_letters::replay))]))
        .service(resource("/api/webhooks/test", [("POST", post().to(webhooks::test))]))
        .service(resource("/api/webhooks/dead-letters", [("GET", get().to(webhooks::list))]))
        .service(resource("/api/webhooks/dead-letters/replay", [("POST", post().to(webhooks::replay_many))]))
        .service(resource("/api/webhooks/dead-letters/{id}", [("GET", get().to(webhooks::get))]))
        .service(resource("/api/webhooks/dead-letters/{id}/replay", [("POST", post().to(webhooks::replay))]))
        .service(resource("/api/version", [("GET", get().to(server::version))]))
        .service(resource("/api/apps", [("GET", get().to(server::apps))]))
        .service(resource("/ping", [("GET", get().to(server::ping))]))
        .service(resource(
            "/api/sessions/{session}",
            [
                ("GET", get().to(sessions::get)),
                ("PUT", put().to(sessions::update)),
                ("DELETE", delete().to(sessions::delete)),
            ],
        ))
        .service(resource("/api/sessions/{session}/start", [("POST", post().to(sessions::start))]))
        .service(resource("/api/sessions/{session}/stop", [("POST", post().to(sessions::stop))]))
        .service(resource("/api/sessions/{session}/restart", [("POST", post().to(sessions::restart))]))
        .service(resource("/api/sessions/{session}/reconnect", [("POST", post().to(sessions::reconnect))]))
        .service(resource("/api/sessions/{session}/logout", [("POST", post().to(sessions::logout))]))
        .service(resource("/api/sessions/{session}/me", [("GET", get().to(sessions::me))]))
        .service(resource("/api/sessions/{session}/status", [("GET", get().to(sessions::status))]))
        .service(resource("/api/{session}/auth/qr", [("GET", get().to(auth::qr))]))
        .service(resource("/api/{session}/auth/request-code", [("POST", post().to(auth::request_code))]))
        .service(resource("/api/{session}/chats", [("GET", get().to(chats::list))]))
        .service(resource(
            "/api/{session}/chats/overview",
            [("GET", get().to(chats::overview)), ("POST", post().to(chats::overview_by_body))],
        ))
        .service(resource("/api/{session}/chats/{chat}", [("DELETE", delete().to(chat_acts::delete))]))
        .service(resource("/api/{session}/chats/{chat}/picture", [("GET", get().to(chat_acts::picture))]))
        .service(resource("/api/{session}/chats/{chat}/archive", [("POST", post().to(chat_acts::archive))]))
        .service(resource("/api/{session}/chats/{chat}/unarchive", [("POST", post().to(chat_acts::unarchive))]))
        .service(resource("/api/{session}/chats/{chat}/unread", [("POST", post().to(chat_acts::unread))]))
        .service(resource("/api/{session}/chats/{chat}/messages/read", [("POST", post().to(chat_acts::read))]))
        .service(resource("/api/{session}/new-message-id", [("GET", get().to(sending::new_message_id))]))
        .service(resource(
            "/api/{session}/chats/{chat}/messages",
            [("GET", get().to(chats::messages)), ("DELETE", delete().to(chat_acts::clear))],
        ))
        .service(resource(
            "/api/{session}/chats/{chat}/messages/{message}",
            [
                ("GET", get().to(chats::message)),
                ("PUT", put().to(acting::edit)),
                ("DELETE", delete().to(acting::revoke)),
            ],
        ))
        .service(resource("/api/{session}/chats/{chat}/messages/{message}/pin", [("POST", post().to(acting::pin))]))
        .service(resource("/api/{session}/chats/{chat}/messages/{message}/unpin", [("POST", post().to(acting::unpin))]))
        .configure(people);
}

/// Routes of people who sign in, and of those who invite them.
fn of_people(config: &mut web::ServiceConfig) {
    use web::{delete, get, post, put};
    config
        .service(resource("/api/auth/token", [("POST", post().to(sign_ins::sign_in))]))
        .service(resource("/api/auth/refresh", [("POST", post().to(sign_ins::refresh))]))
        .service(resource("/api/auth/logout", [("POST", post().to(sign_ins::sign_out))]))
        .service(resource("/api/auth/me", [("GET", get().to(sign_ins::me))]))
        .service(resource("/api/auth/ticket", [("POST", post().to(sign_ins::ticket))]))
        .service(resource("/api/auth/invitation", [("POST", post().to(sign_ins::accept))]))
        .service(resource("/api/auth/password", [("POST", post().to(sign_ins::password))]))
        .service(resource(
            "/api/auth/sign-ins",
            [("GET", get().to(sign_ins::list)), ("DELETE", delete().to(sign_ins::end_all))],
        ))
        .service(resource("/api/auth/sign-ins/{id}", [("DELETE", delete().to(sign_ins::end_one))]))
        .service(resource("/api/auth/second-factor", [("GET", get().to(sign_ins::offer))]))
        .service(resource("/api/auth/second-factor/begin", [("POST", post().to(sign_ins::begin))]))
        .service(resource("/api/auth/second-factor/remove", [("POST", post().to(sign_ins::remove))]))
        .service(resource("/api/audit", [("GET", get().to(audit::list))]))
        .service(resource("/api/quotas", [("GET", get().to(quotas::get))]))
        .service(resource("/api/users/{id}/quota", [("PUT", put().to(quotas::set))]))
        .service(resource("/api/users", [("GET", get().to(users::list)), ("POST", post().to(users::invite))]))
        .service(resource(
            "/api/users/{id}",
            [("PUT", put().to(users::update)), ("DELETE", delete().to(users::remove))],
        ))
        .service(resource(
            "/api/users/{id}/invitation",
            [("POST", post().to(users::invite_again)), ("DELETE", delete().to(users::withdraw))],
        ))
        .service(resource("/api/users/{id}/second-factor", [("DELETE", delete().to(users::take_second_factor))]));
}

/// Routes of WAHA's early days.
fn deprecated(config: &mut web::ServiceConfig) {
    use web::{get, post};
    config
        .service(resource("/api/sessions/start", [("POST", post().to(deprecated::start))]))
        .service(resource("/api/sessions/stop", [("POST", post().to(deprecated::stop))]))
        .service(resource("/api/sessions/logout", [("POST", post().to(deprecated::logout))]))
        .service(resource("/api/reply", [("POST", post().to(deprecated::reply))]))
        .service(resource("/api/sendLinkPreview", [("POST", post().to(deprecated::send_link_preview))]))
        .service(resource("/api/messages", [("GET", get().to(deprecated::messages))]))
        .service(resource("/api/checkNumberStatus", [("GET", get().to(deprecated::check_number))]));
}

/// Routes about people, groups and labels.
fn people(config: &mut web::ServiceConfig) {
    use web::{delete, get, post, put};
    const GROUP: &str = "/api/{session}/groups/{group}";
    const CHANNEL: &str = "/api/{session}/channels/{channel}";
    let of_group = |rest: &str| format!("{GROUP}{rest}");
    let of_channel = |rest: &str| format!("{CHANNEL}{rest}");
    config
        .service(resource("/api/engines", [("GET", get().to(engines::list))]))
        .service(resource("/api/contacts", [("GET", get().to(contacts::get))]))
        .service(resource("/api/contacts/all", [("GET", get().to(contacts::all))]))
        .service(resource("/api/contacts/check-exists", [("GET", get().to(contacts::exists))]))
        .service(resource("/api/contacts/about", [("GET", get().to(contacts::about))]))
        .service(resource("/api/contacts/profile-picture", [("GET", get().to(contacts::picture))]))
        .service(resource("/api/contacts/block", [("POST", post().to(contacts::block))]))
        .service(resource("/api/contacts/unblock", [("POST", post().to(contacts::unblock))]))
        .service(resource(
            "/api/{session}/contacts/{chat}",
            [("GET", get().to(contacts::in_session)), ("PUT", put().to(contacts::save))],
        ))
        .service(resource("/api/{session}/lids", [("GET", get().to(contacts::lids))]))
        .service(resource("/api/{session}/lids/count", [("GET", get().to(contacts::count_lids))]))
        .service(resource("/api/{session}/lids/{lid}", [("GET", get().to(contacts::by_lid))]))
        .service(resource("/api/{session}/lids/pn/{phone}", [("GET", get().to(contacts::by_number))]))
        .service(resource(
            "/api/{session}/presence",
            [("GET", get().to(presence::list)), ("POST", post().to(presence::set))],
        ))
        .service(resource("/api/{session}/presence/{chat}", [("GET", get().to(presence::get))]))
        .service(resource("/api/{session}/presence/{chat}/subscribe", [("POST", post().to(presence::subscribe))]))
        .service(resource("/api/{session}/profile", [("GET", get().to(profile::get))]))
        .service(resource("/api/{session}/profile/name", [("PUT", put().to(profile::name))]))
        .service(resource(
            "/api/{session}/profile/picture",
            [("PUT", put().to(pictures::set_own)), ("DELETE", delete().to(pictures::remove_own))],
        ))
        .service(resource("/api/{session}/profile/status", [("PUT", put().to(profile::about))]))
        .service(resource("/api/{session}/calls/reject", [("POST", post().to(profile::reject))]))
        .service(resource(
            "/api/{session}/channels",
            [("GET", get().to(channels::list)), ("POST", post().to(channels::create))],
        ))
        .service(resource("/api/{session}/channels/search/by-text", [("POST", post().to(channels::search))]))
        .service(resource(CHANNEL, [("GET", get().to(channels::get)), ("DELETE", delete().to(channels::delete))]))
        .service(resource(&of_channel("/follow"), [("POST", post().to(channels::follow))]))
        .service(resource(&of_channel("/unfollow"), [("POST", post().to(channels::unfollow))]))
        .service(resource(&of_channel("/mute"), [("POST", post().to(channels::mute))]))
        .service(resource(&of_channel("/unmute"), [("POST", post().to(channels::unmute))]))
        .service(resource("/api/{session}/events", [("POST", post().to(calendar::send_event))]))
        .service(resource("/api/{session}/media/convert/voice", [("POST", post().to(converting::voice))]))
        .service(resource("/api/{session}/media/convert/video", [("POST", post().to(converting::video))]))
        .service(resource("/api/{session}/status/text", [("POST", post().to(statuses::text))]))
        .service(resource("/api/{session}/status/image", [("POST", post().to(statuses::image))]))
        .service(resource("/api/{session}/status/video", [("POST", post().to(statuses::video))]))
        .service(resource("/api/{session}/status/delete", [("POST", post().to(statuses::delete))]))
        .service(resource("/api/{session}/status/new-message-id", [("GET", get().to(statuses::new_message_id))]))
        .service(resource(
            "/api/{session}/groups",
            [("GET", get().to(groups::list)), ("POST", post().to(groups::create))],
        ))
        .service(resource("/api/{session}/groups/count", [("GET", get().to(groups::count))]))
        .service(resource("/api/{session}/groups/join-info", [("GET", get().to(groups::invited))]))
        .service(resource("/api/{session}/groups/join", [("POST", post().to(groups::join))]))
        .service(resource("/api/{session}/groups/refresh", [("POST", post().to(groups::refresh))]))
        .service(resource(GROUP, [("GET", get().to(groups::get)), ("DELETE", delete().to(groups::delete))]))
        .service(resource(
            &of_group("/picture"),
            [
                ("GET", get().to(groups::picture)),
                ("PUT", put().to(pictures::set_of_group)),
                ("DELETE", delete().to(pictures::remove_of_group)),
            ],
        ))
        .service(resource(&of_group("/participants"), [("GET", get().to(groups::members))]))
        .service(resource(&of_group("/participants/v2"), [("GET", get().to(groups::members_v2))]))
        .service(resource(&of_group("/participants/add"), [("POST", post().to(groups::add))]))
        .service(resource(&of_group("/participants/remove"), [("POST", post().to(groups::remove))]))
        .service(resource(&of_group("/admin/promote"), [("POST", post().to(groups::promote))]))
        .service(resource(&of_group("/admin/demote"), [("POST", post().to(groups::demote))]))
        .service(resource(&of_group("/leave"), [("POST", post().to(groups::leave))]))
        .service(resource(&of_group("/subject"), [("PUT", put().to(groups::subject))]))
        .service(resource(&of_group("/description"), [("PUT", put().to(groups::description))]))
        .service(resource(
            &of_group("/settings/security/info-admin-only"),
            [("GET", get().to(groups::restricted)), ("PUT", put().to(groups::restrict))],
        ))
        .service(resource(
            &of_group("/settings/security/messages-admin-only"),
            [("GET", get().to(groups::announces)), ("PUT", put().to(groups::announce))],
        ))
        .service(resource(&of_group("/invite-code"), [("GET", get().to(groups::invite_code))]))
        .service(resource(&of_group("/invite-code/revoke"), [("POST", post().to(groups::revoke_invite))]))
        .service(resource(
            "/api/{session}/labels",
            [("GET", get().to(labels::list)), ("POST", post().to(labels::create))],
        ))
        .service(resource(
            "/api/{session}/labels/{label}",
            [("PUT", put().to(labels::update)), ("DELETE", delete().to(labels::delete))],
        ))
        .service(resource("/api/{session}/labels/{label}/chats", [("GET", get().to(labels::chats))]));
    // WAHA has the second of these with a slash behind it.
    for path in ["/api/{session}/labels/chats/{chat}", "/api/{session}/labels/chats/{chat}/"] {
        config.service(resource(path, [("GET", get().to(labels::of_chat)), ("PUT", put().to(labels::set))]));
    }
}

/// What no route takes.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let bare = || actix_web::ResponseError::error_response(&ApiError::new("not_found", "There is no such path"));
    waha::absent(&request).unwrap_or_else(bare)
}
