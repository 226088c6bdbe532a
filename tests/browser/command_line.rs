//! The command line as a person types it.

use serde_json::json;
use wardroom_load::house::{House, KEY, SOON, until};
use wardroom_load::receiver::Receiver;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_links_and_sends_from_a_terminal() {
    let house = House::start().await;
    house.network.phone("491700001", "Ada").await;
    house.network.phone("491700002", "Bob").await;
    let url = format!("http://127.0.0.1:{}", house.http);
    let ask = |arguments: &[&str]| house.run(&[arguments, &["--url", &url, "--key", KEY]].concat());
    assert!(ask(&["sessions", "create", "shop", "--network", "simulator"]).contains("STARTING"));
    let mut login = house.command();
    let screen = house.dir.path().join("screen");
    login.args(["login", "shop", "--url", &url, "--key", KEY]).stdout(std::fs::File::create(&screen).unwrap());
    let mut login = login.spawn().unwrap();
    let shown = || std::fs::read_to_string(&screen).unwrap();
    until("a code is drawn", SOON, || async { shown().contains('█').then_some(()) }).await;
    house.network.ask("POST", "/api/phones/491700001/scan", Some(json!({"qr": "newest"}))).await.ok();
    let ended = until("login ends", SOON, || {
        let ended = login.try_wait().unwrap();
        async move { ended }
    })
    .await;
    assert!(ended.success());
    assert!(shown().contains("Linked to 491700001."), "{}", shown());

    assert!(ask(&["send", "shop", "491700002", "from a terminal"]).contains("SERVER"));
    assert_eq!(house.network.messages("491700002").await[0]["text"], "from a terminal");
    assert!(ask(&["chats", "shop"]).contains("491700002@c.us"));
    let picture = house.dir.path().join("dot.png");
    std::fs::write(&picture, [0x89, b'P', b'N', b'G']).unwrap();
    let file = |more: &[&str]| ask(&[&["send-file", "shop", "491700002", picture.to_str().unwrap()], more].concat());
    assert!(file(&["--caption", "look"]).contains("SERVER") && file(&["--document"]).contains("SERVER"));
    let shown = house.network.messages("491700002").await;
    let files: Vec<_> = shown[1..].iter().map(|one| (&one["type"], &one["text"], &one["data"]["filename"])).collect();
    assert_eq!((files[0].0, files[0].1, files[1].0), (&json!("image"), &json!("look"), &json!("document")));
    assert_eq!(files[1].2, "dot.png");
    house.network.send("491700002", "491700001", "and back").await;
    until("all are listed", SOON, || async {
        let listed = ask(&["messages", "shop", "491700002"]);
        let lines: Vec<_> = listed.lines().collect();
        (lines.len() == 4 && lines[0].ends_with("from a terminal") && lines[3].ends_with("and back")).then_some(())
    })
    .await;
    let hook = "http://127.0.0.1:9/hook";
    ask(&["webhooks", "shop", "add", hook, "--events", "message,message.ack"]);
    assert_eq!(ask(&["webhooks", "shop", "list"]).trim(), format!("{hook} message,message.ack"));
    let test = |url_of_hook: &str| {
        let test = ["webhooks", "shop", "test", url_of_hook, "--url", &url, "--key", KEY];
        house.command().args(test).output().unwrap()
    };
    assert!(String::from_utf8_lossy(&test(hook).stderr).contains("did not take it"));
    let receiver = Receiver::open(0).await;
    assert!(String::from_utf8_lossy(&test(&receiver.url()).stdout).starts_with("taken within"));
    assert_eq!(receiver.taken("session.status").len(), 1);
    ask(&["webhooks", "shop", "remove", hook]);
    assert_eq!(ask(&["webhooks", "shop", "list"]), "");
    let wrong =
        house.command().args(["webhooks", "shop", "remove", hook, "--url", &url, "--key", KEY]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("has no webhook"));
    house.is("shop", "WORKING").await;
    let events = ask(&["events", "--session", "shop"]);
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "message.any"), "{events:?}");
    assert!(ask(&["sessions", "list"]).contains("WORKING"));
    assert!(ask(&["sessions", "stop", "shop"]).contains("STOPPED"));
    assert!(ask(&["sessions", "start", "shop"]).contains("STARTING"));
    house.is("shop", "WORKING").await;
    assert!(ask(&["sessions", "restart", "shop"]).contains("shop"));
    house.is("shop", "WORKING").await;
    assert!(ask(&["sessions", "logout", "shop"]).contains("shop"));
    until("the phone has no device", SOON, || async {
        house.network.devices("491700001").await.is_empty().then_some(())
    })
    .await;
    assert!(ask(&["sessions", "delete", "shop"]).contains("gone"));
    let refused = house.command().args(["sessions", "list", "--url", &url, "--key", "wrong"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Unauthorized"));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_is_there_and_how_to_mend_what_is_not() {
    let mut house = House::start().await;
    let fine = house.run(&["doctor"]);
    assert_eq!(fine.lines().filter(|line| line.starts_with("ok")).count(), 8, "{fine}");
    house.close().await;
    let sick = house.command().arg("doctor").env("WARDROOM__BROWSER__WA_JS", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&sick.stdout).into_owned();
    assert!(!sick.status.success());
    assert!(said.contains("MISSING  wa-js") && said.contains("deploy/setup.sh"), "{said}");
    assert!(house.run(&["migrate"]).contains("up to date"));
    assert!(house.run(&["openapi"]).contains("/api/sessions/{session}/restart"));
    let typo = house.command().arg("serve").env("WARDROOM__HTTP__LISTNE", "x").output().unwrap();
    assert!(String::from_utf8_lossy(&typo.stderr).contains("there is no setting WARDROOM__HTTP__LISTNE"));
}
