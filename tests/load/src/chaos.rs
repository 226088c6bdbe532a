//! Everything that can go wrong, in full, with what the promises say beside what was measured.

use std::time::Duration;
use tokio::runtime::Runtime;
use wardroom_load::bench::failures;
use wardroom_load::bench::flood::{self, Beside};
use wardroom_load::faults::Fault;
use wardroom_load::referee::Verdict;
use wardroom_load::report::{latency, table};
use wardroom_load::scenarios::kills::{Kills, Phase};
use wardroom_load::scenarios::moments::{Moments, PANICS};
use wardroom_load::scenarios::recovery::{self, Size};
use wardroom_load::scenarios::{cycles, mutations, sockets, starvation, store, webhooks};

pub fn run(runtime: &Runtime, seed: u64, only: Option<&str>) {
    println!("seed {seed}");
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let faults: Vec<_> = Fault::ALL.into_iter().filter(|fault| wanted("faults") || wanted(fault.name())).collect();
    if !faults.is_empty() {
        runtime.block_on(strike_all(&faults));
    }
    if wanted("kills") {
        runtime.block_on(kills(seed));
    }
    if wanted("moments") {
        let verdict = runtime.block_on(moments());
        println!("{} panics, a slow journal, jumps of the clock by a day: {verdict}", PANICS.len());
        verdict.assert_clean();
    }
    if wanted("store") {
        runtime.block_on(stores());
    }
    if wanted("starvation") {
        let (exits, verdict) = runtime.block_on(starvation::run(Duration::from_secs(120)));
        println!("120 s without CPU: {exits} drivers ended; {verdict}");
        assert_eq!(exits, 0, "a false alarm");
        verdict.assert_clean();
    }
    if wanted("cycles") {
        let (before, after) = runtime.block_on(cycles::run(1000));
        println!("1,000 starts and stops: {before:?} → {after:?}");
        assert!(cycles::is_clean(&before, &after));
    }
    if wanted("flood") {
        flooding();
    }
    if wanted("failures") {
        let result = failures::run(Duration::from_secs(20));
        println!("{} drivers failed: {}", result.failed, felt(&result.neighbour));
        assert!(result.failed > 250, "too few drivers failed to show anything");
        assert!(is_unhurt(&result.neighbour));
    }
    if wanted("sockets") {
        let seen = runtime.block_on(sockets::run(100_000));
        println!(
            "100,000 events: {} heard over {} connections with since; stalled clients cut off: {}, memory grew by {:.1} MB for each",
            seen.heard,
            seen.connections,
            seen.evicted,
            seen.growth as f64 / f64::from(1 << 20)
        );
        assert!(seen.heard == 100_000 && seen.evicted && seen.growth < 4 << 20);
    }
    if wanted("webhooks") {
        let flow = runtime.block_on(webhooks::run(seed, 20_000, 100));
        println!("webhooks: {flow:?}");
        assert!(flow.kills == 100 && flow.taken == 20_000 && flow.disordered == 0 && flow.doubled == 0);
        assert!(flow.growth < 32 << 20, "memory grew by {} MB", flow.growth >> 20);
    }
    if wanted("mutations") {
        for (name, caught) in mutations::run() {
            println!("mutation {name}: {}", if caught { "caught" } else { "NOT caught" });
            assert!(caught);
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64())
}

/// The first fault after a minute of health, at five of six linked sessions at once.
async fn strike_all(faults: &[Fault]) {
    let size = Size { sessions: 5, health: Duration::from_secs(62), per_second: 10.0, reset_after: None };
    let mut rows = vec![];
    for fault in faults {
        let result = recovery::run(*fault, &size).await;
        let worst = |of: fn(&wardroom_load::faults::Course) -> Duration| result.courses.iter().map(of).max().unwrap();
        let (detected, recovered) = (worst(|one| one.detected), worst(|one| one.recovered));
        rows.push(vec![
            fault.name().to_owned(),
            format!("{} (≤ {})", seconds(detected), seconds(fault.detection_goal())),
            format!("{} (≤ 5)", seconds(recovered)),
            format!("{} → {}", result.untouched.0["p99"], result.untouched.1["p99"]),
            result.verdict.to_string(),
        ]);
        result.verdict.assert_clean();
        assert_eq!(result.noticed, 0);
    }
    table(&["fault", "detected, s, worst of 5", "WORKING again, s", "untouched p99, ms", "referee"], &rows);
}

/// At least ten kills in each phase.
async fn kills(seed: u64) {
    let mut kills = Kills::begin(seed).await;
    for _ in 0..10 {
        for phase in Phase::ALL {
            kills.kill(phase).await;
        }
    }
    let verdict = kills.judge().await;
    println!(
        "{} kills under {} messages: {verdict}; {} newcomers scanned again",
        kills.done,
        kills.messages(),
        kills.scanned_again
    );
    verdict.assert_clean();
}

async fn moments() -> Verdict {
    let mut moments = Moments::begin().await;
    for (moment, drivers) in PANICS {
        moments.panic(moment, drivers).await;
    }
    moments.slow_journal(Duration::from_millis(300)).await;
    moments.clock_jump(24).await;
    moments.clock_jump(-24).await;
    moments.judge().await
}

async fn stores() {
    let mut rows = vec![];
    let mut row = |name: &str, result: store::Outage| {
        result.verdict.assert_clean();
        assert!(result.refused > 0);
        rows.push(vec![name.to_owned(), result.refused.to_string(), result.verdict.to_string()]);
    };
    row("PostgreSQL restarted", store::postgres_restarts().await);
    row("SQLite locked by another process", store::sqlite_is_locked().await);
    if let Some(result) = store::disk_is_full().await {
        row("disk full", result);
    }
    table(&["trouble", "requests told to come back", "referee"], &rows);
}

fn flooding() {
    let result = flood::run(Duration::from_secs(60));
    println!(
        "flood of {:.0} × capacity: {} sent = {} done + {} refused; memory grew by {} MB; {}",
        result.times_capacity,
        result.sent,
        result.done,
        result.refused,
        result.growth >> 20,
        felt(&result.neighbour),
    );
    assert_eq!(result.sent, result.done + result.refused);
    assert!(result.growth <= 64 << 20);
    assert!(is_unhurt(&result.neighbour));
}

/// What a neighbour felt, and beside it what the machine did to a bare thread.
fn felt((calm, stormy): &(Beside, Beside)) -> String {
    let (before, meanwhile) = (latency(&calm.trips), latency(&stormy.trips));
    let machine = latency(&stormy.machine);
    let (p99, max) = (&meanwhile["p99"], &meanwhile["max"]);
    let (late, latest) = (&machine["p99"], &machine["max"]);
    format!("neighbour p99 {} → {p99} ms (max {max}); a bare thread woke {late} ms late (max {latest})", before["p99"])
}

/// Whether a neighbour was delayed by at most 20 ms (p99).
fn is_unhurt((calm, stormy): &(Beside, Beside)) -> bool {
    let p99 = |one: &Beside| one.trips.value_at_quantile(0.99);
    p99(stormy) <= p99(calm) + 20_000
}
