//! Everything is lost but a backup and the master key.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use wardroom_load::house::{House, SOON, until};
use wardroom_load::postgres::Postgres;

const CHAT: &str = "491700002@c.us";
const CANARY: &str = "canary-51c0";

/// A linked session with a message and a file that came.
async fn furnish(house: &House) -> Vec<Value> {
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.network.send("491700002", "491700001", CANARY).await;
    let files = format!("/api/phones/491700002/files?to=491700001&kind=document&filename={CANARY}.txt");
    let url = format!("http://127.0.0.1:{}{files}", house.network.port);
    let sent = reqwest::Client::new().post(url).header("content-type", "text/plain").body(CANARY).send().await.unwrap();
    assert!(sent.status().is_success());
    until("it is heard", SOON, || async {
        let all = house.messages("default", CHAT).await;
        let is_kept = || fs::read_dir(house.data().join("media")).is_ok_and(|mut found| found.next().is_some());
        (all.len() == 2 && is_kept()).then_some(all)
    })
    .await
}

fn contains(path: &Path, text: &str) -> bool {
    fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
}

async fn lost_and_restored(mut house: House, empty: impl AsyncFn(&mut House)) {
    let messages = furnish(&house).await;
    let device = house.network.devices("491700001").await;
    // Beside the server, which goes on and has a login that is fresh.
    house.ask("POST", "/api/sessions/default/restart", None).await.ok();
    house.is("default", "WORKING").await;
    let file = house.dir.path().join("house.backup");
    let path = file.to_str().unwrap().to_owned();
    let printed = house.run(&["backup", "create", &path]);
    assert!(printed.contains("the database") && !printed.contains(" 0 parts of logins"), "{printed}");
    house.is("default", "WORKING").await;
    assert!(house.run(&["backup", "verify", &path]).contains("is whole"));
    for secret in [CANARY, "491700001", "owner", "journal", &house.data().display().to_string()] {
        assert!(!contains(&file, secret), "{secret}");
    }
    let again = house.command().args(["backup", "create", &path]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"), "{again:?}");
    house.close().await;
    let full = house.command().args(["backup", "restore", &path]).output().unwrap();
    assert!(String::from_utf8_lossy(&full.stderr).contains("already"), "{full:?}");

    // What is damaged, cut off, or sealed with another key restores nothing.
    let bytes = fs::read(&file).unwrap();
    let other = house.dir.path().join("other.hex");
    fs::write(&other, "ab".repeat(32)).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let tries = [
        (flipped, &["verify"][..], "does not open"),
        (bytes[..bytes.len() - 1].to_vec(), &["verify"], ""),
        (bytes.clone(), &["verify", "--kek", other.to_str().unwrap()], "that one is needed"),
        (b"no backup at all, but long enough".to_vec(), &["verify"], "this is no backup"),
    ];
    for (bytes, words, says) in tries {
        let bad = house.dir.path().join("bad.backup");
        fs::write(&bad, bytes).unwrap();
        let out = house.command().arg("backup").args(words).arg(&bad).output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && error.contains(says), "{words:?}: {error}");
    }

    // The machine is gone. What is left is the backup and the key.
    let key = fs::read(house.data().join("kek.hex")).unwrap();
    fs::remove_dir_all(house.data()).unwrap();
    fs::create_dir(house.data()).unwrap();
    fs::write(house.data().join("kek.hex"), key).unwrap();
    fs::set_permissions(house.data().join("kek.hex"), fs::Permissions::from_mode(0o600)).unwrap();
    empty(&mut house).await;
    let printed = house.run(&["backup", "restore", &path]);
    assert!(printed.contains("Restored"), "{printed}");
    assert!(house.run(&["key", "verify"]).contains("sealed items open"));
    assert!(house.run(&["audit", "verify"]).contains(" hold\n"));
    house.open().await;
    house.is("default", "WORKING").await;
    assert_eq!(house.network.devices("491700001").await, device, "nobody has scanned");
    assert_eq!(house.messages("default", CHAT).await, messages);
    house.network.send("491700002", "491700001", "and on").await;
    until("it goes on", SOON, || async {
        (house.messages("default", CHAT).await.len() > messages.len()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_on_sqlite_comes_back_from_its_backup() {
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    lost_and_restored(house, async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_on_postgresql_comes_back_from_its_backup() {
    let (postgres, fresh) = (Postgres::start().await, Postgres::start().await);
    let (url, other) = (postgres.plain().await, fresh.plain().await);
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__DATABASE__URL", url.as_str())];
    let house = House::with(&settings, &[]).await;
    lost_and_restored(house, async |house| house.set("WARDROOM__DATABASE__URL", &other)).await;
}
