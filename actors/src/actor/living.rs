//! What lives on when an actor is rebuilt: the routing table with every session's machine, driver and view.
//! The app owns it; a restarted actor adopts what it finds here, so that no second driver is ever started.

use super::chat::ChatActor;
use super::inbox::Inbox;
use super::session::SessionActor;
use crate::domain::exit::ExitReason;
use crate::domain::ids::{ChatKey, Incarnation, SessionKey, SessionName, TenantId};
use crate::domain::login::{Account, QrCode};
use crate::domain::session::{Session, Status, StopMode};
use crate::domain::spec::SessionSpec;
use crate::policy::restart::Restart;
use crate::ports::engine::Command;
use dashmap::DashMap;
use std::sync::atomic::{AtomicBool, AtomicU32};
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

/// A running driver.
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

/// One session in the routing table.
pub struct SessionEntry {
    /// Its door, set right after the entry was made.
    pub inbox: OnceLock<Inbox<SessionActor>>,
    /// What is stored of it; replaced when it changes.
    pub spec: Mutex<SessionSpec>,
    /// What is seen of it.
    pub view: watch::Sender<View>,
    /// Its driver, while one lives.
    pub driver: Mutex<Option<DriverHandle>>,
    /// Its decisions.
    pub machine: Mutex<Machine>,
    /// Rings when the outbox has work.
    pub outbox_ready: Arc<Notify>,
    /// Who waits for an outgoing text, by its place in the outbox.
    pub deliveries: DashMap<i64, tokio::sync::oneshot::Sender<Result<crate::domain::message::Message, String>>>,
}

impl SessionEntry {
    /// What is stored of it.
    #[must_use]
    pub fn spec(&self) -> SessionSpec {
        lock(&self.spec).clone()
    }
}

/// One chat in the routing table.
pub struct ChatEntry {
    /// Its door.
    pub addr: OnceLock<actix::Addr<ChatActor>>,
    /// A nudge is in the mailbox already.
    pub nudged: AtomicBool,
    /// The signal whose handling panicked last.
    pub poison_seq: std::sync::atomic::AtomicI64,
    /// How often it did.
    pub poison_count: AtomicU32,
}

/// The table.
#[derive(Default)]
pub struct Living {
    /// Sessions by key.
    pub sessions: DashMap<SessionKey, Arc<SessionEntry>>,
    /// Sessions by the name that clients use.
    pub names: DashMap<(TenantId, SessionName), SessionKey>,
    /// Chats that are awake.
    pub chats: DashMap<ChatKey, Arc<ChatEntry>>,
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
