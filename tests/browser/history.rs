//! What was said before an account was linked.

use serde_json::Value;
use wardroom_load::house::{House, SOON, until};

const BOB: &str = "491700002@c.us";
const CAROL: &str = "491700003@c.us";

fn bodies(messages: &Value) -> Vec<String> {
    messages.as_array().unwrap().iter().map(|one| one["body"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_stands_behind_what_was_recorded() {
    let house = House::start().await;
    house.network.phone("491700001", "Anna").await;
    house.network.phone("491700002", "Bob").await;
    let mut said: Vec<_> = (0..45).map(|n| format!("before {n}")).collect();
    for text in &said {
        house.network.send("491700002", "491700001", text).await;
    }
    house.network.phone("491700003", "Carol").await;
    house.network.send("491700003", "491700001", "hello").await;
    house.link("default", "491700001").await;
    let ids = async |query: &str| {
        let chats = house.get(&format!("/api/default/chats{query}")).await;
        chats.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut before = ids("").await;
    before.sort();
    assert_eq!(before, [BOB, CAROL], "chats from before");
    let overview = house.get(&format!("/api/default/chats/overview?ids={BOB}")).await;
    assert_eq!((overview.as_array().unwrap().len(), &overview[0]["lastMessage"]["body"]), (1, &"before 44".into()));
    let path = format!("/api/default/chats/{BOB}/messages?limit=20");
    assert_eq!(house.get(&path).await, serde_json::json!([]), "the past is no event");
    let first = house.get(&format!("{path}&history=true")).await;
    assert_eq!(bodies(&first), said.iter().rev().take(20).cloned().collect::<Vec<_>>());

    for text in ["after 0", "after 1"] {
        house.network.send("491700002", "491700001", text).await;
        said.push(text.to_owned());
    }
    until("both are recorded", SOON, || async { (house.messages("default", BOB).await.len() == 2).then_some(()) })
        .await;
    assert_eq!(ids("").await, [BOB, CAROL], "first those in which something was said");
    assert_eq!((ids("?limit=1").await, ids("?limit=1&offset=1").await), (vec![BOB.into()], vec![CAROL.into()]));
    assert_eq!(ids("?offset=2").await, [""; 0]);
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let page = house.ask("GET", &format!("{path}&history=true{cursor}"), None).await;
        let next = page.headers.get("x-next-cursor").map(|next| next.to_str().unwrap().to_owned());
        let found = page.ok();
        assert!(found.as_array().unwrap().len() <= 20, "{found}");
        all.extend(bodies(&found));
        let Some(next) = next else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(all, said.into_iter().rev().collect::<Vec<_>>(), "each once, the newest first");

    // What is recorded first is taken back: the page then knows it by another id.
    let first = house.messages("default", BOB).await[0]["id"].as_str().unwrap().rsplit('_').next().unwrap().to_owned();
    let revoke = serde_json::json!({"to": "491700001", "kind": "revoke", "text": "", "data": {"target": first}});
    house.network.ask("POST", "/api/phones/491700002/messages", Some(revoke)).await.ok();
    until("it is taken back", SOON, || async {
        (house.messages("default", BOB).await[0]["_data"]["type"] == "revoked").then_some(())
    })
    .await;
    let page = house.get(&format!("/api/default/chats/{BOB}/messages?limit=100&history=true")).await;
    assert_eq!(page.as_array().unwrap().len(), 47, "{page}");
    assert_eq!(page[46]["body"], "before 0");

    for bad in [
        "cursor=h",
        "cursor=h!",
        "sortOrder=foo",
        "sortOrder=asc",
        "offset=1",
        "filter.fromMe=true",
        "filter.timestamp.gte=1",
    ] {
        house.ask("GET", &format!("{path}&history=true&{bad}"), None).await.refused(400);
    }
    house.ask("GET", "/api/default/chats/all/messages?history=true", None).await.refused(400);
    house.ask("GET", &format!("{path}&history=maybe"), None).await.refused(400);
    assert_eq!(house.get("/api/default/chats/491700009@c.us/messages?history=true").await, serde_json::json!([]));
    house.post("/api/sessions/default/stop", serde_json::json!({})).await;
    house.ask("GET", &format!("{path}&history=true"), None).await.refused(422);
    assert_eq!(ids("").await, [BOB], "what was recorded is there without the page");
}
