//! Events that were just written, which webhooks may have to be told: they need not be read back, opened and parsed.

use super::deliveries::Told;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;
use wardroom_actors::domain::ids::SessionKey;

/// Bytes of all that is kept, sealed; above that the oldest go.
const BYTES: usize = 4 << 20;
/// Events that are kept.
const EVENTS: usize = 8192;

/// An event to be kept.
pub(in crate::store) struct Fresh {
    pub key: SessionKey,
    pub seq: i64,
    pub told: Told,
    /// Bytes of its row.
    pub size: usize,
}

#[derive(Default)]
struct Events {
    kept: HashMap<(Uuid, i64), Fresh>,
    order: VecDeque<(Uuid, i64)>,
    bytes: usize,
}

impl Events {
    fn drop_oldest(&mut self) {
        if let Some(gone) = self.order.pop_front().and_then(|place| self.kept.remove(&place)) {
            self.bytes -= gone.size;
        }
    }
}

/// The last events of this process.
#[derive(Default)]
pub(in crate::store) struct Recent(Mutex<Events>);

impl Recent {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They were committed.
    pub fn keep(&self, fresh: Vec<Fresh>) {
        let mut events = self.events();
        for one in fresh {
            let place = (one.key.tenant.0, one.seq);
            events.bytes += one.size;
            events.order.push_back(place);
            let before = events.kept.insert(place, one);
            events.bytes -= before.map_or(0, |one| one.size);
        }
        while events.bytes > BYTES || events.order.len() > EVENTS {
            events.drop_oldest();
        }
    }

    /// A tenant's event, if it is kept.
    pub fn get(&self, tenant: Uuid, seq: i64) -> Option<Told> {
        self.events().kept.get(&(tenant, seq)).map(|fresh| fresh.told.clone())
    }

    /// Nothing of the session is kept any more.
    pub fn forget(&self, session: SessionKey) {
        self.forget_those(|one| one.key == session);
    }

    /// Nothing that is older is kept any more, Unix milliseconds.
    pub fn forget_before(&self, at_ms: i64) {
        self.forget_those(|one| one.told.at_ms < at_ms);
    }

    fn forget_those(&self, goes: impl Fn(&Fresh) -> bool) {
        let mut events = self.events();
        let Events { kept, order, bytes } = &mut *events;
        kept.retain(|_, one| {
            let goes = goes(one);
            *bytes -= if goes { one.size } else { 0 };
            !goes
        });
        order.retain(|place| kept.contains_key(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_actors::domain::event::EventKind;
    use wardroom_actors::domain::ids::{ChatUuid, SessionId, TenantId};

    fn fresh(key: SessionKey, seq: i64, size: usize) -> Fresh {
        let kind = EventKind::Replay { of: seq, chat: ChatUuid::generate() };
        Fresh { key, seq, told: Told { seq: Some(seq), id: seq.to_string(), at_ms: 0, kind }, size }
    }

    #[test]
    fn the_last_ones_are_kept_within_bounds_and_a_session_can_be_forgotten() {
        let (recent, tenant) = (Recent::default(), TenantId::generate());
        let [one, other] = [0; 2].map(|_| SessionKey { tenant, session: SessionId::generate() });
        let there = |seq| recent.get(tenant.0, seq).is_some();
        recent.keep(vec![fresh(one, 1, BYTES / 2), fresh(other, 2, BYTES / 2)]);
        assert!(there(1) && there(2) && recent.get(Uuid::nil(), 1).is_none());
        recent.keep(vec![fresh(one, 3, 1)]);
        assert!(!there(1) && there(2) && there(3));
        recent.forget(other);
        assert!(!there(2) && there(3));
        recent.forget_before(1);
        assert!(!there(3));
        recent.keep(vec![fresh(one, 3, 1)]);
        recent.keep((10..).take(EVENTS).map(|seq| fresh(one, seq, 1)).collect());
        assert!(!there(3) && there(10));
        recent.keep(vec![fresh(one, 5, BYTES + 1)]);
        assert!(!there(5) && !there(10));
        let events = recent.events();
        assert_eq!((events.bytes, events.kept.len(), events.order.len()), (0, 0, 0));
    }
}
