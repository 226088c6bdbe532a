//! How fast a session writes: so many messages a minute, over all and in each chat, and a few at once.

use crate::domain::chat::ChatId;
use std::collections::HashMap;

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Messages per minute; 0 = as many as there are.
    pub per_minute: u32,
    /// So many at once, after a pause.
    pub burst: u32,
}

impl Rate {
    fn spacing(self) -> u64 {
        60_000_u64.checked_div(u64::from(self.per_minute)).unwrap_or(0)
    }

    /// How long to wait when everything so far is paid for at `paid`.
    fn wait(self, paid: u64, now: u64) -> u64 {
        let ahead = self.spacing().saturating_mul(u64::from(self.burst.max(1)) - 1);
        paid.saturating_sub(ahead).saturating_sub(now)
    }
}

/// Chats that are remembered before those that are paid for are forgotten.
const REMEMBERED: usize = 1000;

/// What one session has spent. Times are the clock's milliseconds.
#[derive(Clone, Debug)]
pub struct Allowance {
    all: Rate,
    each: Rate,
    paid: u64,
    chats: HashMap<ChatId, u64>,
}

impl Allowance {
    /// Nothing is spent: `all` for the session, `each` for each of its chats.
    #[must_use]
    pub fn new(all: Rate, each: Rate) -> Self {
        Self { all, each, paid: 0, chats: HashMap::new() }
    }

    /// How long a message to `chat` has to wait, in milliseconds: for the session, and for the chat; 0 = not at all.
    #[must_use]
    pub fn wait(&self, chat: &ChatId, now: u64) -> (u64, u64) {
        let own = self.each.wait(self.chats.get(chat).copied().unwrap_or_default(), now);
        (self.all.wait(self.paid, now), own)
    }

    /// A message to `chat` leaves.
    pub fn spend(&mut self, chat: &ChatId, now: u64) {
        self.paid = self.paid.max(now).saturating_add(self.all.spacing());
        if self.each.per_minute == 0 {
            return;
        }
        if self.chats.len() >= REMEMBERED {
            self.chats.retain(|_, paid| *paid > now);
        }
        let paid = self.chats.entry(chat.clone()).or_default();
        *paid = (*paid).max(now).saturating_add(self.each.spacing());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    fn chat(n: u8) -> ChatId {
        ChatId::parse(&format!("1{n}")).unwrap()
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut spent = Allowance::new(Rate { per_minute: 60, burst: 3 }, Rate { per_minute: 0, burst: 0 });
        for _ in 0..3 {
            assert_eq!(spent.wait(&chat(1), 5_000), (0, 0));
            spent.spend(&chat(1), 5_000);
        }
        assert_eq!(spent.wait(&chat(2), 5_000), (1_000, 0));
        assert_eq!(spent.wait(&chat(2), 6_000), (0, 0));
        assert_eq!(spent.wait(&chat(2), 60_000), (0, 0));
    }

    #[test]
    fn one_chat_that_waits_holds_no_other_up() {
        let mut spent = Allowance::new(Rate { per_minute: 0, burst: 0 }, Rate { per_minute: 30, burst: 1 });
        spent.spend(&chat(1), 0);
        assert_eq!((spent.wait(&chat(1), 0), spent.wait(&chat(2), 0)), ((0, 2_000), (0, 0)));
    }

    #[test]
    fn no_minute_has_more_than_the_rate_and_a_burst() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let rate = Rate { per_minute: rng.random_range(1..200), burst: rng.random_range(1..20) };
            let mut spent = Allowance::new(rate, Rate { per_minute: 0, burst: 0 });
            let (mut now, mut sent) = (0_u64, vec![]);
            for _ in 0..500 {
                now += rng.random_range(0..1_000);
                if spent.wait(&chat(1), now) == (0, 0) {
                    spent.spend(&chat(1), now);
                    sent.push(now);
                }
            }
            for from in &sent {
                let within = sent.iter().filter(|at| (*from..from + 60_000).contains(at)).count();
                assert!(within <= usize::try_from(rate.per_minute + rate.burst).unwrap(), "{rate:?}, seed {seed}");
            }
        }
    }
}
