//! Somebody's webhook receiver, kind or not.

use crate::traffic::{histogram, now};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Manners {
    /// Takes it.
    Kind,
    /// Answers with this status.
    Answer(u16),
    /// Answers so, but takes what is of this chat.
    AnswerBut(u16, String),
    /// Never answers.
    Hang,
    /// Answers badly, hangs up, resets the connection, is slow or takes it, as the dice fall.
    Moody(u64),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// As it came.
    pub body: String,
    /// Whether it was taken.
    pub taken: bool,
}

impl Heard {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Ids of events by the id of the message that they tell of.
pub type Told = HashMap<String, HashSet<String>>;

/// What came.
#[derive(Default)]
struct Log {
    heard: Vec<Heard>,
    told: Told,
    order: Vec<(String, String)>,
    /// Messages that said when they were due.
    counted: u64,
    /// How late those were that were due after `time_from`.
    late: Option<Histogram<u64>>,
    time_from: u64,
    /// When the last of them came.
    last: u64,
}

impl Log {
    fn add(&mut self, one: Heard) {
        let body: Value = serde_json::from_str(&one.body).unwrap_or_default();
        if let (true, Some(message), Some(event)) = (one.taken, body["payload"]["id"].as_str(), body["id"].as_str()) {
            self.told.entry(message.to_owned()).or_default().insert(event.to_owned());
            let text = |key: &str| body["payload"][key].as_str().unwrap_or_default().to_owned();
            self.order.push((text("from"), text("body")));
            if let Some(due) = text("body").strip_prefix("due ").and_then(|due| due.parse::<u64>().ok()) {
                self.counted += 1;
                self.last = now();
                if due >= self.time_from {
                    self.late.get_or_insert_with(histogram).record(self.last.saturating_sub(due).max(1)).unwrap();
                }
            }
        }
        // Long runs are counted, short ones are looked at.
        if self.heard.len() < WHOLE {
            self.heard.push(one);
        }
    }
}

/// Requests that are kept whole.
const WHOLE: usize = 1000;

/// The receiver; it ends when it is dropped.
pub struct Receiver {
    pub port: u16,
    log: Arc<Mutex<Log>>,
    manners: Arc<Mutex<Manners>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// Listens; 0 = on any port.
    pub async fn open(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (log, manners) = (Arc::<Mutex<Log>>::default(), Arc::new(Mutex::new(Manners::Kind)));
        let (hears, has) = (Arc::clone(&log), Arc::clone(&manners));
        let serving = tokio::spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { continue };
                guests.spawn(serve(stream, number, Arc::clone(&hears), Arc::clone(&has)));
                while guests.try_join_next().is_some() {}
            }
        });
        Self { port, log, manners, serving }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap() = manners;
    }

    /// The first requests.
    pub fn heard(&self) -> Vec<Heard> {
        self.log.lock().unwrap().heard.clone()
    }

    /// What was taken.
    pub fn told(&self) -> Told {
        self.log.lock().unwrap().told.clone()
    }

    /// What was taken, of events of this name.
    pub fn taken(&self, event: &str) -> Vec<Value> {
        let heard = self.heard();
        heard.iter().filter(|one| one.taken).map(Heard::json).filter(|body| body["event"] == event).collect()
    }

    /// Messages that are due from then on (microseconds since 1970) are timed.
    pub fn time_from(&self, moment: u64) {
        self.log.lock().unwrap().time_from = moment;
    }

    /// Messages that said when they were due; how late the timed ones were, in microseconds; and when the last one came.
    pub fn timed(&self) -> (u64, Histogram<u64>, u64) {
        let log = self.log.lock().unwrap();
        (log.counted, log.late.clone().unwrap_or_else(histogram), log.last)
    }

    /// Chats and texts of what was taken, in order.
    pub fn order(&self) -> Vec<(String, String)> {
        self.log.lock().unwrap().order.clone()
    }

    /// Requests so far, up to a thousand.
    pub fn count(&self) -> usize {
        self.log.lock().unwrap().heard.len()
    }
}

/// One connection, with as many requests as come over it.
async fn serve(stream: TcpStream, number: u64, log: Arc<Mutex<Log>>, manners: Arc<Mutex<Manners>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    for turn in 0_u64.. {
        let (mut headers, mut line) = (HashMap::new(), String::new());
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        loop {
            line.clear();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).unwrap();
        let now = manners.lock().unwrap().clone();
        let mut rng = StdRng::seed_from_u64(number << 16 | turn);
        let status = match now {
            Manners::Kind => 200,
            Manners::Answer(status) => status,
            Manners::AnswerBut(status, chat) => {
                let of_chat = serde_json::from_str::<Value>(&body).is_ok_and(|body| body["payload"]["from"] == chat);
                if of_chat { 200 } else { status }
            }
            Manners::Hang => 0,
            Manners::Moody(seed) => {
                rng = StdRng::seed_from_u64(seed ^ number << 16 ^ turn);
                match rng.random_range(0..100) {
                    0..10 => 500,
                    10..13 => return None,
                    13..15 => {
                        stream.get_ref().set_zero_linger().ok()?;
                        return None;
                    }
                    15..17 => 0,
                    _ => 200,
                }
            }
        };
        if matches!(manners.lock().unwrap().clone(), Manners::Moody(_)) && rng.random_range(0..10) == 0 {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        }
        log.lock().unwrap().add(Heard { headers, body, taken: (200..300).contains(&status) });
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let answer = format!("HTTP/1.1 {status} said\r\ncontent-length: 2\r\n\r\nok");
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
    None
}
