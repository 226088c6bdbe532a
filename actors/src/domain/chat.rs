//! The names that a network gives to a conversation.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An alias of a chat as the network writes it: `123@c.us`, `…@lid`, `…@g.us`, `…@newsletter`, `…@broadcast`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChatId(String);

impl From<ChatId> for String {
    fn from(id: ChatId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ChatId {
    type Error = BadChatId;

    fn try_from(text: String) -> Result<Self, BadChatId> {
        Self::parse(&text)
    }
}

/// Why a text is no chat id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChatId {
    /// Neither a bare number nor `user@server`.
    #[error("chatId must be a number or an id such as 12132132130@c.us, …@lid, …@g.us")]
    Shape,
    /// A server part that the network does not have.
    #[error("chatId must end in @c.us, @lid, @g.us, @newsletter or @broadcast")]
    Server,
}

impl ChatId {
    /// Longest user part in bytes; the longest known ids (old groups) have 29.
    pub const MAX_USER: usize = 64;

    /// Where status updates stand: nobody's chat.
    pub const STATUS: &str = "status@broadcast";

    /// Reads an id from a client: a bare number means a person, `@s.whatsapp.net` is written `@c.us`.
    ///
    /// # Errors
    /// [`BadChatId`] when no chat can have this id.
    pub fn parse(text: &str) -> Result<Self, BadChatId> {
        let (user, server) = text.split_once('@').unwrap_or((text, "c.us"));
        let server = if server == "s.whatsapp.net" { "c.us" } else { server };
        if user.is_empty() || user.len() > Self::MAX_USER {
            return Err(BadChatId::Shape);
        }
        let digits = user.bytes().all(|byte| byte.is_ascii_digit());
        let group = user.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let fits = match server {
            "c.us" | "lid" | "newsletter" => digits,
            "g.us" => group,
            "broadcast" => digits || user == "status",
            _ => return Err(BadChatId::Server),
        };
        if fits { Ok(Self(format!("{user}@{server}"))) } else { Err(BadChatId::Shape) }
    }

    /// The id as the network writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.0.ends_with("@g.us")
    }

    /// Whether it hides a number.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.0.ends_with("@lid")
    }

    /// The part before `@`.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_clients_write_them() {
        let table = [
            ("12132132130", Some("12132132130@c.us")),
            ("1213@c.us", Some("1213@c.us")),
            ("1213@s.whatsapp.net", Some("1213@c.us")),
            ("99@lid", Some("99@lid")),
            ("123-456@g.us", Some("123-456@g.us")),
            ("status@broadcast", Some("status@broadcast")),
            ("", None),
            ("@c.us", None),
            ("+1213@c.us", None),
            ("12 13@c.us", None),
            ("1213@evil.us", None),
            ("1213@c.us@c.us", None),
            ("../etc@c.us", None),
        ];
        for (text, expected) in table {
            assert_eq!(ChatId::parse(text).ok().as_ref().map(ChatId::as_str), expected, "{text}");
        }
        assert!(ChatId::parse(&"1".repeat(65)).is_err());
    }
}
