//! What a page says, read as data of the kernel.

use serde::{Deserialize, Serialize};
use wardroom_actors::domain::change::{Change, What};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::message::{Ack, AckChange, Message, Parts};
use wardroom_actors::domain::notice::Notice;

/// Where a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Boot,
    Login,
    LoginIdle,
    Syncing,
    Ready,
    Offline,
    LoggedOut,
    Conflict,
    Banned,
    Outdated,
    Blocked,
}

impl Stage {
    /// The exit that the stage means, if it means one.
    pub fn exit(self) -> Option<ExitReason> {
        Some(match self {
            Self::Boot | Self::Login | Self::Syncing | Self::Ready | Self::Offline => return None,
            Self::LoginIdle => ExitReason::LoginExpired,
            Self::LoggedOut => ExitReason::Unpaired,
            Self::Conflict => ExitReason::Conflict,
            Self::Banned => ExitReason::Banned,
            Self::Outdated => ExitReason::Outdated,
            Self::Blocked => ExitReason::Disconnected { detail: "the network refuses this proxy".to_owned() },
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PageAccount {
    id: String,
    lid: Option<String>,
    name: String,
}

impl From<PageAccount> for Account {
    fn from(account: PageAccount) -> Self {
        Self { id: account.id, lid: account.lid, push_name: account.name }
    }
}

/// The page's state. It is given back word for word, so that the page can tell when it has changed.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PageState {
    pub stage: Stage,
    pub code: Option<String>,
    pub account: Option<PageAccount>,
    pub overflow: bool,
}

/// Something that happened in the page.
#[derive(Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum PageEvent {
    #[serde(rename_all = "camelCase")]
    Message {
        id: String,
        chat: String,
        alias: Option<String>,
        from_me: bool,
        participant: Option<String>,
        name: Option<String>,
        #[serde(rename = "type")]
        kind: String,
        body: String,
        t: i64,
        ack: i8,
        #[serde(flatten)]
        parts: Box<Parts>,
    },
    #[serde(rename_all = "camelCase")]
    Ack {
        id: String,
        chat: String,
        from_me: bool,
        participant: Option<String>,
        ack: i8,
    },
    Presence {
        chat: String,
        participant: Option<String>,
        presence: String,
        last_seen: Option<i64>,
    },
    #[serde(rename_all = "camelCase")]
    Change {
        id: String,
        chat: String,
        alias: Option<String>,
        message_id: String,
        from_me: bool,
        participant: Option<String>,
        /// Unix milliseconds.
        at: i64,
        what: What,
    },
    Notice(Notice),
}

/// One event for the journal, or for the sink alone.
pub(super) struct Heard {
    pub dedupe: String,
    pub kind: EventKind,
}

impl PageEvent {
    /// The bare id of a message.
    pub fn bare_id(full: &str) -> &str {
        full.split('_').nth(2).unwrap_or_default()
    }

    /// The full id of a message.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Message { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The event, unless it is history: a message older than `linked_at` is never one.
    pub fn heard(self, linked_at: i64, via_api: impl FnOnce(&str) -> bool) -> Option<Heard> {
        match self {
            Self::Message { t, .. } if t < linked_at => None,
            Self::Message { id, chat, alias, from_me, participant, name, kind, body, t, ack, parts } => {
                let message = Message {
                    via_api: from_me && via_api(Self::bare_id(&id)),
                    id,
                    chat,
                    chat_alias: alias,
                    from_me,
                    participant,
                    push_name: name,
                    kind,
                    body,
                    timestamp: t,
                    ack: Ack::try_from(ack).unwrap_or(Ack::Pending),
                    parts,
                };
                let dedupe = format!("msg:{}", message.id);
                Some(Heard { dedupe, kind: EventKind::Message(message) })
            }
            Self::Ack { id, chat, from_me, participant, ack } => {
                let ack = Ack::try_from(ack).ok()?;
                let dedupe = format!("ack:{id}:{}", i8::from(ack));
                let change = AckChange { message_id: id, chat, from_me, ack, participant };
                Some(Heard { dedupe, kind: EventKind::Ack(change) })
            }
            Self::Change { at, .. } if at / 1000 < linked_at => None,
            Self::Change { id, chat, alias, message_id, from_me, participant, at, what } => {
                let change = Change { chat, chat_alias: alias, id, message_id, from_me, participant, at_ms: at, what };
                let dedupe = match change.what {
                    What::Edited { .. } => format!("edit:{}", change.id),
                    // Heard at another time than read from the message afterwards.
                    What::Revoked => format!("revoke:{}", change.message_id),
                    // Each time under an id of its own; of its time the page tells more or less.
                    What::Reacted { ref text } => format!("react:{}:{text}", change.id),
                    // Under an id that stays.
                    What::Voted { .. } => format!("vote:{}:{at}", change.id),
                };
                Some(Heard { dedupe, kind: EventKind::Change(change) })
            }
            Self::Notice(notice) if notice.at() < linked_at => None,
            Self::Notice(notice) => Some(Heard { dedupe: notice.dedupe(), kind: EventKind::Notice(notice) }),
            Self::Presence { chat, participant, presence, last_seen } => {
                let kind = EventKind::Presence { chat, participant, presence, last_seen };
                Some(Heard { dedupe: String::new(), kind })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn odd() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(true|false)_[0-9]{1,6}@(c\\.us|g\\.us|lid)_[A-Z0-9]{0,8}|[0-9]{1,6}@c\\.us|.{0,20}".prop_map(Value::from),
            Just(json!([])),
            Just(json!({})),
        ]
    }

    proptest! {
        #[test]
        fn an_event_of_the_page_is_read_or_refused(
            kind in prop_oneof![Just("message"), Just("ack"), Just("presence"), Just("change"), Just("notice")],
            changes in prop::collection::vec((any::<prop::sample::Index>(), odd()), 0..4),
        ) {
            let mut event = json!({
                "kind": kind, "seq": 1, "id": "false_1@c.us_ABC", "chat": "1@c.us", "alias": null, "fromMe": false,
                "participant": null, "name": "Bob", "type": "chat", "body": "hello", "t": 1_700_000_000, "ack": 1,
                "presence": "available", "last_seen": null, "messageId": "false_1@c.us_ABC", "at": 1_700_000_000_000_i64,
                "what": {"change": "revoked"}, "notice": "archived", "on": true,
            });
            let fields: Vec<_> = event.as_object().unwrap().keys().filter(|key| *key != "kind").cloned().collect();
            let changed = !changes.is_empty();
            for (place, value) in changes {
                event[place.get(&fields)] = value;
            }
            let read = serde_json::from_value::<PageEvent>(event);
            prop_assert!(changed || read.is_ok(), "what is sound is read");
            if let Ok(event) = read
                && let Some(heard) = event.heard(0, |_| false)
            {
                prop_assert!(matches!(heard.kind, EventKind::Presence { .. }) || !heard.dedupe.is_empty(), "it has a name");
            }
        }
    }
}
