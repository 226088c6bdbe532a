//! Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter").
//!
//! The `backoff` crate supplies the series with its own jitter at 0 and no elapsed-time limit; the jitter is ours,
//! so that it is seeded and can never exceed the cap.

use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};
use rand::Rng;
use std::time::Duration;

/// Numbers of one backoff, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// Ceiling of the first delay.
    pub base_ms: u64,
    /// Ceiling of every delay.
    pub cap_ms: u64,
    /// So long without a failure, and the series begins again.
    pub reset_after_ms: u64,
}

/// The series: each delay is drawn evenly from zero to `base × 2ⁿ`, capped.
#[derive(Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    series: ExponentialBackoff,
}

impl Backoff {
    /// A series at its beginning.
    #[must_use]
    pub fn new(policy: BackoffPolicy) -> Self {
        let series = ExponentialBackoffBuilder::new()
            .with_initial_interval(Duration::from_millis(policy.base_ms))
            .with_max_interval(Duration::from_millis(policy.cap_ms))
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { policy, series }
    }

    /// The next delay in milliseconds.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> u64 {
        let delay = self.series.next_backoff().unwrap_or(Duration::from_millis(self.policy.cap_ms));
        let ceiling = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).min(self.policy.cap_ms);
        rng.random_range(0..=ceiling)
    }

    /// Begins again when the time without failure was long enough.
    pub fn healthy_for(&mut self, ms: u64) {
        if ms >= self.policy.reset_after_ms {
            self.reset();
        }
    }

    /// Begins again.
    pub fn reset(&mut self) {
        self.series.reset();
    }
}
