//! What supervision shows, and what it does in quiet.

use serde_json::json;
use std::time::Duration;
use wardroom_load::faults::{Fault, course, strike};
use wardroom_load::house::{House, KEY, SOON, until};
use wardroom_load::scenarios::{link, sockets};

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_tells_what_happened_and_the_metrics_count_it() {
    let house = House::start().await;
    let other = house.tenant("other");
    let players = link(&house, 1).await;
    let at = strike(&house, &players[0], Fault::KillBrowser).await;
    course(&house, &players[0], at, SOON).await;
    let branch = house.branch(KEY, "s0").await;
    assert_eq!((&branch["status"], &branch["incarnation"]), (&json!("WORKING"), &json!(2)));
    assert_eq!((&branch["restartsInWindow"], &branch["breaker"]), (&json!(1), &json!("closed")));
    let steps: Vec<_> =
        branch["timeline"].as_array().unwrap().iter().map(|one| one["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["started", "ready", "ended", "started", "ready"]);
    assert_eq!(branch["timeline"][3]["cause"], "crashed");
    assert!(branch["timeline"][4]["recoveryMs"].as_u64().unwrap() > 0);
    let worker = until("the new worker is known", SOON, || async {
        let worker = house.branch(KEY, "s0").await["worker"].clone();
        worker["pid"].is_u64().then_some(worker)
    })
    .await;
    assert!(worker["memory"].as_u64().unwrap() > 10 << 20 && worker["processes"].as_u64().unwrap() > 2, "{worker}");
    let theirs = house.ask_as(&other, "GET", "/api/supervision", None).await.ok();
    assert_eq!(theirs["node"]["tenants"][0]["sessions"], json!([]), "another tenant's sessions are not shown");
    assert_eq!(house.metric("wardroom_restarts_total{cause=\"crashed\"}").await, 1.0);
    assert_eq!(house.metric("wardroom_recovery_seconds_count{cause=\"crashed\"}").await, 1.0);
    assert_eq!(house.metric("wardroom_driver_exits_total{reason=\"crashed\"}").await, 1.0);
    assert!(house.metric("wardroom_worker_memory_bytes").await > 1e7);
    let health = house.get("/api/health/detailed").await;
    assert_eq!(health["status"], "healthy", "{health}");
    for check in ["store", "journal", "arbiters", "workers", "disk", "sessions"] {
        assert_eq!(health["checks"][check]["status"], "healthy", "{health}");
    }
    house.network.fault(&players[0].number, "ban", 1).await;
    house.is("s0", "FAILED").await;
    let health = house.get("/api/health/detailed").await;
    assert_eq!((&health["status"], &health["checks"]["sessions"]["status"]), (&json!("degraded"), &json!("degraded")));
    assert_eq!(house.anonymous("GET", "/api/supervision", None).await.refused(401), "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_mend_is_left_to_a_person() {
    let house = House::start().await;
    let players = link(&house, 3).await;
    for (player, (fault, reason)) in
        players.iter().zip([("ban", "banned"), ("logout", "unpaired"), ("outdated", "outdated")])
    {
        house.network.fault(&player.number, fault, 1).await;
        house.is(&player.session, "FAILED").await;
        let branch = house.branch(KEY, &player.session).await;
        assert_eq!(branch["lastExit"]["reason"], reason);
        assert!(branch["lastExit"]["userAction"].as_str().is_some_and(|action| action.len() > 20), "{branch}");
        assert_eq!(branch["nextAttemptAt"], json!(null));
    }
    let snapshots = house.data().join("snapshots");
    let kept = walk(&snapshots).into_iter().filter(|path| path.ends_with("current")).count();
    assert_eq!(kept, 2, "a login that was not removed by its phone is kept");
    tokio::time::sleep(Duration::from_secs(3)).await;
    for player in &players {
        assert_eq!(house.branch(KEY, &player.session).await["incarnation"], 1, "nobody tries again");
    }
}

pub fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        found.extend(walk(&entry.path()));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_uses_too_much_is_replaced_in_a_quiet_moment() {
    let settings = [
        ("WARDROOM__BROWSER__MEMORY_MB", "1"),
        ("WARDROOM__BROWSER__WATCH_EVERY_S", "1"),
        ("WARDROOM__BROWSER__QUIET_S", "3600"),
        ("WARDROOM__POOL__WARM_SPARES", "0"),
    ];
    let house = House::with(&settings, &[]).await;
    let players = link(&house, 1).await;
    // Far above twice the budget: that is not waited for.
    until("the worker was replaced", SOON, || async {
        let branch = house.branch(KEY, "s0").await;
        let steps = branch["timeline"].as_array()?.clone();
        steps.iter().any(|step| step["step"] == "ended" && step["reason"] == "recycled").then_some(())
    })
    .await;
    assert_eq!(house.branch(KEY, "s0").await["restartsInWindow"], 0, "it is no failure");
    house.network.send(&players[0].other, &players[0].number, "still there?").await;
    until("the message is here", SOON, || async {
        let heard = house.messages("s0", &format!("{}@c.us", players[0].other)).await;
        heard.iter().any(|one| one["body"] == "still there?").then_some(())
    })
    .await;
    assert_eq!(house.network.devices(&players[0].number).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_set_aside_listed_and_handled_again_when_somebody_says_so() {
    let mut house = House::start().await;
    house.listen().await;
    let players = link(&house, 1).await;
    house.close().await;
    house.failpoint = Some(["panic:chat.handle@1"; 3].join(","));
    house.open().await;
    house.is("s0", "WORKING").await;
    house.network.send(&players[0].other, &players[0].number, "poison").await;
    house.network.send(&players[0].other, &players[0].number, "after it").await;
    let letter =
        until("a dead letter", SOON, || async { house.get("/api/dead-letters").await.as_array()?.first().cloned() })
            .await;
    assert_eq!((&letter["session"], &letter["kind"]), (&json!("s0"), &json!("message")));
    assert_eq!(letter["signal"]["body"], "poison");
    let told = |house: &House| house.receiver.as_ref().map_or(0, |receiver| receiver.told().len());
    until("the chat goes on", SOON, || async { (told(&house) == 1).then_some(()) }).await;
    let replay = format!("/api/dead-letters/{}/replay", letter["id"]);
    let other = house.tenant("other");
    assert_eq!(house.ask_as(&other, "POST", &replay, None).await.refused(404), "not_found");
    assert_eq!(house.ask("POST", &replay, None).await.status, 202);
    until("it is handled", SOON, || async { (told(&house) == 2).then_some(()) }).await;
    assert_eq!(house.get("/api/dead-letters").await, json!([]));
    assert_eq!(house.ask("POST", &replay, None).await.refused(404), "not_found");
    assert_eq!(house.ask("GET", "/api/dead-letters?limit=0", None).await.refused(400), "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_socket_is_cut_off_and_a_patient_one_misses_nothing() {
    let seen = sockets::run(20_000).await;
    assert_eq!(seen.heard, 20_000);
    assert!(seen.evicted, "a stalled client was not cut off");
    assert!(seen.growth < 4 << 20, "each cost {} bytes", seen.growth);
}
