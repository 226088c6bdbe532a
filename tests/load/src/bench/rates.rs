//! What the whole server does at a fixed rate. Every request and every message has its moment, and its latency counts from there,
//! so that a server that stands still cannot hide behind a client that waits for it.

use super::resident;
use super::served::{self, Score, play};
use crate::house::{Answer, House, KEY, until};
use crate::postgres::Postgres;
use crate::receiver::Receiver;
use crate::report::progress;
use crate::scenarios::link;
use crate::traffic::{histogram, micros, now};
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// What is timed; the first seconds are not.
const TIME: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(2);

/// What came of a rate.
pub struct Rate {
    /// Per second, of what was timed.
    pub per_second: f64,
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// Requests that were not answered well.
    pub failed: u64,
}

async fn sessions(house: &House, count: usize, config: &serde_json::Value) {
    let create = async |n: usize| {
        house.ask("POST", "/api/sessions", Some(json!({"name": format!("s{n}"), "config": config}))).await.ok();
    };
    futures_util::stream::iter(0..count).for_each_concurrent(8, create).await;
    for n in 0..count {
        house.is(&format!("s{n}"), "WORKING").await;
    }
}

/// Messages that come in, until a webhook's receiver has them.
pub async fn webhooks(per_second: u32, postgres: bool) -> Rate {
    const SESSIONS: u32 = 20;
    let database = if postgres { Some(Postgres::durable().await) } else { None };
    let url = database.as_ref().map(Postgres::url);
    let settings: Vec<_> = url.iter().map(|url| ("WARDROOM__DATABASE__URL", url.as_str())).collect();
    let house = served::house(&settings).await;
    let receiver = Receiver::open(0).await;
    let hook = json!({"url": receiver.url(), "events": ["message"]});
    sessions(&house, SESSIONS as usize, &json!({"network": "simulator", "webhooks": [hook]})).await;
    let seconds = u32::try_from((WARM_UP + TIME).as_secs()).unwrap();
    let count = per_second * seconds / SESSIONS;
    let begin = now() + 1_000_000;
    receiver.time_from(begin + u64::try_from(WARM_UP.as_micros()).unwrap());
    play(&house, Score { begin, per_second: f64::from(per_second) / f64::from(SESSIONS), count, chats: 25 });
    // The same id in each session: what is told is counted by event.
    let all = u64::from(count * SESSIONS);
    until("all are told", Duration::from_secs(120), || std::future::ready((receiver.timed().0 >= all).then_some(())))
        .await;
    let (_, latency, last) = receiver.timed();
    let timed = Duration::from_micros(last - begin) - WARM_UP;
    Rate { per_second: latency.len() as f64 / timed.as_secs_f64(), latency, failed: 0 }
}

/// Requests at their moments; answers how long each took until its answer was read, and how many failed.
async fn offer<F: Future<Output = bool> + Send + 'static>(per_second: u32, ask: impl Fn(u32) -> F) -> Rate {
    let (begun, mut asked) = (Instant::now(), JoinSet::new());
    let result = Arc::new(Mutex::new((histogram(), 0_u64)));
    let count = per_second * u32::try_from((WARM_UP + TIME).as_secs()).unwrap();
    let mut n = 0;
    while n < count {
        let due_now = u32::try_from(begun.elapsed().as_micros() * u128::from(per_second) / 1_000_000).unwrap();
        while n < due_now.min(count) {
            let due = begun + Duration::from_secs_f64(f64::from(n) / f64::from(per_second));
            let (one, result) = (ask(n), Arc::clone(&result));
            asked.spawn(async move {
                let taken = one.await;
                let mut result = result.lock().unwrap();
                if !taken {
                    result.1 += 1;
                } else if due >= begun + WARM_UP {
                    result.0.record(micros(due.elapsed())).unwrap();
                }
            });
            n += 1;
        }
        while asked.try_join_next().is_some() {}
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while asked.join_next().await.is_some() {}
    let timed = begun.elapsed() - WARM_UP;
    let (latency, failed) = std::mem::replace(&mut *result.lock().unwrap(), (histogram(), 0));
    Rate { per_second: latency.len() as f64 / timed.as_secs_f64(), latency, failed }
}

/// Whether a request is answered well, to the last byte.
async fn good(request: reqwest::RequestBuilder) -> bool {
    match request.send().await {
        Ok(answer) if answer.status().is_success() => answer.bytes().await.is_ok(),
        _ => false,
    }
}

/// `POST /api/sendText`, answered at the commit; what is accepted goes on through the engine into the journal, or stays.
pub async fn texts(per_second: u32, goes_on: bool) -> Rate {
    const SESSIONS: u32 = 100;
    let mut settings = vec![("WARDROOM__LIMITS__OUTBOX", "1000000")];
    settings.extend((!goes_on).then_some((served::IDLE, "1")));
    let house = served::house(&settings).await;
    sessions(&house, SESSIONS as usize, &json!({"network": "simulator"})).await;
    let (client, url) = (reqwest::Client::new(), format!("http://127.0.0.1:{}/api/sendText", house.http));
    offer(per_second, move |n| {
        let chat = format!("49{}@c.us", n / SESSIONS % 50);
        let body = json!({"session": format!("s{}", n % SESSIONS), "chatId": chat, "text": format!("text {n}")});
        let request = client.post(&url).header("x-api-key", KEY).header("prefer", "respond-async").json(&body);
        good(request)
    })
    .await
}

/// `GET /api/sessions/{session}`.
pub async fn statuses(per_second: u32) -> Rate {
    const SESSIONS: u32 = 100;
    let house = served::house(&[]).await;
    sessions(&house, SESSIONS as usize, &json!({"network": "simulator"})).await;
    let (client, http) = (reqwest::Client::new(), house.http);
    offer(per_second, move |n| {
        let url = format!("http://127.0.0.1:{http}/api/sessions/s{}", n % SESSIONS);
        let request = client.get(url).header("x-api-key", KEY);
        good(request)
    })
    .await
}

/// Each of so many sockets hears every message.
pub async fn sockets(count: usize, per_second: u32) -> Rate {
    // Both ends of each socket.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wide = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wide).unwrap();
    let house = served::house(&[]).await;
    sessions(&house, 1, &json!({"network": "simulator"})).await;
    let begin = Arc::new(AtomicU64::new(u64::MAX));
    let (http, heard, latency) = (house.http, Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(histogram())));
    let mut listeners = JoinSet::new();
    for _ in 0..count {
        let mut request = format!("ws://127.0.0.1:{http}/ws?events=message").into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", KEY.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let (begin, heard, latency) = (Arc::clone(&begin), Arc::clone(&heard), Arc::clone(&latency));
        listeners.spawn(async move {
            while let Some(Ok(frame)) = socket.next().await {
                let text = frame.to_text().unwrap_or_default();
                let Some((_, rest)) = text.split_once("\"due ") else { continue };
                let due: u64 = rest.split('"').next().unwrap().parse().unwrap();
                if due >= begin.load(Ordering::Acquire) {
                    latency.lock().unwrap().record(now().saturating_sub(due).max(1)).unwrap();
                }
                heard.fetch_add(1, Ordering::AcqRel);
            }
        });
    }
    let messages = per_second * u32::try_from((WARM_UP + TIME).as_secs()).unwrap();
    let start = now() + 1_000_000;
    begin.store(start + u64::try_from(WARM_UP.as_micros()).unwrap(), Ordering::Release);
    play(&house, Score { begin: start, per_second: f64::from(per_second), count: messages, chats: 25 });
    let all = count as u64 * u64::from(messages);
    until("every socket has heard all", Duration::from_secs(120), || {
        std::future::ready((heard.load(Ordering::Acquire) >= all).then_some(()))
    })
    .await;
    let timed = Duration::from_micros(now() - start) - WARM_UP;
    listeners.shutdown().await;
    let latency = latency.lock().unwrap().clone();
    Rate { per_second: latency.len() as f64 / timed.as_secs_f64(), latency, failed: 0 }
}

/// How much the server's resident memory grew while something was done.
async fn growth<T>(pid: u32, work: impl Future<Output = T>) -> (T, u64) {
    let before = resident(pid);
    let (peak, ended) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
    let (seen, over) = (Arc::clone(&peak), Arc::clone(&ended));
    let watching = std::thread::spawn(move || {
        while !over.load(Ordering::Acquire) {
            seen.fetch_max(resident(pid), Ordering::AcqRel);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let done = work.await;
    ended.store(true, Ordering::Release);
    watching.join().unwrap();
    (done, peak.load(Ordering::Acquire) - before)
}

/// A file of so many bytes, sent from a URL, and another, received and downloaded, through a real browser; answers the bytes that
/// the server's resident memory grew by in each direction.
pub async fn file(bytes: usize) -> (u64, u64) {
    let most = (bytes + (1 << 20)).to_string();
    let settings = [("WARDROOM__MEDIA__MAX_BYTES", most.as_str()), ("WARDROOM__POOL__WARM_SPARES", "0")];
    let house = House::with(&settings, &[]).await;
    let player = link(&house, 1).await.remove(0);
    // What is loaded once is no growth.
    for size in [1 << 20, bytes] {
        progress(&format!("a file of {} MB", size >> 20));
        let (url, serving) = serve_bytes(size).await;
        let (_, out) = growth(house.pid(), send_file(&house, &player.session, &player.other, &url)).await;
        serving.abort();
        let (received, inwards) = growth(house.pid(), receive_file(&house, &player, size)).await;
        assert_eq!(received, size, "bytes that came");
        if size == bytes {
            return (out, inwards);
        }
    }
    unreachable!()
}

async fn send_file(house: &House, session: &str, other: &str, url: &str) {
    let file = json!({"url": url, "mimetype": "application/octet-stream", "filename": "noise.bin"});
    let chat = format!("{other}@c.us");
    let before = house.network.messages(other).await.len();
    let sent = house.ask("POST", "/api/sendFile", Some(json!({"session": session, "chatId": chat, "file": file})));
    sent.await.ok();
    until("the phone has the file", Duration::from_secs(180), || async {
        (house.network.messages(other).await.len() > before).then_some(())
    })
    .await;
}

async fn receive_file(house: &House, player: &crate::referee::Player, size: usize) -> usize {
    let (other, number, network) = (&player.other, &player.number, house.network.port);
    let url = format!("http://127.0.0.1:{network}/api/phones/{other}/files?to={number}&kind=document");
    let request = reqwest::Client::new().post(url).header("content-type", "application/octet-stream");
    let id = Answer::of(request.body(vec![size as u8 ^ 9; size]).send().await.unwrap()).await.ok();
    let id = id["id"].as_str().unwrap();
    let url = until("the file is here", Duration::from_secs(180), || async {
        let all = house.messages(&player.session, &format!("{other}@c.us")).await;
        let one = all.into_iter().find(|one| one["id"].as_str().is_some_and(|full| full.ends_with(id)))?;
        Some(one["media"]["url"].as_str()?.to_owned())
    })
    .await;
    let answer = reqwest::Client::new().get(url).header("x-api-key", KEY).send().await.unwrap();
    assert!(answer.status().is_success());
    let mut body = answer.bytes_stream();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        length += chunk.unwrap().len();
    }
    length
}

/// Somebody's file server.
async fn serve_bytes(size: usize) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/noise.bin", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk: Vec<u8> = (0..1 << 16).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            for begun in (0..size).step_by(chunk.len()) {
                if stream.write_all(&chunk[..chunk.len().min(size - begun)]).await.is_err() {
                    break;
                }
            }
        }
    });
    (url, serving)
}
