//! Phones that act by a script, and a session that talks with them.

use serde_json::json;
use wardroom_load::house::{House, SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn scripted_phones_speak_and_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.toml");
    let script = r#"
        [[phone]]
        number = "491700002"
        name = "Bob"
        [[say]]
        from = "491700002"
        to = "491700001"
        text = "What does it cost?"
        [[answer]]
        phone = "491700002"
        contains = "EURO"
        text = "Too much! You said: {text}"
    "#;
    std::fs::write(&path, script).unwrap();
    let house = House::with(&[], &["--script", path.to_str().unwrap()]).await;
    house.link("default", "491700001").await;
    let bodies = async || {
        let messages = house.messages("default", "491700002@c.us").await;
        messages.iter().map(|one| one["body"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("Bob speaks", SOON, || async { (bodies().await == ["What does it cost?"]).then_some(()) }).await;
    house.post("/api/sendText", json!({"chatId": "491700002", "text": "Five euro."})).await;
    let said = ["What does it cost?", "Five euro.", "Too much! You said: Five euro."];
    until("Bob answers", SOON, || async { (bodies().await == said).then_some(()) }).await;
    std::fs::write(&path, "[[answer]]\nphone = \"5\"\ntext = \"x\"").unwrap();
    let refused = house.command().args(["simulator", "--script", path.to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("none of the phones"));
}
