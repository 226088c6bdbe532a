//! People, groups, labels, presence and calls, as clients of the API see them, and as the phones do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wardroom_load::house::{House, SOON, until};

const BOB: &str = "491700002@c.us";
const CAROL: &str = "491700003@c.us";

/// A linked session `default` of 491700001; Bob has written to it, Carol has not.
async fn linked() -> House {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.network.phone("491700003", "Carol").await;
    house.link("default", "491700001").await;
    house.network.send("491700002", "491700001", "hello").await;
    until("Bob is heard", SOON, || async { house.messages("default", BOB).await.pop() }).await;
    house
}

/// The first of a list for which this is true.
fn find(list: &Value, test: impl Fn(&Value) -> bool) -> Option<Value> {
    list.as_array().unwrap().iter().find(|one| test(one)).cloned()
}

async fn done(house: &House, method: &str, path: &str, body: Option<Value>) -> Value {
    house.ask(method, path, body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_listed_looked_up_named_and_blocked() {
    let house = linked().await;
    let all = house.get("/api/contacts/all?session=default").await;
    let bob = find(&all, |one| one["id"] == BOB).unwrap();
    assert_eq!(
        (&bob["pushname"], &bob["number"], &bob["isBlocked"]),
        (&json!("Bob"), &json!("491700002"), &json!(false))
    );
    let twice = all.as_array().unwrap().iter().filter(|one| one["pushname"] == "Bob").count();
    assert_eq!(twice, 1, "{all}");
    let found = house.get("/api/contacts/check-exists?session=default&phone=%2B491700003").await;
    assert_eq!(found, json!({"numberExists": true, "chatId": CAROL}));
    house.ask("GET", "/api/default/lids/491700002@c.us", None).await.refused(400);
    let none = house.get("/api/contacts/check-exists?session=default&phone=4900000001").await;
    assert_eq!(none, json!({"numberExists": false}));
    let stranger = house.get("/api/contacts?session=default&contactId=491700003").await;
    assert_eq!(
        (&stranger["id"], &stranger["isWAContact"], &stranger["name"]),
        (&json!(CAROL), &json!(true), &Value::Null)
    );

    let about = json!({"text": "Sailing"});
    house.network.ask("PUT", "/api/phones/491700002/about", Some(about)).await.ok();
    assert_eq!(house.get(&format!("/api/contacts/about?contactId={BOB}")).await, json!({"about": "Sailing"}));
    let nothing = house.get(&format!("/api/contacts/about?contactId={CAROL}")).await;
    assert_eq!(nothing, json!({"about": null}));
    let picture = house.get(&format!("/api/contacts/profile-picture?contactId={BOB}")).await;
    assert!(picture["profilePictureURL"].as_str().unwrap().starts_with("http"), "{picture}");
    assert_eq!(house.get(&format!("/api/default/chats/{BOB}/picture")).await["url"], picture["profilePictureURL"]);

    for on in [true, false] {
        let path = if on { "/api/contacts/block" } else { "/api/contacts/unblock" };
        house.post(path, json!({"contactId": BOB, "session": "default"})).await;
        let bob = house.get(&format!("/api/contacts?contactId={BOB}")).await;
        assert_eq!(bob["isBlocked"], on, "{bob}");
    }
    let called = json!({"firstName": "Robert", "lastName": "Smith"});
    done(&house, "PUT", &format!("/api/default/contacts/{BOB}"), Some(called)).await;
    let named = until("the address book has the name", SOON, || async {
        let bob = house.get(&format!("/api/contacts?contactId={BOB}")).await;
        (bob["name"] == "Robert Smith").then_some(bob)
    })
    .await;
    assert_eq!((&named["isMyContact"], &named["shortName"]), (&json!(true), &json!("Robert")));

    let lids = house.get("/api/default/lids").await;
    let pair = find(&lids, |one| one["pn"] == BOB).unwrap();
    let lid = pair["lid"].as_str().unwrap();
    assert!(lid.ends_with("@lid"));
    assert_eq!(house.get(&format!("/api/default/lids/{lid}")).await, pair);
    assert_eq!(house.get("/api/default/lids/pn/491700002").await, pair);
    assert_eq!(house.get("/api/default/lids/count").await["count"], lids.as_array().unwrap().len());
    let unknown = house.get("/api/default/lids/1@lid").await;
    assert_eq!(unknown, json!({"lid": "1@lid", "pn": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_profile_is_shown_and_changed() {
    let house = linked().await;
    assert_eq!(house.get("/api/default/profile").await["id"], "491700001@c.us");
    done(&house, "PUT", "/api/default/profile/name", Some(json!({"name": "Anna & Co"}))).await;
    until("the name is another", SOON, || async {
        (house.get("/api/default/profile").await["name"] == "Anna & Co").then_some(())
    })
    .await;
    done(&house, "PUT", "/api/default/profile/status", Some(json!({"status": "Open until six"}))).await;
    until("the text is another", SOON, || async {
        let about = house.get("/api/contacts/about?contactId=491700001").await;
        (about["about"] == "Open until six").then_some(())
    })
    .await;
    house.ask("PUT", "/api/default/profile/name", Some(json!({"name": ""}))).await.refused(400);
    set_and_remove_a_picture(&house, "/api/default/profile/picture", "491700001@c.us").await;
}

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==";

async fn set_and_remove_a_picture(house: &House, path: &str, of: &str) {
    let shown = async || {
        let picture = house.get(&format!("/api/contacts/profile-picture?contactId={of}&refresh=true")).await;
        picture["profilePictureURL"].as_str().map(str::to_owned)
    };
    for wrong in [json!({}), json!({"file": {}}), json!({"file": {"data": "aGVsbG8="}}), json!({"file": {"data": "?"}})]
    {
        house.ask("PUT", path, Some(wrong)).await.refused(400);
    }
    let long = STANDARD.encode(vec![0xff; (5 << 20) + 1]);
    house.ask("PUT", path, Some(json!({"file": {"data": long}}))).await.refused(413);
    let set = json!({"file": {"mimetype": "image/png", "data": format!("data:image/png;base64,{PNG}")}});
    assert_eq!(done(house, "PUT", path, Some(set)).await, json!({"success": true}));
    let url = shown().await.unwrap();
    let image = reqwest::get(&url).await.unwrap().bytes().await.unwrap();
    assert!(image.starts_with(&[0xff, 0xd8, 0xff]), "the page makes a JPEG of it: {url}");
    assert_eq!(done(house, "DELETE", path, None).await, json!({"success": true}));
    assert_eq!(shown().await, None);
    // What another host has is fetched.
    done(house, "PUT", path, Some(json!({"file": {"url": url}}))).await;
    assert!(shown().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_read_archived_cleared_and_removed() {
    let house = linked().await;
    house.network.send("491700002", "491700001", "again").await;
    until("both are here", SOON, || async { (house.messages("default", BOB).await.len() == 2).then_some(()) }).await;
    let read = house.ask("POST", &format!("/api/default/chats/{BOB}/messages/read"), None).await;
    assert_eq!(read.status, 201);
    assert_eq!(read.json()["ids"].as_array().unwrap().len(), 2, "{}", read.json());
    until("Bob sees that", SOON, || async {
        house.network.messages("491700002").await.iter().all(|one| one["ack"] == 3).then_some(())
    })
    .await;
    let again = house.post(&format!("/api/default/chats/{BOB}/messages/read"), json!({"messages": 5})).await;
    assert_eq!(again["ids"], json!([]));
    for act in ["archive", "archive", "unarchive", "unread"] {
        house.post(&format!("/api/default/chats/{BOB}/{act}"), json!({})).await;
    }
    house.ask("POST", &format!("/api/default/chats/{CAROL}/archive"), None).await.refused(404);
    done(&house, "DELETE", &format!("/api/default/chats/{BOB}/messages"), None).await;
    done(&house, "DELETE", &format!("/api/default/chats/{BOB}"), None).await;
    house.ask("DELETE", &format!("/api/default/chats/{BOB}"), None).await.refused(404);
    // What was recorded is still there to be read.
    assert_eq!(house.messages("default", BOB).await.len(), 2);
    let overview = house.post("/api/default/chats/overview", json!({"filter": {"ids": [BOB]}})).await;
    assert_eq!((&overview[0]["id"], &overview[0]["lastMessage"]["body"]), (&json!(BOB), &json!("again")));
    assert_eq!(house.post("/api/default/chats/overview", json!({"filter": {"ids": [CAROL]}})).await, json!([]));
    assert_eq!(house.get(&format!("/api/default/chats/overview?ids={BOB}&ids={CAROL}")).await, overview);
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_shown_and_seen() {
    let house = linked().await;
    let there = house.get(&format!("/api/default/presence/{BOB}")).await;
    assert_eq!((&there["id"], &there["presences"][0]["lastKnownPresence"]), (&json!(BOB), &json!("online")));
    let typing = json!({"chat": "491700001"});
    house.network.ask("POST", "/api/phones/491700002/typing", Some(typing)).await.ok();
    until("Bob types", SOON, || async {
        let all = house.get("/api/default/presence").await;
        (find(&all, |one| one["id"] == BOB)?["presences"][0]["lastKnownPresence"] == "typing").then_some(())
    })
    .await;
    assert_eq!(house.ask("POST", &format!("/api/default/presence/{BOB}/subscribe"), None).await.status, 201);
    for body in
        [json!({"presence": "online"}), json!({"presence": "recording", "chatId": BOB}), json!({"presence": "offline"})]
    {
        house.post("/api/default/presence", body).await;
    }
    for body in
        [json!({"presence": "typing"}), json!({"presence": "online", "chatId": BOB}), json!({"presence": "asleep"})]
    {
        house.ask("POST", "/api/default/presence", Some(body)).await.refused(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_written_to_changed_and_left() {
    let house = linked().await;
    let body = json!({"name": "Crew", "participants": [{"id": BOB}, {"id": CAROL}]});
    let made = house.post("/api/default/groups", body).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/default/groups/{id}");
    let members = |group: &Value| group["participants"].as_array().unwrap().len();
    assert_eq!((&made["subject"], members(&made)), (&json!("Crew"), 3), "{made}");
    assert_eq!(house.get(&path).await, made);
    assert_eq!(house.get("/api/default/groups").await, json!([made]));
    assert_eq!(house.get("/api/default/groups/count").await, json!({"count": 1}));
    assert!(house.get("/api/default/groups?exclude=participants").await[0].get("participants").is_none());

    let text = json!({"chatId": id, "text": "All hands @491700002", "mentions": ["all"]});
    let sent = house.post("/api/sendText", text).await;
    assert!(sent["ack"].as_i64().unwrap() >= 1, "{sent}");
    let shown = house.network.messages("491700003").await.pop().unwrap();
    assert_eq!((&shown["chat"], &shown["text"]), (&json!(id), &json!("All hands @491700002")));
    assert_eq!(shown["data"]["mentionedJidList"], json!([BOB, CAROL]));
    house.network.ask("POST", "/api/phones/491700003/messages", Some(json!({"to": id, "text": "Aye"}))).await.ok();
    let heard = until("Carol is heard", SOON, || async {
        find(&json!(house.messages("default", id).await), |one| one["body"] == "Aye")
    })
    .await;
    assert_eq!((&heard["from"], &heard["participant"]), (&json!(id), &json!(CAROL)));

    let people = |id: &str| Some(json!({"participants": [{"id": id}]}));
    let role = async |who: &str| {
        let members = house.get(&format!("{path}/participants/v2")).await;
        find(&members, |one| one["id"] == who || one["pn"] == who).map(|one| one["role"].as_str().unwrap().to_owned())
    };
    done(&house, "POST", &format!("{path}/admin/promote"), people(BOB)).await;
    assert_eq!(role(BOB).await.as_deref(), Some("admin"));
    done(&house, "POST", &format!("{path}/admin/demote"), people(BOB)).await;
    assert_eq!(role(BOB).await.as_deref(), Some("participant"));
    done(&house, "POST", &format!("{path}/participants/remove"), people(CAROL)).await;
    assert_eq!(role(CAROL).await, None);
    done(&house, "POST", &format!("{path}/participants/add"), people(CAROL)).await;
    assert_eq!(role(CAROL).await.as_deref(), Some("participant"));

    for (what, body) in
        [("subject", json!({"subject": "Night watch"})), ("description", json!({"description": "Eight to four"}))]
    {
        assert_eq!(done(&house, "PUT", &format!("{path}/{what}"), Some(body)).await, json!(true));
    }
    for setting in ["info-admin-only", "messages-admin-only"] {
        let setting = format!("{path}/settings/security/{setting}");
        assert_eq!(house.get(&setting).await, json!({"adminsOnly": false}));
        assert_eq!(done(&house, "PUT", &setting, Some(json!({"adminsOnly": true}))).await, json!(true));
        assert_eq!(house.get(&setting).await, json!({"adminsOnly": true}));
    }
    set_and_remove_a_picture(&house, &format!("{path}/picture"), id).await;
    let now = house.get(&path).await;
    assert_eq!((&now["subject"], &now["description"]), (&json!("Night watch"), &json!("Eight to four")));

    let code = house.get(&format!("{path}/invite-code")).await.as_str().unwrap().to_owned();
    let info = house.get(&format!("/api/default/groups/join-info?code=https://chat.whatsapp.com/{code}")).await;
    assert_eq!((&info["id"], &info["subject"]), (&json!(id), &json!("Night watch")));
    let fresh = done(&house, "POST", &format!("{path}/invite-code/revoke"), None).await;
    assert_ne!(fresh.as_str().unwrap(), code);
    house.ask("GET", &format!("/api/default/groups/join-info?code={code}"), None).await.refused(404);

    done(&house, "POST", &format!("{path}/leave"), None).await;
    assert_eq!(house.get("/api/default/groups").await, json!([]));
    let groups = house.network.ask("GET", "/api/groups", None).await.ok();
    assert!(find(&groups[0]["group"]["members"], |one| one["id"] == "491700001@c.us").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_others_is_joined_and_refuses_what_only_admins_may() {
    let house = linked().await;
    let new = json!({"subject": "Harbour", "people": ["491700003"]});
    let made = house.network.ask("POST", "/api/phones/491700002/groups", Some(new)).await.ok();
    let id = made["id"].as_str().unwrap();
    house.ask("GET", &format!("/api/default/groups/{id}"), None).await.refused(404);
    let groups = house.network.ask("GET", "/api/groups", None).await.ok();
    let code = groups[0]["invite"].as_str().unwrap();
    assert_eq!(done(&house, "POST", "/api/default/groups/join", Some(json!({"code": code}))).await["id"], id);
    until("it is among the groups", SOON, || async {
        (house.get("/api/default/groups/count").await["count"] == 1).then_some(())
    })
    .await;
    let path = format!("/api/default/groups/{id}");
    let people = json!({"participants": [{"id": CAROL}]});
    house.ask("POST", &format!("{path}/participants/remove"), Some(people)).await.refused(422);
    house
        .ask("PUT", &format!("{path}/settings/security/info-admin-only"), Some(json!({"adminsOnly": true})))
        .await
        .refused(422);
    house.ask("GET", &format!("{path}/invite-code"), None).await.refused(422);
    house.ask("POST", "/api/default/groups/join", Some(json!({"code": "nonsense"}))).await.refused(404);
    house.ask("POST", "/api/default/groups/join", Some(json!({"code": "a/../b c"}))).await.refused(400);
    house.ask("GET", "/api/default/groups/1@c.us", None).await.refused(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_labelled() {
    let house = linked().await;
    let first = house.post("/api/default/labels", json!({"name": "New client", "colorHex": "#64c4ff"})).await;
    assert_eq!(
        (&first["name"], &first["color"], &first["colorHex"]),
        (&json!("New client"), &json!(1), &json!("#64c4ff"))
    );
    let second = house.post("/api/default/labels", json!({"name": "Paid", "color": 0})).await;
    assert_eq!(house.get("/api/default/labels").await, json!([first, second]));
    let (id, other) = (first["id"].as_str().unwrap(), second["id"].as_str().unwrap());
    let of_bob = format!("/api/default/labels/chats/{BOB}/");
    done(&house, "PUT", &of_bob, Some(json!({"labels": [{"id": id}, {"id": other}]}))).await;
    assert_eq!(house.get(&of_bob).await, json!([first, second]));
    done(&house, "PUT", of_bob.trim_end_matches('/'), Some(json!({"labels": [{"id": other}]}))).await;
    assert_eq!(house.get(&format!("/api/default/labels/{other}/chats")).await, json!([{"id": BOB}]));
    assert_eq!(house.get(&format!("/api/default/labels/{id}/chats")).await, json!([]));
    let renamed =
        done(&house, "PUT", &format!("/api/default/labels/{id}"), Some(json!({"name": "Old client", "color": 0})))
            .await;
    assert_eq!((&renamed["name"], &renamed["color"]), (&json!("Old client"), &json!(0)));
    done(&house, "DELETE", &format!("/api/default/labels/{other}"), None).await;
    until("one label is left", SOON, || async {
        (house.get("/api/default/labels").await == json!([renamed])).then_some(())
    })
    .await;
    house.ask("DELETE", "/api/default/labels/99", None).await.refused(404);
    house.ask("POST", "/api/default/labels", Some(json!({"name": "x", "color": 20}))).await.refused(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_refused() {
    let house = linked().await;
    let call = json!({"to": "491700001", "video": true});
    let call = house.network.ask("POST", "/api/phones/491700002/call", Some(call)).await.ok();
    house.post("/api/default/calls/reject", json!({"from": BOB, "id": call["id"]})).await;
    until("the network knows", SOON, || async {
        let calls = house.network.ask("GET", "/api/phones/491700001/calls", None).await.ok();
        (calls[0]["state"] == "rejected").then_some(())
    })
    .await;
    house.ask("POST", "/api/default/calls/reject", Some(json!({"id": "nothing"}))).await.refused(404);
}
