//! Linking and unlinking, and every way in which starts, stops and deletions can cross each other.

use serde_json::json;
use std::time::Duration;
use wardroom_load::house::{House, SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_code_links_like_a_scan() {
    let house = House::start().await;
    house.network.phone("491700001", "Ada").await;
    house.create("default").await;
    house.qr("default").await;
    let code = house.post("/api/default/auth/request-code", json!({"phoneNumber": "491700001"})).await;
    let code = code["code"].as_str().unwrap().to_owned();
    assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'), "{code}");
    let pair = |code: &str| house.network.ask("POST", "/api/phones/491700001/pair", Some(json!({"code": code})));
    assert_eq!(pair("WRONGONE").await.status, 404);
    assert_eq!(pair(&code).await.status, 204);
    house.is("default", "WORKING").await;
    let bad = house.ask("POST", "/api/default/auth/request-code", Some(json!({"phoneNumber": "+49 1"}))).await;
    assert_eq!(bad.refused(400), "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_rotate_and_the_login_fails_when_nobody_scans() {
    let short = [("WARDROOM__LOGIN__QR_FIRST_MS", "2500"), ("WARDROOM__LOGIN__QR_NEXT_MS", "1500")];
    let house = House::with(&short, &["--qr-first-ms", "2500", "--qr-next-ms", "1500"]).await;
    house.network.phone("491700001", "Ada").await;
    house.create("default").await;
    let mut seen: Vec<String> = vec![];
    until("the login fails", SOON, || {
        let (house, seen) = (&house, &mut seen);
        let code = async move {
            let answer = house.ask("GET", "/api/sessions/default/status", None).await.ok();
            let status = answer["status"].as_str()?.to_owned();
            if status == "SCAN_QR_CODE" {
                let code = house.ask("GET", "/api/default/auth/qr?format=raw", None).await.json();
                return Some((status, code["value"].as_str().unwrap_or_default().to_owned()));
            }
            Some((status, String::new()))
        };
        let found = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(code));
        let (status, code) = found.unwrap_or_default();
        if !code.is_empty() && !seen.contains(&code) {
            assert_eq!(code.split(',').count(), 5, "five fields: {code}");
            seen.push(code);
        }
        async move { (status == "FAILED").then_some(()) }
    })
    .await;
    assert_eq!(seen.len(), 6, "six codes were shown");
    let state = house.get("/api/sessions/default/status").await;
    assert_eq!(state["reason"], "login_expired");
    assert!(state["userAction"].as_str().unwrap().contains("Restart"));
    let old = house.network.ask("POST", "/api/phones/491700001/scan", Some(json!({"qr": seen[0]}))).await;
    assert_eq!(old.status, 410);
    let none = house.network.ask("POST", "/api/phones/499/scan", Some(json!({"qr": seen[0]}))).await;
    assert_eq!(none.status, 404);
    house.post("/api/sessions/default/restart", json!({})).await;
    let fresh = house.qr("default").await;
    house.network.ask("POST", "/api/phones/491700001/scan", Some(json!({"qr": fresh}))).await.ok();
    house.is("default", "WORKING").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_as_png_base64_and_text() {
    let house = House::start().await;
    house.create("default").await;
    let raw = house.qr("default").await;
    let png = house.ask("GET", "/api/default/auth/qr", None).await;
    assert_eq!(png.headers["content-type"], "image/png");
    let client = reqwest::Client::new();
    let url = format!("http://127.0.0.1:{}/api/default/auth/qr?x-api-key={}", house.http, wardroom_load::house::KEY);
    let base64 = client.get(url).header("accept", "application/json").send().await.unwrap();
    let body: serde_json::Value = base64.json().await.unwrap();
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(body["data"].as_str().unwrap()).unwrap();
    assert_eq!(decoded, png.bytes);
    assert_eq!(body["mimetype"], "image/png");
    // What is drawn is what is said: the code's own modules, read back from the picture.
    let expected = qrcode::QrCode::with_error_correction_level(&raw, qrcode::EcLevel::L).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(&decoded)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let side = usize::try_from(reader.next_frame(&mut pixels).unwrap().width).unwrap();
    let scale = side / (expected.width() + 8);
    for (place, color) in expected.to_colors().iter().enumerate() {
        let (x, y) = (place % expected.width() + 4, place / expected.width() + 4);
        let pixel = pixels[(y * scale + scale / 2) * side + x * scale + scale / 2];
        assert_eq!(pixel == 0, *color == qrcode::Color::Dark);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_unlinks_the_device_and_shows_a_new_code() {
    let house = House::start().await;
    house.link("default", "491700001").await;
    house.post("/api/sessions/default/logout", json!({})).await;
    assert!(house.network.devices("491700001").await.is_empty());
    house.qr("default").await;
    assert!(house.get("/api/sessions/default/me").await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_removes_the_device_parks_the_session() {
    let house = House::start().await;
    house.link("default", "491700001").await;
    house.network.ask("POST", "/api/phones/491700001/unlink", Some(json!({}))).await.ok();
    house.is("default", "FAILED").await;
    let state = house.get("/api/sessions/default/status").await;
    assert_eq!((&state["reason"], &state["phoneNumber"]), (&json!("unpaired"), &json!(null)));
    house.post("/api/sessions/default/restart", json!({})).await;
    house.qr("default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_refuses_parks_and_keeps_the_login() {
    let house = House::start().await;
    house.link("default", "491700001").await;
    for (fault, reason) in [("ban", "banned"), ("outdated", "outdated")] {
        house.network.fault("491700001", fault, 1).await;
        house.is("default", "FAILED").await;
        assert_eq!(house.get("/api/sessions/default/status").await["reason"], reason);
        house.post("/api/sessions/default/restart", json!({})).await;
        house.is("default", "WORKING").await;
        assert_eq!(house.network.devices("491700001").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_passes_heals_by_itself() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    for fault in ["conflict", "crash_page", "hang_page", "drop_socket"] {
        house.network.fault("491700001", fault, 8).await;
        until(&format!("{fault} is noticed"), SOON, || async {
            (house.status_as(wardroom_load::house::KEY, "default").await != "WORKING").then_some(())
        })
        .await;
        let id = house.network.send("491700002", "491700001", fault).await;
        until(&format!("{fault} has healed"), Duration::from_secs(60), || async {
            (house.status_as(wardroom_load::house::KEY, "default").await == "WORKING").then_some(())
        })
        .await;
        until("the message is here", SOON, || async {
            let messages = house.messages("default", "491700002@c.us").await;
            messages.iter().any(|one| one["id"].as_str().unwrap().ends_with(&id)).then_some(())
        })
        .await;
    }
    assert_eq!(house.network.devices("491700001").await.len(), 1);
    assert_eq!(house.messages("default", "491700002@c.us").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn double_start_stop_while_starting_and_start_again() {
    let house = House::start().await;
    house.create("default").await;
    for _ in 0..3 {
        house.post("/api/sessions/default/start", json!({})).await;
    }
    let state = house.get("/api/sessions/default/status").await;
    assert_eq!(state["incarnation"], 1, "one driver");
    let stopped = house.post("/api/sessions/default/stop", json!({})).await;
    assert_eq!(stopped["status"], "STOPPED");
    house.post("/api/sessions/default/stop", json!({})).await;
    house.post("/api/sessions/default/start", json!({})).await;
    house.qr("default").await;
    let all = house.get("/api/sessions").await;
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_while_starting_leaves_nothing_behind() {
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    house.link("kept", "491700001").await;
    let (browsers, profiles) = (house.browsers().len(), worker_files(&house));
    house.create("brief").await;
    let gone = house.ask("DELETE", "/api/sessions/brief", None).await;
    assert_eq!(gone.status, 200);
    assert_eq!(house.ask("GET", "/api/sessions/brief", None).await.refused(404), "session_not_found");
    assert_eq!(house.browsers().len(), browsers);
    assert_eq!(worker_files(&house), profiles);
    house.ask("DELETE", "/api/sessions/brief", None).await.ok();

    house.link("brief", "491700002").await;
    house.network.send("491700001", "491700002", "something to forget").await;
    until("it is recorded", SOON, || async {
        (!house.messages("brief", "491700001@c.us").await.is_empty()).then_some(())
    })
    .await;
    house.ask("DELETE", "/api/sessions/brief", None).await.ok();
    assert!(house.network.devices("491700002").await.is_empty(), "logged out");
    assert_eq!(house.browsers().len(), browsers);
    assert_eq!(worker_files(&house), profiles);
    assert_eq!(rows(&house, "sessions"), 1);
    let of_brief = rows(&house, "chats") + rows(&house, "agent_state") + rows(&house, "outbox");
    assert_eq!(of_brief, rows_of_kept(&house), "only the other session's rows are left");
}

/// Files and directories beside the profiles.
pub fn worker_files(house: &House) -> usize {
    let files = std::fs::read_dir(house.data().join("workers")).into_iter().flatten().flatten();
    // A snapshot that is being made has a directory for a moment.
    files.filter(|file| file.path().extension().is_none_or(|end| end != "stage")).count()
}

pub fn rows(house: &House, table: &str) -> i64 {
    use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
    let url = format!("sqlite://{}?mode=ro", house.data().join("wardroom.db").display());
    let count = async move {
        let database = Box::pin(Database::connect(url)).await.unwrap();
        let statement = Statement::from_string(DbBackend::Sqlite, format!("SELECT count(*) AS n FROM {table}"));
        let row = database.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get::<i64>("", "n").unwrap()
    };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(count))
}

/// The kept session wrote to a phone whose device was the deleted session: its own chat is all that it has.
fn rows_of_kept(house: &House) -> i64 {
    rows(house, "chats").min(1) + rows(house, "agent_state").min(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_and_odd_names() {
    let house = House::start().await;
    let create = |name: &str| {
        let body = json!({"name": name, "start": false, "config": {"network": "simulator"}});
        house.ask("POST", "/api/sessions", Some(body))
    };
    for name in ["sessions", "screenshot", "sendText", "server", "start"] {
        assert_eq!(create(name).await.refused(422), "reserved_name", "{name}");
    }
    for name in ["", "a/b", "..", "-x", "a b", "ü", "a%2Fb", &"x".repeat(55)] {
        assert_eq!(create(name).await.refused(400), "bad_request", "{name}");
    }
    for name in ["restart", "A.b_c-d", "7", "con"] {
        assert_eq!(create(name).await.status, 201, "{name}");
        assert_eq!(house.get(&format!("/api/sessions/{name}")).await["name"], name);
    }
    assert_eq!(create("restart").await.refused(422), "session_exists");
    let made_up = house.post("/api/sessions", json!({"start": false})).await;
    assert!(made_up["name"].as_str().unwrap().starts_with("session_"));
}
