//! Whatever can go wrong with a message or a file that leaves or comes has an answer of its own, and nothing leaves.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wardroom_load::house::{Answer, House, KEY, SOON, until};

const BOB: &str = "491700002@c.us";
const NOBODY: &str = "4999999999@c.us";
const NO_GROUP: &str = "120363000000000000@g.us";

/// A host that does with a request what its path says, and counts the requests; to `/elsewhere` it names another host.
async fn odd_host(other: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut held = vec![];
        while let Ok((mut guest, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let read = guest.read(&mut request).await.unwrap_or_default();
            let path = String::from_utf8_lossy(&request[..read]).split(' ').nth(1).unwrap_or_default().to_owned();
            let to = |url: &str| format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n";
            let answer = match path.as_str() {
                "/long-and-said" => format!("{head}content-length: 70000\r\n\r\n{}", "x".repeat(70_000)),
                "/long" => format!("{head}connection: close\r\n\r\n{}", "x".repeat(70_000)),
                "/stalls" | "/breaks-off" => format!("{head}content-length: 1000\r\n\r\nbegun"),
                "/elsewhere" => to(&format!("{other}/good")),
                "/good" => format!("{head}content-length: 4\r\n\r\ngood"),
                "/inside" => to("http://10.1.2.3/a.png"),
                "/round" => to("/round"),
                _ => String::new(),
            };
            let _ = guest.write_all(answer.as_bytes()).await;
            if ["/stalls", "/silent"].contains(&path.as_str()) {
                held.push(guest);
            }
        }
    });
    (url, asked)
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
    let (other, others) = odd_host(String::new()).await;
    let (odd, asked) = odd_host(other.clone()).await;
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
        ("a host that does not answer", "sendImage", url(&format!("{odd}/silent")), 422, "file_not_fetched"),
        ("a host that stops in the middle", "sendImage", url(&format!("{odd}/stalls")), 422, "file_not_fetched"),
        ("a host that breaks off", "sendImage", url(&format!("{odd}/breaks-off")), 422, "file_not_fetched"),
        ("a host that sends too much", "sendImage", url(&format!("{odd}/long")), 413, "payload_too_large"),
        ("a host that says so", "sendImage", url(&format!("{odd}/long-and-said")), 413, "payload_too_large"),
        ("a host that leads elsewhere", "sendImage", url(&format!("{odd}/elsewhere")), 422, "file_not_fetched"),
        ("a host that leads inside", "sendImage", url(&format!("{odd}/inside")), 422, "file_not_fetched"),
        ("a host that is not there", "sendImage", url("http://127.0.0.1:1/a.png"), 422, "file_not_fetched"),
    ];
    for (what, route, body, status, code) in table {
        let begun = Instant::now();
        let answer = house.ask("POST", &format!("/api/{route}"), Some(body)).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.refused(status), code, "{what}");
        // The session may get there.
        let waits = if code == "session_status" { Duration::from_secs(1) } else { Duration::ZERO };
        assert!((waits..Duration::from_secs(10)).contains(&begun.elapsed()), "{what} took {:?}", begun.elapsed());
    }
    assert_eq!(others.load(Ordering::SeqCst), 0, "another host was asked");
    // Not even where it leads to itself.
    let before = asked.load(Ordering::SeqCst);
    let round = house.ask("POST", "/api/sendImage", Some(url(&format!("{odd}/round")))).await;
    assert_eq!(round.refused(422), "file_not_fetched");
    assert_eq!(asked.load(Ordering::SeqCst) - before, 1, "no redirect is followed");
    assert!(house.network.messages("491700002").await.is_empty(), "something has left");
    house.post("/api/sendImage", url(&format!("{other}/good"))).await;
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
