//! Prometheus metrics: a projection of the event stream and of the live tables. Every name stands in this file; labels come
//! from closed sets and never carry a tenant, a session, a chat, an address or a user.

use crate::health::Health;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use std::time::Duration;
use tikv_jemalloc_ctl::stats;
use wardroom_actors::domain::event::{Event, EventKind, Step};
use wardroom_actors::policy::breaker::State;
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
    connections: IntGauge,
    sockets: IntGauge,
    evicted: IntCounterVec,
    restarts: IntCounterVec,
    recovery: HistogramVec,
    breaker: IntCounterVec,
    refusals: IntCounterVec,
    worker_memory: IntGauge,
    worker_cpu: Gauge,
    worker_processes: IntGauge,
    chats: IntGauge,
    allocator: IntGaugeVec,
    journal_lag: Gauge,
    arbiter_delay: GaugeVec,
    webhooks: IntCounterVec,
    webhook_breakers: IntGauge,
    stays: IntGauge,
    security: IntCounterVec,
    failed_logins: IntCounterVec,
    audited: IntCounterVec,
    alerts: IntCounterVec,
    auth_duration: Histogram,
}

/// Buckets of the time that signing in takes, in seconds: one password, and a queue of them.
const AUTH: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// Buckets of the recovery time, in seconds: from one quick restart to the longest open breaker.
const RECOVERY: &[f64] = &[0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

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
        let restarts = counters("wardroom_restarts_total", "Drivers started after a failure.", &["cause"])?;
        let breaker = counters("wardroom_breaker_transitions_total", "Changes of breakers.", &["to"])?;
        let refusals = counters("wardroom_refusals_total", "Requests refused for lack of room.", &["code"])?;
        let webhooks = counters("wardroom_webhook_deliveries_total", "Tries to tell webhooks.", &["outcome"])?;
        let security = counters(
            "wardroom_security_events_total",
            "Addresses and keys that were stopped.",
            &["event_type", "severity"],
        )?;
        let alerts = counters("wardroom_alerts_total", "Alerts that operators were told, or not.", &["outcome"])?;
        let audited = counters("wardroom_audit_records_total", "What was done, recorded or lost.", &["outcome"])?;
        let failed_logins = counters("wardroom_failed_logins_total", "People who were not let in.", &["reason"])?;
        let auth_duration = Histogram::with_opts(
            HistogramOpts::new("wardroom_auth_duration_seconds", "How long signing in takes.").buckets(AUTH.to_vec()),
        )?;
        registry.register(Box::new(auth_duration.clone()))?;
        let recovery = HistogramVec::new(
            HistogramOpts::new("wardroom_recovery_seconds", "From a lost connection to WORKING.")
                .buckets(RECOVERY.to_vec()),
            &["cause"],
        )?;
        registry.register(Box::new(recovery.clone()))?;
        let arbiter_delay = GaugeVec::new(
            Opts::new("wardroom_arbiter_delay_seconds", "How late a thread of actors is."),
            &["arbiter"],
        )?;
        registry.register(Box::new(arbiter_delay.clone()))?;
        let journal_lag = Gauge::new("wardroom_journal_lag_seconds", "Age of the oldest append not committed.")?;
        registry.register(Box::new(journal_lag.clone()))?;
        let worker_cpu = Gauge::new("wardroom_worker_cpu_cores", "CPU that all workers use.")?;
        registry.register(Box::new(worker_cpu.clone()))?;
        let sessions = IntGaugeVec::new(Opts::new("wardroom_sessions", "Sessions by status."), &["status"])?;
        registry.register(Box::new(sessions.clone()))?;
        let allocator = IntGaugeVec::new(Opts::new("wardroom_allocator_bytes", "The server's own memory."), &["kind"])?;
        registry.register(Box::new(allocator.clone()))?;
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let workers = gauge("wardroom_workers", "Worker slots in use, warm spares included.")?;
        let connections = gauge("wardroom_connections", "Connections of clients.")?;
        let sockets = gauge("wardroom_sockets", "Open event sockets.")?;
        let worker_memory = gauge("wardroom_worker_memory_bytes", "Memory that all workers use.")?;
        let worker_processes = gauge("wardroom_worker_processes", "Processes of all workers.")?;
        let webhook_breakers = gauge("wardroom_webhook_breakers_open", "Webhook receivers that do not answer.")?;
        let stays = gauge("wardroom_active_stays", "Sign-ins of people and keys that have not ended.")?;
        let chats = gauge("wardroom_chats_awake", "Chats whose actors are awake.")?;
        Ok(Self {
            registry,
            events,
            messages,
            exits,
            panics,
            requests,
            sessions,
            workers,
            connections,
            sockets,
            evicted,
            restarts,
            recovery,
            breaker,
            refusals,
            worker_memory,
            worker_cpu,
            worker_processes,
            chats,
            allocator,
            journal_lag,
            arbiter_delay,
            webhooks,
            webhook_breakers,
            stays,
            security,
            failed_logins,
            audited,
            alerts,
            auth_duration,
        })
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self, health: &Health) -> String {
        let handle = &health.handle;
        for (status, count) in handle.census() {
            self.sessions.with_label_values(&[status.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.workers.set(i64::try_from(handle.workers()).unwrap_or(i64::MAX));
        let (_, usage) = handle.usage();
        self.worker_memory.set(i64::try_from(usage.memory).unwrap_or(i64::MAX));
        self.worker_cpu.set(usage.cpu);
        self.worker_processes.set(i64::try_from(usage.processes).unwrap_or(i64::MAX));
        self.chats.set(i64::try_from(handle.chats_awake()).unwrap_or(i64::MAX));
        self.journal_lag.set(seconds(health.lag.ms(health.clock.now())));
        for (place, late) in handle.lateness().iter().enumerate() {
            self.arbiter_delay.with_label_values(&[place.to_string()]).set(seconds(late.now_ms));
        }
        let _ = tikv_jemalloc_ctl::epoch::advance();
        for (kind, bytes) in [("allocated", stats::allocated::read()), ("resident", stats::resident::read())] {
            let bytes = bytes.ok().and_then(|bytes| i64::try_from(bytes).ok());
            self.allocator.with_label_values(&[kind]).set(bytes.unwrap_or_default());
        }
        let mut text = vec![];
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// A webhook was tried: `taken`, `refused`, `away`, `dead` or `left_out`.
    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.with_label_values(&[outcome]).inc();
    }

    /// A webhook's breaker changed.
    pub fn webhook_breaker(&self, before: State, after: State) {
        let open = |state| i64::from(state != State::Closed);
        self.webhook_breakers.add(open(after) - open(before));
    }

    /// A supervised actor ended.
    pub fn actor_exit(&self, actor: &'static str, exit: &Exit) {
        if matches!(exit, Exit::Panicked(_)) {
            self.panics.with_label_values(&[actor]).inc();
        }
    }

    /// So many are signed in.
    pub fn stays(&self, count: u64) {
        self.stays.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Somebody was stopped.
    pub fn security(&self, event: &'static str, severity: &'static str) {
        self.security.with_label_values(&[event, severity]).inc();
    }

    /// An alert was told, or lost.
    pub fn alerted(&self, outcome: &'static str) {
        self.alerts.with_label_values(&[outcome]).inc();
    }

    /// So many records of what was done stand.
    pub fn audited(&self, records: u64) {
        self.audited.with_label_values(&["recorded"]).inc_by(records);
    }

    /// So many are lost.
    pub fn audit_lost(&self, records: u64) {
        self.audited.with_label_values(&["lost"]).inc_by(records);
    }

    /// Somebody was not let in.
    pub fn login_failed(&self, reason: &'static str) {
        self.failed_logins.with_label_values(&[reason]).inc();
    }

    /// Somebody showed who they are, and was answered after so many milliseconds.
    pub fn signed_in_after(&self, ms: u64) {
        self.auth_duration.observe(Duration::from_millis(ms).as_secs_f64());
    }

    /// A request was refused for lack of room; the code is one of the error table.
    pub fn refused(&self, code: &'static str) {
        self.refusals.with_label_values(&[code]).inc();
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

    /// A client has connected (1) or gone (-1).
    pub fn connections(&self, change: i64) {
        self.connections.add(change);
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

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

impl Metrics {
    fn step(&self, step: &Step) {
        match step {
            Step::Started { cause: Some(cause), .. } => self.restarts.with_label_values(&[cause]).inc(),
            Step::Ready { recovered: Some(recovered) } => {
                self.recovery.with_label_values(&[&recovered.cause]).observe(seconds(recovered.ms));
            }
            Step::Ended { exit, .. } => self.exits.with_label_values(&[exit.code()]).inc(),
            Step::Breaker { state } => self.breaker.with_label_values(&[state]).inc(),
            Step::Started { .. } | Step::Ready { .. } | Step::Connecting | Step::ActorPanicked { .. } => {}
        }
    }
}

impl EventSink for Metrics {
    fn publish(&self, event: Event) {
        let kind = match &event.kind {
            EventKind::Status(_) => "status",
            EventKind::Supervised(step) => {
                self.step(step);
                "supervision"
            }
            EventKind::Replay { .. } => "replay",
            EventKind::Message(message) => {
                let direction = if message.from_me { "out" } else { "in" };
                self.messages.with_label_values(&[direction]).inc();
                "message"
            }
            EventKind::Ack(_) => "ack",
            EventKind::Change(_) => "change",
            EventKind::Notice(_) => "notice",
            EventKind::Presence { .. } => "presence",
            EventKind::ConnectionFailed { .. } => "connection_failed",
        };
        self.events.with_label_values(&[kind]).inc();
    }
}
