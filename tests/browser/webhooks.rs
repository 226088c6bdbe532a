//! What webhooks are told: everything, in order, signed, and whatever happens.

use serde_json::{Value, json};
use std::time::Duration;
use wardroom::webhook::post::{dated_signature, waha_signature};
use wardroom_load::house::{House, KEY, SOON, free_port, until};
use wardroom_load::receiver::{Manners, Receiver};
use wardroom_load::referee::Player;
use wardroom_load::scenarios::link;

const COLD: &[(&str, &str)] = &[("WARDROOM__POOL__WARM_SPARES", "0")];

/// A house with one linked session that tells these webhooks.
async fn house(settings: &[(&str, &str)], webhooks: Value) -> (House, Player) {
    let mut house = House::with(settings, &[]).await;
    house.config = json!({"metadata": {"user.id": "7"}, "webhooks": webhooks});
    let player = link(&house, 1).await.remove(0);
    (house, player)
}

async fn hears(house: &House, player: &Player, texts: &[&str]) {
    for text in texts {
        house.network.send(&player.other, &player.number, text).await;
    }
}

fn texts(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["payload"]["body"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_what_it_asked_for_in_waha_s_words() {
    let (all, few) = (Receiver::open(0).await, Receiver::open(0).await);
    let hooks = json!([
        {"url": all.url(), "hmac": {"key": "secret"}, "customHeaders": [{"name": "X-Mine", "value": "yes"}]},
        {"url": few.url(), "events": ["message"]},
    ]);
    let settings =
        [COLD, &[("WARDROOM__WEBHOOKS__URL", "http://127.0.0.1:1/"), ("WARDROOM__WEBHOOKS__EVENTS", "")]].concat();
    let (house, player) = house(&settings, hooks).await;
    hears(&house, &player, &["one", "two"]).await;
    until("both are there", SOON, || async { (few.taken("message").len() == 2).then_some(()) }).await;
    house.post("/api/sendText", json!({"session": "s0", "chatId": player.other, "text": "three"})).await;
    until("both are told", SOON, || async {
        (few.taken("message").len() == 2 && all.taken("message.any").len() == 3).then_some(())
    })
    .await;
    assert_eq!(texts(&few.taken("message")), ["one", "two"]);
    assert_eq!(few.count(), 2, "it asked for nothing else");
    assert_eq!(texts(&all.taken("message.any")), ["one", "two", "three"]);
    let statuses: Vec<_> = all.taken("session.status").iter().map(|one| one["payload"]["status"].clone()).collect();
    assert_eq!(statuses.last(), Some(&json!("WORKING")));
    assert!(statuses.contains(&json!("SCAN_QR_CODE")), "{statuses:?}");
    let heard = all.heard().into_iter().find(|one| one.json()["event"] == "message").unwrap();
    let envelope = heard.json();
    assert_eq!((&envelope["session"], &envelope["metadata"]), (&json!("s0"), &json!({"user.id": "7"})));
    assert_eq!(
        (&envelope["engine"], &envelope["me"]["id"]),
        (&json!("WEBJS"), &json!(format!("{}@c.us", player.number)))
    );
    assert!(envelope["id"].as_str().unwrap().starts_with("evt_") && envelope["timestamp"].is_i64());
    assert_eq!(envelope["payload"]["from"], json!(format!("{}@c.us", player.other)));
    let header = |name: &str| heard.headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(header("x-webhook-hmac"), waha_signature("secret", &heard.body));
    assert_eq!((header("x-webhook-hmac-algorithm"), header("x-mine")), ("sha512", "yes"));
    let at = header("x-webhook-timestamp").parse().unwrap();
    assert_eq!(header("x-wardroom-signature"), dated_signature("secret", &heard.body, at));
    assert_eq!(few.heard()[0].headers.get("x-webhook-hmac"), None);
    let ids: Vec<_> = all.heard().iter().map(|one| one.headers["x-webhook-request-id"].clone()).collect();
    assert_eq!(
        ids.iter().collect::<std::collections::HashSet<_>>().len(),
        ids.len(),
        "each request has an id of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_the_config_is_told_of_every_session_and_shown_by_none() {
    let receiver = Receiver::open(0).await;
    let url = receiver.url();
    let settings = [
        COLD,
        &[
            ("WARDROOM__WEBHOOKS__URL", url.as_str()),
            ("WARDROOM__WEBHOOKS__EVENTS", "message,session.status"),
            ("WARDROOM__WEBHOOKS__HMAC_KEY", "of the house"),
            ("WARDROOM__WEBHOOKS__CUSTOM_HEADERS", "X-House: yes"),
            ("WARDROOM__WEBHOOKS__RETRIES_POLICY", "exponential"),
            ("WARDROOM__WEBHOOKS__RETRIES_DELAY_S", "1"),
            ("WARDROOM__WEBHOOKS__RETRIES_ATTEMPTS", "2"),
        ],
    ]
    .concat();
    let (house, player) = house(&settings, json!([])).await;
    let working = |one: &Value| one["session"] == "s0" && one["payload"]["status"] == "WORKING";
    until("it is told that s0 works", SOON, || async {
        receiver.taken("session.status").iter().any(working).then_some(())
    })
    .await;
    house.create("another").await;
    let other = |one: &Value| one["session"] == "another";
    until("it is told of another session", SOON, || async {
        receiver.taken("session.status").iter().any(other).then_some(())
    })
    .await;
    receiver.behave(Manners::Answer(500));
    hears(&house, &player, &["one", "two"]).await;
    let refused = || receiver.heard().iter().filter(|one| !one.taken && one.json()["event"] == "message").count();
    until("the first was refused twice", SOON, || async { (refused() == 2).then_some(()) }).await;
    receiver.behave(Manners::Kind);
    until("both are told", SOON, || async { (receiver.taken("message").len() == 2).then_some(()) }).await;
    assert_eq!(texts(&receiver.taken("message")), ["one", "two"]);
    let names: std::collections::HashSet<_> =
        receiver.heard().iter().map(|one| one.json()["event"].to_string()).collect();
    assert_eq!(names.len(), 2, "it asked for nothing else: {names:?}");
    let heard = receiver.heard().pop().unwrap();
    assert_eq!(heard.headers["x-webhook-hmac"], waha_signature("of the house", &heard.body));
    assert_eq!(heard.headers["x-house"], "yes");
    assert_eq!(house.get("/api/sessions/s0").await["config"]["webhooks"], json!([]));
    assert_eq!(house.get("/api/webhooks/dead-letters").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_tried_without_being_kept() {
    let house = House::with(COLD, &[]).await;
    house.create("default").await;
    let receiver = Receiver::open(0).await;
    let body = json!({"webhook": {"url": receiver.url(), "hmac": {"key": "secret"}}});
    let test = |body: Value| house.ask("POST", "/api/webhooks/test", Some(body));
    let tried = test(body.clone()).await.ok();
    assert_eq!((&tried["taken"], &tried["code"]), (&json!(true), &Value::Null), "{tried}");
    let heard = receiver.heard().pop().unwrap();
    assert_eq!((&heard.json()["event"], &heard.json()["session"]), (&json!("session.status"), &json!("default")));
    assert_eq!(heard.headers["x-webhook-hmac"], waha_signature("secret", &heard.body));
    receiver.behave(Manners::Answer(418));
    assert_eq!(test(body.clone()).await.ok()["code"], "http_418");
    let nobody = json!({"webhook": {"url": format!("http://127.0.0.1:{}/", free_port())}});
    assert_eq!(test(nobody).await.ok()["code"], "unreachable");
    assert_eq!(house.get("/api/webhooks/dead-letters").await, json!([]));
    for wrong in
        [json!({}), json!({"webhook": {}}), json!({"webhook": {"url": "ftp://example.com"}}), json!({"webhook": 7})]
    {
        assert_eq!(test(wrong.clone()).await.refused(400), "bad_request", "{wrong}");
    }
    let mut elsewhere = body.clone();
    elsewhere["session"] = json!("none");
    assert_eq!(test(elsewhere).await.refused(404), "session_not_found");
    let stranger = house.tenant("stranger");
    let theirs = house.ask_as(&stranger, "POST", "/api/webhooks/test", Some(body.clone())).await;
    assert_eq!(theirs.refused(404), "session_not_found");
    assert_eq!(house.anonymous("POST", "/api/webhooks/test", Some(body)).await.status, 401);
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_gets_everything_in_order_when_it_returns() {
    let port = free_port();
    let hook =
        json!([{"url": format!("http://127.0.0.1:{port}/hook"), "events": ["message"], "retries": {"attempts": 0}}]);
    let (mut house, player) = house(COLD, hook).await;
    hears(&house, &player, &["one", "two", "three"]).await;
    house.network.phone("4917888", "Neighbour").await;
    house.network.send("4917888", &player.number, "elsewhere").await;
    until("its breaker is open", SOON, || async {
        (house.metric("wardroom_webhook_breakers_open").await == 1.0).then_some(())
    })
    .await;
    house.close().await;
    house.open().await;
    house.is("s0", "WORKING").await;
    hears(&house, &player, &["four"]).await;
    assert_eq!(house.get("/api/webhooks/dead-letters").await, json!([]), "who does not answer costs no try");
    let receiver = Receiver::open(port).await;
    until("all are told", SOON, || async { (receiver.taken("message").len() >= 5).then_some(()) }).await;
    let mut told = receiver.taken("message");
    told.retain(|event| event["payload"]["from"] != "4917888@c.us");
    assert_eq!(texts(&told), ["one", "two", "three", "four"]);
    until("its breaker is closed", SOON, || async {
        (house.metric("wardroom_webhook_breakers_open").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_set_aside_and_told_again_when_somebody_says_so() {
    let receiver = Receiver::open(0).await;
    let retries = json!({"policy": "constant", "delaySeconds": 1, "attempts": 1});
    let hook = json!([{"url": receiver.url(), "events": ["message"], "retries": retries}]);
    let (house, player) = house(COLD, hook).await;
    receiver.behave(Manners::Answer(503));
    hears(&house, &player, &["lost one", "lost two"]).await;
    let letters = until("both are set aside", SOON, || async {
        let letters = house.get("/api/webhooks/dead-letters?session=s0").await;
        (letters.as_array()?.len() == 2).then_some(letters)
    })
    .await;
    assert_eq!(receiver.count(), 4, "each was tried twice");
    let newest = &letters[0];
    assert_eq!(
        (&newest["code"], &newest["attempts"], &newest["event"]),
        (&json!("http_503"), &json!(2), &json!("message"))
    );
    assert_eq!((&newest["session"], &newest["url"]), (&json!("s0"), &json!(receiver.url())));
    let one = house.get(&format!("/api/webhooks/dead-letters/{}", newest["id"])).await;
    assert_eq!(one["body"]["payload"]["body"], "lost two");
    let other = house.tenant("other");
    let replay = format!("/api/webhooks/dead-letters/{}/replay", newest["id"]);
    assert_eq!(house.ask_as(&other, "POST", &replay, None).await.refused(404), "not_found");
    assert_eq!(house.ask_as(&other, "GET", "/api/webhooks/dead-letters", None).await.ok(), json!([]));
    receiver.behave(Manners::Kind);
    let url = format!("http://127.0.0.1:{}", house.http);
    let listed = house.run(&["deadletters", "list", "--session", "s0", "--url", &url, "--key", KEY]);
    assert_eq!((listed.lines().count(), listed.contains("http_503")), (2, true), "{listed}");
    let shown = house.run(&["deadletters", "show", &newest["id"].to_string(), "--url", &url, "--key", KEY]);
    assert!(shown.contains("lost two"), "{shown}");
    house.ask("POST", &replay, None).await.ok();
    until("one is told", SOON, || async { (receiver.taken("message").len() == 1).then_some(()) }).await;
    assert_eq!(receiver.taken("message")[0]["id"], one["body"]["id"], "the same event, the same id");
    assert_eq!(house.ask("POST", &replay, None).await.refused(404), "not_found");
    let many = "/api/webhooks/dead-letters/replay";
    assert_eq!(house.ask("POST", many, Some(json!({}))).await.refused(400), "bad_request");
    let early = json!({"session": "s0", "to": letters[1]["recordedAt"]});
    assert_eq!(house.post(many, early).await["replayed"], 0, "it was recorded then, not before");
    let then = json!({"from": letters[1]["recordedAt"]});
    let from = then["from"].to_string();
    assert!(house.run(&["deadletters", "replay", "--from", &from, "--url", &url, "--key", KEY]).starts_with("1 will"));
    until("both are told", SOON, || async { (receiver.taken("message").len() == 2).then_some(()) }).await;
    assert_eq!(house.get("/api/webhooks/dead-letters").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_too_long_or_is_too_long_is_set_aside() {
    let port = free_port();
    let hook = json!([{"url": format!("http://127.0.0.1:{port}/hook"), "events": ["message"]}]);
    let settings = [("WARDROOM__WEBHOOKS__AWAY_S", "1"), ("WARDROOM__WEBHOOKS__MAX_BYTES", "4000")];
    let (house, player) = house(&[COLD, &settings].concat(), hook).await;
    let set_aside = async |code: &str| {
        until(code, SOON, || async {
            let letters = house.get("/api/webhooks/dead-letters").await;
            let found = letters.as_array()?.iter().find(|one| one["code"] == code)?.clone();
            Some(found)
        })
        .await
    };
    hears(&house, &player, &["to nobody"]).await;
    let letter = set_aside("unreachable").await;
    assert_eq!(letter["attempts"], 0, "nobody answered");
    let receiver = Receiver::open(port).await;
    hears(&house, &player, &[&"x".repeat(4000), "after it"]).await;
    set_aside("event_too_large").await;
    until("the next is told", SOON, || async { (!receiver.taken("message").is_empty()).then_some(()) }).await;
    let replay = format!("/api/webhooks/dead-letters/{}/replay", letter["id"]);
    house.ask("POST", &replay, None).await.ok();
    until("the first is told", SOON, || async { (receiver.taken("message").len() == 2).then_some(()) }).await;
    assert_eq!(texts(&receiver.taken("message")), ["after it", "to nobody"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_lane_is_emptied_is_told() {
    let receiver = Receiver::open(0).await;
    let (mut house, player) = house(COLD, json!([{"url": receiver.url(), "events": ["message"]}])).await;
    house.close().await;
    house.failpoint = Some("slow:webhook.posted@300".to_owned());
    house.open().await;
    house.is("s0", "WORKING").await;
    let wanted: Vec<_> = (0..12).map(|number| format!("number {number}")).collect();
    for (before, text) in wanted.iter().enumerate() {
        hears(&house, &player, &[text]).await;
        // The next one comes while this one's turn is not over yet.
        until("it is posted", SOON, || async { (receiver.taken("message").len() > before).then_some(()) }).await;
    }
    assert_eq!(texts(&receiver.taken("message")), wanted, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_chat_does_not_wait_for_another() {
    let receiver = Receiver::open(0).await;
    let (house, player) = house(COLD, json!([{"url": receiver.url(), "events": ["message"]}])).await;
    house.network.phone("4917888", "Neighbour").await;
    receiver.behave(Manners::AnswerBut(500, "4917888@c.us".to_owned()));
    hears(&house, &player, &["stuck", "behind it"]).await;
    until("it was tried", SOON, || async { (receiver.count() > 0).then_some(()) }).await;
    house.network.send("4917888", &player.number, "free").await;
    until("the neighbour is told", SOON, || async { (!receiver.taken("message").is_empty()).then_some(()) }).await;
    assert_eq!(texts(&receiver.taken("message")), ["free"]);
    receiver.behave(Manners::Kind);
    until("all are told", SOON, || async { (receiver.taken("message").len() == 3).then_some(()) }).await;
    assert_eq!(texts(&receiver.taken("message")), ["free", "stuck", "behind it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_cannot_look_around_inside() {
    let receiver = Receiver::open(0).await;
    let retries = json!({"attempts": 0});
    let name = format!("http://localhost:{}/", receiver.port);
    let hooks = json!([
        {"url": receiver.url(), "events": ["message"], "retries": retries},
        {"url": name, "events": ["message"], "retries": retries},
    ]);
    let (house, player) = house(&[COLD, &[("WARDROOM__EGRESS__ALLOW_PRIVATE", "false")]].concat(), hooks).await;
    hears(&house, &player, &["secret"]).await;
    until("both are set aside", SOON, || async {
        let letters = house.get("/api/webhooks/dead-letters").await;
        let codes: Vec<_> = letters.as_array()?.iter().map(|one| one["code"].clone()).collect();
        (codes == [json!("egress_refused"), json!("egress_refused")]).then_some(())
    })
    .await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_s_urls_lead_where_its_operator_lets_them() {
    let receiver = Receiver::open(0).await;
    let house = House::with(COLD, &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let other = house.tenant("other");
    house.ask_as(&other, "POST", "/api/sessions", Some(json!({"name": "default", "start": false}))).await.ok();
    let trial = json!({"webhook": {"url": receiver.url()}});
    let code = async || house.post("/api/webhooks/test", trial.clone()).await["code"].clone();
    let file = json!({"chatId": "491700002@c.us", "file": {"url": receiver.url(), "mimetype": "a/b"}});
    let sent = async || house.ask("POST", "/api/sendFile", Some(file.clone())).await;
    assert!(code().await.is_null() && house.run(&["tenants", "hosts", "default"]).trim() == "any");
    house.run(&["tenants", "hosts", "default", "*.example.com", "Hooks.Example.org"]);
    until("the server knows of it", SOON, || async { (code().await == "egress_refused").then_some(()) }).await;
    let before = receiver.count();
    assert!(sent().await.refused(400) == "bad_request" && code().await == "egress_refused");
    assert_eq!(receiver.count(), before, "nobody came");
    let others = house.ask_as(&other, "POST", "/api/webhooks/test", Some(trial.clone())).await.ok();
    assert!(others["taken"] == true, "{others}");
    // What is no host changes nothing.
    let bad = house.command().args(["tenants", "hosts", "default", "http://127.0.0.1/"]).output().unwrap();
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("is no host"), "{bad:?}");
    assert_eq!(house.run(&["tenants", "hosts", "default"]), "*.example.com\nhooks.example.org\n");
    house.run(&["tenants", "hosts", "default", "127.0.0.1"]);
    until("the server knows of it", SOON, || async { code().await.is_null().then_some(()) }).await;
    // The receiver's answer to a GET is no file.
    assert_ne!(sent().await.status, 400);
    house.run(&["tenants", "hosts", "default", "--any"]);
    assert_eq!(house.run(&["tenants", "hosts", "default"]), "any\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_a_moody_receiver_cost_no_event_and_no_order() {
    let flow = wardroom_load::scenarios::webhooks::run(1, 2000, 10).await;
    assert_eq!((flow.kills, flow.taken, flow.disordered, flow.doubled), (10, 2000, 0, 0), "{flow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_no_event() {
    let receiver = Receiver::open(0).await;
    let (mut house, player) = house(COLD, json!([{"url": receiver.url(), "events": ["message"]}])).await;
    let mut sent = vec![];
    for moment in ["agent.committed", "webhook.heard", "webhook.turn", "webhook.posted", "webhook.settle"] {
        house.kill();
        house.failpoint = Some(format!("kill:{moment}@1"));
        let text = format!("at {moment}");
        house.network.send(&player.other, &player.number, &text).await;
        sent.push(text);
        // What was told before and not yet settled may bring the moment at once.
        house.try_open().await;
        until("it happens", SOON, || std::future::ready(house.ended().then_some(()))).await;
        house.failpoint = None;
        house.open().await;
        let wanted = sent.len();
        until("it is told", SOON, || async {
            let mut told = receiver.taken("message");
            told.dedup_by(|one, other| one["id"] == other["id"]);
            (told.len() == wanted).then_some(())
        })
        .await;
    }
    let mut told = receiver.taken("message");
    told.dedup_by(|one, other| one["id"] == other["id"]);
    assert_eq!(texts(&told), sent, "in order, and a repeat has the same id");
    // A kill repeats what was told and not yet settled, which is one event, and nothing else.
    let waits = Duration::from_secs(2);
    tokio::time::sleep(waits).await;
    let (settled, kills) = (receiver.count(), 2 * sent.len());
    assert!(settled <= sent.len() + kills, "{settled} calls for {} events and {kills} kills", sent.len());
    house.kill();
    house.open().await;
    tokio::time::sleep(waits).await;
    assert_eq!(receiver.count(), settled, "what was settled is not told again");
}
