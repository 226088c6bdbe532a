//! The second factor: codes of an authenticator (RFC 6238), and codes on paper for when it is lost. Each is good once.

use crate::vault::random;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret, Totp};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Codes on paper.
const CODES: usize = 10;
/// Random bytes of one: so many need no slow hash (OWASP ASVS 5.0, 6.5.2).
const CODE: usize = 14;
/// Characters of one that stand together.
const GROUP: usize = 7;
/// Bytes of a secret.
const SECRET: usize = 20;

/// What is kept of a second factor.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct SecondFactor {
    /// In base 32.
    secret: String,
    /// The last time step whose code was used.
    used: u64,
    /// Digests of codes on paper that were not used.
    codes: Vec<String>,
}

fn digest(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    hex::encode(Sha256::digest(plain.to_ascii_lowercase()))
}

fn totp(secret: &str, account: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret).ok().filter(|secret| secret.as_bytes().len() >= SECRET)?;
    // A colon would end the issuer in the link.
    let account = account.replace(':', "");
    Builder::new().with_secret(secret).with_account_name(account).with_issuer(Some("Wardroom")).build().ok()
}

/// A new secret for an authenticator, and the link that authenticators read.
#[must_use]
pub fn offer(account: &str) -> Option<(String, String)> {
    let secret = Secret::from(random::<SECRET>()).to_base32();
    let url = totp(&secret, account)?.to_url().ok()?;
    Some((secret, url))
}

impl SecondFactor {
    /// Begins with a secret whose authenticator shows this code now (Unix seconds). With it come the codes on paper, shown once.
    #[must_use]
    pub fn begin(secret: &str, code: &str, now: u64) -> Option<(Self, Vec<String>)> {
        let used = totp(secret, "").and_then(|totp| totp.check(code, now))?;
        let code = || {
            let text = hex::encode(random::<CODE>());
            let groups: Vec<_> = text.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
            groups.join("-")
        };
        let codes: Vec<_> = std::iter::repeat_with(code).take(CODES).collect();
        let digests = codes.iter().map(|code| digest(code)).collect();
        Some((Self { secret: secret.to_owned(), used, codes: digests }, codes))
    }

    /// Uses a code of either kind up; false when it is none, or was used.
    pub fn uses(&mut self, code: &str, now: u64) -> bool {
        let step = totp(&self.secret, "").and_then(|totp| totp.check(code.trim(), now));
        if let Some(step) = step.filter(|step| *step > self.used) {
            self.used = step;
            return true;
        }
        let digest = digest(code);
        let before = self.codes.len();
        self.codes.retain(|known| *known != digest);
        self.codes.len() < before
    }

    /// As it is stored, before it is sealed.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::write`] wrote.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_is_one_of_ours_or_refused(shown in "[0-9]{0,5}|[0-9]{7,12}|([0-9a-f]{4}-?){4,5}|\\PC{0,40}", place in any::<prop::sample::Index>()) {
            let (secret, now) = (offer("anna").unwrap().0, 1_700_000_000);
            let code = totp(&secret, "").unwrap().generate(now).to_string();
            let (mut factor, papers) = SecondFactor::begin(&secret, &code, now).unwrap();
            prop_assert!(!factor.uses(&shown, now));
            let paper = place.get(&papers);
            prop_assert!(factor.uses(paper, now) && !factor.uses(paper, now));
        }
    }

    #[test]
    fn a_code_is_good_once() {
        let (secret, url) = offer("anna@example.com").unwrap();
        assert!(url.starts_with("otpauth://totp/Wardroom:anna%40example.com?") && url.contains(&secret), "{url}");
        let now = 1_700_000_000;
        let code = |at: u64| totp(&secret, "").unwrap().generate(at).to_string();
        assert!(SecondFactor::begin(&secret, "000000", now).is_none() || code(now) == "000000");
        assert!(SecondFactor::begin("AAAA", &code(now), now).is_none(), "a secret of 20 bytes");
        let (factor, papers) = SecondFactor::begin(&secret, &code(now), now).unwrap();
        let mut factor = SecondFactor::read(&factor.write()).unwrap();
        assert!(!factor.uses(&code(now), now), "it was used to begin");
        assert!(factor.uses(&code(now + 30), now + 30));
        assert!(!factor.uses(&code(now + 30), now + 31), "used");
        assert!(!factor.uses(&code(now), now + 31), "older than the last one");
        assert!(factor.uses(&code(now + 60), now + 61));
        assert!(!factor.uses(&code(now + 600), now + 61));
        assert_eq!(papers.len(), CODES);
        let paper = papers[3].to_uppercase();
        assert!(factor.uses(&paper, now) && !factor.uses(&paper, now));
        assert!(factor.uses(&papers[4].replace('-', " "), now));
        for odd in ["", "-", "aaaaa-aaaaa", "12345", "1234567"] {
            assert!(!factor.uses(odd, now), "{odd}");
        }
        let text = String::from_utf8(factor.write()).unwrap();
        assert!(papers.iter().all(|paper| !text.contains(&paper.replace('-', ""))));
    }
}
