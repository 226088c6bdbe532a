//! What stands between the server and the internet: headers, pages of other origins, TLS.

use crate::person::Person;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use wardroom_load::house::{House, KEY, SOON, until};

const COLD: (&str, &str) = ("WARDROOM__POOL__WARM_SPARES", "0");

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_it_is_not() {
    let house = House::with(&[COLD], &[]).await;
    let client = reqwest::Client::new();
    for (verb, path, status) in [
        ("GET", "/ping", 200),
        ("GET", "/api/sessions", 200),
        ("GET", "/api/sessions/none", 404),
        ("PATCH", "/api/sessions", 405),
        ("GET", "/nothing", 404),
        ("GET", "/", 200),
        ("GET", "/docs/", 200),
    ] {
        let url = format!("http://127.0.0.1:{}{path}", house.http);
        let answer = client.request(verb.parse().unwrap(), url).header("x-api-key", KEY).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{verb} {path}");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!((header("x-content-type-options"), header("referrer-policy")), ("nosniff", "no-referrer"), "{path}");
        let policy = header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'")
                && policy.contains("base-uri 'none'")
                && policy.contains("object-src 'none'")
                && policy.starts_with("default-src '"),
            "{path}: {policy}"
        );
        let scripts = policy.split(';').find(|one| one.trim().starts_with("script-src"));
        let of = scripts.or(policy.split(';').next()).unwrap().split_whitespace().skip(1);
        assert!(of.into_iter().all(|one| ["'self'", "'none'"].contains(&one)), "{path}: {policy}");
        assert!(header("x-request-id").starts_with("req_"), "{path}");
        if path.starts_with("/api") {
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
        assert_eq!(header("strict-transport-security"), "", "there is no TLS here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_let_in_by_name() {
    let friend = "https://app.example.com";
    let mut house = House::with(&[COLD], &[]).await;
    let asks = async |house: &House, verb: &str, origin: &str| {
        let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
        let request = reqwest::Client::new().request(verb.parse().unwrap(), url).header("origin", origin);
        let request = match verb {
            "OPTIONS" => request
                .header("access-control-request-method", "GET")
                .header("access-control-request-headers", "x-api-key"),
            _ => request.header("x-api-key", KEY),
        };
        let answer = request.send().await.unwrap();
        let allowed =
            answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned());
        let credentials = answer.headers().contains_key("access-control-allow-credentials");
        assert!(!credentials, "a cookie never counts there");
        (answer.status().as_u16(), allowed)
    };
    assert_eq!(asks(&house, "GET", friend).await, (200, None));
    assert_eq!(asks(&house, "OPTIONS", friend).await, (405, None));
    house.close().await;
    house.set("WARDROOM__HTTP__CORS_ORIGINS", friend);
    house.open().await;
    assert_eq!(asks(&house, "OPTIONS", friend).await, (200, Some(friend.to_owned())));
    assert_eq!(asks(&house, "GET", friend).await, (200, Some(friend.to_owned())));
    for stranger in
        ["https://app.example.com.evil.org", "http://app.example.com", "https://app.example.com:8443", "null"]
    {
        assert_eq!(asks(&house, "OPTIONS", stranger).await.1, None, "{stranger}");
        assert_eq!(asks(&house, "GET", stranger).await.1, None, "{stranger}");
    }
}

/// A new certificate for localhost and its key, in these files; answers the certificate.
fn certify(chain: &Path, key: &Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(chain, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_a_new_certificate_taken() {
    let dir = tempfile::tempdir().unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
    let first = certify(&chain, &key);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (chain_text, key_text) = (text(&chain), text(&key));
    let settings =
        [COLD, ("WARDROOM__HTTP__TLS_CHAIN", chain_text.as_str()), ("WARDROOM__HTTP__TLS_KEY", key_text.as_str())];
    let house = House::with(&settings, &[]).await;
    let trusts = |one: &reqwest::Certificate| reqwest::Client::builder().tls_certs_only([one.clone()]).build().unwrap();
    let url = |path: &str| format!("https://localhost:{}{path}", house.http);
    let answer = trusts(&first).get(url("/ping")).send().await.unwrap();
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains");
    let plain = reqwest::get(format!("http://localhost:{}/ping", house.http)).await;
    assert!(plain.is_err(), "plain HTTP is not spoken");
    let signed_in = trusts(&first).post(url("/dashboard/sign-in")).json(&json!({"key": KEY})).send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["__Host-wardroom_sign_in=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let own = trusts(&first).get(url("/api/sessions")).header("cookie", cookie.split(';').next().unwrap());
    assert_eq!(own.send().await.unwrap().status(), 200);

    // A receiver for which nobody vouches is told nothing.
    let trial = json!({"session": "default", "webhook": {"url": url("/hook"), "events": ["message"]}});
    let made = trusts(&first)
        .post(url("/api/sessions"))
        .header("x-api-key", KEY)
        .json(&json!({"name": "default", "start": false}));
    assert_eq!(made.send().await.unwrap().status(), 201);
    let tried = trusts(&first).post(url("/api/webhooks/test")).header("x-api-key", KEY).json(&trial);
    let tried: serde_json::Value = tried.send().await.unwrap().json().await.unwrap();
    assert_eq!((&tried["taken"], &tried["code"]), (&json!(false), &json!("tls")), "{tried}");
    assert!(house.log().contains("cannot be trusted"));

    // Halves change nothing; the whole is taken without a restart.
    std::fs::write(&chain, "no certificate").unwrap();
    until("it is read", SOON, || async { house.log().contains("the certificate stays as it was").then_some(()) }).await;
    assert!(trusts(&first).get(url("/ping")).send().await.is_ok());
    let second = certify(&chain, &key);
    until("the new one is shown", SOON, || async { trusts(&second).get(url("/ping")).send().await.ok() }).await;
    assert!(trusts(&first).get(url("/ping")).send().await.is_err());
}

/// What a server says to somebody who sends this and then nothing, and after how long.
async fn stalled(port: u16, sent: &str) -> (String, Duration) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let begun = Instant::now();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut said = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut said)).await.expect("the connection is closed").unwrap();
    (said, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_slowly_or_too_much_is_not_waited_for() {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__HTTP__BODY_STALL_S", "1")];
    let house = House::with(&settings, &[]).await;
    let head = |length: &str| {
        format!(
            "POST /api/sessions HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        )
    };
    for sent in [head("content-length: 100") + "{\"name\":", head("transfer-encoding: chunked") + "5\r\n{\"nam\r\n"] {
        let (said, after) = stalled(house.http, &sent).await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("too_slow"), "{said}");
        assert!(after >= Duration::from_millis(900), "{after:?}");
    }
    // Nor for the rest of a body that nobody reads.
    for (line, status) in [("POST /api/sessions", "401"), ("GET /ping", "200")] {
        let sent = format!("{line} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n");
        let (said, _) = stalled(house.http, &sent).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
    // A head that never ends.
    let (said, _) = stalled(house.http, "POST /api/sessions HTTP/1.1\r\nhost: x\r\n").await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    let many: String = (0..100).map(|n| format!("x-{n}: a\r\n")).collect();
    let (said, _) = stalled(house.http, &format!("GET /ping HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    let (said, _) = stalled(house.http, &(head("content-length: 99999999") + "{")).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert_eq!(house.get("/api/sessions").await, serde_json::json!([]), "nothing came of it");
    // A body that comes in parts, each in time.
    let mut stream = TcpStream::connect(("127.0.0.1", house.http)).await.unwrap();
    let body = "{\"name\":\"slow\",\"start\":false}";
    stream.write_all(head(&format!("connection: close\r\ncontent-length: {}", body.len())).as_bytes()).await.unwrap();
    for part in body.as_bytes().chunks(10) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(part).await.unwrap();
    }
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 201 "), "{said}");
}

/// A connection on which this was asked and nothing read yet.
async fn asked(port: u16, sent: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // As little as possible is taken by the kernel.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// The first line of what comes within so long; nothing when nothing does.
async fn heard(stream: &mut TcpStream, within: Duration) -> Option<String> {
    let mut said = vec![0; 4096];
    let read = tokio::time::timeout(within, stream.read(&mut said)).await.ok()?.unwrap_or_default();
    Some(String::from_utf8_lossy(&said[..read]).lines().next().unwrap_or_default().to_owned())
}

const PING: &str = "GET /ping HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_nothing_of_an_answer_is_not_waited_for() {
    let house = House::with(&[COLD, ("WARDROOM__HTTP__ANSWER_STALL_S", "2")], &[]).await;
    // More than the kernel takes on its own.
    let sent = "GET /docs/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);
    let close = format!("{sent}GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (mut idle, mut slow) = (asked(house.http, &close).await, asked(house.http, &close).await);
    let mut part = vec![0; 1 << 20];
    let (mut taken, begun) = (0, Instant::now());
    while begun.elapsed() < Duration::from_secs(6) {
        taken += slow.read(&mut part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut rest = vec![];
    slow.read_to_end(&mut rest).await.expect("who takes a little at a time gets everything");
    assert!(taken + rest.len() > 8 << 20 && rest.ends_with(b"{\"message\":\"pong\"}"), "{taken} and {}", rest.len());
    let ended = idle.read_to_end(&mut rest).await;
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "who takes nothing is cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_do_not_use_up_what_the_rest_lives_on() {
    let house = House::with(&[COLD, ("WARDROOM__HTTP__CONNECTIONS", "8")], &[]).await;
    // What stays open without a word.
    let socket = format!(
        "GET /ws?x-api-key={KEY} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let mut open = vec![];
    let mut waits = loop {
        let mut stream = asked(house.http, &socket).await;
        match heard(&mut stream, Duration::from_secs(1)).await {
            Some(said) => assert!(said.contains(" 101 "), "{said}"),
            None => break stream,
        }
        open.push(stream);
        assert!(open.len() <= 8, "one more than there may be");
    };
    let of_ops = format!("http://127.0.0.1:{}/healthz", house.ops);
    assert_eq!(reqwest::get(of_ops).await.unwrap().status().as_u16(), 200, "whoever watches the server gets in");
    assert!(open.len() >= 4, "{} were let in", open.len());
    drop(open);
    let said = heard(&mut waits, SOON).await.expect("its turn comes");
    assert!(said.contains(" 101 "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_every_connection() {
    let settings =
        [COLD, ("WARDROOM__HTTP__CONNECTIONS_PER_ADDRESS", "6"), ("WARDROOM__GUARD__TRUSTED_PROXIES", "10.0.0.0/8")];
    let house = House::with(&settings, &[]).await;
    let mut open = vec![];
    let mut refused = loop {
        let mut stream = asked(house.http, PING).await;
        let said = heard(&mut stream, SOON).await.unwrap();
        if !said.contains(" 200 ") {
            assert_eq!(said, "HTTP/1.1 429 Too Many Requests");
            break stream;
        }
        open.push(stream);
        assert!(open.len() <= 6, "one more than there may be");
    };
    let mut rest = vec![];
    tokio::time::timeout(SOON, refused.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
    let (said, _) = stalled(house.http, "").await;
    assert_eq!(said, "", "who says nothing is not waited for");
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", house.ops)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("wardroom_refusals_total{code=\"too_many_requests\"} 1\n"), "{metrics}");
    drop(open);
    until("who has gone makes room", SOON, || async {
        let mut stream = asked(house.http, PING).await;
        heard(&mut stream, SOON).await.filter(|said| said.contains(" 200 "))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_links_a_phone_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
    let certificate = certify(&chain, &key);
    let [chain, key] = [&chain, &key].map(|path| path.to_str().unwrap());
    let house = House::with(&[("WARDROOM__HTTP__TLS_CHAIN", chain), ("WARDROOM__HTTP__TLS_KEY", key)], &[]).await;
    house.network.phone("491700001", "Ada Lovelace").await;
    house.network.phone("491700002", "Charles Babbage").await;
    let person = Person::at(&format!("https://localhost:{}/", house.http)).await;
    person.fill("#key", KEY).await;
    person.press("#key", "Enter").await;
    person.sees("!document.getElementById('house').hidden").await;
    person.fill("#name", "front-desk").await;
    person.page.evaluate("document.getElementById('network').value = 'simulator'").await.unwrap();
    person.press("#name", "Enter").await;
    person.sees("!document.getElementById('qr').hidden && document.getElementById('qr').naturalWidth > 100").await;
    let client = reqwest::Client::builder().tls_certs_only([certificate]).build().unwrap();
    let qr = format!("https://localhost:{}/api/front-desk/auth/qr?format=raw", house.http);
    let qr = client.get(qr).header("x-api-key", KEY).send().await.unwrap().json::<serde_json::Value>().await.unwrap();
    house.network.ask("POST", "/api/phones/491700001/scan", Some(json!({"qr": qr["value"]}))).await.ok();
    person.says("#session-status", "WORKING").await;
    house.network.send("491700002", "491700001", "Is this line private?").await;
    person.says("#chats", "Charles Babbage").await;
    person.find("#chats button").await.click().await.unwrap();
    person.says("#messages", "Is this line private?").await;
    person.fill("#text", "It is now.").await;
    person.press("#text", "Enter").await;
    person.says("#messages", "It is now.").await;
    person.says("#messages", "✓✓").await;
    assert_eq!(house.network.messages("491700002").await.last().unwrap()["text"], "It is now.");
    person.sees("document.getElementById('plain').hidden").await;
    person.leave().await;
}
