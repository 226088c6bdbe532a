//! What can be done to messages and chats that are there.

use super::chat::ChatId;
use serde::Serialize;

/// Something that an engine is asked to do at once. It is answered when it is done, and is not repeated.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Marks a chat as read.
    Seen {
        /// The chat.
        chat: ChatId,
    },
    /// Shows or hides "typing…".
    Typing {
        /// The chat.
        chat: ChatId,
        /// Start or stop.
        on: bool,
    },
    /// Sets or removes the account's reaction.
    React {
        /// The message.
        message: String,
        /// An emoji; empty removes the reaction.
        reaction: String,
    },
    /// Stars a message, or takes the star away.
    Star {
        /// The message.
        message: String,
        /// Set or remove.
        on: bool,
    },
    /// Replaces the text of an own message.
    Edit {
        /// The message.
        message: String,
        /// The new text.
        text: String,
    },
    /// Takes an own message back, for everybody.
    Revoke {
        /// The message.
        message: String,
    },
    /// Pins a message in its chat.
    Pin {
        /// The message.
        message: String,
        /// For so many seconds: a day, a week or 30 days.
        seconds: u32,
    },
    /// Unpins it.
    Unpin {
        /// The message.
        message: String,
    },
    /// Votes in a poll; the whole choice, which replaces an earlier one.
    Vote {
        /// The poll.
        message: String,
        /// What is chosen, in the poll's own words.
        options: Vec<String>,
    },
}

impl std::fmt::Debug for Action {
    /// Never texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Seen { .. } => "Seen",
            Self::Typing { .. } => "Typing",
            Self::React { .. } => "React",
            Self::Star { .. } => "Star",
            Self::Edit { .. } => "Edit",
            Self::Revoke { .. } => "Revoke",
            Self::Pin { .. } => "Pin",
            Self::Unpin { .. } => "Unpin",
            Self::Vote { .. } => "Vote",
        })
    }
}
