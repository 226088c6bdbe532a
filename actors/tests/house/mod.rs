//! The kernel with a fake engine and a clock that is moved by hand.

use actix::prelude::*;
use rand::RngCore;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardroom_actors::actor::arbiters::Arbiters;
use wardroom_actors::actor::browser_pool::{self, PoolDoor, PoolTable};
use wardroom_actors::actor::living::Living;
use wardroom_actors::actor::{registry, session};
use wardroom_actors::agent::{Agent, AgentFactory};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatKey, SessionName, TenantId, UserId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::message::{Ack, Message};
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::handle::{ChatBell, Handle, Kernel, Refusal, Seen, start_pool};
use wardroom_actors::policy::backoff::BackoffPolicy;
use wardroom_actors::policy::breaker::BreakerPolicy;
use wardroom_actors::policy::restart::RestartPolicy;
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::journal::{Entry, Journal};
use wardroom_actors::ports::store::NewSession;
use wardroom_actors::supervise::{Delays, Exit, Supervision};
use wardroom_actors::testing::{FakeEngine, FakeLauncher, Memory, RecordingSink, Script, SharedClock};

/// An agent that panics at the text `poison` and answers everything else.
struct Picky;

impl Agent for Picky {
    fn handle(&self, state: &AgentState, signal: &Signal, _: i64, _: &mut dyn RngCore) -> (AgentState, Vec<Effect>) {
        let Signal::Message(message) = signal else { return (state.clone(), vec![]) };
        assert!(message.body != "poison", "poison");
        let mut next = state.clone();
        next.0.push(1);
        (next, vec![Effect::Send { text: format!("re: {}", message.body) }])
    }
}

struct Pickies;

impl AgentFactory for Pickies {
    fn agent(&self, _: ChatKey) -> Arc<dyn Agent> {
        Arc::new(Picky)
    }
}

pub struct House {
    pub handle: Handle,
    pub engine: Arc<FakeEngine>,
    pub clock: SharedClock,
    pub memory: Memory,
    pub sink: Arc<RecordingSink>,
    pub tenant: TenantId,
    pub user: UserId,
}

pub fn supervision(clock: &SharedClock, exits: &Arc<Mutex<Vec<Exit>>>) -> Supervision {
    let exits = Arc::clone(exits);
    Supervision {
        clock: Arc::new(clock.clone()),
        delays: Delays::default(),
        on_exit: Arc::new(move |_, exit, _| exits.lock().unwrap().push(exit.clone())),
    }
}

impl House {
    pub fn open() -> Self {
        Self::open_after(|| {})
    }

    /// Opens after a moment in which a test arms something.
    pub fn open_after(prepare: impl FnOnce()) -> Self {
        prepare();
        let (clock, memory) = (SharedClock::default(), Memory::default());
        let (engine, sink) = (Arc::new(FakeEngine::default()), Arc::new(RecordingSink::default()));
        let arbiter = Arbiter::new().handle();
        let supervision = supervision(&clock, &Arc::default());
        let table = Arc::new(PoolTable::new(3));
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let pool = browser_pool::Deps {
            clock: Arc::new(clock.clone()),
            launcher: Arc::new(FakeLauncher),
            table: Arc::clone(&table),
            io: io.handle().clone(),
            policy: browser_pool::Policy { user_limit: 5, warm_spares: 0, launching_at_once: 2, starts_per_second: 20 },
        };
        let pool = start_pool(&arbiter, supervision.clone(), pool);
        let bell = Arc::new(ChatBell::default());
        let _ = memory.sink.set(Arc::clone(&sink) as _);
        let _ = memory.nudge.set(Arc::clone(&bell) as _);
        let kernel = Kernel {
            registry: registry::Deps {
                living: Arc::new(Living::default()),
                session: session::Deps {
                    clock: Arc::new(clock.clone()),
                    engine: Arc::clone(&engine) as _,
                    journal: Arc::new(memory.clone()),
                    sink: Arc::clone(&sink) as _,
                    sessions: Arc::new(memory.clone()),
                    outbox: Arc::new(memory.clone()),
                    pool: Arc::new(PoolDoor(pool.clone())),
                    pool_actor: pool,
                    pool_table: table,
                    io: io.handle().clone(),
                    stop_timeout: Duration::from_secs(20),
                },
                agent_store: Arc::new(memory.clone()),
                agents: Arc::new(Pickies),
                arbiters: Arc::new(Arbiters::new(vec![arbiter.clone()])),
                supervision,
                policy: registry::Policy {
                    restart: RestartPolicy {
                        backoff: BackoffPolicy { base_ms: 1000, cap_ms: 300_000, reset_after_ms: 60_000 },
                        max_failures: 5,
                        window_ms: 60_000,
                        breaker: BreakerPolicy { open_ms: 60_000, open_cap_ms: 900_000, probe_timeout_ms: 90_000 },
                    },
                    session_inbox: 8,
                    chat_idle_ms: 300_000,
                    poison_limit: 3,
                },
            },
            user_limit: 4,
            outbox_limit: 10,
            registry_inbox: 8,
        };
        let handle = kernel.start(&arbiter);
        bell.connect(&handle);
        // Ends with the test's process; dropping it inside a runtime is not allowed.
        std::mem::forget(io);
        Self { handle, engine, clock, memory, sink, tenant: TenantId::generate(), user: UserId::generate() }
    }

    pub async fn create(&self, name: &str) -> Result<Seen, Refusal> {
        let new = NewSession {
            tenant: self.tenant,
            user: self.user,
            name: SessionName::parse(name).unwrap(),
            engine: EngineName::Web,
            network: Network::Simulator,
            config: "{}".into(),
            desired_running: true,
        };
        self.handle.create(new).await
    }

    pub fn tell(&self, seen: &Seen, script: Script) {
        assert!(self.engine.tell(seen.spec.id, script), "no driver");
    }

    pub async fn is(&self, name: &str, status: Status) {
        let name = SessionName::parse(name).unwrap();
        let reached = self.handle.wait_for(self.tenant, &name, status, Duration::from_secs(5)).await;
        assert!(reached.is_ok(), "{reached:?} instead of {status:?}");
    }

    pub async fn work(&self, seen: &Seen) {
        self.tell(seen, Script::Say(Report::Ready(account())));
        self.is(seen.spec.name.as_str(), Status::Working).await;
    }

    pub async fn started(&self, times: usize) {
        eventually(|| self.engine.started.load(Ordering::SeqCst) == times).await;
    }

    pub async fn hear(&self, seen: &Seen, text: &str) {
        let message = Message {
            id: format!("false_1@c.us_{text}"),
            chat: "1@c.us".into(),
            chat_alias: None,
            from_me: false,
            participant: None,
            push_name: None,
            kind: "chat".into(),
            body: text.into(),
            timestamp: 1,
            ack: Ack::Device,
            via_api: false,
        };
        let entry = Entry {
            key: seen.spec.key(),
            user: self.user,
            session: seen.spec.name.clone(),
            epoch: seen.spec.link_epoch,
            dedupe: format!("msg:{text}"),
            kind: EventKind::Message(message),
        };
        self.memory.append(vec![entry]).await.unwrap();
    }
}

pub fn account() -> Account {
    Account { id: "1@c.us".into(), lid: None, push_name: "One".into() }
}

pub async fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to hold");
}
