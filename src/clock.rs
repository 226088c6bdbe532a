//! The clock of the machine: the one place where time is read.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wardroom_actors::ports::BoxFuture;
use wardroom_actors::ports::clock::Clock;

/// Real time.
pub struct SystemClock {
    begun: Instant,
    /// What was added to the wall clock, in milliseconds.
    jumped: AtomicI64,
}

impl SystemClock {
    /// A clock that begins at 0 now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { begun: Instant::now(), jumped: AtomicI64::new(0) }
    }

    /// Moves the wall clock, as an operator or a time server does; the time since the start goes on evenly.
    pub fn jump(&self, ms: i64) {
        self.jumped.fetch_add(ms, Ordering::AcqRel);
    }
}

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or_default().saturating_add(self.jumped.load(Ordering::Acquire))
    }

    fn sleep_until(&self, at: u64) -> BoxFuture<'static, ()> {
        let wait = at.saturating_sub(self.now());
        Box::pin(async move {
            if wait > 0 {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        })
    }
}
