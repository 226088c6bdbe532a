//! Starts Chromium, one process group per worker, each with a profile directory named by the worker's id.

use super::leveldb::mend;
use super::process::{Spawner, account, kill_group, kill_orphan, reap, signal, start_time, working_below};
use super::snapshot::PARTS;
use dashmap::DashMap;
use rustix::process::Signal;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;
use wardroom_actors::domain::ids::{SessionId, WorkerId};
use wardroom_actors::ports::BoxFuture;
use wardroom_actors::ports::worker::{LaunchError, Worker, WorkerLauncher};

/// How browsers are started.
#[derive(Clone, Debug)]
pub struct LaunchOptions {
    /// The program.
    pub executable: PathBuf,
    /// The account to run it as, when the server is root.
    pub user: String,
    /// Where profile directories stand.
    pub profiles: PathBuf,
    /// How long a start may take.
    pub timeout: Duration,
}

/// The launcher; it also knows which worker serves which session.
pub struct ChromiumLauncher {
    options: LaunchOptions,
    /// User and group of the browsers, when the server is root.
    account: Option<(u32, u32)>,
    spawner: Spawner,
    serving: DashMap<SessionId, Arc<dyn Worker>>,
}

/// How long a browser may take to close by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Rules out work that a page does not need, connections that nobody asked for, and one renderer per context that the
/// address bar of the full browser would start.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,IsolateOrigins,site-per-process,\
     Translate,MediaRouter,OptimizationHints",
    "--disable-gpu",
    "--disable-quic",
    "--disable-renderer-backgrounding",
    "--disable-site-isolation-trials",
    "--disable-sync",
    "--js-flags=--max-old-space-size=512",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-service-autorun",
    "--password-store=basic",
];

/// The program to use when none is configured: the headless shell needs half the memory and starts four times as fast.
///
/// Never a wrapper script: it would stand between the server and the browser, so that neither a signal nor the server's
/// death reached the browser.
#[must_use]
pub fn find_browser(configured: &str) -> Option<PathBuf> {
    let names = ["chromium-headless-shell", "chromium", "chrome-headless-shell", "chrome"];
    let places = ["/usr/lib/chromium", "/usr/bin", "/usr/local/bin", "/opt/google/chrome"];
    let usual = names.iter().flat_map(|name| places.map(|place| Path::new(place).join(name)));
    let wanted = Path::new(configured);
    if configured.is_empty() {
        return usual.into_iter().find(|path| is_program(path));
    }
    if is_program(wanted) {
        return Some(wanted.to_owned());
    }
    // A distribution's wrapper: the program itself stands under the same name elsewhere.
    let name = wanted.file_name()?;
    places.iter().map(|place| Path::new(place).join(name)).find(|path| wanted.is_file() && is_program(path))
}

/// A file that the kernel runs without an interpreter.
fn is_program(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

impl ChromiumLauncher {
    /// Prepares the place of the profiles.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn new(options: LaunchOptions) -> Result<Self, String> {
        let account = if rustix::process::geteuid().is_root() {
            let user = &options.user;
            let found = account(user).ok_or_else(|| {
                format!("the account {user} is missing: run deploy/setup.sh, or `useradd --system {user}`")
            })?;
            Some(found)
        } else {
            None
        };
        let at = |error: std::io::Error| format!("cannot use {}: {error}", options.profiles.display());
        DirBuilder::new().recursive(true).mode(0o711).create(&options.profiles).map_err(at)?;
        std::fs::set_permissions(&options.profiles, Permissions::from_mode(0o711)).map_err(at)?;
        let spawner = Spawner::start().map_err(at)?;
        Ok(Self { options, account, spawner, serving: DashMap::new() })
    }

    /// The profile directory of a worker.
    #[must_use]
    pub fn profile(&self, id: WorkerId) -> PathBuf {
        self.options.profiles.join(id.to_string())
    }

    fn pid_file(&self, id: WorkerId) -> PathBuf {
        self.options.profiles.join(format!("{id}.pid"))
    }

    /// Makes a profile directory that only the browser's account can enter.
    ///
    /// # Errors
    /// Of the file system.
    pub fn make_profile(&self, id: WorkerId) -> std::io::Result<PathBuf> {
        let path = self.profile(id);
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        self.own(&path)?;
        Ok(path)
    }

    /// Gives a file to the browser's account.
    ///
    /// # Errors
    /// Of the file system.
    pub fn own(&self, path: &Path) -> std::io::Result<()> {
        own(self.account, path)
    }

    /// The worker that serves a session.
    #[must_use]
    pub fn running(&self, session: SessionId) -> Option<Arc<dyn Worker>> {
        self.serving.get(&session).map(|worker| Arc::clone(&worker))
    }

    /// Notes who serves a session.
    pub fn serve(&self, session: SessionId, worker: Arc<dyn Worker>) {
        self.serving.insert(session, worker);
    }

    /// Nobody serves the session any more.
    pub fn forget(&self, session: SessionId) {
        self.serving.remove(&session);
    }

    /// Kills what an earlier server left running, and removes profiles that belong to no session of `kept`.
    pub async fn reap_orphans(&self, kept: &[WorkerId]) {
        let Ok(entries) = std::fs::read_dir(&self.options.profiles) else { return };
        let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "pid")) {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let numbers = text.split_once(' ').and_then(|(pid, at)| Some((pid.parse().ok()?, at.parse().ok()?)));
            if let Some((pid, started)) = numbers
                && kill_orphan(pid, started).await
            {
                tracing::warn!(pid, "a browser of an earlier server was still running and is gone now");
            }
            let _ = std::fs::remove_file(path);
        }
        for group in working_below(&self.options.profiles) {
            tracing::warn!(group, "a browser of an earlier server was still running and is gone now");
            kill_group(group).await;
        }
        for path in paths.iter().filter(|path| path.is_dir()) {
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| Uuid::parse_str(name).ok());
            if id.is_some_and(|id| !kept.contains(&WorkerId(id))) {
                let _ = std::fs::remove_dir_all(path);
            }
        }
    }

    /// The environment is cleared: it would inherit the master key and API keys.
    fn command(&self, profile: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--no-new-privs", "--pdeathsig", "KILL"]);
        if let Some((user, group)) = self.account {
            command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
        }
        command.arg(&self.options.executable).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        command.env_clear().env("HOME", profile).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.current_dir(profile);
        command
    }

    async fn start(&self, id: WorkerId) -> Result<Arc<dyn Worker>, LaunchError> {
        let failed = |error: std::io::Error| LaunchError(error.to_string());
        let profile = self.make_profile(id).map_err(failed)?;
        let port_file = profile.join("DevToolsActivePort");
        // The lease is ours alone: whoever works here was left behind by a server that is gone.
        for group in working_below(&profile) {
            tracing::warn!(group, "a browser that nobody knows was using a profile and is gone now");
            kill_group(group).await;
        }
        // Left by a browser that was killed; it would name a port that is not ours. The lock names nobody who lives.
        for stale in ["DevToolsActivePort", "SingletonLock", "SingletonSocket", "SingletonCookie"] {
            let _ = std::fs::remove_file(profile.join(stale));
        }
        let (account, torn) = (self.account, profile.clone());
        let mending = move || PARTS.iter().try_for_each(|part| mend(&torn.join(part), &|path| own(account, path)));
        tokio::task::spawn_blocking(mending).await.map_err(std::io::Error::other).flatten().map_err(failed)?;
        let child = self.spawner.spawn(self.command(&profile)).await.map_err(failed)?;
        let pid = child.id();
        let started = start_time(pid).unwrap_or_default();
        let pid_file = self.pid_file(id);
        let noted = std::fs::write(&pid_file, format!("{pid} {started}")).and_then(|()| reap(child));
        let exited = match noted {
            Ok(exited) => exited,
            Err(error) => {
                // A browser that no later server could find again must not run.
                kill_group(pid).await;
                return Err(failed(error));
            }
        };
        let mut process = Chromium { id, pid, endpoint: String::new(), exited, pid_file, stopping: Mutex::new(false) };
        match tokio::time::timeout(self.options.timeout, endpoint(&port_file, process.exited.clone())).await {
            Ok(Ok(endpoint)) => {
                process.endpoint = endpoint;
                Ok(Arc::new(process))
            }
            outcome => {
                process.stop(false).await;
                Err(match outcome {
                    Ok(Err(error)) => error,
                    _ => LaunchError("it did not open its debugging port in time".to_owned()),
                })
            }
        }
    }
}

impl WorkerLauncher for ChromiumLauncher {
    fn launch(&self, id: WorkerId) -> BoxFuture<'_, Result<Arc<dyn Worker>, LaunchError>> {
        Box::pin(self.start(id))
    }

    fn remove_profile(&self, id: WorkerId) -> BoxFuture<'_, ()> {
        let path = self.profile(id);
        Box::pin(async move {
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await;
            if let Ok(Err(error)) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(worker = %id, %error, "a profile directory could not be removed");
            }
        })
    }
}

/// Gives a file to the browser's account, if it has one of its own.
fn own(account: Option<(u32, u32)>, path: &Path) -> std::io::Result<()> {
    match account {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// Waits until the browser has written where it listens.
async fn endpoint(file: &Path, mut exited: watch::Receiver<Option<String>>) -> Result<String, LaunchError> {
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            let mut lines = text.lines();
            if let (Some(Ok(port)), Some(path)) = (lines.next().map(str::parse::<u16>), lines.next())
                && path.starts_with('/')
            {
                return Ok(format!("ws://127.0.0.1:{port}{path}"));
            }
        }
        if let Ok(Ok(how)) = tokio::time::timeout(Duration::from_millis(10), exited.wait_for(Option::is_some)).await {
            return Err(LaunchError(how.clone().unwrap_or_default()));
        }
    }
}

/// A running Chromium.
struct Chromium {
    id: WorkerId,
    /// Of the main process, and of the group.
    pid: u32,
    endpoint: String,
    exited: watch::Receiver<Option<String>>,
    pid_file: PathBuf,
    /// Held while it is being stopped; true afterwards.
    stopping: Mutex<bool>,
}

impl Worker for Chromium {
    fn id(&self) -> WorkerId {
        self.id
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn exited(&self) -> BoxFuture<'_, String> {
        let mut exited = self.exited.clone();
        Box::pin(async move {
            match exited.wait_for(Option::is_some).await {
                Ok(how) => how.clone().unwrap_or_default(),
                Err(_) => "the browser's end was not seen".to_owned(),
            }
        })
    }

    fn stop(&self, graceful: bool) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut stopped = self.stopping.lock().await;
            if *stopped {
                return;
            }
            if graceful {
                signal(self.pid, Signal::TERM);
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.exited()).await;
            }
            kill_group(self.pid).await;
            self.exited().await;
            let _ = std::fs::remove_file(&self.pid_file);
            *stopped = true;
        })
    }
}
