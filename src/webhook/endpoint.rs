//! One URL of one tenant: its lanes take turns, a few at a time; while it cannot be reached, a breaker keeps all but one probe
//! from trying. What a lane waits for stands in the store: here are only names of lanes.

use super::post::Answer;
use super::{Key, Shared};
use crate::api::shape::metadata_of;
use crate::frames::{Face, frame};
use crate::store::repo::deliveries::{Delivery, Lane, Outcome, Told};
use futures_util::FutureExt;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use wardroom_actors::domain::event::Event;
use wardroom_actors::domain::webhook::Hook;
use wardroom_actors::failpoint;
use wardroom_actors::handle::Seen;
use wardroom_actors::policy::breaker::{Breaker, BreakerPolicy, State};

/// Lanes that are told at the same time.
const AT_ONCE: usize = 16;
/// Tries in a row without an answer that open the breaker.
const FAILURES: u32 = 5;
/// The breaker, in milliseconds. A probe has the time-out of its request.
const BREAKER: BreakerPolicy = BreakerPolicy { open_ms: 2000, open_cap_ms: 60_000, probe_timeout_ms: u64::MAX };
/// Before a lane tries again to reach a receiver, or the store, in milliseconds.
const AGAIN_MS: u64 = 1000;
/// An event that could not be delivered for so long is set aside, in milliseconds.
const AWAY_MS: i64 = 24 * 3600 * 1000;
/// An endpoint without work for so long ends, in milliseconds.
const IDLE_MS: u64 = 60_000;

/// What a lane needs next.
enum Next {
    /// Nothing: all is told.
    Empty,
    /// Another turn.
    Turn,
    /// Another turn, so many milliseconds later.
    Later(u64),
    /// A receiver that can be reached.
    Receiver,
}

pub(super) struct Endpoint {
    shared: Arc<Shared>,
    key: Key,
    inbox: mpsc::UnboundedReceiver<Lane>,
    /// Lanes that wait or are being told, and whether something came for them meanwhile.
    active: HashMap<Lane, bool>,
    ready: VecDeque<Lane>,
    /// Lanes that wait for a time, by the clock's milliseconds.
    due: BinaryHeap<Reverse<(u64, Lane)>>,
    running: JoinSet<Next>,
    lanes: HashMap<Id, Lane>,
    breaker: Breaker,
    /// Tries in a row without an answer.
    failures: u32,
}

impl Endpoint {
    pub fn new(shared: Arc<Shared>, key: Key, inbox: mpsc::UnboundedReceiver<Lane>) -> Self {
        let (active, ready, due, lanes) = (HashMap::new(), VecDeque::new(), BinaryHeap::new(), HashMap::new());
        let (running, breaker) = (JoinSet::new(), Breaker::new(BREAKER));
        Self { shared, key, inbox, active, ready, due, running, lanes, breaker, failures: 0 }
    }

    /// Works until there is nothing to do for a while. A panic costs no lane.
    pub async fn run(mut self) {
        while AssertUnwindSafe(self.work()).catch_unwind().await.is_err() {
            tracing::error!("a webhook's dispatcher panicked and starts again");
            self.running.shutdown().await;
            self.lanes.clear();
            self.due.clear();
            self.ready = self.active.keys().copied().collect();
            // A lane that was being heard when it happened would stay on its way for ever.
            self.shared.queued.clear();
            let clock = &self.shared.clock;
            clock.sleep_until(clock.now().saturating_add(AGAIN_MS)).await;
        }
        self.shared.metrics.webhook_breaker(self.breaker.state(), State::Closed);
    }

    async fn work(&mut self) {
        loop {
            let now = self.shared.clock.now();
            while self.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
                let next = self.due.pop();
                self.ready.extend(next.map(|Reverse((_, lane))| lane));
            }
            while self.running.len() < AT_ONCE && !self.ready.is_empty() && self.allowed(now) {
                let Some(lane) = self.ready.pop_front() else { break };
                let task = self.running.spawn(tell(Arc::clone(&self.shared), lane));
                self.lanes.insert(task.id(), lane);
            }
            let until = match (self.due.peek(), self.breaker.state()) {
                _ if self.active.is_empty() => now.saturating_add(IDLE_MS),
                (_, State::Open { until }) => until,
                (Some(Reverse((at, _))), _) => *at,
                (None, _) => u64::MAX,
            };
            tokio::select! {
                lane = self.inbox.recv() => match lane {
                    Some(lane) => self.heard(lane),
                    None => return,
                },
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                () = self.shared.clock.sleep_until(until) => {
                    if self.active.is_empty() && self.shared.closes(&self.key, &self.inbox) {
                        return;
                    }
                }
            }
        }
    }

    fn allowed(&mut self, now: u64) -> bool {
        let before = self.breaker.state();
        let allowed = self.breaker.allow(now);
        self.shared.metrics.webhook_breaker(before, self.breaker.state());
        allowed
    }

    fn heard(&mut self, lane: Lane) {
        match self.active.get_mut(&lane) {
            Some(again) => *again = true,
            None => {
                self.active.insert(lane, false);
                self.ready.push_back(lane);
            }
        }
        failpoint::pass("webhook.heard");
        // Whoever rings from now on is heard again.
        self.shared.queued.remove(&lane);
    }

    fn ended(&mut self, ended: Result<(Id, Next), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(lane) = self.lanes.remove(&id) else { return };
        // A panic says nothing of the receiver.
        let next = ended.map_or(Next::Later(AGAIN_MS), |(_, next)| next);
        let (now, before) = (self.shared.clock.now(), self.breaker.state());
        if matches!(next, Next::Receiver) {
            self.failures += 1;
            if matches!(before, State::HalfOpen { .. }) || (before == State::Closed && self.failures >= FAILURES) {
                self.breaker.trip(now);
            }
        } else {
            self.failures = 0;
            self.breaker.succeeded();
        }
        self.shared.metrics.webhook_breaker(before, self.breaker.state());
        match next {
            Next::Empty => match self.active.get_mut(&lane) {
                Some(again) if *again => {
                    *again = false;
                    self.ready.push_back(lane);
                }
                _ => drop(self.active.remove(&lane)),
            },
            Next::Turn => self.ready.push_back(lane),
            Next::Later(ms) => self.due.push(Reverse((now.saturating_add(ms), lane))),
            Next::Receiver if self.breaker.state() == State::Closed => {
                self.due.push(Reverse((now.saturating_add(AGAIN_MS), lane)));
            }
            Next::Receiver => self.ready.push_back(lane),
        }
    }
}

/// One turn of a lane: the next events in order, until one is not taken.
async fn tell(shared: Arc<Shared>, lane: Lane) -> Next {
    failpoint::pass("webhook.turn");
    let Ok(batch) = shared.store.deliveries(lane).await else { return Next::Later(AGAIN_MS) };
    if batch.is_empty() {
        return Next::Empty;
    }
    let hooked = shared.handle.get().and_then(|handle| handle.hooked(lane.key));
    let (mut next, mut settled) = (Next::Turn, vec![]);
    for delivery in batch {
        let id = delivery.id;
        let hook = hooked.as_ref().and_then(|(seen, hooks)| Some((seen, hooks.get(lane.hook)?)));
        let Some((outcome, then)) = try_one(&shared, hook, delivery).await else {
            next = Next::Receiver;
            break;
        };
        let goes_on = !matches!(outcome, Outcome::Again(_));
        shared.metrics.webhook(match &outcome {
            Outcome::Done => "taken",
            Outcome::Again(_) => "refused",
            Outcome::Dead(_) => "dead",
        });
        settled.push((id, outcome));
        next = then;
        if !goes_on {
            break;
        }
    }
    failpoint::pass("webhook.posted");
    while !settled.is_empty() && shared.store.settle(lane.key.tenant, settled.clone()).await.is_err() {
        shared.clock.sleep_until(shared.clock.now().saturating_add(AGAIN_MS)).await;
    }
    next
}

/// One event. `None` when the receiver is away.
async fn try_one(shared: &Shared, hook: Option<(&Seen, &Hook)>, delivery: Delivery) -> Option<(Outcome, Next)> {
    let Some((seen, hook)) = hook else { return Some((Outcome::Dead("webhook_removed".to_owned()), Next::Turn)) };
    let body = delivery.event.and_then(|told| body(seen, told, &delivery.name));
    let Some(body) = body else { return Some((Outcome::Dead("event_gone".to_owned()), Next::Turn)) };
    let now = shared.clock.unix_ms();
    match shared.poster.post(hook, body, now).await {
        Answer::Taken => Some((Outcome::Done, Next::Turn)),
        Answer::Refused(code, wait) => match hook.retries.delay_ms(delivery.attempts.saturating_add(1), rand::random())
        {
            Some(delay) => Some((Outcome::Again(code), Next::Later(delay.max(wait)))),
            None => Some((Outcome::Dead(code), Next::Turn)),
        },
        Answer::Away(code) if now.saturating_sub(delivery.since_ms) > AWAY_MS => {
            Some((Outcome::Dead(code.to_owned()), Next::Turn))
        }
        Answer::Away(_) => {
            shared.metrics.webhook("away");
            None
        }
    }
}

/// What is posted: the event as clients read it; `None` when the event is not told under this name.
#[must_use]
pub fn body(seen: &Seen, told: Told, name: &str) -> Option<String> {
    let Told { seq, id, at_ms, kind } = told;
    let event = Event { seq: Some(seq), id, key: seen.spec.key(), session: seen.spec.name.clone(), at_ms, kind };
    let face = Face { account: seen.view.account.as_ref(), metadata: metadata_of(&seen.spec.config) };
    frame(&event, &face, name)
}
