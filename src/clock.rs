//! The clock of the machine: the one place where time is read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wardroom_actors::ports::BoxFuture;
use wardroom_actors::ports::clock::Clock;

/// Real time.
pub struct SystemClock {
    begun: Instant,
}

impl SystemClock {
    /// A clock that begins at 0 now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or_default()
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
