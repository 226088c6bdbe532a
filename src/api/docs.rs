//! The OpenAPI document, generated from the handlers, and what follows from it: the names that no session may have.

use super::{
    acting, audit, auth, calendar, channels, chat_acts, chats, contacts, converting, dead_letters, deprecated, engines,
    files, groups, health, keys, labels,
};
use super::{
    pictures, presence, profile, quotas, screenshot, sending, sending_files, server, sessions, sign_ins, statuses,
    supervision, users, waha, webhooks,
};
use crate::auth::needs;
use actix_web::http::Method;
use serde_json::Value;
use std::collections::HashSet;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, RefOr, ResponseBuilder};
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
        pictures::set_own, pictures::remove_own, pictures::set_of_group, pictures::remove_of_group,
        calendar::send_event, channels::list, channels::create, channels::get, channels::delete, channels::follow, channels::unfollow,
        channels::mute, channels::unmute, channels::search,
        converting::voice, converting::video,
        statuses::text, statuses::image, statuses::video, statuses::delete, statuses::new_message_id,
        labels::list, labels::create, labels::update, labels::delete, labels::chats, labels::of_chat, labels::set,
        deprecated::start, deprecated::stop, deprecated::logout, deprecated::reply, deprecated::send_link_preview,
        deprecated::messages, deprecated::check_number,
        server::ping, server::version, server::status, server::apps,
        keys::list, keys::create, keys::update, keys::delete, keys::rotate, keys::media, keys::control,
        supervision::tree, supervision::pulse, health::detailed, health::health, dead_letters::list, dead_letters::replay,
        crate::live::stream::open, webhooks::list, webhooks::get, webhooks::replay, webhooks::replay_many, webhooks::test,
        sign_ins::sign_in, sign_ins::refresh, sign_ins::sign_out, sign_ins::me, sign_ins::ticket, sign_ins::accept,
        sign_ins::password, sign_ins::list, sign_ins::end_all, sign_ins::end_one, sign_ins::offer, sign_ins::begin,
        sign_ins::remove, audit::list, quotas::get, quotas::set, users::list, users::invite, users::update, users::remove, users::invite_again, users::withdraw, users::take_second_factor,
    ),
    modifiers(&Key, &Names, &Samples, &Refusals),
    security(("api_key" = []), ("bearer" = [])),
)]
struct Document;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        components
            .add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key"))));
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Names that stand for one operation each, as generators of clients want them: `chats_list` and `labels_list`.
struct Names;

impl Modify for Names {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            let tag = operation.tags.iter().flatten().next();
            if let (Some(tag), Some(id)) = (tag, &operation.operation_id) {
                operation.operation_id = Some(format!("{tag}_{id}"));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten()
}

/// Answers, as the tables of paths have them; a test compares them with what the server says.
struct Samples;

impl Modify for Samples {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for row in waha::table().iter().chain(waha::own()) {
            let sample = row.like.as_deref().and_then(|like| serde_json::from_str::<Value>(like).ok());
            let (Some(sample), Some((verb, path))) = (sample, row.call.split_once(' ')) else { continue };
            let Some(item) = document.paths.paths.get_mut(path) else { continue };
            let operation = match verb {
                "GET" => &mut item.get,
                "POST" => &mut item.post,
                "PUT" => &mut item.put,
                _ => &mut item.delete,
            };
            let answers = operation.iter_mut().flat_map(|operation| &mut operation.responses.responses);
            let good = answers.filter(|(status, _)| status.starts_with('2')).map(|(_, answer)| answer);
            for answer in good {
                if let RefOr::T(answer) = answer {
                    let schema = schema_of(if row.maybe { &Value::Null } else { &sample });
                    let content = ContentBuilder::new().schema(Some(schema)).example(Some(sample.clone())).build();
                    answer.content.insert("application/json".to_owned(), RefOr::T(content));
                }
            }
        }
    }
}

/// What can be said of most calls, where the handler says nothing else of it.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let verbs = [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in verbs {
                let Some(operation) = operation else { continue };
                let asked = operation.parameters.iter().flatten().count() > 0;
                let session = path.contains("{session}")
                    || operation
                        .parameters
                        .iter()
                        .flatten()
                        .any(|one| matches!(one, RefOr::T(one) if one.name == "session"));
                let body = operation.request_body.is_some();
                let (credential, rights) = needs(&method, path);
                let said = [
                    (asked || body, "400", "Bad input"),
                    (credential, "401", "No credential, or none that is good"),
                    (rights, "403", "It is good, but not for this"),
                    (session || body, "404", "There is no such session, or what is named in it"),
                    (body, "408", "The body came too slowly"),
                    (body, "413", "The body is too large"),
                    (body, "415", "The body is no JSON"),
                    (session || body, "422", "It cannot be done: in this status, with this, or for a quota"),
                    (true, "429", "Too often; Retry-After tells when again"),
                    (credential, "503", "Not now; Retry-After tells when again"),
                ];
                for (_, status, what) in said.into_iter().filter(|(can_be, ..)| *can_be) {
                    let refusal = || RefOr::T(ResponseBuilder::new().description(what).build());
                    operation.responses.responses.entry(status.to_owned()).or_insert_with(refusal);
                }
            }
        }
    }
}

/// Fields that are null where nothing is known; samples show them filled.
const MAYBE: &[&str] =
    &["invite", "lastMessage", "lid", "me", "pn", "profilePictureURL", "pushName", "pushname", "to", "url"];

/// What a sample promises: at least these fields, of these types; a null stands for any type.
fn schema_of(sample: &Value) -> Schema {
    let plain = |kind: SchemaType| Object::with_type(kind).into();
    match sample {
        Value::Null => plain(SchemaType::AnyValue),
        Value::Bool(_) => plain(Type::Boolean.into()),
        Value::Number(number) if number.is_f64() => plain(Type::Number.into()),
        Value::Number(_) => plain(Type::Integer.into()),
        Value::String(_) => plain(Type::String.into()),
        Value::Array(items) => {
            let of = schema_of(items.first().unwrap_or(&Value::Null));
            ArrayBuilder::new().items(RefOr::T(of)).into()
        }
        Value::Object(fields) => {
            let all = ObjectBuilder::new().schema_type(Type::Object);
            let add = |all: ObjectBuilder, (name, field): (&String, &Value)| {
                let field = if MAYBE.contains(&name.as_str()) { &Value::Null } else { field };
                all.property(name, schema_of(field)).required(name)
            };
            fields.iter().fold(all, add).into()
        }
    }
}

/// The document as JSON text.
#[must_use]
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Whether there is such a route, like `POST /api/sendText`.
#[must_use]
pub fn is_route(route: &str) -> bool {
    let document = Document::openapi();
    let paths = serde_json::to_value(&document.paths).unwrap_or_default();
    let Some((method, path)) = route.split_once(' ') else { return false };
    method == method.to_ascii_uppercase()
        && paths.get(path).is_some_and(|path| path.get(method.to_ascii_lowercase()).is_some())
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

    /// Whether a schema, a parameter or a body shows what it could look like.
    fn shows(document: &Value, one: &Value) -> bool {
        let parts = |key: &str| one[key].as_array().into_iter().flatten().collect::<Vec<_>>();
        let inner = ["allOf", "oneOf", "anyOf"].into_iter().flat_map(parts);
        let fields = one["properties"].as_object().into_iter().flat_map(|fields| fields.values());
        let mut deeper = inner.chain(fields).chain([&one["schema"], &one["items"]]).filter(|one| one.is_object());
        let named = one["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
        !one["example"].is_null()
            || named.is_some_and(|one| shows(document, one))
            || deeper.any(|one| shows(document, one))
    }

    #[test]
    fn every_operation_shows_what_it_is_asked() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(shows(&document, parameter), "{verb} {path}: {} has no example", parameter["name"]);
                }
                let body = &operation["requestBody"]["content"]["application/json"];
                assert!(body.is_null() || shows(&document, body), "{verb} {path}: the body has no example");
            }
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let verbs = document["paths"].as_object().unwrap().values().flat_map(|verbs| verbs.as_object().unwrap());
        let mut names = HashSet::new();
        for (_, operation) in verbs {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{name}");
        }
    }

    #[test]
    fn every_path_is_compared_with_waha_s_or_is_our_own() {
        let calls = |rows: &[waha::Row]| -> HashSet<String> {
            rows.iter().map(|row| row.call.trim_end_matches('/').to_owned()).collect()
        };
        let (theirs, own) = (calls(waha::table()), calls(waha::own()));
        let document: Value = serde_json::from_str(&document()).unwrap();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for verb in verbs.as_object().unwrap().keys() {
                let call = format!("{} {path}", verb.to_uppercase());
                assert!(theirs.contains(&call) != own.contains(&call), "{call}");
            }
        }
    }

    #[test]
    fn literals_beside_and_above_a_session_are_reserved() {
        let reserved = reserved_names();
        for name in ["api", "sessions", "screenshot", "sendText", "server", "start"] {
            assert!(reserved.contains(name), "{name}");
        }
        assert!(!reserved.contains("restart"), "below a session there is nothing to confuse");
        assert!(!reserved.contains("default"));
    }
}
