//! The policies against small independent models, over many random traces. A model imports nothing from what it judges but
//! the types of its answers.

use super::admission::{Ledger, Refused, Slot};
use super::backoff::{Backoff, BackoffPolicy};
use super::breaker::{Breaker, BreakerPolicy, State};
use super::pacing::Pacing;
use super::restart::{Decision, Restart, RestartPolicy};
use super::window::Window;
use crate::domain::exit::ExitClass;
use crate::domain::ids::{Incarnation, SessionId, UserId, WorkerId};
use crate::domain::session::{Action, Input, Next, Phase, Session, StopMode, Then};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{HashMap, HashSet};

const TRACES: u64 = 100_000;

fn traces(steps: usize) -> impl Iterator<Item = (StdRng, usize)> {
    (0..TRACES).map(move |seed| (StdRng::seed_from_u64(seed), steps))
}

#[test]
fn backoff_never_exceeds_its_doubling_ceiling() {
    for (mut rng, steps) in traces(12) {
        let (base, cap) = (rng.random_range(1..5_000), rng.random_range(5_000..400_000));
        let mut backoff = Backoff::new(BackoffPolicy { base_ms: base, cap_ms: cap, reset_after_ms: 60_000 });
        let mut failures = 0_u32;
        for _ in 0..steps {
            match rng.random_range(0..10) {
                0 => {
                    backoff.healthy_for(60_000);
                    failures = 0;
                }
                1 => backoff.healthy_for(59_999),
                _ => {
                    let ceiling = base.saturating_mul(1 << failures.min(40)).min(cap);
                    let delay = backoff.next_delay(&mut rng);
                    assert!(delay <= ceiling, "{delay} > {ceiling} after {failures} failures");
                    failures += 1;
                }
            }
        }
    }
}

#[test]
fn full_jitter_uses_the_whole_range() {
    let mut rng = StdRng::seed_from_u64(7);
    let delays: Vec<_> = (0..1000)
        .map(|_| Backoff::new(BackoffPolicy { base_ms: 1000, cap_ms: 1000, reset_after_ms: 1 }).next_delay(&mut rng))
        .collect();
    assert!(delays.iter().any(|delay| *delay < 100) && delays.iter().any(|delay| *delay > 900));
}

#[test]
fn the_window_counts_like_a_list_of_times() {
    for (mut rng, steps) in traces(20) {
        let (limit, period) = (rng.random_range(0..6), rng.random_range(1..100));
        let mut window = Window::new(limit, period);
        let (mut now, mut all) = (0, vec![]);
        for _ in 0..steps {
            now += rng.random_range(0..40);
            all.push(now);
            let inside = all.iter().filter(|at| now - **at < period).count();
            assert_eq!(window.record(now), inside > limit);
            let later = now + rng.random_range(0..120);
            let still = all.iter().rev().take(limit + 1).filter(|at| later - **at < period).count();
            assert_eq!(window.count(later), still);
        }
    }
}

/// What a breaker should say, told with three numbers.
#[derive(Default)]
struct BreakerModel {
    closed_again: Option<u64>,
    probing: bool,
    opened: u32,
}

#[test]
fn the_breaker_lets_exactly_one_probe_through() {
    let policy = BreakerPolicy { open_ms: 60, open_cap_ms: 900, probe_timeout_ms: 30 };
    for (mut rng, steps) in traces(20) {
        let (mut breaker, mut model, mut now) = (Breaker::new(policy), BreakerModel::default(), 0_u64);
        for _ in 0..steps {
            now += rng.random_range(0..100);
            match rng.random_range(0..4) {
                0 => {
                    let wait = 60_u64.saturating_mul(1 << model.opened.min(20)).min(900);
                    model = BreakerModel { closed_again: Some(now + wait), probing: false, opened: model.opened + 1 };
                    assert_eq!(breaker.trip(now), now + wait);
                }
                1 => {
                    breaker.succeeded();
                    if model.probing {
                        model = BreakerModel::default();
                    }
                }
                _ => {
                    let passes = match model.closed_again {
                        None => true,
                        Some(at) => now >= at && !model.probing,
                    };
                    model.probing |= passes && model.closed_again.is_some();
                    assert_eq!(breaker.allow(now), passes);
                }
            }
            let half_open = matches!(breaker.state(), State::HalfOpen { .. });
            assert_eq!(half_open, model.probing);
        }
    }
}

const POLICY: RestartPolicy = RestartPolicy {
    backoff: BackoffPolicy { base_ms: 1000, cap_ms: 300_000, reset_after_ms: 60_000 },
    max_failures: 5,
    window_ms: 60_000,
    breaker: BreakerPolicy { open_ms: 60_000, open_cap_ms: 900_000, probe_timeout_ms: 90_000 },
};

#[test]
fn a_thousand_sessions_dropped_at_once_come_back_evenly() {
    for (mut rng, _) in traces(0).take(100) {
        let mut pacing = Pacing::per_second(20);
        let mut sessions: Vec<_> = (0..1000).map(|_| Restart::new(POLICY)).collect();
        // What happens next, in its order: a driver ends, or a start is asked for.
        let mut agenda: std::collections::BTreeSet<(u64, usize, bool)> = (0..1000).map(|one| (0, one, true)).collect();
        let (mut starts, mut back) = (vec![], 0_u64);
        while let Some((now, one, ended)) = agenda.pop_first() {
            if ended {
                let Decision::RetryAt(at) = sessions[one].exited(ExitClass::Transient, now, &mut rng) else {
                    panic!("the breaker opened after a failure or two");
                };
                agenda.insert((at, one, false));
                continue;
            }
            let start = pacing.place(now);
            starts.push(start);
            // A start takes up to five seconds, and one in ten fails.
            let known = start + rng.random_range(1000..5000);
            if rng.random_bool(0.1) {
                agenda.insert((known, one, true));
            } else {
                sessions[one].healthy(known);
                back = back.max(known);
            }
        }
        assert!(back <= 90_000, "all are back after {back} ms");
        for at in &starts {
            let second = starts.iter().filter(|other| **other >= *at && **other < at + 1000).count();
            assert!(second <= 21, "{second} starts in a second");
        }
    }
}

#[test]
fn a_failing_session_makes_at_most_the_starts_that_the_policy_allows() {
    for (mut rng, _) in traces(0).take(10_000) {
        let (mut restart, mut now, mut starts) = (Restart::new(POLICY), 0_u64, vec![]);
        while now < 3_600_000 {
            if restart.may_start(now) {
                starts.push(now);
            }
            match restart.exited(ExitClass::Transient, now, &mut rng) {
                Decision::RetryAt(at) | Decision::ProbeAt(at) => now = at.max(now + 1),
                other => panic!("{other:?}"),
            }
        }
        // Six failures open the breaker; then one probe after 1, 2, 4, 8 and each further 15 minutes.
        let in_an_hour = starts.iter().filter(|at| **at < 3_600_000).count();
        assert!(in_an_hour <= 6 + 6, "{in_an_hour} starts");
        for at in &starts {
            let minute = starts.iter().filter(|other| **other >= *at && **other < at + 60_000).count();
            assert!(minute <= 6, "{minute} starts in a minute");
        }
    }
}

#[test]
fn pacing_never_starts_more_than_allowed_in_any_second() {
    for (mut rng, steps) in traces(40).take(20_000) {
        let (mut pacing, mut now, mut places) = (Pacing::per_second(20), 0_u64, vec![]);
        for _ in 0..steps {
            now += rng.random_range(0..80);
            places.push(pacing.place(now));
        }
        for at in &places {
            assert!(places.iter().filter(|other| **other >= *at && **other < at + 1000).count() <= 20);
        }
    }
}

#[test]
fn the_ledger_never_exceeds_a_limit() {
    let users: Vec<_> = (0..3).map(|_| UserId::generate()).collect();
    let sessions: Vec<_> = (0..8).map(|_| SessionId::generate()).collect();
    for (mut rng, steps) in traces(25) {
        let (node, quota) = (rng.random_range(1..6_usize), rng.random_range(1..4_usize));
        let mut ledger = Ledger::new(node);
        // The model: who holds, how many spares stand there, how many are on their way, how many of those must go.
        let (mut held, mut spares) = (HashMap::new(), HashSet::new());
        let (mut warming, mut doomed) = (0_usize, 0_usize);
        for _ in 0..steps {
            match rng.random_range(0..7) {
                0..=2 => {
                    let (session, user) = (rng.random_range(0..8), rng.random_range(0..3));
                    let of_user = held.values().filter(|owner| **owner == user).count();
                    let used = held.len() + spares.len() + warming - doomed;
                    let answer = ledger.reserve(sessions[session], users[user], quota);
                    let holds = held.contains_key(&session);
                    if holds {
                        assert_eq!(answer, Ok(Slot::Held));
                    } else if of_user >= quota {
                        assert_eq!(answer, Err(Refused::Quota { limit: quota }));
                    } else if used < node {
                        assert_eq!(answer, Ok(Slot::Free));
                        held.insert(session, user);
                    } else if !spares.is_empty() {
                        let Ok(Slot::Displaced(spare)) = answer else { panic!("{answer:?}") };
                        assert!(spares.remove(&spare));
                        held.insert(session, user);
                    } else if warming > doomed {
                        assert_eq!(answer, Ok(Slot::AfterWarming));
                        doomed += 1;
                        held.insert(session, user);
                    } else {
                        assert_eq!(answer, Err(Refused::NodeFull { limit: node }));
                    }
                }
                3 => {
                    let session = rng.random_range(0..8);
                    ledger.release(sessions[session]);
                    held.remove(&session);
                }
                4 => {
                    let wanted = rng.random_range(0..3);
                    let room = held.len() + spares.len() + warming - doomed < node;
                    let begins = spares.len() + warming - doomed < wanted && room;
                    assert_eq!(ledger.begin_warming(wanted), begins);
                    warming += usize::from(begins);
                }
                5 if warming > 0 => {
                    let worker = rng.random_bool(0.8).then(WorkerId::generate);
                    warming -= 1;
                    let kept = doomed == 0;
                    assert_eq!(ledger.end_warming(worker), kept);
                    if kept {
                        spares.extend(worker);
                    } else {
                        doomed -= 1;
                    }
                }
                _ => {
                    if let Some(spare) = ledger.take_spare() {
                        assert!(spares.remove(&spare));
                    } else {
                        assert!(spares.is_empty());
                    }
                }
            }
            assert!(held.len() + spares.len() + warming - doomed <= node);
            assert_eq!(ledger.total(), held.len() + spares.len() + warming - doomed);
        }
    }
}

/// The session machine told with what a person would say: is there a driver, is one wanted, was it asked to end.
#[derive(Debug, Default)]
struct SessionModel {
    drivers: Vec<u64>,
    ending: Option<(bool, bool)>,
    /// The login is being removed; whether a start follows.
    forgetting: Option<bool>,
    spawned: u64,
}

#[test]
fn the_session_machine_never_has_two_drivers_and_always_serves_a_stop() {
    for (mut rng, steps) in traces(30) {
        let (mut session, mut model) = (Session::default(), SessionModel::default());
        for _ in 0..steps {
            let old = Incarnation(rng.random_range(0..=model.spawned + 1));
            let logout = rng.random_bool(0.3);
            let again = rng.random_bool(0.4);
            let mode = if logout { StopMode::Logout } else { StopMode::KeepLogin };
            let then = if again { Then::Start } else { Then::Stay };
            let next = match rng.random_range(0..4) {
                0 => Next::Finish,
                1 => Next::Park,
                2 => Next::Wait { until: 5, open: false },
                _ => Next::Wait { until: 5, open: true },
            };
            let input = match rng.random_range(0..9) {
                0 | 1 => Input::Start,
                2 => Input::Stop { mode, then },
                3 => Input::WaitOver,
                4 => Input::DriverLogin(old),
                5 => Input::DriverReady(old),
                6 => Input::DriverConnecting(old),
                7 => Input::Forgotten,
                _ => Input::Exited(old, next),
            };
            let before = session.clone();
            let actions = session.step(input);
            let current = model.drivers.last().copied();
            if let Input::Exited(from, _) = input
                && current == Some(from.0)
            {
                model.drivers.pop();
                if let Some((logout, again)) = model.ending.take() {
                    let spawns = actions.iter().any(|action| matches!(action, Action::Spawn(_)));
                    assert_eq!(spawns, again && !logout, "{before:?} {input:?}");
                    model.forgetting = logout.then_some(again);
                }
            }
            if let Input::DriverLogin(from) | Input::DriverReady(from) | Input::DriverConnecting(from) = input {
                assert!(actions.is_empty());
                if current != Some(from.0) || model.ending.is_some() {
                    assert_eq!(session, before, "a late report has no effect");
                }
            }
            let forgetting = model.forgetting;
            match input {
                Input::Forgotten => {
                    let spawns = actions.iter().any(|action| matches!(action, Action::Spawn(_)));
                    assert_eq!(spawns, forgetting == Some(true), "{before:?}");
                    model.forgetting = None;
                }
                Input::Start | Input::Stop { .. } if forgetting.is_some() => {
                    assert!(actions.is_empty(), "nothing starts or ends while the login is being removed");
                    model.forgetting = Some(matches!(input, Input::Start) || again);
                }
                Input::Stop { .. } if model.drivers.is_empty() => model.forgetting = logout.then_some(again),
                Input::Stop { .. } => {
                    let was_logout = model.ending.is_some_and(|(logout, _)| logout);
                    assert!(matches!(session.phase(), Phase::Stopping { .. }), "a stop is served in every state");
                    if model.ending.is_none() || (logout && !was_logout) {
                        assert_eq!(actions, [Action::EndDriver(mode)]);
                    }
                    model.ending = Some((logout || was_logout, again));
                }
                Input::Start if model.ending.is_some() => {
                    model.ending = model.ending.map(|(logout, _)| (logout, true));
                }
                _ => {}
            }
            for action in &actions {
                if let Action::Spawn(incarnation) = action {
                    model.spawned += 1;
                    assert_eq!(incarnation.0, model.spawned, "each start has a number of its own");
                    model.drivers.push(incarnation.0);
                }
            }
            assert!(model.drivers.len() <= 1, "two drivers: {before:?} {input:?}");
            assert_eq!(session.has_driver(), !model.drivers.is_empty(), "{before:?} {input:?}");
        }
        // Whatever happened: a stop, the driver's end and a removed login lead to rest.
        session.step(Input::Stop { mode: StopMode::KeepLogin, then: Then::Stay });
        if let Some(driver) = model.drivers.last() {
            session.step(Input::Exited(Incarnation(*driver), Next::Finish));
        }
        session.step(Input::Forgotten);
        assert_eq!(session.phase(), Phase::Stopped);
    }
}
