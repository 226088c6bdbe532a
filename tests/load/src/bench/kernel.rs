//! The kernel with a fake engine, in this process.

use std::sync::Arc;
use std::time::Duration;
use wardroom::clock::SystemClock;
use wardroom_actors::agent::{Agent, AgentFactory};
use wardroom_actors::domain::ids::{ChatKey, SessionName, TenantId, UserId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::handle::{Handle, Seen};
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::journal::{EventSink, Journal, NudgeSink};
use wardroom_actors::ports::store::NewSession;
use wardroom_actors::supervise::{Delays, Supervision};
use wardroom_actors::testing::kernel::{Ground, Limits, Stores};
use wardroom_actors::testing::{FakeEngine, Memory, Script};

/// Says nothing.
struct Silent;

impl Agent for Silent {
    fn handle(&self, state: &AgentState, _: &Signal, _: i64, _: &mut dyn rand::RngCore) -> (AgentState, Vec<Effect>) {
        (state.clone(), vec![])
    }
}

impl AgentFactory for Silent {
    fn agent(&self, _: ChatKey) -> Arc<dyn Agent> {
        Arc::new(Self)
    }
}

/// Runs `work` with a kernel on two threads that keeps everything in memory and whose agents say nothing.
pub fn in_memory<T>(work: impl AsyncFnOnce(Bench, tokio::runtime::Handle) -> T) -> T {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = io.handle().clone();
    let result = actix_rt::System::new().block_on(async move {
        let memory = Memory::default();
        let owner = (TenantId::generate(), UserId::generate());
        let stores = Stores::from(&memory);
        let bench = Bench::start(&handle, 2, stores, Arc::new(Silent), owner, |_, _| Arc::new(memory));
        work(bench, handle).await
    });
    io.shutdown_background();
    result
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
        let clock = Arc::new(SystemClock::start());
        let supervision = Arc::new(Supervision { clock, delays: Delays::default(), on_exit: Arc::new(|_, _, _| {}) });
        let arbiters = (0..threads).map(|_| actix_rt::Arbiter::new().handle()).collect();
        let engine = Arc::new(FakeEngine::default());
        let ground = Ground {
            io: io.clone(),
            arbiters,
            supervision,
            engine: Arc::clone(&engine),
            sink: Arc::default(),
            stores,
            agents,
            limits: Limits::WIDE,
        };
        let (handle, journal) = ground.open(journal);
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
