//! The bounded door to one actor. actix bounds a mailbox per cloned address, that is, not at all; so the bound is a
//! count of permits, and a permit travels inside the message until it was handled.

use super::living::lock;
use crate::ports::clock::Clock;
use actix::Addr;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Waits that are remembered.
const REMEMBERED: usize = 128;
/// One message of so many is timed: a clock and a lock for each would cost more than the message itself.
const SAMPLE: usize = 16;

/// An address and the number of messages that may wait at it.
pub struct Inbox<A: actix::Actor> {
    /// The actor. Send to it through [`Inbox::permit`] only, or with a message that the actor sends to itself.
    pub addr: Addr<A>,
    places: Arc<Places>,
}

struct Places {
    capacity: usize,
    taken: AtomicUsize,
    /// Permits that were given out, for sampling.
    given: AtomicUsize,
    /// How long sampled messages waited, in milliseconds.
    waits: Mutex<VecDeque<u64>>,
    clock: Arc<dyn Clock>,
}

/// A place in an inbox; given back when the message that carries it is dropped.
pub struct Permit {
    places: Arc<Places>,
    /// When it was taken, if it is timed.
    at: Option<u64>,
}

impl Permit {
    /// The message is being handled: its wait is over.
    pub fn begin(&self) {
        if let Some(at) = self.at {
            let mut waits = lock(&self.places.waits);
            waits.push_back(self.places.clock.now().saturating_sub(at));
            if waits.len() > REMEMBERED {
                waits.pop_front();
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<A: actix::Actor> Inbox<A> {
    /// A door with `capacity` places.
    #[must_use]
    pub fn new(addr: Addr<A>, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let (taken, given, waits) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::default());
        Self { addr, places: Arc::new(Places { capacity, taken, given, waits, clock }) }
    }

    /// A place, or `None` when all are taken.
    #[must_use]
    pub fn permit(&self) -> Option<Permit> {
        let places = &self.places;
        let free = |taken| (taken < places.capacity).then_some(taken + 1);
        places.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok()?;
        let timed = places.given.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE);
        Some(Permit { places: Arc::clone(places), at: timed.then(|| places.clock.now()) })
    }

    /// Messages that wait or are being handled.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.places.taken.load(Ordering::Acquire)
    }

    /// The 99th percentile of how long the latest sampled messages waited, in milliseconds; 0 when there are none.
    #[must_use]
    pub fn wait_p99_ms(&self) -> u64 {
        let mut waits: Vec<_> = lock(&self.places.waits).iter().copied().collect();
        waits.sort_unstable();
        let place = (waits.len() * 99).div_ceil(100).saturating_sub(1);
        waits.get(place).copied().unwrap_or_default()
    }
}
