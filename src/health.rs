//! How the node is, computed from what can be measured just now, in three states.

use crate::store::Store;
use crate::store::repo::journal::Lag;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::actor::arbiters::{DEAD_MS, STALLED_MS};
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::domain::session::Status;
use wardroom_actors::handle::Handle;
use wardroom_actors::ports::clock::Clock;

/// A state; the whole is as bad as its worst part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Everything is as it should be.
    Healthy,
    /// It works, and somebody should look.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl State {
    /// A stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One part.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was measured, for people.
    pub detail: String,
}

/// What is looked at.
pub struct Health {
    /// The kernel.
    pub handle: Handle,
    /// The database.
    pub store: Store,
    /// The journal's writer.
    pub lag: Arc<Lag>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where free space is needed.
    pub data_dir: PathBuf,
}

/// How long the database may take to answer.
const STORE: Duration = Duration::from_secs(2);
/// Appends that wait longer are noticed, in milliseconds.
const LAG_MS: u64 = 1_000;
/// Commits that fail in a row before the journal counts as broken.
const FAILURES: u64 = 3;
/// Free space below this is noticed, and below a tenth of it does not suffice, in bytes.
const SPACE: u64 = 500 << 20;

/// A state by two limits.
fn graded<T: PartialOrd>(value: &T, degraded: &T, unhealthy: &T) -> State {
    if value >= unhealthy {
        State::Unhealthy
    } else if value >= degraded {
        State::Degraded
    } else {
        State::Healthy
    }
}

impl Health {
    /// Whether the process is worth keeping alive: no thread of actors is dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.handle.lateness().iter().all(|late| late.now_ms < DEAD_MS)
    }

    /// All parts, and of the sessions those of one tenant.
    pub async fn look(&self, tenant: TenantId) -> (State, Vec<Check>) {
        let checks = vec![
            self.store().await,
            self.journal(),
            self.arbiters(),
            self.workers(),
            self.space(),
            self.sessions(tenant),
        ];
        (checks.iter().map(|check| check.state).max().unwrap_or(State::Healthy), checks)
    }

    async fn store(&self) -> Check {
        let begun = self.clock.now();
        let answered = tokio::time::timeout(STORE, self.store.ping()).await;
        let took = self.clock.now().saturating_sub(begun);
        let (state, detail) = match answered {
            Ok(Ok(())) => (State::Healthy, format!("answers in {took} ms")),
            _ => (State::Unhealthy, "does not answer".to_owned()),
        };
        Check { name: "store", state, detail }
    }

    fn journal(&self) -> Check {
        let (lag, failures) = (self.lag.ms(self.clock.now()), self.lag.failures());
        let state = graded(&lag, &LAG_MS, &(10 * LAG_MS)).max(graded(&failures, &1, &FAILURES));
        Check {
            name: "journal",
            state,
            detail: format!("oldest append waits {lag} ms, {failures} commits failed in a row"),
        }
    }

    fn arbiters(&self) -> Check {
        let late = self.handle.lateness().iter().map(|late| late.now_ms).max().unwrap_or_default();
        Check {
            name: "arbiters",
            state: graded(&late, &STALLED_MS, &DEAD_MS),
            detail: format!("latest answers after {late} ms"),
        }
    }

    fn workers(&self) -> Check {
        let (used, limit) = (self.handle.workers(), self.handle.worker_limit());
        Check {
            name: "workers",
            state: graded(&used, &limit, &usize::MAX),
            detail: format!("{used} of {limit} slots in use"),
        }
    }

    fn space(&self) -> Check {
        let (state, detail) = match rustix::fs::statvfs(&self.data_dir) {
            Ok(fs) => {
                let free = fs.f_bavail.saturating_mul(fs.f_frsize);
                let state = if free < SPACE / 10 {
                    State::Unhealthy
                } else if free < SPACE {
                    State::Degraded
                } else {
                    State::Healthy
                };
                (state, format!("{} MB free", free >> 20))
            }
            Err(error) => (State::Degraded, error.to_string()),
        };
        Check { name: "disk", state, detail }
    }

    fn sessions(&self, tenant: TenantId) -> Check {
        let wanted: Vec<_> =
            self.handle.sessions(tenant).into_iter().filter(|seen| seen.view.desired_running).collect();
        let well = |status| matches!(status, Status::Working | Status::ScanQrCode);
        let ill = wanted.iter().filter(|seen| !well(seen.view.status)).count();
        let detail = format!("{ill} of {} that shall run are not connected", wanted.len());
        Check { name: "sessions", state: graded(&ill, &1, &usize::MAX), detail }
    }
}
