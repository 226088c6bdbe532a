//! Messages at a fixed rate, in both directions. The load is open: each message has its moment, whatever became of the ones
//! before it, and its latency counts from that moment, so that a server that stands still cannot hide behind a client that waits
//! for it (no coordinated omission).

use crate::house::House;
use crate::referee::{Fate, Player, Sent};
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// How much, and of what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who plays; messages go round.
    pub players: Vec<Player>,
    /// Messages per second in each direction.
    pub per_second: f64,
    /// Begins every nonce: one run's messages are not another's.
    pub name: String,
}

/// What a run of traffic brought.
#[derive(Default)]
pub struct Outcome {
    /// Everything that was sent, for the referee.
    pub sent: Vec<Sent>,
    /// Requests that were refused with 429 or 503.
    pub refused: usize,
    /// From the moment of a message at a phone to its event on the socket, in microseconds, by player.
    pub inbound: Vec<Histogram<u64>>,
    /// From the moment of a request to its answer, in microseconds.
    pub outbound: Option<Histogram<u64>>,
}

impl Outcome {
    /// All players' inbound latencies together.
    pub fn all_inbound(&self) -> Histogram<u64> {
        let mut all = histogram();
        for one in &self.inbound {
            all.add(one).unwrap();
        }
        all
    }
}

/// A histogram of microseconds, up to ten minutes, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).unwrap()
}

/// Microseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// At least one, at most ten minutes.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, 600_000_000)
}

/// Traffic that runs until it is stopped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Outcome>,
}

/// What the tasks of a run write to.
struct Shared {
    players: Vec<Player>,
    /// Messages on their way in, by nonce: whose they are and when they were due.
    due: Mutex<HashMap<String, (usize, Instant)>>,
    outcome: Mutex<Outcome>,
    stop: Arc<AtomicBool>,
}

impl Traffic {
    /// Starts it.
    pub fn start(house: &House, plan: Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (http, network) = (house.http, house.network.port);
        let task = tokio::spawn(run(http, network, plan, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Sends nothing more, waits for the answers that are still due, and tells what was sent.
    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Release);
        self.task.await.unwrap()
    }

    /// Runs it for so long.
    pub async fn run(house: &House, plan: Plan, time: Duration) -> Outcome {
        let traffic = Self::start(house, plan);
        tokio::time::sleep(time).await;
        traffic.stop().await
    }
}

async fn run(http: u16, network: u16, plan: Plan, stop: Arc<AtomicBool>) -> Outcome {
    let outcome = Outcome {
        inbound: plan.players.iter().map(|_| histogram()).collect(),
        outbound: Some(histogram()),
        ..Outcome::default()
    };
    let shared =
        Arc::new(Shared { players: plan.players.clone(), due: Mutex::default(), outcome: Mutex::new(outcome), stop });
    let listeners: Vec<_> =
        (0..plan.players.len()).map(|place| tokio::spawn(listen(http, Arc::clone(&shared), place))).collect();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let (begun, mut sends) = (Instant::now(), JoinSet::new());
    let pause = Duration::from_secs_f64(1.0 / plan.per_second);
    for n in 0_u32.. {
        let due = begun + pause * n;
        tokio::time::sleep_until(due.into()).await;
        if shared.stop.load(Ordering::Acquire) {
            break;
        }
        let place = n as usize % plan.players.len();
        let name = &plan.name;
        let (inward, outward) = (format!("{name}-in-{n}"), format!("{name}-out-{n}"));
        sends.spawn(send_in(client.clone(), network, Arc::clone(&shared), place, inward, due));
        sends.spawn(send_out(client.clone(), http, Arc::clone(&shared), place, outward, due));
        while sends.try_join_next().is_some() {}
    }
    while sends.join_next().await.is_some() {}
    // What is still on its way may take as long as a restart; what does not come is the referee's business.
    let patience = Instant::now();
    while !shared.due.lock().unwrap().is_empty() && patience.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for listener in listeners {
        listener.abort();
        let _ = listener.await;
    }
    std::mem::take(&mut *shared.outcome.lock().unwrap())
}

async fn send_in(
    client: reqwest::Client,
    network: u16,
    shared: Arc<Shared>,
    place: usize,
    nonce: String,
    due: Instant,
) {
    let player = &shared.players[place];
    shared.due.lock().unwrap().insert(nonce.clone(), (place, due));
    let url = format!("http://127.0.0.1:{network}/api/phones/{}/messages", player.other);
    let body = json!({"to": player.number, "text": nonce});
    let accepted = client.post(url).json(&body).send().await.is_ok_and(|answer| answer.status().is_success());
    let fate = if accepted { Fate::Accepted } else { Fate::Unknown };
    shared.outcome.lock().unwrap().sent.push(Sent { player: place, nonce, inbound: true, fate });
}

async fn send_out(client: reqwest::Client, http: u16, shared: Arc<Shared>, place: usize, nonce: String, due: Instant) {
    let player = &shared.players[place];
    let body = json!({"session": player.session, "chatId": format!("{}@c.us", player.other), "text": nonce});
    let request = client.post(format!("http://127.0.0.1:{http}/api/sendText")).json(&body);
    let answer = request.header("x-api-key", &player.key).header("prefer", "respond-async").send().await;
    let answer = match answer {
        // A session that was restarted is not there yet when a request has waited for it.
        Ok(answer) if answer.status() == 422 => {
            let body: Value = answer.json().await.unwrap_or_default();
            assert_eq!(body["code"], "session_status", "{body}");
            Ok(422)
        }
        answer => answer.map(|answer| answer.status().as_u16()),
    };
    let mut outcome = shared.outcome.lock().unwrap();
    let fate = match answer {
        Ok(200..=299) => {
            outcome.outbound.as_mut().unwrap().record(micros(due.elapsed())).unwrap();
            Fate::Accepted
        }
        // A commit whose answer was lost is told as "try again"; it may have happened.
        Ok(422 | 429 | 503) => {
            outcome.refused += 1;
            Fate::Unknown
        }
        Ok(status) => panic!("sendText answers {status}"),
        Err(_) => Fate::Unknown,
    };
    outcome.sent.push(Sent { player: place, nonce, inbound: false, fate });
}

/// Hears a player's events, over as many connections as it takes, and misses none thanks to `since`.
async fn listen(http: u16, shared: Arc<Shared>, place: usize) {
    let player = shared.players[place].clone();
    let mut cursor: Option<String> = None;
    loop {
        let since = cursor.as_ref().map(|cursor| format!("&since={cursor}")).unwrap_or_default();
        let url = format!("ws://127.0.0.1:{http}/ws?session={}&events=message{since}", player.session);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", player.key.parse().unwrap());
        if let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await {
            while let Some(Ok(frame)) = socket.next().await {
                let Ok(event) = frame.to_text().map(|text| serde_json::from_str::<Value>(text).unwrap_or_default())
                else {
                    continue;
                };
                if let Some(now) = event["cursor"].as_str() {
                    cursor = Some(now.to_owned());
                }
                let nonce = event["payload"]["body"].as_str().unwrap_or_default();
                let due = shared.due.lock().unwrap().remove(nonce);
                if let Some((player, due)) = due {
                    shared.outcome.lock().unwrap().inbound[player].record(micros(due.elapsed())).unwrap();
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
