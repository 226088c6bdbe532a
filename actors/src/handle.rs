//! The only door to the kernel: async functions, no actix type. Everything is asked by tenant; what belongs to another
//! tenant is not found.

mod shut;
mod slots;

use crate::actor::arbiters::Lateness;
use crate::actor::browser_pool::{self, BrowserPoolActor};
use crate::actor::inbox::Inbox;
use crate::actor::living::{Living, SessionEntry, View, lock};
use crate::actor::registry::{self, Adopt, Create, RegistryActor, Remove, WakeChat, refresh};
use crate::actor::session::{Ask, Control, Wish};
use crate::domain::event::Step;
use crate::domain::ids::{ChatKey, SessionId, SessionKey, SessionName, TenantId};
use crate::domain::message::Message;
use crate::domain::quota::Exceeded;
use crate::domain::session::{Phase, Status};
use crate::domain::spec::{Network, SessionSpec};
use crate::domain::webhook::Hooks;
use crate::failpoint;
use crate::policy::admission::Refused;
use crate::policy::breaker;
use crate::ports::PortError;
use crate::ports::engine::{Answer, Command, CommandError};
use crate::ports::journal::{Entry, NudgeSink};
use crate::ports::quotas::Quotas;
use crate::ports::store::{AcceptError, Accepted, ConfigError, CreateError, NewSession, Wanted};
use crate::ports::worker::Usage;
use crate::supervise;
use actix::{Addr, ArbiterHandle};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A message that was accepted, and who hears what becomes of it.
type Sending = (Accepted, oneshot::Receiver<Result<Message, String>>);

/// Why the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such session.
    #[error("Session not found")]
    NotFound,
    /// The name is taken.
    #[error("a session of this name exists")]
    Exists,
    /// A limit is reached.
    #[error(transparent)]
    Limit(#[from] Refused),
    /// More than a quota allows.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// More messages than a quota allows, for now.
    #[error("{exceeded}")]
    TooMany {
        /// Which quota.
        exceeded: Exceeded,
        /// Seconds after which there is room.
        retry_s: u64,
    },
    /// The session is in another status than the request needs.
    #[error("the session is {}", .0.as_str())]
    WrongStatus(Status),
    /// Something else was wanted under this name.
    #[error("this Idempotency-Key or id was used for another message")]
    Taken,
    /// The outbox is full.
    #[error("too many messages are waiting in this session")]
    QueueFull {
        /// Seconds after which there is a place again.
        retry_s: u64,
    },
    /// An inbox is full.
    #[error("too many requests are waiting")]
    Busy,
    /// A port failed.
    #[error(transparent)]
    Store(#[from] PortError),
    /// The driver refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What was asked for did not end in time; it goes on.
    #[error("it takes longer than expected and goes on in the background")]
    Slow,
}

/// A session as clients see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What is stored.
    pub spec: SessionSpec,
    /// What is live.
    pub view: View,
}

/// What the kernel is started with.
pub struct Kernel {
    /// Registry and sessions.
    pub registry: registry::Deps,
    /// What everybody may have.
    pub quotas: Arc<dyn Quotas>,
    /// Messages that may wait in one session's outbox.
    pub outbox_limit: u64,
    /// Seconds after which a full outbox has a place again.
    pub outbox_retry_s: u64,
    /// Requests that may wait at the registry.
    pub registry_inbox: usize,
}

/// How long a caller waits for a driver's answer to a command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a caller waits for a session to end: the driver's 20 s and its forced end.
const END_TIMEOUT: Duration = Duration::from_secs(45);

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    living: Arc<Living>,
    registry: Arc<Inbox<RegistryActor>>,
    pool: Addr<BrowserPoolActor>,
    kernel: Arc<Kernel>,
}

impl Kernel {
    /// Starts the registry on `arbiter` and opens the door.
    #[must_use]
    pub fn start(self, arbiter: &ArbiterHandle) -> Handle {
        let deps = self.registry.clone();
        let clock = Arc::clone(&deps.session.clock);
        let supervision = Arc::clone(&deps.supervision);
        let addr = supervise::start(arbiter, "registry", supervision, move |_| RegistryActor::new(deps.clone()));
        Handle {
            living: Arc::clone(&self.registry.living),
            registry: Arc::new(Inbox::new(addr, self.registry_inbox, clock)),
            pool: self.registry.session.pool_actor.clone(),
            kernel: Arc::new(self),
        }
    }
}

/// Starts the pool on `arbiter`.
#[must_use]
pub fn start_pool(
    arbiter: &ArbiterHandle,
    supervision: Arc<supervise::Supervision>,
    deps: browser_pool::Deps,
) -> Addr<BrowserPoolActor> {
    supervise::start(arbiter, "browser_pool", supervision, move |_| BrowserPoolActor::new(deps.clone()))
}

impl Handle {
    /// Puts the stored sessions into the table, finishes deletions that were cut off, and starts what shall run.
    ///
    /// # Errors
    /// The store's.
    pub async fn boot(&self) -> Result<(), PortError> {
        let store = &self.kernel.registry.session.sessions;
        let buried = store.tombstones().await?;
        let specs = store.all().await?;
        let starting: Vec<_> = specs.iter().filter(|spec| spec.desired_running).map(SessionSpec::key).collect();
        let all: Vec<_> = specs.into_iter().chain(buried.iter().cloned()).collect();
        self.registry.addr.send(Adopt { specs: all }).await.map_err(|_| PortError::Unavailable)?;
        for spec in self.living.sessions.iter().map(|entry| entry.spec()).filter(|spec| !spec.desired_running) {
            // A kill in the middle of a stop leaves a login open on disk.
            let put_away = self.kernel.registry.session.engine.put_away(&spec);
            self.kernel.registry.session.io.spawn(put_away);
        }
        for spec in buried {
            let (done, _) = oneshot::channel();
            self.registry.addr.do_send(Remove { key: spec.key(), done });
        }
        // What was recorded and not handled when the server ended.
        for chat in self.kernel.registry.agent_store.behind().await? {
            self.registry.addr.do_send(WakeChat { chat });
        }
        failpoint::pass("boot.adopted");
        for key in starting {
            if let Some(entry) = self.living.session(key)
                && let Err(refusal) = self.run(&entry).await
            {
                tracing::warn!(session = %key.session, %refusal, "not started at boot");
            }
        }
        Ok(())
    }

    /// Creates a session, and starts it when it is desired to run.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was changed then.
    pub async fn create(&self, new: NewSession) -> Result<Seen, Refusal> {
        let permit = self.registry.permit().ok_or(Refusal::Busy)?;
        let desired = new.desired_running;
        if desired {
            self.room_for_one()?;
        }
        let (done, created) = oneshot::channel();
        let quota = self.kernel.quotas.of(new.tenant, new.user);
        self.registry.addr.do_send(Create { new, quota, done, permit });
        let entry = match created.await {
            Ok(Ok(entry)) => entry,
            Ok(Err(CreateError::Exists)) => return Err(Refusal::Exists),
            Ok(Err(CreateError::Quota(exceeded))) => return Err(exceeded.into()),
            Ok(Err(CreateError::Store(error))) => return Err(error.into()),
            Err(_) => return Err(PortError::Unavailable.into()),
        };
        if desired && let Err(refusal) = self.run(&entry).await {
            // Somebody else took the last slot in between: a refused request leaves nothing behind.
            self.remove(entry.spec().tenant, &entry.spec().name).await?;
            return Err(refusal);
        }
        Ok(seen(&entry))
    }

    /// All sessions of a tenant, by name.
    #[must_use]
    pub fn sessions(&self, tenant: TenantId) -> Vec<Seen> {
        let keys: Vec<_> =
            self.living.names.iter().filter(|entry| entry.key().0 == tenant).map(|entry| *entry.value()).collect();
        let mut all: Vec<_> =
            keys.into_iter().filter_map(|key| self.living.session(key)).map(|entry| seen(&entry)).collect();
        all.sort_by(|one, two| one.spec.name.cmp(&two.spec.name));
        all
    }

    /// Whom a session's events are told.
    #[must_use]
    pub fn hooks(&self, key: SessionKey) -> Option<Arc<Hooks>> {
        Some(self.living.session(key)?.hooks())
    }

    /// A session by key, and whom its events are told.
    #[must_use]
    pub fn hooked(&self, key: SessionKey) -> Option<(Seen, Arc<Hooks>)> {
        let entry = self.living.session(key)?;
        Some((seen(&entry), entry.hooks()))
    }

    /// How many sessions of all tenants are in each status.
    #[must_use]
    pub fn census(&self) -> Vec<(Status, usize)> {
        let statuses: Vec<_> = self.living.sessions.iter().map(|entry| entry.view.borrow().status).collect();
        Status::ALL.map(|status| (status, statuses.iter().filter(|one| **one == status).count())).to_vec()
    }

    /// A tenant's sessions as their operators see them, by name.
    #[must_use]
    pub fn supervision(&self, tenant: TenantId) -> Vec<Supervised> {
        let now = self.kernel.registry.session.clock.now();
        let keys: Vec<_> =
            self.living.names.iter().filter(|entry| entry.key().0 == tenant).map(|entry| *entry.value()).collect();
        let mut all: Vec<_> =
            keys.into_iter().filter_map(|key| self.living.session(key)).map(|entry| supervised(&entry, now)).collect();
        all.sort_by(|one, two| one.spec.name.cmp(&two.spec.name));
        all
    }

    /// How late each thread of actors is.
    #[must_use]
    pub fn lateness(&self) -> Vec<Lateness> {
        self.kernel.registry.arbiters.lateness(self.kernel.registry.session.clock.now())
    }

    /// What all workers use together, and how many of them were looked at.
    #[must_use]
    pub fn usage(&self) -> (usize, Usage) {
        let mut sum = Usage::default();
        let used: Vec<_> = self.living.sessions.iter().filter_map(|entry| *lock(&entry.usage)).collect();
        for one in &used {
            sum.processes += one.processes;
            sum.memory = sum.memory.saturating_add(one.memory);
            sum.cpu += one.cpu;
        }
        (used.len(), sum)
    }

    /// Chats that are awake.
    #[must_use]
    pub fn chats_awake(&self) -> usize {
        self.living.chats.len()
    }

    /// Worker slots of the node.
    #[must_use]
    pub fn worker_limit(&self) -> usize {
        lock(&self.kernel.registry.session.pool_table.ledger).limit()
    }

    /// Commits an entry to the journal; the chat that it belongs to hears of it.
    ///
    /// # Errors
    /// The journal's.
    pub async fn record(&self, entry: Entry) -> Result<(), Refusal> {
        self.kernel.registry.session.journal.append(vec![entry]).await?;
        Ok(())
    }

    /// Asks every thread of actors whether it still turns. To be called twice a second.
    pub fn beat(&self) {
        self.kernel.registry.arbiters.beat(&self.kernel.registry.session.clock);
    }

    /// Finishes removals that were cut off, and puts chats to sleep that had nothing to do for a while. To be called now and then.
    pub fn tidy(&self) {
        self.registry.addr.do_send(registry::Tidy);
        self.registry.addr.do_send(registry::Sweep);
    }

    /// Worker slots in use, warm spares included.
    #[must_use]
    pub fn workers(&self) -> usize {
        lock(&self.kernel.registry.session.pool_table.ledger).total()
    }

    /// One session.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn session(&self, tenant: TenantId, name: &SessionName) -> Result<Seen, Refusal> {
        self.entry(tenant, name).map(|entry| seen(&entry))
    }

    /// The session's view, and every change of it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn watch(&self, tenant: TenantId, name: &SessionName) -> Result<watch::Receiver<View>, Refusal> {
        self.entry(tenant, name).map(|entry| entry.view.subscribe())
    }

    /// Wants the session to run.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn start(&self, tenant: TenantId, name: &SessionName) -> Result<Seen, Refusal> {
        let entry = self.entry(tenant, name)?;
        self.desire(&entry, true).await?;
        self.run(&entry).await?;
        Ok(seen(&entry))
    }

    /// Ends the session and keeps its login; answers when its driver is gone.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn stop(&self, tenant: TenantId, name: &SessionName) -> Result<Seen, Refusal> {
        let entry = self.entry(tenant, name)?;
        self.desire(&entry, false).await?;
        self.wish(&entry, Wish::Stop).await?;
        Ok(seen(&entry))
    }

    /// Ends the session and starts it again; forgets all failures.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn restart(&self, tenant: TenantId, name: &SessionName) -> Result<Seen, Refusal> {
        let entry = self.entry(tenant, name)?;
        self.desire(&entry, true).await?;
        self.reserve(&entry).await?;
        self.wish(&entry, Wish::Restart).await?;
        Ok(seen(&entry))
    }

    /// Unlinks the account; the session starts again if it was running.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn logout(&self, tenant: TenantId, name: &SessionName) -> Result<Seen, Refusal> {
        let entry = self.entry(tenant, name)?;
        self.wish(&entry, Wish::Logout).await?;
        let mut view = entry.view.subscribe();
        let unlinked = view.wait_for(|view| view.account.is_none());
        let _ = tokio::time::timeout(END_TIMEOUT, unlinked).await.map_err(|_| Refusal::Slow)?;
        Ok(seen(&entry))
    }

    /// Replaces the config; a running session is restarted with it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn configure(
        &self,
        tenant: TenantId,
        name: &SessionName,
        network: Network,
        config: String,
    ) -> Result<Seen, Refusal> {
        let entry = self.entry(tenant, name)?;
        let spec = entry.spec();
        let quota = self.kernel.quotas.of(tenant, spec.user);
        match self.kernel.registry.session.sessions.set_config(&spec, network, config, quota).await {
            Ok(()) => {}
            Err(ConfigError::Quota(exceeded)) => return Err(exceeded.into()),
            Err(ConfigError::Store(error)) => return Err(error.into()),
        }
        self.reload(&entry).await?;
        if entry.view.borrow().status != Status::Stopped {
            return self.restart(tenant, name).await;
        }
        Ok(seen(&entry))
    }

    /// Removes the session; rows, files and processes are gone when this ends. Idempotent.
    ///
    /// # Errors
    /// [`Refusal::Slow`] when it goes on in the background.
    pub async fn remove(&self, tenant: TenantId, name: &SessionName) -> Result<(), Refusal> {
        let Ok(entry) = self.entry(tenant, name) else { return Ok(()) };
        let (done, gone) = oneshot::channel();
        self.registry.addr.do_send(Remove { key: entry.spec().key(), done });
        match tokio::time::timeout(END_TIMEOUT, gone).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(PortError::Unavailable.into()),
            Err(_) => Err(Refusal::Slow),
        }
    }

    /// Waits until the session is in `status`, at most `limit`.
    ///
    /// # Errors
    /// [`Refusal::WrongStatus`] with the status that it has instead.
    pub async fn wait_for(
        &self,
        tenant: TenantId,
        name: &SessionName,
        status: Status,
        limit: Duration,
    ) -> Result<View, Refusal> {
        let entry = self.entry(tenant, name)?;
        let mut view = entry.view.subscribe();
        let reached = tokio::time::timeout(limit, view.wait_for(|view| view.status == status)).await;
        match reached {
            Ok(Ok(view)) => Ok(view.clone()),
            _ => Err(Refusal::WrongStatus(entry.view.borrow().status)),
        }
    }

    /// Accepts a message into the outbox. The receiver hears what became of it, unless that is known already.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was accepted then.
    pub async fn send(&self, tenant: TenantId, name: &SessionName, wanted: &Wanted) -> Result<Sending, Refusal> {
        let entry = self.entry(tenant, name)?;
        let spec = entry.spec();
        self.kernel
            .quotas
            .spend(tenant, spec.user)
            .map_err(|(exceeded, wait_ms)| Refusal::TooMany { exceeded, retry_s: wait_ms.div_ceil(1000) })?;
        let sent = self.accept(&entry, &spec, wanted).await;
        // What was accepted before, or is not, counts for nothing.
        if !sent.as_ref().is_ok_and(|(accepted, _)| accepted.is_new) {
            self.kernel.quotas.give_back(tenant, spec.user);
        }
        sent
    }

    async fn accept(&self, entry: &SessionEntry, spec: &SessionSpec, wanted: &Wanted) -> Result<Sending, Refusal> {
        let mut awaited = wanted.message_id.clone();
        loop {
            // Before it is accepted: from then on it may leave at any moment.
            let hear = entry.hear_of(&awaited);
            match self.kernel.registry.session.outbox.accept(spec, wanted, self.kernel.outbox_limit).await {
                Ok(accepted) if accepted.ended.is_none() && accepted.outgoing.message_id != awaited => {
                    // An earlier request of this name: what became of it meanwhile is asked once more.
                    entry.hear_no_more(&awaited, hear);
                    awaited = accepted.outgoing.message_id;
                }
                Ok(accepted) if accepted.ended.is_some() => {
                    entry.hear_no_more(&awaited, hear);
                    return Ok((accepted, oneshot::channel().1));
                }
                Ok(accepted) => {
                    entry.outbox_ready.notify_one();
                    return Ok((accepted, hear));
                }
                Err(error) => {
                    entry.hear_no_more(&awaited, hear);
                    return Err(match error {
                        AcceptError::Full => Refusal::QueueFull { retry_s: self.kernel.outbox_retry_s },
                        AcceptError::Taken => Refusal::Taken,
                        AcceptError::Store(error) => error.into(),
                    });
                }
            }
        }
    }

    /// Asks the session's driver.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn ask<T>(
        &self,
        tenant: TenantId,
        name: &SessionName,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Refusal> {
        self.ask_within(ANSWER_TIMEOUT, tenant, name, command).await
    }

    /// [`Self::ask`] with a time-out of one's own.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn ask_within<T>(
        &self,
        limit: Duration,
        tenant: TenantId,
        name: &SessionName,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Refusal> {
        let entry = self.entry(tenant, name)?;
        let inbox = entry.inbox.get().ok_or(Refusal::Busy)?;
        let permit = inbox.permit().ok_or(Refusal::Busy)?;
        let (answer, hear) = oneshot::channel();
        inbox.addr.do_send(Ask { command: command(answer), permit });
        match tokio::time::timeout(limit, hear).await {
            Ok(Ok(answer)) => Ok(answer?),
            _ => Err(CommandError::NoAnswer.into()),
        }
    }

    /// Ends everything, drivers first; answers which did not end in time.
    pub async fn shut_down(&self, limit: Duration) -> Vec<SessionId> {
        let entries: Vec<_> = self.living.sessions.iter().map(|entry| Arc::clone(entry.value())).collect();
        let mut ends = vec![];
        for entry in &entries {
            let (done, ended) = oneshot::channel();
            if let Some(inbox) = entry.inbox.get() {
                inbox.addr.do_send(Control { wish: Wish::Stop, done: Some(done), permit: None });
            }
            ends.push((entry.spec().id, ended));
        }
        let (done, closed) = oneshot::channel();
        self.pool.do_send(browser_pool::Close { done });
        let deadline = tokio::time::Instant::now() + limit;
        let mut stragglers = vec![];
        for (session, ended) in ends {
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                stragglers.push(session);
            }
        }
        let _ = tokio::time::timeout_at(deadline, closed).await;
        stragglers
    }

    async fn desire(&self, entry: &SessionEntry, running: bool) -> Result<(), Refusal> {
        self.kernel.registry.session.sessions.set_desired(&entry.spec(), running).await?;
        self.reload(entry).await?;
        entry.view.send_modify(|view| view.desired_running = running);
        Ok(())
    }

    async fn reload(&self, entry: &SessionEntry) -> Result<(), Refusal> {
        let stored = self.kernel.registry.session.sessions.get(entry.spec().key()).await?;
        refresh(entry, stored.ok_or(Refusal::NotFound)?);
        Ok(())
    }

    /// Answers when the wish has been taken up; for an end, when the driver is gone.
    async fn wish(&self, entry: &SessionEntry, wish: Wish) -> Result<(), Refusal> {
        let inbox = entry.inbox.get().ok_or(Refusal::Busy)?;
        let permit = Some(inbox.permit().ok_or(Refusal::Busy)?);
        let (done, hear) = oneshot::channel();
        inbox.addr.do_send(Control { wish, done: Some(done), permit });
        match tokio::time::timeout(END_TIMEOUT, hear).await {
            Ok(Ok(())) => Ok(()),
            // Its actor died over it: nothing was begun, or it goes on by itself.
            Ok(Err(_)) => Err(PortError::Unavailable.into()),
            Err(_) => Err(Refusal::Slow),
        }
    }

    fn entry(&self, tenant: TenantId, name: &SessionName) -> Result<Arc<SessionEntry>, Refusal> {
        self.living.named(tenant, name).ok_or(Refusal::NotFound)
    }
}

/// A session as its operators see it.
#[derive(Clone, Debug)]
pub struct Supervised {
    /// What is stored.
    pub spec: SessionSpec,
    /// What is live.
    pub view: View,
    /// Where its machine stands.
    pub phase: Phase,
    /// Failures that count at the moment.
    pub failures: usize,
    /// Where its breaker stands.
    pub breaker: breaker::State,
    /// Since when it is not connected though it was, in milliseconds.
    pub down_ms: Option<u64>,
    /// Requests that wait or are being handled.
    pub inbox_depth: usize,
    /// 99th percentile of how long the latest ones waited, in milliseconds.
    pub inbox_wait_p99_ms: u64,
    /// What its worker uses.
    pub usage: Option<Usage>,
    /// The latest steps of its supervision with Unix milliseconds, oldest first.
    pub timeline: Vec<(i64, Step)>,
}

fn supervised(entry: &SessionEntry, now: u64) -> Supervised {
    let (phase, failures, breaker) = {
        let machine = lock(&entry.machine);
        (machine.session.phase(), machine.restart.failures(now), machine.restart.breaker())
    };
    Supervised {
        spec: entry.spec(),
        view: entry.view.borrow().clone(),
        phase,
        failures,
        breaker,
        down_ms: lock(&entry.down).as_ref().map(|down| now.saturating_sub(down.since)),
        inbox_depth: entry.inbox.get().map_or(0, Inbox::depth),
        inbox_wait_p99_ms: entry.inbox.get().map_or(0, Inbox::wait_p99_ms),
        usage: *lock(&entry.usage),
        timeline: lock(&entry.timeline).iter().cloned().collect(),
    }
}

fn seen(entry: &SessionEntry) -> Seen {
    Seen { spec: entry.spec(), view: entry.view.borrow().clone() }
}

/// Wakes chats; made before the kernel, because the journal needs it first.
#[derive(Default)]
pub struct ChatBell {
    handle: OnceLock<(Arc<Living>, Addr<RegistryActor>)>,
}

impl ChatBell {
    /// From now on nudges arrive.
    pub fn connect(&self, handle: &Handle) {
        let _ = self.handle.set((Arc::clone(&handle.living), handle.registry.addr.clone()));
    }
}

impl NudgeSink for ChatBell {
    fn nudge(&self, chat: ChatKey) {
        let Some((living, registry)) = self.handle.get() else { return };
        // Rung while the table is held: whoever takes the chat out sends its farewell after that.
        let awake = living.chats.get(&chat).is_some_and(|entry| entry.bell.ring());
        if !awake && living.waking.insert(chat) {
            registry.do_send(WakeChat { chat });
        }
    }
}
