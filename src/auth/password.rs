//! Passwords: how they are kept, and which are none. Lengths and the absence of rules about kinds of characters follow OWASP ASVS 5.0,
//! 6.2; the cost its appendix C.

use super::leaked::Leaked;
use crate::error::ApiError;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Characters of a password at least.
pub const SHORTEST: usize = 12;
/// Bytes of a password at most.
pub const LONGEST: usize = 512;
/// Characters that must be left of it without the names of who chooses it.
const OWN: usize = 8;
/// How hard a password must be to guess, of 0 to 4: 3 is 10⁸ guesses and more.
const STRENGTH: u8 = 3;
/// Memory in KiB, rounds, lanes.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Passwords that may wait to be looked at.
const WAITING: usize = 64;
/// How far the thread that looks at passwords gives way to the others, of 19: one takes 20 to 30 ms of a core.
const NICE: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// Who looks at passwords, on a thread of their own, one after the other: each takes 19 MiB.
pub struct Passwords {
    argon: Argon2<'static>,
    /// The hash of a password that nobody has: for whoever is not known, so that they are answered as late as others.
    nobody: String,
    leaked: Leaked,
    work: SyncSender<Work>,
}

impl Passwords {
    /// Starts the thread, which ends with this. Nobody chooses what has leaked.
    ///
    /// # Errors
    /// When the operating system has no randomness, or no thread.
    pub fn new(leaked: Leaked) -> anyhow::Result<Self> {
        let (memory, rounds, lanes) = COST;
        let params = Params::new(memory, rounds, lanes, None).map_err(|bad| anyhow::anyhow!("argon2: {bad}"))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon.hash_password(uuid::Uuid::new_v4().as_bytes());
        let nobody = nobody.map_err(|bad| anyhow::anyhow!("argon2: {bad}"))?.to_string();
        let (work, waiting) = sync_channel::<Work>(WAITING);
        std::thread::Builder::new().name("passwords".into()).spawn(move || {
            let _ = rustix::process::setpriority_process(None, NICE);
            for one in waiting {
                // Whoever waits for it hears that nothing came of it.
                let _ = catch_unwind(AssertUnwindSafe(one));
            }
        })?;
        Ok(Self { argon, nobody, leaked, work })
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = || ApiError::new("unavailable", "Too many sign in at once").retry(2);
        let (answer, done) = oneshot::channel();
        let work = move || {
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        self.work.try_send(Box::new(work)).map_err(|_| busy())?;
        done.await.map_err(|_| busy())
    }

    /// What is kept of a password.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, ApiError> {
        let argon = self.argon.clone();
        let hash = self.in_turn(move || argon.hash_password(password.as_bytes()).map(|hash| hash.to_string())).await?;
        hash.map_err(|_| ApiError::new("internal", ""))
    }

    /// Whether this is the password; with no hash it is not, and that takes as long.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn is(&self, password: Zeroizing<String>, hash: Option<&Zeroizing<String>>) -> Result<bool, ApiError> {
        let known = hash.is_some();
        let hash = hash.cloned().unwrap_or_else(|| Zeroizing::new(self.nobody.clone()));
        let (argon, nobody) = (self.argon.clone(), self.nobody.clone());
        let same = self.in_turn(move || {
            let is = |hash: &str| {
                PasswordHash::new(hash).is_ok_and(|hash| argon.verify_password(password.as_bytes(), &hash).is_ok())
            };
            if !is_imported(&hash) {
                return is(&hash);
            }
            // bcrypt itself would look at 72 bytes only: what is longer is not right, and answered as late as others.
            bcrypt::non_truncating_verify(password.as_bytes(), &hash).unwrap_or_else(|_| is(&nobody))
        });
        Ok(same.await? && known)
    }

    /// Whether somebody may choose this password, who and whose they are by some words.
    ///
    /// # Errors
    /// 400 with what is wrong.
    pub fn choose(&self, password: &str, words: &[String]) -> Result<(), ApiError> {
        choose(password, words)?;
        if self.leaked.has(password) {
            return Err(ApiError::invalid("password is one that has leaked elsewhere"));
        }
        Ok(())
    }

    /// Whether a hash that was right is not as new ones are, and is to be made anew.
    #[must_use]
    pub fn is_old(&self, hash: &str) -> bool {
        let (memory, rounds, lanes) = COST;
        !hash.starts_with(&format!("$argon2id$v=19$m={memory},t={rounds},p={lanes}$"))
    }
}

/// Costs of a hash that is taken over: at least what OWASP asks for, at most 250 ms of a core.
const COSTS: RangeInclusive<u32> = 10..=12;

/// Whether a hash is one of bcrypt, as other systems have them, neither too cheap nor too dear to look at.
#[must_use]
pub fn is_imported(hash: &str) -> bool {
    let known = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|start| hash.starts_with(start)) && hash.len() == 60;
    known && hash.get(4..6).and_then(|cost| cost.parse::<u32>().ok()).is_some_and(|cost| COSTS.contains(&cost))
}

fn choose(password: &str, words: &[String]) -> Result<(), ApiError> {
    if password.chars().count() < SHORTEST {
        return Err(ApiError::invalid(format!("password must have {SHORTEST} characters or more")));
    }
    if password.len() > LONGEST {
        return Err(ApiError::invalid(format!("password may have {LONGEST} bytes")));
    }
    let parts = words.iter().flat_map(|word| word.split(['@', '.', '-', '_', ' ']).chain([word.as_str()]));
    let words: Vec<_> = parts.filter(|part| part.len() > 2).chain(["wardroom", "whatsapp"]).collect();
    let left = words.iter().fold(password.to_lowercase(), |left, word| left.replace(&word.to_lowercase(), ""));
    if left.chars().count() < OWN {
        return Err(ApiError::invalid("password is too easy to guess: it is made of names that others know"));
    }
    let guess = zxcvbn::zxcvbn(password, &words);
    if u8::from(guess.score()) < STRENGTH {
        let why = guess.feedback().and_then(|feedback| feedback.warning()).map(|warning| format!(": {warning}"));
        return Err(ApiError::invalid(format!("password is too easy to guess{}", why.unwrap_or_default())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use tokio::time::timeout;

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn common_words_and_own_words_are_no_passwords() {
        let words = ["anna".to_owned(), "anna.meier@example.com".to_owned(), "Grand Hotel Budapest".to_owned()];
        for weak in [
            "short",
            "elevenchars",
            "passwordpassword",
            "Password1234!",
            "qwertyuiop123",
            "123456789012",
            "aaaaaaaaaaaaaa",
            &"x7Q ".repeat(100),
            "annameier2024",
            "wardroomwardroom",
            "grandbudapest",
            "iloveyou1234",
        ] {
            assert!(choose(weak, &words).is_err(), "{weak}");
        }
        let long = "vier blaue Stühle im Regen ".repeat(18);
        for good in ["correct horse battery staple", "vier blaue Stühle im Regen", "k9$Lq2!mZr7w", &long] {
            assert!(choose(good, &words).is_ok(), "{good}");
        }
        assert!(choose(&long.repeat(2), &words).is_err(), "too long");
    }

    #[tokio::test]
    async fn a_password_is_known_again_by_old_hashes_too() {
        let passwords = Passwords::new(Leaked::default()).unwrap();
        let hash = Zeroizing::new(passwords.hash(text("vier blaue Stühle")).await.unwrap());
        assert!(passwords.is(text("vier blaue Stühle"), Some(&hash)).await.unwrap());
        assert!(!passwords.is(text("vier blaue Stühl"), Some(&hash)).await.unwrap());
        assert!(!passwords.is(text("vier blaue Stühle"), None).await.unwrap());
        assert!(!passwords.is_old(&hash));
        // Made elsewhere, with the least cost that is taken over.
        let imported = |password: &str| Zeroizing::new(bcrypt::hash(password, *COSTS.start()).unwrap());
        let long = imported(&"x".repeat(80));
        for end in [72, 79, 80] {
            assert!(
                !passwords.is(text(&"x".repeat(end)), Some(&long)).await.unwrap(),
                "{end}: not all of it was looked at"
            );
        }
        let imported = imported("hunter2 hunter2");
        assert!(is_imported(&imported) && passwords.is_old(&imported));
        for other in ["$09$", "$13$"] {
            assert!(!is_imported(&imported.replace("$10$", other)), "{other}");
        }
        assert!(!is_imported("$2b$10$short"));
        assert!(passwords.is(text("hunter2 hunter2"), Some(&imported)).await.unwrap());
        assert!(!passwords.is(text("hunter2 hunter3"), Some(&imported)).await.unwrap());
        assert!(!passwords.is(text("x"), Some(&text("no hash"))).await.unwrap());
    }

    #[tokio::test]
    async fn who_leaves_or_brings_a_panic_holds_nobody_up() {
        let passwords = Passwords::new(Leaked::default()).unwrap();
        let bug = passwords.in_turn(|| std::panic::resume_unwind(Box::new("a bug")));
        assert_eq!(Result::<(), _>::unwrap_err(bug.await).code(), "unavailable");
        let looked = Arc::new(AtomicBool::new(false));
        let (go, wait) = std::sync::mpsc::channel();
        let mut first = std::pin::pin!(passwords.in_turn(move || wait.recv().is_ok()));
        assert!(timeout(Duration::ZERO, &mut first).await.is_err(), "it waits");
        let look = Arc::clone(&looked);
        let left = passwords.in_turn(move || look.store(true, Ordering::Relaxed));
        assert!(timeout(Duration::ZERO, left).await.is_err(), "it waits behind the first");
        go.send(()).unwrap();
        assert!(first.await.unwrap());
        assert!(passwords.in_turn(|| true).await.unwrap());
        assert!(!looked.load(Ordering::Relaxed), "nobody waited for it any more");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_finds_too_many_waiting_is_told_so() {
        let passwords = Arc::new(Passwords::new(Leaked::default()).unwrap());
        let all: Vec<_> = (0..WAITING + 8)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.is(text("x"), None).await })
            })
            .collect();
        let mut refused = 0;
        for one in all {
            refused += usize::from(one.await.unwrap().is_err_and(|error| error.code() == "unavailable"));
        }
        assert!((1..=8).contains(&refused), "{refused}");
    }
}
