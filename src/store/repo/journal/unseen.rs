//! What chats have still to see, as it was when it was written: it need not be read back, opened and parsed. Only of chats that
//! have read once, since only of those it is known that nothing else waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wardroom_actors::domain::ids::{ChatKey, SessionKey};
use wardroom_actors::domain::signal::Signal;
use wardroom_actors::ports::journal::Pending;

/// Chats that are known; above that all are forgotten, and read again.
const CHATS: usize = 10_000;
/// Signals that wait for one chat; a chat with more is forgotten.
const SIGNALS: usize = 256;
/// Bytes of all that waits, sealed; above that all is forgotten.
const BYTES: usize = 8 << 20;

/// What a row brings to its chat.
pub(super) struct Written {
    pub chat: ChatKey,
    pub seq: i64,
    /// Bytes of the row.
    pub size: usize,
    /// `None` if it stands for another row.
    pub signal: Option<Signal>,
}

/// A chat of which all that follows the mark is known.
#[derive(Default)]
struct Known {
    /// Up to here it has seen everything; `None` while it reads.
    mark: Option<i64>,
    waiting: VecDeque<(Pending, usize)>,
}

impl Known {
    fn last(&self) -> Option<i64> {
        self.waiting.back().map(|(pending, _)| pending.seq).or(self.mark)
    }
}

#[derive(Default)]
struct Chats {
    known: HashMap<ChatKey, Known>,
    bytes: usize,
}

impl Chats {
    fn seen(&mut self, chat: ChatKey, mark: i64, has_read: bool) {
        let Some(known) = self.known.get_mut(&chat).filter(|known| has_read || known.mark.is_some()) else { return };
        let seen = known.waiting.partition_point(|(pending, _)| pending.seq <= mark);
        self.bytes -= known.waiting.drain(..seen).map(|(_, size)| size).sum::<usize>();
        known.mark = known.mark.max(Some(mark));
    }

    fn forget(&mut self, chat: ChatKey) {
        let waited = self.known.remove(&chat).map_or(0, |known| known.waiting.iter().map(|(_, size)| size).sum());
        self.bytes -= waited;
    }
}

/// Rows of a session are written by this process alone, in order, and told here after their commit and before anybody is woken.
#[derive(Default)]
pub(in crate::store) struct Unseen(Mutex<Chats>);

impl Unseen {
    fn chats(&self) -> MutexGuard<'_, Chats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What follows the mark, at most `limit`; `None` if that has to be read.
    pub fn take(&self, chat: ChatKey, mark: i64, limit: usize) -> Option<Vec<Pending>> {
        let chats = self.chats();
        let known = chats.known.get(&chat)?;
        if known.mark.is_none_or(|known| known > mark) {
            return None;
        }
        let later = known.waiting.iter().map(|(pending, _)| pending).filter(|pending| pending.seq > mark);
        Some(later.take(limit).cloned().collect())
    }

    /// The chat has seen what stands up to the mark.
    pub fn seen(&self, chat: ChatKey, mark: i64) {
        self.chats().seen(chat, mark, false);
    }

    /// The chat begins to read: what is written from now on is kept for it.
    pub fn reading(&self, chat: ChatKey) {
        let mut chats = self.chats();
        if chats.known.len() >= CHATS {
            *chats = Chats::default();
        }
        chats.forget(chat);
        chats.known.insert(chat, Known::default());
    }

    /// The chat has read everything up to `mark`, and what was written meanwhile follows.
    pub fn read(&self, chat: ChatKey, mark: i64) {
        self.chats().seen(chat, mark, true);
    }

    /// The session's chats have to read again.
    pub fn forget(&self, session: SessionKey) {
        let mut chats = self.chats();
        let theirs: Vec<_> = chats.known.keys().filter(|chat| chat.session_key() == session).copied().collect();
        theirs.into_iter().for_each(|chat| chats.forget(chat));
    }

    /// All have to read again.
    pub fn forget_all(&self) {
        *self.chats() = Chats::default();
    }

    /// Rows were committed.
    pub(super) fn written(&self, rows: Vec<Written>) {
        let mut chats = self.chats();
        let chats = &mut *chats;
        for Written { chat, seq, size, signal } in rows {
            let Some(known) = chats.known.get_mut(&chat) else { continue };
            if known.last().is_some_and(|last| last >= seq) {
                continue;
            }
            match signal {
                Some(signal) if known.waiting.len() < SIGNALS => {
                    known.waiting.push_back((Pending { seq, signal }, size));
                    chats.bytes += size;
                }
                _ => chats.forget(chat),
            }
        }
        if chats.bytes > BYTES {
            *chats = Chats::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_actors::domain::ids::{ChatUuid, SessionId, TenantId};
    use wardroom_actors::domain::message::{Ack, AckChange};

    fn row(chat: ChatKey, seq: i64) -> Written {
        let ack = AckChange {
            message_id: seq.to_string(),
            chat: "1@c.us".into(),
            from_me: true,
            participant: None,
            ack: Ack::Server,
        };
        Written { chat, seq, size: 100, signal: Some(Signal::Ack(ack)) }
    }

    fn chat() -> ChatKey {
        ChatKey { tenant: TenantId::generate(), session: SessionId::generate(), chat: ChatUuid::generate() }
    }

    fn taken(unseen: &Unseen, chat: ChatKey, mark: i64) -> Option<Vec<i64>> {
        Some(unseen.take(chat, mark, 64)?.iter().map(|pending| pending.seq).collect())
    }

    #[test]
    fn a_chat_that_has_read_is_given_what_is_written_and_a_stranger_has_to_read() {
        let (unseen, known, stranger) = (Unseen::default(), chat(), chat());
        unseen.reading(known);
        // Written while it reads: the one is in what it reads, the other is not.
        unseen.written(vec![row(known, 5), row(known, 6), row(stranger, 7)]);
        assert_eq!(taken(&unseen, known, 4), None);
        unseen.read(known, 5);
        assert_eq!(taken(&unseen, known, 4), None, "it asks for more than is known");
        assert_eq!(taken(&unseen, known, 5), Some(vec![6]));
        unseen.written(vec![row(known, 8), row(known, 8)]);
        assert_eq!(taken(&unseen, known, 5), Some(vec![6, 8]), "what was not seen is given again");
        assert_eq!(unseen.take(known, 5, 1).map(|pending| pending.len()), Some(1));
        unseen.seen(known, 8);
        assert_eq!(taken(&unseen, known, 8), Some(vec![]));
        assert_eq!(taken(&unseen, known, 5), None, "a mark that went back has to read");
        assert_eq!(taken(&unseen, stranger, 0), None);
        assert_eq!(unseen.chats().bytes, 0);
    }

    #[test]
    fn what_was_forgotten_while_it_was_read_stays_forgotten() {
        let (unseen, one, other) = (Unseen::default(), chat(), chat());
        for all in [false, true] {
            unseen.reading(one);
            unseen.reading(other);
            if all {
                unseen.forget_all()
            } else {
                unseen.forget(one.session_key())
            }
            unseen.written(vec![row(one, 3), row(other, 4)]);
            unseen.read(one, 2);
            assert_eq!(taken(&unseen, one, 2), None);
        }
        unseen.reading(one);
        unseen.read(one, 2);
        unseen.written(vec![row(one, 3), Written { signal: None, ..row(one, 4) }, row(one, 5)]);
        assert_eq!(taken(&unseen, one, 2), None, "a row that stands for another has to be read");
        assert_eq!(unseen.chats().bytes, 0);
    }

    #[test]
    fn it_has_bounds() {
        let (unseen, one) = (Unseen::default(), chat());
        let read = |chat| {
            unseen.reading(chat);
            unseen.read(chat, 0);
        };
        read(one);
        unseen.written((1..=256).map(|seq| row(one, seq)).collect());
        assert_eq!(taken(&unseen, one, 0).map(|all| all.len()), Some(64));
        unseen.written(vec![row(one, 257)]);
        assert_eq!(taken(&unseen, one, 0), None);
        read(one);
        unseen.written(vec![Written { size: BYTES + 1, ..row(one, 1) }]);
        assert_eq!(taken(&unseen, one, 0), None);
        (0..=CHATS).for_each(|_| read(chat()));
        assert!(unseen.chats().known.len() <= CHATS);
        assert_eq!(unseen.chats().bytes, 0);
    }
}
