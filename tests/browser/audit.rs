//! What was done, as it stands behind a server that is used, attacked and killed.

use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wardroom_load::house::{House, SOON, until};

const CANARY: &str = "canary-8d1f";

async fn records(house: &House, key: &str) -> Vec<Value> {
    house.ask_as(key, "GET", "/api/audit?limit=500", None).await.ok().as_array().unwrap().clone()
}

/// The newest record of something, when it is there.
async fn told(house: &House, key: &str, what: &str, status: u16) -> Value {
    until(what, SOON, || async {
        let all = records(house, key).await;
        all.into_iter().find(|one| one["what"] == what && (status == 0 || one["status"] == status))
    })
    .await
}

fn exported(house: &House, tenant: &[&str], name: &str) -> String {
    let path = house.dir.path().join(name);
    house.run(&[&["audit", "export", "--to", path.to_str().unwrap()], tenant].concat());
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_recorded_and_nobody_changes_it() {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0")];
    let mut house = House::with(&settings, &[]).await;
    let key = wardroom_load::house::KEY;
    let stranger = house.tenant("stranger");

    // Who makes something, and what; names stand in it, and are nobody else's.
    house.create(CANARY).await;
    let made = told(&house, key, "POST /api/sessions", 201).await;
    assert!(made["by"]["key"].is_string() && made["made"].is_string() && made["user"].is_string(), "{made}");
    assert!(made["request"].as_str().unwrap().starts_with("req_") && made["address"] == "127.0.0.1", "{made}");
    house.ask("POST", &format!("/api/sessions/{CANARY}/stop"), None).await.ok();
    let stopped = told(&house, key, "POST /api/sessions/{session}/stop", 201).await;
    assert_eq!(stopped["path"]["session"], CANARY);
    assert!(told(&house, key, "used", 0).await["by"]["key"].is_string(), "a key was used");

    // Who gets in, and who does not.
    house.person("anna", "viewer").await;
    let wrong = json!({"email": "anna@example.com", "password": CANARY});
    house.anonymous("POST", "/api/auth/token", Some(wrong)).await.refused(401);
    let refused = told(&house, key, "POST /api/auth/token", 401).await;
    assert!(refused["by"] == "claim" && refused["code"] == "unauthorized" && refused["shown"].is_null(), "{refused}");
    let (token, _) = house.sign_in("anna").await;
    let entered = told(&house, key, "POST /api/auth/token", 200).await;
    assert!(entered["by"]["stay"].is_string() && entered["shown"] == json!(["password"]), "{entered}");
    let right = json!({"email": "anna@example.com", "password": wardroom_load::house::PASSWORD});
    house.anonymous("POST", "/dashboard/sign-in", Some(right)).await.ok();
    let entered = told(&house, key, "POST /dashboard/sign-in", 204).await;
    assert!(entered["by"]["stay"].is_string() && entered["shown"] == json!(["password"]), "{entered}");
    for _ in 0..5 {
        house.ask_as(&token, "DELETE", &format!("/api/sessions/{CANARY}"), None).await.refused(403);
    }
    let forbidden = told(&house, key, "DELETE /api/sessions/{session}", 403).await;
    assert_eq!(forbidden["user"], refused["user"]);
    assert!(forbidden["request"].as_str().is_some_and(|id| id.starts_with("req_")), "{forbidden}");
    let again = records(&house, key).await.into_iter().filter(|one| one["what"] == forbidden["what"]).count();
    assert_eq!(again, 1, "the others are counted");
    house.ask_as("no key", "GET", "/api/sessions", None).await.refused(401);
    house.ask_as(&stranger, "GET", &format!("/api/sessions/{CANARY}"), None).await.refused(404);

    // Operators are told of, too, and tenants read of themselves only.
    house.run(&["users", "suspend", "anna"]);
    assert_eq!(told(&house, key, "user viewer suspended", 0).await["by"], "operator");
    let theirs = records(&house, &stranger).await;
    assert!(theirs.iter().any(|one| one["what"] == "tenant created"), "{theirs:?}");
    told(&house, &stranger, "GET /api/sessions/{session}", 404).await;
    let own = exported(&house, &[], "own.jsonl");
    assert!(own.contains("refused") && own.contains("127.0.0.1") && !own.contains(CANARY), "{own}");

    // What was answered stands, although the server is killed.
    house.post("/api/keys", json!({})).await;
    house.kill();
    let printed = house.run(&["audit", "verify"]);
    assert!(printed.lines().filter(|line| line.ends_with(" hold")).count() == 3, "{printed}");
    house.open().await;
    told(&house, key, "POST /api/keys", 201).await;
    for _ in 0..5 {
        house.ask("GET", "/api/sessions/none", None).await.refused(404);
    }
    house.close().await;

    // A copy that left holds by itself, and tells what was changed in it.
    let copy = exported(&house, &["--tenant", "default"], "copy.jsonl");
    assert!(copy.contains(CANARY) && copy.contains("\"times\\\":4"), "{copy}");
    assert!(!exported(&house, &["--tenant", "stranger"], "theirs.jsonl").contains("anna"));
    let public = house.run(&["audit", "verify"]).lines().last().unwrap().to_owned();
    let public = public.trim_start_matches("They are signed by ").trim_end_matches('.').to_owned();
    let verify = |name: &str, key: &str| {
        let file = house.dir.path().join(name);
        let out = house.command().args(["audit", "verify", "--file", file.to_str().unwrap(), "--key", key]).output();
        let out = out.unwrap();
        (out.status.success(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
    };
    let (holds, told) = verify("copy.jsonl", &public);
    assert!(holds && told.contains("default: "), "{told}");
    fs::write(house.dir.path().join("changed.jsonl"), copy.replace("127.0.0.1", "127.0.0.2")).unwrap();
    assert!(!verify("changed.jsonl", &public).0);
    let without: Vec<_> = copy.lines().filter(|line| !line.contains("users")).collect();
    fs::write(house.dir.path().join("short.jsonl"), without.join("\n")).unwrap();
    let (holds, told) = verify("short.jsonl", &public);
    assert!(!holds && told.contains("are missing"), "{told}");
    let cut: Vec<_> = copy.lines().take(4).collect();
    fs::write(house.dir.path().join("cut.jsonl"), cut.join("\n")).unwrap();
    let (holds, told) = verify("cut.jsonl", &public);
    assert!(!holds && told.contains("was cut off"), "{told}");
    assert!(!verify("copy.jsonl", &"0".repeat(64)).0, "somebody else's signature");

    // A tenant that is gone leaves what it did, without names.
    house.run(&["tenants", "delete", "stranger", "--yes"]);
    let printed = house.run(&["audit", "verify"]);
    assert!(printed.lines().filter(|line| line.ends_with(" hold")).count() == 3, "{printed}");
    assert!(exported(&house, &[], "after.jsonl").contains("tenant deleted"));

    // Nothing personal stands open in the database or in the log.
    let files = ["wardroom.db", "wardroom.db-wal"].map(|name| house.data().join(name));
    let bytes: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect();
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!contains("anna@example.com") && !contains("127.0.0.1"));
    assert!(house.log().contains("audit checkpoint"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_for_somebody_who_left_is_recorded() {
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let key = wardroom_load::house::KEY;
    let keys = async || house.get("/api/keys").await.as_array().unwrap().len();
    let before = keys().await;
    // They leave while their request is read, looked at, done, recorded, answered.
    for n in 0..60 {
        let mut client = TcpStream::connect(("127.0.0.1", house.http)).await.unwrap();
        let asked = format!(
            "POST /api/keys HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        client.write_all(asked.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_micros(100 * n)).await;
        // Not a good-bye, after which the answer could still be read.
        client.set_zero_linger().unwrap();
    }
    house.post("/api/keys", json!({})).await;
    let seen = until("as many records as keys", SOON, || async {
        let all = records(&house, key).await;
        let told = all.iter().filter(|one| one["what"] == "POST /api/keys" && one["status"] == 201).count();
        (told == keys().await - before).then_some(told)
    })
    .await;
    assert!(seen > 10, "{seen} of 61 were done");
}
