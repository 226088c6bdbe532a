//! A message as it stands in a chat, and how far it has got.

use serde::{Deserialize, Serialize};

/// How far a message has got. The order is the network's: a later value is never lowered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub enum Ack {
    /// It will not be delivered.
    Error = -1,
    /// Not yet at the network.
    Pending = 0,
    /// The network has it.
    Server = 1,
    /// The other side's device has it.
    Device = 2,
    /// It was read.
    Read = 3,
    /// A voice message was played.
    Played = 4,
}

impl Ack {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Error, Self::Pending, Self::Server, Self::Device, Self::Read, Self::Played];

    /// WAHA's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Pending => "PENDING",
            Self::Server => "SERVER",
            Self::Device => "DEVICE",
            Self::Read => "READ",
            Self::Played => "PLAYED",
        }
    }
}

impl From<Ack> for i8 {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Error => -1,
            Ack::Pending => 0,
            Ack::Server => 1,
            Ack::Device => 2,
            Ack::Read => 3,
            Ack::Played => 4,
        }
    }
}

impl TryFrom<i8> for Ack {
    type Error = String;

    fn try_from(value: i8) -> Result<Self, String> {
        Ok(match value {
            -1 => Self::Error,
            0 => Self::Pending,
            1 => Self::Server,
            2 => Self::Device,
            3 => Self::Read,
            4 => Self::Played,
            _ => return Err(format!("no ack has the value {value}")),
        })
    }
}

/// One message. Field names follow the network, not WAHA; the API translates.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The network's id: `{fromMe}_{chatId}_{id}[_{participant}]`.
    pub id: String,
    /// The chat's alias that the message came with.
    pub chat: String,
    /// Another alias of the same chat (`@lid` and `@c.us` of one person), where the engine knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_alias: Option<String>,
    /// Written by this account, on whatever device.
    pub from_me: bool,
    /// Author inside a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// The other party's display name, if the engine knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_name: Option<String>,
    /// `chat` for text; the network's own words for the rest.
    pub kind: String,
    /// The text.
    pub body: String,
    /// Unix seconds, as the network stamped it.
    pub timestamp: i64,
    /// How far it had got when it was recorded.
    pub ack: Ack,
    /// It was sent over our API.
    #[serde(default)]
    pub via_api: bool,
    /// What it carries beside its text.
    #[serde(flatten)]
    pub parts: Box<Parts>,
}

/// What a message carries beside its text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Quoted>,
    /// A place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
    /// Visiting cards, as vCard 3.0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<String>,
    /// A question with answers to choose from; the question itself is the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// A file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Its text is not the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
}

/// A message that another one answers, as far as that one tells.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// Its bare id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A place on earth. Degrees are texts, as in WAHA: nobody calculates with them here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Degrees north.
    pub latitude: String,
    /// Degrees east.
    pub longitude: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A file, as the message that carries it tells of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `image/jpeg`, `audio/ogg; codecs=opus`, …
    pub mimetype: String,
    /// Its name, where the sender gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The answers that a poll offers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// Each in its own words.
    pub options: Vec<String>,
    /// More than one may be chosen.
    pub multiple: bool,
}

impl Message {
    /// The names of the events that tell of it. A client that asks for both gets both, as in WAHA.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        if self.from_me { &["message.any"] } else { &["message", "message.any"] }
    }
}

impl std::fmt::Debug for Message {
    /// Neither text nor names: a message may end up in a log line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("ack", &self.ack).finish_non_exhaustive()
    }
}

/// A change of [`Ack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckChange {
    /// The message.
    pub message_id: String,
    /// The chat's alias.
    pub chat: String,
    /// Whether the message was ours.
    pub from_me: bool,
    /// What it has reached.
    pub ack: Ack,
    /// Who read it, in a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
}

impl AckChange {
    /// The name of the event that tells of it.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        if self.chat.ends_with("@g.us") { &["message.ack.group"] } else { &["message.ack"] }
    }
}
