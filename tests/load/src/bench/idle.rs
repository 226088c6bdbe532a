//! Bytes of an idle chat: the kernel with 100,000 chats awake and idle, and as many tokio tasks with a channel each. Each kind in a
//! process of its own, because memory that is given back does not show.

use super::kernel::Bench;
use super::resident;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::agent::{Agent, AgentFactory};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatKey, TenantId, UserId};
use wardroom_actors::domain::message::{Ack, Message};
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::ports::journal::{AgentCommit, AgentStore, Entry, Pending};
use wardroom_actors::ports::{BoxFuture, PortError};
use wardroom_actors::testing::Memory;
use wardroom_actors::testing::kernel::Stores;

const CHATS: u32 = 100_000;

/// An agent without a state of its own, shared by all chats.
struct Stateless(Arc<dyn Agent>);

struct Nothing;

impl Agent for Nothing {
    fn handle(&self, state: &AgentState, _: &Signal, _: i64, _: &mut dyn rand::RngCore) -> (AgentState, Vec<Effect>) {
        (state.clone(), vec![])
    }
}

impl AgentFactory for Stateless {
    fn agent(&self, _: ChatKey) -> Arc<dyn Agent> {
        Arc::clone(&self.0)
    }
}

/// A store that keeps nothing, so that only the chats are measured. Each chat finds one message, and then none.
struct Empty;

impl AgentStore for Empty {
    fn load(&self, _: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>> {
        Box::pin(std::future::ready(Ok((AgentState::default(), 0))))
    }

    fn pending(&self, _: ChatKey, handled: i64, _: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>> {
        let first = (handled == 0).then(|| Pending { seq: 1, signal: Signal::Message(message("1@c.us", "1")) });
        Box::pin(std::future::ready(Ok(first.into_iter().collect())))
    }

    fn behind(&self) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }

    fn commit(&self, _: AgentCommit) -> BoxFuture<'static, Result<(), PortError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Bytes of each idle chat of the kernel.
pub fn kernel() -> f64 {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = io.handle().clone();
    let bytes = actix_rt::System::new().block_on(async move {
        let memory = Memory::default();
        let stores =
            Stores { sessions: Arc::new(memory.clone()), outbox: Arc::new(memory.clone()), agents: Arc::new(Empty) };
        let owner = (TenantId::generate(), UserId::generate());
        let mut bell = None;
        let bench = Bench::start(&handle, 2, stores, Arc::new(Stateless(Arc::new(Nothing))), owner, |_, nudge| {
            bell = Some(nudge);
            Arc::new(memory)
        });
        let seen = bench.session("one").await;
        let bell = bell.unwrap();
        let key = seen.spec.key();
        let before = resident(std::process::id());
        for n in 0..CHATS {
            let chat = wardroom_actors::domain::ids::ChatUuid::generate();
            bell.nudge(ChatKey { tenant: key.tenant, session: key.session, chat });
            if n % 1000 == 999 {
                while bench.handle.chats_awake() < (n + 1) as usize {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let grown = resident(std::process::id()) - before;
        f64::from(u32::try_from(grown).unwrap()) / f64::from(CHATS)
    });
    io.shutdown_background();
    bytes
}

/// Bytes of each idle task with a channel.
pub fn plain() -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let before = resident(std::process::id());
        let mut senders = Vec::with_capacity(CHATS as usize);
        for _ in 0..CHATS {
            let (sender, mut messages) = tokio::sync::mpsc::channel::<[u8; 24]>(64);
            tokio::spawn(async move { while messages.recv().await.is_some() {} });
            senders.push(sender);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let grown = resident(std::process::id()) - before;
        drop(senders);
        f64::from(u32::try_from(grown).unwrap()) / f64::from(CHATS)
    })
}

/// A message for benches.
pub fn message(chat: &str, id: &str) -> Message {
    Message {
        id: format!("false_{chat}_{id}"),
        chat: chat.to_owned(),
        chat_alias: None,
        from_me: false,
        participant: None,
        push_name: None,
        kind: "chat".into(),
        body: format!("text {id}"),
        timestamp: 1,
        ack: Ack::Device,
        via_api: false,
        parts: Box::default(),
    }
}

/// An entry for benches.
pub fn entry(spec: &wardroom_actors::domain::spec::SessionSpec, chat: &str, id: &str) -> Entry {
    Entry {
        key: spec.key(),
        user: spec.user,
        session: spec.name.clone(),
        epoch: spec.link_epoch,
        dedupe: format!("msg:{id}"),
        kind: EventKind::Message(message(chat, id)),
        told: vec![],
    }
}
