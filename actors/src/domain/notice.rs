//! What happens to an account beside its messages: calls, groups, labels, chats that are put away.

use super::message::Message;
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Something that happened. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// Somebody calls, or a call is over.
    Call {
        /// Its id.
        call: String,
        /// Who calls.
        from: String,
        /// With pictures.
        video: bool,
        /// To a whole group.
        group: bool,
        /// Since when.
        at: i64,
        /// What became of it.
        state: CallState,
    },
    /// People came into a group, went, or got another role.
    Members {
        /// The group.
        group: String,
        /// What happened to them.
        change: Move,
        /// To whom.
        people: Vec<String>,
        /// The account is one of them.
        own: bool,
        /// When.
        at: i64,
    },
    /// A group says something else of itself; what changed is there.
    Group {
        /// The group.
        group: String,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Only admins write.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        announce: Option<bool>,
        /// Only admins change it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restrict: Option<bool>,
        /// When.
        at: i64,
    },
    /// A chat was put away, or brought back.
    Archived {
        /// The chat.
        chat: String,
        /// Away.
        on: bool,
        /// When.
        at: i64,
    },
    /// There is a label, another one than before, or it is gone.
    Label {
        /// Its id.
        label: String,
        /// Its name.
        name: String,
        /// Place in the network's palette.
        color: u8,
        /// It is gone.
        gone: bool,
        /// When.
        at: i64,
    },
    /// A chat got a label, or lost one.
    Labelled {
        /// The label.
        label: String,
        /// The chat.
        chat: String,
        /// Got it.
        on: bool,
        /// When.
        at: i64,
    },
    /// A message came that the engine cannot read yet; when it can, it is told of as a message.
    Waiting {
        /// The message, without what it says.
        message: Box<Message>,
        /// When.
        at: i64,
    },
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// It rings.
    Received,
    /// Somebody talks, here or on another device.
    Accepted,
    /// Nobody did.
    Rejected,
}

/// What happened to members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// They came in.
    Join,
    /// They went.
    Leave,
    /// They became admins.
    Promote,
    /// They are admins no more.
    Demote,
}

impl Move {
    /// WAHA's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Promote => "promote",
            Self::Demote => "demote",
        }
    }
}

impl Notice {
    /// The chat in which it happened, if in one.
    #[must_use]
    pub fn chat(&self) -> Option<&str> {
        match self {
            Self::Members { group: chat, .. }
            | Self::Group { group: chat, .. }
            | Self::Archived { chat, .. }
            | Self::Labelled { chat, .. } => Some(chat),
            Self::Waiting { message, .. } => Some(&message.chat),
            Self::Call { .. } | Self::Label { .. } => None,
        }
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> i64 {
        match self {
            Self::Call { at, .. }
            | Self::Members { at, .. }
            | Self::Group { at, .. }
            | Self::Archived { at, .. }
            | Self::Label { at, .. }
            | Self::Labelled { at, .. }
            | Self::Waiting { at, .. } => *at,
        }
    }

    /// The names under which clients know it.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Call { state: CallState::Received, .. } => &["call.received"],
            Self::Call { state: CallState::Accepted, .. } => &["call.accepted"],
            Self::Call { state: CallState::Rejected, .. } => &["call.rejected"],
            Self::Members { change: Move::Join, own: true, .. } => &["group.v2.join", "group.v2.participants"],
            Self::Members { change: Move::Leave, own: true, .. } => &["group.v2.leave", "group.v2.participants"],
            Self::Members { .. } => &["group.v2.participants"],
            Self::Group { .. } => &["group.v2.update"],
            Self::Archived { .. } => &["chat.archive"],
            Self::Label { gone: false, .. } => &["label.upsert"],
            Self::Label { gone: true, .. } => &["label.deleted"],
            Self::Labelled { on: true, .. } => &["label.chat.added"],
            Self::Labelled { on: false, .. } => &["label.chat.deleted"],
            Self::Waiting { .. } => &["message.waiting"],
        }
    }

    /// Under this key it is recorded once.
    #[must_use]
    pub fn dedupe(&self) -> String {
        match self {
            Self::Call { call, .. } => format!("{}:{call}", self.word()),
            Self::Members { group, people, at, .. } => format!("{}:{group}:{}:{at}", self.word(), people.join(",")),
            Self::Group { group, subject, description, announce, restrict, at } => {
                // Several of one second are told apart by what they say.
                let mut said = DefaultHasher::new();
                (subject, description).hash(&mut said);
                format!("group:{group}:{:x}:{announce:?}:{restrict:?}:{at}", said.finish())
            }
            Self::Archived { chat, on, at } => format!("archive:{chat}:{on}:{at}"),
            Self::Label { label, gone, at, name, color } => format!("label:{label}:{name}:{color}:{gone}:{at}"),
            Self::Waiting { message, .. } => format!("waiting:{}", message.id),
            Self::Labelled { label, chat, on, at } => format!("labelled:{label}:{chat}:{on}:{at}"),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Members { change, .. } => change.word(),
            _ => self.names().first().copied().unwrap_or_default(),
        }
    }
}
