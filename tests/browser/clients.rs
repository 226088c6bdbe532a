//! Client libraries that others wrote, unmodified: one for WAHA, and one that a generator makes from the API's document.

use std::path::{Path, PathBuf};
use std::process::Command;
use wardroom_load::house::{House, KEY, SOON, root, until};

fn clients() -> PathBuf {
    let clients = root().join("tests/clients");
    assert!(clients.join("installed").is_dir(), "run deploy/setup.sh --test");
    clients
}

fn python(beside: &Path) -> Command {
    let mut python = Command::new("python3");
    let path = format!("{}:{}", clients().join("installed").display(), beside.display());
    python.arg("-B").env("PYTHONPATH", path);
    python
}

async fn runs(mut command: Command) {
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(out.status.success() && !said.contains("WARNING"), "{said}");
}

/// Runs a script against a session `default`, to which Bob has written.
async fn walks(script: &str, beside: &Path) {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    house.network.send("491700002", "491700001", "hello").await;
    until("Bob is heard", SOON, || async { house.messages("default", "491700002@c.us").await.pop() }).await;
    let mut client = python(beside);
    client.arg(clients().join(script));
    client.env("WARDROOM_URL", format!("http://127.0.0.1:{}", house.http)).env("WARDROOM_KEY", KEY);
    runs(client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waha_py_finds_what_it_knows() {
    walks("waha_py.py", Path::new(".")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_made_from_the_document_works() {
    let made = tempfile::tempdir().unwrap();
    let config = made.path().join("config.yml");
    std::fs::write(&config, "post_hooks: []\n").unwrap();
    let mut generator = python(made.path());
    generator.args(["-m", "openapi_python_client", "generate", "--meta", "none", "--path"]);
    generator.arg(root().join("src/api/openapi.json")).arg("--config").arg(config);
    generator.arg("--output-path").arg(made.path().join("wardroom_client"));
    runs(generator).await;
    walks("generated.py", made.path()).await;
}
