//! Sessions are started and stopped again and again: no process, zombie, directory, port or descriptor is left behind.

use crate::house::House;
use crate::report::progress;
use serde_json::json;
use std::collections::HashSet;
use std::path::Path;

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belongings {
    /// Descriptors of the server.
    pub descriptors: usize,
    /// Its threads.
    pub threads: usize,
    /// Zombies that it has not waited for.
    pub zombies: usize,
    /// Browsers.
    pub browsers: usize,
    /// Listening sockets of the server and its browsers.
    pub ports: usize,
    /// Files and directories beside the profiles.
    pub files: usize,
}

fn count(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

/// What the house has just now.
pub fn belongings(house: &House) -> Belongings {
    let proc = Path::new("/proc").join(house.pid().to_string());
    let children = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        (fields.first() == Some(&"Z")) && fields.get(1).is_some_and(|parent| *parent == house.pid().to_string())
    };
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let browsers = house.browsers();
    let held = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let name = |path: std::path::PathBuf| std::fs::read_link(path).ok()?.to_str().map(str::to_owned);
    let open = browsers.iter().copied().chain([house.pid()]).flat_map(held).filter_map(|file| name(file.path()));
    let open: HashSet<String> = open.collect();
    let listening = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ours = |fields: &Vec<&str>| fields[3] == "0A" && open.contains(&format!("socket:[{}]", fields[9]));
        fields.filter(ours).count()
    };
    Belongings {
        descriptors: count(&proc.join("fd")),
        threads: count(&proc.join("task")),
        zombies: pids.filter(|pid| children(*pid)).count(),
        browsers: browsers.len(),
        ports: listening("/proc/net/tcp") + listening("/proc/net/tcp6"),
        files: count(&house.data().join("workers")),
    }
}

/// Starts and stops a session so often, four at a time; answers what was there before and after.
pub async fn run(cycles: usize) -> (Belongings, Belongings) {
    let settings = [("WARDROOM__POOL__WARM_SPARES", "0"), ("WARDROOM__POOL__STARTS_PER_SECOND", "100")];
    let house = House::with(&settings, &[]).await;
    for n in 0..4 {
        house.create(&format!("s{n}")).await;
    }
    let round = async |n: usize| {
        let name = format!("s{n}");
        house.is(&name, "SCAN_QR_CODE").await;
        house.post(&format!("/api/sessions/{name}/stop"), json!({})).await;
    };
    // The first round is warm-up: pools and caches fill.
    tokio::join!(round(0), round(1), round(2), round(3));
    let before = belongings(&house);
    let lane = async |n: usize| {
        for cycle in 0..cycles / 4 {
            house.post(&format!("/api/sessions/s{n}/start"), json!({})).await;
            round(n).await;
            if n == 0 && cycle % 25 == 24 {
                progress(&format!("{} of {cycles} cycles", (cycle + 1) * 4));
            }
        }
    };
    tokio::join!(lane(0), lane(1), lane(2), lane(3));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    (before, belongings(&house))
}

/// Whether nothing has piled up. Threads and descriptors of pools may come and go by a few.
pub fn is_clean(before: &Belongings, after: &Belongings) -> bool {
    after.zombies == 0
        && after.browsers == 0
        && after.files == before.files
        && after.ports <= before.ports
        && after.descriptors <= before.descriptors + 8
        && after.threads <= before.threads + 8
}
