//! The journal's one writer. Whatever arrives while a commit is under way goes into the next one, so that a thousand
//! messages cost ten syncs. Events are published after the commit, in order.

mod group;
mod merge;
mod unseen;

use crate::store::{Failure, Mode, Reason, Store, Tx, classify};
use futures_util::FutureExt;
use group::{Aliases, Group, Grouped};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};
pub(in crate::store) use unseen::Unseen;
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::ids::ChatKey;
use wardroom_actors::failpoint;
use wardroom_actors::ports::journal::{Entry, EventSink, Journal, NudgeSink, Recorded};
use wardroom_actors::ports::{BoxFuture, PortError};

/// Entries of one commit, unless a single append has more.
const BATCH: usize = 250;
/// Appends that may wait for the writer.
const QUEUE: usize = 1024;

type Answer = oneshot::Sender<Result<Vec<Recorded>, PortError>>;

/// How the writer fares.
#[derive(Debug, Default)]
pub struct Lag {
    /// When the oldest append that is not committed was taken up, by the clock's milliseconds, plus one; 0 = none is.
    since: AtomicU64,
    /// Commits that failed in a row.
    failures: AtomicU64,
}

impl Lag {
    /// Age of the oldest append that is not committed, in milliseconds.
    #[must_use]
    pub fn ms(&self, now: u64) -> u64 {
        match self.since.load(Ordering::Acquire) {
            0 => 0,
            since => now.saturating_sub(since - 1),
        }
    }

    /// Commits that failed in a row.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }
}

/// The door to the writer.
pub struct JournalWriter {
    queue: mpsc::Sender<(Vec<Entry>, Answer)>,
    lag: Arc<Lag>,
}

impl JournalWriter {
    /// Starts the writer on the store's runtime.
    #[must_use]
    pub fn start(store: Store, sink: Arc<dyn EventSink>, nudge: Arc<dyn NudgeSink>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (io, lag) = (store.io.clone(), Arc::<Lag>::default());
        let published = store.journal_seq.load(Ordering::Acquire);
        let writer =
            Writer { store, sink, nudge, lag: Arc::clone(&lag), published, aliases: Aliases::default(), doubt: false };
        io.spawn(writer.run(waiting));
        Self { queue, lag }
    }

    /// How the writer fares.
    #[must_use]
    pub fn lag(&self) -> Arc<Lag> {
        Arc::clone(&self.lag)
    }
}

impl Journal for JournalWriter {
    /// Takes its place in the queue when called, not when awaited, as long as there is room.
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'static, Result<Vec<Recorded>, PortError>> {
        let (answer, hear) = oneshot::channel();
        let refused = self.queue.try_send((entries, answer)).err();
        let queue = self.queue.clone();
        Box::pin(async move {
            match refused {
                None => {}
                Some(mpsc::error::TrySendError::Full(item)) => {
                    queue.send(item).await.map_err(|_| PortError::Unavailable)?;
                }
                Some(mpsc::error::TrySendError::Closed(_)) => return Err(PortError::Unavailable),
            }
            hear.await.unwrap_or(Err(PortError::Unavailable))
        })
    }
}

/// The writer. A panic in a commit is an error of that commit; the writer goes on.
struct Writer {
    store: Store,
    sink: Arc<dyn EventSink>,
    nudge: Arc<dyn NudgeSink>,
    lag: Arc<Lag>,
    /// The last place whose event was published.
    published: i64,
    /// Chats by alias, as far as they are committed.
    aliases: Aliases,
    /// A commit failed: it may have happened all the same, with nobody told.
    doubt: bool,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<(Vec<Entry>, Answer)>) {
        while let Some(first) = waiting.recv().await {
            let mut size = first.0.len();
            let mut group = vec![first];
            while size < BATCH {
                let Ok(next) = waiting.try_recv() else { break };
                size += next.0.len();
                group.push(next);
            }
            let (batches, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            self.lag.since.store(self.store.clock.now() + 1, Ordering::Release);
            let written = self.write(batches).await;
            self.lag.since.store(0, Ordering::Release);
            match written {
                Ok(recorded) => {
                    self.lag.failures.store(0, Ordering::Release);
                    for (answer, recorded) in answers.into_iter().zip(recorded) {
                        let _ = answer.send(Ok(recorded));
                    }
                }
                Err(error) => {
                    self.lag.failures.fetch_add(1, Ordering::AcqRel);
                    for answer in answers {
                        let _ = answer.send(Err(error));
                    }
                }
            }
        }
    }

    /// Commits a group, then tells of it.
    async fn write(&mut self, batches: Vec<Vec<Entry>>) -> Result<Vec<Vec<Recorded>>, PortError> {
        if self.doubt {
            self.settle_doubt().await?;
        }
        let (recorded, events, chats) =
            match AssertUnwindSafe(commit(&self.store, &mut self.aliases, batches)).catch_unwind().await {
                Ok(Ok(committed)) => committed,
                Ok(Err(failure)) => {
                    self.doubt = true;
                    return Err(PortError::from(failure));
                }
                Err(_) => {
                    self.doubt = true;
                    return Err(PortError::Unavailable);
                }
            };
        // A panic from here on costs the answer, not the message: the place is taken, and whoever asks again hears of it.
        let told = catch_unwind(AssertUnwindSafe(|| {
            failpoint::pass("journal.committed");
            self.publish(events);
            chats.into_iter().for_each(|chat| self.nudge.nudge(chat));
        }));
        if told.is_err() {
            self.doubt = true;
            return Err(PortError::Unavailable);
        }
        Ok(recorded)
    }

    fn publish(&mut self, events: Vec<Event>) {
        for event in events {
            let seq = event.seq;
            self.sink.publish(event);
            self.published = seq.unwrap_or(self.published);
        }
    }

    /// Finds out what a commit whose answer was lost has left in the journal, and tells of it.
    async fn settle_doubt(&mut self) -> Result<(), PortError> {
        self.store.unseen.forget_all();
        loop {
            let rows = self.store.journal_after(self.published, BATCH as u64).await?;
            // Fewer than asked for, also because rows of removed sessions are left out: what is left is found next time.
            let last = rows.len() < BATCH;
            for (event, chat) in rows {
                if let Some(seq) = event.seq {
                    self.store.journal_seq.fetch_max(seq, Ordering::AcqRel);
                }
                self.publish(vec![event]);
                if let Some(chat) = chat {
                    self.nudge.nudge(chat);
                }
            }
            if last {
                break;
            }
        }
        let reserved = super::node::last_journal_seq(&self.store).await.map_err(|error| classify(&error))?;
        self.store.journal_reserved.fetch_max(reserved, Ordering::AcqRel);
        self.doubt = false;
        Ok(())
    }
}

type Committed = (Vec<Vec<Recorded>>, Vec<Event>, HashSet<ChatKey>);

async fn commit(store: &Store, known: &mut Aliases, batches: Vec<Vec<Entry>>) -> Result<Committed, Failure> {
    let tx = Tx::system(store, Reason::GroupCommit, Mode::Write).await?;
    let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
    let mut group = Group::begin(store, &tx, known, store.journal_seq.load(Ordering::Acquire));
    for entry in batches.into_iter().flatten() {
        group.record(entry).await?;
    }
    let Grouped { recorded, events, fresh, seq, chats, rows, told, lanes } = group.end().await?;
    let mut reserved = store.journal_reserved.load(Ordering::Acquire);
    if seq > reserved {
        reserved = super::node::reserve_places(&tx, seq).await?;
    }
    failpoint::pass("journal.commit");
    tx.commit().await?;
    store.journal_seq.store(seq, Ordering::Release);
    store.journal_reserved.store(reserved, Ordering::Release);
    if fresh.merged {
        store.unseen.forget_all();
    } else {
        store.unseen.written(rows);
    }
    known.learn(fresh);
    store.recent.keep(told);
    store.ring(lanes);
    let mut recorded = recorded.into_iter();
    Ok((sizes.into_iter().map(|size| recorded.by_ref().take(size).collect()).collect(), events, chats))
}

/// The `kind` column.
pub(in crate::store) fn kind_name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Status(_) => "status",
        EventKind::Message(_) => "message",
        EventKind::Ack(_) => "ack",
        EventKind::Change(_) => "change",
        EventKind::Notice(_) => "notice",
        EventKind::Presence { .. } => "presence",
        EventKind::ConnectionFailed { .. } => "connection_failed",
        EventKind::Supervised(_) => "supervised",
        EventKind::Replay { .. } => "replay",
    }
}
