//! Whether and when a session is started again after its driver ended.

use super::backoff::{Backoff, BackoffPolicy};
use super::breaker::{Breaker, BreakerPolicy, State};
use super::window::Window;
use crate::domain::exit::ExitClass;
use rand::Rng;

/// Numbers of the restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The delay between attempts.
    pub backoff: BackoffPolicy,
    /// More failures than this inside the window open the breaker.
    pub max_failures: usize,
    /// The window in milliseconds.
    pub window_ms: u64,
    /// The breaker.
    pub breaker: BreakerPolicy,
}

/// What to do after an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was asked for.
    Finish,
    /// Wait for a person.
    Park,
    /// Start again then.
    RetryAt(u64),
    /// The breaker is open; a single probe starts then.
    ProbeAt(u64),
}

/// The memory of one session's failures. Plain values: it goes where the session goes.
#[derive(Debug)]
pub struct Restart {
    backoff: Backoff,
    window: Window,
    breaker: Breaker,
    healthy_since: Option<u64>,
}

impl Restart {
    /// Without a past.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            backoff: Backoff::new(policy.backoff),
            window: Window::new(policy.max_failures, policy.window_ms),
            breaker: Breaker::new(policy.breaker),
            healthy_since: None,
        }
    }

    /// Asks for a start at `now`; an open breaker refuses.
    pub fn may_start(&mut self, now: u64) -> bool {
        self.breaker.allow(now)
    }

    /// By when the start under way must be healthy, if it is a probe.
    #[must_use]
    pub fn probe_deadline(&self) -> Option<u64> {
        self.breaker.probe_deadline()
    }

    /// The session is linked and connected.
    pub fn healthy(&mut self, now: u64) {
        self.breaker.succeeded();
        self.healthy_since.get_or_insert(now);
    }

    /// A driver ended at `now`.
    pub fn exited(&mut self, class: ExitClass, now: u64, rng: &mut impl Rng) -> Decision {
        if let Some(since) = self.healthy_since.take() {
            self.backoff.healthy_for(now.saturating_sub(since));
        }
        match class {
            ExitClass::Finished => {
                self.reset();
                Decision::Finish
            }
            ExitClass::Permanent => {
                self.reset();
                Decision::Park
            }
            ExitClass::Planned => Decision::RetryAt(now),
            ExitClass::Throttled { for_ms } => match self.breaker.state() {
                // Being told to wait is no failure of ours; a probe that hears it stays open for that long at least.
                State::HalfOpen { .. } => Decision::ProbeAt(self.breaker.trip(now).max(now.saturating_add(for_ms))),
                _ => Decision::RetryAt(now.saturating_add(for_ms)),
            },
            ExitClass::Transient => {
                let too_many = self.window.record(now);
                let probe_failed = matches!(self.breaker.state(), State::HalfOpen { .. });
                if probe_failed || too_many {
                    self.window.clear();
                    Decision::ProbeAt(self.breaker.trip(now))
                } else {
                    Decision::RetryAt(now.saturating_add(self.backoff.next_delay(rng)))
                }
            }
        }
    }

    /// Forgets all failures: a person said "restart".
    pub fn reset(&mut self) {
        self.backoff.reset();
        self.window.clear();
        self.breaker.reset();
        self.healthy_since = None;
    }

    /// Failures that count at `now`.
    #[must_use]
    pub fn failures(&self, now: u64) -> usize {
        self.window.count(now)
    }

    /// Where the breaker stands.
    #[must_use]
    pub fn breaker(&self) -> State {
        self.breaker.state()
    }
}
