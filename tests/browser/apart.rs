//! Tenants, users and chats that have nothing to do with each other.

use serde_json::{Value, json};
use wardroom_load::house::{House, KEY, SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_finds_nothing_of_another() {
    let house = House::start().await;
    let other = house.tenant("other");
    house.link("default", "491700001").await;
    house.link_as(&other, "default", "491700002").await;
    assert_eq!(house.ask_as(&other, "GET", "/api/sessions/default/me", None).await.ok()["id"], "491700002@c.us");

    house.create("mine").await;
    let paths = [
        ("GET", "/api/sessions/mine"),
        ("PUT", "/api/sessions/mine"),
        ("POST", "/api/sessions/mine/start"),
        ("POST", "/api/sessions/mine/stop"),
        ("POST", "/api/sessions/mine/restart"),
        ("POST", "/api/sessions/mine/reconnect"),
        ("POST", "/api/sessions/mine/logout"),
        ("GET", "/api/sessions/mine/me"),
        ("GET", "/api/sessions/mine/status"),
        ("GET", "/api/mine/auth/qr"),
        ("POST", "/api/mine/auth/request-code"),
        ("GET", "/api/screenshot?session=mine"),
        ("GET", "/api/mine/chats"),
        ("GET", "/api/mine/chats/1@c.us/messages"),
        ("POST", "/api/sendText"),
        ("POST", "/api/sendSeen"),
        ("POST", "/api/startTyping"),
        ("POST", "/api/stopTyping"),
    ];
    for (method, path) in paths {
        let body = json!({"session": "mine", "chatId": "491700001", "text": "x", "phoneNumber": "491700001"});
        let answer = house.ask_as(&other, method, path, (method != "GET").then_some(body.clone())).await;
        assert_eq!(answer.refused(404), "session_not_found", "{method} {path}");
        let nobody = house.anonymous(method, path, (method != "GET").then_some(body)).await;
        assert_eq!(nobody.refused(401), "unauthorized", "{method} {path}");
    }
    // Deleting what one does not have is as good as deleting nothing, and does nothing.
    house.ask_as(&other, "DELETE", "/api/sessions/mine", None).await.ok();
    assert_eq!(house.get("/api/sessions/mine").await["name"], "mine");
    let theirs = house.ask_as(&other, "GET", "/api/sessions?all=true", None).await.ok();
    assert_eq!(theirs.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_session_of_a_user_and_a_full_node_are_refused() {
    let settings = [("WARDROOM__POOL__WORKERS_PER_NODE", "2"), ("WARDROOM__POOL__WARM_SPARES", "1")];
    let house = House::with(&settings, &[]).await;
    let create = |name: String, start: bool, user: &'static str| {
        let body = json!({"name": name, "start": start, "user": user, "config": {"network": "simulator"}});
        house.ask("POST", "/api/sessions", Some(body))
    };
    for n in 0..5 {
        assert_eq!(create(format!("s{n}"), false, "owner").await.status, 201);
    }
    let sixth = create("s5".into(), false, "owner").await;
    assert_eq!(sixth.refused(422), "quota_sessions");
    assert_eq!(create("t0".into(), false, "someone").await.status, 201, "another user has a quota of their own");

    // The warm spare makes room for a session that needs its place.
    for n in 0..2 {
        house.post(&format!("/api/sessions/s{n}/start"), json!({})).await;
    }
    let full = house.ask("POST", "/api/sessions/s2/start", None).await;
    assert_eq!(full.refused(503), "node_full");
    assert!(full.headers.contains_key("retry-after"));
    let full = create("u0".into(), true, "someone").await;
    assert_eq!(full.refused(503), "node_full");
    assert_eq!(house.ask("GET", "/api/sessions/u0", None).await.status, 404, "a refused request leaves nothing");
    house.qr("s0").await;
    house.qr("s1").await;
    house.post("/api/sessions/s0/stop", json!({})).await;
    house.post("/api/sessions/s2/start", json!({})).await;
    house.qr("s2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_chat_in_two_sessions_is_two_chats_and_two_names_of_one_person_are_one() {
    let house = House::start().await;
    house.link("one", "491700001").await;
    house.link("two", "491700002").await;
    house.network.phone("491700009", "Customer").await;
    house.network.send("491700009", "491700001", "for one").await;
    house.network.send("491700009", "491700002", "for two").await;
    for name in ["one", "two"] {
        let messages = until("the message is here", SOON, || async {
            let messages = house.messages(name, "491700009@c.us").await;
            (!messages.is_empty()).then_some(messages)
        })
        .await;
        assert_eq!((messages.len(), &messages[0]["body"]), (1, &json!(format!("for {name}"))));
    }

    let hidden = json!({"number": "491700008", "name": "Hidden", "lid": true});
    let hidden = house.network.ask("POST", "/api/phones", Some(hidden)).await.ok();
    let lid = format!("{}@lid", hidden["lid"].as_str().unwrap());
    house.post("/api/sendText", json!({"session": "one", "chatId": "491700008", "text": "by number"})).await;
    house.network.send("491700008", "491700001", "by hidden id").await;
    let bodies = |messages: Vec<Value>| -> Vec<String> {
        messages.iter().map(|one| one["body"].as_str().unwrap().to_owned()).collect()
    };
    until("both are in one chat", SOON, || async { (house.messages("one", &lid).await.len() == 2).then_some(()) })
        .await;
    let by_number = bodies(house.messages("one", "491700008@c.us").await);
    assert_eq!(by_number, ["by number", "by hidden id"]);
    assert_eq!(by_number, bodies(house.messages("one", &lid).await));
    let chats = house.get("/api/one/chats").await;
    assert_eq!(chats.as_array().unwrap().len(), 2, "{chats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_admin_rights_reaches_its_own_user_only() {
    let house = House::start().await;
    let printed = house.run(&["keys", "create", "--tenant", "default", "--user", "worker"]);
    let key = printed.lines().last().unwrap();
    let body = json!({"name": "x", "start": false, "user": "owner"});
    assert_eq!(house.ask_as(key, "POST", "/api/sessions", Some(body)).await.refused(403), "forbidden");
    house.ask_as(key, "POST", "/api/sessions", Some(json!({"name": "x", "start": false}))).await.ok();
    house.ask_as(KEY, "POST", "/api/sessions", Some(json!({"name": "y", "start": false}))).await.ok();
    assert_eq!(house.ask_as(key, "GET", "/api/sessions/y", None).await.refused(404), "session_not_found");
    house.ask_as(key, "DELETE", "/api/sessions/y", None).await.ok();
    let own = house.ask_as(key, "GET", "/api/sessions?all=true", None).await.ok();
    assert_eq!((own.as_array().unwrap().len(), &own[0]["name"]), (1, &json!("x")));
    assert_eq!(house.get("/api/sessions?all=true").await.as_array().unwrap().len(), 2);
}
