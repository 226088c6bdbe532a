//! Alerts: what an operator should hear of at once, by a line in the log and a signed webhook; each kind once in a while.

use crate::metrics::Metrics;
use crate::webhook::post::{Answer, Poster};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wardroom_actors::domain::webhook::Hook;
use wardroom_actors::ports::clock::Clock;

/// Tries to tell of one, and how long is waited after the first; each time twice as long.
const TRIES: u32 = 5;
const FIRST: Duration = Duration::from_secs(1);

/// When a kind may be told of again, and how often it came since it was.
#[derive(Default)]
struct Told {
    until: u64,
    untold: u64,
}

/// Who alerts.
pub struct Alarm {
    hook: Option<Hook>,
    poster: Poster,
    window_ms: u64,
    told: Mutex<HashMap<&'static str, Told>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    io: tokio::runtime::Handle,
}

impl Alarm {
    /// One that tells `hook`, and of each kind once in `window_s`.
    #[must_use]
    pub fn new(
        hook: Option<Hook>,
        poster: Poster,
        window_s: u32,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        io: tokio::runtime::Handle,
    ) -> Self {
        let window_ms = u64::from(window_s).saturating_mul(1000);
        Self { hook, poster, window_ms, told: Mutex::default(), clock, metrics, io }
    }

    /// Something happened; `about` says to whom, or from where.
    pub fn raise(self: &Arc<Self>, kind: &'static str, severity: &'static str, about: String) {
        let now = self.clock.now();
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(kind).or_default();
        if now < told.until {
            told.untold += 1;
            return;
        }
        told.until = now.saturating_add(self.window_ms);
        let untold = std::mem::take(&mut told.untold);
        drop(all);
        tracing::error!(kind, severity, about, since_the_last = untold, "alert");
        let Some(hook) = self.hook.clone() else { return };
        let body = json!({
            "event": "security.alert", "timestamp": self.clock.unix_ms(),
            "payload": {"kind": kind, "severity": severity, "about": about, "sinceTheLast": untold},
        });
        let alarm = Arc::clone(self);
        self.io.spawn(async move { alarm.tell(&hook, body.to_string()).await });
    }

    async fn tell(&self, hook: &Hook, body: String) {
        for n in 0..TRIES {
            if let Answer::Taken = self.poster.post(None, hook, body.clone(), self.clock.unix_ms()).await {
                self.metrics.alerted("told");
                return;
            }
            tokio::time::sleep(FIRST * 2_u32.pow(n)).await;
        }
        self.metrics.alerted("lost");
        tracing::error!("an alert could not be told: its webhook did not take it");
    }
}
