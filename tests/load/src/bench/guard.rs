//! What the guard costs: a request that passes it against one that does not, and the watch with a million addresses.

use super::{median, resident, served};
use crate::house::KEY;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;
use wardroom::auth::watch::{Origin, Watch, WatchPolicy};
use wardroom::clock::SystemClock;
use wardroom::metrics::Metrics;

/// Requests of each kind.
const REQUESTS: usize = 4000;

/// Medians over one connection, in microseconds: of a route that anybody may call, and of one that looks up its caller's key.
pub async fn requests() -> (f64, f64) {
    let most = "1000000000";
    let settings = [
        ("WARDROOM__GUARD__FAILURES", "5"),
        ("WARDROOM__GUARD__REFUSALS", "100"),
        ("WARDROOM__GUARD__CALLS_PER_ADDRESS", most),
        ("WARDROOM__GUARD__CALLS_PER_KEY", most),
        ("WARDROOM__GUARD__CALLS_PER_TENANT", most),
    ];
    let house = served::house(&settings).await;
    let client = reqwest::Client::new();
    let once = async |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", house.http);
        let begun = Instant::now();
        let answer = client.get(url).header("x-api-key", KEY).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        begun.elapsed().as_secs_f64() * 1e6
    };
    let (mut open, mut guarded) = (vec![], vec![]);
    // The first ones open the connection and fill caches.
    for n in 0..REQUESTS + 100 {
        let times = (once("/ping").await, once("/api/apps").await);
        if n >= 100 {
            open.push(times.0);
            guarded.push(times.1);
        }
    }
    (median(open), median(guarded))
}

/// What a million addresses cost the watch.
pub struct Watched {
    /// Nanoseconds for each look and each count.
    pub check_ns: f64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// Each of a million addresses fails once, and is looked at.
pub fn watch() -> Watched {
    const ADDRESSES: u32 = 1_000_000;
    let policy = WatchPolicy {
        failures: 5,
        failures_within_s: 300,
        block_s: 3600,
        sign_in_origins: 50,
        refusals: 100,
        slow_s: 300,
    };
    let watch = Watch::new(policy, Arc::new(SystemClock::start()), Arc::new(Metrics::new().unwrap()));
    let origin = |n: u32| Origin::from(IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761))));
    let before = resident(std::process::id());
    (0..ADDRESSES).for_each(|n| watch.failed(origin(n)));
    let bytes = resident(std::process::id()).saturating_sub(before);
    let begun = Instant::now();
    let admitted = (0..ADDRESSES).filter(|n| watch.admits(origin(*n), "a key").is_ok()).count();
    let check_ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(ADDRESSES);
    assert_eq!(admitted, 1_000_000);
    Watched { check_ns, bytes }
}
