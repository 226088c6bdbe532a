//! Prometheus metrics: a projection of the event stream and of the live tables. Every name stands in this file; labels come
//! from closed sets and never carry a tenant, a session, a chat, an address or a user.

use prometheus::{Encoder, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::session::Status;
use wardroom_actors::handle::Handle;
use wardroom_actors::ports::journal::EventSink;
use wardroom_actors::supervise::Exit;

/// All metrics of the server.
pub struct Metrics {
    registry: Registry,
    events: IntCounterVec,
    messages: IntCounterVec,
    exits: IntCounterVec,
    panics: IntCounterVec,
    requests: IntCounterVec,
    sessions: IntGaugeVec,
    workers: IntGauge,
    sockets: IntGauge,
    evicted: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let events = counters("wardroom_events_total", "Events of all sessions.", &["kind"])?;
        let messages = counters("wardroom_messages_total", "Messages recorded.", &["direction"])?;
        let exits = counters("wardroom_driver_exits_total", "Ends of session drivers.", &["reason"])?;
        let panics = counters("wardroom_actor_panics_total", "Panics that were contained.", &["actor"])?;
        let requests = counters("wardroom_http_requests_total", "Requests answered.", &["class"])?;
        let evicted = counters("wardroom_sockets_evicted_total", "Sockets closed by the watchdog.", &["cause"])?;
        let sessions = IntGaugeVec::new(Opts::new("wardroom_sessions", "Sessions by status."), &["status"])?;
        registry.register(Box::new(sessions.clone()))?;
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let workers = gauge("wardroom_workers", "Worker slots in use, warm spares included.")?;
        let sockets = gauge("wardroom_sockets", "Open event sockets.")?;
        Ok(Self { registry, events, messages, exits, panics, requests, sessions, workers, sockets, evicted })
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self, handle: &Handle) -> String {
        for (status, count) in handle.census() {
            self.sessions.with_label_values(&[status.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.workers.set(i64::try_from(handle.workers()).unwrap_or(i64::MAX));
        let mut text = vec![];
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// A supervised actor ended.
    pub fn actor_exit(&self, actor: &'static str, exit: &Exit) {
        if matches!(exit, Exit::Panicked(_)) {
            self.panics.with_label_values(&[actor]).inc();
        }
    }

    /// A request was answered.
    pub fn request(&self, status: u16) {
        let class = match status {
            0..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[class]).inc();
    }

    /// A socket was opened (1) or closed (-1).
    pub fn socket(&self, change: i64) {
        self.sockets.add(change);
    }

    /// The watchdog closed a socket.
    pub fn evicted(&self, cause: &'static str) {
        self.evicted.with_label_values(&[cause]).inc();
    }
}

impl EventSink for Metrics {
    fn publish(&self, event: Event) {
        let kind = match &event.kind {
            EventKind::Status(change) => {
                if let (Some(exit), true) = (&change.exit, change.status != Status::Working) {
                    self.exits.with_label_values(&[exit.code()]).inc();
                }
                "status"
            }
            EventKind::Message(message) => {
                let direction = if message.from_me { "out" } else { "in" };
                self.messages.with_label_values(&[direction]).inc();
                "message"
            }
            EventKind::Ack(_) => "ack",
            EventKind::Presence { .. } => "presence",
            EventKind::ConnectionFailed { .. } => "connection_failed",
        };
        self.events.with_label_values(&[kind]).inc();
    }
}
