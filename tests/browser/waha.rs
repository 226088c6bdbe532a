//! Every path of WAHA's, as the table beside the API says that it is answered.

use serde_json::{Value, json};
use std::collections::HashMap;
use wardroom::api::waha::{Is, Row, own, table};
use wardroom_load::house::{Answer, House, KEY, SOON, until};

/// Whether an answer has a sample's fields, of its types.
pub fn is_like(sample: &Value, answer: &Value) -> bool {
    match (sample, answer) {
        (Value::Null, _) => true,
        (Value::Object(sample), Value::Object(answer)) => {
            sample.iter().all(|(name, sample)| answer.get(name).is_some_and(|answer| is_like(sample, answer)))
        }
        (Value::Array(sample), Value::Array(answer)) => match sample.first() {
            Some(sample) => !answer.is_empty() && answer.iter().all(|answer| is_like(sample, answer)),
            None => true,
        },
        (sample, answer) => std::mem::discriminant(sample) == std::mem::discriminant(answer),
    }
}

#[test]
fn a_sample_says_fields_and_types() {
    let sample = json!([{"id": "x", "name": null, "me": {"id": "x"}}]);
    assert!(is_like(&sample, &json!([{"id": "1", "name": 5, "me": {"id": "2", "more": 1}}])));
    for other in
        [json!([]), json!([{"id": 1, "name": "", "me": {"id": ""}}]), json!([{"id": "1", "name": null}]), json!({})]
    {
        assert!(!is_like(&sample, &other), "{other}");
    }
}

/// What stands in braces in the table.
pub struct Known(pub HashMap<String, String>);

impl Known {
    pub fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    fn keep(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

/// As most clients ask: JSON, please.
async fn ask(house: &House, verb: &str, path: &str, body: Option<Value>) -> Answer {
    let url = format!("http://127.0.0.1:{}{path}", house.http);
    let request = reqwest::Client::new().request(verb.parse().unwrap(), url);
    let request = request.header("x-api-key", KEY).header("accept", "application/json");
    let request = if let Some(body) = body { request.json(&body) } else { request };
    Answer::of(request.send().await.unwrap()).await
}

/// Asks as the row says; answers what is wrong.
async fn walk(house: &House, row: &Row, known: &mut Known) -> Option<String> {
    let (verb, path) = row.call.split_once(' ').unwrap();
    let path = row.asked.as_deref().unwrap_or(path);
    let query = if row.query.is_empty() { String::new() } else { format!("?{}", known.fill(&row.query)) };
    let body = row.body.as_ref().map(|body| serde_json::from_str(&known.fill(body)).unwrap());
    let path = format!("{}{query}", known.fill(path));
    let answer = ask(house, verb, &path, body).await;
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    let wrong = |what: &str| Some(format!("{verb} {path}: {what}: {} {text}", answer.status));
    if row.is == Is::Absent {
        let refused = answer.status == 422 && answer.json()["message"] == row.note.as_str();
        return if refused { None } else { wrong("not refused with its reason") };
    }
    let status = row.status.unwrap_or(if verb == "POST" { 201 } else { 200 });
    if answer.status != status {
        return wrong("another status");
    }
    let json = answer.json();
    if let Some(like) = &row.like
        && !is_like(&serde_json::from_str(like).unwrap(), &json)
    {
        return wrong("another shape");
    }
    if let Some(name) = &row.keep {
        known.keep(name, json.as_str().or(json["id"].as_str()).unwrap());
        if name == "group" {
            known.keep("gone", json["id"].as_str().unwrap());
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_answered_as_the_table_says() {
    let house = House::start().await;
    for (number, name) in [("491700002", "Bob"), ("491700003", "Carol")] {
        house.network.phone(number, name).await;
    }
    house.link("default", "491700001").await;
    house.create("waiting").await;
    house.is("waiting", "SCAN_QR_CODE").await;
    house.network.send("491700002", "491700001", "hello").await;
    let chat = "491700002@c.us";
    let heard = until("Bob is heard", SOON, || async { house.messages("default", chat).await.pop() }).await;
    let file = json!({"chatId": chat, "file": {"mimetype": "text/plain", "filename": "a.txt", "data": "aGVsbG8="}});
    let sent = house.post("/api/sendFile", file).await;
    let url = sent["media"]["url"].as_str().unwrap();
    let call = house.network.ask("POST", "/api/phones/491700002/call", Some(json!({"to": "491700001"}))).await.ok();
    let news = json!({"name": "Weather", "description": "Wind and waves"});
    let news = house.network.ask("POST", "/api/phones/491700002/channels", Some(news)).await.ok();
    let spare = house.post("/api/keys", json!({"session": "default"})).await;
    let mut known = Known(HashMap::new());
    for (name, value) in [
        ("session", "default"),
        ("waiting", "waiting"),
        ("chat", chat),
        ("other", "491700003@c.us"),
        ("heard", heard["id"].as_str().unwrap()),
        ("file", url.rsplit('/').next().unwrap()),
        ("call", call["id"].as_str().unwrap()),
        ("other_channel", news["id"].as_str().unwrap()),
        ("app", "chatwoot"),
        ("spare", spare["id"].as_str().unwrap()),
    ] {
        known.keep(name, value);
    }
    let mut wrong = vec![];
    // What happens does not end.
    let own = own().iter().filter(|row| row.call != "GET /api/events");
    for row in table().iter().chain(own) {
        wrong.extend(walk(&house, row, &mut known).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_read_in_a_browser_where_that_is_wanted() {
    let mut house = House::start().await;
    let page = house.anonymous("GET", "/docs/", None).await;
    assert!(page.status == 200 && String::from_utf8_lossy(&page.bytes).contains("swagger-ui"), "{}", page.status);
    let document = house.anonymous("GET", "/docs/openapi.json", None).await;
    assert!(document.ok()["paths"]["/api/sendText"].is_object());
    assert_eq!(house.anonymous("GET", "/docs/nothing.js", None).await.status, 404);
    house.close().await;
    house.set("WARDROOM__HTTP__DOCS", "off");
    house.open().await;
    assert_eq!(house.anonymous("GET", "/docs/", None).await.status, 404);
}
