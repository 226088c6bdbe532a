//! Channels: made, found, followed, ended.

use serde_json::{Value, json};
use wardroom_load::house::{House, SOON, until};

/// The channels of a session, of one role.
async fn of(house: &House, session: &str, role: &str) -> Vec<Value> {
    house.get(&format!("/api/{session}/channels?role={role}")).await.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_made_found_followed_and_ended() {
    let house = House::start().await;
    house.link("default", "491700001").await;
    house.link("second", "491700002").await;
    let new = json!({"name": "Harbour news", "description": "Who comes, who goes"});
    let made = house.post("/api/default/channels", new).await;
    let (id, invite) = (made["id"].as_str().unwrap(), made["invite"].as_str().unwrap());
    assert!(id.ends_with("@newsletter") && invite.starts_with("https://www.whatsapp.com/channel/"), "{made}");
    assert_eq!((&made["name"], &made["role"]), (&json!("Harbour news"), &json!("OWNER")));
    assert_eq!(of(&house, "default", "OWNER").await[0]["description"], "Who comes, who goes");
    assert!(of(&house, "default", "SUBSCRIBER").await.is_empty());

    let search = json!({"text": "HARBOUR", "limit": 1});
    let found = house.ask("POST", "/api/second/channels/search/by-text", Some(search)).await.ok();
    assert_eq!((&found["channels"][0]["id"], &found["channels"][0]["role"]), (&json!(id), &json!("GUEST")));
    assert_eq!((&found["page"]["hasNextPage"], &found["page"]["hasPreviousPage"]), (&json!(false), &json!(false)));
    let seen = house.get(&format!("/api/second/channels/{id}")).await;
    assert_eq!(
        (&seen["name"], &seen["role"], &seen["invite"]),
        (&json!("Harbour news"), &json!("GUEST"), &json!(invite))
    );

    house.post(&format!("/api/second/channels/{id}/follow"), Value::Null).await;
    assert_eq!(of(&house, "second", "SUBSCRIBER").await[0]["id"], id);
    let counted = || async { (of(&house, "default", "OWNER").await[0]["subscribersCount"] == 1).then_some(()) };
    until("the owner sees who follows", SOON, counted).await;
    for what in ["mute", "unmute"] {
        house.post(&format!("/api/second/channels/{id}/{what}"), Value::Null).await;
    }
    let code = invite.rsplit('/').next().unwrap();
    assert_eq!(house.get(&format!("/api/second/channels/{code}")).await["id"], id);
    let path = format!("/api/second/channels/{id}");
    // Only its owner ends it.
    house.ask("DELETE", &path, None).await.refused(422);
    house.post(&format!("{path}/unfollow"), Value::Null).await;
    assert!(of(&house, "second", "SUBSCRIBER").await.is_empty());
    house.ask("POST", &format!("{path}/unfollow"), None).await.refused(404);
    house.ask("POST", &format!("{path}/mute"), None).await.refused(404);

    house.ask("DELETE", &format!("/api/default/channels/{id}"), None).await.ok();
    house.ask("GET", &path, None).await.refused(404);
    house.ask("POST", &format!("{path}/follow"), None).await.refused(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_channel_is_refused() {
    let house = House::start().await;
    house.link("default", "491700001").await;
    for (path, body) in [
        ("/api/default/channels", json!({"name": ""})),
        ("/api/default/channels/1@c.us/follow", Value::Null),
        ("/api/default/channels/search/by-text", json!({"text": " "})),
        ("/api/default/channels/search/by-text", json!({"text": "x", "limit": 101})),
    ] {
        house.ask("POST", path, Some(body)).await.refused(400);
    }
    house.ask("GET", "/api/default/channels?role=KING", None).await.refused(400);
    house.ask("GET", "/api/default/channels/nobodysCode", None).await.refused(404);
    house.ask("GET", "/api/nobody/channels", None).await.refused(404);
}
