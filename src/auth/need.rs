//! What each route needs of the key that calls it.

use crate::store::repo::identity::{Action, Holder};
use actix_web::http::Method;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it says no more than that a server is here.
    Nobody,
    /// A key that is good; what it does not reach is not found.
    Any,
    /// One that may do this.
    May(Action),
    /// One that may read, or is for files.
    Files,
    /// One that is not bound to a session and may change settings.
    Create,
    /// A person's stay, of whatever role; a key is no person.
    Person,
    /// An admin's.
    Admin,
}

/// What is below these is read, or changed by who may send.
const OF_THE_ACCOUNT: &[&str] = &[
    "/api/contacts",
    "/api/{session}/calls",
    "/api/{session}/channels",
    "/api/{session}/chats",
    "/api/{session}/contacts",
    "/api/{session}/groups",
    "/api/{session}/labels",
    "/api/{session}/lids",
    "/api/{session}/presence",
    "/api/{session}/profile",
    "/api/{session}/status",
];

/// Routes that take a key from the query: clients of WAHA need that where they cannot set a header.
pub(super) fn takes_key_from_query(pattern: &str) -> bool {
    matches!(pattern, "/ws" | "/api/files/{file}" | "/api/{session}/auth/qr" | "/api/screenshot")
}

/// What keys do all day, by their patterns: what leaves a session, what is only asked with a body.
pub(super) fn comes_often(pattern: &str) -> bool {
    let is_sent = pattern.strip_prefix("/api/").is_some_and(|word| word.starts_with("send") && !word.contains('/'));
    is_sent
        || matches!(
            pattern,
            "/api/reply"
                | "/api/forwardMessage"
                | "/api/reaction"
                | "/api/star"
                | "/api/startTyping"
                | "/api/stopTyping"
                | "/api/{session}/new-message-id"
                | "/api/{session}/presence"
                | "/api/{session}/presence/{chat}/subscribe"
                | "/api/{session}/chats/overview"
                | "/api/{session}/chats/{chat}/messages/read"
                | "/api/{session}/media/convert/voice"
                | "/api/{session}/media/convert/video"
                | "/api/auth/ticket"
        )
}

/// Whether a call needs a credential at all, and whether one that is good may still be refused.
#[must_use]
pub fn needs(method: &Method, pattern: &str) -> (bool, bool) {
    let need = Need::of(method, pattern);
    (need != Need::Nobody, !matches!(need, Need::Nobody | Need::Any))
}

impl Need {
    /// Of a route by its pattern. One that does not stand here is for admins.
    pub fn of(method: &Method, pattern: &str) -> Self {
        use Action::{Control, Delete, Read, Send, Setting};
        let get = *method == Method::GET || *method == Method::HEAD;
        match pattern {
            "/ping" | "/api/auth/token" | "/api/auth/refresh" | "/api/auth/invitation" => Self::Nobody,
            "/api/auth/logout"
            | "/api/auth/password"
            | "/api/auth/sign-ins"
            | "/api/auth/sign-ins/{id}"
            | "/api/auth/second-factor"
            | "/api/auth/second-factor/begin"
            | "/api/auth/second-factor/remove" => Self::Person,
            "/api/auth/me" => Self::Any,
            "/api/auth/ticket" => Self::May(Read),
            "/api/version"
            | "/api/server/version"
            | "/api/server/status"
            | "/dashboard/sign-out"
            | "/api/engines"
            | "/api/apps"
            | "/api/quotas" => Self::Any,
            "/api/sessions" if get => Self::Any,
            "/api/sessions" | "/api/sessions/start" => Self::Create,
            "/api/sessions/stop" => Self::May(Control),
            "/api/sessions/logout" => Self::May(Delete),
            "/api/sessions/{session}" if get => Self::Any,
            "/api/sessions/{session}" if *method == Method::DELETE => Self::May(Delete),
            "/api/sessions/{session}" => Self::May(Setting),
            "/api/sessions/{session}/me" | "/api/sessions/{session}/status" => Self::Any,
            "/api/sessions/{session}/start"
            | "/api/sessions/{session}/stop"
            | "/api/sessions/{session}/restart"
            | "/api/sessions/{session}/reconnect"
            | "/api/sessions/{session}/logout"
            | "/api/{session}/auth/qr"
            | "/api/{session}/auth/request-code"
            | "/api/screenshot" => Self::May(Control),
            "/api/files/{file}" => Self::Files,
            "/ws" | "/api/events" | "/api/supervision" | "/health" | "/api/health/detailed" => Self::May(Read),
            "/api/dead-letters"
            | "/api/webhooks/dead-letters"
            | "/api/webhooks/dead-letters/{id}"
            | "/api/messages"
            | "/api/checkNumberStatus"
            | "/api/{session}/chats/overview" => Self::May(Read),
            "/api/dead-letters/{id}/replay"
            | "/api/webhooks/dead-letters/replay"
            | "/api/webhooks/test"
            | "/api/webhooks/dead-letters/{id}/replay" => Self::May(Setting),
            // A subscription is asked for by reading as well.
            "/api/{session}/presence/{chat}/subscribe" => Self::May(Read),
            _ if OF_THE_ACCOUNT.iter().any(|family| pattern.starts_with(family)) => {
                Self::May(if get { Read } else { Send })
            }
            "/api/{session}/new-message-id"
            | "/api/{session}/events"
            | "/api/{session}/media/convert/voice"
            | "/api/{session}/media/convert/video"
            | "/api/sendText"
            | "/api/reply"
            | "/api/sendLinkPreview"
            | "/api/sendImage"
            | "/api/sendFile"
            | "/api/sendVoice"
            | "/api/sendVideo"
            | "/api/sendLocation"
            | "/api/sendContactVcard"
            | "/api/sendPoll"
            | "/api/sendPollVote"
            | "/api/forwardMessage"
            | "/api/sendSeen"
            | "/api/startTyping"
            | "/api/stopTyping"
            | "/api/reaction"
            | "/api/star" => Self::May(Send),
            _ => Self::Admin,
        }
    }

    /// Whether a key has it.
    pub fn is_met_by(self, holder: &Holder) -> bool {
        match self {
            Self::Nobody | Self::Any => true,
            Self::May(action) => holder.may(action),
            Self::Files => holder.files || holder.may(Action::Read),
            Self::Create => holder.is_admin || (holder.session.is_none() && holder.may(Action::Setting)),
            Self::Person => holder.role.is_some(),
            Self::Admin => holder.is_admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    impl Need {
        fn name(self) -> &'static str {
            match self {
                Self::Nobody => "nobody",
                Self::Any => "any",
                Self::May(Action::Read) => "read",
                Self::May(Action::Send) => "send",
                Self::May(Action::Control) => "control",
                Self::May(Action::Setting) => "setting",
                Self::May(Action::App) => "app",
                Self::May(Action::Delete) => "delete",
                Self::Files => "files",
                Self::Create => "create",
                Self::Person => "person",
                Self::Admin => "admin",
            }
        }
    }

    #[test]
    fn every_route_needs_what_the_list_says() {
        let (mut listed, mut need) = (BTreeMap::new(), "");
        for line in include_str!("needs.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix('[') {
                Some(name) => need = name.trim_end_matches(']'),
                None => assert_eq!(listed.insert(line.to_owned(), need), None, "{line} stands there twice"),
            }
        }
        let document: serde_json::Value = serde_json::from_str(&crate::api::docs::document()).unwrap();
        let mut routes = vec![("get", "/ws"), ("post", "/dashboard/sign-out")];
        for (path, verbs) in document["paths"].as_object().unwrap() {
            routes.extend(verbs.as_object().unwrap().keys().map(|verb| (verb.as_str(), path.as_str())));
        }
        for (verb, path) in routes {
            let route = format!("{} {path}", verb.to_uppercase());
            let method = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
            assert_eq!(listed.remove(&route), Some(Need::of(&method, path).name()), "{route}");
        }
        assert!(listed.is_empty(), "no routes: {listed:?}");
        assert_eq!(Need::of(&Method::GET, "/api/new"), Need::Admin, "what does not stand here is for admins");
    }
}
