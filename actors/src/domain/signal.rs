//! The contract between a chat and its agent.

use super::change::Change;
use super::event::EventKind;
use super::message::{AckChange, Message};
use super::webhook::HookId;

/// What reaches a chat.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A message arrived or was written on this account.
    Message(Message),
    /// A message got further.
    Ack(AckChange),
    /// Something happened to a message.
    Change(Change),
}

impl Signal {
    /// What an event says to an agent, if it says anything.
    #[must_use]
    pub fn of(kind: EventKind) -> Option<Self> {
        match kind {
            EventKind::Message(message) => Some(Self::Message(message)),
            EventKind::Ack(ack) => Some(Self::Ack(ack)),
            EventKind::Change(change) => Some(Self::Change(change)),
            _ => None,
        }
    }

    /// The names under which clients know it.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Message(message) => message.names(),
            Self::Ack(ack) => ack.names(),
            Self::Change(change) => change.names(),
        }
    }
}

/// What an agent wants done. It names no other chat: an effect belongs to the chat that its signal came from.
#[derive(Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer in this chat.
    Send {
        /// The text.
        text: String,
    },
    /// Tell a webhook of the signal.
    Webhook {
        /// Which.
        hook: HookId,
        /// Under this name.
        name: &'static str,
    },
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Send { .. } => "Send",
            Self::Webhook { .. } => "Webhook",
        })
    }
}

/// What an agent remembers of a chat, opaque to everybody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentState(pub Vec<u8>);
