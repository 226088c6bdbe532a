//! How a driver sees that something is wrong although nothing has ended: a page that does not answer, a network that does not
//! answer behind it, a worker that uses too much.

use super::driver::Live;
use super::process::{Turns, members, turns, used};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::worker::Usage;

/// A page that has not answered for so long is looked at more closely.
const PATIENCE: Duration = Duration::from_millis(4500);
/// How long it is looked at. Both together are less than three heartbeats.
const LOOK: Duration = Duration::from_secs(1);
/// A process that waited for a CPU for this share of a look and ran for less than that one is starved, not hung. One that ran for
/// longer had time enough for an answer: pages that spin take the CPU from each other and are hung all the same.
const WAITED_PERCENT: u64 = 40;
const RAN_PERCENT: u64 = 20;
/// How long the network may take to answer a probe.
const PROBE: Duration = Duration::from_secs(2);
/// Clock ticks per second on Linux, whatever the kernel's own frequency is.
const TICKS: f64 = 100.0;

/// Waits for a page's answer; `None` when the page hangs. A machine that has no CPU for it is no fault of the page's, so the
/// time that the worker's processes waited for one, or that this server itself came too late, does not count.
pub(super) async fn patiently<T>(live: &Live, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answer).await {
        return Some(answer);
    }
    loop {
        let look = Look::begin(live);
        if let Ok(answer) = tokio::time::timeout(LOOK, &mut answer).await {
            return Some(answer);
        }
        let took = live.shared.clock.now().saturating_sub(look.at);
        if took < ms(LOOK) * 3 / 2 && !look.starved(live) {
            return None;
        }
    }
}

/// Does something, and says as well whether the worker had no CPU for it. What takes less than a second is not looked at: looking
/// costs a walk over all processes.
pub(super) async fn observed<T>(live: &Live, work: impl Future<Output = T>) -> (T, bool) {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
        return (done, false);
    }
    let look = Look::begin(live);
    let done = work.await;
    (done, look.starved(live))
}

/// A stretch of time in which a worker may have had no CPU.
struct Look {
    at: u64,
    turns: HashMap<u32, Turns>,
}

impl Look {
    fn begin(live: &Live) -> Self {
        let pids = live.worker.pid().map(members).unwrap_or_default();
        Self { at: live.shared.clock.now(), turns: turns(&pids) }
    }

    /// Whether one of the processes had no CPU for much of the time since then.
    fn starved(&self, live: &Live) -> bool {
        let elapsed = live.shared.clock.now().saturating_sub(self.at).max(1);
        let pids: Vec<_> = self.turns.keys().copied().collect();
        let percent = |now: u64, before: u64| now.saturating_sub(before) / 10_000 / elapsed;
        turns(&pids).into_iter().any(|(pid, now)| {
            let before = self.turns.get(&pid).copied().unwrap_or(now);
            percent(now.waited, before.waited) >= WAITED_PERCENT && percent(now.ran, before.ran) < RAN_PERCENT
        })
    }
}

/// Asks the network through the page now and then. A page that says it is connected while nothing comes through is worth less
/// than one that says it is not.
pub(super) async fn probe(live: Arc<Live>) -> ExitReason {
    let every = live.shared.options.probe_every;
    if every.is_zero() {
        return std::future::pending().await;
    }
    let mut silences = 0;
    loop {
        live.ready().await;
        // The second question follows at once.
        if silences == 0 {
            tokio::time::sleep(every).await;
        }
        let call = format!("__wardroom.probe({})", PROBE.as_millis());
        let (answered, starved) = observed(&live, live.page.call::<bool>(&call, PROBE * 2)).await;
        if matches!(answered, Ok(true)) || !live.is_ready() || starved {
            silences = 0;
            continue;
        }
        silences += 1;
        if silences >= 2 {
            let detail = "the page says that it is connected, and the network does not answer".to_owned();
            return ExitReason::Disconnected { detail };
        }
    }
}

/// Reads what the worker uses, and gives it up in a quiet moment when that is too much or it is too old.
pub(super) async fn watch(live: Arc<Live>) -> ExitReason {
    let options = &live.shared.options;
    let Some(leader) = live.worker.pid() else { return std::future::pending().await };
    let born = live.shared.clock.now();
    let mut last: Option<(u64, u64)> = None;
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let pids = members(leader);
            (pids.len(), used(&pids))
        });
        let now = live.shared.clock.now();
        if let Ok((processes, (memory, ticks))) = read.await {
            let cpu = last.map_or(0.0, |(at, before)| cores(now.saturating_sub(at), ticks.saturating_sub(before)));
            last = Some((now, ticks));
            live.report(Report::Usage(Usage { pid: leader, processes, memory, cpu })).await;
            let quiet = now.saturating_sub(live.touched.load(Ordering::Acquire)) >= ms(options.quiet);
            let limit = options.memory;
            let much = limit > 0 && memory > limit;
            let old = !options.max_age.is_zero() && now.saturating_sub(born) > ms(options.max_age);
            if live.is_ready() && ((quiet && (much || old)) || (much && memory > limit.saturating_mul(2))) {
                let detail = if much {
                    format!("the worker uses {} MB", memory >> 20)
                } else {
                    format!("the worker is {} h old", options.max_age.as_secs() / 3600)
                };
                return ExitReason::Recycled { detail };
            }
        }
        tokio::time::sleep(options.watch_every).await;
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "ticks of one interval are few")]
fn cores(elapsed_ms: u64, ticks: u64) -> f64 {
    if elapsed_ms == 0 { 0.0 } else { ticks as f64 / TICKS * 1000.0 / elapsed_ms as f64 }
}
