//! Many events for clients that do not keep up: one is cut off again and again and comes back with `since`, others do not read
//! at all and are cut off by the server.

use super::link;
use crate::bench::idle::entry;
use crate::bench::resident;
use crate::house::{House, KEY};
use crate::report::progress;
use futures_util::StreamExt;
use serde_json::Value;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use wardroom::clock::SystemClock;
use wardroom::store::repo::journal::JournalWriter;
use wardroom::store::{Options, Role, Store};
use wardroom::vault::{Kek, Vault};
use wardroom_actors::domain::event::Event;
use wardroom_actors::domain::ids::{ChatKey, NodeId};
use wardroom_actors::ports::journal::{EventSink, Journal, NudgeSink};
use wardroom_actors::ports::store::SessionStore;

/// What the clients saw.
pub struct Seen {
    /// Different events that the patient client heard, in order.
    pub heard: usize,
    /// Connections that it took.
    pub connections: usize,
    /// Every stalled client was cut off.
    pub evicted: bool,
    /// Bytes that the server's resident memory grew by, for each stalled client.
    pub growth: u64,
}

struct Nobody;

impl EventSink for Nobody {
    fn publish(&self, _: Event) {}
}

impl NudgeSink for Nobody {
    fn nudge(&self, _: ChatKey) {}
}

/// Clients that stall at the same time: what one of them costs stands out from what resident memory does by itself.
const STALLED: usize = 8;

/// Runs one after the other against so many recorded messages.
pub async fn run(events: usize) -> Seen {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    link(&house, 1).await;
    house.close().await;
    progress(&format!("recording {events} events"));
    record(&house, events, 1).await;
    house.open().await;
    house.is("s0", "WORKING").await;
    let http = house.http;
    let (mut heard, mut connections, mut cursor, mut last) = (0, 0, "j0".to_owned(), -1_i64);
    let begun = Instant::now();
    while heard < events && begun.elapsed() < Duration::from_secs(300) {
        connections += 1;
        let url = format!("ws://127.0.0.1:{http}/ws?events=message&since={cursor}");
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", KEY.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        // Cut off in the middle, again and again.
        for _ in 0..events / 7 {
            let Ok(Some(Ok(frame))) = tokio::time::timeout(Duration::from_secs(5), socket.next()).await else { break };
            let Ok(event) = serde_json::from_str::<Value>(frame.to_text().unwrap_or_default()) else { continue };
            if let (Some(place), Some(body)) = (event["cursor"].as_str(), event["payload"]["body"].as_str()) {
                let n: i64 = body.trim_start_matches("text ").parse().unwrap();
                assert_eq!(n, last + 1, "an event is missing or comes twice");
                (last, heard, cursor) = (n, heard + 1, place.to_owned());
            }
        }
    }
    // By now the database's caches are full: what comes on top is the stalled clients'.
    let before = resident(house.pid());
    let mut peak = before;
    let stalled: Vec<_> = (0..STALLED).map(|_| tokio::task::spawn_blocking(move || stall(http))).collect();
    while !stalled.iter().all(JoinHandle::is_finished) {
        peak = peak.max(resident(house.pid()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let evicted = futures_util::future::join_all(stalled).await.into_iter().all(Result::unwrap);
    Seen { heard, connections, evicted, growth: (peak - before) / STALLED as u64 }
}

/// Writes messages of so many chats into the journal of the first session, as its server did before it was stopped.
pub(super) async fn record(house: &House, events: usize, chats: usize) {
    let kek = std::fs::read_to_string(house.data().join("kek.hex")).unwrap();
    let vault = Arc::new(Vault::new(Kek::parse(kek.trim(), "kek.hex").unwrap()));
    let url = format!("sqlite://{}", house.data().join("wardroom.db").display());
    let node = NodeId(std::fs::read_to_string(house.data().join("node.id")).unwrap().trim().parse().unwrap());
    let options = Options { url, max_connections: 2 };
    let clock = Arc::new(SystemClock::start());
    let store = Box::pin(Store::open(&options, vault, clock, node, Role::Server)).await.unwrap();
    let spec = store.all().await.unwrap().into_iter().next().unwrap();
    let journal = JournalWriter::start(store.clone(), Arc::new(Nobody), Arc::new(Nobody));
    let numbers: Vec<_> = (0..events).collect();
    for chunk in numbers.chunks(200) {
        let entries = chunk.iter().map(|n| entry(&spec, &format!("49{}@c.us", n % chats), &n.to_string())).collect();
        journal.append(entries).await.unwrap();
    }
    store.close().await;
}

/// Asks for everything and reads nothing; true once the server has cut the connection.
fn stall(http: u16) -> bool {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", http)).unwrap();
    let request = format!(
        "GET /ws?events=message&since=j0 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Api-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(25));
    // What the kernel holds can still be read, then comes the end.
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
