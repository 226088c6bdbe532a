//! Who may have a worker. The ledger is the one count of them; a limit is never exceeded, not even for a moment.

use crate::domain::ids::{SessionId, UserId, WorkerId};
use std::collections::{HashMap, VecDeque};

/// Why a worker was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The user has as many running sessions as the quota allows.
    #[error("the user's quota of {limit} sessions is used up")]
    Quota {
        /// The quota.
        limit: usize,
    },
    /// The node has no room.
    #[error("all {limit} workers of this node are in use")]
    NodeFull {
        /// Workers of the node.
        limit: usize,
    },
}

/// Slots of one node: each running session holds one from its start to its stop, warm spares hold the rest.
#[derive(Debug)]
pub struct Ledger {
    node_limit: usize,
    held: HashMap<SessionId, UserId>,
    /// Warm workers, oldest first.
    spares: VecDeque<WorkerId>,
    /// Spares that are being launched.
    warming: usize,
    /// How many of those have to be ended as soon as they are there, because their place was given away.
    doomed: usize,
}

/// What a reservation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The session held one already.
    Held,
    /// A free place.
    Free,
    /// The place of this spare, which has to be ended first, because the node is full.
    Displaced(WorkerId),
    /// The place of a spare that is being launched: to be used when that one is there and has been ended.
    AfterWarming,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(node_limit: usize) -> Self {
        Self { node_limit, held: HashMap::new(), spares: VecDeque::new(), warming: 0, doomed: 0 }
    }

    /// Takes a slot for `session` of `user`, whose quota is `user_limit` running sessions.
    ///
    /// # Errors
    /// [`Refused`]; the ledger is then unchanged.
    pub fn reserve(&mut self, session: SessionId, user: UserId, user_limit: usize) -> Result<Slot, Refused> {
        if self.held.contains_key(&session) {
            return Ok(Slot::Held);
        }
        if self.held.values().filter(|owner| **owner == user).count() >= user_limit {
            return Err(Refused::Quota { limit: user_limit });
        }
        let slot = if self.total() < self.node_limit {
            Slot::Free
        } else if let Some(spare) = self.spares.pop_front() {
            Slot::Displaced(spare)
        } else if self.warming > self.doomed {
            self.doomed += 1;
            Slot::AfterWarming
        } else {
            return Err(Refused::NodeFull { limit: self.node_limit });
        };
        self.held.insert(session, user);
        Ok(slot)
    }

    /// Whether one more session could run, whoever owns it.
    ///
    /// # Errors
    /// [`Refused::NodeFull`].
    pub fn room(&self) -> Result<(), Refused> {
        let room = self.total() < self.node_limit || !self.spares.is_empty() || self.warming > self.doomed;
        if room { Ok(()) } else { Err(Refused::NodeFull { limit: self.node_limit }) }
    }

    /// Gives a slot back; nothing happens when none was held.
    pub fn release(&mut self, session: SessionId) {
        self.held.remove(&session);
    }

    /// Whether one more spare may be launched to reach `wanted`; counts it if so.
    pub fn begin_warming(&mut self, wanted: usize) -> bool {
        let room = self.spares.len() + self.warming - self.doomed < wanted && self.total() < self.node_limit;
        self.warming += usize::from(room);
        room
    }

    /// A launch that [`Self::begin_warming`] counted ended. False when the place was given away meanwhile: whatever was
    /// launched has to be ended.
    pub fn end_warming(&mut self, spare: Option<WorkerId>) -> bool {
        self.warming = self.warming.saturating_sub(1);
        if self.doomed > 0 {
            self.doomed -= 1;
            return false;
        }
        self.spares.extend(spare);
        true
    }

    /// A spare goes to a session that holds a slot: two places become one.
    pub fn take_spare(&mut self) -> Option<WorkerId> {
        self.spares.pop_front()
    }

    /// A spare died.
    pub fn lose_spare(&mut self, worker: WorkerId) {
        self.spares.retain(|spare| *spare != worker);
    }

    /// Whether `session` holds a slot.
    #[must_use]
    pub fn holds(&self, session: SessionId) -> bool {
        self.held.contains_key(&session)
    }

    /// Places in use: sessions, spares, and spares on their way.
    #[must_use]
    pub fn total(&self) -> usize {
        self.held.len() + self.spares.len() + self.warming - self.doomed
    }

    /// Places of the node.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.node_limit
    }

    /// Warm workers.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.spares.len()
    }
}
