//! Identifiers. Each is its own type, so that one tenant's key cannot stand where a session's is expected.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; ids made later sort later (UUIDv7).
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// An organisation. Every row, key and event belongs to exactly one.
    TenantId
);
uuid_id!(
    /// A person of a tenant; owns sessions, a worker pool and a data key.
    UserId
);
uuid_id!(
    /// One linked messaging account. The name that clients use is [`SessionName`].
    SessionId
);
uuid_id!(
    /// One conversation of a session, whatever aliases it is known by.
    ChatUuid
);
uuid_id!(
    /// One Chromium process and its profile directory.
    WorkerId
);
uuid_id!(
    /// A file that messages of one session carry.
    FileId
);
uuid_id!(
    /// One data directory's server; owns the sessions it runs.
    NodeId
);

/// The n-th start of a session's driver. A report of an older incarnation has no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The incarnation that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The n-th linking of an account to the session; 0 = never linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkEpoch(pub i32);

/// The client-visible name of a session, unique in its tenant: `^[A-Za-z0-9][A-Za-z0-9._-]{0,53}$`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SessionName(String);

/// Why a text is no session name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session name has 1 to 54 characters out of A-Z a-z 0-9 . _ - and begins with a letter or a digit")]
pub struct BadName;

impl SessionName {
    /// Longest name in bytes, as in WAHA.
    pub const MAX: usize = 54;

    /// Checks `text` against the rule above.
    ///
    /// # Errors
    /// [`BadName`] when it breaks the rule.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if first && rest && text.len() <= Self::MAX { Ok(Self(text.to_owned())) } else { Err(BadName) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a session lives: what every door asks for, so that no id is ever looked up without its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionKey {
    /// Owner.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
}

impl SessionKey {
    /// A chat of this session.
    #[must_use]
    pub fn chat(self, chat: ChatUuid) -> ChatKey {
        ChatKey { tenant: self.tenant, session: self.session, chat }
    }
}

/// Where a chat lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChatKey {
    /// Owner.
    pub tenant: TenantId,
    /// The session it is a chat of.
    pub session: SessionId,
    /// The chat.
    pub chat: ChatUuid,
}

impl ChatKey {
    /// The session that this chat belongs to.
    #[must_use]
    pub fn session_key(self) -> SessionKey {
        SessionKey { tenant: self.tenant, session: self.session }
    }
}

/// A bare message id as WhatsApp Web makes them: `3EB0` and 18 hex digits.
#[must_use]
pub fn message_id() -> String {
    let random = Uuid::new_v4();
    let hex: String = random.as_bytes().iter().take(9).map(|byte| format!("{byte:02X}")).collect();
    format!("3EB0{hex}")
}

/// `evt_` and a lower-case ULID made from a UUIDv7: the same 48 bits of time and 80 others.
#[must_use]
pub fn event_id() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bits = Uuid::now_v7().as_u128();
    let digits = (0..26).rev().filter_map(|place| {
        let index = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
        ALPHABET.get(index).map(|byte| char::from(*byte))
    });
    "evt_".chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["default", "a", "7", "A.b_c-d", &"x".repeat(54)] {
            assert!(SessionName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "ä", "a\0", "a%2f", &"x".repeat(55)] {
            assert!(SessionName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn event_ids_are_ulids_that_sort_by_time() {
        let (one, two) = (event_id(), event_id());
        assert_eq!(one.len(), 30);
        assert_ne!(one, two);
        assert!(one.get(..14) <= two.get(..14));
    }
}
