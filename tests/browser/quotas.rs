//! What users and tenants may have: over the API, on the command line, and where it is used up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wardroom_load::house::{Answer, House, KEY, SOON, until};

const BOB: &str = "491700002@c.us";

fn text(n: usize) -> Value {
    json!({"session": "default", "chatId": BOB, "text": format!("text {n}")})
}

fn file(bytes: usize) -> Value {
    let data = STANDARD.encode("x".repeat(bytes));
    json!({"session": "default", "chatId": BOB,
           "file": {"mimetype": "text/plain", "filename": format!("{bytes}.txt"), "data": data}})
}

fn hooked(webhooks: usize) -> Value {
    let hooks: Vec<_> = (0..webhooks).map(|n| json!({"url": format!("http://127.0.0.1:9/{n}")})).collect();
    json!({"config": {"network": "simulator", "webhooks": hooks}})
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_more_than_they_may_have_and_an_admin_gives_more() {
    let settings = [
        ("WARDROOM__QUOTAS__USER__SESSIONS", "2"),
        ("WARDROOM__QUOTAS__USER__MESSAGES_PER_MINUTE", "4"),
        ("WARDROOM__QUOTAS__USER__STORAGE_BYTES", "3000"),
        ("WARDROOM__QUOTAS__USER__WEBHOOKS", "2"),
    ];
    let mut house = House::with(&settings, &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.create("second").await;
    let third = json!({"name": "third", "start": false, "config": {"network": "simulator"}});
    let refused = house.ask("POST", "/api/sessions", Some(third.clone())).await;
    assert_eq!(refused.refused(422), "quota_sessions");
    assert_eq!(refused.json()["message"], "This user may have 2 sessions");
    assert_eq!(house.ask("GET", "/api/sessions/third", None).await.status, 404);

    let refused = house.ask("PUT", "/api/sessions/second", Some(hooked(3))).await;
    assert_eq!(refused.refused(422), "quota_webhooks");
    house.ask("PUT", "/api/sessions/second", Some(hooked(2))).await.ok();

    // Of files that were sent, and that were received: those are fetched when somebody wants them.
    let named = async |path: &str, body: Value| {
        let request = reqwest::Client::new().post(format!("http://127.0.0.1:{}{path}", house.http)).json(&body);
        let request = request.header("x-api-key", KEY).header("idempotency-key", "one");
        Answer::of(request.send().await.unwrap()).await
    };
    named("/api/sendFile", file(2000)).await.ok();
    assert_eq!(house.ask("POST", "/api/sendFile", Some(file(2001))).await.refused(422), "quota_storage");
    let url = format!("http://127.0.0.1:{}/api/phones/491700002/files?to=491700001&kind=document", house.network.port);
    let bytes = vec![b'y'; 1500];
    reqwest::Client::new().post(url).header("content-type", "text/plain").body(bytes).send().await.unwrap();
    let heard = until("the file's message is here", SOON, || async {
        house.messages("default", BOB).await.into_iter().find(|one| one["hasMedia"] == true && one["fromMe"] == false)
    })
    .await;
    let url = heard["media"]["url"].as_str().unwrap().split_once("/api/").unwrap().1.to_owned();
    assert_eq!(house.ask("GET", &format!("/api/{url}"), None).await.refused(422), "quota_storage");

    // Four at once, and one each fifteen seconds.
    let mut sent = 0;
    let refused = loop {
        let answer = house.ask("POST", "/api/sendText", Some(text(sent))).await;
        if answer.status != 201 {
            break answer;
        }
        sent += 1;
        assert!(sent < 20, "nobody is refused");
    };
    assert_eq!(refused.refused(429), "quota_messages");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=15).contains(&wait), "{wait}");
    // Nor is a file moved for nothing.
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let there = json!({"url": format!("http://{}/a.txt", host.local_addr().unwrap())});
    let there = json!({"session": "default", "chatId": BOB, "file": there});
    assert_eq!(house.ask("POST", "/api/sendFile", Some(there.clone())).await.refused(429), "quota_messages");

    let seen = house.get("/api/quotas").await;
    let user = &seen["user"];
    assert_eq!(user["sessions"], json!({"limit": 2, "used": 2, "isDefault": true}));
    assert_eq!(user["webhooks"]["used"], 2);
    assert_eq!((&user["storageBytes"]["used"], &seen["tenant"]["storageBytes"]["used"]), (&json!(2000), &json!(2000)));
    assert!(user["messagesPerMinute"]["used"].as_u64().is_some_and(|used| (1..=4).contains(&used)), "{user}");

    // An admin of the tenant gives its users more; what is no limit changes nothing.
    let path = format!("/api/users/{}/quota", user["id"].as_str().unwrap());
    for bad in [json!({"sessions": -1}), json!({"sessions": "3"}), json!({"session": 3}), json!({"sessions": u64::MAX})]
    {
        assert_eq!(house.ask("PUT", &path, Some(bad)).await.refused(400), "bad_request");
    }
    let given = json!({"sessions": 3, "messagesPerMinute": 0});
    let given = house.ask("PUT", &path, Some(given)).await.ok();
    assert_eq!(given["sessions"], json!({"limit": 3, "used": 2, "isDefault": false}));
    assert_eq!(given["messagesPerMinute"], json!({"limit": null, "used": 0, "isDefault": false}));
    house.ask("POST", "/api/sessions", Some(third)).await.ok();
    for n in 20..40 {
        house.ask("POST", "/api/sendText", Some(text(n))).await.ok();
    }

    house.ask("PUT", &path, Some(json!({"messagesPerMinute": 0, "storageBytes": 2000}))).await.ok();
    named("/api/sendFile", file(2000)).await.ok();
    assert_eq!(house.ask("POST", "/api/sendFile", Some(there.clone())).await.refused(422), "quota_storage");
    assert!(host.accept().is_err(), "its host was not asked");
    house.ask("PUT", &path, Some(json!({"messagesPerMinute": 0, "storageBytes": 2001}))).await.ok();
    let host = tokio::net::TcpListener::from_std(host).unwrap();
    let hangs_up = async { drop(host.accept().await) };
    let (answer, ()) = tokio::join!(house.ask("POST", "/api/sendFile", Some(there)), hangs_up);
    assert_eq!(answer.refused(422), "file_not_fetched", "it is asked where there is room");

    // What the tenant may have with all of its users only the operator says; the server hears of it within a second.
    let told = house.run(&["quotas", "set", "--sessions", "3"]);
    assert!(told.lines().next().unwrap().trim_end().ends_with("3 of 3"), "{told}");
    house.ask("PUT", &path, Some(json!({"sessions": 50}))).await.ok();
    let fourth = json!({"name": "fourth", "start": false, "config": {"network": "simulator"}});
    until("the tenant has no more", SOON, || async {
        let answer = house.ask("POST", "/api/sessions", Some(fourth.clone())).await;
        if answer.status == 422 {
            assert_eq!(answer.json()["message"], "This tenant may have 3 sessions");
            return Some(());
        }
        house.ask("DELETE", "/api/sessions/fourth", None).await;
        None
    })
    .await;
    let shown = house.run(&["quotas", "show", "--user", "owner"]);
    assert!(shown.contains("3 of 50") && shown.contains("of 4  (default)"), "{shown}");
    house.run(&["quotas", "set", "--sessions", "default"]);

    // What there is stays, and comes back, when there may be less.
    house.ask("PUT", &path, Some(json!({"sessions": 1}))).await.ok();
    house.close().await;
    house.open().await;
    house.is("default", "WORKING").await;
    house.ask("POST", "/api/sessions/default/restart", None).await.ok();
    house.is("default", "WORKING").await;
    house.is("second", "SCAN_QR_CODE").await;

    // Whose it is: others of the tenant are for admins, another tenant's are not there.
    let plain = house.run(&["keys", "create", "--tenant", "default", "--user", "plain"]);
    let plain = plain.lines().last().unwrap();
    let own = house.ask_as(plain, "GET", "/api/quotas", None).await.ok();
    assert!(own["tenant"].is_null() && own["user"]["sessions"]["used"] == 0, "{own}");
    let id = user["id"].as_str().unwrap();
    assert_eq!(house.ask_as(plain, "GET", &format!("/api/quotas?user={id}"), None).await.refused(403), "forbidden");
    assert_eq!(house.ask_as(plain, "PUT", &path, Some(json!({}))).await.refused(403), "forbidden");
    let other = house.tenant("other");
    assert_eq!(house.ask_as(&other, "GET", &format!("/api/quotas?user={id}"), None).await.refused(404), "not_found");
    assert_eq!(house.ask_as(&other, "PUT", &path, Some(json!({}))).await.refused(404), "not_found");
    let records = house.ask_as(KEY, "GET", "/api/audit?limit=500", None).await.ok().to_string();
    assert!(records.contains("/quota") && records.contains("quota changed"), "{records}");
}
