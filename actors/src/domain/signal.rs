//! The contract between a chat and its agent.

use super::message::{AckChange, Message};
use serde::{Deserialize, Serialize};

/// What reaches a chat.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A message arrived or was written on this account.
    Message(Message),
    /// A message got further.
    Ack(AckChange),
}

/// What an agent wants done. It names no other chat: an effect belongs to the chat that its signal came from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Answer in this chat.
    Send {
        /// The text.
        text: String,
    },
    /// Tell the tenant's webhook.
    Webhook {
        /// The event's name.
        event: String,
        /// The payload, JSON text.
        payload: String,
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
