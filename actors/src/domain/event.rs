//! The one stream from which log lines, metrics, sockets and webhooks derive.

use super::exit::ExitReason;
use super::ids::{SessionKey, SessionName};
use super::message::{AckChange, Message};
use super::session::Status;
use serde::{Deserialize, Serialize};

/// Something that happened to a session.
#[derive(Clone, Debug)]
pub struct Event {
    /// Place in the journal; `None` for what is never stored (QR codes, typing).
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
    /// Somebody is typing, recording or online. Never stored.
    Presence {
        /// The chat.
        chat: String,
        /// `typing`, `paused`, `online`, `offline`.
        presence: String,
    },
    /// The breaker opened: Wardroom goes on trying, slowly.
    ConnectionFailed {
        /// The last exit.
        exit: ExitReason,
        /// Unix milliseconds of the next attempt.
        retry_at_ms: i64,
    },
}

impl EventKind {
    /// Whether it is written to the journal.
    #[must_use]
    pub fn durable(&self) -> bool {
        !matches!(self, Self::Presence { .. } | Self::Status(StatusChange { status: Status::ScanQrCode, .. }))
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
