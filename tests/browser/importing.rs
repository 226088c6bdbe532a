//! Profiles that another program kept become sessions, without a scan.

use std::fs::File;
use std::path::{Path, PathBuf};
use wardroom_load::house::{House, SOON, signal, until};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_another_program_is_taken_over_without_a_scan() {
    taken_over(|profile, elsewhere| {
        std::fs::rename(profile, elsewhere.join("session-shop")).unwrap();
        elsewhere.to_owned()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_waha_is_taken_over_without_a_scan() {
    taken_over(|profile, elsewhere| {
        std::fs::create_dir_all(elsewhere.join("webjs/shop")).unwrap();
        std::fs::rename(profile, elsewhere.join("webjs/shop/session-shop")).unwrap();
        elsewhere.join("webjs")
    })
    .await;
}

/// As RemoteAuth makes them: the databases of the page and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_remote_auth_is_taken_over_without_a_scan() {
    taken_over(|profile, elsewhere| {
        let path = elsewhere.join("RemoteAuth-shop.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for part in ["Default/IndexedDB", "Default/Local Storage"] {
            pack(&mut zip, profile, &profile.join(part));
        }
        zip.finish().unwrap();
        path
    })
    .await;
}

/// By which the simulator's page knows again that it is linked.
const LOGIN: &[u8] = b"wa-sim-device";

fn pack(zip: &mut ZipWriter<File>, root: &Path, path: &Path) {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().for_each(|entry| pack(zip, root, &entry.unwrap().path()));
    }
    zip.start_file_from_path(path.strip_prefix(root).unwrap(), SimpleFileOptions::default()).unwrap();
    std::io::copy(&mut File::open(path).unwrap(), zip).unwrap();
}

/// `leave` puts a profile of a linked account where the other program would, and answers what is to be imported.
async fn taken_over(leave: impl FnOnce(&Path, &Path) -> PathBuf) {
    let mut first = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    first.network.phone("491700002", "Bob").await;
    first.link("default", "491700001").await;
    let device = first.network.devices("491700001").await;
    let browser = first.browsers()[0];
    let line = std::fs::read_to_string(format!("/proc/{browser}/cmdline")).unwrap();
    let profile = line.split('\0').find_map(|argument| argument.strip_prefix("--user-data-dir=")).unwrap();
    // As the other program would leave it after a while: Chromium writes what a page keeps seconds later, and does not always when it is
    // told to end before. Our own server would seal it.
    let kept = Path::new(profile).join("Default/Local Storage/leveldb");
    until("the login is written", SOON, || async {
        let files = std::fs::read_dir(&kept).ok()?.flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
        let mut texts = logs.filter_map(|log| std::fs::read(log.path()).ok());
        texts.any(|text| text.windows(LOGIN.len()).any(|part| part == LOGIN)).then_some(())
    })
    .await;
    signal(browser, "TERM");
    until("the browser is closed", SOON, || async { (!first.browsers().contains(&browser)).then_some(()) }).await;
    first.kill();
    until("the browser is gone", SOON, || async { first.browsers().is_empty().then_some(()) }).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let path = leave(Path::new(profile), elsewhere.path());

    let url = format!("http://127.0.0.1:{}/", first.network.port);
    let mut second =
        House::with(&[("WARDROOM__SIMULATOR__URL", &url), ("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    let import = ["import", path.to_str().unwrap(), "--network", "simulator"];
    let busy = second.command().args(import).output().unwrap();
    assert!(String::from_utf8_lossy(&busy.stderr).contains("another Wardroom server is using"));
    second.close().await;
    assert!(second.run(&import).contains("shop is here"));
    assert!(second.run(&["audit", "export", "--tenant", "default"]).contains("session imported"));
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
