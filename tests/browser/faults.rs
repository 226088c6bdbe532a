//! Faults and kills in small; `make chaos` runs the same in full, with figures.

use std::time::Duration;
use wardroom_load::bench::flood;
use wardroom_load::faults::Fault;
use wardroom_load::scenarios::kills::{Kills, Phase};
use wardroom_load::scenarios::moments::{Moments, PANICS};
use wardroom_load::scenarios::recovery::{self, Size};
use wardroom_load::scenarios::{cycles, store};

async fn is_survived(fault: Fault) {
    let size = Size {
        sessions: 2,
        health: Duration::from_secs(3),
        per_second: 20.0,
        reset_after: Some(Duration::from_secs(1)),
    };
    let result = recovery::run(fault, &size).await;
    eprintln!("{:?} {:?}", result.courses, result.untouched);
    result.verdict.assert_clean();
    assert!(result.verdict.counted > 100, "{}", result.verdict);
    assert_eq!(result.noticed, 0, "the untouched session was restarted");
}

macro_rules! faults {
    ($($name:ident: $fault:ident;)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            is_survived(Fault::$fault).await;
        }
    )* };
}

faults! {
    a_killed_browser_costs_no_message: KillBrowser;
    a_crashed_page_costs_no_message: CrashPage;
    a_hung_page_costs_no_message: HangPage;
    a_stopped_browser_costs_no_message: StopBrowser;
    a_dropped_socket_costs_no_message: DropSocket;
    a_dead_socket_costs_no_message: DeadSocket;
}

async fn are_survived(seed: u64, phases: &[Phase]) {
    let mut kills = Kills::begin(seed).await;
    for phase in phases {
        kills.kill(*phase).await;
    }
    let verdict = kills.judge().await;
    verdict.assert_clean();
    assert!(verdict.suppressed <= phases.len(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_server_on_the_way_of_a_message_lose_nothing() {
    use Phase::{CommitToAgent, OutboxToPage, PageToCommit, PageToMark};
    are_survived(1, &[PageToCommit, CommitToAgent, OutboxToPage, PageToMark].repeat(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_server_around_a_login_cost_no_scan() {
    use Phase::{Boot, JustLinked, Linking, Snapshot};
    are_survived(2, &[Linking, JustLinked, Snapshot, Boot].repeat(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_may_be_restarted_under_load() {
    let result = store::postgres_restarts().await;
    result.verdict.assert_clean();
    assert!(result.refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_may_lock_the_database() {
    // One request was refused, or this would not have come to an end; those that waited behind it may all be accepted.
    let result = store::sqlite_is_locked().await;
    result.verdict.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_may_be_full() {
    let Some(result) = store::disk_is_full().await else {
        return eprintln!("not run: mounting a small file system takes root");
    };
    result.verdict.assert_clean();
    assert!(result.refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_starts_and_stops_leave_nothing_behind() {
    let (before, after) = cycles::run(50).await;
    assert!(cycles::is_clean(&before, &after), "{before:?} {after:?}");
}

#[test]
fn a_flood_of_one_session_is_refused_and_nobody_elses_trouble() {
    let flooded = flood::run(Duration::from_secs(3));
    assert_eq!(flooded.sent, flooded.done + flooded.refused);
    assert!(flooded.done > 0 && flooded.refused > flooded.done, "{} of {}", flooded.done, flooded.sent);
    assert!(flooded.growth < 64 << 20, "memory grew by {} MB", flooded.growth >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_a_slow_journal_and_a_jumping_clock_cost_no_message() {
    let mut moments = Moments::begin().await;
    for moment in ["journal.commit", "agent.commit", "driver.pulled", "webhook.heard"] {
        let (moment, drivers) = PANICS.into_iter().find(|(name, _)| *name == moment).unwrap();
        moments.panic(moment, drivers).await;
    }
    moments.slow_journal(Duration::from_millis(300)).await;
    moments.clock_jump(24).await;
    moments.judge().await.assert_clean();
}
