//! The one stream from which log lines, metrics, sockets and webhooks derive.

use super::change::Change;
use super::exit::ExitReason;
use super::ids::{ChatUuid, SessionKey, SessionName};
use super::message::{AckChange, Message};
use super::notice::Notice;
use super::session::Status;
use serde::{Deserialize, Serialize};

/// Something that happened to a session.
#[derive(Clone, Debug)]
pub struct Event {
    /// Place in the journal; `None` for what is never stored (who types).
    pub seq: Option<i64>,
    /// `evt_…`, stable over redelivery.
    pub id: String,
    /// Whose.
    pub key: SessionKey,
    /// The session's name at that time.
    pub session: SessionName,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The session's status changed, or a new QR code is shown.
    Status(StatusChange),
    /// A message arrived or was written on this account.
    Message(Message),
    /// A message got further.
    Ack(AckChange),
    /// Something happened to a message.
    Change(Change),
    /// Something happened to the account beside its messages.
    Notice(Notice),
    /// Somebody is typing, recording or online. Never stored.
    Presence {
        /// The chat.
        chat: String,
        /// Who, where it is not the chat itself.
        participant: Option<String>,
        /// `typing`, `recording`, `paused`, `online`, `offline`.
        presence: String,
        /// Unix seconds.
        last_seen: Option<i64>,
    },
    /// The breaker opened: Wardroom goes on trying, slowly.
    ConnectionFailed {
        /// The last exit.
        exit: ExitReason,
        /// Unix milliseconds of the next attempt.
        retry_at_ms: i64,
    },
    /// A signal that was set aside is to be handled again.
    Replay {
        /// Its place.
        of: i64,
        /// Its chat.
        chat: ChatUuid,
    },
    /// A step of the session's supervision. Never stored.
    Supervised(Step),
}

/// What supervision saw or did. The words of `cause`, `next` and `state` are closed sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A driver was started.
    Started {
        /// Which start it is.
        incarnation: u64,
        /// The code of the exit that it follows, if it follows a failure.
        cause: Option<String>,
    },
    /// A driver lost the network and is trying by itself.
    Connecting,
    /// A driver is linked and connected.
    Ready {
        /// What it came back from.
        recovered: Option<Recovery>,
    },
    /// A driver ended.
    Ended {
        /// Why.
        exit: ExitReason,
        /// `finish`, `park`, `retry` or `probe`.
        next: String,
        /// Unix milliseconds of the next attempt.
        retry_at_ms: Option<i64>,
    },
    /// The breaker changed.
    Breaker {
        /// `closed`, `open` or `half_open`.
        state: String,
    },
    /// The session's actor panicked and was restarted; its driver went on.
    ActorPanicked {
        /// The panic's text.
        detail: String,
    },
}

/// A time without connection that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The code of the exit that began it.
    pub cause: String,
    /// How long it took, from the detection on, in milliseconds.
    pub ms: u64,
}

impl Step {
    /// A stable word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Connecting => "connecting",
            Self::Ready { .. } => "ready",
            Self::Ended { .. } => "ended",
            Self::Breaker { .. } => "breaker",
            Self::ActorPanicked { .. } => "actor_panicked",
        }
    }
}

impl EventKind {
    /// The names under which clients know it.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Status(_) => &["session.status"],
            Self::Message(message) => message.names(),
            Self::Ack(ack) => ack.names(),
            Self::Change(change) => change.names(),
            Self::Notice(notice) => notice.names(),
            Self::Presence { .. } => &["presence.update"],
            Self::ConnectionFailed { .. } => &["session.connection_failed"],
            Self::Supervised(_) => &["session.supervision"],
            Self::Replay { .. } => &[],
        }
    }

    /// The chat of which it tells, if it is one's.
    #[must_use]
    pub fn chat(&self) -> Option<&str> {
        match self {
            Self::Message(message) => Some(&message.chat),
            Self::Ack(ack) => Some(&ack.chat),
            Self::Change(change) => Some(&change.chat),
            Self::Notice(notice) => notice.chat(),
            Self::Presence { chat, .. } => Some(chat),
            Self::Status(_) | Self::ConnectionFailed { .. } | Self::Replay { .. } | Self::Supervised(_) => None,
        }
    }

    /// Whether it is written to the journal.
    #[must_use]
    pub fn durable(&self) -> bool {
        !matches!(self, Self::Presence { .. } | Self::Supervised(_))
    }
}

/// A change of status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// What it is now.
    pub status: Status,
    /// The last three, oldest first, with Unix milliseconds.
    pub history: Vec<(Status, i64)>,
    /// Why, when a driver ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitReason>,
}
