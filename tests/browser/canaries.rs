//! Two tenants at work at the same time: whatever one is told, shown or given, there is nothing of the other in it.

use crate::guard::{CHAT, Call, calls, known, made_whole};
use crate::secrets::search;
use futures_util::StreamExt as _;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardroom_load::house::{Answer, House, KEY, SOON, until};
use wardroom_load::postgres::Postgres;
use wardroom_load::receiver::Receiver;

/// In all that the one tenant has: names, texts, files, addresses.
const CANARY: &str = "canary-4be19c07";
/// Messages in each direction, of each tenant.
const LOAD: usize = 120;

type Heard = Arc<Mutex<Vec<u8>>>;

/// All that comes over a socket and a stream of events from now on.
async fn listen(house: &House, key: &str) -> Heard {
    let heard = Heard::default();
    let url = format!("ws://127.0.0.1:{}/ws?x-api-key={key}&session=*&events=*", house.http);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let into = Arc::clone(&heard);
    tokio::spawn(socket.for_each(move |frame| {
        if let Ok(frame) = frame {
            into.lock().unwrap().extend(frame.into_data());
        }
        std::future::ready(())
    }));
    let url = format!("http://127.0.0.1:{}/api/events", house.http);
    let stream = reqwest::Client::new().get(url).header("x-api-key", key).send().await.unwrap();
    let into = Arc::clone(&heard);
    tokio::spawn(stream.bytes_stream().for_each(move |part| {
        into.lock().unwrap().extend(part.unwrap_or_default());
        std::future::ready(())
    }));
    heard
}

/// A tenant's session at work: messages in both directions; all that it is answered.
async fn works(house: &House, key: &str, (own, other): (&str, &str), word: &str) -> Vec<u8> {
    let inbound = async {
        for n in 0..LOAD {
            house.network.send(other, own, &format!("{word} in {n}")).await;
        }
    };
    let outbound = async {
        let mut answers = vec![];
        for n in 0..LOAD {
            let text = json!({"chatId": format!("{other}@c.us"), "text": format!("{word} out {n}")});
            let answer = house.ask_as(key, "POST", "/api/sendText", Some(text)).await;
            answers.extend(format!("{:?} ", answer.headers).into_bytes());
            answers.extend(answer.ok().to_string().into_bytes());
        }
        answers
    };
    tokio::join!(inbound, outbound).1
}

/// Every call that changes nothing of the session, by the other tenant, with the victim's ids.
async fn looks(house: &House, key: &str, calls: &[Call]) -> Vec<u8> {
    let mut all = vec![];
    for call in calls.iter().filter(|call| call.verb == "GET" || call.pattern.contains("overview")) {
        let answer = made_whole(house, call, key).await;
        all.extend(format!("\n{}: {} {:?}\n", call.name(), answer.status, answer.headers).into_bytes());
        all.extend(answer.bytes);
    }
    all
}

async fn nothing_gets_across(mut house: House) -> House {
    let (mine, theirs) = (Receiver::open(0).await, Receiver::open(0).await);
    let other = house.tenant("other");
    house.network.phone("491700002", &format!("Bob {CANARY}")).await;
    house.network.phone("491700004", "Dora").await;
    let hook = |receiver: &Receiver, word: &str| {
        let url = format!("{}?{word}", receiver.url());
        json!({"metadata": {"note": word}, "webhooks": [{"url": url, "events": ["*"]}]})
    };
    house.config = hook(&mine, CANARY);
    house.link("default", "491700001").await;
    house.config = hook(&theirs, "plain");
    house.link_as(&other, "default", "491700003").await;
    let person = json!({"name": CANARY, "email": format!("{CANARY}@example.com"), "role": "viewer"});
    house.post("/api/users", person).await;
    house.network.send("491700002", "491700001", CANARY).await;
    let heard = until("Bob is heard", SOON, || async { house.messages("default", CHAT).await.pop() }).await;
    let file = json!({"mimetype": "text/plain", "filename": format!("{CANARY}.txt"), "data": "aGVsbG8="});
    let sent = house.post("/api/sendFile", json!({"chatId": CHAT, "file": file})).await;
    let spare = house.post("/api/keys", json!({"session": "default"})).await;
    let ids = known(
        heard["id"].as_str().unwrap(),
        sent["media"]["url"].as_str().unwrap().rsplit('/').next().unwrap(),
        spare["id"].as_str().unwrap(),
    );
    let calls = calls(&house, &ids);

    let (ours, said) = (listen(&house, KEY).await, listen(&house, &other).await);
    let (mut seen, _, answers) = tokio::join!(
        looks(&house, &other, &calls),
        works(&house, KEY, ("491700001", "491700002"), CANARY),
        works(&house, &other, ("491700003", "491700004"), "plain"),
    );
    seen.extend(answers);
    let each = 2 * LOAD;
    until("both have all of theirs", Duration::from_secs(60), || async {
        let one = house.all_messages_as(KEY, "default", CHAT).await.len();
        let two = house.all_messages_as(&other, "default", "491700004@c.us").await.len();
        // Bob's first message, and the file.
        (one == each + 2 && two == each).then_some(())
    })
    .await;
    until("the receivers were told", Duration::from_secs(60), || async {
        (mine.taken("message").len() > LOAD && theirs.taken("message").len() == LOAD).then_some(())
    })
    .await;

    // A reply names the number that was asked for.
    let canaries = [CANARY.to_owned(), "491700001".to_owned(), KEY.to_owned()];
    let mut told = vec![];
    for one in theirs.heard() {
        told.extend(format!("{:?}\n{}\n", one.headers, one.body).into_bytes());
    }
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", house.ops)).await.unwrap().bytes().await.unwrap();
    let backup = house.dir.path().join("all.backup");
    house.run(&["backup", "create", backup.to_str().unwrap()]);
    let said = said.lock().unwrap().clone();
    for (place, bytes) in [
        ("a reply", &seen),
        ("a socket or a stream", &said),
        ("a webhook", &told),
        ("the log", &house.log().into_bytes()),
        ("a metric", &metrics.to_vec()),
        ("the other's audit export", &house.run(&["audit", "export", "--tenant", "other"]).into_bytes()),
        ("the server's audit export", &house.run(&["audit", "export"]).into_bytes()),
        ("a backup", &std::fs::read(&backup).unwrap()),
    ] {
        assert!(!bytes.is_empty(), "{place} is empty");
        search(place, bytes, &canaries);
    }
    // The test can fail: where it may be, it is found.
    let own = looks(&house, KEY, &calls).await;
    for (place, bytes) in [("a reply", own), ("a socket", ours.lock().unwrap().clone())] {
        assert!(bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "{place} of its own");
    }
    assert!(mine.heard().iter().any(|one| one.body.contains(CANARY)), "a webhook of its own");
    // What a browser's page has left behind for the next: each has its own.
    let answer: Answer = house.ask_as(&other, "GET", "/api/screenshot?session=default", None).await;
    assert_eq!(answer.status, 200);
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_one_tenant_reaches_another() {
    nothing_gets_across(House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_one_tenant_reaches_another_on_postgresql_nor_its_role() {
    let postgres = Postgres::start().await;
    let url = postgres.plain().await;
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__DATABASE__URL", url.as_str())];
    let house = nothing_gets_across(House::with(&settings, &[]).await).await;
    // What the server's transactions of the other tenant may see at most, whatever they ask.
    let database = Box::pin(Database::connect(&url)).await.unwrap();
    let ask = async |text: &str| database.query_all_raw(Statement::from_string(DbBackend::Postgres, text)).await;
    let listed = house.run(&["tenants", "list"]);
    let id = |name: &str| {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    let (own, other) = (id("default"), id("other"));
    let tables = ask(
        "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace",
    )
    .await
    .unwrap();
    let (mut seen, mut rows) = (0, 0);
    for table in tables {
        let table: String = table.try_get_by_index(0).unwrap();
        // Tables of the server it may not even read.
        let transaction = sea_orm::TransactionTrait::begin(&database).await.unwrap();
        for text in ["SET LOCAL ROLE \"the house_tenant\"".to_owned(), format!("SET LOCAL app.tenant_id = '{other}'")] {
            transaction.execute_unprepared(&text).await.unwrap();
        }
        let all = format!("SELECT t::text AS one FROM {table} t");
        if let Ok(found) = transaction.query_all_raw(Statement::from_string(DbBackend::Postgres, all)).await {
            seen += 1;
            for row in found {
                let one: String = row.try_get_by_index(0).unwrap();
                assert!(!one.contains(&own), "{table}: {one}");
                search(&table, one.as_bytes(), &[CANARY.to_owned(), "491700001".to_owned()]);
                rows += 1;
            }
        }
        transaction.rollback().await.unwrap();
    }
    assert!(seen > 10 && rows > 2 * LOAD, "{seen} tables, {rows} rows: what it may see was looked at");
}
