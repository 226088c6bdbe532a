//! Every call that the document knows, made by everybody who must not make it.

use crate::waha::Known;
use serde_json::{Value, json};
use std::collections::HashMap;
use wardroom::api::waha::{Is, own, table};
use wardroom::webhook::post::waha_signature;
use wardroom_load::house::{Answer, House, KEY, PASSWORD, SOON, root, until};
use wardroom_load::receiver::{Manners, Receiver};

/// What nobody but the victim may read.
const CANARY: &str = "canary-7f3a";
pub const CHAT: &str = "491700002@c.us";

/// A call with what the table sends, and the victim's ids in it.
pub struct Call {
    pub verb: String,
    /// As the document writes it.
    pub pattern: String,
    pub path: String,
    pub body: Option<Value>,
}

impl Call {
    pub fn name(&self) -> String {
        format!("{} {}", self.verb, self.pattern)
    }
}

/// What an id is of, by the path that it stands in.
fn id_in(pattern: &str) -> &'static str {
    let of = [
        ("/api/users/", "{user}"),
        ("/api/webhooks/dead-letters/", "{letter}"),
        ("/api/dead-letters/", "{dead}"),
        ("/api/auth/sign-ins/", "{stay}"),
    ];
    of.into_iter().find(|(start, _)| pattern.starts_with(start)).map_or("{key}", |(_, name)| name)
}

/// All calls of the document, the socket, and one under its old name. One that the table does not know fails.
pub fn calls(house: &House, known: &Known) -> Vec<Call> {
    let document: Value = serde_json::from_str(&house.run(&["openapi"])).unwrap();
    let mut calls = vec![];
    for (pattern, verbs) in document["paths"].as_object().unwrap() {
        for verb in verbs.as_object().unwrap().keys() {
            let (verb, name) = (verb.to_uppercase(), format!("{} {pattern}", verb.to_uppercase()));
            let mut rows = table().iter().chain(own()).filter(|row| row.is != Is::Absent);
            let row = rows.find(|row| row.call.trim_end_matches('/') == name.trim_end_matches('/'));
            assert!(row.is_some(), "{name} stands in no table");
            let row = row.unwrap();
            let query = if row.query.is_empty() { String::new() } else { format!("?{}", known.fill(&row.query)) };
            let mut body: Option<Value> =
                row.body.as_ref().map(|body| serde_json::from_str(&known.fill(body)).unwrap());
            if ["POST /api/sessions/stop", "POST /api/sessions/logout"].contains(&name.as_str()) {
                body = Some(json!({"name": "default"}));
            }
            let path = format!("{}{query}", known.fill(&pattern.replace("{id}", id_in(pattern))));
            assert!(!path.contains('{'), "{name}: {path} names what the test does not know");
            calls.push(Call { verb, pattern: pattern.clone(), path, body });
        }
    }
    for path in ["/ws", "/api/version"] {
        calls.push(Call { verb: "GET".into(), pattern: path.into(), path: path.into(), body: None });
    }
    calls
}

async fn made(house: &House, call: &Call, key: Option<&str>, body: Option<&str>) -> Answer {
    let url = format!("http://127.0.0.1:{}{}", house.http, call.path);
    let mut request = reqwest::Client::new().request(call.verb.parse().unwrap(), url);
    match key {
        Some(token) if token.starts_with("eyJ") => request = request.bearer_auth(token),
        Some(cookie) if cookie.contains("sign_in=") => {
            request = request.header("cookie", cookie).header("origin", format!("http://127.0.0.1:{}", house.http));
        }
        Some(key) => request = request.header("x-api-key", key),
        None => {}
    }
    // Whoever says that they are the victim's are not.
    for name in ["x-tenant", "x-tenant-id", "x-session", "x-user", "x-user-id", "x-forwarded-user"] {
        request = request.header(name, "default");
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let response = request.send().await.unwrap();
    // What happens does not end.
    if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream; charset=utf-8") {
        return Answer { status: response.status().as_u16(), headers: response.headers().clone(), bytes: vec![] };
    }
    Answer::of(response).await
}

pub async fn made_whole(house: &House, call: &Call, key: &str) -> Answer {
    made(house, call, Some(key), call.body.as_ref().map(Value::to_string).as_deref()).await
}

/// Says no more than that a server is here.
const OPEN: &[&str] = &["GET /ping"];
/// Where somebody says who they are; a key says nothing there.
const ENTRY: &[&str] = &["POST /api/auth/token", "POST /api/auth/refresh", "POST /api/auth/invitation"];
/// For people; a key is none.
const PEOPLE: &[&str] = &[
    "POST /api/auth/logout",
    "POST /api/auth/password",
    "GET /api/auth/sign-ins",
    "DELETE /api/auth/sign-ins",
    "DELETE /api/auth/sign-ins/{id}",
    "GET /api/auth/second-factor",
    "POST /api/auth/second-factor/begin",
    "POST /api/auth/second-factor/remove",
];
/// Answered with what is the caller's own, whoever that is.
const OWN: &[&str] = &[
    "GET /api/auth/me",
    "GET /api/version",
    "GET /api/server/version",
    "GET /api/server/status",
    "GET /api/apps",
    "GET /api/engines",
    "GET /api/sessions",
    "GET /api/quotas",
];
/// The same, for those who may read.
const OWN_READ: &[&str] = &[
    "GET /api/events",
    "GET /health",
    "GET /api/health/detailed",
    "GET /api/supervision",
    "GET /api/dead-letters",
    "GET /api/webhooks/dead-letters",
];
/// The same, for admins.
const OWN_ADMIN: &[&str] = &["GET /api/keys", "GET /api/supervision/pulse", "GET /api/audit", "GET /api/users"];
/// For admins, about something that has an owner.
const ADMIN: &[&str] = &[
    "POST /api/keys",
    "PUT /api/keys/{id}",
    "DELETE /api/keys/{id}",
    "POST /api/keys/{id}/rotate",
    "POST /api/keys/media",
    "POST /api/keys/control",
    "POST /api/users",
    "PUT /api/users/{id}",
    "DELETE /api/users/{id}",
    "PUT /api/users/{id}/quota",
    "POST /api/users/{id}/invitation",
    "DELETE /api/users/{id}/invitation",
    "DELETE /api/users/{id}/second-factor",
];
/// Makes something of the caller's own.
const MAKES: &[&str] = &["POST /api/sessions", "POST /api/sessions/start"];

/// What a call needs to be about somebody whose session is `default`, who wrote with [`CHAT`]: a message, a file, a key of theirs.
pub fn known(message: &str, file: &str, key: &str) -> Known {
    let group = "120363000000000000@g.us";
    let mut known = HashMap::new();
    for (value, names) in [
        ("default", &["session", "waiting"][..]),
        (CHAT, &["chat", "other"]),
        (file, &["file"]),
        (key, &["key", "user", "letter", "stay"]),
        // Of those another test has real ones.
        ("1", &["dead"]),
        (group, &["group", "gone"]),
        (
            message,
            &[
                "message",
                "heard",
                "text",
                "poll",
                "call",
                "label",
                "channel",
                "other_channel",
                "lid",
                "phone",
                "code",
                "status",
            ],
        ),
    ] {
        known.extend(names.iter().map(|name| ((*name).to_owned(), value.to_owned())));
    }
    Known(known)
}

/// The statuses with which somebody is answered whose key is good, but not for this.
fn expected(call: &Call, admin: bool, powers: bool) -> &'static [u16] {
    let name = call.name();
    let is = |list: &[&str]| list.contains(&name.as_str());
    if is(OPEN) || is(OWN) {
        return &[200];
    }
    if is(ENTRY) {
        return &[401];
    }
    if is(PEOPLE) {
        return &[403];
    }
    if !admin && (is(OWN_ADMIN) || is(ADMIN) || is(MAKES)) {
        return &[403];
    }
    // What a key does not reach is not there, whatever it may do.
    let unasked =
        ["GET /api/sessions/{session}", "GET /api/sessions/{session}/me", "GET /api/sessions/{session}/status"];
    if !powers {
        return if is(&unasked) { &[404] } else { &[403] };
    }
    match name.as_str() {
        // It does not ask to become a socket.
        "GET /ws" => &[400],
        _ if is(OWN_READ) || is(OWN_ADMIN) => &[200],
        _ if is(MAKES) => &[201],
        // What is not there is gone already.
        "DELETE /api/sessions/{session}" => &[200],
        "POST /api/keys/media" | "POST /api/keys/control" => &[422],
        "POST /api/users" | "POST /api/auth/ticket" => &[201],
        _ => &[404],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_they_may_not() {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__GUARD__TOKEN_S", "1")];
    let mut house = House::with(&settings, &[]).await;
    let receiver = Receiver::open(0).await;
    receiver.behave(Manners::Answer(503));
    let retries = json!({"policy": "constant", "delaySeconds": 1, "attempts": 1});
    let hooks = json!([{"url": receiver.url(), "events": ["message"], "retries": retries}]);
    house.config = json!({"metadata": {"note": CANARY}, "webhooks": hooks});
    house.network.phone("491700002", &format!("Bob {CANARY}")).await;
    house.link("default", "491700001").await;
    house.config = json!({});
    house.network.send("491700002", "491700001", &format!("the secret is {CANARY}")).await;
    let heard = until("Bob is heard", SOON, || async { house.messages("default", CHAT).await.pop() }).await;
    let file = json!({"mimetype": "text/plain", "filename": format!("{CANARY}.txt"), "data": "aGVsbG8="});
    let sent = house.post("/api/sendFile", json!({"chatId": CHAT, "file": file})).await;
    let spare = house.post("/api/keys", json!({"session": "default"})).await;
    let mut known = known(
        heard["id"].as_str().unwrap(),
        sent["media"]["url"].as_str().unwrap().rsplit('/').next().unwrap(),
        spare["id"].as_str().unwrap(),
    );
    house.person("victim", "viewer").await;
    let (token, _) = house.sign_in("victim").await;
    let stays = house.ask_as(&token, "GET", "/api/auth/sign-ins", None).await.ok();
    let letter = until("a dead letter", SOON, || async {
        house.get("/api/webhooks/dead-letters").await.as_array()?.first().cloned()
    })
    .await;
    let victim = async || {
        let people = house.get("/api/users").await;
        people.as_array().unwrap().iter().find(|one| one["name"] == "victim").unwrap().clone()
    };
    let before = victim().await;
    for (name, id) in [("user", &before["id"]), ("stay", &stays[0]["id"]), ("letter", &letter["id"])] {
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        known.0.insert(name.to_owned(), id);
    }
    let calls = calls(&house, &known);

    // Keys that are none, or none any more.
    let of = async |body: Value| house.post("/api/keys", body).await;
    let secret = |key: &Value| key["key"].as_str().unwrap().to_owned();
    let (deleted, off, old) =
        (of(json!({"isAdmin": true})).await, of(json!({"isAdmin": true})).await, of(json!({"isAdmin": true})).await);
    house.ask("DELETE", &format!("/api/keys/{}", deleted["id"].as_str().unwrap()), None).await.ok();
    let switch = json!({"isAdmin": true, "isActive": false});
    house.ask("PUT", &format!("/api/keys/{}", off["id"].as_str().unwrap()), Some(switch)).await.ok();
    house.post(&format!("/api/keys/{}/rotate", old["id"].as_str().unwrap()), json!({"overlapSeconds": 0})).await;
    // People who are shut out, and one whose token has expired; keys of somebody, and of a tenant, who are shut out.
    for name in ["expired", "gone"] {
        house.person(name, "owner").await;
    }
    let of_user = house.run(&["keys", "create", "--tenant", "default", "--user", "gone", "--admin"]);
    let shut = house.tenant("shut");
    let (expired, _) = house.sign_in("expired").await;
    house.run(&["users", "suspend", "gone"]);
    house.run(&["tenants", "suspend", "shut"]);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let nobody = [
        (None, "unauthorized"),
        (Some("guessed".to_owned()), "unauthorized"),
        (Some(secret(&deleted)), "unauthorized"),
        (Some(secret(&off)), "unauthorized"),
        (Some(secret(&old)), "unauthorized"),
        (Some(of_user.lines().last().unwrap().to_owned()), "unauthorized"),
        (Some(shut), "unauthorized"),
        (Some(format!("{}x", &expired)), "unauthorized"),
        (Some(expired), "token_expired"),
    ];
    let said = |call: &&Call| ![OPEN, ENTRY].concat().contains(&call.name().as_str());
    for call in calls.iter().filter(said) {
        for (key, code) in &nobody {
            // It is told so before its body is looked at.
            let answer = made(&house, call, key.as_deref(), Some("{ no JSON")).await;
            assert_eq!(answer.refused(401), *code, "{} with {key:?}", call.name());
        }
    }

    // Good keys for other things: another tenant's, another session's, one that may do nothing.
    let stranger = house.tenant("stranger");
    house.post("/api/sessions", json!({"name": "beside", "start": false})).await;
    let all = json!({"read": true, "send": true, "control": true, "setting": true, "app": true, "delete": true});
    let none = json!({"read": false, "send": false, "control": false, "setting": false, "app": false, "delete": false});
    let beside = secret(&of(json!({"session": "beside", "actions": all})).await);
    let powerless = secret(&of(json!({"session": "beside", "actions": none})).await);
    // An owner of another tenant, by cookie.
    let abroad = house.tenant("abroad");
    let invited = json!({"name": "olga", "email": "olga@example.com", "role": "owner"});
    let invited = house.ask_as(&abroad, "POST", "/api/users", Some(invited)).await.ok();
    let chosen = json!({"invitation": invited["invitation"], "password": PASSWORD});
    house.anonymous("POST", "/api/auth/invitation", Some(chosen)).await.ok();
    let shown = json!({"email": "olga@example.com", "password": PASSWORD});
    let entered = house.anonymous("POST", "/dashboard/sign-in", Some(shown)).await;
    let olga = entered.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let mut wrong = vec![];
    for (who, key, admin, powers) in [
        ("a stranger", &stranger, true, true),
        ("a neighbour", &beside, false, true),
        ("powerless", &powerless, false, false),
        ("an owner elsewhere", &olga, true, true),
    ] {
        for call in &calls {
            // What she does to herself is her own, and the stranger has taken the address that the table invites.
            let of_oneself = PEOPLE.contains(&call.name().as_str()) && !call.pattern.ends_with("/{id}");
            if *key == olga && (of_oneself || call.name() == "POST /api/users") {
                continue;
            }
            let answer = made_whole(&house, call, key).await;
            let text = String::from_utf8_lossy(&answer.bytes);
            let leaks = [CANARY, "491700001"]
                .iter()
                .any(|canary| text.contains(canary) || format!("{:?}", answer.headers).contains(canary));
            let theirs = *key == olga && call.pattern == "/api/auth/sign-ins/{id}";
            let expected = if theirs { &[404] } else { expected(call, admin, powers) };
            if leaks || !expected.contains(&answer.status) {
                wrong.push(format!("{who}: {}: {} {text}", call.name(), answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Nothing came of it.
    house.is("default", "WORKING").await;
    assert_eq!(house.network.messages("491700002").await.len(), 2);
    assert_eq!(receiver.count(), 2, "one event, tried twice");
    let keys = house.get("/api/keys").await;
    let spare = keys.as_array().unwrap().iter().find(|one| one["id"] == spare["id"]).unwrap();
    assert_eq!((&spare["isActive"], &spare["session"]), (&json!(true), &json!("default")));
    assert_eq!(house.ask_as(KEY, "GET", "/api/default/chats", None).await.ok()[0]["id"], CHAT);
    // These ids are somebody's: whoever may finds what they are of.
    assert_eq!(victim().await, before);
    let letters = "/api/webhooks/dead-letters";
    assert_eq!(house.get(letters).await.as_array().map(Vec::len), Some(1), "nobody had it told again");
    house.get(&format!("{letters}/{}", letter["id"])).await;
    let (token, _) = house.sign_in("victim").await;
    let left = house.ask_as(&token, "GET", "/api/auth/sign-ins", None).await.ok();
    assert_eq!((left.as_array().map(Vec::len), &left[1]["id"]), (Some(2), &stays[0]["id"]));
    let id = before["id"].as_str().unwrap();
    house.ask("PUT", &format!("/api/users/{id}"), Some(json!({"role": "operator"}))).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_keys_is_shut_out_until_an_operator_lets_them_in() {
    let receiver = Receiver::open(0).await;
    let url = receiver.url();
    let settings = [
        ("WARDROOM__POOL__WARM_SPARES", "0"),
        ("WARDROOM__GUARD__FAILURES", "3"),
        ("WARDROOM__GUARD__TRUSTED_PROXIES", "127.0.0.1"),
        ("WARDROOM__OPS__TOKEN", "of the operator"),
        ("WARDROOM__GUARD__ALERT_URL", url.as_str()),
        ("WARDROOM__GUARD__ALERT_KEY", "a secret"),
    ];
    let house = House::with(&settings, &[]).await;
    let ask = async |from: &str, key: &str| {
        let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
        let request = reqwest::Client::new().get(url).header("x-api-key", key).header("x-forwarded-for", from);
        Answer::of(request.send().await.unwrap()).await
    };
    let sign_in = async |from: &str, key: &str| {
        let url = format!("http://127.0.0.1:{}/dashboard/sign-in", house.http);
        let request = reqwest::Client::new().post(url).json(&json!({"key": key})).header("x-forwarded-for", from);
        Answer::of(request.send().await.unwrap()).await
    };
    let (shared, bad) = ("198.51.100.7", "203.0.113.9");
    ask(shared, KEY).await.ok();
    for from in [shared, bad] {
        assert_eq!(ask(from, "guess 1").await.refused(401), "unauthorized");
        // What the client itself puts in front does not make it another.
        assert_eq!(ask(&format!("192.0.2.1, {from}"), "guess 2").await.refused(401), "unauthorized");
        assert_eq!(sign_in(from, "guess 3").await.refused(401), "unauthorized");
        let refused = ask(from, "guess 4").await;
        assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 3500);
        assert_eq!(refused.refused(429), "too_many_failures");
    }
    // The operator is told once, of both.
    until("the operator is told", SOON, || async { (receiver.count() > 0).then_some(()) }).await;
    let told = receiver.heard();
    assert_eq!((told.len(), told[0].json()["event"].as_str()), (1, Some("security.alert")), "{told:?}");
    assert_eq!(
        told[0].json()["payload"],
        json!({"kind": "key_guessing", "severity": "high", "about": shared, "sinceTheLast": 0})
    );
    assert_eq!(told[0].headers["x-webhook-hmac"], waha_signature("a secret", &told[0].body));

    assert_eq!(sign_in(bad, KEY).await.refused(429), "too_many_failures");
    assert_eq!(ask(bad, KEY).await.refused(429), "too_many_failures", "it was never good there");
    ask(shared, KEY).await.ok();
    ask("192.0.2.55", KEY).await.ok();

    let listed = house.run(&["blocks", "list"]);
    assert!(listed.contains(shared) && listed.contains(bad) && listed.lines().count() == 2, "{listed}");
    assert!(house.run(&["blocks", "remove", bad]).contains("may try again"));
    ask(bad, KEY).await.ok();
    assert_eq!(house.run(&["blocks", "list"]).lines().count(), 1);

    let ops = async |path: &str, token: Option<&str>| {
        let request = reqwest::Client::new().get(format!("http://127.0.0.1:{}{path}", house.ops));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.unwrap()
    };
    for path in ["/metrics", "/blocks"] {
        assert_eq!(ops(path, None).await.status(), 401, "{path}");
        assert_eq!(ops(path, Some("guess")).await.status(), 401, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ops(path, None).await.status(), 200, "{path}");
    }
    let metrics = ops("/metrics", Some("of the operator")).await.text().await.unwrap();
    let line = r#"wardroom_security_events_total{event_type="key_guessing",severity="high"} 2"#;
    assert!(metrics.contains(line) && !metrics.contains(bad), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_too_often_is_slowed_down() {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__GUARD__REFUSALS", "4")];
    let house = House::with(&settings, &[]).await;
    let other = house.tenant("other");
    for _ in 0..5 {
        assert_eq!(house.ask("GET", "/api/sessions/none", None).await.refused(404), "session_not_found");
    }
    // Once a second it may.
    let refused = until("it is refused", SOON, || async {
        let answer = house.ask("GET", "/api/sessions", None).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.refused(429), "too_many_refusals");
    house.ask_as(&other, "GET", "/api/sessions", None).await.ok();
    assert_eq!(
        house.metric(r#"wardroom_security_events_total{event_type="calls_refused",severity="high"}"#).await,
        1.0
    );
    let log = house.log();
    assert!(log.contains("alert") && log.contains("kind=\"calls_refused\""), "operators are told");
    let listed = house.run(&["blocks", "list"]);
    let key = listed.split_whitespace().find(|word| word.starts_with("key:")).unwrap().to_owned();
    assert!(house.run(&["blocks", "remove", &key]).contains("may try again"));
    for _ in 0..4 {
        house.ask("GET", "/api/sessions", None).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_too_often_waits() {
    let settings = [
        ("WARDROOM__POOL__WARM_SPARES", "0"),
        ("WARDROOM__GUARD__CALLS_PER_KEY", "8"),
        ("WARDROOM__GUARD__CALLS_PER_TENANT", "12"),
        ("WARDROOM__GUARD__CALLS_PER_ADDRESS", "40"),
        ("WARDROOM__GUARD__CALLS_PER_ROUTE", "GET /api/sessions/{session} 3"),
    ];
    let house = House::with(&settings, &[]).await;
    let other = house.tenant("other");
    let second = house.run(&["keys", "create", "--tenant", "default", "--admin"]).lines().last().unwrap().to_owned();
    let mut answers = vec![];
    for (key, path, times) in [
        (KEY, "/api/sessions/none", 4),
        (KEY, "/api/sessions", 5),
        (&second, "/api/sessions", 9),
        (&other, "/api/sessions", 1),
        ("guess", "/api/sessions", 40),
    ] {
        for _ in 0..times {
            let answer = house.ask_as(key, "GET", path, None).await;
            assert!(answer.status != 429 || answer.headers["retry-after"].to_str().unwrap().parse::<u8>().unwrap() > 0);
            answers.push(answer.status);
        }
    }
    let counts =
        |range: std::ops::Range<usize>, status: u16| answers[range].iter().filter(|one| **one == status).count();
    // 4 calls more of the first key, 4 more of its tenant: what a route's limit refused counts, too.
    assert_eq!((counts(0..4, 404), counts(0..4, 429)), (3, 1), "{answers:?}");
    assert_eq!((counts(4..9, 200), counts(9..18, 200)), (4, 4), "{answers:?}");
    assert_eq!((answers[18], counts(19..59, 401), counts(19..59, 429)), (200, 21, 19), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_asks_for_the_power_that_the_list_says() {
    const POWERS: [&str; 5] = ["read", "send", "setting", "control", "delete"];
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__HTTP__STATUS_WAIT_S", "0")];
    let house = House::with(&settings, &[]).await;
    house.post("/api/sessions", json!({"name": "default", "start": false})).await;
    let calls = calls(&house, &known("none", "none.bin", "01990000-0000-7000-8000-000000000000"));
    let list = std::fs::read_to_string(root().join("src/auth/needs.txt")).unwrap();
    let of = |need: &str| {
        let lines = list.split(&format!("[{need}]\n")).nth(1).unwrap().lines().take_while(|line| !line.is_empty());
        let names: Vec<_> = lines.collect();
        calls.iter().filter(move |call| names.contains(&call.name().as_str())).collect::<Vec<_>>()
    };
    let key = async |has: &dyn Fn(&str) -> bool| {
        let actions: Value = POWERS.map(|power| (power.to_owned(), json!(has(power)))).into_iter().collect();
        let key = house.post("/api/keys", json!({"session": "default", "actions": actions})).await;
        key["key"].as_str().unwrap().to_owned()
    };
    let all = key(&|_| true).await;
    for need in ["create", "admin", "person"] {
        for call in of(need) {
            assert_eq!(made_whole(&house, call, &all).await.refused(403), "forbidden", "{} needs more", call.name());
        }
    }
    // The last of them deletes the session.
    for power in POWERS {
        let (others, alone) = (key(&|one| one != power).await, key(&|one| one == power).await);
        let mut needed = of(power);
        needed.extend(of("files").into_iter().filter(|_| power == "read"));
        assert!(!needed.is_empty());
        for call in &needed {
            let refused = made_whole(&house, call, &others).await.refused(403);
            assert_eq!(refused, "forbidden", "{} without {power}", call.name());
        }
        for call in &needed {
            let status = made_whole(&house, call, &alone).await.status;
            assert!(![401, 403, 500].contains(&status), "{} with {power} alone: {status}", call.name());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_listed_shuts_nobody_out() {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__GUARD__FAILURES", "1")];
    let house = House::with(&settings, &[]).await;
    for guess in ["guess 1", "guess 2", "guess 3"] {
        let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
        let request =
            reqwest::Client::new().get(url).header("x-api-key", guess).header("x-forwarded-for", "203.0.113.9");
        assert_eq!(Answer::of(request.send().await.unwrap()).await.refused(401), "unauthorized");
    }
    assert_eq!(house.log().matches("guard.trusted_proxies does not list").count(), 1, "it is told of once");
    assert_eq!(house.ask_as("guess 4", "GET", "/api/sessions", None).await.refused(401), "unauthorized");
    assert_eq!(house.ask_as("guess 5", "GET", "/api/sessions", None).await.refused(429), "too_many_failures");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_stand_open_does_not_start() {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    house.close().await;
    let everywhere = format!("0.0.0.0:{}", house.ops);
    for (settings, says) in [
        (
            [("WARDROOM__ENVIRONMENT", "production"), ("WARDROOM__OPS__LISTEN", everywhere.as_str())],
            "set ops.token, or choose a loopback address",
        ),
        (
            [("WARDROOM__ENVIRONMENT", "production"), ("WARDROOM__LOG__FORMAT", "text")],
            "simulator.enabled is for development only",
        ),
        (
            [("WARDROOM__ENVIRONMENT", "production"), ("WARDROOM__HTTP__LISTEN", "0.0.0.0:3000")],
            "without TLS: set http.tls_chain",
        ),
        (
            [
                ("WARDROOM__ENVIRONMENT", "production"),
                ("WARDROOM__DATABASE__URL", "postgres://wardroom:secret@db.example.com/wardroom"),
            ],
            "what sslmode is to be",
        ),
        (
            [("WARDROOM__ENVIRONMENT", "production"), ("WARDROOM_FAILPOINT", "kill:x@1")],
            "WARDROOM_FAILPOINT is for development only",
        ),
        ([("WARDROOM__HTTP__TLS_CHAIN", "chain.pem"), ("WARDROOM__HTTP__TLS_KEY", "")], "need each other"),
        ([("WARDROOM__HTTP__TLS_CHAIN", "/none"), ("WARDROOM__HTTP__TLS_KEY", "/none")], "/none"),
        (
            [("WARDROOM__HTTP__CORS_ORIGINS", "https://app.example.com/"), ("WARDROOM__LOG__FORMAT", "text")],
            "is no origin",
        ),
        (
            [("WARDROOM__GUARD__TRUSTED_PROXIES", "proxy"), ("WARDROOM__LOG__FORMAT", "text")],
            "is no address or network",
        ),
        (
            [("WARDROOM__GUARD__CALLS_PER_ROUTE", "POST /api/send 1"), ("WARDROOM__LOG__FORMAT", "text")],
            "\"POST /api/send 1\" is none",
        ),
    ] {
        let out =
            house.command().arg("serve").env("WARDROOM__SIMULATOR__ENABLED", "true").envs(settings).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(says), "{settings:?}: {said}");
    }
}
