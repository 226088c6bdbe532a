//! Every kind of fault, at all but one of some linked sessions at once, under traffic: how soon it is noticed, how soon it is over,
//! what the untouched session feels, and whether a message was lost or doubled.

use super::link;
use crate::faults::{Course, Fault, course, strike};
use crate::house::House;
use crate::referee::{Verdict, judge};
use crate::report::{latency, progress};
use crate::traffic::{Plan, Traffic};
use serde_json::Value;
use std::time::Duration;

/// How big a run is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Sessions that are struck; one more is not.
    pub sessions: usize,
    /// Time without a fault before each.
    pub health: Duration,
    /// Messages per second in each direction.
    pub per_second: f64,
    /// After so much health the policy forgets; `None` leaves the default of a minute.
    pub reset_after: Option<Duration>,
}

/// What one kind of fault did.
pub struct Struck {
    /// Which.
    pub fault: Fault,
    /// How it went for each session.
    pub courses: Vec<Course>,
    /// Inbound latency of the untouched session without a fault, and meanwhile, in milliseconds.
    pub untouched: (Value, Value),
    /// What the referee found.
    pub verdict: Verdict,
    /// Drivers of the untouched session that were started meanwhile: there must be none.
    pub noticed: u64,
}

/// Runs one kind of fault in a house of its own.
pub async fn run(fault: Fault, size: &Size) -> Struck {
    let mut settings = vec![
        ("WARDROOM__QUOTAS__USER__SESSIONS", "20".to_owned()),
        ("WARDROOM__POOL__WARM_SPARES", "0".to_owned()),
        ("WARDROOM__BROWSER__PROBE_EVERY_S", "1".to_owned()),
    ];
    if let Some(reset) = size.reset_after {
        settings.push(("WARDROOM__RESTART__RESET_AFTER_MS", reset.as_millis().to_string()));
    }
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut house = House::with(&settings, &[]).await;
    house.listen().await;
    let players = link(&house, size.sessions + 1).await;
    let (untouched, struck) = players.split_first().unwrap();
    let before = house.branch(&untouched.key, &untouched.session).await["incarnation"].as_u64().unwrap();
    progress(&format!("{}: {:?} of health", fault.name(), size.health));
    let plan = |name: &str| Plan { players: players.clone(), per_second: size.per_second, name: name.to_owned() };
    let calm = Traffic::run(&house, plan("calm"), size.health).await;
    let traffic = Traffic::start(&house, plan("fault"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut times = vec![];
    for player in struck {
        times.push(strike(&house, player, fault).await);
    }
    let mut courses = vec![];
    for (player, at) in struck.iter().zip(times) {
        courses.push(course(&house, player, at, Duration::from_secs(60)).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stormy = traffic.stop().await;
    let sent: Vec<_> = calm.sent.iter().chain(&stormy.sent).cloned().collect();
    let verdict = judge(&house, &players, &sent, Duration::from_secs(60)).await;
    let after = house.branch(&untouched.key, &untouched.session).await["incarnation"].as_u64().unwrap();
    let untouched = (latency(&calm.inbound[0]), latency(&stormy.inbound[0]));
    Struck { fault, courses, untouched, verdict, noticed: after - before }
}
