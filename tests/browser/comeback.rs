//! A linked session comes back without a scan, and nothing is lost meanwhile.

use crate::supervision::walk;
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wardroom_load::house::{House, KEY, SOON, signal, until};

fn ids(messages: &[Value]) -> Vec<String> {
    let bare = |message: &Value| message["id"].as_str().unwrap().split('_').next_back().unwrap().to_owned();
    messages.iter().map(bare).collect()
}

/// Phones and the API agree on ids and order.
async fn same_at_both_ends(house: &House, key: &str, session: &str, number: &str, other: &str, count: usize) {
    until("all messages are recorded", SOON, || async {
        (house.messages_as(key, session, &format!("{other}@c.us")).await.len() == count).then_some(())
    })
    .await;
    let here = ids(&house.messages_as(key, session, &format!("{other}@c.us")).await);
    let there: Vec<_> = house.network.messages(number).await;
    let there: Vec<_> = there.into_iter().filter(|one| one["chat"] == format!("{other}@c.us")).collect();
    assert_eq!(here, ids(&there), "{session}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_sessions_of_two_tenants_come_back_and_miss_nothing() {
    let mut house = House::start().await;
    let second = house.tenant("second");
    let five: Vec<(String, String, String)> = (0..5)
        .map(|n| {
            let key = if n < 3 { KEY.to_owned() } else { second.clone() };
            (key, format!("s{n}"), format!("49170000{n}"))
        })
        .collect();
    house.network.phone("491799999", "Customer").await;
    for (key, session, number) in &five {
        house.link_as(key, session, number).await;
    }
    for round in 1..=2 {
        if round == 1 {
            assert!(house.close().await < Duration::from_secs(20));
        } else {
            house.kill();
        }
        until("no browser is left", SOON, || async { house.browsers().is_empty().then_some(()) }).await;
        for n in 0..200 {
            for (_, _, number) in &five {
                house.network.send("491799999", number, &format!("{n} to {number}")).await;
            }
        }
        house.open().await;
        for (key, session, _) in &five {
            house.is_as(key, session, "WORKING").await;
        }
        for (key, session, number) in &five {
            same_at_both_ends(&house, key, session, number, "491799999", 200 * round).await;
            // The simulator unlinks a page that cannot sign with its old key, and names each link anew.
            assert_eq!(house.network.devices(number).await.len(), 1);
        }
    }
    let repeats = house.network.ask("GET", "/api/repeats", None).await.ok();
    assert!(repeats.as_array().unwrap().is_empty(), "{repeats}");
}

async fn comes_back_after_a_kill(seconds: u64, of_server: bool) {
    let mut house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let device = house.network.devices("491700001").await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    if of_server {
        house.kill();
        until("no browser is left", SOON, || async { house.browsers().is_empty().then_some(()) }).await;
        house.network.send("491700002", "491700001", "while down").await;
        house.open().await;
    } else {
        let before = house.get("/api/sessions/default/status").await["incarnation"].as_u64().unwrap();
        for pid in house.browsers() {
            // Helpers of a browser that was just killed may be gone already.
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        house.network.send("491700002", "491700001", "while down").await;
        until("a new driver was started", SOON, || async {
            let state = house.get("/api/sessions/default/status").await;
            (state["incarnation"].as_u64()? > before).then_some(())
        })
        .await;
    }
    house.is("default", "WORKING").await;
    assert_eq!(house.network.devices("491700001").await, device, "linked anew");
    let message = until("the message is here", SOON, || async {
        house.messages("default", "491700002@c.us").await.first().cloned()
    })
    .await;
    assert_eq!(message["body"], "while down");
}

macro_rules! kills {
    ($($name:ident: $seconds:literal, $server:literal;)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            comes_back_after_a_kill($seconds, $server).await;
        }
    )* };
}

kills! {
    server_killed_at_once_after_linking: 0, true;
    server_killed_1_s_after_linking: 1, true;
    server_killed_5_s_after_linking: 5, true;
    server_killed_30_s_after_linking: 30, true;
    browser_killed_at_once_after_linking: 0, false;
    browser_killed_1_s_after_linking: 1, false;
    browser_killed_5_s_after_linking: 5, false;
    browser_killed_30_s_after_linking: 30, false;
}

/// Where the house's browser works.
fn profile(house: &House) -> PathBuf {
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", house.browsers()[0])).unwrap();
    PathBuf::from(line.split('\0').find_map(|argument| argument.strip_prefix("--user-data-dir=")).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_killed_in_the_middle_of_a_write_keeps_the_login() {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let device = house.network.devices("491700001").await;
    let profile = profile(&house);
    for round in 0..3 {
        house.kill();
        until("no browser is left", SOON, || async { house.browsers().is_empty().then_some(()) }).await;
        let files = walk(&profile.join("Default/IndexedDB"));
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let logs = files.iter().filter(|path| path.ends_with(".log") || name(path).starts_with("MANIFEST-"));
        let mut torn = 0;
        for log in logs {
            // The header of a record of 424 bytes that never came.
            let mut file = std::fs::OpenOptions::new().append(true).open(log).unwrap();
            file.write_all(&[0x3f, 0x51, 0xe3, 0x18, 0xa8, 0x01, 1]).unwrap();
            torn += 1;
        }
        assert!(torn >= 2, "no logs in {files:?}");
        house.network.send("491700002", "491700001", &format!("before {round}")).await;
        house.open().await;
        house.is("default", "WORKING").await;
        // The browser appends to its logs.
        house.network.send("491700002", "491700001", &format!("after {round}")).await;
        until("both messages are here", SOON, || async {
            (house.messages("default", "491700002@c.us").await.len() == 2 * (round + 1)).then_some(())
        })
        .await;
    }
    assert_eq!(house.network.devices("491700001").await, device, "linked anew");
    let log = house.log();
    assert!(!log.contains("lost its login") && log.contains("half a record is taken out"), "{log}");
}

/// The browser dies and its profile is damaged: the session comes back from its snapshot, without a scan, in a new profile.
async fn comes_back_from_the_snapshot(damage: fn(&Path)) {
    let settings = [
        ("WARDROOM__BROWSER__LAUNCH_TIMEOUT_S", "5"),
        ("WARDROOM__BROWSER__SNAPSHOT_EVERY_S", "2"),
        ("WARDROOM__POOL__WARM_SPARES", "0"),
    ];
    let house = House::with(&settings, &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let device = house.network.devices("491700001").await;
    let snapshots = house.data().join("snapshots");
    until("there is a snapshot", SOON, || async {
        walk(&snapshots).iter().any(|path| path.ends_with("current")).then_some(())
    })
    .await;
    let before = profile(&house);
    damage(&before);
    for pid in house.browsers() {
        let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
    house.network.send("491700002", "491700001", "while damaged").await;
    until("the message is here", Duration::from_secs(60), || async {
        house.messages("default", "491700002@c.us").await.first().cloned()
    })
    .await;
    house.is("default", "WORKING").await;
    assert_eq!(house.network.devices("491700001").await, device, "linked anew");
    assert!(!before.exists(), "the damaged profile is still there");
    assert_ne!(profile(&house), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_which_no_browser_starts_gives_way_to_the_snapshot() {
    // The browser writes its port where a directory is.
    comes_back_from_the_snapshot(|profile| {
        std::fs::remove_file(profile.join("DevToolsActivePort")).unwrap();
        std::fs::create_dir_all(profile.join("DevToolsActivePort/x")).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_has_lost_the_login_gives_way_to_the_snapshot() {
    comes_back_from_the_snapshot(|profile| {
        for part in ["IndexedDB", "Local Storage"] {
            std::fs::remove_dir_all(profile.join("Default").join(part)).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_was_accepted_is_sent_once_although_the_server_was_killed() {
    let mut house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let texts: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    let client = reqwest::Client::new();
    for text in &texts {
        let body = serde_json::json!({"chatId": "491700002", "text": text});
        let url = format!("http://127.0.0.1:{}/api/sendText", house.http);
        let request = client.post(url).header("x-api-key", KEY).header("prefer", "respond-async").json(&body);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }
    house.kill();
    house.open().await;
    house.is("default", "WORKING").await;
    let shown = until("all texts are at the phone", SOON, || async {
        let shown = house.network.messages("491700002").await;
        (shown.len() >= texts.len()).then_some(shown)
    })
    .await;
    let shown: Vec<_> = shown.iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(shown, texts, "once each, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_may_be_killed_as_well_and_remembers_everything() {
    let mut house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.network.send("491700002", "491700001", "before").await;
    let device = house.network.devices("491700001").await;
    house.network.restart().await;
    assert_eq!(house.network.messages("491700002").await[0]["text"], "before");
    assert_eq!(house.network.devices("491700001").await, device);
    house.network.send("491700002", "491700001", "after").await;
    until("both are recorded", SOON, || async {
        (house.messages("default", "491700002@c.us").await.len() == 2).then_some(())
    })
    .await;
    house.is("default", "WORKING").await;
    house.network.fault("491700001", "slow", 3).await;
    house.network.send("491700002", "491700001", "late").await;
    until("the late one is recorded", SOON, || async {
        (house.messages("default", "491700002@c.us").await.len() == 3).then_some(())
    })
    .await;
    house.network.fault("491700001", "logout", 1).await;
    house.is("default", "FAILED").await;
    assert_eq!(house.get("/api/sessions/default/status").await["reason"], "unpaired");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_server_of_a_data_directory_refuses_with_a_sentence() {
    let house = House::start().await;
    let second = house.command().arg("serve").output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another Wardroom server is using"), "{said}");
    signal(house.pid(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_master_key_is_refused_with_a_sentence() {
    let mut house = House::start().await;
    house.close().await;
    let kek = house.data().join("kek.hex");
    let right = std::fs::read_to_string(&kek).unwrap();
    let write = |key: &str| {
        std::fs::write(&kek, key).unwrap();
        std::fs::set_permissions(&kek, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    let refuses = |key: Option<&str>, production: bool| {
        match key {
            Some(key) => write(key),
            None => std::fs::remove_file(&kek).unwrap(),
        }
        let mut command = house.command();
        if production {
            command.env("WARDROOM__ENVIRONMENT", "production");
        }
        let out = command.arg("serve").output().unwrap();
        assert!(!out.status.success());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(refuses(Some(&"ab".repeat(32)), false).contains("not the master key that the database was sealed with"));
    assert!(refuses(Some("nonsense"), false).contains("64 hex digits"));
    assert!(refuses(None, true).contains("wardroom key generate"));
    write(&right);
    assert!(!house.log().contains(&"ab".repeat(32)));
    house.run(&["key", "check"]);
}
