//! The kernel on a fake engine and a fake launcher, for tests and benches.

use super::{FakeEngine, FakeLauncher, Memory, RecordingSink, sessions};
use crate::actor::arbiters::Arbiters;
use crate::actor::browser_pool::{self, PoolDoor, PoolTable};
use crate::actor::living::Living;
use crate::actor::{registry, session};
use crate::agent::AgentFactory;
use crate::handle::{ChatBell, Handle, Kernel, start_pool};
use crate::policy::backoff::BackoffPolicy;
use crate::policy::breaker::BreakerPolicy;
use crate::policy::restart::RestartPolicy;
use crate::ports::journal::{AgentStore, EventSink, Journal, NudgeSink};
use crate::ports::store::{OutboxStore, SessionStore};
use crate::supervise::Supervision;
use actix::ArbiterHandle;
use std::sync::Arc;
use std::time::Duration;

/// Where the kernel keeps what must not be lost.
pub struct Stores {
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Outgoing texts.
    pub outbox: Arc<dyn OutboxStore>,
    /// Agents' states.
    pub agents: Arc<dyn AgentStore>,
}

impl From<&Memory> for Stores {
    fn from(memory: &Memory) -> Self {
        Self { sessions: Arc::new(memory.clone()), outbox: Arc::new(memory.clone()), agents: Arc::new(memory.clone()) }
    }
}

/// The bounds that tests run into, and benches must not.
pub struct Limits {
    /// Sessions of a user.
    pub sessions: usize,
    /// Workers of a user, and of the node.
    pub workers: (usize, usize),
    /// Workers that start at once, and per second.
    pub starts: (usize, u32),
    /// Texts in an outbox.
    pub outbox: u64,
    /// Messages at a session.
    pub session_inbox: usize,
    /// Messages at the registry.
    pub registry_inbox: usize,
}

impl Limits {
    /// None that matters.
    pub const WIDE: Self = Self {
        sessions: 1000,
        workers: (1000, 1000),
        starts: (4, 1000),
        outbox: 1000,
        session_inbox: 64,
        registry_inbox: 256,
    };
}

/// What the kernel stands on.
pub struct Ground {
    /// Runs drivers.
    pub io: tokio::runtime::Handle,
    /// Run actors; registry and pool on the first.
    pub arbiters: Vec<ArbiterHandle>,
    /// Clock and listener.
    pub supervision: Arc<Supervision>,
    /// Runs the drivers' scripts.
    pub engine: Arc<FakeEngine>,
    /// Hears events.
    pub sink: Arc<RecordingSink>,
    /// Stores.
    pub stores: Stores,
    /// Agents.
    pub agents: Arc<dyn AgentFactory>,
    /// Bounds.
    pub limits: Limits,
}

impl Ground {
    /// Starts the kernel. The journal is made on the way, because it wakes chats.
    pub fn open(
        self,
        journal: impl FnOnce(Arc<dyn EventSink>, Arc<dyn NudgeSink>) -> Arc<dyn Journal>,
    ) -> (Handle, Arc<dyn Journal>) {
        let (limits, first, clock) =
            (self.limits, self.arbiters.first().unwrap().clone(), Arc::clone(&self.supervision.clock));
        let table = Arc::new(PoolTable::new(limits.workers.1));
        let policy = browser_pool::Policy {
            warm_spares: 0,
            launching_at_once: limits.starts.0,
            starts_per_second: limits.starts.1,
        };
        let (launcher, io) = (Arc::new(FakeLauncher), self.io.clone());
        let table_of_pool = Arc::clone(&table);
        let pool = browser_pool::Deps { clock: Arc::clone(&clock), launcher, table: table_of_pool, io, policy };
        let pool = start_pool(&first, Arc::clone(&self.supervision), pool);
        let bell = Arc::new(ChatBell::default());
        let journal = journal(Arc::clone(&self.sink) as _, Arc::clone(&bell) as _);
        let kernel = Kernel {
            registry: registry::Deps {
                living: Arc::new(Living::default()),
                session: session::Deps {
                    clock,
                    engine: self.engine,
                    journal: Arc::clone(&journal),
                    sink: self.sink,
                    sessions: self.stores.sessions,
                    outbox: self.stores.outbox,
                    pool: Arc::new(PoolDoor(pool.clone())),
                    pool_actor: pool,
                    pool_table: table,
                    io: self.io,
                    stop_timeout: Duration::from_secs(20),
                },
                agent_store: self.stores.agents,
                agents: self.agents,
                arbiters: Arc::new(Arbiters::new(self.arbiters)),
                supervision: self.supervision,
                policy: registry::Policy {
                    restart: RestartPolicy {
                        backoff: BackoffPolicy { base_ms: 1000, cap_ms: 300_000, reset_after_ms: 60_000 },
                        max_failures: 5,
                        window_ms: 60_000,
                        breaker: BreakerPolicy { open_ms: 60_000, open_cap_ms: 900_000, probe_timeout_ms: 90_000 },
                    },
                    session_inbox: limits.session_inbox,
                    chat_idle_ms: 300_000,
                    poison_limit: 3,
                },
            },
            quotas: Arc::new(sessions(limits.sessions as u64)),
            outbox_limit: limits.outbox,
            outbox_retry_s: 1,
            registry_inbox: limits.registry_inbox,
        };
        let handle = kernel.start(&first);
        bell.connect(&handle);
        (handle, journal)
    }
}
