//! WhatsApp Web in Chromium, driven by wa-js.
//!
//! Invariants: a browser is proven dead before its directory is touched; a message leaves the page's queue only after it
//! was committed; every call to a page has a time-out; what a page says is data, never code.
//!
//! Reading order: `bridge.js` (what runs in the page), [`page`] (the connection), [`driver`] (one session's life),
//! [`launcher`] and `process` (browsers), [`snapshot`] (how a login is kept), `leveldb` (what a kill leaves of it).

mod attachments;
mod convert;
mod copies;
mod driver;
mod ending;
mod health;
mod launcher;
mod lease;
mod leveldb;
mod obey;
mod page;
mod process;
mod pump;
mod snapshot;

pub use launcher::{ChromiumLauncher, LaunchOptions, find_browser};
pub(crate) use snapshot::PARTS;
pub use snapshot::Snapshots;

use dashmap::DashMap;
use dashmap::mapref::one::RefMut;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::fetching::When;
use wardroom_actors::domain::ids::{SessionId, WorkerId};
use wardroom_actors::domain::login::QrRotation;
use wardroom_actors::domain::spec::{Network, SessionSpec};
use wardroom_actors::policy::allowance::{Allowance, Rate};
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::engine::{DriverContext, Engine};
use wardroom_actors::ports::files::FileStore;
use wardroom_actors::ports::worker::WorkerLauncher as _;
use wardroom_actors::ports::{BoxFuture, PortError};

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The wa-js bundle, read at every start of a session.
    pub wa_js: PathBuf,
    /// Address of the simulated network's page.
    pub simulator: Option<String>,
    /// How codes rotate.
    pub rotation: QrRotation,
    /// How long a page may take to know where it stands.
    pub ready_timeout: Duration,
    /// How often a linked session is copied while it runs.
    pub snapshot_every: Duration,
    /// How often a connected page asks the network whether it is there; zero = never.
    pub probe_every: Duration,
    /// How often memory and CPU of a worker are read.
    pub watch_every: Duration,
    /// A worker that uses more memory is replaced in a quiet moment, in bytes; 0 = never.
    pub memory: u64,
    /// A worker that is older is replaced in a quiet moment; zero = never.
    pub max_age: Duration,
    /// A session without messages and commands for so long is quiet.
    pub quiet: Duration,
    /// How long messages are kept; older ones are not read from the page again.
    pub keep: Duration,
    /// How fast a session writes, over all and in each chat.
    pub rates: (Rate, Rate),
    /// Longest file that is fetched, in bytes.
    pub file_bytes: u64,
    /// When the files of messages are fetched, where a session's config does not say.
    pub fetch: When,
    /// Before each message a pause of up to so long, each of another length, as people make them.
    pub jitter: Duration,
}

/// The engine.
pub struct WebEngine {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    clock: Arc<dyn Clock>,
    launcher: Arc<ChromiumLauncher>,
    snapshots: Snapshots,
    files: Arc<dyn FileStore>,
    /// Whoever touches a session's profile or snapshot holds its lock.
    locks: DashMap<SessionId, Arc<Mutex<()>>>,
    /// Browsers in a row that failed or crashed before the session was ready.
    failed_starts: DashMap<SessionId, u32>,
    /// What sessions have written lately.
    allowances: DashMap<SessionId, Allowance>,
}

impl WebEngine {
    /// An engine whose browsers `launcher` starts.
    #[must_use]
    pub fn new(
        options: Options,
        clock: Arc<dyn Clock>,
        launcher: Arc<ChromiumLauncher>,
        snapshots: Snapshots,
        files: Arc<dyn FileStore>,
    ) -> Self {
        let (locks, failed_starts, allowances) = (DashMap::new(), DashMap::new(), DashMap::new());
        let shared = Shared { options, clock, launcher, snapshots, files, locks, failed_starts, allowances };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    fn lock_of(&self, session: SessionId) -> Arc<Mutex<()>> {
        Arc::clone(&self.locks.entry(session).or_default())
    }

    /// Counts browsers that do not get a session ready.
    fn started(&self, session: SessionId, ready: bool, reason: &ExitReason) {
        if ready {
            self.failed_starts.remove(&session);
        } else if matches!(reason, ExitReason::LaunchFailed { .. } | ExitReason::Crashed { .. }) {
            *self.failed_starts.entry(session).or_default() += 1;
        }
    }

    /// Seals the login in a profile whose browser is gone. The profile must not be removed when this says false.
    async fn put_away(self: &Arc<Self>, spec: &SessionSpec, worker: WorkerId) -> bool {
        let (shared, whose, path) = (Arc::clone(self), spec.clone(), self.launcher.profile(worker));
        let archived = tokio::task::spawn_blocking(move || shared.snapshots.archive(&whose, &path)).await;
        let done = matches!(archived, Ok(Ok(_)));
        if !done {
            tracing::error!(session = %spec.id, "the login could not be archived; its profile stays");
        }
        done
    }

    fn allowance(&self, session: SessionId) -> RefMut<'_, SessionId, Allowance> {
        let (all, each) = self.options.rates;
        self.allowances.entry(session).or_insert_with(|| Allowance::new(all, each))
    }

    /// How long a message has to wait, in milliseconds: for its session, and for its chat.
    fn wait(&self, session: SessionId, chat: &ChatId) -> (u64, u64) {
        self.allowance(session).wait(chat, self.clock.now())
    }

    /// A message is about to leave: it counts, and hesitates a little.
    async fn pause(&self, session: SessionId, chat: &ChatId) {
        self.allowance(session).spend(chat, self.clock.now());
        let jitter = u64::try_from(self.options.jitter.as_millis()).unwrap_or_default();
        if jitter > 0 {
            let pause = rand::random_range(0..=jitter);
            self.clock.sleep_until(self.clock.now().saturating_add(pause)).await;
        }
    }

    fn url(&self, network: Network) -> Option<String> {
        match network {
            Network::Whatsapp => Some("https://web.whatsapp.com/".to_owned()),
            Network::Simulator => self.options.simulator.clone(),
        }
    }
}

impl Engine for WebEngine {
    fn run(&self, context: DriverContext) -> BoxFuture<'static, ExitReason> {
        Box::pin(driver::run(Arc::clone(&self.shared), context))
    }

    fn clean_up(&self, spec: &SessionSpec) -> BoxFuture<'static, ()> {
        let (shared, spec) = (Arc::clone(&self.shared), spec.clone());
        Box::pin(async move {
            if let Some(worker) = shared.launcher.running(spec.id) {
                worker.stop(false).await;
            }
        })
    }

    fn put_away(&self, spec: &SessionSpec) -> BoxFuture<'static, bool> {
        let (shared, spec) = (Arc::clone(&self.shared), spec.clone());
        Box::pin(async move {
            let lock = shared.lock_of(spec.id);
            let _one_at_a_time = lock.lock().await;
            let Some(worker) = spec.worker.filter(|worker| shared.launcher.profile(*worker).is_dir()) else {
                return true;
            };
            let done = spec.account.is_none() || shared.put_away(&spec, worker).await;
            if done {
                shared.launcher.remove_profile(worker).await;
            }
            done
        })
    }

    fn forget(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        let (shared, spec) = (Arc::clone(&self.shared), spec.clone());
        Box::pin(async move {
            if let Some(worker) = shared.launcher.running(spec.id) {
                worker.stop(false).await;
            }
            let lock = shared.lock_of(spec.id);
            let _one_at_a_time = lock.lock().await;
            shared.launcher.forget(spec.id);
            shared.failed_starts.remove(&spec.id);
            shared.allowances.remove(&spec.id);
            if let Some(worker) = spec.worker {
                shared.launcher.remove_profile(worker).await;
            }
            let key = spec.key();
            let removed = tokio::task::spawn_blocking(move || shared.snapshots.remove(key)).await;
            removed.map_err(|_| PortError::Unavailable)?.map_err(|_| PortError::Unavailable)
        })
    }
}
