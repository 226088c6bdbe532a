//! Fakes that keep their promises: they pass the same conformance suite as the real stores.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a fake that is broken ends the test")]

pub mod kernel;

use crate::domain::chat::ChatId;
use crate::domain::event::{Event, EventKind};
use crate::domain::exit::ExitReason;
use crate::domain::ids::{ChatKey, ChatUuid, LinkEpoch, SessionId, SessionKey, SessionName, WorkerId, event_id};
use crate::domain::login::Account;
use crate::domain::quota::{Exceeded, Limits, Quota, Resource, Whose};
use crate::domain::signal::{AgentState, Effect, Signal};
use crate::domain::spec::{Network, SessionSpec};
use crate::ports::clock::Clock;
use crate::ports::engine::{Command, CommandError, DriverContext, Engine, Report};
use crate::ports::journal::{AgentCommit, AgentStore, Entry, EventSink, Journal, NudgeSink, Pending, Recorded};
use crate::ports::store::{
    AcceptError, Accepted, ConfigError, CreateError, Delivery, NewSession, OutboxStore, Outgoing, SessionStore, Wanted,
};
use crate::ports::worker::{LaunchError, Worker, WorkerLauncher};
use crate::ports::{BoxFuture, PortError};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// A clock that stands still until it is moved.
#[derive(Default)]
pub struct ManualClock {
    now: AtomicU64,
    moved: Arc<Notify>,
}

impl ManualClock {
    /// Moves time on and wakes whoever waited for it.
    pub fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

/// A manual clock that can be shared and waited on.
#[derive(Clone, Default)]
pub struct SharedClock(pub Arc<ManualClock>);

impl Clock for SharedClock {
    fn now(&self) -> u64 {
        self.0.now.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.now()).unwrap()
    }

    fn sleep_until(&self, at: u64) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let moved = clock.0.moved.notified();
                if clock.now() >= at {
                    return;
                }
                moved.await;
            }
        })
    }
}

/// Keeps every event, in order.
#[derive(Default)]
pub struct RecordingSink(pub Mutex<Vec<Event>>);

impl EventSink for RecordingSink {
    fn publish(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[derive(Default)]
struct Rows {
    sessions: Vec<(SessionSpec, bool)>,
    aliases: HashMap<(SessionKey, String), ChatUuid>,
    journal: Vec<Row>,
    dedupe: HashSet<(SessionKey, LinkEpoch, String)>,
    agents: HashMap<ChatKey, (AgentState, i64)>,
    outbox: Vec<(SessionKey, Outgoing, Option<Delivery>)>,
    /// Places in the outbox, by what names each.
    requests: HashMap<(SessionKey, String), i64>,
    accepted: i64,
    effects: Vec<(ChatKey, i64, usize, Effect)>,
    seq: i64,
}

struct Row {
    seq: i64,
    key: SessionKey,
    chat: Option<ChatKey>,
    epoch: LinkEpoch,
    kind: EventKind,
}

/// All stores in memory.
#[derive(Clone, Default)]
pub struct Memory {
    rows: Arc<Mutex<Rows>>,
    /// Where events go, once set.
    pub sink: Arc<OnceLock<Arc<dyn EventSink>>>,
    /// Who wakes chats, once set.
    pub nudge: Arc<OnceLock<Arc<dyn NudgeSink>>>,
}

fn done<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}

impl Memory {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    /// Effects that agents asked for.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.rows().effects.iter().map(|(.., effect)| effect.clone()).collect()
    }

    fn change(
        &self,
        spec: &SessionSpec,
        change: impl FnOnce(&mut SessionSpec, &mut bool),
    ) -> BoxFuture<'static, Result<(), PortError>> {
        let mut rows = self.rows();
        let found = rows.sessions.iter_mut().find(|(one, _)| one.key() == spec.key());
        done(found.map(|(one, buried)| change(one, buried)).ok_or(PortError::Conflict))
    }

    fn all_of(&self, wanted: bool) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>> {
        let rows = self.rows();
        done(Ok(rows.sessions.iter().filter(|(_, buried)| *buried == wanted).map(|(spec, _)| spec.clone()).collect()))
    }
}

/// Everybody may have so many sessions; 0 = any number.
#[must_use]
pub fn sessions(most: u64) -> Quota {
    Quota { user: Limits { sessions: most, ..Limits::default() }, ..Quota::default() }
}

impl SessionStore for Memory {
    fn all(&self) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>> {
        self.all_of(false)
    }

    fn tombstones(&self) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>> {
        self.all_of(true)
    }

    fn create(&self, new: NewSession, quota: Quota) -> BoxFuture<'static, Result<SessionSpec, CreateError>> {
        let mut rows = self.rows();
        let living = rows.sessions.iter().filter(|(spec, buried)| !buried && spec.tenant == new.tenant);
        if living.clone().any(|(spec, _)| spec.name == new.name) {
            return done(Err(CreateError::Exists));
        }
        for whose in Whose::BOTH {
            let counted = living.clone().filter(|(spec, _)| whose == Whose::Tenant || spec.user == new.user);
            if !quota.of(whose).admits(Resource::Sessions, counted.count() as u64, 1) {
                let limit = quota.of(whose).sessions;
                return done(Err(Exceeded { resource: Resource::Sessions, whose, limit }.into()));
            }
        }
        let spec = SessionSpec {
            tenant: new.tenant,
            user: new.user,
            id: SessionId::generate(),
            name: new.name,
            engine: new.engine,
            network: new.network,
            config: new.config,
            desired_running: new.desired_running,
            link_epoch: LinkEpoch(0),
            linked_at: None,
            account: None,
            worker: None,
            owner_epoch: 1,
        };
        rows.sessions.push((spec.clone(), false));
        done(Ok(spec))
    }

    fn get(&self, key: SessionKey) -> BoxFuture<'static, Result<Option<SessionSpec>, PortError>> {
        let rows = self.rows();
        done(Ok(rows.sessions.iter().find(|(spec, _)| spec.key() == key).map(|(spec, _)| spec.clone())))
    }

    fn set_desired(&self, spec: &SessionSpec, running: bool) -> BoxFuture<'static, Result<(), PortError>> {
        self.change(spec, |spec, _| spec.desired_running = running)
    }

    fn set_config(
        &self,
        spec: &SessionSpec,
        network: Network,
        config: String,
        _: Quota,
    ) -> BoxFuture<'static, Result<(), ConfigError>> {
        let change = self.change(spec, |spec, _| (spec.network, spec.config) = (network, config));
        Box::pin(async move { Ok(change.await?) })
    }

    fn linked(
        &self,
        spec: &SessionSpec,
        account: &Account,
        at: i64,
    ) -> BoxFuture<'static, Result<LinkEpoch, PortError>> {
        let epoch = LinkEpoch(spec.link_epoch.0 + 1);
        let change = self.change(spec, |spec, _| {
            (spec.account, spec.linked_at, spec.link_epoch) = (Some(account.clone()), Some(at), epoch);
        });
        Box::pin(async move { change.await.map(|()| epoch) })
    }

    fn unlinked(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        self.change(spec, |spec, _| (spec.account, spec.linked_at, spec.worker) = (None, None, None))
    }

    fn set_worker(&self, spec: &SessionSpec, worker: Option<WorkerId>) -> BoxFuture<'static, Result<(), PortError>> {
        self.change(spec, |spec, _| spec.worker = worker)
    }

    fn watermark(&self, key: SessionKey, epoch: LinkEpoch) -> BoxFuture<'static, Result<Option<i64>, PortError>> {
        let rows = self.rows();
        let of_session = rows.journal.iter().filter(|row| row.key == key && row.epoch == epoch);
        let times = of_session.filter_map(|row| match &row.kind {
            EventKind::Message(message) => Some(message.timestamp),
            _ => None,
        });
        done(Ok(times.max()))
    }

    fn bury(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        self.change(spec, |spec, buried| (spec.desired_running, *buried) = (false, true))
    }

    fn purge(&self, key: SessionKey) -> BoxFuture<'static, Result<(), PortError>> {
        let mut rows = self.rows();
        rows.sessions.retain(|(spec, _)| spec.key() != key);
        rows.journal.retain(|row| row.key != key);
        rows.outbox.retain(|(owner, ..)| *owner != key);
        rows.requests.retain(|(owner, _), _| *owner != key);
        rows.aliases.retain(|(owner, _), _| *owner != key);
        rows.agents.retain(|chat, _| chat.session_key() != key);
        done(Ok(()))
    }
}

impl OutboxStore for Memory {
    fn accept(
        &self,
        spec: &SessionSpec,
        wanted: &Wanted,
        limit: u64,
    ) -> BoxFuture<'static, Result<Accepted, AcceptError>> {
        let mut rows = self.rows();
        let request = (spec.key(), wanted.dedupe.clone());
        if let Some(id) = rows.requests.get(&request) {
            let (_, one, ended) = rows.outbox.iter().find(|(_, one, _)| one.id == *id).unwrap();
            let same = one.chat == wanted.chat && one.draft == wanted.draft;
            let accepted = Accepted { outgoing: one.clone(), is_new: false, ended: ended.clone() };
            return done(if same { Ok(accepted) } else { Err(AcceptError::Taken) });
        }
        let waiting = rows.outbox.iter().filter(|(key, _, end)| *key == spec.key() && end.is_none()).count();
        if u64::try_from(waiting).unwrap() >= limit {
            return done(Err(AcceptError::Full));
        }
        rows.accepted += 1;
        let (id, Wanted { chat, draft, message_id, .. }) = (rows.accepted, wanted.clone());
        let outgoing = Outgoing { id, chat, message_id, draft, attempts: 0 };
        rows.requests.insert(request, id);
        rows.outbox.push((spec.key(), outgoing.clone(), None));
        done(Ok(Accepted { outgoing, is_new: true, ended: None }))
    }

    fn waiting(
        &self,
        spec: &SessionSpec,
        held: &[ChatId],
        limit: u64,
    ) -> BoxFuture<'static, Result<Vec<Outgoing>, PortError>> {
        let rows = self.rows();
        let waiting = rows.outbox.iter().filter(|(key, _, end)| *key == spec.key() && end.is_none());
        let waiting = waiting.filter(|(_, one, _)| !held.contains(&one.chat));
        done(Ok(waiting.take(usize::try_from(limit).unwrap()).map(|(_, one, _)| one.clone()).collect()))
    }

    fn attempt(&self, key: SessionKey, id: i64) -> BoxFuture<'static, Result<(), PortError>> {
        let mut rows = self.rows();
        let mine = rows.outbox.iter_mut().filter(|(owner, one, _)| *owner == key && one.id == id);
        mine.for_each(|(_, one, _)| one.attempts += 1);
        done(Ok(()))
    }

    fn finish(&self, key: SessionKey, id: i64, delivery: Delivery) -> BoxFuture<'static, Result<(), PortError>> {
        let mut rows = self.rows();
        let mine = rows.outbox.iter_mut().filter(|(owner, one, _)| *owner == key && one.id == id);
        mine.for_each(|(.., end)| *end = Some(delivery.clone()));
        done(Ok(()))
    }
}

impl Rows {
    /// The chat behind one or two aliases; two chats that turn out to be one become the older.
    fn chat(&mut self, key: SessionKey, alias: &str, other: Option<&str>) -> ChatKey {
        let names: Vec<_> = [Some(alias), other].into_iter().flatten().map(|name| (key, name.to_owned())).collect();
        let mut known: Vec<_> = names.iter().filter_map(|name| self.aliases.get(name).copied()).collect();
        known.sort();
        let chat = key.chat(known.first().copied().unwrap_or_else(ChatUuid::generate));
        if let [_, younger] = known.as_slice()
            && *younger != chat.chat
        {
            self.merge(chat, key.chat(*younger));
        }
        self.aliases.extend(names.into_iter().map(|name| (name, chat.chat)));
        self.agents.entry(chat).or_default();
        chat
    }

    /// What neither chat's agent has seen gets new places.
    fn merge(&mut self, keep: ChatKey, drop: ChatKey) {
        let dropped = self.agents.remove(&drop).unwrap().1;
        let mark = std::mem::replace(&mut self.agents.get_mut(&keep).unwrap().1, self.seq);
        for row in &mut self.journal {
            let open = (row.chat == Some(keep) && row.seq > mark) || (row.chat == Some(drop) && row.seq > dropped);
            if open {
                self.seq += 1;
                row.seq = self.seq;
            }
            row.chat = if row.chat == Some(drop) { Some(keep) } else { row.chat };
        }
        self.journal.sort_by_key(|row| row.seq);
        self.aliases.values_mut().filter(|chat| **chat == drop.chat).for_each(|chat| *chat = keep.chat);
    }
}

impl Journal for Memory {
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'static, Result<Vec<Recorded>, PortError>> {
        let (mut recorded, mut events) = (vec![], vec![]);
        {
            let mut rows = self.rows();
            for entry in entries {
                let key = entry.key;
                let alive = rows.sessions.iter().any(|(spec, _)| spec.key() == key);
                let event =
                    |seq, kind| Event { seq, id: event_id(), key, session: entry.session.clone(), at_ms: 0, kind };
                if !alive || !entry.kind.durable() {
                    events.push(event(None, entry.kind));
                    recorded.push(Recorded::Duplicate);
                    continue;
                }
                if !rows.dedupe.insert((key, entry.epoch, entry.dedupe.clone())) {
                    recorded.push(Recorded::Duplicate);
                    continue;
                }
                let chat = match &entry.kind {
                    EventKind::Message(message) => Some((message.chat.clone(), message.chat_alias.clone())),
                    EventKind::Ack(ack) => Some((ack.chat.clone(), None)),
                    EventKind::Change(change) => Some((change.chat.clone(), change.chat_alias.clone())),
                    _ => None,
                };
                let chat = chat.map(|(alias, other)| rows.chat(key, &alias, other.as_deref()));
                rows.seq += 1;
                let seq = rows.seq;
                rows.journal.push(Row { seq, key, chat, epoch: entry.epoch, kind: entry.kind.clone() });
                events.push(event(Some(seq), entry.kind));
                recorded.push(Recorded::New { seq, chat });
            }
        }
        for event in events {
            if let Some(sink) = self.sink.get() {
                sink.publish(event);
            }
        }
        for one in &recorded {
            if let (Recorded::New { chat: Some(chat), .. }, Some(nudge)) = (one, self.nudge.get()) {
                nudge.nudge(*chat);
            }
        }
        done(Ok(recorded))
    }
}

impl AgentStore for Memory {
    fn load(&self, chat: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>> {
        done(Ok(self.rows().agents.get(&chat).cloned().unwrap_or_default()))
    }

    fn pending(&self, chat: ChatKey, handled: i64, limit: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>> {
        let rows = self.rows();
        let mine = rows.journal.iter().filter(|row| row.chat == Some(chat) && row.seq > handled);
        let signals = mine.filter_map(|row| match &row.kind {
            EventKind::Message(message) => Some(Pending { seq: row.seq, signal: Signal::Message(message.clone()) }),
            EventKind::Ack(ack) => Some(Pending { seq: row.seq, signal: Signal::Ack(ack.clone()) }),
            EventKind::Change(change) => Some(Pending { seq: row.seq, signal: Signal::Change(change.clone()) }),
            _ => None,
        });
        done(Ok(signals.take(usize::try_from(limit).unwrap()).collect()))
    }

    fn behind(&self) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>> {
        let rows = self.rows();
        let mut behind: Vec<_> = rows
            .journal
            .iter()
            .filter_map(|row| Some((row.chat?, row.seq)))
            .filter(|(chat, seq)| rows.agents.get(chat).map_or(0, |(_, handled)| *handled) < *seq)
            .map(|(chat, _)| chat)
            .collect();
        behind.sort();
        behind.dedup();
        done(Ok(behind))
    }

    fn commit(&self, commit: AgentCommit) -> BoxFuture<'static, Result<(), PortError>> {
        let mut rows = self.rows();
        if rows.agents.get(&commit.chat).is_none_or(|(_, handled)| *handled != commit.expected) {
            return done(Err(PortError::Conflict));
        }
        rows.agents.insert(commit.chat, (commit.state.clone(), commit.handled()));
        for (seq, effects) in commit.steps {
            rows.effects.extend(effects.into_iter().enumerate().map(|(index, one)| (commit.chat, seq, index, one)));
        }
        done(Ok(()))
    }
}

/// What a [`FakeEngine`]'s running driver is told by a test.
pub enum Script {
    /// Say this to the session.
    Say(Report),
    /// End like this.
    Exit(ExitReason),
    /// Panic with this text.
    Panic(&'static str),
}

/// An engine whose drivers do what a test says. A stop ends them at once.
#[derive(Default)]
pub struct FakeEngine {
    scripts: Mutex<HashMap<SessionId, mpsc::UnboundedSender<Script>>>,
    /// Drivers that are alive.
    pub alive: Arc<AtomicUsize>,
    /// Drivers that were ever started.
    pub started: AtomicUsize,
    living: Arc<Mutex<HashSet<SessionId>>>,
    /// Times that a session's driver was started while another of it was alive.
    pub doubled: AtomicUsize,
    /// Rings at every start.
    pub starts: Notify,
    /// Drivers lease a worker first.
    pub leasing: AtomicBool,
    /// Sessions whose commands take so long each.
    paces: Arc<Mutex<HashMap<SessionName, Duration>>>,
}

impl FakeEngine {
    /// Tells the session's running driver what to do; false when there is none.
    pub fn tell(&self, session: SessionId, script: Script) -> bool {
        self.scripts.lock().unwrap().get(&session).is_some_and(|driver| driver.send(script).is_ok())
    }

    /// From now on each command of the session takes so long, one after the other.
    pub fn pace(&self, session: &SessionName, each: Duration) {
        self.paces.lock().unwrap().insert(session.clone(), each);
    }
}

struct Alive(Arc<AtomicUsize>, Arc<Mutex<HashSet<SessionId>>>, SessionId);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.lock().unwrap().remove(&self.2);
    }
}

impl Engine for FakeEngine {
    fn run(&self, mut context: DriverContext) -> BoxFuture<'static, ExitReason> {
        let (tell, mut hear) = mpsc::unbounded_channel();
        self.scripts.lock().unwrap().insert(context.spec.id, tell);
        self.alive.fetch_add(1, Ordering::SeqCst);
        self.started.fetch_add(1, Ordering::SeqCst);
        self.starts.notify_waiters();
        let first = self.living.lock().unwrap().insert(context.spec.id);
        self.doubled.fetch_add(usize::from(!first), Ordering::SeqCst);
        let paces = Arc::clone(&self.paces);
        let leasing = self.leasing.load(Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.alive), Arc::clone(&self.living), context.spec.id);
        Box::pin(async move {
            let _alive = alive;
            if leasing && let Err(error) = context.pool.lease(&context.spec, None).await {
                return ExitReason::LaunchFailed { detail: error.to_string() };
            }
            let mut stop = context.stop.clone();
            loop {
                tokio::select! {
                    () = async { drop(stop.wait_for(Option::is_some).await) } => return ExitReason::Stopped,
                    Some(command) = context.commands.recv() => {
                        let pace = paces.lock().unwrap().get(&context.spec.name).copied();
                        if let Some(pace) = pace {
                            tokio::time::sleep(pace).await;
                        }
                        match command {
                            Command::Act { answer, .. } | Command::Fetch { answer, .. } => drop(answer.send(Ok(()))),
                            other => other.refuse(CommandError::Unsupported),
                        }
                    },
                    Some(script) = hear.recv() => match script {
                        Script::Say(report) => context.report(report).await,
                        Script::Exit(reason) => return reason,
                        Script::Panic(text) => std::panic::resume_unwind(Box::new(text)),
                    },
                }
            }
        })
    }

    fn clean_up(&self, _: &SessionSpec) -> BoxFuture<'static, ()> {
        done(())
    }

    fn put_away(&self, _: &SessionSpec) -> BoxFuture<'static, bool> {
        done(true)
    }

    fn forget(&self, _: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        done(Ok(()))
    }
}

/// Starts workers that are no processes.
pub struct FakeLauncher;

struct FakeWorker(WorkerId);

impl Worker for FakeWorker {
    fn id(&self) -> WorkerId {
        self.0
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn endpoint(&self) -> &str {
        ""
    }

    fn exited(&self) -> BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }

    fn stop(&self, _: bool) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl WorkerLauncher for FakeLauncher {
    fn launch(&self, id: WorkerId) -> BoxFuture<'_, Result<Arc<dyn Worker>, LaunchError>> {
        Box::pin(std::future::ready(Ok(Arc::new(FakeWorker(id)) as _)))
    }

    fn remove_profile(&self, _: WorkerId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
