//! The bounded door to one actor. actix bounds a mailbox per cloned address, that is, not at all; so the bound is a
//! count of permits, and a permit travels inside the message until it was handled.

use super::living::lock;
use crate::ports::clock::Clock;
use actix::Addr;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Waits that are remembered.
const REMEMBERED: usize = 128;

/// How long messages waited at an actor lately, in milliseconds.
#[derive(Debug, Default)]
pub struct Waits(Mutex<VecDeque<u64>>);

impl Waits {
    /// One more.
    pub fn record(&self, ms: u64) {
        let mut waits = lock(&self.0);
        waits.push_back(ms);
        if waits.len() > REMEMBERED {
            waits.pop_front();
        }
    }

    /// The 99th percentile of those remembered; 0 when there are none.
    #[must_use]
    pub fn p99_ms(&self) -> u64 {
        let mut waits: Vec<_> = lock(&self.0).iter().copied().collect();
        waits.sort_unstable();
        let place = (waits.len() * 99).div_ceil(100).saturating_sub(1);
        waits.get(place).copied().unwrap_or_default()
    }
}

/// An address and the number of messages that may wait at it.
pub struct Inbox<A: actix::Actor> {
    /// The actor. Send to it through [`Inbox::permit`] only, or with a message that the actor sends to itself.
    pub addr: Addr<A>,
    /// How long its messages wait.
    pub waits: Arc<Waits>,
    permits: Arc<Semaphore>,
    capacity: usize,
    clock: Arc<dyn Clock>,
}

/// A place in an inbox; given back when the message that carries it is dropped.
pub struct Permit {
    _place: OwnedSemaphorePermit,
    taken: u64,
    waits: Arc<Waits>,
    clock: Arc<dyn Clock>,
}

impl Permit {
    /// The message is being handled: its wait is over.
    pub fn begin(&self) {
        self.waits.record(self.clock.now().saturating_sub(self.taken));
    }
}

impl<A: actix::Actor> Inbox<A> {
    /// A door with `capacity` places.
    #[must_use]
    pub fn new(addr: Addr<A>, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self { addr, waits: Arc::default(), permits: Arc::new(Semaphore::new(capacity)), capacity, clock }
    }

    /// A place, or `None` when all are taken.
    #[must_use]
    pub fn permit(&self) -> Option<Permit> {
        let place = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let (waits, clock) = (Arc::clone(&self.waits), Arc::clone(&self.clock));
        Some(Permit { _place: place, taken: clock.now(), waits, clock })
    }

    /// Messages that wait or are being handled.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.capacity.saturating_sub(self.permits.available_permits())
    }
}
