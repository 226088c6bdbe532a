//! Starts of the whole node, evenly spaced, so that a thousand dropped sessions do not come back in one second.

/// Hands out start times with at least `spacing_ms` between them; burst 1.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    spacing_ms: u64,
    next: u64,
}

impl Pacing {
    /// At most `per_second` starts in any second.
    #[must_use]
    pub fn per_second(per_second: u32) -> Self {
        Self { spacing_ms: 1000_u64.div_ceil(u64::from(per_second.max(1))), next: 0 }
    }

    /// The time at which a start asked for at `now` may happen. Every call takes a place.
    pub fn place(&mut self, now: u64) -> u64 {
        let at = self.next.max(now);
        self.next = at.saturating_add(self.spacing_ms);
        at
    }
}
