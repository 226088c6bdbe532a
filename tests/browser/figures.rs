//! The figures of the README: medians of 3, with a baseline measured in the same run. `make figures` prints them.

use futures_util::StreamExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use wardroom_load::house::{House, KEY, SOON, processes, until};

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

async fn cold_start() -> f64 {
    let mut house = House::start().await;
    house.close().await;
    std::fs::remove_dir_all(house.data()).unwrap();
    ms(house.open().await)
}

async fn to_the_code(warm: bool) -> f64 {
    let spares = if warm { "1" } else { "0" };
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", spares)], &[]).await;
    if warm {
        until("a spare is there", SOON, || async {
            let metrics =
                reqwest::get(format!("http://127.0.0.1:{}/metrics", house.ops)).await.ok()?.text().await.ok()?;
            (metrics.contains("wardroom_workers 1") && !house.browsers().is_empty()).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let begun = Instant::now();
    house.create("default").await;
    house.is("default", "SCAN_QR_CODE").await;
    ms(begun.elapsed())
}

async fn to_the_socket() -> f64 {
    let house = House::start().await;
    house.network.phone("491700002", "Bob").await;
    house.link("default", "491700001").await;
    let mut request = format!("ws://127.0.0.1:{}/ws?events=message", house.http).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", KEY.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut all = vec![];
    for n in 0..50 {
        let begun = Instant::now();
        house.network.send("491700002", "491700001", &format!("message {n}")).await;
        while !socket.next().await.unwrap().unwrap().is_text() {}
        all.push(ms(begun.elapsed()));
    }
    median(all)
}

/// Proportional set size of processes, in MB: what each adds to the machine.
fn pss(pids: &[u32]) -> f64 {
    let of = |pid: &u32| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default().to_owned();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0.0)
    };
    pids.iter().map(of).sum::<f64>() / 1024.0
}

fn rss(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// All processes of the groups that these processes lead.
fn with_children(leaders: &[u32]) -> Vec<u32> {
    let group = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
    };
    processes()
        .into_iter()
        .map(|(pid, _)| pid)
        .filter(|pid| group(*pid).is_some_and(|one| leaders.contains(&one)))
        .collect()
}

/// A browser as puppeteer starts it, with the flags that its users commonly add.
fn plain_browser(dir: &std::path::Path, url: &str) -> Child {
    use std::os::unix::process::CommandExt;
    let flags = "--headless=new --no-sandbox --disable-setuid-sandbox --disable-dev-shm-usage --disable-gpu --no-first-run \
                 --disable-background-networking --disable-background-timer-throttling --disable-backgrounding-occluded-windows \
                 --disable-breakpad --disable-component-update --disable-default-apps --disable-extensions --disable-hang-monitor \
                 --disable-ipc-flooding-protection --disable-popup-blocking --disable-prompt-on-repost --disable-renderer-backgrounding \
                 --disable-sync --disable-quic --enable-automation --export-tagged-pdf --force-color-profile=srgb \
                 --metrics-recording-only --no-default-browser-check --password-store=basic --use-mock-keychain --mute-audio";
    Command::new("/usr/lib/chromium/chromium")
        .args(flags.split_whitespace())
        .arg(format!("--user-data-dir={}", dir.display()))
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("the baseline needs Debian's chromium: apt-get install chromium")
}

/// MB per session: of ours, and of one plain browser each.
async fn memory() -> (f64, f64) {
    const SESSIONS: u32 = 5;
    let settle = Duration::from_secs(8);
    let house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    for n in 0..SESSIONS {
        house.link(&format!("s{n}"), &format!("49170000{n}")).await;
    }
    tokio::time::sleep(settle).await;
    let browsers = house.browsers();
    assert_eq!(browsers.len(), SESSIONS as usize);
    let ours = (pss(&with_children(&browsers)) + rss(house.pid())) / f64::from(SESSIONS);
    let url = format!("http://127.0.0.1:{}/", house.network.port);
    let dirs: Vec<_> = (0..SESSIONS).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut plain: Vec<_> = dirs.iter().map(|dir| plain_browser(dir.path(), &url)).collect();
    tokio::time::sleep(settle).await;
    let leaders: Vec<_> = plain.iter().map(Child::id).collect();
    let theirs = pss(&with_children(&leaders)) / f64::from(SESSIONS);
    for browser in &mut plain {
        let _ = Command::new("kill").args(["-9", "--", &format!("-{}", browser.id())]).status();
        let _ = browser.wait();
    }
    (ours, theirs)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and takes minutes: make figures"]
async fn figures() {
    let (mut start, mut cold, mut warm, mut event, mut ours, mut theirs) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for round in 1..=3 {
        start.push(cold_start().await);
        cold.push(to_the_code(false).await);
        warm.push(to_the_code(true).await);
        event.push(to_the_socket().await);
        let (mine, plain) = memory().await;
        ours.push(mine);
        theirs.push(plain);
        eprintln!("round {round} of 3 done");
    }
    let (ours, theirs) = (median(ours), median(theirs));
    eprintln!("| figure | median of 3 |\n|---|---|");
    eprintln!("| cold start to ready | {:.0} ms |", median(start));
    eprintln!("| POST session → QR, cold | {:.0} ms |", median(cold));
    eprintln!("| POST session → QR, with a warm worker | {:.0} ms |", median(warm));
    eprintln!("| message sent at a phone → event on the socket | {:.0} ms |", median(event));
    eprintln!("| memory per linked session | {ours:.0} MB |");
    eprintln!("| one plain browser on the same page | {theirs:.0} MB |");
    eprintln!("| share | {:.0} % |", ours / theirs * 100.0);
}
