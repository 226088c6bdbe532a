//! What happens to a message that is there.

use super::message::Message;
use serde::{Deserialize, Serialize};

/// A change, and who made it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The chat's alias.
    pub chat: String,
    /// Another alias of the same chat, where the engine knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_alias: Option<String>,
    /// Full id of the change itself.
    pub id: String,
    /// Full id of the message that was changed.
    pub message_id: String,
    /// Made by this account, on whatever device.
    pub from_me: bool,
    /// Who made it, where the network tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub what: What,
}

/// What was changed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum What {
    /// Somebody reacted.
    Reacted {
        /// An emoji; empty when the reaction was taken back.
        text: String,
    },
    /// It has a new text.
    Edited {
        /// The text.
        body: String,
    },
    /// It was taken back, for everybody.
    Revoked,
    /// Somebody voted in a poll.
    Voted {
        /// The whole choice, in the poll's own words.
        options: Vec<String>,
    },
}

impl Change {
    /// The name of the event that tells of it.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self.what {
            What::Reacted { .. } => &["message.reaction"],
            What::Edited { .. } => &["message.edited"],
            What::Revoked => &["message.revoked"],
            What::Voted { .. } => &["poll.vote"],
        }
    }
}

impl What {
    /// Whether the message reads otherwise afterwards.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        matches!(self, Self::Edited { .. } | Self::Revoked)
    }

    /// What is left of a message after it.
    pub fn apply(self, message: &mut Message) {
        match self {
            Self::Edited { body } => (message.body, message.parts.edited) = (body, true),
            Self::Revoked => {
                (message.kind, message.body, message.parts) = ("revoked".to_owned(), String::new(), Box::default());
            }
            Self::Reacted { .. } | Self::Voted { .. } => {}
        }
    }
}

impl std::fmt::Debug for Change {
    /// Never texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Change({:?}, {})", self.names(), self.id)
    }
}
