//! Time comes from outside, so that tests move it by hand.

use super::BoxFuture;

/// Two clocks and a way to wait.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds that never go back; only differences mean something.
    fn now(&self) -> u64;

    /// Unix milliseconds; may jump.
    fn unix_ms(&self) -> i64;

    /// Ends when [`Self::now`] has reached `at`.
    fn sleep_until(&self, at: u64) -> BoxFuture<'static, ()>;
}
