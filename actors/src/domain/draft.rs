//! What somebody wants to be said in a chat.

use super::ids::FileId;
use super::message::Media;
use serde::{Deserialize, Serialize};

/// What a message says.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// Ids of those who are mentioned; the text names each as `@<number>`. [`EVERYBODY`] stands for all of a group.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<String>,
        /// Whether the page may look up what a link in it leads to.
        #[serde(default)]
        preview: bool,
    },
    /// A place.
    Location {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
        /// Its name.
        title: String,
    },
    /// Visiting cards.
    Contacts {
        /// At least one.
        cards: Vec<Card>,
    },
    /// A copy of a message that is there.
    Forward {
        /// Its full id.
        message: String,
    },
    /// A question with answers to choose from.
    Poll {
        /// The question.
        name: String,
        /// The answers.
        options: Vec<String>,
        /// More than one may be chosen.
        multiple: bool,
    },
    /// A file, which was taken in before.
    File {
        /// Which.
        file: FileId,
        /// What it is.
        media: Media,
        /// How it is shown.
        shown: Shown,
        /// The text with it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        caption: String,
        /// Ids of those whom the text mentions. [`EVERYBODY`] stands for all of a group.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<String>,
        /// Of a status update: who sees it; all of the account's contacts where nobody stands.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        audience: Vec<String>,
        /// Digest of what a request that has a name said of the file, where the file cannot be known again by its bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<String>,
    },
    /// A date in the calendar.
    Event {
        /// What it is called.
        name: String,
        /// What it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// When it begins, in Unix seconds.
        start: i64,
        /// When it ends; two hours later where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<i64>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    /// A text as a status update, which vanishes after a day.
    Status {
        /// The text.
        text: String,
        /// What is behind it: `#rrggbb`.
        background: String,
        /// Place among the network's fonts.
        font: u8,
        /// Who sees it; all of the account's contacts where nobody stands.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        audience: Vec<String>,
    },
}

/// Mentions all members of a group.
pub const EVERYBODY: &str = "all";

/// How a file is shown in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// A picture.
    Image,
    /// Something to open elsewhere.
    Document,
    /// A voice message.
    Voice,
    /// A film.
    Video,
    /// A short round film.
    Note,
}

/// A visiting card.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Whose.
    pub name: String,
    /// The card, as vCard 3.0.
    pub vcard: String,
}

/// A message that has to leave.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
    /// The message that it answers: a full id, or the bare one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

impl Draft {
    /// A plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: Content::Text { text: text.into(), mentions: vec![], preview: false }, reply_to: None }
    }

    /// The network's word for such a message; of a copy it is known once it has left.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Text { .. } | Content::Forward { .. } | Content::Status { .. } => "chat",
            Content::Location { .. } => "location",
            Content::Contacts { cards } if cards.len() > 1 => "multi_vcard",
            Content::Contacts { .. } => "vcard",
            Content::Poll { .. } => "poll_creation",
            Content::Event { .. } => "event_creation",
            Content::File { shown, .. } => match shown {
                Shown::Image => "image",
                Shown::Document => "document",
                Shown::Voice => "ptt",
                Shown::Video => "video",
                Shown::Note => "ptv",
            },
        }
    }

    /// What clients show as its text.
    #[must_use]
    pub fn body(&self) -> &str {
        match &self.content {
            Content::Text { text, .. } | Content::Status { text, .. } => text,
            Content::Location { title, .. } => title,
            Content::Contacts { cards } => cards.first().map_or("", |card| &card.vcard),
            Content::Poll { name, .. } | Content::Event { name, .. } => name,
            Content::File { caption, .. } => caption,
            Content::Forward { .. } => "",
        }
    }
}

impl std::fmt::Debug for Draft {
    /// Never the words: a draft may end up in a log line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({})", self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_read_as_it_was_written() {
        let drafts = [
            Draft::text("hi"),
            Draft {
                content: Content::Location { latitude: 38.896_7, longitude: -77.036_5, title: "Home".into() },
                reply_to: Some("false_1@c.us_A".into()),
            },
            Draft {
                content: Content::Contacts { cards: vec![Card { name: "Ada".into(), vcard: "BEGIN:VCARD".into() }] },
                reply_to: None,
            },
            Draft {
                content: Content::Poll {
                    name: "Tea?".into(),
                    options: vec!["yes".into(), "no".into()],
                    multiple: true,
                },
                reply_to: None,
            },
            Draft {
                content: Content::File {
                    file: FileId::generate(),
                    media: Media { mimetype: "image/png".into(), filename: None, size: Some(3) },
                    shown: Shown::Image,
                    caption: "look".into(),
                    mentions: vec![],
                    audience: vec![],
                    said: None,
                },
                reply_to: None,
            },
            Draft {
                content: Content::Status {
                    text: "today".into(),
                    background: "#38b42f".into(),
                    font: 2,
                    audience: vec!["1@c.us".into()],
                },
                reply_to: None,
            },
        ];
        for draft in drafts {
            let written = serde_json::to_string(&draft).unwrap();
            assert!(serde_json::from_str::<Draft>(&written).unwrap() == draft, "{written}");
        }
    }
}
