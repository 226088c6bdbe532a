//! Keys: what each may do, and to which session.

use serde_json::{Value, json};
use wardroom_load::house::{House, KEY, SOON, until};

const BOB: &str = "491700002@c.us";

async fn make(house: &House, body: Value) -> (String, String) {
    let key = house.post("/api/keys", body).await;
    (key["key"].as_str().unwrap().to_owned(), key["id"].as_str().unwrap().to_owned())
}

/// The statuses that a key gets, for one thing of each kind, and for another session.
async fn allowed(house: &House, key: &str) -> Vec<u16> {
    let text = json!({"session": "a", "chatId": BOB, "text": "hello"});
    let things = [
        ("GET", "/api/a/chats".to_owned(), None),
        ("POST", "/api/sendText".to_owned(), Some(text)),
        ("GET", "/api/screenshot?session=a".to_owned(), None),
        ("PUT", "/api/sessions/a".to_owned(), Some(json!({"config": {"network": "simulator"}}))),
        ("GET", "/api/b/chats".to_owned(), None),
        ("GET", "/api/keys".to_owned(), None),
    ];
    let mut statuses = vec![];
    for (method, path, body) in things {
        statuses.push(house.ask_as(key, method, &path, body).await.status);
        house.is("a", "WORKING").await;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_it_may_and_no_more() {
    let mut house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("a", "491700001").await;
    house.create("b").await;
    assert_eq!(allowed(&house, KEY).await, [200, 201, 200, 200, 200, 200]);
    let (own, _) = make(&house, json!({})).await;
    assert_eq!(allowed(&house, &own).await, [200, 201, 200, 200, 200, 403], "a user's key");
    let (bound, id) = make(&house, json!({"session": "a"})).await;
    assert_eq!(house.ask_as(&bound, "GET", "/api/supervision/pulse", None).await.refused(403), "forbidden");
    let stranger = house.tenant("stranger");
    let sum = async |key: &str, column: &str| {
        let pulse = house.ask_as(key, "GET", "/api/supervision/pulse", None).await.ok();
        pulse[column].as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).sum::<f64>()
    };
    assert!(sum(KEY, "sent").await > 0.0 && sum(KEY, "requests").await > 0.0);
    assert_eq!((sum(&stranger, "sent").await, sum(&stranger, "received").await), (0.0, 0.0), "another tenant's");
    assert_eq!(allowed(&house, &bound).await, [200, 201, 200, 200, 404, 403], "bound to a session");
    assert_eq!(house.ask_as(&bound, "DELETE", "/api/sessions/a", None).await.refused(403), "forbidden");
    assert_eq!(house.ask_as(&bound, "POST", "/api/sessions", Some(json!({}))).await.refused(403), "forbidden");
    let shown = house.ask_as(&bound, "GET", "/api/sessions?all=true", None).await.ok();
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["name"]), (1, &json!("a")));
    let reader = json!({"session": "a", "actions": {"read": true}});
    let (reader, _) = make(&house, reader).await;
    assert_eq!(allowed(&house, &reader).await, [200, 403, 403, 403, 404, 403], "what is not said is not allowed");

    let config = json!({"config": {"network": "simulator", "metadata": {"of": "me"}, "webhooks": [{"url": "http://127.0.0.1:1/"}]}});
    house.ask("PUT", "/api/sessions/a", Some(config)).await.ok();
    for path in ["/api/sessions/a", "/api/sessions"] {
        let seen = house.ask_as(&reader, "GET", path, None).await.ok();
        let config = if path.ends_with("/a") { &seen["config"] } else { &seen[0]["config"] };
        assert_eq!(config, &json!({"metadata": {"of": "me"}}), "a config has secrets");
    }
    house.is("a", "WORKING").await;
    for (path, body) in [
        ("/api/sendText", json!({"session": "b", "chatId": BOB, "text": "x"})),
        ("/api/sendFile", json!({"session": "b", "chatId": BOB, "file": {"data": "eA=="}})),
    ] {
        assert_eq!(house.ask_as(&bound, "POST", path, Some(body)).await.refused(404), "session_not_found");
    }
    let tree = house.ask_as(&bound, "GET", "/api/supervision", None).await.ok();
    assert!(!tree.to_string().contains("\"b\""), "{tree}");
    for odd in [json!({"sesion": "a"}), json!({"isAdmin": true, "session": "a"})] {
        assert_eq!(house.ask("POST", "/api/keys", Some(odd)).await.refused(400), "bad_request");
    }
    let mut socket = listening(&house, &bound).await;
    house.network.send("491700002", "491700001", "heard").await;
    assert!(next(&mut socket).await.unwrap().contains("heard"));

    let changed = json!({"session": "a", "actions": {"send": true}});
    let path = format!("/api/keys/{id}");
    let changed = house.ask("PUT", &path, Some(changed)).await.ok();
    assert_eq!((&changed["key"], &changed["actions"]["send"]), (&Value::Null, &json!(true)));
    assert!(next(&mut socket).await.is_none(), "what was opened with it is closed");
    assert_eq!(allowed(&house, &bound).await, [403, 201, 403, 403, 403, 403]);
    house.ask("PUT", &path, Some(json!({"session": "a", "isActive": false}))).await.ok();
    assert_eq!(allowed(&house, &bound).await, [401; 6]);
    assert_eq!(house.ask("DELETE", &path, None).await.status, 200);
    assert_eq!(house.ask("DELETE", &path, None).await.refused(404), "not_found");

    let (before, id) = make(&house, json!({"session": "a"})).await;
    let rotated = house.post(&format!("/api/keys/{id}/rotate"), json!({"overlapSeconds": 3600})).await;
    let after = rotated["key"].as_str().unwrap().to_owned();
    for key in [&before, &after] {
        assert_eq!(house.ask_as(key, "GET", "/api/a/chats", None).await.status, 200);
    }
    let last = house.post(&format!("/api/keys/{id}/rotate"), json!({})).await["key"].as_str().unwrap().to_owned();
    for (key, status) in [(&before, 401), (&after, 401), (&last, 200)] {
        assert_eq!(house.ask_as(key, "GET", "/api/a/chats", None).await.status, status);
    }
    let (sets, _) = make(&house, json!({"actions": {"setting": true}})).await;
    let (controls, _) = make(&house, json!({"session": "a", "actions": {"control": true}})).await;
    for (key, path, body, status) in [
        (&sets, "start", json!({"name": "a"}), 403),
        (&controls, "start", json!({"name": "a"}), 403),
        (&controls, "stop", json!({"name": "a", "logout": true}), 403),
        (&controls, "logout", json!({"name": "a"}), 403),
        (&controls, "stop", json!({"name": "b"}), 404),
    ] {
        house.ask_as(key, "POST", &format!("/api/sessions/{path}"), Some(body)).await.refused(status);
    }
    house.is("a", "WORKING").await;
    let listed = |all: Value, id: &str| all.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    until("its use is noted", SOON, || async {
        let key = listed(house.get("/api/keys").await, &id);
        assert_eq!(key["key"], Value::Null);
        key["lastUsedAt"].is_i64().then_some(())
    })
    .await;
    let keys = house.get("/api/keys").await;
    let admin = keys.as_array().unwrap().iter().find(|one| one["isAdmin"] == true).unwrap();
    let own = format!("/api/keys/{}", admin["id"].as_str().unwrap());
    assert_eq!(house.ask("DELETE", &own, None).await.refused(422), "own_key");

    let stranger = house.tenant("other");
    assert_eq!(house.ask_as(&stranger, "DELETE", &format!("/api/keys/{id}"), None).await.refused(404), "not_found");
    assert_eq!(house.ask_as(&stranger, "GET", "/api/keys", None).await.ok().as_array().unwrap().len(), 1);
    house.close().await;
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn listening(house: &House, key: &str) -> Socket {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let url = format!("ws://127.0.0.1:{}/ws?events=message", house.http);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

/// The next event; none when the socket is closed.
async fn next(socket: &mut Socket) -> Option<String> {
    use futures_util::StreamExt;
    loop {
        match tokio::time::timeout(SOON, socket.next()).await.expect("an event or the end") {
            Some(Ok(frame)) if frame.is_text() => return Some(frame.to_text().unwrap().to_owned()),
            Some(Ok(frame)) if !frame.is_close() => {}
            _ => return None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_key_for_its_files_and_one_for_its_screen() {
    let mut house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("a", "491700001").await;
    let file = json!({"mimetype": "text/plain", "filename": "a.txt", "data": "aGVsbG8="});
    let sent = house.post("/api/sendFile", json!({"session": "a", "chatId": BOB, "file": file})).await;
    let url = sent["media"]["url"].as_str().unwrap();
    let path = url.split_once(&format!(":{}", house.http)).unwrap().1;

    let media = house.post("/api/keys/media", json!({"session": "a"})).await;
    assert_eq!(media["id"], "key_id_media_a");
    assert_eq!(house.post("/api/keys/media", json!({"session": "a"})).await["key"], media["key"], "it is the same");
    let key = media["key"].as_str().unwrap();
    assert_eq!(house.ask_as(key, "GET", path, None).await.bytes, b"hello");
    assert_eq!(allowed(&house, key).await, [403, 403, 403, 403, 403, 403]);
    house.ask("DELETE", "/api/keys/key_id_media_a", None).await.ok();
    assert_eq!(house.ask_as(key, "GET", path, None).await.status, 401);
    assert_ne!(house.post("/api/keys/media", json!({"session": "a"})).await["key"], media["key"], "and then another");

    let control = house.post("/api/keys/control", json!({"session": "a"})).await;
    let key = control["key"].as_str().unwrap();
    assert_eq!(allowed(&house, key).await, [403, 403, 200, 403, 403, 403]);
    assert_eq!(house.ask_as(key, "GET", path, None).await.refused(403), "forbidden");
    assert_eq!(
        house.ask("POST", "/api/keys/media", Some(json!({"session": "none"}))).await.refused(422),
        "no_session_for_key"
    );
    house.ask("DELETE", "/api/sessions/a", None).await.ok();
    until("a session's keys go with it", SOON, || async {
        (house.ask_as(key, "GET", "/api/sessions", None).await.status == 401).then_some(())
    })
    .await;
    house.close().await;
}
