//! What can happen to a session's browser, and how long it takes until that is noticed and over.

use crate::house::{House, processes, until};
use crate::referee::Player;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the browser and all its helpers.
    KillBrowser,
    /// kill -9 of the page's process.
    CrashPage,
    /// The page's thread never comes back.
    HangPage,
    /// SIGSTOP of all the browser's processes.
    StopBrowser,
    /// The network closes the connection and takes it back at once.
    DropSocket,
    /// The connection stays open and nothing goes through it.
    DeadSocket,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::KillBrowser, Self::CrashPage, Self::HangPage, Self::StopBrowser, Self::DropSocket, Self::DeadSocket];

    /// How soon it has to be noticed.
    pub fn detection_goal(self) -> Duration {
        match self {
            Self::KillBrowser | Self::CrashPage => Duration::from_secs(1),
            _ => Duration::from_secs(6),
        }
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillBrowser => "kill -9 of the browser",
            Self::CrashPage => "renderer crash",
            Self::HangPage => "hung page",
            Self::StopBrowser => "SIGSTOP",
            Self::DropSocket => "dropped socket",
            Self::DeadSocket => "dead socket",
        }
    }
}

/// Milliseconds by the wall clock, which the server's timeline uses as well.
pub fn unix_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Processes of a group with their command lines.
pub fn group(leader: u32) -> Vec<(u32, String)> {
    let of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
    };
    processes().into_iter().filter(|(pid, _)| of(*pid) == Some(leader)).collect()
}

/// The process id of a session's browser.
pub async fn browser_of(house: &House, player: &Player) -> u32 {
    until("the worker is known", Duration::from_secs(20), || async {
        let branch = house.branch(&player.key, &player.session).await;
        u32::try_from(branch["worker"]["pid"].as_u64()?).ok()
    })
    .await
}

/// Lets it happen to one session; answers when, in Unix milliseconds.
pub async fn strike(house: &House, player: &Player, fault: Fault) -> u64 {
    let browser = browser_of(house, player).await;
    let tell = async |kind: &str, seconds| house.network.fault(&player.number, kind, seconds).await;
    let all = group(browser);
    let at = unix_ms();
    match fault {
        Fault::KillBrowser => signal_all(all.iter().map(|(pid, _)| *pid), "KILL"),
        Fault::StopBrowser => signal_all(all.iter().map(|(pid, _)| *pid), "STOP"),
        Fault::CrashPage => {
            let page = all.iter().filter(|(_, line)| line.contains("--type=renderer")).map(|(pid, _)| *pid);
            signal_all(page, "KILL");
        }
        Fault::HangPage => tell("hang_page", 600).await,
        Fault::DropSocket => tell("drop_socket", 0).await,
        Fault::DeadSocket => tell("dead_socket", 0).await,
    }
    at
}

fn signal_all(pids: impl Iterator<Item = u32>, name: &str) {
    for pid in pids {
        // Helpers of a browser that was just killed may be gone already.
        let mut kill = std::process::Command::new("kill");
        let _ = kill.args([format!("-{name}"), pid.to_string()]).stderr(std::process::Stdio::null()).status();
    }
}

/// How a fault went for one session.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// From the fault to its detection.
    pub detected: Duration,
    /// From the detection to WORKING.
    pub recovered: Duration,
}

/// Waits until a session that was struck at `at` is WORKING again, and reads its timeline.
pub async fn course(house: &House, player: &Player, at: u64, patience: Duration) -> Course {
    until(&format!("{} is back", player.session), patience, || async {
        let branch = house.branch(&player.key, &player.session).await;
        let steps = branch["timeline"].as_array()?.clone();
        let later = |names: &[&str], after: u64| {
            let named = |step: &&Value| names.iter().any(|name| step["step"] == *name);
            let times = steps.iter().filter(named).filter_map(|step| step["at"].as_u64());
            times.filter(|time| *time >= after).min()
        };
        let detected = later(&["ended", "connecting"], at)?;
        let back = later(&["ready"], detected)?;
        (branch["status"] == "WORKING").then_some(Course {
            detected: Duration::from_millis(detected - at),
            recovered: Duration::from_millis(back - detected),
        })
    })
    .await
}
