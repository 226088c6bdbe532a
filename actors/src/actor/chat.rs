//! Owns one chat: pulls its signals from the journal in order and hands them to its agent. Started on demand by the
//! registry, passivated when idle. In: nudges. Out: agent state and effects, in one commit with the journal mark.
//! Nothing is lost when it dies: state and mark are read again from the store.

use super::fairness::Fairness;
use super::inbox::Nudge;
use super::living::ChatEntry;
use super::registry::{RegistryActor, WakeChat};
use crate::agent::{Agent, AgentFactory};
use crate::domain::ids::ChatKey;
use crate::domain::signal::AgentState;
use crate::failpoint;
use crate::ports::clock::Clock;
use crate::ports::journal::{AgentCommit, AgentStore, Pending};
use crate::ports::{BoxFuture, PortError};
use crate::supervise::Lifeline;
use actix::WeakAddr;
use actix::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The registry has taken the chat out of the routing table: end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Passivate;

#[derive(Message)]
#[rtype(result = "()")]
struct Pulled(Result<Batch, PortError>);

struct Batch {
    state: Option<(AgentState, i64)>,
    signals: Vec<Pending>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Committed(Result<(AgentState, i64), PortError>);

/// Ports and numbers.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Agent states and signals.
    pub store: Arc<dyn AgentStore>,
    /// Agents.
    pub agents: Arc<dyn AgentFactory>,
    /// Who wakes a successor.
    pub registry: WeakAddr<RegistryActor>,
    /// A signal that panicked so often is set aside.
    pub poison_limit: u32,
}

/// Signals taken from the journal at once.
const BATCH: u64 = 64;
/// Pause after the store failed, in milliseconds.
const RETRY_MS: u64 = 500;

/// The shell.
pub struct ChatActor {
    key: ChatKey,
    deps: Arc<Deps>,
    entry: Arc<ChatEntry>,
    lifeline: Lifeline,
    agent: Arc<dyn Agent>,
    /// State and mark, once loaded.
    memory: Option<(AgentState, i64)>,
    /// A pull or a commit is under way.
    busy: bool,
    /// A nudge came meanwhile.
    again: bool,
    fairness: Fairness,
}

impl ChatActor {
    /// A chat that has still to load its state.
    #[must_use]
    pub fn new(key: ChatKey, deps: Arc<Deps>, entry: Arc<ChatEntry>, lifeline: Lifeline) -> Self {
        let agent = deps.agents.agent(key);
        let (memory, fairness) = (None, Fairness::default());
        Self { key, deps, entry, lifeline, agent, memory, busy: false, again: false, fairness }
    }
}

impl Actor for ChatActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        failpoint::pass("chat.started");
        // A nudge whose handling panicked is answered by this look.
        self.entry.bell.answer();
        self.pull(ctx);
    }
}

impl Supervised for ChatActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        failpoint::pass("chat.restarting");
        self.entry.poison.panicked();
        (self.memory, self.busy, self.again) = (None, false, false);
    }
}

impl Handler<Nudge> for ChatActor {
    type Result = ();

    fn handle(&mut self, _: Nudge, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("chat.nudge");
        self.entry.bell.answer();
        self.entry.touched.store(self.deps.clock.now(), Ordering::Release);
        self.pull(ctx);
    }
}

impl Handler<Passivate> for ChatActor {
    type Result = ();

    fn handle(&mut self, _: Passivate, ctx: &mut Context<Self>) {
        if (self.busy || self.again)
            && let Some(registry) = self.deps.registry.upgrade()
        {
            // A nudge came just before: its work goes to a successor.
            registry.do_send(WakeChat { chat: self.key });
        }
        self.lifeline.end();
        ctx.stop();
    }
}

impl Handler<Pulled> for ChatActor {
    type Result = ();

    fn handle(&mut self, Pulled(result): Pulled, ctx: &mut Context<Self>) {
        failpoint::pass("chat.pulled");
        self.busy = false;
        match result {
            Ok(batch) => {
                if batch.state.is_some() {
                    self.memory = batch.state;
                }
                self.again |= u64::try_from(batch.signals.len()).is_ok_and(|taken| taken == BATCH);
                self.work(batch.signals, ctx);
            }
            Err(error) => self.retry(error, ctx),
        }
    }
}

impl Handler<Committed> for ChatActor {
    type Result = ();

    fn handle(&mut self, Committed(result): Committed, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("chat.committed");
        self.busy = false;
        match result {
            Ok(memory) => {
                self.memory = Some(memory);
                self.rest(ctx);
            }
            Err(error) => self.retry(error, ctx),
        }
    }
}

impl ChatActor {
    /// Reads what follows the mark. Interleaves; one at a time.
    fn pull(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            self.again = true;
            return;
        }
        (self.busy, self.again) = (true, false);
        let (key, store) = (self.key, Arc::clone(&self.deps.store));
        let mark = self.memory.as_ref().map(|(_, handled)| *handled);
        let work: BoxFuture<'static, Result<Batch, PortError>> = Box::pin(async move {
            let state = if mark.is_none() { Some(store.load(key).await?) } else { None };
            let handled = mark.or(state.as_ref().map(|(_, handled)| *handled)).unwrap_or_default();
            Ok(Batch { signals: store.pending(key, handled, BATCH).await?, state })
        });
        ctx.spawn(work.into_actor(self).map(|result, _, ctx| {
            failpoint::pass("chat.spawned");
            ctx.notify(Pulled(result));
        }));
    }

    /// Nothing is under way: looks again if there was a nudge.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        if self.again {
            self.pull(ctx);
        }
    }

    /// Hands signals to the agent, in order, and commits all that it answered at once; memory changes after the commit.
    fn work(&mut self, signals: Vec<Pending>, ctx: &mut Context<Self>) {
        let Some((mut state, expected)) = self.memory.clone() else { return };
        if signals.is_empty() {
            return self.rest(ctx);
        }
        self.busy = true;
        let (mut steps, mut poison) = (vec![], vec![]);
        for pending in signals {
            if self.entry.poison.is(pending.seq, self.deps.poison_limit) {
                tracing::warn!(chat = %self.key.chat, seq = pending.seq, "a signal panicked too often and is set aside");
                poison.push(pending.seq);
                steps.push((pending.seq, vec![]));
                continue;
            }
            let seed = self.key.chat.0.as_u128() ^ u128::from(pending.seq.unsigned_abs());
            let mut rng = StdRng::seed_from_u64(u64::try_from(seed & u128::from(u64::MAX)).unwrap_or_default());
            self.entry.poison.begin(pending.seq);
            failpoint::pass("chat.handle");
            let (next, effects) = self.agent.handle(&state, &pending.signal, self.deps.clock.unix_ms(), &mut rng);
            self.entry.poison.end();
            state = next;
            steps.push((pending.seq, effects));
        }
        let commit = AgentCommit { chat: self.key, expected, steps, poison, state: state.clone() };
        let handled = commit.handled();
        let work = self.deps.store.commit(commit);
        let done = work.into_actor(self).map(move |result, _, ctx| {
            failpoint::pass("chat.commit_answered");
            ctx.notify(Committed(result.map(|()| (state, handled))));
        });
        ctx.spawn(done);
    }

    /// The store failed, or another writer moved the mark: forget and read again after a pause.
    fn retry(&mut self, error: PortError, ctx: &mut Context<Self>) {
        tracing::debug!(chat = %self.key.chat, %error, "the chat reads its state again");
        (self.memory, self.busy) = (None, true);
        let sleep = self.deps.clock.sleep_until(self.deps.clock.now().saturating_add(RETRY_MS));
        ctx.spawn(sleep.into_actor(self).map(|(), actor, ctx| {
            actor.busy = false;
            actor.pull(ctx);
        }));
    }
}
