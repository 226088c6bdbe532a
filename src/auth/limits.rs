//! How often somebody may try: by where they come from, and by whom they say to be. Counted by governor, on the server's clock.

use super::watch::{Origin, short};
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::clock::Clock;

/// Keys that are remembered; beyond, nobody may try until old ones are forgotten.
const MOST: usize = 1 << 20;
/// Seconds until that.
const FULL_S: u64 = 60;
/// As many people are behind a proxy that nobody listed.
const BEHIND: u32 = 10;

#[derive(Clone)]
struct Ours(Arc<dyn Clock>);

impl GovernorClock for Ours {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Duration::from_millis(self.0.now()).into()
    }
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, Ours, NoOpMiddleware<Nanos>>;

/// At most so many a minute of each key.
struct PerMinute<K: Hash + Eq + Clone> {
    limiter: Option<Limiter<K>>,
    clock: Ours,
}

impl<K: Hash + Eq + Clone> PerMinute<K> {
    fn new(most: u32, clock: Arc<dyn Clock>) -> Self {
        let clock = Ours(clock);
        let quota = NonZeroU32::new(most).map(Quota::per_minute);
        Self { limiter: quota.map(|quota| RateLimiter::dashmap_with_clock(quota, clock.clone())), clock }
    }

    /// Counts one; seconds until the next where it is one too many.
    fn admits(&self, key: &K) -> Result<(), u64> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if limiter.len() >= MOST {
            return Err(FULL_S);
        }
        limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()).as_secs() + 1)
    }

    fn tidy(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Limits of whoever is not known yet, and of what costs others something.
pub struct Limits {
    by_origin: PerMinute<Origin>,
    by_proxy: PerMinute<IpAddr>,
    by_account: PerMinute<u64>,
    tests_of: PerMinute<(TenantId, UserId)>,
}

impl Limits {
    /// So many tries to sign in a minute, and so many receivers that are tried out; 0: any number.
    #[must_use]
    pub fn new(sign_ins: u32, tests: u32, clock: &Arc<dyn Clock>) -> Self {
        Self {
            by_origin: PerMinute::new(sign_ins, Arc::clone(clock)),
            by_proxy: PerMinute::new(sign_ins.saturating_mul(BEHIND), Arc::clone(clock)),
            by_account: PerMinute::new(sign_ins, Arc::clone(clock)),
            tests_of: PerMinute::new(tests, Arc::clone(clock)),
        }
    }

    /// Somebody tries to sign in from there.
    ///
    /// # Errors
    /// Seconds until they may.
    pub fn from(&self, origin: Origin) -> Result<(), u64> {
        self.by_origin.admits(&origin)
    }

    /// Somebody tries to sign in through a proxy that hides who.
    ///
    /// # Errors
    /// Seconds until they may.
    pub fn from_many(&self, proxy: IpAddr) -> Result<(), u64> {
        self.by_proxy.admits(&proxy)
    }

    /// Somebody tries to sign in as this one.
    ///
    /// # Errors
    /// Seconds until they may.
    pub fn as_account(&self, account: &str) -> Result<(), u64> {
        self.by_account.admits(&short(account))
    }

    /// A user has the server connect to somewhere, only to see whether it can.
    ///
    /// # Errors
    /// Seconds until they may.
    pub fn tests(&self, tenant: TenantId, user: UserId) -> Result<(), u64> {
        self.tests_of.admits(&(tenant, user))
    }

    /// Forgets what is over.
    pub fn tidy(&self) {
        self.by_origin.tidy();
        self.by_proxy.tidy();
        self.by_account.tidy();
        self.tests_of.tidy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_actors::testing::SharedClock;

    #[test]
    fn five_a_minute_come_through_and_one_more_each_twelve_seconds() {
        let time = SharedClock::default();
        let clock: Arc<dyn Clock> = Arc::new(time.clone());
        let limits = Limits::new(5, 10, &clock);
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let origin = |last| Origin::from(address(last));
        for _ in 0..5 {
            assert_eq!(limits.from(origin(1)), Ok(()));
        }
        let wait = limits.from(origin(1)).unwrap_err();
        assert!((12..=13).contains(&wait), "{wait}");
        assert_eq!(limits.from(origin(2)), Ok(()), "a neighbour");
        assert!((0..50).all(|_| limits.from_many(address(1)).is_ok()) && limits.from_many(address(1)).is_err());
        time.0.advance(12_000);
        assert_eq!(limits.from(origin(1)), Ok(()));
        assert!(limits.from(origin(1)).is_err());
        for _ in 0..5 {
            assert_eq!(limits.as_account("a@example.com"), Ok(()));
        }
        assert!(limits.as_account("a@example.com").is_err() && limits.as_account("b@example.com").is_ok());
        let (tenant, user) = (TenantId::generate(), UserId::generate());
        assert!((0..10).all(|_| limits.tests(tenant, user).is_ok()) && limits.tests(tenant, user).is_err());
        assert!(limits.tests(tenant, UserId::generate()).is_ok());
        time.0.advance(120_000);
        limits.tidy();
        assert_eq!(limits.by_origin.limiter.as_ref().unwrap().len(), 0);
        let any = Limits::new(0, 0, &clock);
        assert!((0..100).all(|_| any.from(origin(1)).is_ok()));
    }
}
