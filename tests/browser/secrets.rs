//! No secret is in a log, a metric, a file, an environment or a command line, whatever the log filter says.

use base64::Engine as _;
use serde_json::json;
use std::path::Path;
use wardroom_load::house::{House, KEY, SOON, processes, until};

const BODY: &str = "canary-body-7f3a91c2d4";
const NAME: &str = "canary-name-51be07d9aa";
const METADATA: &str = "canary-metadata-90c1e5";

/// All the forms in which a text could be hidden in plain sight.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut forms =
        vec![canary.as_bytes().to_vec(), hex::encode(canary).into_bytes(), hex::encode_upper(canary).into_bytes()];
    // Base64 depends on where in a group the text begins; what is whole inside is searched.
    for shift in 0..3 {
        let text = base64.encode([vec![b'x'; shift], canary.as_bytes().to_vec()].concat());
        forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
    }
    let escaped: String = canary.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    forms.push(escaped.into_bytes());
    forms
}

pub fn search(place: &str, bytes: &[u8], canaries: &[String]) {
    for canary in canaries {
        for form in forms(canary) {
            assert!(!bytes.windows(form.len()).any(|part| part == form), "{canary} is in {place}");
        }
    }
    // A zstd frame anywhere in the file is opened as well.
    for at in bytes.windows(4).enumerate().filter(|(_, part)| *part == [0x28, 0xb5, 0x2f, 0xfd]).map(|(at, _)| at) {
        if let Ok(inside) = zstd::stream::decode_all(&bytes[at..])
            && !inside.is_empty()
        {
            search(&format!("{place}, inside zstd"), &inside, canaries);
        }
    }
}

fn search_files(dir: &Path, canaries: &[String]) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        // Profiles of live workers are the one exception.
        if path.ends_with("workers") || path.ends_with("kek.hex") {
            continue;
        }
        if path.is_dir() {
            count += search_files(&path, canaries);
        } else {
            search(&path.display().to_string(), &std::fs::read(&path).unwrap_or_default(), canaries);
            count += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_found_nowhere() {
    let house =
        House::with(&[("RUST_LOG", "trace,chromiumoxide::conn=trace,sqlx::query=trace"), ("RUST_BACKTRACE", "1")], &[])
            .await;
    house.network.phone("491700001", NAME).await;
    house.network.phone("491700002", NAME).await;
    let config =
        json!({"network": "simulator", "metadata": {"m": METADATA}, "webhooks": [{"url": "http://127.0.0.1:9/x"}]});
    house.post("/api/sessions", json!({"name": "default", "config": config})).await;
    let qr = house.qr("default").await;
    let code = house.post("/api/default/auth/request-code", json!({"phoneNumber": "491700001"})).await;
    let code = code["code"].as_str().unwrap().to_owned();
    house.network.ask("POST", "/api/phones/491700001/scan", Some(json!({"qr": qr}))).await.ok();
    house.is("default", "WORKING").await;
    house.network.send("491700002", "491700001", BODY).await;
    house.post("/api/sendText", json!({"chatId": "491700002", "text": BODY})).await;
    until("both are recorded", SOON, || async {
        (house.messages("default", "491700002@c.us").await.len() == 2).then_some(())
    })
    .await;
    let url = format!("http://127.0.0.1:{}/api/default/auth/qr?x-api-key={KEY}", house.http);
    reqwest::get(url).await.unwrap();
    // A page that breaks and a request that fails write more than others.
    house.network.fault("491700001", "crash_page", 1).await;
    house.is("default", "STARTING").await;
    house.is("default", "WORKING").await;

    let kek = std::fs::read_to_string(house.data().join("kek.hex")).unwrap();
    let qr_parts = qr.split(',').filter(|part| part.len() > 20).map(str::to_owned);
    let mut canaries: Vec<String> =
        vec![BODY.into(), NAME.into(), METADATA.into(), KEY.into(), code, kek.trim().to_owned()];
    canaries.extend(qr_parts);

    let log = house.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is as talkative as it gets");
    search("the log", log.as_bytes(), &canaries);
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", house.ops)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("wardroom_messages_total"));
    search("the metrics", metrics.as_bytes(), &canaries);
    for name in ["default", "491700001", "491700002"] {
        assert!(!metrics.contains(&format!("\"{name}\"")), "a metric tells of {name}");
    }
    for (pid, line) in processes().into_iter().filter(|(pid, _)| house.browsers().contains(pid)) {
        search("a command line", line.as_bytes(), &canaries);
        search("an environment", &std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default(), &canaries);
    }
    assert!(search_files(&house.data(), &canaries) > 4);
    let mut house = house;
    house.close().await;
    assert_eq!(std::fs::read_dir(house.data().join("workers")).unwrap().count(), 0, "no profile outlives a clean stop");
    search_files(&house.data(), &canaries);
}
