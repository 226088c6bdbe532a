//! The path that everything else stands on: start → create → QR → scan → message in → reply out → acks → seen.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use wardroom_load::house::{House, KEY, SOON, until};
use wardroom_load::postgres::Postgres;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_from_qr_code_to_message_and_back() {
    journey(&House::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgresql_and_back_after_a_kill() {
    let postgres = Postgres::start().await;
    let mut house = House::with(&[("WARDROOM__DATABASE__URL", &postgres.url())], &[]).await;
    journey(&house).await;
    house.kill();
    house.network.send("491700002", "491700001", "while down").await;
    house.open().await;
    house.is("default", "WORKING").await;
    until("the message is here", SOON, || async {
        let messages = house.messages("default", "491700002@c.us").await;
        (messages.last()?["body"] == "while down").then_some(())
    })
    .await;
    house.close().await;
}

async fn journey(house: &House) {
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    assert_eq!(house.get("/api/sessions/default/me").await["id"], "491700001@c.us");

    let id = house.network.send("491700002", "491700001", "hello").await;
    let message = until("the message is here", SOON, || async {
        house.messages("default", "491700002@c.us").await.first().cloned()
    })
    .await;
    assert_eq!(message["id"], format!("false_491700002@c.us_{id}"));
    assert_eq!((&message["body"], &message["fromMe"]), (&json!("hello"), &json!(false)));

    let reply = house.post("/api/sendText", json!({"chatId": "491700002", "text": "hello yourself"})).await;
    assert!(reply["ack"].as_i64().unwrap() >= 1, "{reply}");
    assert_eq!(reply["source"], "api");
    let shown = house.network.messages("491700002").await;
    assert_eq!(shown.last().unwrap()["text"], "hello yourself");
    let ack = |wanted: i64| {
        let reply = &reply;
        until("the ack rises", SOON, move || async move {
            let messages = house.messages("default", "491700002@c.us").await;
            let mine = messages.iter().find(|one| one["id"] == reply["id"]).cloned()?;
            (mine["ack"] == wanted).then_some(())
        })
    };
    ack(2).await;
    house.network.ask("POST", "/api/phones/491700002/read", Some(json!({"chat": "491700001@c.us"}))).await.ok();
    ack(3).await;

    house.post("/api/startTyping", json!({"chatId": "491700002@c.us"})).await;
    house.post("/api/stopTyping", json!({"chatId": "491700002@c.us"})).await;
    house.post("/api/sendSeen", json!({"chatId": "491700002@c.us"})).await;
    until("the phone sees that its message was read", SOON, || async {
        let shown = house.network.messages("491700002").await;
        (shown.first()?["ack"] == 3).then_some(())
    })
    .await;

    let chats = house.get("/api/default/chats").await;
    assert_eq!((&chats[0]["id"], &chats[0]["name"]), (&json!("491700002@c.us"), &json!("Bob")));
    let image = house.ask("GET", "/api/screenshot?session=default", None).await;
    assert_eq!(image.bytes.get(1..4), Some(b"PNG".as_slice()));
    assert!(house.network.ask("GET", "/api/repeats", None).await.ok().as_array().unwrap().is_empty());
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn socket(house: &House, query: &str) -> Socket {
    let mut request = format!("ws://127.0.0.1:{}/ws{query}", house.http).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", KEY.parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let frame = tokio::time::timeout(SOON, socket.next()).await.expect("an event in time").unwrap().unwrap();
        if frame.is_text() {
            return serde_json::from_str(frame.to_text().unwrap()).unwrap();
        }
    }
}

/// A stream of server-sent events, after `last`.
async fn stream(house: &House, last: &str) -> reqwest::Response {
    let url = format!("http://127.0.0.1:{}/api/events?session=default&events=message", house.http);
    let request = reqwest::Client::new().get(url).header("x-api-key", KEY);
    let request = if last.is_empty() { request } else { request.header("last-event-id", last) };
    request.send().await.unwrap()
}

/// Id and data of the next event of a stream.
async fn sent(stream: &mut reqwest::Response) -> (String, Value) {
    let mut text = String::new();
    loop {
        let chunk = tokio::time::timeout(SOON, stream.chunk()).await.expect("an event in time").unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        // A line without meaning now and then keeps the connection open.
        text = text.trim_start_matches(":\n\n").to_owned();
        if text.ends_with("\n\n") {
            let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
            assert_eq!(line("event: "), "message");
            return (line("id: "), serde_json::from_str(&line("data: ")).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_the_same_and_goes_on_after_the_last_event() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let mut live = stream(&house, "").await;
    assert_eq!(live.headers()["content-type"], "text/event-stream; charset=utf-8");
    house.network.send("491700002", "491700001", "one").await;
    let (last, one) = sent(&mut live).await;
    assert_eq!(
        (&one["event"], &one["payload"]["body"], &one["cursor"]),
        (&json!("message"), &json!("one"), &json!(last))
    );
    drop(live);
    for text in ["two", "three"] {
        house.network.send("491700002", "491700001", text).await;
    }
    let mut again = stream(&house, &last).await;
    assert_eq!(sent(&mut again).await.1["payload"]["body"], "two");
    assert_eq!(sent(&mut again).await.1["payload"]["body"], "three");
    assert_eq!(house.ask("GET", "/api/events?events=nonsense", None).await.refused(400), "bad_request");
    assert_eq!(house.anonymous("GET", "/api/events", None).await.refused(401), "unauthorized");
    assert_eq!(house.ask("POST", "/api/events", None).await.refused(405), "method_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_hears_what_it_asked_for_and_reads_what_it_missed() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let mut live = socket(&house, "?session=default&events=message").await;
    house.network.send("491700002", "491700001", "one").await;
    let one = next(&mut live).await;
    assert_eq!((&one["event"], &one["payload"]["body"]), (&json!("message"), &json!("one")));
    assert_eq!(one["me"]["id"], "491700001@c.us");
    drop(live);

    for text in ["two", "three"] {
        house.network.send("491700002", "491700001", text).await;
    }
    until("both are recorded", SOON, || async {
        (house.messages("default", "491700002@c.us").await.len() == 3).then_some(())
    })
    .await;
    let cursor = one["cursor"].as_str().unwrap();
    let mut resumed = socket(&house, &format!("?events=message&since={cursor}")).await;
    assert_eq!(next(&mut resumed).await["payload"]["body"], "two");
    assert_eq!(next(&mut resumed).await["payload"]["body"], "three");
    house.network.send("491700002", "491700001", "four").await;
    assert_eq!(next(&mut resumed).await["payload"]["body"], "four");

    let refused = house.ask("GET", "/ws?events=nonsense", None).await;
    assert_eq!(refused.refused(400), "bad_request");
}
