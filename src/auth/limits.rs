//! How often somebody may try and call: by where they come from, by whom they say to be, by key, tenant and route. Counted by governor,
//! on the server's clock.

use super::watch::{Origin, short};
use crate::config;
use crate::store::repo::identity::Holder;
use actix_web::http::Method;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
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
        if self.is_full() {
            return Err(FULL_S);
        }
        limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()).as_secs() + 1)
    }

    fn is_full(&self) -> bool {
        self.limiter.as_ref().is_some_and(|limiter| limiter.len() >= MOST)
    }

    fn tidy(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// How often the API may be called.
struct Calls {
    by_origin: PerMinute<Origin>,
    by_key: PerMinute<Uuid>,
    by_tenant: PerMinute<TenantId>,
    by_route: HashMap<String, PerMinute<(TenantId, UserId)>>,
}

/// Limits of whoever is not known yet, and of what costs others something.
pub struct Limits {
    by_origin: PerMinute<Origin>,
    by_proxy: PerMinute<IpAddr>,
    by_account: PerMinute<u64>,
    tests_of: PerMinute<(TenantId, UserId)>,
    calls: Calls,
}

impl Limits {
    /// Those of the config.
    ///
    /// # Errors
    /// A line of `guard.calls_per_route` that names no route or number.
    pub fn new(guard: &config::Guard, is_route: fn(&str) -> bool, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        fn most<K: Hash + Eq + Clone>(most: u32, clock: &Arc<dyn Clock>) -> PerMinute<K> {
            PerMinute::new(most, Arc::clone(clock))
        }
        let read = |line: &String| {
            let (route, limit) = line.rsplit_once(' ')?;
            let limit = limit.parse().ok().filter(|_| is_route(route))?;
            Some((route.to_owned(), most(limit, clock)))
        };
        let by_route = guard.calls_per_route.iter().map(|line| read(line).ok_or_else(|| line.clone()));
        Ok(Self {
            by_origin: most(guard.sign_ins, clock),
            by_proxy: most(guard.sign_ins.saturating_mul(BEHIND), clock),
            by_account: most(guard.sign_ins, clock),
            tests_of: most(guard.connection_tests, clock),
            calls: Calls {
                by_origin: most(guard.calls_per_address, clock),
                by_key: most(guard.calls_per_key, clock),
                by_tenant: most(guard.calls_per_tenant, clock),
                by_route: by_route.collect::<Result<_, _>>()?,
            },
        })
    }

    /// Somebody calls from there, whoever it is.
    ///
    /// # Errors
    /// Seconds until they may.
    pub fn calls_from(&self, origin: Origin) -> Result<(), u64> {
        // Whoever calls from many addresses must not keep the others out: what finds no room is not counted.
        if self.calls.by_origin.is_full() { Ok(()) } else { self.calls.by_origin.admits(&origin) }
    }

    /// Somebody who is known calls a route, like `POST /api/sendText`.
    ///
    /// # Errors
    /// Seconds until they may.
    pub fn calls(&self, holder: &Holder, method: &Method, pattern: &str) -> Result<(), u64> {
        let Calls { by_key, by_tenant, by_route, .. } = &self.calls;
        by_key.admits(&holder.key)?;
        by_tenant.admits(&holder.tenant)?;
        if by_route.is_empty() {
            return Ok(());
        }
        let route = by_route.get(&format!("{method} {pattern}"));
        route.map_or(Ok(()), |route| route.admits(&(holder.tenant, holder.user)))
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
        self.calls.by_origin.tidy();
        self.calls.by_key.tidy();
        self.calls.by_tenant.tidy();
        self.calls.by_route.values().for_each(PerMinute::tidy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::docs::is_route;
    use crate::store::repo::identity::Actions;
    use proptest::prelude::*;
    use wardroom_actors::testing::SharedClock;

    fn limits(settings: &[(&str, &str)], clock: &Arc<dyn Clock>) -> Result<Limits, String> {
        let settings = settings.iter().map(|(name, value)| (format!("WARDROOM__GUARD__{name}"), (*value).to_owned()));
        Limits::new(&config::with(settings).unwrap().guard, is_route, clock)
    }

    proptest! {
        #[test]
        fn a_limit_of_a_route_is_read_or_refused(line in "(/api/sessions|/ws|[ -~]{0,20}) ?([0-9]{0,12}|[ -~]{0,5})|\\PC{0,40}") {
            let guard = config::Guard { calls_per_route: vec![line.clone()], ..config::with(std::iter::empty()).unwrap().guard };
            let clock: Arc<dyn Clock> = Arc::new(SharedClock::default());
            match Limits::new(&guard, is_route, &clock) {
                Ok(_) => {
                    let (route, most) = line.rsplit_once(' ').unwrap();
                    prop_assert!(is_route(route) && most.parse::<u32>().is_ok(), "{}", line);
                }
                Err(said) => prop_assert_eq!(said, line),
            }
        }
    }

    #[test]
    fn five_a_minute_come_through_and_one_more_each_twelve_seconds() {
        let time = SharedClock::default();
        let clock: Arc<dyn Clock> = Arc::new(time.clone());
        let limits = limits(&[], &clock).unwrap();
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
    }

    #[test]
    fn calls_are_counted_by_address_key_tenant_and_route() {
        let time = SharedClock::default();
        let clock: Arc<dyn Clock> = Arc::new(time.clone());
        let settings = [
            ("CALLS_PER_ADDRESS", "9"),
            ("CALLS_PER_KEY", "4"),
            ("CALLS_PER_TENANT", "6"),
            ("CALLS_PER_ROUTE", "POST /api/sendText 2, DELETE /api/sessions/{session} 0"),
        ];
        let all = limits(&settings, &clock).unwrap();
        let holder = |tenant, user, key: u128| Holder {
            key: Uuid::from_u128(key),
            stay: None,
            role: None,
            has_second_factor: false,
            tenant,
            user,
            is_admin: false,
            session: None,
            actions: Actions::default(),
            files: false,
        };
        let (tenant, one, other) = (TenantId::generate(), UserId::generate(), UserId::generate());
        let calls = |holder: &Holder, times, method: Method, path| {
            (0..times).filter(|_| all.calls(holder, &method, path).is_ok()).count()
        };
        let (first, second) = (holder(tenant, one, 1), holder(tenant, other, 2));
        assert_eq!(calls(&first, 9, Method::GET, "/api/sessions"), 4, "of a key");
        assert_eq!(calls(&second, 9, Method::GET, "/api/sessions"), 2, "of a tenant");
        let elsewhere = holder(TenantId::generate(), one, 3);
        assert_eq!(calls(&elsewhere, 4, Method::POST, "/api/sendText"), 2, "of a route");
        assert_eq!(calls(&elsewhere, 1, Method::DELETE, "/api/sessions/{session}"), 0, "the key has used up its own");
        time.0.advance(60_000);
        assert_eq!(calls(&elsewhere, 4, Method::DELETE, "/api/sessions/{session}"), 4, "any number");
        let origin = Origin::from(IpAddr::from([192, 0, 2, 1]));
        assert_eq!((0..20).filter(|_| all.calls_from(origin).is_ok()).count(), 9);
        let any = limits(&["SIGN_INS", "CALLS_PER_KEY", "CALLS_PER_TENANT"].map(|name| (name, "0")), &clock).unwrap();
        assert!(
            (0..9999).all(|_| any.from(origin).is_ok() && any.calls(&first, &Method::GET, "/api/sessions").is_ok())
        );
        for bad in ["POST /api/sendText", "POST /api/sendText many", "post /api/sendText 1", "GET /api/sendText 1", "1"]
        {
            assert_eq!(limits(&[("CALLS_PER_ROUTE", bad)], &clock).err().as_deref(), Some(bad));
        }
    }
}
