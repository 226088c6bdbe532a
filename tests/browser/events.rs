//! What happens is told, under WAHA's names and in its shapes.

use crate::waha::is_like;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use wardroom::api::waha::{Is, events};
use wardroom_load::house::{House, KEY, SOON, until};
use wardroom_load::receiver::Receiver;

const BOB: &str = "491700002@c.us";
const CAROL: &str = "491700003@c.us";

/// What a socket hears.
#[derive(Default)]
struct Ear {
    all: Vec<Value>,
    /// Which of them were waited for.
    told: Vec<bool>,
}

/// Everything that a socket hears from now on.
async fn listen(house: &House) -> Arc<Mutex<Ear>> {
    let url = format!("ws://127.0.0.1:{}/ws?x-api-key={KEY}&session=default&events=*", house.http);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let ear = Arc::new(Mutex::new(Ear::default()));
    let into = Arc::clone(&ear);
    tokio::spawn(socket.for_each(move |frame| {
        if let Ok(text) = frame.unwrap_or_else(|_| "".into()).to_text()
            && let Ok(frame) = serde_json::from_str(text)
        {
            let mut ear = into.lock().unwrap();
            ear.all.push(frame);
            ear.told.push(false);
        }
        std::future::ready(())
    }));
    ear
}

/// The first payload of this name that fits and was not waited for yet.
async fn told(ear: &Mutex<Ear>, name: &str, test: impl Fn(&Value) -> bool) -> Value {
    until(name, SOON, || async {
        let mut ear = ear.lock().unwrap();
        let fits = |place: &usize| {
            let frame = &ear.all[*place];
            !ear.told[*place] && frame["event"] == name && test(&frame["payload"])
        };
        let place = (0..ear.all.len()).find(fits)?;
        ear.told[place] = true;
        Some(ear.all[place]["payload"].clone())
    })
    .await
}

/// A phone sends; answers the message's bare id.
async fn says(house: &House, phone: &str, body: Value) -> String {
    let sent = house.network.ask("POST", &format!("/api/phones/{phone}/messages"), Some(body)).await.ok();
    sent["id"].as_str().unwrap().to_owned()
}

async fn phone(house: &House, path: &str, body: Value) -> Value {
    house.network.ask("POST", &format!("/api/phones/{path}"), Some(body)).await.ok()
}

async fn put(house: &House, path: &str, body: Value) {
    house.ask("PUT", path, Some(body)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_waha_s_words() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.network.phone("491700003", "Carol").await;
    house.link("default", "491700001").await;
    let receiver = Receiver::open(0).await;
    let hook = json!({"url": receiver.url(), "events": ["call.received", "group.v2.leave", "label.upsert"]});
    let config = json!({"config": {"network": "simulator", "webhooks": [hook]}});
    put(&house, "/api/sessions/default", config).await;
    house.is("default", "WORKING").await;
    let heard = listen(&house).await;

    messages(&house, &heard).await;
    calls_and_labels(&house, &heard).await;
    groups(&house, &heard).await;
    for name in ["call.received", "group.v2.leave", "label.upsert"] {
        until("webhooks are told, too", SOON, || async { receiver.taken(name).pop() }).await;
    }
    house.post("/api/sessions/default/restart", json!({})).await;
    told(&heard, "session.status", |payload| payload["status"] == "WORKING").await;

    let all = std::mem::take(&mut heard.lock().unwrap().all);
    for row in events() {
        let payloads: Vec<_> = all.iter().filter(|frame| frame["event"] == row.name.as_str()).collect();
        assert_eq!(payloads.is_empty(), row.is == Is::Absent, "{}", row.name);
        for frame in payloads {
            let sample = serde_json::from_str(row.like.as_deref().unwrap()).unwrap();
            assert!(is_like(&sample, &frame["payload"]), "{}: {}", row.name, frame["payload"]);
        }
    }
}

async fn messages(house: &House, heard: &Mutex<Ear>) {
    let own = house.post("/api/sendText", json!({"chatId": BOB, "text": "hello"})).await;
    let own = own["id"].as_str().unwrap();
    phone(house, "491700002/read", json!({"chat": "491700001"})).await;
    let read = told(heard, "message.ack", |payload| payload["ack"] == 3).await;
    assert_eq!((&read["id"], &read["ackName"]), (&json!(own), &json!("READ")));

    house.post(&format!("/api/default/presence/{BOB}/subscribe"), json!({})).await;
    phone(house, "491700002/typing", json!({"chat": "491700001"})).await;
    told(heard, "presence.update", |payload| payload["id"] == BOB).await;

    // wa-js tells of it twice: as what it is, and again when it can be read.
    let late = json!({"to": "491700001", "text": "at last", "data": {"unreadable": 1500}});
    let late = says(house, "491700002", late).await;
    let waiting = told(heard, "message.waiting", |payload| payload["id"].as_str().unwrap().ends_with(&late)).await;
    assert_eq!(waiting["body"], "");
    let read = told(heard, "message", |payload| payload["id"] == waiting["id"]).await;
    assert_eq!(read["body"], "at last");
    let kept = house.messages("default", BOB).await;
    let bodies: Vec<_> = kept.iter().filter(|one| one["id"] == waiting["id"]).map(|one| &one["body"]).collect();
    assert_eq!(bodies, ["at last"]);
    // Also when the page was restarted in between.
    let later = json!({"to": "491700001", "text": "later still", "data": {"unreadable": 3000}});
    let later = says(house, "491700002", later).await;
    told(heard, "message.waiting", |payload| payload["id"].as_str().unwrap().ends_with(&later)).await;
    house.post("/api/sessions/default/restart", json!({})).await;
    house.is("default", "WORKING").await;
    let read = told(heard, "message", |payload| payload["id"].as_str().unwrap().ends_with(&later)).await;
    assert_eq!(read["body"], "later still");

    let done = |kind: &str, target: &str, text: &str, data: Value| {
        let mut data = data;
        data["target"] = json!(target);
        json!({"to": "491700001", "kind": kind, "text": text, "data": data})
    };
    says(house, "491700002", done("reaction", &late, "👍", json!({}))).await;
    assert_eq!(told(heard, "message.reaction", |_| true).await["reaction"]["text"], "👍");
    says(house, "491700002", done("edit", &late, "in the end", json!({}))).await;
    assert_eq!(told(heard, "message.edited", |_| true).await["editedMessageId"], late);
    says(house, "491700002", done("revoke", &late, "", json!({}))).await;
    assert_eq!(told(heard, "message.revoked", |_| true).await["revokedMessageId"], late);

    let poll = json!({"name": "Lunch?", "options": ["Yes", "No"], "multipleAnswers": false});
    let poll = house.post("/api/sendPoll", json!({"chatId": BOB, "poll": poll})).await;
    let bare = poll["id"].as_str().unwrap().rsplit('_').next().unwrap();
    says(house, "491700002", done("vote", bare, "", json!({"options": [0]}))).await;
    let vote = told(heard, "poll.vote", |_| true).await;
    assert_eq!((&vote["vote"]["from"], &vote["vote"]["to"]), (&json!(BOB), &json!("me")));
    assert_eq!(vote["poll"], json!({"id": poll["id"], "to": BOB, "from": "me", "fromMe": true}));
}

async fn calls_and_labels(house: &House, heard: &Mutex<Ear>) {
    let any = |_: &Value| true;
    let call = phone(house, "491700002/call", json!({"to": "491700001", "video": true})).await;
    let payload = told(heard, "call.received", any).await;
    assert_eq!((&payload["id"], &payload["from"], &payload["isVideo"]), (&call["id"], &json!(BOB), &json!(true)));
    phone(house, "491700002/call", json!({"to": "491700001", "ended": call["id"]})).await;
    assert_eq!(told(heard, "call.rejected", any).await["id"], call["id"]);
    let call = phone(house, "491700002/call", json!({"to": "491700001"})).await;
    told(heard, "call.received", any).await;
    phone(house, "491700002/call", json!({"to": "491700001", "taken": call["id"]})).await;
    assert_eq!(told(heard, "call.accepted", any).await["id"], call["id"]);

    house.post(&format!("/api/default/chats/{BOB}/archive"), json!({})).await;
    assert_eq!(told(heard, "chat.archive", any).await["archived"], true);

    let label = house.post("/api/default/labels", json!({"name": "Paid", "color": 3})).await;
    assert_eq!(told(heard, "label.upsert", any).await, label);
    let of_bob = format!("/api/default/labels/chats/{BOB}/");
    put(house, &of_bob, json!({"labels": [{"id": label["id"]}]})).await;
    let given = told(heard, "label.chat.added", any).await;
    assert_eq!((&given["labelId"], &given["chatId"]), (&label["id"], &json!(BOB)));
    put(house, &of_bob, json!({"labels": []})).await;
    told(heard, "label.chat.deleted", any).await;
    house.ask("DELETE", &format!("/api/default/labels/{}", label["id"].as_str().unwrap()), None).await.ok();
    assert_eq!(told(heard, "label.deleted", any).await["name"], "");
}

async fn groups(house: &House, heard: &Mutex<Ear>) {
    let any = |_: &Value| true;
    let new = json!({"subject": "Harbour", "people": ["491700003"]});
    let id = house.network.ask("POST", "/api/phones/491700002/groups", Some(new)).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = async |change: Value| {
        house.network.ask("POST", &format!("/api/phones/491700002/groups/{id}"), Some(change)).await.ok();
    };
    change(json!({"what": "add", "people": ["491700001"]})).await;
    let joined = told(heard, "group.v2.join", any).await;
    assert_eq!(joined["group"]["id"], id.as_str());
    house.post("/api/sendText", json!({"chatId": id, "text": "Aye"})).await;
    told(heard, "message.ack.group", |payload| payload["from"] == id.as_str() || payload["to"] == id.as_str()).await;
    change(json!({"what": "subject", "text": "Docks"})).await;
    let renamed = told(heard, "group.v2.update", |payload| payload["group"]["subject"] == "Docks").await;
    assert_eq!(renamed["group"], json!({"id": id, "subject": "Docks"}));
    change(json!({"what": "announce", "on": true})).await;
    told(heard, "group.v2.update", |payload| payload["group"]["membersCanSendMessages"] == false).await;
    change(json!({"what": "promote", "people": ["491700003"]})).await;
    let promoted = told(heard, "group.v2.participants", |payload| payload["type"] == "promote").await;
    assert_eq!(promoted["participants"], json!([{"id": CAROL, "role": "admin"}]));
    change(json!({"what": "remove", "people": ["491700001"]})).await;
    assert_eq!(told(heard, "group.v2.leave", any).await["group"]["id"], id.as_str());
}
