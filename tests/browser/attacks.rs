//! What somebody hostile tries over the wire, each kind a test. Elsewhere: tokens (`src/auth/token.rs`), addresses that must not be
//! fetched (`src/egress.rs`), sealed items (`src/vault`), slow and large bodies (`edge.rs`), routes (`guard.rs`).

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wardroom_load::house::{Answer, House, KEY, PASSWORD, SOON, until};

const COLD: (&str, &str) = ("WARDROOM__POOL__WARM_SPARES", "0");

/// What comes back for a request that no client would write.
async fn raw(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![];
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_climbs_finds_nothing() {
    let house = House::with(&[COLD], &[]).await;
    let other = house.tenant("other");
    house.post("/api/sessions", json!({"name": "mine", "start": false})).await;
    house.ask_as(&other, "POST", "/api/sessions", Some(json!({"name": "theirs", "start": false}))).await.ok();
    let secret = std::fs::read_to_string(house.data().join("kek.hex")).unwrap();
    for path in [
        "/dashboard/../config.toml",
        "/dashboard/..%2fconfig.toml",
        "/dashboard/%2e%2e/%2e%2e/data/kek.hex",
        "/dashboard/..%5c..%5cdata%5ckek.hex",
        "/dashboard/%2fetc%2fpasswd",
        "/dashboard//etc/passwd",
        "/docs/../../etc/passwd",
        "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/files/..%2f..%2f..%2fkek.hex",
        "/api/files/%2e%2e%2f%2e%2e%2fkek.hex.txt",
        "/api/files/media%2f..%2f..%2fkek.hex",
        "/api/sessions/theirs%2f..%2fmine",
        "/api/sessions/..%2f..%2fhealthz",
        "/api/sessions/mine%00",
        "/api/sessions/mine%0d%0aset-cookie:%20x=y",
        "/api/sessions/%ff%fe",
        "/api/sessions/mine;x=y",
        "/api/sessions/theirs",
        "/api//sessions/mine",
        "//api/sessions/mine",
        "/./api/sessions/mine",
        "/API/sessions/mine",
        "/api/sessions/MINE",
        "/metrics",
        "/blocks",
        "http://127.0.0.1/metrics",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
        let answer = raw(house.http, &request).await;
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        // 422: WAHA has such a path, this server does not.
        assert!([400, 404, 422].contains(&status), "{path}: {answer}");
        for leak in ["root:", secret.trim(), "\"theirs\"", "[http]", "set-cookie"] {
            assert!(!answer.contains(leak), "{path}: {answer}");
        }
    }
    // A name with what means something in a path is no name.
    for name in ["../x", "a/b", "a%2fb", ".", "..", "a\0b", "a\r\nb", "C:\\x", "~", "-rf", &"a".repeat(200)] {
        let answer = house.ask("POST", "/api/sessions", Some(json!({"name": name, "start": false}))).await;
        assert_eq!(answer.status, 400, "{name:?}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    assert_eq!(house.get("/api/sessions?all=true").await.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_smuggled_in_stay_in_their_place() {
    let mut house = House::with(&[COLD, ("RUST_LOG", "debug")], &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let line = "x\r\n2026-01-01T00:00:00Z ERROR forged: smuggled=1\r\nset-cookie: forged=1\r\n\r\n<b>forged</b>";
    let chat = "491700002@c.us";
    let file = json!({"mimetype": format!("text/plain; {line}"), "filename": line, "data": "aGVsbG8="});
    for (method, path, body) in [
        ("POST", "/api/sendText", json!({"chatId": chat, "text": line})),
        ("POST", "/api/sendText", json!({"chatId": line, "text": line})),
        ("POST", "/api/sendText", json!({"session": line, "chatId": chat, "text": line})),
        ("POST", "/api/sendText", json!({"chatId": chat, "text": "x", "reply_to": line})),
        ("POST", "/api/sendFile", json!({"chatId": chat, "file": file})),
        ("POST", "/api/sendFile", json!({"chatId": chat, "file": {"url": format!("http://127.0.0.1:9/{line}")}})),
        ("POST", "/api/sessions", json!({"name": line})),
        ("PUT", "/api/sessions/default", json!({"config": {"network": "simulator", "metadata": {"m": line}}})),
        ("POST", "/api/webhooks/test", json!({"webhook": {"url": format!("http://127.0.0.1:9/{line}")}})),
        ("POST", "/api/users", json!({"name": line, "email": line, "role": "viewer"})),
        ("POST", "/api/users", json!({"name": "anna", "email": format!("a@{line}"), "role": "viewer"})),
        ("POST", "/api/auth/token", json!({"email": line, "password": line, "code": line})),
        ("PUT", "/api/default/profile/name", json!({"name": line})),
    ] {
        let answer = house.ask(method, path, Some(body)).await;
        assert!(answer.status < 500, "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.bytes));
        assert!(!answer.headers.contains_key("set-cookie"), "{path}");
    }
    // Headers that a client may set, and that come back or are written down.
    for header in ["x-request-id", "user-agent", "x-forwarded-for", "idempotency-key", "origin"] {
        let folded = format!(
            "GET /api/sessions HTTP/1.1\r\nhost: 127.0.0.1\r\n{header}: a\r\n 2026-01-01 ERROR forged: folded=1\r\nx-api-key: {KEY}\r\n\
             connection: close\r\n\r\n"
        );
        assert!(!raw(house.http, &folded).await.contains("forged"), "{header}");
        let escaped = format!(
            "GET /api/sessions HTTP/1.1\r\nhost: 127.0.0.1\r\n{header}: %0d%0aset-cookie: forged=1\r\nx-api-key: {KEY}\r\nconnection: \
             close\r\n\r\n"
        );
        let answer = raw(house.http, &escaped).await;
        assert!(!answer.to_lowercase().contains("\r\nset-cookie"), "{header}: {answer}");
    }
    // What the network says: a name, a text and a file's name of Bob's phone.
    let forged = json!({"to": "491700001", "text": line});
    house.network.ask("POST", "/api/phones/491700002/messages", Some(forged)).await.ok();
    until("Bob is heard", SOON, || async {
        house.messages("default", chat).await.into_iter().find(|one| one["fromMe"] == false)
    })
    .await;
    let url = format!("http://127.0.0.1:{}/api/phones/491700002/files", house.network.port);
    let query = [("to", "491700001"), ("kind", "document"), ("filename", line)];
    let file = reqwest::Client::new().post(url).query(&query).header("content-type", "text/plain").body("hello");
    assert!(file.send().await.unwrap().status().is_success());
    let message = until("the file is heard", SOON, || async {
        house.messages("default", chat).await.into_iter().find(|one| one["hasMedia"] == true)
    })
    .await;
    assert_eq!(message["media"]["filename"], line, "as it came");
    let path = message["media"]["url"].as_str().unwrap().split_once("/api/").unwrap().1.to_owned();
    let shown = house.ask("GET", &format!("/api/{path}"), None).await;
    assert!(!shown.headers.contains_key("set-cookie") && shown.status == 200, "{:?}", shown.headers);
    let disposition = shown.headers["content-disposition"].to_str().unwrap();
    assert!(!disposition.contains(['\r', '\n']), "{disposition}");
    house.close().await;
    let log = house.log();
    let stamped = |line: &str| line.starts_with("20") && line.contains("Z ") || line.starts_with(' ');
    assert!(log.lines().count() > 20, "{log}");
    for line in log.lines().filter(|line| line.contains("forged") || line.contains("smuggled")) {
        assert!(stamped(line) && !line.starts_with("2026-01-01"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_elsewhere_does_nothing_with_a_cookie() {
    let house = House::with(&[COLD], &[]).await;
    house.person("anna", "owner").await;
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", house.http);
    let client = reqwest::Client::new();
    let shown = json!({"email": "anna@example.com", "password": PASSWORD});
    let own = format!("http://127.0.0.1:{}", house.http);
    let signed = client.post(url("/dashboard/sign-in")).json(&shown).send().await.unwrap();
    let cookie = signed.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("SameSite=Strict") && cookie.contains("HttpOnly"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let body = json!({"name": "forged", "start": false}).to_string();
    let post = async |headers: &[(&str, &str)], body: &str| {
        let mut request = client.post(url("/api/sessions")).header("cookie", cookie).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    let json = ("content-type", "application/json");
    for origin in ["https://evil.example.com", "null", "http://127.0.0.1", "http://127.0.0.1.evil.example.com:1", ""] {
        assert_eq!(post(&[json, ("origin", origin)], &body).await.refused(403), "forbidden", "{origin}");
        // What a form can send without asking first.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            assert_eq!(post(&[("content-type", kind), ("origin", origin)], &body).await.status, 403, "{kind}");
        }
    }
    assert_eq!(post(&[json], &body).await.refused(403), "forbidden", "whoever hides where it comes from");
    // Another verb by a header, or a body that says it is none.
    for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
        let request = client.get(url("/api/sessions")).header("cookie", cookie).header(name, "POST").body(body.clone());
        assert_eq!(request.send().await.unwrap().status(), 200, "{name} is not looked at");
    }
    assert_eq!(post(&[("content-type", "text/plain"), ("origin", &own)], &body).await.status, 415);
    assert_eq!(house.get("/api/sessions?all=true").await.as_array().unwrap().len(), 0);
    post(&[json, ("origin", &own)], &body).await.ok();
    // A socket is a read that another site's page could keep: with a cookie, and with a key in its address.
    for query in ["", &format!("?x-api-key={KEY}")] {
        let request = |origin: &str| {
            format!(
                "GET /ws{query} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncookie: {cookie}\r\norigin: {origin}\r\nupgrade: websocket\r\n\
                 connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                house.http
            )
        };
        assert!(
            raw_head(house.http, &request("https://evil.example.com")).await.starts_with("HTTP/1.1 403"),
            "{query}"
        );
        assert!(raw_head(house.http, &request(&own)).await.starts_with("HTTP/1.1 101"), "{query}");
    }
}

/// The first bytes of an answer that may not end.
async fn raw_head(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 512];
    let read = stream.read(&mut head).await.unwrap();
    String::from_utf8_lossy(&head[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_names_more_than_it_may_changes_no_more() {
    let house = House::with(&[COLD], &[]).await;
    let other = house.tenant("other");
    let theirs = house.ask_as(&other, "GET", "/api/users", None).await.ok();
    let victim = theirs[0]["id"].as_str().unwrap().to_owned();
    house.person("anna", "admin").await;
    let (token, _) = house.sign_in("anna").await;
    let before = (house.get("/api/users").await, house.ask_as(&other, "GET", "/api/users", None).await.ok());
    let more = json!({
        "tenant": "other", "tenantId": victim, "tenant_id": victim, "userId": victim, "user_id": victim, "ownerNode": victim,
        "ownerEpoch": 0, "linkEpoch": 9, "account": {"id": "1@c.us"}, "worker": victim, "isOwner": true, "role": "owner",
        "is_admin": true, "status": "WORKING", "createdAt": 1, "__proto__": {"isAdmin": true}, "constructor": {"x": 1},
    });
    let with = |body: Value| {
        let mut body = body;
        for (name, value) in more.as_object().unwrap() {
            let fields = body.as_object_mut().unwrap();
            if !fields.contains_key(name) {
                fields.insert(name.clone(), value.clone());
            }
        }
        body
    };
    // Either it is refused whole, or the rest is not looked at.
    let made = house.ask_as(&token, "POST", "/api/sessions", Some(with(json!({"name": "x", "start": false})))).await;
    if made.status == 201 {
        let session = made.json();
        assert_eq!((&session["status"], &session["me"]), (&json!("STOPPED"), &Value::Null), "{session}");
    }
    house.ask_as(&token, "PUT", "/api/sessions/x", Some(with(json!({"config": {}})))).await;
    let key = house.ask_as(&token, "POST", "/api/keys", Some(with(json!({"isAdmin": false})))).await;
    if key.status == 201 {
        let key = key.json();
        assert_eq!(key["isAdmin"], false, "{key}");
        let own = house.ask_as(key["key"].as_str().unwrap(), "GET", "/api/auth/me", None).await.ok();
        assert_ne!(own["tenant"], "other", "{own}");
        assert_eq!(house.ask_as(key["key"].as_str().unwrap(), "GET", "/api/users", None).await.status, 403);
    }
    let id = house.ask_as(&token, "GET", "/api/auth/me", None).await.ok();
    for (method, path, body) in [
        ("POST", "/api/users".to_owned(), json!({"name": "eve", "email": "eve@example.com", "role": "viewer"})),
        ("PUT", format!("/api/users/{victim}"), json!({"role": "viewer"})),
        ("PUT", format!("/api/users/{victim}/quota"), json!({"sessions": 0})),
        ("POST", "/api/auth/password".to_owned(), json!({"current": PASSWORD, "new": "six green birds on a wire"})),
        ("POST", "/api/auth/token".to_owned(), json!({"email": "anna@example.com", "password": PASSWORD})),
    ] {
        let answer = house.ask_as(&token, method, &path, Some(with(body))).await;
        assert!([400, 404].contains(&answer.status), "{method} {path}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    // The same name twice: one reader must not see the first, and another the last.
    let twice = r#"{"name": "y", "start": false, "name": "z"}"#;
    let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
    let request = reqwest::Client::new().post(url).bearer_auth(&token).header("content-type", "application/json");
    assert_eq!(request.body(twice).send().await.unwrap().status(), 400);
    let after = (house.get("/api/users").await, house.ask_as(&other, "GET", "/api/users", None).await.ok());
    assert_eq!(before, after, "{id}");
    assert_eq!(house.ask_as(&other, "GET", "/api/sessions?all=true", None).await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_sends_elsewhere_is_not_followed() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}/latest/meta-data", inside.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&came);
    tokio::spawn(async move {
        while inside.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", outside.local_addr().unwrap());
    tokio::spawn(async move {
        for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
            let (mut guest, _) = outside.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = guest.read(&mut asked).await;
            let answer =
                format!("HTTP/1.1 {status}\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = guest.write_all(answer.as_bytes()).await;
        }
    });
    let house = House::with(&[COLD], &[]).await;
    house.post("/api/sessions", json!({"name": "default", "start": false})).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = house.post("/api/webhooks/test", json!({"webhook": {"url": url}})).await;
        assert_eq!(answer["taken"], false, "{status}: {answer}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 0, "nobody came inside");
}
