//! A machine that has only git, make, curl and Rust: `deploy/setup.sh` and `make run` bring it to `/readyz`.
//!
//! The machine is a Debian minbase in a chroot, with this machine's Rust and this checkout's build products mounted into it.
//! It takes root and some minutes; where neither is to be had the test says so.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says that something is wrong by panicking, and lives in real time"
)]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wardroom_load::house::free_port;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&said));
}

fn sh(script: &str) {
    run(Command::new("sh").args(["-euc", script]));
}

/// The mirror that this machine's apt uses.
fn mirror() -> Option<String> {
    let files = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts =
        files.chain([PathBuf::from("/etc/apt/sources.list")]).filter_map(|path| std::fs::read_to_string(path).ok());
    let all: String = texts.collect();
    all.split_whitespace()
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

/// A chroot. What is lent to it is mounted in the private namespace of each command and gone with the command.
struct Machine {
    dir: PathBuf,
    /// What is lent, and where it stands in both.
    lent: Vec<String>,
    server: Option<Child>,
}

impl Machine {
    fn build(dir: &Path, mirror: &str) -> Self {
        let release = std::fs::read_to_string("/etc/os-release").unwrap();
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap();
        let packages = "--include=ca-certificates,curl,git,make";
        run(Command::new("debootstrap").args(["--variant=minbase", packages, suite]).arg(dir).arg(mirror));
        sh(&format!("cp -r /etc/apt/. {0}/etc/apt/; cp /etc/resolv.conf /etc/hosts {0}/etc/", dir.display()));
        // Certificates that this machine trusts beside Debian's.
        let extra = "/usr/local/share/ca-certificates";
        let trust = format!("cp -r {extra}/. {0}{extra}/; chroot {0} update-ca-certificates", dir.display());
        sh(&format!("if [ -d {extra} ]; then {trust}; fi"));
        let home = std::env::var("HOME").unwrap();
        let rust = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];
        let rust = rust.map(|(name, default)| std::env::var(name).unwrap_or_else(|_| format!("{home}/{default}")));
        for file in [format!("{home}/.npmrc"), "/etc/npmrc".to_owned()] {
            if Path::new(&file).exists() {
                sh(&format!("mkdir -p $(dirname {0}{file}); cp {file} {0}{file}", dir.display()));
            }
        }
        // A clone has no node_modules; build products are lent so that it is not the compiler that is tested here.
        let clone = dir.join(&ROOT[1..]);
        std::fs::create_dir_all(clone.parent().unwrap()).unwrap();
        run(Command::new("git").args(["clone", "--quiet", ROOT]).arg(&clone));
        let places = ["/proc".to_owned(), "/dev".to_owned(), "/sys".to_owned(), format!("{ROOT}/target")];
        let lent: Vec<_> = places.into_iter().chain(rust).collect();
        for place in &lent {
            std::fs::create_dir_all(dir.join(&place[1..])).unwrap();
        }
        Self { dir: dir.to_owned(), lent, server: None }
    }

    fn command(&self, script: &str) -> Command {
        let (dir, home) = (self.dir.display(), std::env::var("HOME").unwrap());
        let mounts: String = self.lent.iter().map(|place| format!("mount --rbind {place} {dir}{place}; ")).collect();
        let inside = format!("cd {ROOT}; {script}");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", &format!("{mounts}exec chroot {dir} sh -euc \"$1\""), "sh", &inside]);
        command.env_clear().env("HOME", &home).env("LANG", "C.UTF-8");
        for name in ["CARGO_HOME", "RUSTUP_HOME", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"] {
            if let Ok(value) = std::env::var(name) {
                command.env(name, value);
            }
        }
        command.env("PATH", format!("{home}/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").args(["-TERM", "--", &format!("-{}", server.id())]).status();
            let _ = server.wait();
        }
    }
}

#[test]
fn a_fresh_machine_gets_to_ready_with_one_command() {
    let has =
        |name: &str| Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap().status.success();
    let root = rustix::process::geteuid().is_root();
    let Some(mirror) = mirror().filter(|_| root && has("debootstrap") && has("unshare")) else {
        eprintln!("skipped: this needs root and debootstrap");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let mut machine = Machine::build(place.path(), &mirror);
    let (http, ops, simulator) = (free_port(), free_port(), free_port());
    let settings = format!(
        "WARDROOM__HTTP__LISTEN=127.0.0.1:{http} WARDROOM__OPS__LISTEN=127.0.0.1:{ops} \
         WARDROOM__SIMULATOR__LISTEN=127.0.0.1:{simulator}"
    );
    let log = std::fs::File::create(place.path().join("make-run.log")).unwrap();
    let mut server = machine.command(&format!("{settings} exec make run"));
    server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    machine.server = Some(server.spawn().unwrap());
    let said = || std::fs::read_to_string(place.path().join("make-run.log")).unwrap_or_default();
    let begun = Instant::now();
    let ready = || {
        let url = format!("http://127.0.0.1:{ops}/readyz");
        Command::new("curl").args(["-sf", &url]).output().unwrap().status.success()
    };
    while !ready() {
        let ended = machine.server.as_mut().unwrap().try_wait().unwrap();
        assert!(ended.is_none(), "make run ended: {}", said());
        assert!(begun.elapsed() < Duration::from_secs(900), "not ready in time: {}", said());
        std::thread::sleep(Duration::from_millis(500));
    }
    // Nothing is missing any more: it says nothing.
    let again = machine.command("deploy/setup.sh").output().unwrap();
    assert!(again.status.success() && again.stdout.is_empty() && again.stderr.is_empty());
    let who = "id nobody >/dev/null; rm -r deploy/wa-js/node_modules; userdel wardroom-browser; mv /usr/bin/npm /usr/bin/npm.away";
    run(&mut machine.command(who));
    let poor = machine.command("setpriv --reuid=65534 --clear-groups deploy/setup.sh").output().unwrap();
    let told = String::from_utf8_lossy(&poor.stderr).into_owned();
    assert!(!poor.status.success() && told.contains("sudo sh -c") && told.contains("npm"), "{told}");
}
