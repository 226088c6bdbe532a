//! The machine has no CPU to spare: spinning processes of real-time priority leave a twentieth of it to everybody else. Nothing is
//! broken, so nothing may be restarted.

use super::link;
use crate::house::House;
use crate::referee::{Verdict, judge};
use crate::report::progress;
use crate::traffic::{Plan, Traffic};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Spinners(Vec<Child>);

impl Spinners {
    fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let realtime = Command::new("chrt").args(["-f", "1", "true"]).status().is_ok_and(|status| status.success());
        let spin = |_| {
            let mut command = Command::new(if realtime { "chrt" } else { "nice" });
            command.args(if realtime { ["-f", "1"] } else { ["-n", "-20"] });
            command.args(["sh", "-c", "while :; do :; done"]).stderr(Stdio::null()).spawn().unwrap()
        };
        // Without real-time priority it takes many to leave as little.
        Self((0..if realtime { cores } else { cores * 20 }).map(spin).collect())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starves five linked sessions for so long; answers how many drivers ended, and the referee's word on what was sent meanwhile.
pub async fn run(time: Duration) -> (u64, Verdict) {
    let settings = [
        ("WARDROOM__QUOTAS__USER__SESSIONS", "20"),
        ("WARDROOM__POOL__WARM_SPARES", "0"),
        ("WARDROOM__BROWSER__PROBE_EVERY_S", "5"),
    ];
    let mut house = House::with(&settings, &[]).await;
    house.listen().await;
    let players = link(&house, 5).await;
    let incarnations = async || {
        let mut sum = 0;
        for player in &players {
            sum += house.branch(&player.key, &player.session).await["incarnation"].as_u64().unwrap();
        }
        sum
    };
    let before = incarnations().await;
    let traffic = Traffic::start(&house, Plan { players: players.clone(), per_second: 1.0, name: "hunger".to_owned() });
    progress(&format!("starving for {time:?}"));
    let spinners = Spinners::start();
    tokio::time::sleep(time).await;
    drop(spinners);
    let outcome = traffic.stop().await;
    let verdict = judge(&house, &players, &outcome.sent, Duration::from_secs(60)).await;
    (incarnations().await - before, verdict)
}
