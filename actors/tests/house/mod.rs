//! The kernel with a fake engine and a clock that is moved by hand.

use actix::prelude::*;
use rand::RngCore;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardroom_actors::agent::{Agent, AgentFactory};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatKey, SessionName, TenantId, UserId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::message::{Ack, Message};
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::handle::{Handle, Refusal, Seen};
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::journal::{Entry, Journal};
use wardroom_actors::ports::store::NewSession;
use wardroom_actors::supervise::{Delays, Exit, Supervision};
use wardroom_actors::testing::kernel::{Ground, Limits, Stores};
use wardroom_actors::testing::{FakeEngine, Memory, RecordingSink, Script, SharedClock};

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

pub fn supervision(clock: &SharedClock, exits: &Arc<Mutex<Vec<Exit>>>) -> Arc<Supervision> {
    let exits = Arc::clone(exits);
    Arc::new(Supervision {
        clock: Arc::new(clock.clone()),
        delays: Delays::default(),
        on_exit: Arc::new(move |_, exit, _| exits.lock().unwrap().push(exit.clone())),
    })
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
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ground = Ground {
            io: io.handle().clone(),
            arbiters: vec![arbiter],
            supervision,
            engine: Arc::clone(&engine),
            sink: Arc::clone(&sink),
            stores: Stores::from(&memory),
            agents: Arc::new(Pickies),
            limits: Limits {
                sessions: 4,
                workers: (5, 3),
                starts: (2, 20),
                outbox: 10,
                session_inbox: 8,
                registry_inbox: 8,
            },
        };
        let (handle, _) = ground.open(|sink, nudge| {
            let _ = (memory.sink.set(sink), memory.nudge.set(nudge));
            Arc::new(memory.clone())
        });
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
            parts: Box::default(),
        };
        let entry = Entry {
            key: seen.spec.key(),
            user: self.user,
            session: seen.spec.name.clone(),
            epoch: seen.spec.link_epoch,
            dedupe: format!("msg:{text}"),
            kind: EventKind::Message(message),
            told: vec![],
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
