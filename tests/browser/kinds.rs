//! Everything that is more than a text: kinds of messages in both directions, what is done to messages, requests made twice.

use serde_json::{Value, json};
use wardroom_load::house::{Answer, House, KEY, SOON, until};

const BOB: &str = "491700002@c.us";

/// A linked session `default` of 491700001, and Bob.
async fn linked() -> House {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house
}

/// Sends under an `Idempotency-Key`.
async fn keyed(house: &House, key: &str, body: &Value) -> Answer {
    let url = format!("http://127.0.0.1:{}/api/sendText", house.http);
    let request = reqwest::Client::new().post(url).header("x-api-key", KEY).header("idempotency-key", key).json(body);
    Answer::of(request.send().await.unwrap()).await
}

/// Bob's phone sends something that is more than a text; answers its bare id.
async fn bob(house: &House, kind: &str, text: &str, data: Value) -> String {
    let body = json!({"to": "491700001", "kind": kind, "text": text, "data": data});
    let sent = house.network.ask("POST", "/api/phones/491700002/messages", Some(body)).await.ok();
    sent["id"].as_str().unwrap().to_owned()
}

/// What Bob's phone shows last.
async fn shown(house: &House) -> Value {
    house.network.messages("491700002").await.pop().unwrap()
}

/// The stored message, once it is there.
async fn heard(house: &House, bare: &str) -> Value {
    until("the message is here", SOON, || async {
        house
            .messages("default", BOB)
            .await
            .into_iter()
            .find(|one| one["id"].as_str().is_some_and(|id| id.ends_with(bare)))
    })
    .await
}

fn bare(message: &Value) -> String {
    message["id"].as_str().unwrap().split('_').nth(2).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn places_cards_polls_and_answers_go_both_ways() {
    let house = linked().await;
    let place = json!({"chatId": BOB, "latitude": 38.8937255, "longitude": -77.0969763, "title": "Our office"});
    let sent = house.post("/api/sendLocation", place).await;
    assert!(sent["ack"].as_i64().unwrap() >= 1, "{sent}");
    let expected = json!({"description": "Our office", "latitude": "38.8937255", "longitude": "-77.0969763"});
    assert_eq!(
        (&sent["location"], &sent["body"], &sent["_data"]["type"]),
        (&expected, &json!("Our office"), &json!("location"))
    );
    let seen = shown(&house).await;
    assert_eq!((&seen["type"], &seen["data"]["lat"]), (&json!("location"), &json!(38.8937255)));

    let parts = json!({"fullName": "Doe; Jane", "organization": "Company", "phoneNumber": "+91 11111", "whatsappId": "9111111"});
    let finished = json!({"vcard": "BEGIN:VCARD\nVERSION:3.0\nFN:John\nEND:VCARD"});
    let one = house.post("/api/sendContactVcard", json!({"chatId": BOB, "contacts": [parts.clone()]})).await;
    let card = "BEGIN:VCARD\nVERSION:3.0\nFN:Doe\\; Jane\nORG:Company;\nTEL;type=CELL;type=VOICE;waid=9111111:+91 11111\nEND:VCARD";
    assert_eq!(one["vCards"], json!([card]));
    assert_eq!(shown(&house).await["text"], card);
    let two = house.post("/api/sendContactVcard", json!({"chatId": BOB, "contacts": [parts, finished]})).await;
    assert_eq!(two["vCards"].as_array().unwrap().len(), 2);
    assert_eq!(shown(&house).await["data"]["vcardList"][1]["displayName"], "John");

    let poll = json!({"name": "Tea?", "options": ["Yes", "No"], "multipleAnswers": false});
    let poll = house.post("/api/sendPoll", json!({"chatId": BOB, "poll": poll})).await;
    assert_eq!((&poll["body"], &poll["_data"]["pollOptions"]), (&json!("Tea?"), &json!(["Yes", "No"])));
    assert_eq!(shown(&house).await["data"]["pollSelectableOptionsCount"], 1);

    let date = json!({"name": "Launch", "startTime": 1_893_456_000, "location": {"name": "Harbour"}});
    let dated = house.post("/api/default/events", json!({"chatId": BOB, "event": date})).await;
    assert_eq!((&dated["body"], &dated["_data"]["type"]), (&json!("Launch"), &json!("event_creation")));
    let seen = shown(&house).await;
    assert_eq!((&seen["type"], &seen["data"]["eventStartTime"]), (&json!("event_creation"), &json!(1_893_456_000)));
    assert_eq!(seen["data"]["eventLocation"]["name"], "Harbour");
    let late = json!({"name": "Launch", "startTime": 1_893_456_000, "endTime": 1_893_455_999});
    house.ask("POST", "/api/default/events", Some(json!({"chatId": BOB, "event": late}))).await.refused(400);

    let asked = bob(&house, "chat", "Where are you?", Value::Null).await;
    let question = heard(&house, &asked).await;
    for id in [question["id"].as_str().unwrap(), &asked] {
        let answer = json!({"chatId": BOB, "text": "Here, @491700002", "reply_to": id, "mentions": [BOB]});
        let answer = house.post("/api/sendText", answer).await;
        assert_eq!((&answer["replyTo"]["id"], &answer["replyTo"]["body"]), (&json!(asked), &json!("Where are you?")));
        let seen = shown(&house).await;
        assert_eq!(
            (&seen["data"]["quotedStanzaID"], &seen["data"]["mentionedJidList"]),
            (&json!(asked), &json!([BOB]))
        );
    }
    let copy = house.post("/api/forwardMessage", json!({"chatId": BOB, "messageId": sent["id"]})).await;
    assert_eq!((&copy["location"], &copy["_data"]["type"]), (&expected, &json!("location")));
    assert_ne!(copy["id"], sent["id"]);
    assert_eq!(shown(&house).await["data"]["isForwarded"], true);
    let poll_copy = json!({"chatId": BOB, "messageId": poll["id"]});
    assert_eq!(house.ask("POST", "/api/forwardMessage", Some(poll_copy)).await.refused(422), "refused_by_network");
    let nothing = json!({"chatId": BOB, "messageId": "false_491700002@c.us_3ANOTHING"});
    assert_eq!(house.ask("POST", "/api/forwardMessage", Some(nothing)).await.refused(404), "message_not_found");
    let nothing = json!({"chatId": BOB, "text": "x", "reply_to": "false_491700002@c.us_3ANOTHING"});
    assert_eq!(house.ask("POST", "/api/sendText", Some(nothing)).await.refused(404), "message_not_found");

    let place = bob(&house, "location", "", json!({"lat": 1.5, "lng": 2, "loc": "Home"})).await;
    assert_eq!(heard(&house, &place).await["location"]["longitude"], "2");
    let quoted = json!({"quotedStanzaID": bare(&poll), "quotedParticipant": "491700001@c.us", "quotedMsg": {"type": "poll_creation", "pollName": "Tea?"}});
    let answer = bob(&house, "chat", "gladly", quoted).await;
    assert_eq!(heard(&house, &answer).await["replyTo"]["body"], "Tea?");

    let chats = house.get("/api/default/chats/overview?limit=5").await;
    assert_eq!((&chats[0]["id"], &chats[0]["lastMessage"]["body"]), (&json!(BOB), &json!("gladly")));
    let id = sent["id"].as_str().unwrap();
    assert_eq!(house.get(&format!("/api/default/chats/{BOB}/messages/{id}")).await["location"], expected);
    let own = "/api/default/chats/all/messages?limit=2&sortOrder=asc&filter.fromMe=true";
    let page = house.ask("GET", own, None).await;
    let next = page.headers["x-next-cursor"].to_str().unwrap().to_owned();
    assert_eq!(page.ok()[0]["id"], sent["id"]);
    assert_eq!(house.get(&format!("{own}&cursor={next}")).await[0]["id"], two["id"]);
    for query in ["cursor=x", "filter.fromMe=perhaps", "filter.ack=SOON", "limit=0"] {
        let refused = house.ask("GET", &format!("/api/default/chats/{BOB}/messages?{query}"), None).await;
        assert_eq!(refused.refused(400), "bad_request", "{query}");
    }

    let bad = [
        ("/api/sendLocation", json!({"chatId": BOB, "latitude": 91, "longitude": 0})),
        ("/api/sendContactVcard", json!({"chatId": BOB, "contacts": []})),
        ("/api/sendContactVcard", json!({"chatId": BOB, "contacts": [{"vcard": "hello"}]})),
        ("/api/sendPoll", json!({"chatId": BOB, "poll": {"name": "Tea?", "options": ["Yes"]}})),
        ("/api/sendPoll", json!({"chatId": BOB, "poll": {"name": "Tea?", "options": ["Yes", "Yes"]}})),
        ("/api/sendText", json!({"chatId": BOB, "text": "x", "id": "!"})),
        ("/api/sendText", json!({"chatId": BOB, "text": "x", "mentions": ["nobody"]})),
    ];
    for (path, body) in bad {
        assert_eq!(house.ask("POST", path, Some(body)).await.refused(400), "bad_request", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_looked_at_when_somebody_says_so() {
    let house = linked().await;
    let link = "https://example.com/";
    for (preview, matched) in [(Value::Null, Value::Null), (json!(false), Value::Null), (json!(true), json!(link))] {
        let body = json!({"chatId": BOB, "text": format!("See {link} now"), "linkPreview": preview});
        house.post("/api/sendText", body).await;
        assert_eq!(shown(&house).await["data"]["matchedText"], matched, "linkPreview {preview}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_made_twice_is_done_once_over_a_kill_too() {
    let mut house = linked().await;
    let hello = json!({"chatId": BOB, "text": "hello"});
    let (first, again) = (keyed(&house, "order 7", &hello).await.ok(), keyed(&house, "order 7", &hello).await.ok());
    assert_eq!(first["id"], again["id"]);
    let other = keyed(&house, "order 7", &json!({"chatId": BOB, "text": "another"})).await;
    assert_eq!(other.refused(422), "idempotency_key_reused");
    let id = house.get("/api/default/new-message-id").await["id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let sent = house.post("/api/sendText", json!({"chatId": BOB, "text": "mine", "id": id})).await;
        assert_eq!(sent["id"], format!("true_{BOB}_{id}"));
    }
    assert_eq!(house.network.messages("491700002").await.len(), 2);

    // Killed between the commit and the answer.
    house.failpoint = Some("kill:outbox.committed@1".to_owned());
    house.close().await;
    house.open().await;
    house.is("default", "WORKING").await;
    let url = format!("http://127.0.0.1:{}/api/sendText", house.http);
    let request =
        reqwest::Client::new().post(url).header("x-api-key", KEY).header("idempotency-key", "order 8").json(&hello);
    assert!(request.send().await.is_err(), "the server is gone");
    house.kill();
    house.failpoint = None;
    house.open().await;
    let again = keyed(&house, "order 8", &hello).await.ok();
    let texts =
        || async { house.network.messages("491700002").await.iter().filter(|one| one["text"] == "hello").count() };
    until("it left", SOON, || async { (texts().await == 2).then_some(()) }).await;
    let third = keyed(&house, "order 8", &hello).await.ok();
    assert_eq!(again["id"], third["id"]);
    assert!(third["ack"].as_i64().unwrap() >= 1, "{third}");
    // A stopped session still answers for what was accepted.
    house.post("/api/sessions/default/stop", json!({})).await;
    assert_eq!(keyed(&house, "order 8", &hello).await.ok()["id"], third["id"]);
    assert_eq!(texts().await, 2);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_writes_no_faster_than_its_pace_and_says_what_waits() {
    let pace = [
        ("WARDROOM__PACING__SESSION_PER_MINUTE", "60"),
        ("WARDROOM__PACING__SESSION_BURST", "3"),
        ("WARDROOM__PACING__CHAT_PER_MINUTE", "6"),
        ("WARDROOM__PACING__CHAT_BURST", "1"),
        ("WARDROOM__LIMITS__OUTBOX", "3"),
    ];
    let house = House::with(&pace, &[]).await;
    for (number, name) in [("491700002", "Bob"), ("491700003", "Cid")] {
        house.network.phone(number, name).await;
    }
    house.link("default", "491700001").await;
    let send = async |number: &str, text: &str| {
        let url = format!("http://127.0.0.1:{}/api/sendText", house.http);
        let request = reqwest::Client::new().post(url).header("x-api-key", KEY).header("prefer", "respond-async");
        Answer::of(request.json(&json!({"chatId": number, "text": text})).send().await.unwrap()).await
    };
    for text in ["one", "two", "three"] {
        assert_eq!(send("491700002", text).await.ok()["ack"], 0);
    }
    let waits = |count: i64| {
        let house = &house;
        until("so many wait", SOON, move || async move {
            (house.branch(KEY, "default").await["outbox"]["waiting"] == count).then_some(())
        })
    };
    waits(2).await;
    assert_eq!(house.network.messages("491700002").await.len(), 1);
    send("491700003", "to another").await.ok();
    until("another chat does not wait", SOON, || async {
        (house.network.messages("491700003").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(house.network.messages("491700002").await.len(), 1, "the next one is due ten seconds later");
    waits(2).await;
    send("491700002", "four").await.ok();
    let full = send("491700002", "five").await;
    assert_eq!((full.refused(429).as_str(), full.headers["retry-after"].to_str().unwrap()), ("queue_full", "10"));
    let file = json!({"chatId": "491700002", "file": {"mimetype": "image/png", "data": "aGVsbG8="}});
    for route in ["sendImage", "sendFile"] {
        let full = house.ask("POST", &format!("/api/{route}"), Some(file.clone())).await;
        assert_eq!(full.refused(429), "queue_full", "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_changed_by_both_sides_and_everybody_hears_of_it() {
    let mut house = linked().await;
    let mine = house.post("/api/sendText", json!({"chatId": BOB, "text": "frist"})).await;
    let poll = json!({"chatId": BOB, "poll": {"name": "Tea?", "options": ["Yes", "No"]}});
    let poll = house.post("/api/sendPoll", poll).await;
    let theirs = heard(&house, &bob(&house, "chat", "hi", Value::Null).await).await;
    let (mine_id, their_id) = (mine["id"].as_str().unwrap(), theirs["id"].as_str().unwrap());
    let path = |id: &str| format!("/api/default/chats/{BOB}/messages/{id}");
    let at_bob = |id: String| {
        let house = &house;
        async move { house.network.messages("491700002").await.into_iter().find(|one| one["id"] == id).unwrap() }
    };

    let react = |emoji: &str| json!({"messageId": their_id, "reaction": emoji});
    house.ask("PUT", "/api/reaction", Some(react("🙏"))).await.ok();
    assert_eq!(at_bob(bare(&theirs)).await["reactions"], json!({"491700001": "🙏"}));
    house.ask("PUT", "/api/reaction", Some(react(""))).await.ok();
    assert!(at_bob(bare(&theirs)).await["reactions"].is_null());
    house.ask("PUT", &path(mine_id), Some(json!({"text": "first"}))).await.ok();
    let seen = at_bob(bare(&mine)).await;
    assert_eq!((&seen["text"], &seen["edited"]), (&json!("first"), &json!(true)));
    for on in [true, false] {
        house.ask("PUT", "/api/star", Some(json!({"chatId": BOB, "messageId": their_id, "star": on}))).await.ok();
    }
    house.ask("POST", &format!("{}/pin", path(mine_id)), Some(json!({"duration": 86400}))).await.ok();
    assert_eq!(at_bob(bare(&mine)).await["pinned"], true);
    house.ask("POST", &format!("{}/unpin", path(mine_id)), None).await.ok();
    assert_eq!(at_bob(bare(&mine)).await["pinned"], false);
    let vote = json!({"chatId": BOB, "pollMessageId": poll["id"], "votes": ["No"]});
    house.post("/api/sendPollVote", vote).await;
    assert_eq!(at_bob(bare(&poll)).await["votes"], json!({"491700001": [1]}));
    house.ask("DELETE", &path(mine_id), None).await.ok();
    assert_eq!(at_bob(bare(&mine)).await["type"], "revoked");

    let unknown = json!({"messageId": "false_491700002@c.us_3ANOTHING", "reaction": "🙏"});
    assert_eq!(house.ask("PUT", "/api/reaction", Some(unknown)).await.refused(404), "message_not_found");
    assert_eq!(house.ask("DELETE", &path(their_id), None).await.refused(422), "refused_by_network");
    assert_eq!(house.ask("PUT", &path(their_id), Some(json!({"text": "x"}))).await.refused(422), "refused_by_network");
    let vote = json!({"chatId": BOB, "pollMessageId": poll["id"], "votes": ["Perhaps"]});
    assert_eq!(house.ask("POST", "/api/sendPollVote", Some(vote)).await.refused(422), "refused_by_network");
    let pin = house.ask("POST", &format!("{}/pin", path(their_id)), Some(json!({"duration": 1}))).await;
    assert_eq!(pin.refused(400), "bad_request");

    let target = |message: &Value, more: Value| {
        let mut data = json!({"target": bare(message)});
        data.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        data
    };
    bob(&house, "reaction", "👍", target(&poll, Value::Null)).await;
    bob(&house, "vote", "", target(&poll, json!({"options": [0]}))).await;
    bob(&house, "edit", "hello", target(&theirs, Value::Null)).await;
    until("what happened so far is told", SOON, || async { (events(&house).await.len() == 8).then_some(()) }).await;
    // While nobody is here.
    house.kill();
    let second = bob(&house, "chat", "oh", Value::Null).await;
    bob(&house, "edit", "oh no", json!({"target": second})).await;
    bob(&house, "reaction", "😮", json!({"target": second})).await;
    bob(&house, "revoke", "", target(&theirs, Value::Null)).await;
    bob(&house, "vote", "", target(&poll, json!({"options": [1]}))).await;
    house.open().await;
    house.is("default", "WORKING").await;

    let stand = |id: Value| {
        let house = &house;
        async move { house.messages("default", BOB).await.into_iter().find(|one| one["id"] == id).unwrap() }
    };
    until("what is read shows what happened", SOON, || async {
        let (first, taken) = (stand(mine["id"].clone()).await, stand(theirs["id"].clone()).await);
        let revoked = [&first, &taken].iter().all(|one| one["_data"]["type"] == "revoked" && one["body"] == "");
        let edited = house.messages("default", BOB).await.into_iter().find(|one| one["body"] == "oh no")?;
        (revoked && edited["_data"]["edited"] == true).then_some(())
    })
    .await;
    let events = until("all is told", SOON, || async {
        let found = events(&house).await;
        (found.iter().filter(|one| one["event"] == "message.revoked").count() == 2 && found.len() >= 12)
            .then_some(found)
    })
    .await;
    let of = |name: &str, from_me: bool| -> Vec<Value> {
        let payloads = events.iter().filter(|one| one["event"] == name).map(|one| one["payload"].clone());
        let whose = |payload: &Value| {
            let inner = ["vote", "after"].iter().find_map(|part| payload.get(part)).unwrap_or(payload);
            inner["fromMe"] == from_me
        };
        payloads.filter(whose).collect()
    };
    let texts = |all: Vec<Value>, path: &str| -> Vec<Value> {
        all.iter().map(|one| one.pointer(path).unwrap().clone()).collect()
    };
    assert_eq!(texts(of("message.reaction", true), "/reaction/text"), ["🙏", ""]);
    assert_eq!(texts(of("message.reaction", false), "/reaction/text"), ["👍", "😮"]);
    assert_eq!(texts(of("message.edited", true), "/body"), ["first"]);
    assert_eq!(texts(of("message.edited", true), "/editedMessageId"), [bare(&mine)]);
    assert_eq!(texts(of("message.edited", false), "/body"), ["hello", "oh no"]);
    assert_eq!(texts(of("message.revoked", true), "/revokedMessageId"), [bare(&mine)]);
    assert_eq!(texts(of("message.revoked", false), "/revokedMessageId"), [bare(&theirs)]);
    assert_eq!(texts(of("poll.vote", true), "/vote/selectedOptions"), [json!(["No"])]);
    assert_eq!(texts(of("poll.vote", false), "/vote/selectedOptions"), [json!(["Yes"]), json!(["No"])]);
    assert_eq!(texts(of("poll.vote", false), "/poll/id"), [poll["id"].clone(), poll["id"].clone()]);
    house.close().await;
}

/// All that was ever told of messages that changed, in order, as a socket reads it from the beginning.
async fn events(house: &House) -> Vec<Value> {
    use futures_util::StreamExt;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let names = "message.reaction,message.edited,message.revoked,poll.vote";
    let url = format!("ws://127.0.0.1:{}/ws?since=j0&events={names}", house.http);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", KEY.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut found = vec![];
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(std::time::Duration::from_millis(500), socket.next()).await {
        if frame.is_text() {
            found.push(serde_json::from_str(frame.to_text().unwrap()).unwrap());
        }
    }
    found
}
