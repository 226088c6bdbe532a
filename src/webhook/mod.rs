//! Tells webhooks what happened, at least once and in order.
//!
//! What has to be told stands in the outbox, committed with what it tells of ([`crate::store::repo::deliveries`]). The store rings
//! for a lane (a chat's events for one webhook); the lane's URL has an [`endpoint`] that gives its lanes turns. A row goes once
//! the receiver has answered 2xx, and is set aside as a dead letter after the tries that the webhook's config allows. A receiver
//! that does not answer costs no try: its lanes wait, up to [`Bounds::away_ms`]. After a kill everything that was not settled is
//! told again, under the same event id.

mod endpoint;
pub mod post;

use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::repo::deliveries::{Lane, LaneBell, Told};
use dashmap::{DashMap, DashSet};
use endpoint::Endpoint;
pub use endpoint::body;
use post::{Answer, Poster};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use wardroom_actors::domain::event::{Event, EventKind, StatusChange};
use wardroom_actors::domain::ids::{TenantId, event_id};
use wardroom_actors::domain::webhook::Hook;
use wardroom_actors::handle::{Handle, Seen};
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::journal::EventSink;

/// Lanes that nobody rang for are looked for so often: those whose ring a panic swallowed.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Events that are never stored (who types) are told once; so many at the same time, more are left out.
const PASSING: usize = 32;

/// Webhooks that are tried at the same time.
const TRIALS: usize = 8;

/// What the config allows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A receiver that does not answer is waited for so long, in milliseconds.
    pub away_ms: u64,
    /// Longest body that is posted.
    pub bytes: usize,
}

/// A tenant's URL.
type Key = (TenantId, String);

struct Shared {
    store: Store,
    handle: OnceLock<Handle>,
    poster: Poster,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    io: tokio::runtime::Handle,
    endpoints: DashMap<Key, mpsc::UnboundedSender<Lane>>,
    /// Lanes on their way to their endpoint, each once.
    queued: DashSet<Lane>,
    passing: Arc<Semaphore>,
    trials: Arc<Semaphore>,
}

/// The dispatcher. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<Shared>);

impl Dispatcher {
    /// One that does nothing before it is [connected](Self::connect).
    #[must_use]
    pub fn new(
        store: Store,
        poster: Poster,
        bounds: Bounds,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        io: tokio::runtime::Handle,
    ) -> Self {
        let (handle, endpoints, queued) = (OnceLock::new(), DashMap::new(), DashSet::new());
        let (passing, trials) = (Arc::new(Semaphore::new(PASSING)), Arc::new(Semaphore::new(TRIALS)));
        Self(Arc::new(Shared { store, handle, poster, bounds, clock, metrics, io, endpoints, queued, passing, trials }))
    }

    /// Begins, with what an earlier server left. To be called once the sessions are in the table.
    pub fn connect(&self, handle: Handle) {
        let _ = self.0.handle.set(handle);
        self.0.store.hear_lanes(Arc::new(self.clone()));
        let dispatcher = self.clone();
        self.0.io.spawn(async move {
            let mut look = tokio::time::interval(LOOK_EVERY);
            loop {
                look.tick().await;
                match dispatcher.0.store.waiting_lanes().await {
                    Ok(lanes) => lanes.into_iter().for_each(|lane| dispatcher.ring(lane)),
                    Err(error) => tracing::debug!(%error, "lanes are looked for later"),
                }
            }
        });
    }

    /// Posts once what the session's status is now, and answers what came of it and how many milliseconds it took; `None` when
    /// there is no room for it. Nothing is stored.
    pub async fn try_out(&self, seen: Seen, hook: Hook) -> Option<(Answer, u64)> {
        let shared = Arc::clone(&self.0);
        let place = Arc::clone(&shared.trials).try_acquire_owned().ok()?;
        // Where all posts are made: connections are shared, and whoever asked may go away.
        let trial = self.0.io.spawn(async move {
            let _place = place;
            let (at_ms, begun, view) = (shared.clock.unix_ms(), shared.clock.now(), &seen.view);
            let change = StatusChange { status: view.status, history: view.history.clone(), exit: view.exit.clone() };
            let told = Told { seq: None, id: event_id(), at_ms, kind: EventKind::Status(change) };
            let body = endpoint::body(&seen, told, "session.status")?;
            let answer = shared.poster.post(Some(seen.spec.tenant), &hook, body, at_ms).await;
            Some((answer, shared.clock.now().saturating_sub(begun)))
        });
        trial.await.ok()?
    }
}

impl LaneBell for Dispatcher {
    fn ring(&self, lane: Lane) {
        if !self.0.queued.insert(lane) {
            return;
        }
        let hooks = self.0.handle.get().and_then(|handle| handle.hooks(lane.key));
        // Events of a webhook that is not in the config any more are set aside, at an endpoint without a URL.
        let url = hooks.and_then(|hooks| Some(hooks.get(lane.hook)?.url.clone())).unwrap_or_default();
        let key = (lane.key.tenant, url);
        let line = self.0.endpoints.entry(key.clone()).or_insert_with(|| {
            let (line, inbox) = mpsc::unbounded_channel();
            self.0.io.spawn(Endpoint::new(Arc::clone(&self.0), key, inbox).run());
            line
        });
        let _ = line.send(lane);
    }
}

impl Shared {
    /// Takes an endpoint that has nothing to do out of the table; false when something is on its way to it.
    fn closes(&self, key: &Key, inbox: &mpsc::UnboundedReceiver<Lane>) -> bool {
        self.endpoints.remove_if(key, |_, _| inbox.is_empty()).is_some()
    }
}

impl EventSink for Dispatcher {
    /// Tells of what is never stored, if there is room.
    fn publish(&self, event: Event) {
        if event.seq.is_some() || !matches!(event.kind, EventKind::Presence { .. }) {
            return;
        }
        let names = event.kind.names();
        let Some(hooks) = self.0.handle.get().and_then(|handle| handle.hooks(event.key)) else { return };
        for (hook, name) in hooks.told(names) {
            let Ok(place) = Arc::clone(&self.0.passing).try_acquire_owned() else {
                self.0.metrics.webhook("left_out");
                continue;
            };
            let (shared, event, hooks) = (Arc::clone(&self.0), event.clone(), Arc::clone(&hooks));
            self.0.io.spawn(async move {
                let _place = place;
                let seen = shared.handle.get().and_then(|handle| handle.hooked(event.key));
                let told = Told { seq: None, id: event.id, at_ms: event.at_ms, kind: event.kind };
                let body = seen.and_then(|(seen, _)| endpoint::body(&seen, told, name));
                if let (Some(hook), Some(body)) = (hooks.get(hook), body) {
                    let _ = shared.poster.post(Some(event.key.tenant), hook, body, shared.clock.unix_ms()).await;
                }
            });
        }
    }
}
