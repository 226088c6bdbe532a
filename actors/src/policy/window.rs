//! How many failures happened lately: the restart intensity of OTP, in a sliding window.

use std::collections::VecDeque;

/// Failures inside the last `period_ms`. Never holds more than `limit + 1` times.
#[derive(Clone, Debug)]
pub struct Window {
    limit: usize,
    period_ms: u64,
    times: VecDeque<u64>,
}

impl Window {
    /// More than `limit` failures inside `period_ms` are too many.
    #[must_use]
    pub fn new(limit: usize, period_ms: u64) -> Self {
        Self { limit, period_ms, times: VecDeque::with_capacity(limit.saturating_add(1)) }
    }

    /// Counts a failure at `now`; true when there were too many.
    pub fn record(&mut self, now: u64) -> bool {
        self.forget(now);
        self.times.push_back(now);
        if self.times.len() > self.limit.saturating_add(1) {
            self.times.pop_front();
        }
        self.times.len() > self.limit
    }

    /// How many failures count at `now`.
    #[must_use]
    pub fn count(&self, now: u64) -> usize {
        self.times.iter().filter(|at| now.saturating_sub(**at) < self.period_ms).count()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.times.clear();
    }

    fn forget(&mut self, now: u64) {
        while self.times.front().is_some_and(|at| now.saturating_sub(*at) >= self.period_ms) {
            self.times.pop_front();
        }
    }
}
