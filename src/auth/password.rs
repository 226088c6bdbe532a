//! Passwords: how they are kept, and which are none. Lengths and the absence of rules about kinds of characters follow OWASP ASVS 5.0,
//! 6.2; the cost its appendix C.

use super::leaked::Leaked;
use crate::error::ApiError;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;
use tokio::time::timeout;
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
/// How long one waits for a core that nobody else wants; one takes 15 to 20 ms.
const PATIENCE: Duration = Duration::from_millis(500);
/// How far whoever looks at it then gives way to the others, of 19.
const NICE: i32 = 10;
/// How long memory is kept for the next: to map it anew takes nearly as long as to look at a password.
const KEPT: Duration = Duration::from_secs(60);

type Work = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// A thread that looks at passwords, one after the other: each takes 19 MiB. It ends with this.
struct Looking(SyncSender<Work>);

impl Looking {
    fn start(name: &str, give_way: fn()) -> std::io::Result<Self> {
        let (work, waiting) = sync_channel::<Work>(WAITING);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            give_way();
            let mut memory = vec![];
            loop {
                match waiting.recv_timeout(KEPT) {
                    // Whoever waits for it hears when nothing comes of it.
                    Ok(one) => drop(catch_unwind(AssertUnwindSafe(|| one(&mut memory)))),
                    Err(RecvTimeoutError::Timeout) => memory = vec![],
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        })?;
        Ok(Self(work))
    }

    /// Nothing comes of it when too many wait. What nobody waits for any more is not looked at.
    fn take<T, W>(&self, work: &Arc<W>) -> oneshot::Receiver<T>
    where
        T: Send + 'static,
        W: Fn(&mut Vec<Block>) -> T + Send + Sync + 'static,
    {
        let (answer, done) = oneshot::channel();
        let work = Arc::downgrade(work);
        let work = move |memory: &mut Vec<Block>| {
            if let Some(work) = work.upgrade() {
                let _ = answer.send(work(memory));
            }
        };
        let _ = self.0.try_send(Box::new(work));
        done
    }
}

fn busy() -> ApiError {
    ApiError::new("unavailable", "Too many sign in at once").retry(2)
}

/// Who looks at passwords.
pub struct Passwords {
    argon: Argon2<'static>,
    /// The hash of a password that nobody has: for whoever is not known, so that they are answered as late as others.
    nobody: String,
    leaked: Leaked,
    /// Runs where nobody else wants to, so that who signs in holds no other request up.
    spare: Looking,
    /// Looks at what the first does not get to, because the machine has too much to do.
    gentle: Looking,
}

impl Passwords {
    /// Starts the threads, which end with this. Nobody chooses what has leaked.
    ///
    /// # Errors
    /// When the operating system has no randomness, or no thread.
    pub fn new(leaked: Leaked) -> anyhow::Result<Self> {
        let (memory, rounds, lanes) = COST;
        let params = Params::new(memory, rounds, lanes, None).map_err(|bad| anyhow::anyhow!("argon2: {bad}"))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon.hash_password(uuid::Uuid::new_v4().as_bytes());
        let nobody = nobody.map_err(|bad| anyhow::anyhow!("argon2: {bad}"))?.to_string();
        let spare = Looking::start("passwords", || {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        })?;
        let gentle = Looking::start("passwords-late", || {
            let _ = rustix::process::setpriority_process(None, NICE);
        })?;
        Ok(Self { argon, nobody, leaked, spare, gentle })
    }

    async fn in_turn<T, W>(&self, work: W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        W: Fn(&mut Vec<Block>) -> T + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let mut first = self.spare.take(&work);
        match timeout(PATIENCE, &mut first).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => self.gentle.take(&work).await.map_err(|_| busy()),
            Err(_) => tokio::select! {
                Ok(done) = first => Ok(done),
                Ok(done) = self.gentle.take(&work) => Ok(done),
                else => Err(busy()),
            },
        }
    }

    /// What is kept of a password.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, ApiError> {
        let argon = self.argon.clone();
        // It takes memory of its own, which is not to be held by a thread that waits for a core.
        let work = Arc::new(move |_: &mut Vec<Block>| argon.hash_password(password.as_bytes()));
        let hash = self.gentle.take(&work).await.map_err(|_| busy())?;
        Ok(hash.map_err(|_| ApiError::new("internal", ""))?.to_string())
    }

    /// Whether this is the password; with no hash it is not, and that takes as long.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub async fn is(&self, password: Zeroizing<String>, hash: Option<&Zeroizing<String>>) -> Result<bool, ApiError> {
        let known = hash.is_some();
        let hash = hash.cloned().unwrap_or_else(|| Zeroizing::new(self.nobody.clone()));
        let nobody = self.nobody.clone();
        let same = self.in_turn(move |memory| {
            let mut is = |hash: &str| is(password.as_bytes(), hash, memory).unwrap_or(false);
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

/// Whether a password is the one of which this is kept, in time that tells nothing; nothing when it is no hash of argon2.
fn is(password: &[u8], hash: &str, memory: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let (salt, kept, params) = (hash.salt.as_ref()?, hash.hash.as_ref()?, Params::try_from(&hash).ok()?);
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    memory.resize(params.block_count(), Block::new());
    let argon = Argon2::new(algorithm, version, params);
    let mut out = Zeroizing::new(vec![0; kept.len()]);
    argon.hash_password_into_with_memory(password, salt, &mut out, memory).ok()?;
    Some(Output::new(&out).ok()? == *kept)
}

/// Costs of a hash that is taken over: at least what OWASP asks for, at most 250 ms of a core.
const COSTS: RangeInclusive<u32> = 10..=12;

/// Whether a hash is one of bcrypt, as other systems have them, neither too cheap nor too dear to look at.
#[must_use]
pub fn is_imported(hash: &str) -> bool {
    let known = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().find_map(|start| hash.strip_prefix(start));
    let Some((cost, rest)) = known.and_then(|rest| rest.split_once('$')) else { return false };
    let digits = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    cost.len() == 2
        && cost.parse::<u32>().is_ok_and(|cost| COSTS.contains(&cost))
        && rest.len() == 53
        && rest.bytes().all(digits)
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
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, mpsc};

    proptest! {
        #[test]
        fn a_hash_is_one_of_ours_or_refused(
            hash in "\\$argon2(id|i|d|x)\\$v=(16|19|7)\\$m=[0-9]{1,2},t=[0-2],p=[0-2]\\$[A-Za-z0-9+/]{0,24}(\\$[A-Za-z0-9+/]{0,43})?\
                     |\\$2[abxy]?\\$[0-9]{1,2}.[./A-Za-z0-9]{52,54}|\\PC{0,80}",
        ) {
            prop_assert!(is(b"four blue chairs", &hash, &mut vec![]) != Some(true));
            if is_imported(&hash) {
                prop_assert!(["$10$", "$11$", "$12$"].iter().any(|cost| hash[3..].starts_with(cost)), "{}", hash);
            }
        }
    }

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
        // With another cost, as they were kept before.
        let other = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 3, 2, None).unwrap());
        let other = text(&other.hash_password(b"vier blaue St\xc3\xbchle").unwrap().to_string());
        assert!(passwords.is_old(&other));
        assert!(!passwords.is(text("vier blaue Stühl"), Some(&other)).await.unwrap());
        for hash in [&other, &hash] {
            assert!(
                passwords.is(text("vier blaue Stühle"), Some(hash)).await.unwrap(),
                "what was looked at before is gone"
            );
        }
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
        let bug = passwords.in_turn(|_| std::panic::resume_unwind(Box::new("a bug")));
        assert_eq!(Result::<(), _>::unwrap_err(bug.await).code(), "unavailable");
        let looked = Arc::new(AtomicBool::new(false));
        let (go, wait) = mpsc::channel();
        let wait = Mutex::new(wait);
        let mut first = std::pin::pin!(passwords.in_turn(move |_| wait.lock().unwrap().recv().is_ok()));
        assert!(timeout(Duration::ZERO, &mut first).await.is_err(), "it waits");
        let look = Arc::clone(&looked);
        let left = passwords.in_turn(move |_| look.store(true, Ordering::Relaxed));
        assert!(timeout(Duration::ZERO, left).await.is_err(), "it waits behind the first");
        go.send(()).unwrap();
        assert!(first.await.unwrap());
        let last = Arc::new(|_: &mut Vec<Block>| true);
        assert!(passwords.spare.take(&last).await.unwrap());
        assert!(!looked.load(Ordering::Relaxed), "nobody waited for it any more");
    }

    #[tokio::test]
    async fn what_is_kept_waiting_is_looked_at_by_another() {
        let passwords = Passwords::new(Leaked::default()).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let late = passwords.in_turn(move |_| {
            let by = std::thread::current().name().map(str::to_owned);
            let kept = by.as_deref() == Some("passwords") && wait.lock().unwrap().recv().is_ok();
            (by, kept)
        });
        assert_eq!(late.await.unwrap(), (Some("passwords-late".to_owned()), false));
        drop(go);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_finds_too_many_waiting_is_told_so() {
        let passwords = Arc::new(Passwords::new(Leaked::default()).unwrap());
        let all: Vec<_> = (0..2 * WAITING + 16)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.is(text("x"), None).await })
            })
            .collect();
        let mut refused = 0;
        for one in all {
            refused += usize::from(one.await.unwrap().is_err_and(|error| error.code() == "unavailable"));
        }
        assert!((1..=16).contains(&refused), "{refused}");
    }
}
