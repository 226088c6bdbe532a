//! Who fails too often. An address from which keys are guessed is shut out; a key whose calls are refused again and again is
//! slowed down; while sign-ins fail from many addresses, people sign in only from where they did before. Everything here is in memory, counted in fixed windows, and bounded.

use super::alarm::Alarm;
use crate::config;
use crate::metrics::Metrics;
use dashmap::DashMap;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use uuid::Uuid;
use wardroom_actors::ports::clock::Clock;

/// Addresses, and pairs of an address and a key that was good there, that are remembered. What comes when there is no room is
/// not counted until there is.
const MOST: usize = 1 << 20;

/// Numbers of the config.
#[derive(Clone, Copy, Debug)]
pub struct WatchPolicy {
    /// Failures of an address in a window that shut it out; 0: none do.
    pub failures: u32,
    /// That window, in seconds.
    pub failures_within_s: u32,
    /// For how long it is shut out, in seconds.
    pub block_s: u32,
    /// Addresses from which sign-ins fail in that window until people sign in only from where they did before; 0: no number.
    pub sign_in_origins: usize,
    /// Refused calls of a key in a minute; one more slows it down. 0: none does.
    pub refusals: u32,
    /// For how long, in seconds; and for how long people sign in only from where they did before.
    pub slow_s: u32,
}

/// Passwords that leaked elsewhere are tried one by one, each from another address.
#[derive(Debug, Default)]
struct Stuffing {
    since: u32,
    origins: HashSet<Origin>,
    /// It goes on until then.
    until: u32,
}

impl From<&config::Guard> for WatchPolicy {
    fn from(guard: &config::Guard) -> Self {
        Self {
            failures: guard.failures,
            failures_within_s: guard.failures_within_s,
            block_s: guard.block_s,
            sign_in_origins: guard.sign_in_origins,
            refusals: guard.refusals,
            slow_s: guard.slow_s,
        }
    }
}

/// A minute, in which refusals are counted.
const MINUTE_S: u32 = 60;

/// Where a request comes from, as far as it is told apart: an IPv4 address, or the 64 bits of an IPv6 address that a customer of
/// a provider has for themselves. In one number, for there may be a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(u64);

/// IPv4 stands where IPv6 has multicast, from which nothing comes.
const V4: u64 = 0xff << 56;

impl Origin {
    /// The network of whoever has it: of an IPv6 address the 48 bits that one customer may have.
    fn site(self) -> Self {
        if self.0 & V4 == V4 { self } else { Self(self.0 & !0xffff) }
    }
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(V4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self(u64::try_from(address.to_bits() >> 64).unwrap_or_default()),
        }
    }
}

impl fmt::Display for Origin {
    /// Its first address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.0 ^ V4) {
            Ok(bits) => Ipv4Addr::from_bits(bits).fmt(f),
            Err(_) => Ipv6Addr::from_bits(u128::from(self.0) << 64).fmt(f),
        }
    }
}

/// What is counted of somebody, in seconds of the server's clock. Small, for there may be a million of them.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Since when it is counted; or until when something holds.
    at: u32,
    /// How often it came; or [`HELD`].
    count: u32,
}

/// Stands in the place of a count while something holds.
const HELD: u32 = u32::MAX;

/// What is counted of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    refused: Tally,
    /// While it is slowed down: when it last called.
    last: u32,
}

impl Tally {
    /// Until when something holds; 0 where nothing does.
    fn until(self) -> u32 {
        if self.count == HELD { self.at } else { 0 }
    }

    /// Counts one more; true when it is the one that is too many.
    fn add(&mut self, now: u32, within: u32, most: u32, for_s: u32) -> bool {
        if now < self.until() {
            return false;
        }
        if self.count == HELD || now.saturating_sub(self.at) >= within {
            *self = Self { at: now, count: 0 };
        }
        self.count = self.count.saturating_add(1).min(HELD - 1);
        let over = most > 0 && self.count >= most;
        if over {
            *self = Self { at: now.saturating_add(for_s), count: HELD };
        }
        over
    }

    fn is_over(self, now: u32, within: u32) -> bool {
        if self.count == HELD { now >= self.at } else { now.saturating_sub(self.at) >= within }
    }
}

/// An address that is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Who.
    pub origin: Origin,
    /// For how many seconds more.
    pub left_s: u32,
}

/// The one who counts.
pub struct Watch {
    policy: WatchPolicy,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    alarm: OnceLock<Arc<Alarm>>,
    failures: DashMap<Origin, Tally, RandomState>,
    stuffing: Mutex<Stuffing>,
    refusals: DashMap<Uuid, Calls, RandomState>,
    /// Keys that were good at an address, and when: whoever shares it with somebody who guesses is not shut out with them.
    good: DashMap<(Origin, u64), u32, RandomState>,
}

/// For how long a key that was good at an address is remembered, in seconds.
const GOOD_S: u32 = 24 * 3600;

pub(super) fn short(key: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Watch {
    /// One that has counted nothing.
    #[must_use]
    pub fn new(policy: WatchPolicy, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let (failures, refusals, good) = (DashMap::default(), DashMap::default(), DashMap::default());
        let stuffing = Mutex::default();
        Self { policy, clock, metrics, alarm: OnceLock::new(), failures, stuffing, refusals, good }
    }

    /// From now on what is severe is told to operators.
    pub fn connect(&self, alarm: Arc<Alarm>) {
        let _ = self.alarm.set(alarm);
    }

    fn now(&self) -> u32 {
        u32::try_from(self.clock.now() / 1000).unwrap_or(u32::MAX)
    }

    /// Whether a key from there is looked at.
    ///
    /// # Errors
    /// Seconds until it is.
    pub fn admits(&self, origin: Origin, key: &str) -> Result<(), u32> {
        let now = self.now();
        let until = self.failures.get(&origin).map_or(0, |tally| tally.until());
        if now >= until || self.good.contains_key(&(origin, short(key))) { Ok(()) } else { Err(until - now) }
    }

    /// Whether it was good there.
    #[must_use]
    pub fn knows(&self, origin: Origin, key: &str) -> bool {
        self.good.contains_key(&(origin, short(key)))
    }

    /// A key from there was none.
    pub fn failed(&self, origin: Origin) {
        let WatchPolicy { failures, failures_within_s, block_s, .. } = self.policy;
        if failures == 0 || !has_room(&self.failures, &origin) {
            return;
        }
        let over = self.failures.entry(origin).or_default().add(self.now(), failures_within_s, failures, block_s);
        if over {
            self.count("key_guessing", "high", || origin.to_string());
            tracing::warn!(%origin, failures, block_s, "keys are guessed: this address is shut out");
        }
    }

    /// Somebody failed to sign in from there.
    pub fn sign_in_failed(&self, origin: Origin) {
        self.failed(origin);
        let WatchPolicy { failures_within_s, sign_in_origins, slow_s, .. } = self.policy;
        if sign_in_origins == 0 {
            return;
        }
        let now = self.now();
        let mut stuffing = self.stuffing.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(stuffing.since) >= failures_within_s {
            stuffing.since = now;
            stuffing.origins.clear();
        }
        stuffing.origins.insert(origin.site());
        if stuffing.origins.len() >= sign_in_origins && now >= stuffing.until {
            stuffing.until = now.saturating_add(slow_s);
            stuffing.origins.clear();
            drop(stuffing);
            self.count("credential_stuffing", "high", || format!("{sign_in_origins} addresses"));
            tracing::warn!(
                sign_in_origins,
                slow_s,
                "sign-ins fail from many addresses: now only from where people were before"
            );
        }
    }

    /// Seconds for which people sign in only from where they did before, while that is so.
    #[must_use]
    pub fn stuffed_s(&self) -> Option<u32> {
        let until = self.stuffing.lock().unwrap_or_else(PoisonError::into_inner).until;
        until.checked_sub(self.now()).filter(|left| *left > 0)
    }

    /// Lets people sign in from everywhere again; false when they were let.
    pub fn forgive(&self) -> bool {
        let was = self.stuffed_s().is_some();
        *self.stuffing.lock().unwrap_or_else(PoisonError::into_inner) = Stuffing::default();
        was
    }

    /// A key from there was good.
    pub fn succeeded(&self, origin: Origin, key: &str) {
        let (place, now) = ((origin, short(key)), self.now());
        let WatchPolicy { failures, sign_in_origins, .. } = self.policy;
        if (failures > 0 || sign_in_origins > 0) && has_room(&self.good, &place) {
            self.good.insert(place, now);
        }
    }

    /// Whether a key may call now: one that is slowed down once a second.
    pub fn lets_call(&self, key: Uuid) -> bool {
        let now = self.now();
        let Some(mut calls) = self.refusals.get_mut(&key) else { return true };
        let lets = now >= calls.refused.until() || now > calls.last;
        calls.last = now;
        lets
    }

    /// A call of a key was refused.
    pub fn refused(&self, key: Uuid) {
        let WatchPolicy { refusals, slow_s, .. } = self.policy;
        if refusals == 0 || !has_room(&self.refusals, &key) {
            return;
        }
        if self.refusals.entry(key).or_default().refused.add(self.now(), MINUTE_S, refusals.saturating_add(1), slow_s) {
            self.count("calls_refused", "high", || key.to_string());
            tracing::warn!(%key, refusals, slow_s, "calls of this key are refused again and again: it may call once a second");
        }
    }

    /// Something happened that is counted, to somebody or from somewhere; operators are told of what is severe.
    pub fn count(&self, event: &'static str, severity: &'static str, about: impl FnOnce() -> String) {
        self.metrics.security(event, severity);
        if let Some(alarm) = self.alarm.get().filter(|_| severity == "high") {
            alarm.raise(event, severity, about());
        }
    }

    /// Who is shut out.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let now = self.now();
        let block = |origin, until: u32| Block { origin, left_s: until.saturating_sub(now) };
        let mut blocks: Vec<_> = self.failures.iter().map(|one| block(*one.key(), one.until())).collect();
        blocks.retain(|block| block.left_s > 0);
        blocks.sort_by_key(|block| block.origin);
        blocks
    }

    /// Lets an address in again; false when it was not shut out.
    pub fn unblock(&self, origin: Origin) -> bool {
        let now = self.now();
        self.failures.remove(&origin).is_some_and(|(_, tally)| tally.until() > now)
    }

    /// Keys (of people: their stays) that are slowed down, and for how many seconds more.
    #[must_use]
    pub fn slowed(&self) -> Vec<(Uuid, u32)> {
        let now = self.now();
        let left = |calls: &Calls| calls.refused.until().saturating_sub(now);
        let mut slowed: Vec<_> = self.refusals.iter().map(|one| (*one.key(), left(&one))).collect();
        slowed.retain(|(_, left_s)| *left_s > 0);
        slowed.sort_unstable();
        slowed
    }

    /// Lets a key call as often as others again; false when it was not slowed down.
    pub fn hurry(&self, key: Uuid) -> bool {
        let now = self.now();
        self.refusals.remove(&key).is_some_and(|(_, calls)| calls.refused.until() > now)
    }

    /// Forgets what is over; to be called every minute or so.
    pub fn tidy(&self) {
        let (now, within) = (self.now(), self.policy.failures_within_s);
        self.failures.retain(|_, tally| !tally.is_over(now, within));
        self.refusals.retain(|_, calls| !calls.refused.is_over(now, MINUTE_S));
        self.good.retain(|_, at| now.saturating_sub(*at) < GOOD_S);
        self.failures.shrink_to_fit();
        self.good.shrink_to_fit();
    }
}

fn has_room<K: Eq + Hash, V, S: BuildHasher + Clone>(table: &DashMap<K, V, S>, key: &K) -> bool {
    table.contains_key(key) || table.len() < MOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_actors::testing::SharedClock;

    const POLICY: WatchPolicy = WatchPolicy {
        failures: 5,
        failures_within_s: 300,
        block_s: 3600,
        sign_in_origins: 50,
        refusals: 100,
        slow_s: 300,
    };

    fn watch() -> (Watch, SharedClock) {
        let clock = SharedClock::default();
        (Watch::new(POLICY, Arc::new(clock.clone()), Arc::new(Metrics::new().unwrap())), clock)
    }

    fn origin(text: &str) -> Origin {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn who_guesses_keys_is_shut_out_and_nobody_else() {
        let (watch, clock) = watch();
        let (bad, good) = (origin("203.0.113.7"), origin("203.0.113.8"));
        watch.succeeded(bad, "a neighbour's");
        for _ in 0..4 {
            watch.failed(bad);
        }
        assert_eq!(watch.admits(bad, "guess"), Ok(()));
        watch.failed(bad);
        assert_eq!(watch.admits(bad, "guess"), Err(3600));
        assert_eq!(watch.admits(bad, "a neighbour's"), Ok(()), "whoever was there before stays");
        assert_eq!(watch.admits(good, "guess"), Ok(()));
        assert_eq!(watch.blocks(), [Block { origin: bad, left_s: 3600 }]);
        clock.0.advance(3_599_000);
        assert_eq!(watch.admits(bad, "guess"), Err(1));
        clock.0.advance(1_000);
        assert_eq!((watch.admits(bad, "guess"), watch.blocks()), (Ok(()), vec![]));
        watch.tidy();
        assert!(watch.failures.is_empty());
    }

    #[test]
    fn slow_guesses_are_no_guesses_and_an_operator_lets_in() {
        let (watch, clock) = watch();
        let one = origin("2001:db8:1:2:3::1");
        for _ in 0..20 {
            watch.failed(one);
            clock.0.advance(75_000);
        }
        assert_eq!(watch.admits(one, "guess"), Ok(()), "four within five minutes");
        for _ in 0..5 {
            watch.failed(origin("2001:db8:1:2:ffff::9"));
        }
        assert!(watch.admits(one, "guess").is_err(), "one customer's addresses are one");
        assert!(watch.admits(origin("2001:db8:1:3::1"), "guess").is_ok());
        assert_eq!(watch.blocks()[0].origin.to_string(), "2001:db8:1:2::");
        assert!(watch.unblock(one) && !watch.unblock(one));
        assert_eq!(watch.admits(one, "guess"), Ok(()));
    }

    #[test]
    fn many_addresses_that_fail_once_each_are_noticed() {
        let (watch, clock) = watch();
        clock.0.advance(600_000);
        let from = |n: u32| Origin::from(IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)));
        for n in 0..49 {
            watch.sign_in_failed(from(n));
        }
        for _ in 0..4 {
            watch.sign_in_failed(from(1));
        }
        assert_eq!(watch.stuffed_s(), None, "one address again and again is another matter");
        for n in 0..100 {
            watch.sign_in_failed(origin(&format!("2001:db8:7:{n:x}::1")));
        }
        assert_eq!(watch.stuffed_s(), Some(300), "fifty, of which one has many addresses");
        assert!(watch.forgive());
        for n in 0..48 {
            watch.sign_in_failed(from(n));
            watch.sign_in_failed(origin(&format!("2001:db8:7:{n:x}::1")));
        }
        assert_eq!(watch.stuffed_s(), None, "forty-nine");
        clock.0.advance(300_000);
        watch.sign_in_failed(from(50));
        assert_eq!(watch.stuffed_s(), None, "another five minutes");
        for n in 51..100 {
            watch.sign_in_failed(from(n));
        }
        assert_eq!(watch.stuffed_s(), Some(300));
        assert!(watch.stuffing.lock().unwrap().origins.len() < 50, "what is remembered is bounded");
        clock.0.advance(299_000);
        assert_eq!(watch.stuffed_s(), Some(1));
        assert!(watch.forgive() && !watch.forgive());
        assert_eq!(watch.stuffed_s(), None);
    }

    #[test]
    fn a_key_that_is_refused_too_often_is_slowed_down() {
        let (watch, clock) = watch();
        let (key, other) = (Uuid::new_v4(), Uuid::new_v4());
        clock.0.advance(60_000);
        for _ in 0..100 {
            watch.refused(key);
        }
        clock.0.advance(60_000);
        watch.refused(key);
        assert!(watch.lets_call(key) && watch.lets_call(key), "another minute");
        for _ in 0..99 {
            watch.refused(key);
        }
        assert_eq!(watch.slowed(), [], "a hundred");
        watch.refused(key);
        assert_eq!(watch.slowed(), [(key, 300)]);
        assert!(!watch.lets_call(key) && watch.lets_call(other) && watch.lets_call(other));
        clock.0.advance(1_000);
        assert!(watch.lets_call(key) && !watch.lets_call(key), "once a second");
        clock.0.advance(299_000);
        assert!(watch.lets_call(key) && watch.lets_call(key) && !watch.hurry(key));
        for _ in 0..=100 {
            watch.refused(key);
        }
        assert!(watch.hurry(key) && watch.lets_call(key) && watch.lets_call(key), "an operator lets it");
    }

    #[test]
    fn an_address_is_the_same_in_both_clothes() {
        assert_ne!(origin("::1"), origin("0.0.0.0"));
        assert_eq!(origin("::ffff:203.0.113.7"), origin("203.0.113.7"));
        assert_eq!(origin("203.0.113.7").to_string(), "203.0.113.7");
    }
}
