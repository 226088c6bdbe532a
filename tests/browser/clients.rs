//! A client library that others wrote for WAHA, unmodified.

use std::process::Command;
use wardroom_load::house::{House, KEY, SOON, root, until};

#[tokio::test(flavor = "multi_thread")]
async fn waha_py_finds_what_it_knows() {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.network.send("491700002", "491700001", "hello").await;
    until("Bob is heard", SOON, || async { house.messages("default", "491700002@c.us").await.pop() }).await;
    let clients = root().join("tests/clients");
    let installed = clients.join("installed");
    assert!(installed.is_dir(), "run deploy/setup.sh --test");
    let mut client = Command::new("python3");
    client.arg("-B").arg(clients.join("waha_py.py")).env("PYTHONPATH", installed);
    client.env("WARDROOM_URL", format!("http://127.0.0.1:{}", house.http)).env("WARDROOM_KEY", KEY);
    let out = tokio::task::spawn_blocking(move || client.output().unwrap()).await.unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
