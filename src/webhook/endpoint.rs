//! One URL of one tenant: its lanes take turns, a few at a time; while it cannot be reached, a breaker keeps all but one probe
//! from trying. What a lane waits for stands in the store: here are only names of lanes.

use super::post::{Answer, Refusal};
use super::{Key, Shared};
use crate::frames::{Face, frame};
use crate::store::repo::deliveries::{BATCH, Delivery, Lane, Outcome, Told};
use futures_util::FutureExt;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use wardroom_actors::domain::event::Event;
use wardroom_actors::domain::webhook::Hook;
use wardroom_actors::failpoint;
use wardroom_actors::handle::Seen;
use wardroom_actors::policy::breaker::{Breaker, BreakerPolicy, State};

/// Lanes that have their turn at the same time: those that read what they have to tell, or write what came of it, share the store's
/// work.
const TURNS: usize = 64;
/// Requests to the receiver at the same time.
const POSTS: usize = 16;
/// Tries in a row without an answer, of more lanes than one, that open the breaker: it is not for a receiver that stumbles over one
/// event.
const FAILURES: u64 = 5;
/// The breaker, in milliseconds. A probe has the time-out of its request.
const BREAKER: BreakerPolicy = BreakerPolicy { open_ms: 2000, open_cap_ms: 60_000, probe_timeout_ms: u64::MAX };
/// Before a lane tries again to reach a receiver, or the store, in milliseconds; after more failures so much longer.
const AGAIN_MS: u64 = 1000;
/// Longest such pause, in milliseconds.
const LONGEST_MS: u64 = 60_000;
/// Before an event that was refused is tried again, whatever its config says, in milliseconds: each try is a commit.
const REFUSED_MS: u64 = 100;
/// A turn that took so long ends after the event that it is at, in milliseconds.
const TURN_MS: u64 = 2000;
/// An endpoint without work for so long ends, in milliseconds.
const IDLE_MS: u64 = 60_000;

/// What came of a turn.
struct Turn {
    next: Next,
    /// The receiver answered something.
    answered: bool,
    /// It had to find out whether the receiver is there.
    probe: bool,
}

/// The way to the receiver.
struct Line {
    posts: Semaphore,
    /// The breaker lets nobody but a probe through.
    broken: AtomicBool,
}

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
    running: JoinSet<Turn>,
    lanes: HashMap<Id, Lane>,
    line: Arc<Line>,
    breaker: Breaker,
    /// Tries in a row without an answer.
    failures: u64,
    /// Whose they were.
    failing: HashSet<Lane>,
    /// Since when nothing was answered, by the clock's milliseconds.
    silent_since: Option<u64>,
}

impl Endpoint {
    pub fn new(shared: Arc<Shared>, key: Key, inbox: mpsc::UnboundedReceiver<Lane>) -> Self {
        let (active, ready, due, lanes) = (HashMap::new(), VecDeque::new(), BinaryHeap::new(), HashMap::new());
        let (running, breaker) = (JoinSet::new(), Breaker::new(BREAKER));
        let (failing, silent_since) = (HashSet::new(), None);
        let line = Arc::new(Line { posts: Semaphore::new(POSTS), broken: AtomicBool::new(false) });
        Self {
            shared,
            key,
            inbox,
            active,
            ready,
            due,
            running,
            lanes,
            line,
            breaker,
            failures: 0,
            failing,
            silent_since,
        }
    }

    /// Works until there is nothing to do for a while. A panic costs no lane.
    pub async fn run(mut self) {
        while AssertUnwindSafe(self.work()).catch_unwind().await.is_err() {
            tracing::error!("a webhook's dispatcher panicked and starts again");
            self.running.shutdown().await;
            self.lanes.clear();
            self.due.clear();
            // A probe that was under way will never answer.
            self.shared.metrics.webhook_breaker(self.breaker.state(), State::Closed);
            self.breaker.reset();
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
            self.line.broken.store(self.breaker.state() != State::Closed, Ordering::Release);
            while self.running.len() < TURNS && !self.ready.is_empty() && self.allowed(now) {
                let Some(lane) = self.ready.pop_front() else { break };
                let silent = self.silent_since.map_or(0, |since| now.saturating_sub(since));
                let probe = matches!(self.breaker.state(), State::HalfOpen { .. });
                let (shared, line) = (Arc::clone(&self.shared), Arc::clone(&self.line));
                let task = self.running.spawn(tell(shared, line, lane, silent, probe));
                self.lanes.insert(task.id(), lane);
            }
            let until = match (self.due.peek(), self.breaker.state()) {
                _ if self.active.is_empty() => now.saturating_add(IDLE_MS),
                (_, State::Open { until }) if !self.ready.is_empty() && self.running.len() < TURNS => until,
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

    fn ended(&mut self, ended: Result<(Id, Turn), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(lane) = self.lanes.remove(&id) else { return };
        // A panic says nothing of the receiver.
        let panicked = Turn { next: Next::Later(AGAIN_MS), answered: false, probe: true };
        let Turn { next, answered, probe } = ended.map_or(panicked, |(_, turn)| turn);
        let (now, before) = (self.shared.clock.now(), self.breaker.state());
        if answered {
            (self.failures, self.silent_since) = (0, None);
            self.failing.clear();
            self.breaker.succeeded();
        }
        if matches!(next, Next::Receiver) {
            self.failures += 1;
            self.failing.insert(lane);
            self.silent_since.get_or_insert(now);
            if before == State::Closed && self.failures >= FAILURES && self.failing.len() > 1 {
                self.breaker.trip(now);
            }
        }
        // A probe that got no answer, whatever the reason, has told nothing good.
        if probe && matches!(self.breaker.state(), State::HalfOpen { .. }) {
            self.breaker.trip(now);
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
                let pause = AGAIN_MS.saturating_mul(self.failures).min(LONGEST_MS);
                self.due.push(Reverse((now.saturating_add(pause), lane)));
            }
            Next::Receiver => self.ready.push_back(lane),
        }
    }
}

/// One turn of a lane: the next events in order, until one is not taken; only one where it is a probe.
async fn tell(shared: Arc<Shared>, line: Arc<Line>, lane: Lane, silent_ms: u64, probe: bool) -> Turn {
    failpoint::pass("webhook.turn");
    let unasked = |next| Turn { next, answered: false, probe };
    let Ok(batch) = shared.store.deliveries(lane).await else { return unasked(Next::Later(AGAIN_MS)) };
    // A session that is not here is being removed, or another node's.
    let hooked = shared.handle.get().and_then(|handle| handle.hooked(lane.key));
    if hooked.is_none() || batch.is_empty() {
        return unasked(Next::Empty);
    }
    let (mut next, mut settled, mut answered, mut begun) = (Next::Turn, vec![], false, None);
    // What was written since then rings.
    let last = (batch.len() < BATCH).then_some(batch.len());
    for delivery in batch {
        let id = delivery.id;
        let place = line.posts.acquire().await;
        if place.is_err() || (!probe && line.broken.load(Ordering::Acquire)) {
            next = Next::Turn;
            break;
        }
        let begun = *begun.get_or_insert_with(|| shared.clock.now());
        // The place may have taken long to come: it is told as the session and its webhooks are now.
        let Some((seen, hooks)) = shared.handle.get().and_then(|handle| handle.hooked(lane.key)) else {
            next = Next::Turn;
            break;
        };
        let Tried { outcome, then, heard } = try_one(&shared, &seen, hooks.get(lane.hook), delivery, silent_ms).await;
        drop(place);
        answered |= heard;
        let Some(outcome) = outcome else {
            next = Next::Receiver;
            break;
        };
        let over = probe || shared.clock.now().saturating_sub(begun) >= TURN_MS;
        let goes_on = !over && !matches!(outcome, Outcome::Again(_));
        shared.metrics.webhook(match &outcome {
            Outcome::Done => "taken",
            Outcome::Again(_) => "refused",
            Outcome::Dead(_) | Outcome::Untold(_) => "dead",
        });
        settled.push((id, outcome));
        next = then;
        if !goes_on {
            break;
        }
    }
    if matches!(next, Next::Turn) && last == Some(settled.len()) {
        next = Next::Empty;
    }
    failpoint::pass("webhook.posted");
    while !settled.is_empty() && shared.store.settle(lane.key.tenant, settled.clone()).await.is_err() {
        shared.clock.sleep_until(shared.clock.now().saturating_add(AGAIN_MS)).await;
    }
    Turn { next, answered, probe }
}

/// What came of one event.
struct Tried {
    /// `None` when the receiver is away.
    outcome: Option<Outcome>,
    then: Next,
    /// The receiver answered something.
    heard: bool,
}

async fn try_one(shared: &Shared, seen: &Seen, hook: Option<&Hook>, delivery: Delivery, silent_ms: u64) -> Tried {
    let untold = |code: &str| Tried { outcome: Some(Outcome::Untold(code.to_owned())), then: Next::Turn, heard: false };
    let Some(hook) = hook else { return untold("webhook_removed") };
    let body = delivery.event.and_then(|told| body(seen, told, &delivery.name));
    let Some(body) = body else { return untold("event_gone") };
    if body.len() > shared.bounds.bytes {
        return untold("event_too_large");
    }
    let now = shared.clock.unix_ms();
    let waits = u64::try_from(now.saturating_sub(delivery.since_ms)).unwrap_or_default();
    match shared.poster.post(Some(seen.spec.tenant), hook, body, now).await {
        Answer::Taken => Tried { outcome: Some(Outcome::Done), then: Next::Turn, heard: true },
        Answer::Refused(Refusal { code, wait_ms, by_receiver }) => {
            let failed = delivery.attempts.saturating_add(1);
            match hook.retries.delay_ms(failed, rand::random()) {
                Some(delay) => Tried {
                    outcome: Some(Outcome::Again(code)),
                    then: Next::Later(delay.max(wait_ms).max(REFUSED_MS)),
                    heard: by_receiver,
                },
                None => Tried { outcome: Some(Outcome::Dead(code)), then: Next::Turn, heard: by_receiver },
            }
        }
        // The event waits for so long, and the receiver has not answered for so long.
        Answer::Away(code) if waits.min(silent_ms) > shared.bounds.away_ms => untold(code),
        Answer::Away(_) => {
            shared.metrics.webhook("away");
            Tried { outcome: None, then: Next::Receiver, heard: false }
        }
    }
}

/// What is posted: the event as clients read it; `None` when the event is not told under this name.
#[must_use]
pub fn body(seen: &Seen, told: Told, name: &str) -> Option<String> {
    let Told { seq, id, at_ms, kind } = told;
    let event = Event { seq, id, key: seen.spec.key(), session: seen.spec.name.clone(), at_ms, kind };
    frame(&event, &Face::of(seen), name)
}
