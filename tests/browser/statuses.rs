//! Status updates: who sees them, and how they are taken back.

use serde_json::{Value, json};
use wardroom_load::house::{House, SOON, until};

const BOB: &str = "491700002@c.us";
const CAROL: &str = "491700003@c.us";
const STATUS: &str = "status@broadcast";
/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==";

/// A linked session `default` of 491700001, whose address book has Carol and not Bob.
async fn linked() -> House {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.network.phone("491700003", "Carol").await;
    house.link("default", "491700001").await;
    for (number, id) in [("491700002", BOB), ("491700003", CAROL)] {
        house.network.send(number, "491700001", "hello").await;
        until("they are heard", SOON, || async { house.messages("default", id).await.pop() }).await;
    }
    let name = json!({"firstName": "Carol"});
    house.ask("PUT", &format!("/api/default/contacts/{CAROL}"), Some(name)).await.ok();
    house
}

/// The status updates that a phone shows.
async fn shown(house: &House, number: &str) -> Vec<Value> {
    house.network.messages(number).await.into_iter().filter(|one| one["chat"] == STATUS).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_seen_by_contacts_or_by_those_who_are_named_and_taken_back() {
    let house = linked().await;
    let text = json!({"text": "Open until eight", "backgroundColor": "#102030", "font": 2});
    let sent = house.post("/api/default/status/text", text).await;
    let id = sent["id"].as_str().unwrap();
    assert!(id.starts_with("true_status@broadcast_") && id.ends_with("_491700001@c.us"), "{sent}");
    assert_eq!((&sent["body"], &sent["to"]), (&json!("Open until eight"), &json!(STATUS)));
    assert!(shown(&house, "491700002").await.is_empty(), "Bob is no contact");
    let carols = shown(&house, "491700003").await;
    // The color as the network has it: opaque.
    assert_eq!((&carols[0]["text"], &carols[0]["data"]["font"]), (&json!("Open until eight"), &json!(2)));
    assert_eq!(carols[0]["data"]["backgroundColor"], json!(0xff10_2030_u32));
    let named = json!({"text": "For you", "contacts": [BOB]});
    house.post("/api/default/status/text", named).await;
    assert_eq!(shown(&house, "491700002").await[0]["text"], "For you");
    assert_eq!(shown(&house, "491700003").await.len(), 1);

    house.post("/api/default/status/delete", json!({"id": id})).await;
    assert_eq!(shown(&house, "491700003").await[0]["type"], "revoked");
    let stored = house.messages("default", STATUS).await;
    assert!(stored.iter().all(|one| one["id"] != sent["id"] || one["body"] == ""), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_shown_once_and_what_others_show_is_heard() {
    let house = linked().await;
    let file = json!({"mimetype": "image/png", "filename": "dot.png", "data": PNG});
    let id = house.get("/api/default/status/new-message-id").await["id"].clone();
    let body = json!({"id": id, "file": file, "caption": "Look!", "contacts": [BOB, CAROL]});
    let sent = house.post("/api/default/status/image", body.clone()).await;
    assert_eq!((&sent["body"], &sent["hasMedia"]), (&json!("Look!"), &json!(true)));
    let again = house.post("/api/default/status/image", body).await;
    assert_eq!(again["id"], sent["id"]);
    for number in ["491700002", "491700003"] {
        let shown = shown(&house, number).await;
        assert_eq!((shown.len(), &shown[0]["type"]), (1, &json!("image")), "{number}");
    }

    house.network.send("491700002", STATUS, "Sailing").await;
    let heard = || async { house.messages("default", STATUS).await.into_iter().find(|one| one["fromMe"] == false) };
    let heard = until("Bob's update is heard", SOON, heard).await;
    assert_eq!((&heard["body"], &heard["participant"]), (&json!("Sailing"), &json!(BOB)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_is_refused() {
    let house = linked().await;
    for body in [
        json!({"text": ""}),
        json!({"text": "x", "backgroundColor": "green"}),
        json!({"text": "x", "font": 6}),
        json!({"text": "x", "contacts": ["120363000000000001@g.us"]}),
    ] {
        house.ask("POST", "/api/default/status/text", Some(body)).await.refused(400);
    }
    let text = json!({"file": {"mimetype": "text/plain", "data": "aGVsbG8="}});
    house.ask("POST", "/api/default/status/image", Some(text)).await.refused(400);
    house.ask("POST", "/api/default/status/delete", Some(json!({"id": "true_1@c.us_ABC"}))).await.refused(400);
    let gone = json!({"id": "true_status@broadcast_3EB0000000000000_491700001@c.us"});
    house.ask("POST", "/api/default/status/delete", Some(gone)).await.refused(404);
    let place = json!({"chatId": STATUS, "latitude": 1.0, "longitude": 2.0});
    house.ask("POST", "/api/sendLocation", Some(place)).await.refused(422);
    house.ask("POST", "/api/other/status/text", Some(json!({"text": "x"}))).await.refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_hear_what_its_config_ignores() {
    let house = linked().await;
    let config = |ignore: Value| json!({"config": {"network": "simulator", "ignore": ignore}});
    let wrong = config(json!({"status": "yes"}));
    house.ask("PUT", "/api/sessions/default", Some(wrong)).await.refused(400);
    house.ask("PUT", "/api/sessions/default", Some(config(json!({"status": true})))).await.ok();
    house.is("default", "WORKING").await;
    house.network.send("491700002", STATUS, "Sailing").await;
    house.network.send("491700002", "491700001", "and this?").await;
    let heard = || async { house.messages("default", BOB).await.into_iter().find(|one| one["body"] == "and this?") };
    until("the text is heard", SOON, heard).await;
    assert!(house.messages("default", STATUS).await.is_empty());
    // What the account itself shows is kept.
    let sent = house.post("/api/default/status/text", json!({"text": "Open"})).await;
    assert_eq!(house.messages("default", STATUS).await[0]["id"], sent["id"]);
}
