//! The threads of actors, and how late each of them is. An endless loop in our own code is the one thing that no actor system
//! contains; so a thread that does not answer is named, gets no new actors, and at last fails the node's liveness.

use super::living::lock;
use crate::ports::clock::Clock;
use actix::ArbiterHandle;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A thread that is so late is named in the log and gets no new actors, in milliseconds.
pub const STALLED_MS: u64 = 2_000;
/// A thread that is so late is taken for dead, in milliseconds.
pub const DEAD_MS: u64 = 30_000;
/// Delays that are remembered: two minutes at two a second.
const REMEMBERED: usize = 240;

/// One thread.
struct Seat {
    handle: ArbiterHandle,
    /// When it was asked, and when it answered; equal when no question is open.
    asked: AtomicU64,
    answered: Arc<AtomicU64>,
    /// Milliseconds that the last answer took.
    took: Arc<AtomicU64>,
    recent: Mutex<std::collections::VecDeque<u64>>,
}

/// All threads of actors.
pub struct Arbiters {
    seats: Vec<Seat>,
    turn: AtomicUsize,
}

/// How late a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// Milliseconds: of an open question so far, else of the last answer.
    pub now_ms: u64,
    /// The worst of the last two minutes, in milliseconds.
    pub worst_ms: u64,
}

impl Arbiters {
    /// Over threads that run already.
    #[must_use]
    pub fn new(handles: Vec<ArbiterHandle>) -> Self {
        let seat = |handle| Seat {
            handle,
            asked: AtomicU64::new(0),
            answered: Arc::default(),
            took: Arc::default(),
            recent: Mutex::default(),
        };
        Self { seats: handles.into_iter().map(seat).collect(), turn: AtomicUsize::new(0) }
    }

    /// The thread of the next actor: in turn, past those that are stalled.
    #[must_use]
    pub fn place(&self, now: u64) -> ArbiterHandle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || self.seats.iter().cycle().skip(turn % self.seats.len().max(1)).take(self.seats.len());
        let awake = in_turn().find(|seat| seat.late(now) < STALLED_MS).or_else(|| in_turn().next());
        awake.map_or_else(actix::Arbiter::current, |seat| seat.handle.clone())
    }

    /// Asks every thread that owes no answer. To be called twice a second, from a thread that is none of them.
    pub fn beat(&self, clock: &Arc<dyn Clock>) {
        for seat in &self.seats {
            let now = clock.now();
            let mut recent = lock(&seat.recent);
            recent.push_back(seat.late(now));
            if recent.len() > REMEMBERED {
                recent.pop_front();
            }
            drop(recent);
            let asked = seat.asked.load(Ordering::Acquire);
            if asked != seat.answered.load(Ordering::Acquire) {
                continue;
            }
            let question = now.max(asked + 1);
            seat.asked.store(question, Ordering::Release);
            let (answered, took, clock) = (Arc::clone(&seat.answered), Arc::clone(&seat.took), Arc::clone(clock));
            seat.handle.spawn_fn(move || {
                took.store(clock.now().saturating_sub(question), Ordering::Release);
                answered.store(question, Ordering::Release);
            });
        }
    }

    /// How late each thread is, in their order.
    #[must_use]
    pub fn lateness(&self, now: u64) -> Vec<Lateness> {
        let of = |seat: &Seat| {
            let now_ms = seat.late(now);
            let worst_ms = lock(&seat.recent).iter().copied().max().unwrap_or_default().max(now_ms);
            Lateness { now_ms, worst_ms }
        };
        self.seats.iter().map(of).collect()
    }
}

impl Seat {
    fn late(&self, now: u64) -> u64 {
        let asked = self.asked.load(Ordering::Acquire);
        let open = asked != self.answered.load(Ordering::Acquire);
        if open { now.saturating_sub(asked) } else { self.took.load(Ordering::Acquire) }
    }
}
