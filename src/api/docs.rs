//! The OpenAPI document, generated from the handlers, and what follows from it: the names that no session may have.

use super::{acting, auth, chat_acts, chats, contacts, dead_letters, engines, files, groups, health, keys, labels};
use super::{presence, profile, screenshot, sending, sending_files, server, sessions, supervision, webhooks};
use std::collections::HashSet;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Wardroom", description = "Keeps many people's messaging sessions alive, apart, and under watch. \
         WAHA-compatible."),
    paths(
        sessions::list::list, sessions::create::create, sessions::get::get, sessions::update::update,
        sessions::delete::delete, sessions::start::start, sessions::stop::stop, sessions::restart::restart,
        sessions::reconnect::reconnect, sessions::logout::logout, sessions::me::me, sessions::status::status,
        auth::qr, auth::request_code, screenshot::get,
        sending::send_text, sending::send_location, sending::send_contacts, sending::send_poll,
        sending::forward, sending::new_message_id, sending_files::send_image, sending_files::send_document,
        sending_files::send_voice, sending_files::send_video, files::get,
        acting::send_seen, acting::start_typing, acting::stop_typing, acting::react, acting::star, acting::vote,
        acting::edit, acting::revoke, acting::pin, acting::unpin,
        chats::list, chats::overview, chats::overview_by_body, chats::messages, chats::message,
        chat_acts::read, chat_acts::picture, chat_acts::archive, chat_acts::unarchive, chat_acts::unread,
        chat_acts::delete, chat_acts::clear, engines::list,
        contacts::all, contacts::get, contacts::exists, contacts::about, contacts::picture, contacts::block,
        contacts::unblock, contacts::in_session, contacts::save, contacts::lids, contacts::count_lids, contacts::by_lid, contacts::by_number,
        presence::set, presence::list, presence::get, presence::subscribe,
        profile::get, profile::name, profile::about, profile::reject,
        groups::list, groups::count, groups::create, groups::invited, groups::join, groups::refresh, groups::get, groups::picture,
        groups::delete, groups::members, groups::members_v2, groups::add, groups::remove, groups::promote,
        groups::demote, groups::leave, groups::subject, groups::description, groups::restricted, groups::restrict,
        groups::announces, groups::announce, groups::invite_code, groups::revoke_invite,
        labels::list, labels::create, labels::update, labels::delete, labels::chats, labels::of_chat, labels::set,
        server::ping, server::version, server::status,
        keys::list, keys::create, keys::update, keys::delete, keys::rotate, keys::media, keys::control,
        supervision::tree, health::detailed, dead_letters::list, dead_letters::replay,
        crate::live::stream::open, webhooks::list, webhooks::get, webhooks::replay, webhooks::replay_many,
    ),
    modifiers(&Key),
    security(("api_key" = [])),
)]
struct Document;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        components
            .add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key"))));
    }
}

/// The document as JSON text.
#[must_use]
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Every literal that stands beside or above `{session}` in a path.
#[must_use]
pub fn reserved_names() -> HashSet<String> {
    let document = Document::openapi();
    let paths: Vec<Vec<&str>> =
        document.paths.paths.keys().map(|path| path.trim_matches('/').split('/').collect()).collect();
    let is_name = |part: &&str| !part.starts_with('{');
    let mut reserved = HashSet::new();
    for path in &paths {
        let Some(place) = path.iter().position(|part| *part == "{session}") else { continue };
        reserved.extend(path.iter().take(place).filter(|part| is_name(part)).map(|part| (*part).to_owned()));
        let beside = paths.iter().filter(|other| other.get(..place) == path.get(..place));
        reserved.extend(
            beside.filter_map(|other| other.get(place)).filter(|part| is_name(part)).map(|part| (*part).to_owned()),
        );
    }
    reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_beside_and_above_a_session_are_reserved() {
        let reserved = reserved_names();
        for name in ["api", "sessions", "screenshot", "sendText", "server"] {
            assert!(reserved.contains(name), "{name}");
        }
        assert!(!reserved.contains("start"), "below a session there is nothing to confuse");
        assert!(!reserved.contains("default"));
    }
}
