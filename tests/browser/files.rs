//! Files, in both directions and through every kill.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wardroom_load::bucket::{ACCESS_KEY, Bucket};
use wardroom_load::house::{Answer, House, KEY, SOON, until};

const BOB: &str = "491700002@c.us";
/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==";

async fn linked(settings: &[(&str, &str)]) -> House {
    let house = House::with(settings, &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Nothing that a compressor or a cipher would make smaller or repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// What Bob's phone shows last.
async fn shown(house: &House) -> Value {
    house.network.messages("491700002").await.pop().unwrap()
}

/// Bob's phone sends a file; answers the stored message.
async fn bob(house: &House, kind: &str, mimetype: &str, more: &str, bytes: Vec<u8>) -> Value {
    bob_in(house, ("491700001", BOB), &format!("kind={kind}{more}"), mimetype, bytes).await
}

/// The same to somebody, or to a group, and the chat in which it is heard.
async fn bob_in(house: &House, (to, chat): (&str, &str), query: &str, mimetype: &str, bytes: Vec<u8>) -> Value {
    let url = format!("http://127.0.0.1:{}/api/phones/491700002/files?to={to}&{query}", house.network.port);
    let request = reqwest::Client::new().post(url).header("content-type", mimetype).body(bytes);
    let id = Answer::of(request.send().await.unwrap()).await.ok()["id"].as_str().unwrap().to_owned();
    until("the message is here", SOON, || async {
        let all = house.messages("default", chat).await;
        all.into_iter().find(|one| one["id"].as_str().is_some_and(|full| full.contains(&id)))
    })
    .await
}

/// Where the simulated network keeps a file.
fn at_the_network(house: &House, hash: &str) -> PathBuf {
    house.data().parent().unwrap().join("network/media").join(hash)
}

async fn fetch(house: &House, url: &Value, headers: &[(&str, &str)]) -> Answer {
    assert!(url.as_str().unwrap().starts_with(&format!("http://127.0.0.1:{}/api/files/", house.http)), "{url}");
    let mut request = reqwest::Client::new().get(url.as_str().unwrap());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.send().await.unwrap()).await
}

/// Everything that the server keeps of files.
fn stored(house: &House) -> Vec<PathBuf> {
    fn walk(dir: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => walk(entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = vec![];
    walk(house.data().join("media"), &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_comes_in_a_group() {
    let house = linked(&[("WARDROOM__POOL__WARM_SPARES", "0")]).await;
    let new = json!({"subject": "Crew", "people": ["491700001"]});
    let made = house.network.ask("POST", "/api/phones/491700002/groups", Some(new)).await.ok();
    let group = made["id"].as_str().unwrap();
    let png = STANDARD.decode(PNG).unwrap();
    let heard = bob_in(&house, (group, group), "kind=image&text=look", "image/png", png.clone()).await;
    assert_eq!((&heard["from"], &heard["body"]), (&json!(group), &json!("look")));
    assert_eq!(fetch(&house, &heard["media"]["url"], &[("x-api-key", KEY)]).await.bytes, png);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_all_kinds_leave() {
    let mut house = linked(&[("WARDROOM__MEDIA__MAX_BYTES", "8388608")]).await;
    let png = STANDARD.decode(PNG).unwrap();
    let file = json!({"mimetype": "image/png", "data": PNG});
    let body = json!({"chatId": BOB, "file": file, "caption": "Look, @491700002!", "mentions": [BOB]});
    let sent = house.post("/api/sendImage", body).await;
    assert!(sent["ack"].as_i64().unwrap() >= 1, "{sent}");
    assert_eq!((&sent["hasMedia"], &sent["body"]), (&json!(true), &json!("Look, @491700002!")));
    assert_eq!((&sent["media"]["mimetype"], &sent["_data"]["type"]), (&json!("image/png"), &json!("image")));
    let seen = shown(&house).await;
    assert_eq!((&seen["type"], &seen["text"]), (&json!("image"), &json!("Look, @491700002!")));
    assert_eq!((&seen["data"]["filehash"], &seen["data"]["size"]), (&json!(hash(&png)), &json!(png.len())));
    assert_eq!(seen["data"]["mentionedJidList"], json!([BOB]));
    assert_eq!(fetch(&house, &sent["media"]["url"], &[("x-api-key", KEY)]).await.bytes, png);
    let edited = format!("/api/default/chats/{BOB}/messages/{}", sent["id"].as_str().unwrap());
    house.ask("PUT", &edited, Some(json!({"text": "Look closer!"}))).await.ok();
    assert_eq!(shown(&house).await["text"], "Look closer!");

    // A long one by URL, with what its host says of it; then with what the caller says.
    let long = noise(3_500_000);
    let kept = reqwest::Client::new().put(format!("http://127.0.0.1:{}/media", house.network.port)).body(long.clone());
    Answer::of(kept.send().await.unwrap()).await.ok();
    let url = format!("http://127.0.0.1:{}/media/{}", house.network.port, hash(&long));
    let sent = house.post("/api/sendFile", json!({"chatId": BOB, "file": {"url": url}})).await;
    let seen = shown(&house).await;
    assert_eq!((&seen["type"], &seen["data"]["filehash"]), (&json!("document"), &json!(hash(&long))));
    assert_eq!(sent["media"]["filename"], hash(&long));
    let named = json!({"url": url, "mimetype": "application/zip", "filename": "all of it.zip"});
    let sent = house.post("/api/sendFile", json!({"chatId": BOB, "file": named})).await;
    assert!(sent["media"]["url"].as_str().unwrap().ends_with(".zip"), "{sent}");
    let saved = fetch(&house, &sent["media"]["url"], &[("x-api-key", KEY)]).await;
    assert_eq!(saved.headers["content-disposition"], "attachment; filename*=UTF-8''all%20of%20it.zip");
    assert!(saved.bytes == long);
    assert_eq!(stored(&house).len(), 2, "the same content is kept once");
    let sealed = std::fs::read(stored(&house).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap());
    assert!(!sealed.unwrap().windows(32).any(|window| window == &long[1000..1032]), "a file lies open");

    for (route, mimetype, more, kind) in [
        ("sendVoice", "audio/ogg; codecs=opus", json!({}), "ptt"),
        ("sendVideo", "video/mp4", json!({"caption": "moving"}), "video"),
        ("sendVideo", "video/mp4", json!({"asNote": true}), "ptv"),
    ] {
        // As PHP writes a slash, and with the head of a data URL.
        let data = format!("data:{mimetype};base64,{}", STANDARD.encode(noise(200_000)));
        let mut body = json!({"chatId": BOB, "file": {"mimetype": mimetype, "data": data}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let text = body.to_string().replace('/', "\\/").replace('+', "\\u002B").replace("==", "\\u003d=");
        let post = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/api/{route}", house.http))
            .header("x-api-key", KEY)
            .header("content-type", "application/json")
            .body(text);
        let sent = Answer::of(post.send().await.unwrap()).await.ok();
        let seen = shown(&house).await;
        assert_eq!((&sent["_data"]["type"], &seen["type"]), (&json!(kind), &json!(kind)));
        assert_eq!(seen["data"]["filehash"], hash(&noise(200_000)));
    }

    let refused = |route: &str, file: Value| {
        let path = format!("/api/{route}");
        let house = &house;
        async move { house.ask("POST", &path, Some(json!({"chatId": BOB, "file": file, "convert": true}))).await }
    };
    let count = house.network.messages("491700002").await.len();
    for (file, why) in [
        (json!({"mimetype": "image/png"}), "neither url nor data"),
        (json!({"mimetype": "image/png", "data": PNG, "url": "http://127.0.0.1/"}), "both"),
        (json!({"mimetype": "image/png", "data": "no base64!"}), "not base64"),
        (json!({"mimetype": "image/png", "data": ""}), "empty"),
        (json!({"mimetype": "picture", "data": PNG}), "no kind"),
        (json!({"mimetype": "image/png", "filename": "a\nb", "data": PNG}), "a strange name"),
        (json!({"mimetype": "image/png", "url": "file:///etc/passwd"}), "no http"),
    ] {
        assert_eq!(refused("sendFile", file).await.refused(400), "bad_request", "{why}");
    }
    let too_long = json!({"mimetype": "a/b", "data": STANDARD.encode(noise(8_388_609))});
    assert_eq!(refused("sendFile", too_long).await.refused(413), "payload_too_large");
    let nowhere = json!({"url": format!("http://127.0.0.1:{}/media/none", house.network.port)});
    assert_eq!(refused("sendFile", nowhere).await.refused(422), "file_not_fetched");
    let song = json!({"mimetype": "audio/mpeg", "data": PNG});
    assert_eq!(refused("sendVoice", song).await.refused(422), "not_convertible");
    assert_eq!(house.network.messages("491700002").await.len(), count, "what was refused has not left");
    house.close().await;
}

/// A second of a tone, 8,000 samples.
fn tone() -> Vec<u8> {
    let mut wav = b"RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
    wav.extend(b"\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00");
    wav.extend((0..8000).map(|at| if at / 10 % 2 == 0 { 100 } else { 156 }));
    wav
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_leaves_as_a_voice_message_and_a_moving_picture_as_a_film() {
    /// Four by four points.
    const GIF: &str = "R0lGODlhBAAEAJEAAP8AAAAA/wAAAAAAACwAAAAABAAEAAACCkSIMGBAhAgDBgUAOw==";
    let mut house = linked(&[]).await;
    let recording = json!({"mimetype": "audio/wav", "filename": "song.wav", "data": STANDARD.encode(tone())});
    let picture = json!({"mimetype": "image/gif", "data": GIF});
    for (route, file, kind, mimetype, (place, mark)) in [
        ("sendVoice", recording.clone(), "ptt", "audio/ogg; codecs=opus", (0, b"OggS")),
        ("sendVideo", picture, "video", "video/mp4", (4, b"ftyp")),
    ] {
        let sent = house.post(&format!("/api/{route}"), json!({"chatId": BOB, "file": file, "convert": true})).await;
        assert_eq!(sent["media"]["mimetype"], mimetype);
        assert_eq!(shown(&house).await["type"], kind);
        let made = fetch(&house, &sent["media"]["url"], &[("x-api-key", KEY)]).await.bytes;
        assert_eq!(made[place..place + 4], mark[..], "{route}");
        assert_eq!(shown(&house).await["data"]["filehash"], hash(&made));
    }
    house.close().await;
    house.set("WARDROOM__MEDIA__FFMPEG", "");
    house.open().await;
    house.is("default", "WORKING").await;
    let body = json!({"chatId": BOB, "file": recording, "convert": true});
    assert_eq!(house.ask("POST", "/api/sendVoice", Some(body)).await.refused(422), "not_convertible");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wanted_twice_is_fetched_and_made_once() {
    let house = linked(&[]).await;
    // A host that is there once.
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.png", host.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut guest, _) = host.accept().await.unwrap();
        let _ = guest.read(&mut [0; 4096]).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\ngood";
        guest.write_all(answer).await.unwrap();
    });
    let song = json!({"mimetype": "audio/wav", "data": STANDARD.encode(tone())});
    for (route, body) in [
        ("sendImage", json!({"chatId": BOB, "file": {"url": url}})),
        ("sendVoice", json!({"chatId": BOB, "file": song, "convert": true})),
    ] {
        let ask = async |body: &Value| {
            let url = format!("http://127.0.0.1:{}/api/{route}", house.http);
            let request = reqwest::Client::new().post(url).header("x-api-key", KEY).header("idempotency-key", route);
            Answer::of(request.json(body).send().await.unwrap()).await
        };
        let (first, again) = (ask(&body).await.ok(), ask(&body).await.ok());
        assert_eq!((&first["id"], &first["media"]), (&again["id"], &again["media"]), "{route}");
        let mut other = body.clone();
        other["caption"] = json!("another");
        assert_eq!(ask(&other).await.refused(422), "idempotency_key_reused", "{route}");
    }
    assert_eq!(house.network.messages("491700002").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_name_at_the_same_time_are_one_whatever_their_host_sends() {
    let house = linked(&[("WARDROOM__POOL__WARM_SPARES", "0")]).await;
    // A host that answers all of them at once, each with another file.
    const REQUESTS: usize = 4;
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.png", host.local_addr().unwrap());
    tokio::spawn(async move {
        let mut guests = vec![];
        while guests.len() < REQUESTS {
            guests.push(host.accept().await.unwrap().0);
        }
        for (number, mut guest) in guests.into_iter().enumerate() {
            let _ = guest.read(&mut [0; 4096]).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 6";
            guest.write_all(format!("{head}\r\n\r\nfile {number}").as_bytes()).await.unwrap();
        }
    });
    let body = json!({"chatId": BOB, "file": {"url": url}});
    let ask = || async {
        let url = format!("http://127.0.0.1:{}/api/sendImage", house.http);
        let request = reqwest::Client::new().post(url).header("x-api-key", KEY).header("idempotency-key", "one");
        Answer::of(request.json(&body).send().await.unwrap()).await.ok()
    };
    let answers = futures_util::future::join_all((0..REQUESTS).map(|_| ask())).await;
    let first = &answers[0];
    assert!(answers.iter().all(|one| (&one["id"], &one["media"]) == (&first["id"], &first["media"])), "{answers:?}");
    assert_eq!(house.network.messages("491700002").await.len(), 1);
    let file = fetch(&house, &first["media"]["url"], &[("x-api-key", KEY)]).await.bytes;
    assert_eq!(shown(&house).await["data"]["filehash"], hash(&file));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_came_is_passed_on() {
    let house = linked(&[("WARDROOM__MEDIA__FETCH", "lazily")]).await;
    for (kind, mimetype) in [("image", "image/png"), ("ptt", "audio/ogg"), ("document", "application/pdf")] {
        let bytes = noise(100_000);
        let message = bob(&house, kind, mimetype, "&text=look", bytes.clone()).await;
        let copy = house.post("/api/forwardMessage", json!({"chatId": BOB, "messageId": message["id"]})).await;
        assert_eq!((&copy["fromMe"], &copy["body"]), (&json!(true), &message["body"]), "{kind}");
        let seen = shown(&house).await;
        assert_eq!((&seen["type"], &seen["data"]["filehash"]), (&json!(kind), &json!(hash(&bytes))));
    }
    // Asked again, it is the same copy, whatever became of the original.
    let message = bob(&house, "image", "image/png", "&text=first", noise(1000)).await;
    let again = async || {
        let url = format!("http://127.0.0.1:{}/api/forwardMessage", house.http);
        let request = reqwest::Client::new().post(url).header("x-api-key", KEY).header("idempotency-key", "copy");
        let body = json!({"chatId": BOB, "messageId": message["id"]});
        Answer::of(request.json(&body).send().await.unwrap()).await.ok()
    };
    let copy = again().await;
    let target = message["id"].as_str().unwrap().split('_').nth(2).unwrap();
    let edit = json!({"to": "491700001", "kind": "edit", "text": "second", "data": {"target": target}});
    house.network.ask("POST", "/api/phones/491700002/messages", Some(edit)).await.ok();
    until("the original is edited", SOON, || async {
        let all = house.messages("default", BOB).await;
        all.iter().any(|one| one["id"] == message["id"] && one["body"] == "second").then_some(())
    })
    .await;
    assert_eq!((&again().await["id"], &copy["body"]), (&copy["id"], &json!("first")));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_come_are_fetched_at_once_or_when_they_are_asked_for() {
    let mut house = linked(&[]).await;
    let song = noise(1_500_000);
    let message = bob(&house, "ptt", "audio/ogg", "&text=listen", song.clone()).await;
    assert_eq!((&message["hasMedia"], &message["body"]), (&json!(true), &json!("listen")));
    assert_eq!(message["media"]["mimetype"], "audio/ogg");
    let url = message["media"]["url"].clone();
    assert!(url.as_str().unwrap().ends_with(".oga"), "{url}");
    until("it is fetched at once", SOON, || async { (stored(&house).len() == 1).then_some(()) }).await;
    let key = ("x-api-key", KEY);
    let whole = fetch(&house, &url, &[key]).await;
    assert!(whole.bytes == song);
    assert_eq!((whole.headers["accept-ranges"].to_str().unwrap(), whole.headers.contains_key("etag")), ("bytes", true));
    let part = fetch(&house, &url, &[key, ("range", "bytes=1048570-1048585")]).await;
    assert_eq!((part.status, part.bytes.as_slice()), (206, &song[1_048_570..1_048_586]));
    assert_eq!(part.headers["content-range"], "bytes 1048570-1048585/1500000");
    assert_eq!(fetch(&house, &url, &[key, ("range", "bytes=1500000-")]).await.status, 416);
    let tag = whole.headers["etag"].to_str().unwrap();
    assert_eq!(fetch(&house, &url, &[key, ("if-none-match", tag)]).await.status, 304);
    let by_query = json!(format!("{}?x-api-key={KEY}", url.as_str().unwrap()));
    assert!(fetch(&house, &by_query, &[]).await.bytes == song);
    assert_eq!(fetch(&house, &url, &[]).await.refused(401), "unauthorized");
    let stranger = house.tenant("other");
    assert_eq!(fetch(&house, &url, &[("x-api-key", &stranger)]).await.refused(404), "file_not_found");
    // The network has lost it since, and the server was killed.
    std::fs::remove_file(at_the_network(&house, &hash(&song))).unwrap();
    house.kill();
    let half = stored(&house)[0].with_extension("#1");
    std::fs::write(&half, "half of a file").unwrap();
    house.open().await;
    assert!(!half.exists(), "halves are removed at the start");
    assert!(fetch(&house, &url, &[key]).await.bytes == song);

    let config = json!({"config": {"network": "simulator", "media": {"fetch": "lazily"}}});
    house.ask("PUT", "/api/sessions/default", Some(config)).await.ok();
    house.is("default", "WORKING").await;
    let paper = noise(700_000);
    let message = bob(&house, "document", "application/pdf", "&filename=a.pdf", paper.clone()).await;
    assert_eq!(message["media"]["filename"], "a.pdf");
    let again = bob(&house, "image", "image/png", "", STANDARD.decode(PNG).unwrap()).await;
    assert_eq!(stored(&house).len(), 1);
    // Several who ask at the same time wait for the same.
    let keys = [key];
    let asked = (0..4).map(|_| fetch(&house, &message["media"]["url"], &keys));
    assert!(futures_util::future::join_all(asked).await.iter().all(|answer| answer.bytes == paper));
    assert_eq!(stored(&house).len(), 2);
    std::fs::remove_file(at_the_network(&house, &hash(&STANDARD.decode(PNG).unwrap()))).unwrap();
    assert_eq!(fetch(&house, &again["media"]["url"], &[key]).await.refused(404), "file_not_found");
    // A file of an account that logged out and came back is still the same file.
    house.ask("POST", "/api/sessions/default/logout", None).await.ok();
    let qr = house.qr("default").await;
    house.network.ask("POST", "/api/phones/491700001/scan", Some(json!({"qr": qr}))).await.ok();
    house.is("default", "WORKING").await;
    let file = json!({"mimetype": "application/pdf", "data": STANDARD.encode(&paper)});
    house.post("/api/sendFile", json!({"chatId": BOB, "file": file})).await;
    until("it leaves again", SOON, || async {
        (shown(&house).await["data"]["filehash"] == hash(&paper)).then_some(())
    })
    .await;
    assert_eq!(stored(&house).len(), 2);
    house.ask("POST", "/api/sessions/default/stop", None).await.ok();
    assert_eq!(fetch(&house, &again["media"]["url"], &[key]).await.refused(422), "session_status");
    assert!(fetch(&house, &message["media"]["url"], &[key]).await.bytes == paper, "what is here needs no session");
    house.ask("DELETE", "/api/sessions/default", None).await.ok();
    until("a deleted session leaves no file", SOON, || async { stored(&house).is_empty().then_some(()) }).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_leaves_once_whenever_the_server_is_killed() {
    let mut house = linked(&[("WARDROOM__POOL__WARM_SPARES", "0")]).await;
    let moments = ["file.stored", "outbox.committed", "outbox.to_page", "page.sent", "outbox.to_mark"];
    // A status update has an id that the page gives it.
    let routes = [("sendFile", moments.as_slice()), ("default/status/image", &["page.sent", "outbox.to_mark"])];
    let moments = routes.iter().flat_map(|(route, moments)| moments.iter().map(move |moment| (*route, *moment)));
    for (n, (route, moment)) in moments.enumerate() {
        house.kill();
        house.failpoint = Some(format!("kill:{moment}@1"));
        house.open().await;
        house.is("default", "WORKING").await;
        let bytes = noise(300_000 + n);
        let file = json!({"mimetype": "image/png", "data": STANDARD.encode(&bytes)});
        let body = json!({"chatId": BOB, "contacts": [BOB], "file": file});
        let url = format!("http://127.0.0.1:{}/api/{route}", house.http);
        let send = || {
            let key = format!("file {n}");
            reqwest::Client::new().post(&url).header("x-api-key", KEY).header("idempotency-key", key).json(&body).send()
        };
        assert!(send().await.is_err(), "{moment}: the server is still there");
        until("the server is dead", SOON, || {
            let ended = house.ended();
            async move { ended.then_some(()) }
        })
        .await;
        house.failpoint = None;
        house.open().await;
        house.is("default", "WORKING").await;
        let answer = Answer::of(send().await.unwrap()).await.ok();
        let theirs = until("it is there", SOON, || async {
            let all = house.network.messages("491700002").await;
            let theirs: Vec<_> = all.into_iter().filter(|one| one["data"]["filehash"] == hash(&bytes)).collect();
            (!theirs.is_empty()).then_some(theirs)
        })
        .await;
        assert_eq!(theirs.len(), 1, "{route}, {moment}");
        assert!(answer["id"].as_str().unwrap().contains(theirs[0]["id"].as_str().unwrap()), "{moment}: {answer}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_may_be_kept_in_a_bucket() {
    let bucket = Bucket::open().await;
    let endpoint = format!("http://127.0.0.1:{}", bucket.port);
    let mut house = linked(&[
        ("WARDROOM__MEDIA__S3_BUCKET", "files"),
        ("WARDROOM__MEDIA__S3_ENDPOINT", &endpoint),
        ("WARDROOM__MEDIA__S3_PREFIX", "wardroom/prod"),
        ("WARDROOM__MEDIA__S3_ACCESS_KEY", ACCESS_KEY),
        ("WARDROOM__MEDIA__S3_SECRET_KEY", "a secret"),
    ])
    .await;
    // One that fits into one part, and one that does not.
    for length in [100_000, 12_000_000] {
        let bytes = noise(length);
        let file = json!({"mimetype": "a/b", "data": STANDARD.encode(&bytes)});
        let sent = house.post("/api/sendFile", json!({"chatId": BOB, "file": file})).await;
        until("it has left", SOON, || async {
            (shown(&house).await["data"]["filehash"] == hash(&bytes)).then_some(())
        })
        .await;
        let key = ("x-api-key", KEY);
        assert!(fetch(&house, &sent["media"]["url"], &[key]).await.bytes == bytes);
        let last = fetch(&house, &sent["media"]["url"], &[key, ("range", "bytes=-10")]).await;
        assert_eq!(last.bytes, bytes[length - 10..]);
    }
    let objects = bucket.objects();
    assert_eq!((objects.len(), bucket.in_parts()), (2, 1));
    assert!(objects.keys().all(|name| name.starts_with("wardroom/prod/")), "{:?}", objects.keys());
    assert!(stored(&house).is_empty(), "nothing is kept on this disk");
    house.ask("DELETE", "/api/sessions/default", None).await.ok();
    until("a deleted session leaves nothing there", SOON, || async { bucket.objects().is_empty().then_some(()) }).await;
    house.close().await;
}
