//! How soon a server is ready, and how soon its linked sessions are WORKING: with 10,000 registered ones beside them and without,
//! after a stop and after kill -9.

use crate::house::House;
use crate::report::progress;
use crate::scenarios::link;
use futures_util::StreamExt;
use serde_json::json;
use std::time::{Duration, Instant};

/// What a start took.
pub struct Start {
    pub ready: Duration,
    pub working: Duration,
}

/// Starts with the linked sessions alone, and with so many more beside them.
pub async fn run(linked: usize, registered: usize) -> (Start, Start) {
    let settings = [("WARDROOM__QUOTAS__USER__SESSIONS", "0"), ("WARDROOM__POOL__WARM_SPARES", "0")];
    let mut house = House::with(&settings, &[]).await;
    progress(&format!("linking {linked} sessions"));
    let names: Vec<_> = link(&house, linked).await.into_iter().map(|player| player.session).collect();
    house.close().await;
    let few = start(&mut house, &names).await;
    house.close().await;
    progress(&format!("registering {registered} sessions"));
    house.open().await;
    let create = async |n: usize| {
        let body = json!({"name": format!("idle{n}"), "start": false, "config": {"network": "simulator"}});
        house.ask("POST", "/api/sessions", Some(body)).await.ok();
    };
    let all = futures_util::stream::iter(linked..registered);
    all.for_each_concurrent(16, create).await;
    house.close().await;
    let many = start(&mut house, &names).await;
    (few, many)
}

/// Starts after a stop and after kill -9.
pub async fn again(linked: usize) -> (Start, Start) {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let names: Vec<_> = link(&house, linked).await.into_iter().map(|player| player.session).collect();
    house.close().await;
    let stopped = start(&mut house, &names).await;
    house.kill();
    (stopped, start(&mut house, &names).await)
}

async fn start(house: &mut House, names: &[String]) -> Start {
    let begun = Instant::now();
    let ready = house.open().await;
    for name in names {
        house.is(name, "WORKING").await;
    }
    Start { ready, working: begun.elapsed() }
}
