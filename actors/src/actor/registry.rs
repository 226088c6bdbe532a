//! Owns the routing table: the only writer of who exists and where it lives. The app starts it.
//! In: create, remove, boot, chats to wake and to put to sleep. Out: session and chat actors.
//! Nothing is lost when it dies: the table lives on, and it adopts it.

use super::browser_pool::Release;
use super::chat::{self, ChatActor};
use super::inbox::{Inbox, Permit};
use super::living::{ChatEntry, Living, SessionEntry, lock};
use super::session::{self, Control, SessionActor, Wish, new_entry};
use crate::domain::ids::{ChatKey, SessionKey};
use crate::domain::spec::SessionSpec;
use crate::policy::restart::RestartPolicy;
use crate::ports::store::{CreateError, NewSession};
use crate::supervise::{self, Supervision};
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use tokio::sync::oneshot;

/// Creates a session. Not idempotent: the second of a name is refused. Sent by the handle.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Create {
    /// What.
    pub new: NewSession,
    /// The quota of its user.
    pub user_limit: usize,
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

/// Puts stored sessions into the routing table at boot.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt {
    /// Which.
    pub specs: Vec<SessionSpec>,
}

/// A chat has signals and may be asleep. Idempotent. Sent by the handle.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WakeChat {
    /// Which.
    pub chat: ChatKey,
}

/// A chat had nothing to do for a while. Sent by the chat.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChatIdle {
    /// Which.
    pub chat: ChatKey,
}

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
struct Gone {
    key: SessionKey,
    done: Option<oneshot::Sender<bool>>,
    purged: bool,
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
    pub arbiters: Arc<Vec<ArbiterHandle>>,
    /// How actors are restarted.
    pub supervision: Supervision,
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

/// The shell.
pub struct RegistryActor {
    deps: Deps,
    /// The arbiter that gets the next actor.
    turn: usize,
}

impl RegistryActor {
    /// A registry over `deps.living`.
    #[must_use]
    pub fn new(deps: Deps) -> Self {
        Self { deps, turn: 0 }
    }

    fn arbiter(&mut self) -> ArbiterHandle {
        self.turn = self.turn.wrapping_add(1);
        let place = self.turn.checked_rem(self.deps.arbiters.len()).unwrap_or_default();
        self.deps.arbiters.get(place).cloned().unwrap_or_else(Arbiter::current)
    }

    /// The entry of a session, with its actor; an entry that exists is adopted.
    fn place(&mut self, spec: SessionSpec) -> Arc<SessionEntry> {
        let key = spec.key();
        if let Some(entry) = self.deps.living.session(key) {
            return entry;
        }
        let name = (spec.tenant, spec.name.clone());
        let entry = Arc::new(new_entry(spec, self.deps.policy.restart));
        let (deps, shell) = (self.deps.session.clone(), Arc::clone(&entry));
        let addr = supervise::start(&self.arbiter(), "session", self.deps.supervision.clone(), move |lifeline| {
            SessionActor::new(deps, shell, lifeline)
        });
        let _ = entry.inbox.set(Inbox::new(addr, self.deps.policy.session_inbox));
        self.deps.living.sessions.insert(key, Arc::clone(&entry));
        self.deps.living.names.insert(name, key);
        entry
    }
}

impl Actor for RegistryActor {
    type Context = Context<Self>;
}

impl Supervised for RegistryActor {}

impl Handler<Create> for RegistryActor {
    type Result = ();

    /// Interleaves: the store decides between two of the same name.
    fn handle(&mut self, create: Create, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.deps.session.sessions);
        let work = self.deps.session.io.spawn(async move { store.create(create.new, create.user_limit).await });
        ctx.spawn(work.into_actor(self).map(move |result, _, ctx| {
            drop(create.permit);
            match result {
                Ok(Ok(spec)) => ctx.notify(Created { spec, done: create.done }),
                Ok(Err(error)) => drop(create.done.send(Err(error))),
                Err(_) => drop(create.done.send(Err(CreateError::Store(crate::ports::PortError::Unavailable)))),
            }
        }));
    }
}

impl Handler<Created> for RegistryActor {
    type Result = ();

    fn handle(&mut self, created: Created, _: &mut Context<Self>) {
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

impl Handler<Remove> for RegistryActor {
    type Result = ();

    /// Interleaves: bury, let the driver log out and end, then purge rows and files. The entry stays until all is gone.
    fn handle(&mut self, remove: Remove, ctx: &mut Context<Self>) {
        let Remove { key, done } = remove;
        let Some(entry) = self.deps.living.session(key) else {
            let _ = done.send(true);
            return;
        };
        let spec = entry.spec();
        let name = (spec.tenant, spec.name.clone());
        self.deps.living.names.remove(&name);
        let deps = self.deps.session.clone();
        let work = self.deps.session.io.spawn(async move {
            if deps.sessions.bury(&spec).await.is_err() {
                return Removal::Refused;
            }
            let (ended, end) = oneshot::channel();
            if let Some(inbox) = entry.inbox.get() {
                inbox.addr.do_send(Control { wish: Wish::Remove, done: Some(ended), permit: None });
            }
            let _ = end.await;
            let forgotten = deps.engine.forget(&entry.spec()).await.is_ok();
            // What cannot be removed now is removed at the next boot; the tombstone tells.
            if forgotten && deps.sessions.purge(key).await.is_ok() { Removal::Done } else { Removal::Later }
        });
        ctx.spawn(work.into_actor(self).map(move |removal, actor, ctx| {
            if let Ok(Removal::Refused) = removal {
                // Nothing has happened to the session; it keeps its name.
                actor.deps.living.names.insert(name, key);
                let _ = done.send(false);
            } else {
                let purged = matches!(removal, Ok(Removal::Done));
                ctx.notify(Gone { key, done: Some(done), purged });
            }
        }));
    }
}

impl Handler<Gone> for RegistryActor {
    type Result = ();

    fn handle(&mut self, gone: Gone, _: &mut Context<Self>) {
        let chats = self.deps.living.chats.iter().filter(|chat| chat.key().session_key() == gone.key);
        for chat in chats.map(|chat| *chat.key()).collect::<Vec<_>>() {
            self.sleep(chat);
        }
        if let Some((_, entry)) = self.deps.living.sessions.remove(&gone.key) {
            self.deps.session.pool_actor.do_send(Release { session: gone.key.session });
            if let Some(inbox) = entry.inbox.get() {
                inbox.addr.do_send(session::Passivate);
            }
        }
        if let Some(done) = gone.done {
            let _ = done.send(gone.purged);
        }
    }
}

impl Handler<WakeChat> for RegistryActor {
    type Result = ();

    fn handle(&mut self, wake: WakeChat, ctx: &mut Context<Self>) {
        let key = wake.chat;
        if self.deps.living.chats.contains_key(&key) || self.deps.living.session(key.session_key()).is_none() {
            return;
        }
        let entry = Arc::new(ChatEntry {
            addr: std::sync::OnceLock::new(),
            nudged: AtomicBool::new(false),
            poison_seq: AtomicI64::new(0),
            poison_count: AtomicU32::new(0),
        });
        let deps = chat::Deps {
            clock: Arc::clone(&self.deps.session.clock),
            store: Arc::clone(&self.deps.agent_store),
            agents: Arc::clone(&self.deps.agents),
            registry: ctx.address().downgrade(),
            idle_ms: self.deps.policy.chat_idle_ms,
            poison_limit: self.deps.policy.poison_limit,
        };
        let shell = Arc::clone(&entry);
        let addr = supervise::start(&self.arbiter(), "chat", self.deps.supervision.clone(), move |lifeline| {
            ChatActor::new(key, deps, shell, lifeline)
        });
        let _ = entry.addr.set(addr);
        self.deps.living.chats.insert(key, entry);
    }
}

impl Handler<ChatIdle> for RegistryActor {
    type Result = ();

    fn handle(&mut self, idle: ChatIdle, _: &mut Context<Self>) {
        let nudged = self.deps.living.chats.get(&idle.chat).is_some_and(|chat| chat.nudged.load(Ordering::Acquire));
        if !nudged {
            self.sleep(idle.chat);
        }
    }
}

impl RegistryActor {
    /// Takes the chat out of the table first, so that nobody finds an actor that is about to end.
    fn sleep(&self, chat: ChatKey) {
        if let Some((_, entry)) = self.deps.living.chats.remove(&chat)
            && let Some(addr) = entry.addr.get()
        {
            addr.do_send(chat::Passivate);
        }
    }
}

/// Replaces what the table knows of a session's stored spec.
pub fn refresh(entry: &SessionEntry, spec: SessionSpec) {
    *lock(&entry.spec) = spec;
}
