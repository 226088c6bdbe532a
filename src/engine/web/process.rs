//! Processes of browsers: started from one long-lived thread, in a group of their own, and proven gone at the end.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

type Spawned = oneshot::Sender<io::Result<Child>>;

/// The thread that forks. The kernel sends the parent-death signal when the *thread* that forked ends, so it never does.
pub(super) struct Spawner {
    requests: mpsc::Sender<(Command, Spawned)>,
}

impl Spawner {
    pub fn start() -> io::Result<Self> {
        let (requests, waiting) = mpsc::channel::<(Command, Spawned)>();
        std::thread::Builder::new().name("browser-spawner".into()).spawn(move || {
            for (mut command, answer) in waiting {
                if let Err(Ok(mut child)) = answer.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })?;
        Ok(Self { requests })
    }

    pub async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let (answer, child) = oneshot::channel();
        self.requests.send((command, answer)).map_err(|_| io::Error::other("the spawner has ended"))?;
        child.await.map_err(io::Error::other)?
    }
}

/// Waits for a child in a thread of its own, so that no zombie is left; the receiver hears how it ended.
pub(super) fn reap(mut child: Child) -> io::Result<watch::Receiver<Option<String>>> {
    let (ended, hear) = watch::channel(None);
    std::thread::Builder::new().name("browser-reaper".into()).spawn(move || {
        let how = match child.wait() {
            Ok(status) => match status.signal() {
                Some(signal) => format!("the browser was killed by signal {signal}"),
                None => format!("the browser ended with code {}", status.code().unwrap_or(-1)),
            },
            Err(error) => format!("the browser cannot be waited for: {error}"),
        };
        ended.send_replace(Some(how));
    })?;
    Ok(hear)
}

/// When a process was started, in clock ticks since boot: with its pid it names one process for ever.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    stat(pid)?.split_whitespace().nth(19)?.parse().ok()
}

/// Fields of /proc/pid/stat after the command's name.
fn stat(pid: u32) -> Option<String> {
    let mut text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let name = text.rfind(')')?;
    text.drain(..=name);
    Some(text)
}

/// A process's group, if anything of the process is left. Its first thread can be a zombie while others still wait for a
/// disk and keep its files open and locked: no other browser may be started in its profile before they are gone, too.
fn group_of_living(stat: &str) -> Option<u32> {
    let fields: Vec<_> = stat.split_whitespace().collect();
    let zombie = matches!(*fields.first()?, "Z" | "X");
    let threads: u32 = fields.get(17)?.parse().ok()?;
    if zombie && threads <= 1 { None } else { fields.get(2)?.parse().ok() }
}

/// Processes of which anything is left, with their groups.
fn everybody() -> impl Iterator<Item = (u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, group_of_living(&stat(pid)?)?)))
}

/// Processes of a group of which anything is left.
pub(super) fn members(group: u32) -> Vec<u32> {
    everybody().filter(|(_, of)| *of == group).map(|(pid, _)| pid).collect()
}

/// What processes use: their proportional set size in bytes, and the clock ticks that they ran.
pub(super) fn used(pids: &[u32]) -> (u64, u64) {
    let memory = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    };
    let ticks = |pid: &u32| {
        let text = stat(*pid)?;
        let mut fields = text.split_whitespace();
        Some(fields.nth(11)?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    (pids.iter().filter_map(memory).sum(), pids.iter().filter_map(ticks).sum())
}

/// How long a process has run, and has waited for a CPU although it had something to do, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    pub ran: u64,
    pub waited: u64,
}

/// The turns of these processes' main threads.
pub(super) fn turns(pids: &[u32]) -> HashMap<u32, Turns> {
    let of = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        let mut fields = text.split_whitespace();
        let (ran, waited) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((*pid, Turns { ran, waited }))
    };
    pids.iter().filter_map(of).collect()
}

/// Groups of browsers that work in a profile at or below this directory. A server that was killed while it forked has left
/// neither a pid file nor a parent-death signal behind; the command line tells all the same.
pub(super) fn working_below(dir: &Path) -> Vec<u32> {
    let wanted = format!("--user-data-dir={}", dir.display());
    let works = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let below = |argument: &[u8]| matches!(argument.strip_prefix(wanted.as_bytes()), Some([] | [b'/', ..]));
        line.split(|byte| *byte == 0).any(below)
    };
    let mut groups: Vec<_> = everybody().filter(|(pid, _)| works(*pid)).map(|(_, group)| group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

pub(super) fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

pub(super) fn signal_group(group: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(group).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Waits, in a blocking way, until no thread of a group that was told to stop runs any more: the signal alone does not say that
/// a write has ended. False when one still runs after a while.
#[expect(clippy::disallowed_methods, reason = "it is meant to block")]
pub(super) fn stand_still(group: u32) -> bool {
    let runs = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = text.rfind(')').and_then(|name| text.get(name..)?.split_whitespace().nth(1));
        state.is_some_and(|state| !matches!(state, "T" | "Z" | "X"))
    };
    let tasks = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for _ in 0..50 {
        if !members(group).into_iter().flat_map(tasks).any(runs) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// Kills the group until nothing of it is left, however long its last writes take.
pub(super) async fn kill_group(group: u32) {
    loop {
        signal_group(group, rustix::process::Signal::KILL);
        if members(group).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills a browser that an earlier server left behind, if the pid still is that browser.
pub(super) async fn kill_orphan(pid: u32, started: u64) -> bool {
    let same = start_time(pid) == Some(started) && !members(pid).is_empty();
    if same {
        kill_group(pid).await;
    }
    same
}

/// User and group id of an account of this machine.
pub(super) fn account(name: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (_, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        found.then_some((uid.parse().ok()?, gid.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_its_last_thread_is() {
        let stat = |state: &str, threads: u32| {
            format!(" {state} 1 77 77 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 {threads} 0 9000 0 0 18446744073709551615")
        };
        assert_eq!(group_of_living(&stat("S", 30)), Some(77));
        assert_eq!(group_of_living(&stat("Z", 3)), Some(77), "threads of it still run");
        assert_eq!(group_of_living(&stat("Z", 1)), None);
        assert_eq!(group_of_living(&stat("X", 0)), None);
        assert!(everybody().any(|(pid, _)| pid == std::process::id()));
    }
}
