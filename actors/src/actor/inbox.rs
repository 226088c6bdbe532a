//! The bounded doors to one actor. actix bounds a mailbox per cloned address, that is, not at all; so an inbox counts
//! permits, and a permit travels inside the message until it was handled. A doorbell lets one word wait at most.

use super::living::lock;
use crate::ports::clock::Clock;
use actix::{Actor, Addr, Context, Handler, Message};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Waits that are remembered.
const REMEMBERED: usize = 128;
/// One message of so many is timed: a clock and a lock for each would cost more than the message itself.
const SAMPLE: usize = 16;

/// An address and the number of messages that may wait at it.
pub struct Inbox<A: Actor> {
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

impl<A: Actor> Inbox<A> {
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

/// There is something to fetch.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Nudge;

/// A door for an actor that fetches its work itself: it is told that there is some, once until it looks.
pub struct Doorbell<A: Actor> {
    addr: OnceLock<Addr<A>>,
    rung: AtomicBool,
}

impl<A: Actor> Default for Doorbell<A> {
    fn default() -> Self {
        Self { addr: OnceLock::new(), rung: AtomicBool::new(false) }
    }
}

impl<A: Actor<Context = Context<A>> + Handler<Nudge>> Doorbell<A> {
    /// Hangs the bell at its actor.
    pub fn connect(&self, addr: Addr<A>) {
        let _ = self.addr.set(addr);
    }

    /// The actor, once there is one.
    #[must_use]
    pub fn addr(&self) -> Option<&Addr<A>> {
        self.addr.get()
    }

    /// Tells the actor to look; false when it is not there yet.
    pub fn ring(&self) -> bool {
        let Some(addr) = self.addr.get() else { return false };
        if !self.rung.swap(true, Ordering::AcqRel) {
            addr.do_send(Nudge);
        }
        true
    }

    /// The actor is about to look: whatever comes from now on rings again.
    pub fn answer(&self) {
        self.rung.store(false, Ordering::Release);
    }

    /// Whether the actor has still to look.
    #[must_use]
    pub fn rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }
}
