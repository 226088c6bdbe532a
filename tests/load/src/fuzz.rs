//! Calls that a machine makes up from the API's document: none may be answered with a 5xx, or with a status that the document does not
//! know. Three passes: a linked session's name and chat in every call, so that the calls get as far
//! as its browser; whatever comes to its mind; and the routes of people and keys as a person. What they leave out is called before, while everybody is who they were.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use wardroom_load::house::{House, KEY, root, until};
use wardroom_load::report::progress;

/// What the passes do not call: what happens does not end, the second pass wants its session to stay linked, and whoever deletes users
/// and keys is sooner or later deleted.
const ENDLESS: &str = "^/api/events$|^/api/(keys|users)";
const ENDING: &str =
    "/(logout|stop|restart|reconnect|start)$|^/api/sessions/\\{session\\}$|^/api/events$|^/api/(keys|users)";
const OF_PEOPLE: &str = "^/api/(auth|users|keys)";
/// What would end the person's own stay.
const LEAVING: &str = "^/api/auth/(logout|sign-ins)$";

struct Pass<'a> {
    name: &'a str,
    credential: String,
    parameters: &'a str,
    paths: &'a [&'a str],
}

/// Makes so many calls of each kind and route; answers whether all were answered as they should be.
pub async fn run(examples: u32, seed: u32) -> bool {
    let installed = root().join("tests/clients/installed-fuzz");
    assert!(installed.is_dir(), "run deploy/setup.sh --fuzz");
    // The person's token is good until the end.
    let house = House::with(&[("WARDROOM__GUARD__TOKEN_S", "3600")], &[]).await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.network.send("491700002", "491700001", "hello").await;
    let chat = "491700002@c.us";
    until("Bob is heard", Duration::from_secs(20), || async { house.messages("default", chat).await.pop() }).await;
    house.person("anna", "owner").await;
    let dir = tempfile::tempdir().unwrap();
    let document = house.run(&["openapi"]);
    std::fs::write(dir.path().join("openapi.json"), &document).unwrap();
    let mut clean = streamed(&house, &serde_json::from_str(&document).unwrap(), 100 * examples, seed).await;
    for (method, path) in [("DELETE", "/api/auth/sign-ins"), ("POST", "/api/auth/logout")] {
        let (access, _) = house.sign_in("anna").await;
        let statuses =
            [house.ask_as(&access, method, path, None).await, house.ask_as(&access, method, path, None).await];
        assert_eq!(statuses.map(|answer| answer.status), [204, 401], "{method} {path}");
    }
    let (access, _) = house.sign_in("anna").await;
    let known = format!("[parameters]\n\"path.session\" = \"default\"\n\"path.chat\" = {}\n", json!(chat));
    let passes = [
        Pass {
            name: "a linked session",
            credential: format!("x-api-key: {KEY}"),
            parameters: &known,
            paths: &["--exclude-path-regex", ENDING],
        },
        Pass {
            name: "anything",
            credential: format!("x-api-key: {KEY}"),
            parameters: "",
            paths: &["--exclude-path-regex", ENDLESS],
        },
        Pass {
            name: "people",
            credential: format!("authorization: Bearer {access}"),
            parameters: "",
            paths: &["--include-path-regex", OF_PEOPLE, "--exclude-path-regex", LEAVING],
        },
    ];
    for pass in passes {
        progress(&format!("{}: {examples} calls of each kind", pass.name));
        clean &= made(&house, &installed, dir.path(), &pass, examples, seed).await;
    }
    // Somebody who is not let in is answered 401 everywhere, which would be fine.
    let me = house.ask_as(&access, "GET", "/api/auth/me", None).await;
    assert_eq!(me.status, 200, "the person has left meanwhile: their calls told nothing");
    clean
}

/// Opens so many streams of events, with parameters that are made up, and closes them.
async fn streamed(house: &House, document: &Value, calls: u32, seed: u32) -> bool {
    progress(&format!("streams: {calls} calls"));
    let route = &document["paths"]["/api/events"]["get"];
    let (client, mut chance, mut seen) = (Client::new(), StdRng::seed_from_u64(seed.into()), BTreeSet::new());
    for _ in 0..calls {
        let mut request = client.get(format!("http://127.0.0.1:{}/api/events", house.http)).header("x-api-key", KEY);
        for parameter in route["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let value: Vec<u8> = match chance.random_range(0..4) {
                0 => continue,
                1 => parameter["example"].as_str().unwrap().into(),
                2 => b"*,j0-\xff\0%&9"[..].iter().copied().filter(|_| chance.random_bool(0.3)).collect(),
                _ => (0..chance.random_range(0..100)).map(|_| chance.random()).collect(),
            };
            request = match HeaderValue::from_bytes(&value) {
                _ if parameter["in"] == "query" => request.query(&[(name, String::from_utf8_lossy(&value))]),
                Ok(value) => request.header(name, value),
                Err(_) => request,
            };
        }
        seen.insert(request.send().await.unwrap().status());
    }
    let wrong: Vec<_> =
        seen.iter().filter(|s| s.is_server_error() || route["responses"][s.as_str()].is_null()).collect();
    progress(&format!("streams: answered with {seen:?}; not in the document {wrong:?}"));
    assert!(seen.contains(&StatusCode::OK) && seen.contains(&StatusCode::BAD_REQUEST), "some make sense, some do not");
    wrong.is_empty()
}

async fn made(house: &House, installed: &Path, dir: &Path, pass: &Pass<'_>, examples: u32, seed: u32) -> bool {
    std::fs::write(dir.join("schemathesis.toml"), pass.parameters).unwrap();
    let mut command = Command::new("python3");
    command.current_dir(dir).env("PYTHONPATH", installed).arg(installed.join("bin/st"));
    command.args(["run", "openapi.json", "--url", &format!("http://127.0.0.1:{}", house.http)]);
    command.args(["--checks", "not_a_server_error,status_code_conformance", "--phases", "examples,coverage,fuzzing"]);
    command.args(["--max-examples", &examples.to_string(), "--seed", &seed.to_string(), "--request-timeout", "60"]);
    command.args(["--continue-on-failure", "--no-color", "--warnings", "off"]).args(pass.paths);
    command.args(["--header", &pass.credential]);
    tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap().success()
}
