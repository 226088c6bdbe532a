//! Owns the routing table: the only writer of who exists and where it lives. The app starts it.
//! In: create, remove, boot, chats to wake and to put to sleep. Out: session and chat actors.
//! Nothing is lost when it dies: the table lives on, and it adopts it.

use super::arbiters::Arbiters;
use super::browser_pool::Release;
use super::chat::{self, ChatActor};
use super::fairness::Fairness;
use super::inbox::{Doorbell, Inbox, Permit};
use super::living::{ChatEntry, Living, Poison, SessionEntry, lock};
use super::session::{self, Control, SessionActor, Wish, new_entry};
use crate::domain::ids::{ChatKey, SessionKey};
use crate::domain::quota::Quota;
use crate::domain::spec::SessionSpec;
use crate::failpoint;
use crate::policy::restart::RestartPolicy;
use crate::ports::store::{CreateError, NewSession};
use crate::supervise::{self, Exit, Supervision};
use actix::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

/// Creates a session. Not idempotent: the second of a name is refused. Sent by the handle.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Create {
    /// What.
    pub new: NewSession,
    /// What its user and tenant may have.
    pub quota: Quota,
    /// The outcome; the session is in the routing table then.
    pub done: oneshot::Sender<Result<Arc<SessionEntry>, CreateError>>,
    /// The place in the inbox.
    pub permit: Permit,
}

/// Removes a session: its rows, files and processes are gone when `done` hears it. Idempotent. Sent by the handle.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Remove {
    /// Which.
    pub key: SessionKey,
    /// True when all of it is gone.
    pub done: oneshot::Sender<bool>,
}

/// Puts stored sessions into the routing table at boot. Idempotent.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt {
    /// Which.
    pub specs: Vec<SessionSpec>,
}

/// Finishes removals that were cut off. Idempotent. Sent by the app now and then.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tidy;

/// What the store knows after the registry was restarted: a session that was created when it died is missing in the table.
#[derive(Message)]
#[rtype(result = "()")]
struct Reconcile {
    alive: Vec<SessionSpec>,
}

/// Removals that were begun and not finished.
#[derive(Message)]
#[rtype(result = "()")]
struct Buried {
    specs: Vec<SessionSpec>,
}

/// A chat has signals and may be asleep. Idempotent. Sent by the handle.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WakeChat {
    /// Which.
    pub chat: ChatKey,
}

/// Puts chats to sleep that had nothing to do for a while. Idempotent. Sent by the app now and then: a timer of its own would
/// cost each idle chat more memory than all the rest of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Sweep;

#[derive(Message)]
#[rtype(result = "()")]
struct Created {
    spec: SessionSpec,
    done: oneshot::Sender<Result<Arc<SessionEntry>, CreateError>>,
}

/// How a removal went.
enum Removal {
    /// The store did not take it; nothing was changed.
    Refused,
    /// Nobody finds the session any more, but something of it is left.
    Later,
    /// All of it is gone.
    Done,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Removed {
    key: SessionKey,
    done: oneshot::Sender<bool>,
    removal: Removal,
}

/// Ports, tables and numbers.
#[derive(Clone)]
pub struct Deps {
    /// The table.
    pub living: Arc<Living>,
    /// What sessions work with.
    pub session: session::Deps,
    /// Agent states.
    pub agent_store: Arc<dyn crate::ports::journal::AgentStore>,
    /// Agents.
    pub agents: Arc<dyn crate::agent::AgentFactory>,
    /// Threads of actors.
    pub arbiters: Arc<Arbiters>,
    /// How actors are restarted.
    pub supervision: Arc<Supervision>,
    /// Numbers.
    pub policy: Policy,
}

/// Numbers.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How sessions are restarted.
    pub restart: RestartPolicy,
    /// Requests that may wait at one session.
    pub session_inbox: usize,
    /// When a chat is put to sleep, in milliseconds.
    pub chat_idle_ms: u64,
    /// A signal that panicked so often is set aside.
    pub poison_limit: u32,
}

/// Removed sessions that are remembered, so that an old list cannot bring one back.
const REMEMBERED: usize = 1024;

/// The shell.
pub struct RegistryActor {
    deps: Deps,
    fairness: Fairness,
    /// Sessions that were removed lately, oldest first.
    gone: VecDeque<SessionKey>,
    /// What all chats share.
    chat_deps: Option<Arc<chat::Deps>>,
}

impl RegistryActor {
    /// A registry over `deps.living`.
    #[must_use]
    pub fn new(deps: Deps) -> Self {
        Self { deps, fairness: Fairness::default(), gone: VecDeque::new(), chat_deps: None }
    }

    fn arbiter(&self) -> ArbiterHandle {
        self.deps.arbiters.place(self.deps.session.clock.now())
    }

    /// The entry of a session, with its actor; an entry that exists is adopted.
    fn place(&mut self, spec: SessionSpec) -> Arc<SessionEntry> {
        let key = spec.key();
        if let Some(entry) = self.deps.living.session(key) {
            return entry;
        }
        let name = (spec.tenant, spec.name.clone());
        let entry = Arc::new(new_entry(spec, self.deps.policy.restart, Arc::clone(&self.deps.living.hooks)));
        let (deps, shell) = (self.deps.session.clone(), Arc::clone(&entry));
        let supervision = remembering_panics(&self.deps.supervision, &entry);
        let addr = supervise::start(&self.arbiter(), "session", supervision, move |lifeline| {
            SessionActor::new(deps.clone(), Arc::clone(&shell), lifeline)
        });
        let clock = Arc::clone(&self.deps.session.clock);
        let _ = entry.inbox.set(Inbox::new(addr, self.deps.policy.session_inbox, clock));
        self.deps.living.sessions.insert(key, Arc::clone(&entry));
        self.deps.living.names.insert(name, key);
        entry
    }
}

/// The session's actor tells of its panics itself, once it runs again.
fn remembering_panics(supervision: &Supervision, entry: &Arc<SessionEntry>) -> Arc<Supervision> {
    let (listener, entry) = (Arc::clone(&supervision.on_exit), Arc::downgrade(entry));
    let on_exit = move |kind, exit: &Exit, delay| {
        if let (Exit::Panicked(text), Some(entry)) = (exit, entry.upgrade()) {
            *lock(&entry.panic) = Some(text.clone());
        }
        listener(kind, exit, delay);
    };
    let clock = Arc::clone(&supervision.clock);
    Arc::new(Supervision { clock, delays: supervision.delays, on_exit: Arc::new(on_exit) })
}

impl Actor for RegistryActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        failpoint::pass("registry.started");
    }
}

impl Supervised for RegistryActor {
    /// What was being created when it died may be stored and nowhere else; a chat that was being woken may sleep on.
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        failpoint::pass("registry.restarting");
        let living = &self.deps.living;
        let half_awake = living.chats.iter().filter(|chat| chat.bell.addr().is_none()).map(|chat| *chat.key());
        for chat in half_awake.chain(living.waking.iter().map(|chat| *chat)).collect::<Vec<_>>() {
            ctx.notify(WakeChat { chat });
        }
        for entry in &living.sessions {
            if entry.removing.try_lock().is_ok_and(|gone| *gone) {
                let (done, _) = oneshot::channel();
                ctx.notify(Removed { key: *entry.key(), done, removal: Removal::Done });
            }
        }
        let (sessions, addr) = (Arc::clone(&self.deps.session.sessions), ctx.address());
        self.deps.session.io.spawn(async move {
            if let Ok(alive) = sessions.all().await {
                addr.do_send(Reconcile { alive });
            }
        });
        ctx.notify(Tidy);
    }
}

impl Handler<Create> for RegistryActor {
    type Result = ();

    /// The store decides between two of the same name. It is asked on the `io` runtime, where nothing of this actor's is lost.
    fn handle(&mut self, create: Create, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("registry.create");
        create.permit.begin();
        let (store, addr) = (Arc::clone(&self.deps.session.sessions), ctx.address());
        self.deps.session.io.spawn(async move {
            match store.create(create.new, create.quota).await {
                Ok(spec) => addr.do_send(Created { spec, done: create.done }),
                Err(error) => drop(create.done.send(Err(error))),
            }
            drop(create.permit);
        });
    }
}

impl Handler<Created> for RegistryActor {
    type Result = ();

    fn handle(&mut self, created: Created, _: &mut Context<Self>) {
        failpoint::pass("registry.created");
        let _ = created.done.send(Ok(self.place(created.spec)));
    }
}

impl Handler<Adopt> for RegistryActor {
    type Result = ();

    fn handle(&mut self, adopt: Adopt, _: &mut Context<Self>) {
        for spec in adopt.specs {
            self.place(spec);
        }
    }
}

impl Handler<Reconcile> for RegistryActor {
    type Result = ();

    fn handle(&mut self, Reconcile { alive }: Reconcile, _: &mut Context<Self>) {
        for spec in alive {
            let key = spec.key();
            if self.deps.living.session(key).is_some() || self.gone.contains(&key) {
                continue;
            }
            let wanted = spec.desired_running;
            let entry = self.place(spec);
            if let (true, Some(inbox)) = (wanted, entry.inbox.get()) {
                inbox.addr.do_send(Control { wish: Wish::Start, done: None, permit: None });
            }
        }
    }
}

impl Handler<Tidy> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: Tidy, ctx: &mut Context<Self>) {
        let (sessions, addr) = (Arc::clone(&self.deps.session.sessions), ctx.address());
        self.deps.session.io.spawn(async move {
            match sessions.tombstones().await {
                Ok(specs) if !specs.is_empty() => addr.do_send(Buried { specs }),
                _ => {}
            }
        });
    }
}

impl Handler<Buried> for RegistryActor {
    type Result = ();

    fn handle(&mut self, Buried { specs }: Buried, ctx: &mut Context<Self>) {
        for spec in specs {
            let (key, name) = (spec.key(), (spec.tenant, spec.name.clone()));
            let known = self.deps.living.session(key).is_some();
            if !known && !self.gone.contains(&key) {
                self.place(spec);
                // Its name may have a new owner already.
                self.deps.living.names.remove_if(&name, |_, owner| *owner == key);
            }
            let (done, _) = oneshot::channel();
            ctx.notify(Remove { key, done });
        }
    }
}

impl Handler<Remove> for RegistryActor {
    type Result = ();

    /// Bury, let the driver log out and end, then purge rows and files. The entry stays until all is gone.
    fn handle(&mut self, remove: Remove, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("registry.remove");
        let Remove { key, done } = remove;
        let Some(entry) = self.deps.living.session(key) else {
            let _ = done.send(true);
            return;
        };
        let name = (key.tenant, entry.spec().name);
        self.deps.living.names.remove_if(&name, |_, owner| *owner == key);
        let (deps, addr) = (self.deps.session.clone(), ctx.address());
        self.deps.session.io.spawn(async move {
            let removal = remove_session(deps, entry).await;
            addr.do_send(Removed { key, done, removal });
        });
    }
}

async fn remove_session(deps: session::Deps, entry: Arc<SessionEntry>) -> Removal {
    let spec = entry.spec();
    // Removals of one session wait for each other; the second finds nothing left to do.
    let mut gone = entry.removing.lock().await;
    if *gone {
        return Removal::Done;
    }
    if deps.sessions.bury(&spec).await.is_err() {
        return Removal::Refused;
    }
    loop {
        let (ended, end) = oneshot::channel();
        let Some(inbox) = entry.inbox.get() else { break };
        inbox.addr.do_send(Control { wish: Wish::Remove, done: Some(ended), permit: None });
        // No answer: its actor died over the question, and is asked again.
        if end.await.is_ok() || !inbox.addr.connected() {
            break;
        }
    }
    let forgotten = deps.engine.forget(&entry.spec()).await.is_ok();
    // What cannot be removed now is removed later; the tombstone tells.
    *gone = forgotten && deps.sessions.purge(spec.key()).await.is_ok();
    if *gone { Removal::Done } else { Removal::Later }
}

impl Handler<Removed> for RegistryActor {
    type Result = ();

    fn handle(&mut self, removed: Removed, _: &mut Context<Self>) {
        failpoint::pass("registry.removed");
        let Removed { key, done, removal } = removed;
        match removal {
            Removal::Refused => {
                // Nothing has happened to the session; it keeps its name.
                if let Some(entry) = self.deps.living.session(key) {
                    self.deps.living.names.entry((key.tenant, entry.spec().name)).or_insert(key);
                }
            }
            // Nobody finds it any more; the next tidying goes on with it.
            Removal::Later => {}
            Removal::Done => self.strike(key),
        }
        let _ = done.send(matches!(removal, Removal::Done));
    }
}

impl Handler<WakeChat> for RegistryActor {
    type Result = ();

    fn handle(&mut self, wake: WakeChat, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("registry.wake");
        let key = wake.chat;
        let known = self.deps.living.chats.get(&key).map(|chat| Arc::clone(&chat));
        if self.deps.living.session(key.session_key()).is_none() || known.is_some_and(|chat| chat.bell.ring()) {
            self.deps.living.waking.remove(&key);
            return;
        }
        let entry = Arc::new(ChatEntry {
            bell: Doorbell::default(),
            touched: AtomicU64::new(self.deps.session.clock.now()),
            poison: Poison::default(),
        });
        let deps = Arc::clone(self.chat_deps.get_or_insert_with(|| {
            Arc::new(chat::Deps {
                clock: Arc::clone(&self.deps.session.clock),
                store: Arc::clone(&self.deps.agent_store),
                agents: Arc::clone(&self.deps.agents),
                registry: ctx.address().downgrade(),
                poison_limit: self.deps.policy.poison_limit,
            })
        }));
        self.deps.living.chats.insert(key, Arc::clone(&entry));
        // From now on a nudge asks again: what it is about may come after the actor's first look.
        self.deps.living.waking.remove(&key);
        let shell = Arc::clone(&entry);
        let addr = supervise::start(&self.arbiter(), "chat", Arc::clone(&self.deps.supervision), move |lifeline| {
            ChatActor::new(key, Arc::clone(&deps), Arc::clone(&shell), lifeline)
        });
        entry.bell.connect(addr);
    }
}

impl Handler<Sweep> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: Sweep, _: &mut Context<Self>) {
        let (now, idle_ms) = (self.deps.session.clock.now(), self.deps.policy.chat_idle_ms);
        let idle =
            self.deps.living.chats.iter().filter(|chat| {
                !chat.bell.rung() && now.saturating_sub(chat.touched.load(Ordering::Acquire)) >= idle_ms
            });
        for chat in idle.map(|chat| *chat.key()).collect::<Vec<_>>() {
            self.sleep(chat);
        }
    }
}

impl RegistryActor {
    /// Takes a session that is gone out of the table.
    fn strike(&mut self, key: SessionKey) {
        self.gone.push_back(key);
        if self.gone.len() > REMEMBERED {
            self.gone.pop_front();
        }
        let chats = self.deps.living.chats.iter().filter(|chat| chat.key().session_key() == key);
        for chat in chats.map(|chat| *chat.key()).collect::<Vec<_>>() {
            self.sleep(chat);
        }
        if let Some((_, entry)) = self.deps.living.sessions.remove(&key) {
            self.deps.session.pool_actor.do_send(Release { session: key.session });
            if let Some(inbox) = entry.inbox.get() {
                inbox.addr.do_send(session::Passivate);
            }
        }
    }

    /// Takes the chat out of the table first, so that nobody finds an actor that is about to end.
    fn sleep(&self, chat: ChatKey) {
        if let Some((_, entry)) = self.deps.living.chats.remove(&chat)
            && let Some(addr) = entry.bell.addr()
        {
            addr.do_send(chat::Passivate);
        }
    }
}

/// Replaces what the table knows of a session's stored spec.
pub fn refresh(entry: &SessionEntry, spec: SessionSpec) {
    entry.set_spec(spec);
}
