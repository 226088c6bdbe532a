//! Bad input gets a clear error and changes nothing.

use crate::login::{rows, worker_files};
use serde_json::json;
use std::io::{Read, Write};
use wardroom_load::house::{House, KEY};

const TABLES: [&str; 8] = ["tenants", "users", "api_keys", "sessions", "chats", "chat_aliases", "outbox", "journal"];

fn counts(house: &House) -> (Vec<i64>, usize, usize) {
    let rows = TABLES.map(|table| rows(house, table)).to_vec();
    (rows, house.browsers().len(), worker_files(house))
}

/// A request that no client library would send; answers its status.
fn raw(house: &House, request: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", house.http)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 64];
    let length = stream.read(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_changes_nothing() {
    let house = House::start().await;
    house.link("default", "491700001").await;
    let before = counts(&house);
    let post = |path: &'static str, body| house.ask("POST", path, Some(body));
    let text = |chat: &str, text: &str| json!({"session": "default", "chatId": chat, "text": text});
    for chat in ["", "x", "+49170", "1@c.us@c.us", "1@evil", "../../x", &"1".repeat(100)] {
        assert_eq!(post("/api/sendText", text(chat, "x")).await.refused(400), "bad_request", "{chat}");
    }
    let wrong = [
        ("/api/sendText", json!({"session": "default", "chatId": 7, "text": "x"})),
        ("/api/sendText", json!({"session": "default", "chatId": "1"})),
        ("/api/sendText", text("491700002", "")),
        ("/api/sendText", text("491700002", &"x".repeat(65_537))),
        ("/api/sendText", json!([1, 2])),
        ("/api/sessions", json!({"name": "x", "config": 7})),
        ("/api/sessions", json!({"name": "x", "config": {"metadata": {"a": {"b": 1}}}})),
        ("/api/sessions", json!({"name": "x", "config": {"network": "moon"}})),
        ("/api/sessions", json!({"name": "x", "config": {"proxy": {"server": "localhost:3128"}}})),
        ("/api/sessions", json!({"name": "x", "config": {"webhooks": [{}]}})),
        ("/api/sessions", json!({"name": "x", "config": {"webhooks": [{"url": "ftp://example.com"}]}})),
        ("/api/sessions", json!({"name": "x", "config": {"webhooks": vec![json!({"url": "http://example.com"}); 21]}})),
        ("/api/sessions", json!({"name": "x", "config": {"webhooks": [{"url": "http://example.com", "events": 7}]}})),
        (
            "/api/sessions",
            json!({"name": "x", "config": {"webhooks": [{"url": "http://example.com",
            "customHeaders": [{"name": "no good", "value": "x"}]}]}}),
        ),
        ("/api/sessions", json!({"name": "x", "user": ""})),
        ("/api/sessions", json!({"name": "x", "start": "maybe"})),
        ("/api/default/auth/request-code", json!({"phoneNumber": "12"})),
    ];
    for (path, body) in wrong {
        assert_eq!(post(path, body.clone()).await.refused(400), "bad_request", "{path} {body}");
    }
    assert_eq!(
        post("/api/sendText", text("491700002", &"x".repeat(2_000_000))).await.refused(413),
        "payload_too_large"
    );
    assert_eq!(
        post("/api/sendText", json!({"session": "none", "chatId": "1", "text": "x"})).await.refused(404),
        "session_not_found"
    );

    let get = |path: &'static str| house.ask("GET", path, None);
    for path in [
        "/api/sessions/none",
        "/api/none/chats",
        "/api/sessions/..%2f..%2fetc",
        "/api/sessions/a%00b",
        "/api/%2e%2e/chats",
    ] {
        get(path).await.refused(404);
    }
    for path in
        ["/api", "/api/", "/nothing", "/dashboard/..%2fconfig.toml", "/dashboard/app.css", "/api/default/chats/1/2/3"]
    {
        assert_eq!(get(path).await.refused(404), "not_found", "{path}");
    }
    for path in [
        "/api/default/chats?limit=0",
        "/api/default/chats?limit=x",
        "/api/default/chats?limit=100000",
        "/api/default/chats/1@c.us/messages?sortOrder=up",
        "/api/default/chats/1@c.us/messages?offset=18446744073709551615",
        "/api/default/chats/..%2f/messages",
        "/api/default/auth/qr?format=tiff",
    ] {
        assert_eq!(get(path).await.refused(400), "bad_request", "{path}");
    }
    for (method, path, allow) in [
        ("PATCH", "/api/sessions", "GET, POST"),
        ("POST", "/api/sessions/default", "GET, PUT, DELETE"),
        ("PUT", "/api/sendText", "POST"),
        ("DELETE", "/api/default/chats", "GET"),
    ] {
        let answer = house.ask(method, path, None).await;
        assert_eq!(answer.refused(405), "method_not_allowed");
        assert_eq!(answer.headers["allow"], allow);
    }
    let status = get("/api/default/auth/qr").await;
    assert_eq!(status.refused(422), "session_status");
    assert_eq!((&status.json()["status"], &status.json()["expected"]), (&json!("WORKING"), &json!(["SCAN_QR_CODE"])));

    for request in [
        format!("GET /api/sessions HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n", "\u{7f}"),
        format!("GET /api/sessions/{} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\r\n", "x".repeat(5000)),
        format!(
            "POST /api/sendText HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{{"
        ),
        format!(
            "POST /api/sendText HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}"
        ),
        "NONSENSE\r\n\r\n".to_owned(),
    ] {
        let status = raw(&house, &request);
        assert!((400..500).contains(&status), "{status}: {request:.60}");
    }
    assert_eq!(counts(&house), before);
    assert!(!house.log().contains("ERROR"), "nothing of this is the server's fault");
    assert_eq!(post("/api/sendText", text("4999999999", "x")).await.refused(422), "not_on_whatsapp");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_text_arrives_whole() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let text = "ä\u{2028}\"\\</script>".chars().cycle().take(20_000).collect::<String>();
    let sent = house.post("/api/sendText", json!({"chatId": "491700002", "text": text})).await;
    assert_eq!(sent["body"], text.as_str());
    assert_eq!(house.network.messages("491700002").await[0]["text"], text.as_str());
}
