//! A flood of one session at a hundred times its capacity: memory stays flat, every request is either done or refused, and a
//! neighbour on the same threads does not feel it.

use super::kernel::{Bench, in_memory};
use super::resident;
use crate::report::progress;
use crate::traffic::histogram;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::ids::{SessionName, TenantId};
use wardroom_actors::handle::{Handle, Refusal};
use wardroom_actors::ports::engine::{Command, CommandError};

/// Commands per second that the flooded session's driver can do.
pub const CAPACITY: f64 = 1000.0;

/// What a flood did.
pub struct Flooded {
    pub sent: u64,
    pub done: u64,
    pub refused: u64,
    /// Bytes that resident memory grew by at most.
    pub growth: u64,
    /// Round trips of the neighbour, before and meanwhile.
    pub neighbour: (Beside, Beside),
    /// Requests sent per second, over the capacity.
    pub times_capacity: f64,
}

async fn round_trip(handle: &Handle, tenant: TenantId, name: &SessionName) -> Result<(), Refusal> {
    let chat = ChatId::parse("1@c.us").unwrap();
    handle.ask(tenant, name, |answer| Command::Act { action: Action::Seen { chat }, answer }).await
}

/// What a neighbour felt.
pub struct Beside {
    /// Its round trips in microseconds.
    pub trips: Histogram<u64>,
    /// By how many microseconds a bare thread, which has nothing to do with the server, woke too late meanwhile: pauses of the machine.
    pub machine: Histogram<u64>,
}

/// One round trip of the neighbour every 5 ms, for so long.
pub(super) async fn neighbour(bench: &Bench, name: &SessionName, time: Duration) -> Beside {
    let stop = Arc::new(AtomicBool::new(false));
    let machine = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let (mut late, step) = (histogram(), Duration::from_millis(5));
            while !stop.load(Ordering::Relaxed) {
                let due = Instant::now() + step;
                std::thread::sleep(step);
                late.record_correct(micros(due.elapsed()), 5000).unwrap();
            }
            late
        }
    });
    let (mut trips, begun) = (histogram(), Instant::now());
    for n in 0_u32.. {
        let due = begun + Duration::from_millis(5) * n;
        if due - begun > time {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        round_trip(&bench.handle, bench.tenant, name).await.unwrap();
        trips.record(micros(due.elapsed())).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    Beside { trips, machine: machine.join().unwrap() }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap().max(1)
}

/// Floods for so long.
pub fn run(time: Duration) -> Flooded {
    in_memory(async |bench, handle| {
        let flooded = bench.session("flooded").await.spec.name;
        let beside = bench.session("neighbour").await.spec.name;
        bench.engine.pace(&flooded, Duration::from_secs_f64(1.0 / CAPACITY));
        let calm = neighbour(&bench, &beside, Duration::from_secs(5)).await;
        progress(&format!("flooding for {time:?}"));
        let before = resident(std::process::id());
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; 3]));
        let mut flooders = vec![];
        for _ in 0..64 {
            let (kernel, name, stop, counts) =
                (bench.handle.clone(), flooded.clone(), Arc::clone(&stop), Arc::clone(&counts));
            let tenant = bench.tenant;
            flooders.push(handle.spawn(async move {
                let [sent, ..] = &*counts;
                // A hundred times the capacity, together.
                let mut pace = tokio::time::interval(Duration::from_secs_f64(64.0 / (100.0 * CAPACITY)));
                pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    let (kernel, name, counts) = (kernel.clone(), name.clone(), Arc::clone(&counts));
                    // Nobody waits for an answer before asking again.
                    tokio::spawn(async move {
                        let [_, done, refused] = &*counts;
                        match round_trip(&kernel, tenant, &name).await {
                            Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                            Err(Refusal::Busy | Refusal::Command(CommandError::Busy)) => {
                                refused.fetch_add(1, Ordering::Relaxed)
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    });
                }
            }));
        }
        let peak = Arc::new(AtomicU64::new(before));
        let watching = {
            let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
            handle.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(resident(std::process::id()), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        };
        let begun = Instant::now();
        let stormy = neighbour(&bench, &beside, time).await;
        stop.store(true, Ordering::Relaxed);
        let elapsed = begun.elapsed();
        for flooder in flooders {
            flooder.await.unwrap();
        }
        watching.await.unwrap();
        // What was accepted is still being done.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let [sent, done, refused] = [0, 1, 2].map(|place| counts[place].load(Ordering::Relaxed));
        Flooded {
            sent,
            done,
            refused,
            growth: peak.load(Ordering::Relaxed) - before,
            neighbour: (calm, stormy),
            times_capacity: f64::from(u32::try_from(sent).unwrap()) / elapsed.as_secs_f64() / CAPACITY,
        }
    })
}
