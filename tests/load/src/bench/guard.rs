//! What the guard costs: a request that passes it against one that does not, and the watch with a million addresses.

use super::{median, resident, served};
use crate::house::KEY;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;
use wardroom::auth::limits::Limits;
use wardroom::auth::watch::{Origin, Watch};
use wardroom::clock::SystemClock;
use wardroom::metrics::Metrics;
use wardroom_actors::ports::clock::Clock;

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

/// What a million addresses cost.
pub struct Watched {
    /// Nanoseconds for each look and each count.
    pub check_ns: f64,
    /// Bytes that they take.
    pub bytes: u64,
}

const ADDRESSES: u32 = 1_000_000;

fn origin(n: u32) -> Origin {
    Origin::from(IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761))))
}

fn measured(mut count: impl FnMut(Origin), mut look: impl FnMut(Origin) -> bool) -> Watched {
    let before = resident(std::process::id());
    (0..ADDRESSES).for_each(|n| count(origin(n)));
    let bytes = resident(std::process::id()).saturating_sub(before);
    let begun = Instant::now();
    let admitted = (0..ADDRESSES).filter(|n| look(origin(*n))).count();
    let check_ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(ADDRESSES);
    assert_eq!(admitted, 1_000_000);
    Watched { check_ns, bytes }
}

/// Each of a million addresses fails once, and is looked at; then each calls twice. What they take stands beside each other, so that
/// none takes what another left.
pub fn watch() -> [Watched; 2] {
    let mut guard = wardroom::config::load(None).unwrap().guard;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let watch = Watch::new((&guard).into(), Arc::clone(&clock), Arc::new(Metrics::new().unwrap()));
    let failures = measured(|origin| watch.failed(origin), |origin| watch.admits(origin, "a key").is_ok());
    guard.calls_per_address = 6000;
    let limits = Limits::new(&guard, |_| true, &clock).unwrap();
    let calls = measured(|origin| limits.calls_from(origin).unwrap(), |origin| limits.calls_from(origin).is_ok());
    [failures, calls]
}
