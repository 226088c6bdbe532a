//! Alerts: what an operator should hear of at once, by a line in the log and a signed webhook; each kind once in a while. All of it is
//! recorded as well.

use super::audit::Auditor;
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
    auditor: Arc<Auditor>,
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
        auditor: Arc<Auditor>,
        io: tokio::runtime::Handle,
    ) -> Self {
        let window_ms = u64::from(window_s).saturating_mul(1000);
        Self { hook, poster, window_ms, told: Mutex::default(), clock, metrics, auditor, io }
    }

    /// Something happened; `about` says to whom, or from where.
    pub fn raise(self: &Arc<Self>, kind: &'static str, severity: &'static str, about: String) {
        self.auditor.alerted(&format!("security: {kind}"), about.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Egress, provide_tls};
    use crate::store::testing;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use wardroom_actors::testing::SharedClock;

    /// Answers the first with a 500 and all others with a 200; tells the payloads that it was posted.
    async fn receiver() -> (String, mpsc::UnboundedReceiver<Value>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for status in std::iter::once(500).chain(std::iter::repeat(200)) {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = vec![];
                let body = loop {
                    stream.read_buf(&mut read).await.unwrap();
                    let text = String::from_utf8_lossy(&read);
                    let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
                    if let Some(body) = body.and_then(|body| serde_json::from_str::<Value>(body).ok()) {
                        break body;
                    }
                };
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = tell.send(body["payload"].clone());
            }
        });
        (url, told)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_kind_is_told_once_in_a_while_with_how_often_it_came() {
        provide_tls();
        let (clock, metrics) = (Arc::new(SharedClock::default()), Arc::new(Metrics::new().unwrap()));
        let store = testing::store(Arc::clone(&clock) as _).await;
        let io = tokio::runtime::Handle::current();
        let (same, counted) = (Arc::clone(&clock), Arc::clone(&metrics));
        let auditor = Auditor::start(store.clone(), same, counted, &io);
        let (url, mut told) = receiver().await;
        let hook = serde_json::from_value(json!({"url": url})).unwrap();
        let poster = Poster::new(Arc::new(Egress::new(&[], &[], true)), Duration::from_secs(5)).unwrap();
        let (same, recorded) = (Arc::clone(&clock), Arc::clone(&auditor));
        let alarm = Arc::new(Alarm::new(Some(hook), poster, 600, same, metrics, recorded, io));

        let mut next = async || (told.recv().await.unwrap(), told.is_empty());
        let about = |about: &str, kind: &str, before: u32| {
            (json!({"kind": kind, "severity": "high", "about": about, "sinceTheLast": before}), true)
        };
        for n in 0..3 {
            alarm.raise("key_guessing", "high", format!("address {n}"));
        }
        let first = about("address 0", "key_guessing", 0);
        assert_eq!(next().await, first, "it is answered with a 500");
        assert_eq!(next().await, first, "so it is told again");
        alarm.raise("credential_stuffing", "high", "50 addresses".to_owned());
        assert_eq!(next().await, about("50 addresses", "credential_stuffing", 0), "another kind has its own window");
        clock.0.advance(599_999);
        alarm.raise("key_guessing", "high", "address 3".to_owned());
        clock.0.advance(1);
        alarm.raise("key_guessing", "high", "address 4".to_owned());
        assert_eq!(next().await, about("address 4", "key_guessing", 3));

        // All of it is recorded.
        auditor.close().await;
        let links = store.audited(crate::store::repo::own::SERVER.0, None, 100).await.unwrap();
        let guessed = links.iter().filter(|link| link.record.contains("security: key_guessing"));
        assert_eq!((links.len(), guessed.count()), (6, 5), "{links:?}");
    }
}
