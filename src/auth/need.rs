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

    /// Routes that are for admins on purpose.
    const ADMINS: &[&str] = &[
        "/api/keys",
        "/api/keys/{id}",
        "/api/keys/{id}/rotate",
        "/api/keys/media",
        "/api/keys/control",
        "/api/supervision/pulse",
        "/api/audit",
        "/api/users",
        "/api/users/{id}",
        "/api/users/{id}/invitation",
        "/api/users/{id}/second-factor",
        "/api/users/{id}/quota",
    ];

    #[test]
    fn every_route_says_what_it_needs() {
        let document: serde_json::Value = serde_json::from_str(&crate::api::docs::document()).unwrap();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for verb in verbs.as_object().unwrap().keys() {
                let method = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
                let admin = Need::of(&method, path) == Need::Admin;
                assert_eq!(admin, ADMINS.contains(&path.as_str()), "{verb} {path}");
            }
        }
    }

    #[test]
    fn reading_is_no_writing() {
        for (method, path, need) in [
            (Method::GET, "/api/contacts/all", Action::Read),
            (Method::GET, "/api/messages", Action::Read),
            (Method::GET, "/api/checkNumberStatus", Action::Read),
            (Method::POST, "/api/reply", Action::Send),
            (Method::POST, "/api/sendLinkPreview", Action::Send),
            (Method::POST, "/api/sessions/stop", Action::Control),
            (Method::POST, "/api/sessions/logout", Action::Delete),
            (Method::POST, "/api/contacts/block", Action::Send),
            (Method::PUT, "/api/{session}/contacts/{chat}", Action::Send),
            (Method::GET, "/api/{session}/chats/{chat}/messages", Action::Read),
            (Method::DELETE, "/api/{session}/chats/{chat}/messages", Action::Send),
            (Method::POST, "/api/{session}/chats/{chat}/messages/read", Action::Send),
            (Method::POST, "/api/{session}/chats/overview", Action::Read),
            (Method::GET, "/api/{session}/groups/{group}", Action::Read),
            (Method::DELETE, "/api/{session}/groups/{group}", Action::Send),
            (Method::GET, "/api/{session}/groups/{group}/invite-code", Action::Read),
            (Method::PUT, "/api/{session}/labels/chats/{chat}", Action::Send),
            (Method::POST, "/api/{session}/presence", Action::Send),
            (Method::POST, "/api/{session}/presence/{chat}/subscribe", Action::Read),
            (Method::PUT, "/api/{session}/profile/name", Action::Send),
            (Method::POST, "/api/{session}/calls/reject", Action::Send),
        ] {
            assert_eq!(Need::of(&method, path), Need::May(need), "{method} {path}");
        }
    }
}
