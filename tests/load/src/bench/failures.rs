//! Fifty sessions whose drivers crash and panic as soon as they are up: a neighbour on the same threads does not feel it.

use super::flood::{Beside, neighbour};
use super::kernel::in_memory;
use crate::report::progress;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::testing::Script;

/// Sessions in trouble.
const VICTIMS: usize = 50;

/// What it cost.
pub struct Failures {
    /// Drivers that failed.
    pub failed: usize,
    /// Round trips of the neighbour, before and meanwhile.
    pub neighbour: (Beside, Beside),
}

/// Fails for so long.
pub fn run(time: Duration) -> Failures {
    // As a server does.
    wardroom::ground::keep_program_at_hand();
    in_memory(async |bench, handle| {
        let beside = bench.session("neighbour").await.spec.name;
        let mut victims = vec![];
        for n in 0..VICTIMS {
            victims.push(bench.session(&format!("victim{n}")).await.spec.id);
        }
        let calm = neighbour(&bench, &beside, Duration::from_secs(5)).await;
        progress(&format!("failing for {time:?}"));
        let (engine, begun) = (Arc::clone(&bench.engine), Instant::now());
        let failing = handle.spawn(async move {
            let mut failed = 0_usize;
            while begun.elapsed() < time {
                for victim in &victims {
                    let script = match failed % 2 {
                        0 => Script::Panic("a driver's panic"),
                        _ => Script::Exit(ExitReason::Crashed { detail: "killed".to_owned() }),
                    };
                    failed += usize::from(engine.tell(*victim, script));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            failed
        });
        let stormy = neighbour(&bench, &beside, time).await;
        Failures { failed: failing.await.unwrap(), neighbour: (calm, stormy) }
    })
}
