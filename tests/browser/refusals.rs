//! Whatever can go wrong with a message or a file that leaves or comes has an answer of its own, and nothing leaves.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use wardroom_load::house::{Answer, House, KEY, SOON, until};

const BOB: &str = "491700002@c.us";
const NOBODY: &str = "4999999999@c.us";
const NO_GROUP: &str = "120363000000000000@g.us";

/// A host that takes requests and never answers.
async fn silent() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/file.png", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut guests = vec![];
        while let Ok((guest, _)) = listener.accept().await {
            guests.push(guest);
        }
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_sending_fails_says_so_and_sends_nothing() {
    let settings = [
        ("WARDROOM__POOL__WARM_SPARES", "0"),
        ("WARDROOM__EGRESS__ALLOW_PRIVATE", "false"),
        ("WARDROOM__EGRESS__ALLOW", "127.0.0.1"),
        ("WARDROOM__MEDIA__MAX_BYTES", "65536"),
        ("WARDROOM__MEDIA__URL_TIMEOUT_S", "1"),
        ("WARDROOM__HTTP__STATUS_WAIT_S", "1"),
    ];
    let house = House::with(&settings, &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.create("unlinked").await;
    let (slow, _serving) = silent().await;
    let nowhere = format!("http://127.0.0.1:{}/media/none", house.network.port);
    let data = "aGVsbG8=";
    let long = "aGVsbG8h".repeat(12_000);
    let text = |chat: &str| json!({"chatId": chat, "text": "x"});
    let file = |file: Value| json!({"chatId": BOB, "file": file});
    let url = |url: &str| json!({"chatId": BOB, "file": {"url": url, "mimetype": "image/png"}});
    let table: Vec<(&str, &str, Value, u16, &str)> = vec![
        ("a chat that is none", "sendText", text("somebody"), 400, "bad_request"),
        ("a number that is not on WhatsApp", "sendText", text(NOBODY), 422, "not_on_whatsapp"),
        ("a group that the account is not in", "sendText", text(NO_GROUP), 422, "refused_by_network"),
        (
            "a session that is none",
            "sendText",
            json!({"session": "none", "chatId": BOB, "text": "x"}),
            404,
            "session_not_found",
        ),
        (
            "a session that is not linked",
            "sendText",
            json!({"session": "unlinked", "chatId": BOB, "text": "x"}),
            422,
            "session_status",
        ),
        (
            "an answer to a message that is none",
            "sendText",
            json!({"chatId": BOB, "text": "x", "reply_to": format!("false_{BOB}_3EB0000000000000000000")}),
            404,
            "message_not_found",
        ),
        (
            "a copy of a message that is none",
            "forwardMessage",
            json!({"chatId": BOB, "messageId": format!("false_{BOB}_3EB0000000000000000000")}),
            404,
            "message_not_found",
        ),
        (
            "a file for nobody",
            "sendFile",
            json!({"chatId": NOBODY, "file": {"data": data, "mimetype": "a/b"}}),
            422,
            "not_on_whatsapp",
        ),
        (
            "a file of a session that is not linked",
            "sendFile",
            json!({"session": "unlinked", "chatId": BOB, "file": {"data": data, "mimetype": "a/b"}}),
            422,
            "session_status",
        ),
        (
            "a file that is too long",
            "sendFile",
            file(json!({"data": long, "mimetype": "a/b"})),
            413,
            "payload_too_large",
        ),
        ("a text as a picture", "sendImage", file(json!({"data": data, "mimetype": "text/plain"})), 400, "bad_request"),
        ("a picture as a voice", "sendVoice", file(json!({"data": data, "mimetype": "image/png"})), 400, "bad_request"),
        ("a picture as a film", "sendVideo", file(json!({"data": data, "mimetype": "image/png"})), 400, "bad_request"),
        ("no file at all", "sendImage", file(json!({"mimetype": "image/png"})), 400, "bad_request"),
        ("a host in a private network", "sendImage", url("http://10.1.2.3/a.png"), 400, "bad_request"),
        ("the cloud's own address", "sendImage", url("http://169.254.169.254/latest/meta-data"), 400, "bad_request"),
        ("a file of this machine", "sendImage", url("file:///etc/passwd"), 400, "bad_request"),
        ("a host that has no such file", "sendImage", url(&nowhere), 422, "file_not_fetched"),
        ("a host that does not answer", "sendImage", url(&slow), 422, "file_not_fetched"),
        ("a host that is not there", "sendImage", url("http://127.0.0.1:1/a.png"), 422, "file_not_fetched"),
    ];
    for (what, route, body, status, code) in table {
        let begun = Instant::now();
        let answer = house.ask("POST", &format!("/api/{route}"), Some(body)).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.refused(status), code, "{what}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} took {:?}", begun.elapsed());
    }
    assert!(house.network.messages("491700002").await.is_empty(), "something has left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_another_than_its_sender_promised_is_not_passed_on() {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__MEDIA__FETCH", "lazily")];
    let house = House::with(&settings, &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let sent = vec![7_u8; 300_000];
    let url = format!("http://127.0.0.1:{}/api/phones/491700002/files?to=491700001&kind=image", house.network.port);
    let request = reqwest::Client::new().post(url).header("content-type", "image/png").body(sent.clone());
    Answer::of(request.send().await.unwrap()).await.ok();
    let message = until("the message is here", SOON, || async { house.messages("default", BOB).await.pop() }).await;
    let kept = house.dir.path().join("network/media");
    let kept = std::fs::read_dir(kept).unwrap().next().unwrap().unwrap().path();
    let mut other = sent.clone();
    other[200_000] ^= 1;
    let get = async || {
        let url = message["media"]["url"].as_str().unwrap();
        Answer::of(reqwest::Client::new().get(url).header("x-api-key", KEY).send().await.unwrap()).await
    };
    std::fs::write(&kept, other).unwrap();
    assert_eq!(get().await.refused(502), "file_damaged");
    std::fs::write(&kept, &sent).unwrap();
    assert!(get().await.bytes == sent, "what was damaged was not kept");
}
