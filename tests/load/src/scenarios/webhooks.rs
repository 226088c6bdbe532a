//! Events flow to a moody receiver while the server is killed again and again: every event arrives, in the order of its chat.

use super::sockets::record;
use crate::bench::resident;
use crate::house::{House, until};
use crate::receiver::Manners;
use crate::report::progress;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Chats that the events go round.
const CHATS: usize = 50;

/// What became of the events.
#[derive(Debug)]
pub struct Flow {
    /// Kills that happened.
    pub kills: usize,
    /// Different events that were taken.
    pub taken: usize,
    /// Events that were taken again, under the same id.
    pub repeats: usize,
    /// Events that came before an earlier one of their chat.
    pub disordered: usize,
    /// Messages that were told as several events.
    pub doubled: usize,
    /// Bytes that the server's resident memory grew by in its last life, the longest one.
    pub growth: u64,
}

/// So many events and kills. The same seed draws the same moments.
pub async fn run(seed: u64, events: usize, kills: usize) -> Flow {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    house.listen().await;
    let receiver = house.receiver.take().unwrap();
    receiver.behave(Manners::Moody(seed));
    // It need not run: what is told stands in the journal.
    let hook = json!({"url": receiver.url(), "events": ["message"], "retries": {"delaySeconds": 0, "attempts": 1000}});
    let body = json!({"name": "s0", "start": false, "config": {"network": "simulator", "webhooks": [hook]}});
    house.post("/api/sessions", body).await;
    house.set("WARDROOM__WEBHOOKS__TIMEOUT_S", "1");
    house.close().await;
    progress(&format!("recording {events} events"));
    record(&house, events, CHATS).await;
    let mut done = 0;
    while done < kills && receiver.told().len() < events {
        // A turn tells up to sixteen events.
        let (moment, most) =
            [("agent.committed", 5), ("webhook.turn", 30), ("webhook.posted", 30), ("webhook.settle", 20)]
                [rng.random_range(0..4)];
        house.failpoint = Some(format!("kill:{moment}@{}", rng.random_range(1..=most)));
        let ready = house.try_open().await;
        let by_clock = Duration::from_millis(rng.random_range(100..1500));
        let begun = Instant::now();
        while ready && !house.ended() && begun.elapsed() < by_clock {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if ready && !house.ended() {
            house.kill();
        }
        done += 1;
        if done % 10 == 0 {
            progress(&format!("{done} kills, {} of {events} events", receiver.told().len()));
        }
    }
    house.failpoint = None;
    house.open().await;
    let before = resident(house.pid());
    until("all are told", Duration::from_secs(120), || {
        std::future::ready((receiver.told().len() >= events).then_some(()))
    })
    .await;
    let growth = resident(house.pid()).saturating_sub(before);
    let told = receiver.told();
    let (mut last, mut seen) = (HashMap::<String, usize>::new(), HashSet::new());
    let (mut repeats, mut disordered) = (0, 0);
    for (chat, text) in receiver.order() {
        let number: usize = text.trim_start_matches("text ").parse().unwrap();
        if !seen.insert(number) {
            repeats += 1;
        } else if last.insert(chat, number).is_some_and(|before| before > number) {
            disordered += 1;
        }
    }
    let doubled = told.values().filter(|ids| ids.len() > 1).count();
    Flow { kills: done, taken: told.len(), repeats, disordered, doubled, growth }
}
