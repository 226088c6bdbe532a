//! Keys that are changed while the server is used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use wardroom_load::bench::handover;
use wardroom_load::house::{House, SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_changed_although_server_and_command_are_killed() {
    let done = handover::run(12).await;
    assert_eq!(done.failed, 0, "every read was answered");
    assert!(done.read > 0 && (1..done.keys).contains(&done.killed_at), "{} of {}", done.killed_at, done.keys);
    assert!(done.sealed > 2 * done.keys - 100, "{}", done.sealed);
    let mut house = done.house;
    let names = || fs::read_dir(house.data()).unwrap().flatten().map(|file| file.file_name().into_string().unwrap());
    assert_eq!(names().filter(|name| name.starts_with("kek.hex.")).count(), 2, "both that were replaced are kept");
    house.close().await;

    // The command is gone before the server is done: the next start puts the new key in its place.
    house.open().await;
    let before = fs::read_to_string(house.data().join("kek.hex")).unwrap();
    let learned = |house: &House| house.log().matches("another master key takes the place").count();
    let earlier = learned(&house);
    let mut command = house.command().args(["key", "rotate"]).stdout(Stdio::null()).spawn().unwrap();
    let next = house.data().join("kek.hex.next");
    until("there is a new key", SOON, || async { next.exists().then_some(()) }).await;
    until("the server knows of it", SOON, || async { (learned(&house) > earlier).then_some(()) }).await;
    command.kill().unwrap();
    command.wait().unwrap();
    until("the server is done", SOON, || async {
        (house.log().matches("the old master key is not needed any more").count() > 2).then_some(())
    })
    .await;
    let refused = house.command().args(["key", "check"]).env("WARDROOM__VAULT__KEK", before.trim()).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("was replaced by another"), "{refused:?}");
    house.close().await;
    house.open().await;
    assert!(house.log().contains("its file has the new one now") && !next.exists());
    assert_ne!(fs::read_to_string(house.data().join("kek.hex")).unwrap(), before);
    house.run(&["key", "check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gives_the_master_key_and_nothing_of_it_is_dumped() {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", house.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    house.close().await;
    // Whoever makes a file, it is nobody else's to read.
    fs::remove_file(house.data().join("wardroom.db")).unwrap();
    house.run(&["migrate"]);
    let mode = fs::metadata(house.data().join("wardroom.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let elsewhere = house.dir.path().join("elsewhere");
    fs::rename(house.data().join("kek.hex"), &elsewhere).unwrap();
    house.set("WARDROOM__VAULT__KEK_COMMAND", &format!("cat,{}", elsewhere.display()));
    house.open().await;
    let told = |arguments: &[&str]| {
        let out = house.command().args(arguments).output().unwrap();
        String::from_utf8(out.stderr).unwrap()
    };
    assert!(told(&["key", "rotate"]).contains("name the file of the new one with --to"));
    let to = house.dir.path().join("to");
    let done = house.run(&["key", "rotate", "--to", to.to_str().unwrap()]);
    assert!(done.contains("From now on the server needs the key in"), "{done}");
    assert!(told(&["key", "check"]).contains("was replaced by another"));
    house.close().await;
    house.set("WARDROOM__VAULT__KEK_COMMAND", "false");
    assert!(!house.try_open().await && house.log().contains("vault.kek_command gave no master key"));
    house.set("WARDROOM__VAULT__KEK_COMMAND", &format!("cat,{}", to.display()));
    house.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deleted_leaves_nothing() {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let key_of = |tenant: &str, user: &str| {
        let printed = house.run(&["keys", "create", "--tenant", tenant, "--user", user]);
        printed.lines().last().unwrap().to_owned()
    };
    house.tenant("other");
    let (fritz, other) = (key_of("default", "fritz"), key_of("other", "owner"));
    house.link("default", "491700001").await;
    house.link_as(&fritz, "his", "491700002").await;
    house.link_as(&other, "theirs", "491700003").await;
    house.network.send("491700001", "491700002", "a text").await;
    let people = house.get("/api/users").await;
    let id = people.as_array().unwrap().iter().find(|one| one["name"] == "fritz").unwrap()["id"].clone();
    house.ask_as(&fritz, "DELETE", &format!("/api/users/{}", id.as_str().unwrap()), None).await.refused(403);
    house.ask("DELETE", &format!("/api/users/{}", id.as_str().unwrap()), None).await.ok();
    assert_eq!(house.ask_as(&fritz, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    until("his device is unlinked and his session gone", SOON, || async {
        let gone = house.network.devices("491700002").await.is_empty();
        (gone && house.get("/api/sessions?all=true").await.as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    until("the last copy of his key is gone", SOON, || async {
        house.log().contains("the last copy of their data key").then_some(())
    })
    .await;
    assert_eq!(house.run(&["key", "verify"]).lines().filter(|line| line.contains("does not open")).count(), 0);

    // A whole tenant, while no server runs.
    house.close().await;
    let refused = house.command().args(["tenants", "delete", "other"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("say --yes"), "{refused:?}");
    house.run(&["tenants", "delete", "other", "--yes"]);
    assert!(!house.run(&["tenants", "list"]).contains("other"));
    house.open().await;
    let logins = || {
        let tenants = fs::read_dir(house.data().join("snapshots")).unwrap().flatten();
        tenants.flat_map(|tenant| fs::read_dir(tenant.path()).unwrap()).count()
    };
    until("nothing is left of it", SOON, || async { (logins() == 1).then_some(()) }).await;
    assert_eq!(house.ask_as(&other, "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    house.is("default", "WORKING").await;
    house.close().await;
    let printed = house.run(&["key", "verify"]);
    assert!(printed.contains("2 users"), "{printed}");
}
