//! PostgreSQL for tests; the store's conformance suite uses it as well.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A PostgreSQL server of this test alone, on a socket in its own directory.
pub struct Postgres {
    server: Child,
    dir: tempfile::TempDir,
    port: u16,
    durable: bool,
}

fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    places.extend(["/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    places.into_iter().map(|place| place.join(name)).find(|path| path.exists()).expect("run deploy/setup.sh --test")
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL"]).arg(program);
    command
}

impl Postgres {
    /// Quick: a crash of the machine may cost its data.
    pub async fn start() -> Self {
        Self::with(false).await
    }

    /// As in production: a commit waits for the disk.
    pub async fn durable() -> Self {
        Self::with(true).await
    }

    async fn with(durable: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
        }
        let data = dir.path().join("data");
        let made = unprivileged(&program("initdb"))
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-U", "wardroom", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let postgres = Self { server: serve(dir.path(), port, durable), dir, port, durable };
        postgres.answers().await;
        postgres
    }

    async fn answers(&self) {
        while Box::pin(sea_orm::Database::connect(self.url())).await.is_err() {
            // The test runner's limit bounds this.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Ends the server as an impatient operator does; its data stays.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }

    /// Starts it on the same data and port.
    pub async fn start_again(&mut self) {
        self.server = serve(self.dir.path(), self.port, self.durable);
        self.answers().await;
    }

    /// A database of its own, for a login that is no superuser but may create roles.
    pub async fn plain(&self) -> String {
        use sea_orm::ConnectionTrait;
        let connection = Box::pin(sea_orm::Database::connect(self.url())).await.unwrap();
        for text in ["CREATE ROLE keeper LOGIN CREATEROLE", "CREATE DATABASE \"the house\" OWNER keeper"] {
            connection.execute_unprepared(text).await.unwrap();
        }
        format!("postgres://keeper@127.0.0.1:{}/the%20house?sslmode=disable", self.port)
    }

    pub fn url(&self) -> String {
        format!("postgres://wardroom@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

fn serve(dir: &Path, port: u16, durable: bool) -> Child {
    unprivileged(&program("postgres"))
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            if durable { "fsync=on" } else { "fsync=off" },
            "-p",
            &port.to_string(),
            "-k",
        ])
        .arg(dir)
        .arg("-D")
        .arg(dir.join("data"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
