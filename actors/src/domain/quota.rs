//! What a user may have, and what a tenant may have with all of its users. Whoever counts what there is asks here whether more may
//! come to it.

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Sessions that are not deleted.
    Sessions,
    /// Messages that are accepted, in a minute.
    Messages,
    /// Bytes of files that messages carry.
    Storage,
    /// Webhooks in the configs of sessions.
    Webhooks,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sessions, Self::Messages, Self::Storage, Self::Webhooks];
}

/// Who has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// One user.
    User,
    /// A tenant with all of its users.
    Tenant,
}

impl Whose {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::User, Self::Tenant];
}

/// The bounds of one of them; 0 = any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// See [`Resource::Sessions`].
    pub sessions: u64,
    /// See [`Resource::Messages`].
    pub messages_per_minute: u64,
    /// See [`Resource::Storage`].
    pub storage_bytes: u64,
    /// See [`Resource::Webhooks`].
    pub webhooks: u64,
}

impl Limits {
    /// The bound of one resource; 0 = any number.
    #[must_use]
    pub fn of(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Sessions => self.sessions,
            Resource::Messages => self.messages_per_minute,
            Resource::Storage => self.storage_bytes,
            Resource::Webhooks => self.webhooks,
        }
    }

    /// Whether `more` may come to what there is.
    #[must_use]
    pub fn admits(&self, resource: Resource, used: u64, more: u64) -> bool {
        let limit = self.of(resource);
        limit == 0 || used.saturating_add(more) <= limit
    }
}

/// The bounds of a user, and of its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The user's.
    pub user: Limits,
    /// The tenant's.
    pub tenant: Limits,
}

impl Quota {
    /// One of both.
    #[must_use]
    pub fn of(&self, whose: Whose) -> &Limits {
        match whose {
            Whose::User => &self.user,
            Whose::Tenant => &self.tenant,
        }
    }
}

/// More than a quota allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} may have {}", match .whose { Whose::User => "this user", Whose::Tenant => "this tenant" }, match .resource {
    Resource::Sessions => format!("{limit} sessions"),
    Resource::Messages => format!("{limit} messages a minute"),
    Resource::Storage => format!("{limit} bytes of files"),
    Resource::Webhooks => format!("{limit} webhooks"),
})]
pub struct Exceeded {
    /// Of what.
    pub resource: Resource,
    /// Whose bound it is.
    pub whose: Whose,
    /// The bound.
    pub limit: u64,
}

const MINUTE_US: u64 = 60_000_000;

/// Messages that somebody may send: a minute's number at once, and then one whenever its part of a minute is over. What was sent is
/// kept as the time, in microseconds, until which it is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent(u64);

impl Spent {
    fn price(per_minute: u64) -> u64 {
        MINUTE_US.checked_div(per_minute).unwrap_or(0)
    }

    /// How long the next has to wait, in milliseconds; 0 = not at all.
    #[must_use]
    pub fn wait(self, per_minute: u64, now_ms: u64) -> u64 {
        let now = now_ms.saturating_mul(1000);
        let after = self.0.max(now).saturating_add(Self::price(per_minute));
        after.saturating_sub(now.saturating_add(MINUTE_US)).div_ceil(1000)
    }

    /// One is sent.
    #[must_use]
    pub fn and_one(self, per_minute: u64, now_ms: u64) -> Self {
        Self(self.0.max(now_ms.saturating_mul(1000)).saturating_add(Self::price(per_minute)))
    }

    /// One was not sent after all.
    #[must_use]
    pub fn less_one(self, per_minute: u64) -> Self {
        Self(self.0.saturating_sub(Self::price(per_minute)))
    }

    /// How many are not paid for yet; none where any number may be sent.
    #[must_use]
    pub fn open(self, per_minute: u64, now_ms: u64) -> u64 {
        let ahead = self.0.saturating_sub(now_ms.saturating_mul(1000));
        // More than a minute's were sent under a higher limit.
        if per_minute == 0 { 0 } else { ahead.div_ceil(Self::price(per_minute).max(1)).min(per_minute) }
    }

    /// Whether nothing is left to pay.
    #[must_use]
    pub fn is_over(self, now_ms: u64) -> bool {
        self.0 <= now_ms.saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    #[test]
    fn nothing_is_a_bound_that_admits_anything() {
        let limits = Limits { sessions: 2, ..Limits::default() };
        assert!(limits.admits(Resource::Sessions, 1, 1) && !limits.admits(Resource::Sessions, 2, 1));
        assert!(limits.admits(Resource::Storage, u64::MAX, 1), "0 is any number");
    }

    /// However they come: never more than two minutes' number within a minute, and who waits as long as was said gets through.
    #[test]
    fn a_minute_never_sees_more_than_its_burst_and_its_rate() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let per_minute = random.random_range(1..500);
            let (mut spent, mut now, mut sent) = (Spent::default(), random.random_range(0..1_000_000), vec![]);
            for _ in 0..2000 {
                now += random.random_range(0..200);
                match spent.wait(per_minute, now) {
                    0 => {
                        spent = spent.and_one(per_minute, now);
                        sent.push(now);
                    }
                    wait => assert_eq!(spent.wait(per_minute, now + wait), 0, "seed {seed}"),
                }
                assert!(spent.open(per_minute, now) <= per_minute, "seed {seed}");
            }
            for (at, from) in sent.iter().enumerate() {
                let within = sent.iter().skip(at).take_while(|one| **one < from + 60_000).count();
                assert!(within as u64 <= 2 * per_minute, "seed {seed}: {within} of {per_minute}");
            }
        }
        let none = Spent::default();
        let two = none.and_one(60, 0).and_one(60, 0);
        assert_eq!((two.less_one(60), two.open(60, 0), two.open(0, 0)), (none.and_one(60, 0), 2, 0));
        assert_eq!((none.open(60, 0), two.open(60, 1), two.open(60, 1000)), (0, 2, 1));
        assert!((0..10_000).fold(none, |spent, _| spent.and_one(0, 5)).wait(0, 5) == 0, "0 is any number");
        assert!(none.is_over(0) && !none.and_one(60, 0).is_over(999) && none.and_one(60, 0).is_over(1000));
    }
}
