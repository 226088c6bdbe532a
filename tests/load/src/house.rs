//! A house for tests: the release binary with a data directory of its own, and a simulator in a process of its own.

use crate::receiver::Receiver;
use serde_json::{Value, json};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The admin key of the first tenant.
pub const KEY: &str = "key-of-the-first-tenant";

/// The project's directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The program under test.
pub fn binary() -> PathBuf {
    root().join("target/release/wardroom")
}

/// A port that nobody listens at. Not one of those that the system gives to outgoing connections: until somebody listens at it,
/// a connection of another test could take it. The same number among UDP's is held as long as this process lives, so that no
/// other test takes the port meanwhile.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(vec![]);
    loop {
        let port = rand::random_range(10_000..32_000);
        if let Ok(held) = UdpSocket::bind(("127.0.0.1", port))
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            HELD.lock().unwrap().push(held);
            return port;
        }
    }
}

/// Waits until `look` finds something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub const SOON: Duration = Duration::from_secs(20);

/// What people of a test choose.
pub const PASSWORD: &str = "four blue chairs in the rain";

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The body of an answer that has to be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// The code of an answer that has to be this error.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        let body = self.json();
        assert_eq!(body["statusCode"], status, "{body}");
        assert!(body["requestId"].as_str().is_some_and(|id| id.starts_with("req_")), "{body}");
        assert!(!body["message"].is_null() && !body["error"].is_null(), "{body}");
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn ask(method: &str, url: String, key: Option<&str>, body: Option<Value>) -> Answer {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
    let mut request = client.request(method.parse().unwrap(), url);
    // A person's token stands where a key would.
    match key {
        Some(token) if token.starts_with("eyJ") => request = request.bearer_auth(token),
        Some(key) => request = request.header("x-api-key", key),
        None => {}
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

/// A simulator in a process of its own.
pub struct Network {
    child: Child,
    pub port: u16,
    dir: PathBuf,
}

impl Network {
    pub async fn start(dir: &Path, port: u16, extra: &[&str]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("network.log")).unwrap();
        let child = Command::new(binary())
            .args(["simulator", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(dir.join("network"))
            .args(extra)
            .stdout(log)
            .spawn()
            .unwrap();
        let network = Self { child, port, dir: dir.to_owned() };
        until("the simulator listens", SOON, || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        network
    }

    /// kill -9, and a new process on the same state.
    pub async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        *self = Self::start(&self.dir.clone(), self.port, &[]).await;
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        ask(method, format!("http://127.0.0.1:{}{path}", self.port), None, body).await
    }

    pub async fn phone(&self, number: &str, name: &str) {
        self.ask("POST", "/api/phones", Some(json!({"number": number, "name": name}))).await.ok();
    }

    pub async fn send(&self, from: &str, to: &str, text: &str) -> String {
        let sent =
            self.ask("POST", &format!("/api/phones/{from}/messages"), Some(json!({"to": to, "text": text}))).await;
        sent.ok()["id"].as_str().unwrap().to_owned()
    }

    pub async fn messages(&self, number: &str) -> Vec<Value> {
        self.ask("GET", &format!("/api/phones/{number}/messages"), None).await.ok().as_array().unwrap().clone()
    }

    pub async fn fault(&self, number: &str, kind: &str, seconds: u64) {
        let fault = json!({"number": number, "kind": kind, "seconds": seconds});
        self.ask("POST", "/api/faults", Some(fault)).await.ok();
    }

    /// Devices of a number: the same ids before and after mean that nobody linked anew.
    pub async fn devices(&self, number: &str) -> Vec<String> {
        let phones = self.ask("GET", "/api/phones", None).await.ok();
        let phone = phones.as_array().unwrap().iter().find(|phone| phone["number"] == number).unwrap().clone();
        phone["devices"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server with everything around it.
pub struct House {
    pub dir: TempDir,
    pub network: Network,
    program: PathBuf,
    server: Option<Child>,
    pub http: u16,
    pub ops: u16,
    settings: Vec<(String, String)>,
    /// Hears the messages of new sessions, once it is there.
    pub receiver: Option<Receiver>,
    /// What else their config has.
    pub config: Value,
    /// For the next start: `kill:MOMENT@N`.
    pub failpoint: Option<String>,
}

impl House {
    /// Starts simulator and server.
    pub async fn start() -> Self {
        Self::with(&[], &[]).await
    }

    /// With settings, and arguments for the simulator.
    pub async fn with(settings: &[(&str, &str)], simulator: &[&str]) -> Self {
        Self::of(binary(), tempfile::tempdir().unwrap(), settings, simulator).await
    }

    /// With a program of its own that knows the argument `serve`.
    pub async fn of(program: PathBuf, dir: TempDir, settings: &[(&str, &str)], simulator: &[&str]) -> Self {
        wardroom::egress::provide_tls();
        // Browsers of a root server have an account of their own and have to get through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let network = Network::start(dir.path(), free_port(), simulator).await;
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut house = Self {
            dir,
            network,
            program,
            server: None,
            http: free_port(),
            ops: free_port(),
            settings,
            receiver: None,
            config: json!({}),
            failpoint: None,
        };
        house.open().await;
        house
    }

    /// From now on new sessions tell a webhook of their messages.
    pub async fn listen(&mut self) {
        self.receiver = Some(Receiver::open(0).await);
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(root())
            .env("WARDROOM__ENVIRONMENT", "development")
            .env("WARDROOM__DATA_DIR", self.data())
            .env("WARDROOM__HTTP__LISTEN", format!("127.0.0.1:{}", self.http))
            .env("WARDROOM__OPS__LISTEN", format!("127.0.0.1:{}", self.ops))
            .env("WARDROOM__SIMULATOR__URL", format!("http://127.0.0.1:{}/", self.network.port))
            .env("WARDROOM__BOOTSTRAP__API_KEY", KEY)
            .env("WARDROOM__EGRESS__ALLOW_PRIVATE", "true")
            // Tests make many calls that are refused.
            .env("WARDROOM__GUARD__FAILURES", "0")
            .env("WARDROOM__GUARD__SIGN_IN_ORIGINS", "0")
            .env("WARDROOM__GUARD__REFUSALS", "0")
            .env("WARDROOM__GUARD__SIGN_INS", "0")
            .env("WARDROOM__GUARD__CONNECTION_TESTS", "0")
            .env("WARDROOM__GUARD__CALLS_PER_KEY", "0")
            .env("WARDROOM__GUARD__CALLS_PER_TENANT", "0")
            .env("WARDROOM__QUOTAS__TENANT__SESSIONS", "0")
            .env("WARDROOM__QUOTAS__USER__MESSAGES_PER_MINUTE", "0")
            .env("WARDROOM__QUOTAS__TENANT__MESSAGES_PER_MINUTE", "0")
            .envs(
                ["SESSION_PER_MINUTE", "CHAT_PER_MINUTE", "JITTER_MS"]
                    .map(|key| (format!("WARDROOM__PACING__{key}"), "0")),
            )
            .envs(self.settings.iter().map(|(key, value)| (key.clone(), value.clone())));
        if let Some(failpoint) = &self.failpoint {
            command.env("WARDROOM_FAILPOINT", failpoint);
        }
        command
    }

    /// Runs a command of the binary against this house; answers what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let out = self.command().args(arguments).output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Where the database is.
    pub fn database_url(&self) -> String {
        let set = self.settings.iter().find(|(key, _)| key == "WARDROOM__DATABASE__URL");
        let file = || format!("sqlite://{}?mode=ro", self.data().join("wardroom.db").display());
        set.map_or_else(file, |(_, url)| url.clone())
    }

    /// Starts the server, which may end by itself before it is ready; answers whether it is.
    pub async fn try_open(&mut self) -> bool {
        self.spawn();
        let url = format!("http://127.0.0.1:{}/readyz", self.ops);
        loop {
            if self.ended() {
                return false;
            }
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the server's process has ended by itself.
    pub fn ended(&mut self) -> bool {
        let ended = self.server.as_mut().is_none_or(|server| server.try_wait().unwrap().is_some());
        if ended {
            self.server = None;
        }
        ended
    }

    fn spawn(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let child = self.command().arg("serve").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.server = Some(child);
    }

    /// Starts the server and waits until it is ready; answers how long that took.
    pub async fn open(&mut self) -> Duration {
        let begun = Instant::now();
        self.spawn();
        let url = format!("http://127.0.0.1:{}/readyz", self.ops);
        until("the server is ready", SOON, || async {
            reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        begun.elapsed()
    }

    pub fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// SIGTERM; answers how long it took to end.
    pub async fn close(&mut self) -> Duration {
        let mut server = self.server.take().unwrap();
        let begun = Instant::now();
        signal(server.id(), "TERM");
        let status = until("the server ends", Duration::from_secs(25), || {
            let ended = server.try_wait().unwrap();
            async move { ended }
        })
        .await;
        assert!(status.success(), "{status}: {}", self.log());
        begun.elapsed()
    }

    pub async fn ask_as(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        ask(method, format!("http://127.0.0.1:{}{path}", self.http), Some(key), body).await
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.ask_as(KEY, method, path, body).await
    }

    pub async fn anonymous(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        ask(method, format!("http://127.0.0.1:{}{path}", self.http), None, body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.ok()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, Some(body)).await.ok()
    }

    pub async fn create(&self, name: &str) {
        self.create_as(KEY, name).await;
    }

    pub async fn create_as(&self, key: &str, name: &str) {
        let mut config = self.config.clone();
        config["network"] = json!("simulator");
        if let Some(receiver) = &self.receiver {
            let retries = json!({"delaySeconds": 1, "attempts": 1000});
            config["webhooks"] = json!([{"url": receiver.url(), "events": ["message.any"], "retries": retries}]);
        }
        let body = json!({"name": name, "config": config});
        self.ask_as(key, "POST", "/api/sessions", Some(body)).await.ok();
    }

    pub async fn status_as(&self, key: &str, name: &str) -> String {
        let state = self.ask_as(key, "GET", &format!("/api/sessions/{name}/status"), None).await.ok();
        state["status"].as_str().unwrap().to_owned()
    }

    pub async fn is(&self, name: &str, status: &str) {
        self.is_as(KEY, name, status).await;
    }

    pub async fn is_as(&self, key: &str, name: &str, status: &str) {
        until(&format!("{name} is {status}"), SOON, || async {
            (self.status_as(key, name).await == status).then_some(())
        })
        .await;
    }

    pub async fn qr(&self, name: &str) -> String {
        self.qr_as(KEY, name).await
    }

    pub async fn qr_as(&self, key: &str, name: &str) -> String {
        self.is_as(key, name, "SCAN_QR_CODE").await;
        let code = self.ask_as(key, "GET", &format!("/api/{name}/auth/qr?format=raw"), None).await.ok();
        code["value"].as_str().unwrap().to_owned()
    }

    /// Creates a session and links it to a phone, which is made for it.
    pub async fn link(&self, name: &str, number: &str) {
        self.link_as(KEY, name, number).await;
    }

    pub async fn link_as(&self, key: &str, name: &str, number: &str) {
        self.network.phone(number, &format!("Phone {number}")).await;
        self.create_as(key, name).await;
        let qr = self.qr_as(key, name).await;
        self.network.ask("POST", &format!("/api/phones/{number}/scan"), Some(json!({"qr": qr}))).await.ok();
        self.is_as(key, name, "WORKING").await;
    }

    /// A second tenant; answers its admin key.
    pub fn tenant(&self, name: &str) -> String {
        self.run(&["tenants", "create", name]);
        let printed = self.run(&["keys", "create", "--tenant", name, "--admin"]);
        printed.lines().last().unwrap().to_owned()
    }

    /// Somebody of the first tenant who is invited and has chosen a password: `name@example.com`, [`PASSWORD`].
    pub async fn person(&self, name: &str, role: &str) {
        let email = format!("{name}@example.com");
        let invited = self.post("/api/users", json!({"name": name, "email": email, "role": role})).await;
        let chosen = json!({"invitation": invited["invitation"], "password": PASSWORD});
        self.anonymous("POST", "/api/auth/invitation", Some(chosen)).await.ok();
    }

    /// A person signs in; answers both tokens.
    pub async fn sign_in(&self, name: &str) -> (String, String) {
        let shown = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
        let tokens = self.anonymous("POST", "/api/auth/token", Some(shown)).await.ok();
        let text = |field: &str| tokens[field].as_str().unwrap().to_owned();
        (text("accessToken"), text("refreshToken"))
    }

    /// Messages of a chat, oldest first.
    pub async fn messages_as(&self, key: &str, name: &str, chat: &str) -> Vec<Value> {
        let path = format!("/api/{name}/chats/{chat}/messages?limit=1000&sortOrder=asc");
        self.ask_as(key, "GET", &path, None).await.ok().as_array().unwrap().clone()
    }

    /// [`Self::messages_as`] over as many pages as there are.
    pub async fn all_messages_as(&self, key: &str, name: &str, chat: &str) -> Vec<Value> {
        let mut all = vec![];
        loop {
            let offset = all.len();
            let path = format!("/api/{name}/chats/{chat}/messages?limit=1000&offset={offset}&sortOrder=asc");
            let page = self.ask_as(key, "GET", &path, None).await.ok().as_array().unwrap().clone();
            let last = page.len() < 1000;
            all.extend(page);
            if last {
                return all;
            }
        }
    }

    /// The supervision tree's branch of a session.
    pub async fn branch(&self, key: &str, name: &str) -> Value {
        let tree = self.ask_as(key, "GET", "/api/supervision", None).await.ok();
        let sessions = tree["node"]["tenants"][0]["sessions"].as_array().unwrap().clone();
        sessions.into_iter().find(|one| one["name"] == name).unwrap_or_default()
    }

    /// One number of the metrics page; 0 when it is not there.
    pub async fn metric(&self, line: &str) -> f64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.ops);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let found = text.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_default()
    }

    pub async fn messages(&self, name: &str, chat: &str) -> Vec<Value> {
        self.messages_as(KEY, name, chat).await
    }

    /// Browsers of this house that are alive: their profiles are below its directory.
    pub fn browsers(&self) -> Vec<u32> {
        let marker = format!("--user-data-dir={}", self.data().display());
        processes().into_iter().filter(|(_, line)| line.contains(&marker)).map(|(pid, _)| pid).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(server.id(), "TERM");
            for _ in 0..1000 {
                if server.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
            let network = std::fs::read_to_string(self.dir.path().join("network.log")).unwrap_or_default();
            eprintln!("--- the network's log ---\n{network}");
        } else {
            assert!(self.browsers().is_empty(), "a browser outlived the server");
        }
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

/// Living processes with their command lines.
pub fn processes() -> Vec<(u32, String)> {
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        // A zombie has no command line.
        (!line.is_empty()).then_some((pid, line))
    })
    .collect()
}
