//! What lives on when an actor is rebuilt: the routing table with every session's machine, driver and view.
//! The app owns it; a restarted actor adopts what it finds here, so that no second driver is ever started.

use super::chat::ChatActor;
use super::inbox::{Doorbell, Inbox};
use super::session::SessionActor;
use crate::domain::event::Step;
use crate::domain::exit::ExitReason;
use crate::domain::ids::{ChatKey, Incarnation, SessionKey, SessionName, TenantId};
use crate::domain::login::{Account, QrCode};
use crate::domain::session::{Session, Status, StopMode};
use crate::domain::spec::SessionSpec;
use crate::domain::webhook::Hooks;
use crate::policy::restart::Restart;
use crate::ports::engine::{Command, Reported};
use crate::ports::worker::Usage;
use dashmap::{DashMap, DashSet};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{Notify, mpsc, watch};

/// What everybody may see of a session, always current.
#[derive(Clone, Debug)]
pub struct View {
    /// WAHA's status.
    pub status: Status,
    /// The last three, oldest first, with Unix milliseconds.
    pub history: Vec<(Status, i64)>,
    /// The linked account.
    pub account: Option<Account>,
    /// The code to scan, while one is shown.
    pub qr: Option<QrCode>,
    /// Why the last driver ended.
    pub exit: Option<ExitReason>,
    /// Unix milliseconds of the next attempt, while one is planned.
    pub retry_at_ms: Option<i64>,
    /// The current start.
    pub incarnation: Incarnation,
    /// Unix milliseconds of the last thing that happened.
    pub activity_ms: Option<i64>,
    /// What becomes of the session when nobody touches it.
    pub desired_running: bool,
}

/// A running driver. It is alive until [`SessionEntry::ended`] names its incarnation.
pub struct DriverHandle {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its commands.
    pub commands: mpsc::Sender<Command>,
    /// Tells it to end.
    pub stop: watch::Sender<Option<StopMode>>,
}

/// The decisions of a session, kept out of the actor that may be rebuilt.
pub struct Machine {
    /// Where it stands.
    pub session: Session,
    /// Its failures.
    pub restart: Restart,
}

/// A time without connection.
pub struct Down {
    /// Monotonic milliseconds of its detection.
    pub since: u64,
    /// The code of the exit that began it.
    pub cause: &'static str,
}

/// Steps of supervision that are remembered for each session.
const TIMELINE: usize = 60;

/// One session in the routing table.
pub struct SessionEntry {
    /// Its door, set right after the entry was made.
    pub inbox: OnceLock<Inbox<SessionActor>>,
    /// What is stored of it; replaced when it changes.
    pub(super) spec: Mutex<SessionSpec>,
    /// Whom its events are told.
    pub(super) hooks: Mutex<Arc<Hooks>>,
    /// Whom all sessions' events are told.
    pub(super) global: Arc<Hooks>,
    /// What is seen of it.
    pub view: watch::Sender<View>,
    /// Its driver, while one lives.
    pub driver: Mutex<Option<DriverHandle>>,
    /// How the last driver that ended did so: written before its actor is told, so that a panic there cannot lose it.
    pub ended: Mutex<Option<(Incarnation, ExitReason)>>,
    /// What the driver said last of its connection, for the same reason.
    pub said: Mutex<Option<Reported>>,
    /// The text of its actor's last panic, until that was told.
    pub panic: Mutex<Option<String>>,
    /// What its worker uses.
    pub usage: Mutex<Option<Usage>>,
    /// Since when it is not connected, if it was before.
    pub down: Mutex<Option<Down>>,
    /// The latest steps of its supervision with Unix milliseconds, oldest first.
    pub timeline: Mutex<VecDeque<(i64, Step)>>,
    /// Held by whoever removes the session; true once all of it is gone.
    pub removing: tokio::sync::Mutex<bool>,
    /// Its decisions.
    pub machine: Mutex<Machine>,
    /// Rings when the outbox has work.
    pub outbox_ready: Arc<Notify>,
    /// Who waits for an outgoing message, by its bare id.
    pub deliveries: DashMap<String, Vec<tokio::sync::oneshot::Sender<Told>>>,
}

/// What stands in the chat, or why nothing does (a code).
pub type Told = Result<crate::domain::message::Message, String>;

/// Messages that somebody may wait for before those that nobody waits for any more are looked for.
const WAITERS: usize = 1000;

impl SessionEntry {
    /// Hears what becomes of an outgoing message.
    #[must_use]
    pub fn hear_of(&self, message_id: &str) -> tokio::sync::oneshot::Receiver<Told> {
        let (tell, hear) = tokio::sync::oneshot::channel();
        if self.deliveries.len() >= WAITERS {
            self.deliveries.retain(|_, waiters| waiters.iter().any(|waiter| !waiter.is_closed()));
        }
        let mut waiters = self.deliveries.entry(message_id.to_owned()).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(tell);
        hear
    }

    /// Takes [`Self::hear_of`] back.
    pub fn hear_no_more(&self, message_id: &str, hear: tokio::sync::oneshot::Receiver<Told>) {
        drop(hear);
        self.deliveries.remove_if_mut(message_id, |_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.is_empty()
        });
    }

    /// What is stored of it.
    #[must_use]
    pub fn spec(&self) -> SessionSpec {
        lock(&self.spec).clone()
    }

    /// Replaces what is stored of it.
    pub fn set_spec(&self, spec: SessionSpec) {
        let mut old = lock(&self.spec);
        if old.config != spec.config {
            *lock(&self.hooks) = hooks_of(&spec, &self.global);
        }
        *old = spec;
    }

    /// Whom its events are told.
    #[must_use]
    pub fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&lock(&self.hooks))
    }

    /// Adds a step to the timeline.
    pub fn remember(&self, at_ms: i64, step: Step) {
        let mut timeline = lock(&self.timeline);
        timeline.push_back((at_ms, step));
        if timeline.len() > TIMELINE {
            timeline.pop_front();
        }
    }
}

/// A session's own webhooks, then everybody's. What cannot be read was refused when it came.
pub(super) fn hooks_of(spec: &SessionSpec, global: &Hooks) -> Arc<Hooks> {
    let config = serde_json::from_str(&spec.config).unwrap_or_default();
    let mut hooks = Hooks::of_config(&config).unwrap_or_default();
    for (_, hook) in global.iter() {
        hooks.add(hook.clone());
    }
    Arc::new(hooks)
}

/// One chat in the routing table.
pub struct ChatEntry {
    /// Its door.
    pub bell: Doorbell<ChatActor>,
    /// When it last had something to do, by the clock's milliseconds.
    pub touched: AtomicU64,
    /// The signal that panics.
    pub poison: Poison,
}

/// Which signal panicked lately, and how often. Kept outside of the actor, which is rebuilt each time.
#[derive(Debug, Default)]
pub struct Poison(Mutex<Suspect>);

#[derive(Debug, Default)]
struct Suspect {
    /// What is being handled; 0 = nothing.
    handling: i64,
    /// What panicked last.
    seq: i64,
    times: u32,
}

impl Poison {
    /// Whether a signal has panicked `limit` times.
    #[must_use]
    pub fn is(&self, seq: i64, limit: u32) -> bool {
        let suspect = lock(&self.0);
        suspect.seq == seq && suspect.times >= limit
    }

    /// A signal is handed to the agent.
    pub fn begin(&self, seq: i64) {
        lock(&self.0).handling = seq;
    }

    /// The agent has answered.
    pub fn end(&self) {
        lock(&self.0).handling = 0;
    }

    /// The actor panicked; whatever was being handled did it.
    pub fn panicked(&self) {
        let mut suspect = lock(&self.0);
        let seq = std::mem::take(&mut suspect.handling);
        if seq != 0 {
            let times = if suspect.seq == seq { suspect.times + 1 } else { 1 };
            *suspect = Suspect { handling: 0, seq, times };
        }
    }
}

/// Keys of the table are ids of our own making, so that no client chooses them: a fast hash does.
type Hasher = foldhash::fast::RandomState;

/// A map that many threads read.
pub type Table<K, V> = DashMap<K, V, Hasher>;

/// The table.
#[derive(Default)]
pub struct Living {
    /// Sessions by key.
    pub sessions: Table<SessionKey, Arc<SessionEntry>>,
    /// Sessions by the name that clients use.
    pub names: DashMap<(TenantId, SessionName), SessionKey>,
    /// Chats that are awake.
    pub chats: Table<ChatKey, Arc<ChatEntry>>,
    /// Chats that the registry was asked to wake.
    pub waking: DashSet<ChatKey, Hasher>,
    /// Tenants that are shut: nothing of theirs is started.
    pub shut: DashSet<TenantId>,
    /// Whom all sessions' events are told, beside the session's own webhooks.
    pub hooks: Arc<Hooks>,
}

impl Living {
    /// A session by name; another tenant's is not found.
    #[must_use]
    pub fn named(&self, tenant: TenantId, name: &SessionName) -> Option<Arc<SessionEntry>> {
        let key = *self.names.get(&(tenant, name.clone()))?;
        self.sessions.get(&key).map(|entry| Arc::clone(&entry))
    }

    /// A session by key.
    #[must_use]
    pub fn session(&self, key: SessionKey) -> Option<Arc<SessionEntry>> {
        self.sessions.get(&key).map(|entry| Arc::clone(&entry))
    }
}

/// Locks a mutex whose data is replaced as a whole, so that a panic elsewhere cannot have left it half written.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
