//! The bounded door to one actor. actix bounds a mailbox per cloned address, that is, not at all; so the bound is a
//! count of permits, and a permit travels inside the message until it was handled.

use actix::Addr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An address and the number of messages that may wait at it.
pub struct Inbox<A: actix::Actor> {
    /// The actor. Send to it through [`Inbox::permit`] only, or with a message that the actor sends to itself.
    pub addr: Addr<A>,
    permits: Arc<Semaphore>,
    capacity: usize,
}

/// A place in an inbox; given back when the message that carries it is dropped.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl<A: actix::Actor> Inbox<A> {
    /// A door with `capacity` places.
    #[must_use]
    pub fn new(addr: Addr<A>, capacity: usize) -> Self {
        Self { addr, permits: Arc::new(Semaphore::new(capacity)), capacity }
    }

    /// A place, or `None` when all are taken.
    #[must_use]
    pub fn permit(&self) -> Option<Permit> {
        Arc::clone(&self.permits).try_acquire_owned().ok().map(Permit)
    }

    /// Messages that wait or are being handled.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.capacity.saturating_sub(self.permits.available_permits())
    }
}
