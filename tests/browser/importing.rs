//! Profiles that another program kept become sessions, without a scan.

use wardroom_load::house::{House, SOON, signal, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_another_program_is_taken_over_without_a_scan() {
    let mut first = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    first.network.phone("491700002", "Bob").await;
    first.link("default", "491700001").await;
    let device = first.network.devices("491700001").await;
    let browser = first.browsers()[0];
    let line = std::fs::read_to_string(format!("/proc/{browser}/cmdline")).unwrap();
    let profile = line.split('\0').find_map(|argument| argument.strip_prefix("--user-data-dir=")).unwrap();
    // As the other program would leave it: closed in order, so that all is written. Our own server would seal it.
    signal(browser, "TERM");
    until("the browser is closed", SOON, || async { (!first.browsers().contains(&browser)).then_some(()) }).await;
    first.kill();
    until("the browser is gone", SOON, || async { first.browsers().is_empty().then_some(()) }).await;
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(profile, elsewhere.path().join("session-shop")).unwrap();

    let url = format!("http://127.0.0.1:{}/", first.network.port);
    let mut second =
        House::with(&[("WARDROOM__SIMULATOR__URL", &url), ("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let path = elsewhere.path().to_str().unwrap();
    let import = ["import", path, "--network", "simulator"];
    let busy = second.command().args(import).output().unwrap();
    assert!(String::from_utf8_lossy(&busy.stderr).contains("another Wardroom server is using"));
    second.close().await;
    assert!(second.run(&import).contains("shop is here"));
    let again = second.command().args(import).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists"));
    let nothing = second.command().args(["import", "migrations"]).output().unwrap();
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("holds no profile"));
    second.open().await;
    second.is("shop", "WORKING").await;
    assert_eq!(first.network.devices("491700001").await, device, "linked anew");
    first.network.send("491700002", "491700001", "still you?").await;
    until("the message is here", SOON, || async { second.messages("shop", "491700002@c.us").await.pop() }).await;
}
