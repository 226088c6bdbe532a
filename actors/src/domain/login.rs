//! What a person needs to see to link an account. All of it is secret while it lives and never stored.

/// One QR code.
#[derive(Clone, PartialEq, Eq)]
pub struct QrCode {
    /// The text to draw: five fields, comma-separated.
    pub text: String,
    /// 1 for the first code of this login.
    pub number: u32,
    /// Unix milliseconds at which it rotates.
    pub expires_at_ms: i64,
}

impl std::fmt::Debug for QrCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QrCode({})", self.number)
    }
}

/// How long a QR code lives and how many there are: 60 s, then 20 s each, 6 in all, as the network does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QrRotation {
    /// Life of the first code in milliseconds.
    pub first_ms: u64,
    /// Life of each later code in milliseconds.
    pub next_ms: u64,
    /// How many codes are shown before the login has failed.
    pub codes: u32,
}

impl QrRotation {
    /// How long code `number` (from 1) lives; `None` when no such code is shown any more.
    #[must_use]
    pub fn lifetime_ms(&self, number: u32) -> Option<u64> {
        match number {
            0 => None,
            1 => Some(self.first_ms),
            n if n <= self.codes => Some(self.next_ms),
            _ => None,
        }
    }
}

/// The linked account.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// `123@c.us`
    pub id: String,
    /// `…@lid`, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lid: Option<String>,
    /// The display name.
    pub push_name: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_live_60_s_then_20_s_and_there_are_six() {
        let rotation = QrRotation { first_ms: 60_000, next_ms: 20_000, codes: 6 };
        let lives: Vec<_> = (0..=7).map(|number| rotation.lifetime_ms(number)).collect();
        let next = Some(20_000);
        assert_eq!(lives, [None, Some(60_000), next, next, next, next, next, None]);
    }
}
