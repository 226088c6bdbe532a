//! The kernel with a fake engine, in this process.

use std::sync::Arc;
use std::time::Duration;
use wardroom::clock::SystemClock;
use wardroom_actors::actor::arbiters::Arbiters;
use wardroom_actors::actor::browser_pool::{self, PoolDoor, PoolTable};
use wardroom_actors::actor::living::Living;
use wardroom_actors::actor::{registry, session};
use wardroom_actors::agent::AgentFactory;
use wardroom_actors::domain::ids::{SessionName, TenantId, UserId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::handle::{ChatBell, Handle, Kernel, Seen, start_pool};
use wardroom_actors::policy::backoff::BackoffPolicy;
use wardroom_actors::policy::breaker::BreakerPolicy;
use wardroom_actors::policy::restart::RestartPolicy;
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::journal::{AgentStore, EventSink, Journal, NudgeSink};
use wardroom_actors::ports::store::{NewSession, OutboxStore, SessionStore};
use wardroom_actors::supervise::{Delays, Supervision};
use wardroom_actors::testing::{FakeEngine, FakeLauncher, RecordingSink, Script};

/// What the kernel stands on.
pub struct Stores {
    pub sessions: Arc<dyn SessionStore>,
    pub outbox: Arc<dyn OutboxStore>,
    pub agents: Arc<dyn AgentStore>,
}

/// A running kernel.
pub struct Bench {
    pub handle: Handle,
    pub engine: Arc<FakeEngine>,
    pub journal: Arc<dyn Journal>,
    pub tenant: TenantId,
    pub user: UserId,
}

impl Bench {
    /// Starts it. The journal is made last, because it wakes chats.
    pub fn start(
        io: &tokio::runtime::Handle,
        threads: usize,
        stores: Stores,
        agents: Arc<dyn AgentFactory>,
        owner: (TenantId, UserId),
        journal: impl FnOnce(Arc<dyn EventSink>, Arc<dyn NudgeSink>) -> Arc<dyn Journal>,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let engine = Arc::new(FakeEngine::default());
        let sink: Arc<dyn EventSink> = Arc::new(RecordingSink::default());
        let supervision =
            Supervision { clock: Arc::clone(&clock), delays: Delays::default(), on_exit: Arc::new(|_, _, _| {}) };
        let arbiters: Vec<_> = (0..threads).map(|_| actix_rt::Arbiter::new().handle()).collect();
        let first = arbiters[0].clone();
        let table = Arc::new(PoolTable::new(1000));
        let policy =
            browser_pool::Policy { user_limit: 1000, warm_spares: 0, launching_at_once: 4, starts_per_second: 1000 };
        let pool = browser_pool::Deps {
            clock: Arc::clone(&clock),
            launcher: Arc::new(FakeLauncher),
            table: Arc::clone(&table),
            io: io.clone(),
            policy,
        };
        let pool = start_pool(&first, supervision.clone(), pool);
        let bell = Arc::new(ChatBell::default());
        let journal = journal(Arc::clone(&sink), Arc::clone(&bell) as _);
        let kernel = Kernel {
            registry: registry::Deps {
                living: Arc::new(Living::default()),
                session: session::Deps {
                    clock,
                    engine: Arc::clone(&engine) as _,
                    journal: Arc::clone(&journal),
                    sink,
                    sessions: stores.sessions,
                    outbox: stores.outbox,
                    pool: Arc::new(PoolDoor(pool.clone())),
                    pool_actor: pool,
                    pool_table: table,
                    io: io.clone(),
                    stop_timeout: Duration::from_secs(20),
                },
                agent_store: stores.agents,
                agents,
                arbiters: Arc::new(Arbiters::new(arbiters)),
                supervision,
                policy: registry::Policy {
                    restart: RestartPolicy {
                        backoff: BackoffPolicy { base_ms: 1000, cap_ms: 300_000, reset_after_ms: 60_000 },
                        max_failures: 5,
                        window_ms: 60_000,
                        breaker: BreakerPolicy { open_ms: 60_000, open_cap_ms: 900_000, probe_timeout_ms: 90_000 },
                    },
                    session_inbox: 64,
                    chat_idle_ms: 300_000,
                    poison_limit: 3,
                },
            },
            user_limit: 1000,
            outbox_limit: 1000,
            registry_inbox: 256,
        };
        let handle = kernel.start(&first);
        bell.connect(&handle);
        Self { handle, engine, journal, tenant: owner.0, user: owner.1 }
    }

    /// A session that is WORKING.
    pub async fn session(&self, name: &str) -> Seen {
        let new = NewSession {
            tenant: self.tenant,
            user: self.user,
            name: SessionName::parse(name).unwrap(),
            engine: EngineName::Web,
            network: Network::Simulator,
            config: r#"{"webhooks":[{"url":"http://127.0.0.1:1/"}]}"#.into(),
            desired_running: true,
        };
        let seen = self.handle.create(new).await.unwrap();
        let account = Account { id: "1@c.us".into(), lid: None, push_name: "One".into() };
        while !self.engine.tell(seen.spec.id, Script::Say(Report::Ready(account.clone()))) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting = self.handle.wait_for(self.tenant, &seen.spec.name, Status::Working, Duration::from_secs(5));
        waiting.await.unwrap();
        seen
    }
}
