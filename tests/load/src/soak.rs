//! Half load for a long time, after a warm-up at full load. Resident memory may grow by one percent per hour, descriptors and
//! processes not at all.

use std::time::{Duration, Instant};
use wardroom_load::bench::resident_and_mapped;
use wardroom_load::house::House;
use wardroom_load::referee::judge;
use wardroom_load::report::{latency, progress, table};
use wardroom_load::scenarios::cycles::{Belongings, belongings};
use wardroom_load::scenarios::link;
use wardroom_load::traffic::{Plan, Traffic};

/// Messages per second in each direction: half of what five sessions of this machine bear.
const RATE: f64 = 25.0;

/// Percent per hour by which a series grows: the slope of its least-squares line over its mean.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let n = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / n;
    let (hours, values) = (mean(|one| one.0), mean(|one| one.1));
    let above = samples.iter().map(|(x, y)| (x - hours) * (y - values)).sum::<f64>();
    let below = samples.iter().map(|(x, _)| (x - hours).powi(2)).sum::<f64>();
    above / below / values * 100.0
}

/// What is there at the end of a minute, with its fewest descriptors: those that a request or a copy of a login holds for a moment
/// are given back, leaked ones are not.
fn at_end(samples: &[Belongings]) -> Belongings {
    let descriptors = samples.iter().map(|one| one.descriptors).min().unwrap();
    Belongings { descriptors, ..samples.last().unwrap().clone() }
}

pub async fn run(minutes: u64) {
    let settings = [("WARDROOM__QUOTAS__USER__SESSIONS", "20"), ("WARDROOM__POOL__WARM_SPARES", "0")];
    let mut house = House::with(&settings, &[]).await;
    house.listen().await;
    let players = link(&house, 5).await;
    // Caches fill, and the allocator touches for the first time what it has taken: at half load that goes on for an hour.
    let warm_up = Duration::from_secs(minutes * 60 / 3);
    progress(&format!("warm-up at full load for {} min", warm_up.as_secs() / 60));
    let full = Plan { players: players.clone(), per_second: 2.0 * RATE, name: "warm".to_owned() };
    let full = Traffic::start(&house, full);
    tokio::time::sleep(warm_up).await;
    let mut sent = full.stop().await.sent;
    progress("waiting until all of it has arrived");
    judge(&house, &players, &sent, Duration::from_secs(600)).await.assert_clean();
    let traffic = Traffic::start(&house, Plan { players: players.clone(), per_second: RATE, name: "soak".to_owned() });
    let begun = Instant::now();
    let (mut memory, mut mapped, mut allocated, mut held) = (vec![], vec![], vec![], vec![]);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        seconds.tick().await;
        let (hours, (all, files)) = (begun.elapsed().as_secs_f64() / 3600.0, resident_and_mapped(house.pid()));
        memory.push((hours, all as f64));
        mapped.push((hours, files as f64));
        if memory.len().is_multiple_of(5) {
            held.push(belongings(&house));
        }
        if memory.len() % 60 == 0 {
            let minute = memory[memory.len() - 60..].iter().map(|one| one.1 / f64::from(1 << 20));
            let (low, high) = (minute.clone().fold(f64::MAX, f64::min), minute.fold(0.0, f64::max));
            let now = at_end(&held[held.len() - 12..]);
            let files = files as f64 / f64::from(1 << 20);
            let minutes = memory.len() / 60;
            let used = house.metric("wardroom_allocator_bytes{kind=\"allocated\"}").await;
            allocated.push((hours, used));
            let used = used / f64::from(1 << 20);
            progress(&format!(
                "{minutes} min: {low:.1} to {high:.1} MB, {files:.1} of it pages of files, {used:.2} allocated, {now:?}"
            ));
        }
    }
    let (first, last) = (at_end(&held[..12]), at_end(&held[held.len() - 12..]));
    let mut outcome = traffic.stop().await;
    sent.append(&mut outcome.sent);
    let verdict = judge(&house, &players, &sent, Duration::from_secs(60)).await;
    // A leak lifts the lowest second of each minute as well; copies of logins, which take seconds, do not.
    let lowest = |minute: &[(f64, f64)]| minute.iter().min_by(|one, two| one.1.total_cmp(&two.1)).copied();
    let floors: Vec<_> = memory.chunks_exact(60).filter_map(lowest).collect();
    // Pages of files become resident when they are first touched, and the kernel may take them back.
    let anonymous = memory.iter().zip(&mapped);
    let anonymous: Vec<_> = anonymous.map(|(all, files)| (all.0, all.1 - files.1)).collect();
    let (slope, floor, anonymous, used) = (slope(&memory), slope(&floors), slope(&anonymous), slope(&allocated));
    let times = latency(&outcome.all_inbound());
    table(
        &["soak", "value"],
        &[
            vec!["minutes at".into(), format!("{minutes}, {RATE} messages per second each way, 5 sessions")],
            vec!["messages".into(), verdict.to_string()],
            vec!["phone → socket, p50 / p99".into(), format!("{} / {} ms", times["p50"], times["p99"])],
            vec!["resident memory after warm-up, slope".into(), format!("{slope:.2} % per hour")],
            vec!["slope of each minute's lowest".into(), format!("{floor:.2} % per hour")],
            vec!["slope without pages of files".into(), format!("{anonymous:.2} % per hour")],
            vec!["slope of what the code has allocated".into(), format!("{used:.2} % per hour")],
            vec![
                "resident memory at the end".into(),
                format!("{:.1} MB", floors.last().map_or(0.0, |one| one.1 / 1048576.0)),
            ],
            vec!["descriptors, threads, browsers".into(), format!("{first:?} → {last:?}")],
        ],
    );
    verdict.assert_clean();
    assert!(slope <= 1.0, "resident memory grows");
    assert!(last.descriptors <= first.descriptors + 8 && last.browsers == first.browsers && last.zombies == 0);
}
