//! The journal's one writer. Whatever arrives while a commit is under way goes into the next one, so that a thousand
//! messages cost ten syncs. Events are published after the commit, in order.

use super::chats::resolve;
use crate::store::entity::{chats, journal, sessions};
use crate::store::{Failure, Mode, Reason, Store, Tx, classify};
use crate::vault::Kind;
use futures_util::FutureExt;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, TryInsertResult};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionKey, event_id};
use wardroom_actors::domain::message::{AckChange, Message};
use wardroom_actors::failpoint;
use wardroom_actors::ports::journal::{Entry, EventSink, Journal, NudgeSink, Recorded};
use wardroom_actors::ports::{BoxFuture, PortError};

/// Entries of one commit; a batch of 100 has the best p99 at full throughput.
const BATCH: usize = 100;
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
        let writer = Writer { store, sink, nudge, lag: Arc::clone(&lag), published, doubt: false };
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
        let (recorded, events) = match AssertUnwindSafe(commit(&self.store, batches)).catch_unwind().await {
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
            self.wake(recorded.iter().flatten());
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

    fn wake<'a>(&self, recorded: impl Iterator<Item = &'a Recorded>) {
        for one in recorded {
            if let Recorded::New { chat: Some(chat), .. } = one {
                self.nudge.nudge(*chat);
            }
        }
    }

    /// Finds out what a commit whose answer was lost has left in the journal, and tells of it.
    async fn settle_doubt(&mut self) -> Result<(), PortError> {
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

type Committed = (Vec<Vec<Recorded>>, Vec<Event>);

async fn commit(store: &Store, batches: Vec<Vec<Entry>>) -> Result<Committed, Failure> {
    let tx = Tx::system(store, Reason::GroupCommit, Mode::Write).await?;
    let mut group = Group { store, tx: &tx, alive: HashMap::new(), seq: store.journal_seq.load(Ordering::Acquire) };
    let (mut recorded, mut events) = (vec![], vec![]);
    for batch in batches {
        let mut outcome = Vec::with_capacity(batch.len());
        for entry in batch {
            outcome.push(group.record(entry, &mut events).await?);
        }
        recorded.push(outcome);
    }
    let seq = group.seq;
    let mut reserved = store.journal_reserved.load(Ordering::Acquire);
    if seq > reserved {
        reserved = super::node::reserve_places(&tx, seq).await?;
    }
    failpoint::pass("journal.commit");
    tx.commit().await?;
    store.journal_seq.store(seq, Ordering::Release);
    store.journal_reserved.store(reserved, Ordering::Release);
    Ok((recorded, events))
}

struct Group<'a> {
    store: &'a Store,
    tx: &'a Tx,
    /// Sessions that have a row. What arrives after a session was purged leaves no row behind.
    alive: HashMap<SessionKey, bool>,
    seq: i64,
}

impl Group<'_> {
    async fn record(&mut self, entry: Entry, events: &mut Vec<Event>) -> Result<Recorded, Failure> {
        let at = self.store.now();
        let id = event_id();
        let event =
            |seq, kind| Event { seq, id: id.clone(), key: entry.key, session: entry.session.clone(), at_ms: at, kind };
        if !entry.kind.durable() || !self.is_alive(entry.key).await? {
            events.push(event(None, entry.kind));
            return Ok(Recorded::Duplicate);
        }
        self.store.need_dek(self.tx, entry.key.tenant, entry.user).await?;
        let chat = match &entry.kind {
            EventKind::Message(message) => {
                Some(resolve(self.tx, entry.key, &message.chat, message.chat_alias.as_deref()).await?)
            }
            EventKind::Ack(ack) => Some(resolve(self.tx, entry.key, &ack.chat, None).await?),
            EventKind::Replay { chat, .. } => Some(*chat),
            EventKind::Status(_)
            | EventKind::Presence { .. }
            | EventKind::ConnectionFailed { .. }
            | EventKind::Supervised(_) => None,
        };
        let seq = self.seq + 1;
        let label = Store::label(entry.key.tenant, entry.user, Kind::Journal, format!("{}/{seq}", entry.key.session));
        let plain = serde_json::to_vec(&entry.kind).map_err(|_| Failure::Strange)?;
        let message = match &entry.kind {
            EventKind::Message(message) => Some(message),
            _ => None,
        };
        let row = journal::ActiveModel {
            tenant_id: Set(entry.key.tenant.0),
            seq: Set(seq),
            session_id: Set(entry.key.session.0),
            chat_id: Set(chat.map(|chat| chat.0)),
            link_epoch: Set(entry.epoch.0),
            dedupe: Set(entry.dedupe.clone()),
            kind: Set(kind_name(&entry.kind).to_owned()),
            event_id: Set(id.clone()),
            at: Set(at),
            message_id: Set(message.map(|message| message.id.clone())),
            from_me: Set(message.map(|message| message.from_me)),
            timestamp: Set(message.map(|message| message.timestamp)),
            ack: Set(message.map(|message| i16::from(i8::from(message.ack)))),
            payload: Set(self.store.vault.seal(&label, &plain)?),
        };
        use journal::Column::{Dedupe, LinkEpoch, SessionId, TenantId};
        let unique = [TenantId, SessionId, LinkEpoch, Dedupe];
        let insert = journal::Entity::insert(row).on_conflict_do_nothing_on(unique);
        if !matches!(insert.exec_without_returning(&**self.tx).await?, TryInsertResult::Inserted(1)) {
            return Ok(Recorded::Duplicate);
        }
        self.seq = seq;
        if let Some(chat) = chat {
            self.touch(&entry, chat, seq, at).await?;
        }
        events.push(event(Some(seq), entry.kind));
        let (tenant, session) = (entry.key.tenant, entry.key.session);
        Ok(Recorded::New { seq, chat: chat.map(|chat| ChatKey { tenant, session, chat }) })
    }

    /// What a signal changes beside the journal: the chat's place in the list, the ack of an older message.
    async fn touch(&self, entry: &Entry, chat: ChatUuid, seq: i64, at: i64) -> Result<(), Failure> {
        match &entry.kind {
            EventKind::Message(message) => self.touch_chat(entry, Some(message), chat, seq, at).await,
            EventKind::Replay { .. } => self.touch_chat(entry, None, chat, seq, at).await,
            EventKind::Ack(ack) => self.raise_ack(entry.key, ack).await,
            _ => Ok(()),
        }
    }

    async fn touch_chat(
        &self,
        entry: &Entry,
        message: Option<&Message>,
        chat: ChatUuid,
        seq: i64,
        at: i64,
    ) -> Result<(), Failure> {
        let mut update = chats::Entity::update_many()
            .col_expr(chats::Column::LastSeq, Expr::value(seq))
            .col_expr(chats::Column::LastAt, Expr::value(at));
        let theirs = message.filter(|message| !message.from_me);
        if let Some(name) = theirs.and_then(|message| message.push_name.as_ref()) {
            let label = Store::label(entry.key.tenant, entry.user, Kind::Journal, format!("chat/{chat}"));
            let sealed = self.store.vault.seal(&label, name.as_bytes())?;
            update = update.col_expr(chats::Column::Name, Expr::value(sealed));
        }
        update
            .filter(chats::Column::TenantId.eq(entry.key.tenant.0))
            .filter(chats::Column::SessionId.eq(entry.key.session.0))
            .filter(chats::Column::Id.eq(chat.0))
            .exec(&**self.tx)
            .await?;
        Ok(())
    }

    /// A late, lower ack changes nothing.
    async fn raise_ack(&self, key: SessionKey, change: &AckChange) -> Result<(), Failure> {
        let ack = i16::from(i8::from(change.ack));
        journal::Entity::update_many()
            .col_expr(journal::Column::Ack, Expr::value(ack))
            .filter(journal::Column::TenantId.eq(key.tenant.0))
            .filter(journal::Column::SessionId.eq(key.session.0))
            .filter(journal::Column::MessageId.eq(change.message_id.as_str()))
            .filter(journal::Column::Ack.lt(ack))
            .exec(&**self.tx)
            .await?;
        Ok(())
    }

    async fn is_alive(&mut self, key: SessionKey) -> Result<bool, Failure> {
        if let Some(alive) = self.alive.get(&key) {
            return Ok(*alive);
        }
        let row = sessions::Entity::find_by_id((key.tenant.0, key.session.0))
            .select_only()
            .column(sessions::Column::LinkEpoch)
            .into_tuple::<i32>()
            .one(&**self.tx)
            .await?;
        self.alive.insert(key, row.is_some());
        Ok(row.is_some())
    }
}

/// The `kind` column.
pub(in crate::store) fn kind_name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Status(_) => "status",
        EventKind::Message(_) => "message",
        EventKind::Ack(_) => "ack",
        EventKind::Presence { .. } => "presence",
        EventKind::ConnectionFailed { .. } => "connection_failed",
        EventKind::Supervised(_) => "supervised",
        EventKind::Replay { .. } => "replay",
    }
}
