//! One struct per section of config.toml; the meaning of each key stands there.

use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;
use wardroom_actors::domain::fetching::When;
use wardroom_actors::domain::webhook::Growth;

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything lives that is not in the database.
    pub data_dir: PathBuf,
    /// "production" or "development".
    pub environment: Environment,
    /// `[http]`
    pub http: Http,
    /// `[ops]`
    pub ops: Ops,
    /// `[guard]`
    pub guard: Guard,
    /// `[database]`
    pub database: Database,
    /// `[vault]`
    pub vault: Vault,
    /// `[bootstrap]`
    pub bootstrap: Bootstrap,
    /// `[pool]`
    pub pool: Pool,
    /// `[restart]`
    pub restart: Restart,
    /// `[browser]`
    pub browser: Browser,
    /// `[login]`
    pub login: Login,
    /// `[limits]`
    pub limits: Limits,
    /// `[quotas]`
    pub quotas: Quotas,
    /// `[pacing]`
    pub pacing: Pacing,
    /// `[retention]`
    pub retention: Retention,
    /// `[webhooks]`
    pub webhooks: Webhooks,
    /// `[media]`
    pub media: Media,
    /// `[egress]`
    pub egress: Egress,
    /// `[simulator]`
    pub simulator: Simulator,
    /// `[log]`
    pub log: Log,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address of the API, the WebSocket and the dashboard.
    pub listen: String,
    /// Where clients reach that address, for links in bodies.
    pub public_url: String,
    /// Certificate chain in PEM; empty: plain HTTP.
    pub tls_chain: PathBuf,
    /// Its key.
    pub tls_key: PathBuf,
    /// Origins of other pages that may use the API.
    pub cors_origins: Vec<String>,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Whether the API's document can be read at /docs.
    pub docs: Docs,
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// How long the next part of a body is waited for.
    pub body_stall_s: u64,
    /// How long a client may take nothing of an answer.
    pub answer_stall_s: u64,
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address; 0: any number.
    pub connections_per_address: u32,
    /// How long a request waits for a session to get into the status it needs, in seconds (WAHA's rule).
    pub status_wait_s: u64,
}

/// Whether something that is for developers is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Docs {
    /// In development only.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// `[ops]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// Address of /metrics, /healthz, /readyz and /blocks.
    pub listen: String,
    /// What has to be shown for /metrics and /blocks. Empty: nothing.
    pub token: SecretString,
}

/// `[guard]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Proxies whose word is believed.
    pub trusted_proxies: Vec<String>,
    /// A webhook that is told of attacks; empty: none.
    pub alert_url: String,
    /// Signs what it is told.
    pub alert_key: SecretString,
    /// Of each kind once in so many seconds.
    pub alert_window_s: u32,
    /// Wrong keys from one address that shut it out; 0: none do.
    pub failures: u32,
    /// Within so many seconds.
    pub failures_within_s: u32,
    /// For so many seconds.
    pub block_s: u32,
    /// Refused calls of a key in a minute that slow it down; 0: none do.
    pub refusals: u32,
    /// Addresses from which sign-ins fail until people sign in only from where they did before; 0 = any number.
    pub sign_in_origins: usize,
    /// For so many seconds.
    pub slow_s: u32,
    /// Tries to sign in per minute, of an address and of an account; 0: any number.
    pub sign_ins: u32,
    /// Receivers that a user may try out in a minute; 0: any number.
    pub connection_tests: u32,
    /// Calls that may come from an address in a minute; 0: any number.
    pub calls_per_address: u32,
    /// Calls that a key or a stay may make in a minute; 0: any number.
    pub calls_per_key: u32,
    /// Calls that a tenant may make in a minute; 0: any number.
    pub calls_per_tenant: u32,
    /// Calls of single routes that a user may make in a minute, like `POST /api/sendText 60`.
    pub calls_per_route: Vec<String>,
    /// Who has to have a second factor.
    pub second_factor_of: Whose,
    /// A file of passwords that leaked elsewhere; empty: none.
    pub leaked_passwords: PathBuf,
    /// Life of an access token, in seconds.
    pub token_s: u32,
}

/// Of whom something is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// Of nobody.
    Nobody,
    /// Of admins and owners.
    Admins,
    /// Of everybody.
    Everybody,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Empty.
    pub url: SecretString,
    /// Connections of the pool (PostgreSQL), readers (SQLite).
    pub max_connections: u32,
}

/// `[vault]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// File with the master key (KEK).
    pub kek_file: String,
    /// The key itself, for orchestrators that pass secrets by environment.
    pub kek: SecretString,
    /// A program with its arguments that prints the key.
    pub kek_command: Vec<String>,
}

/// `[bootstrap]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Name of the tenant that api_key belongs to.
    pub tenant: String,
    /// An admin key of that tenant.
    pub api_key: SecretString,
}

/// `[pool]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Browsers that this node may run, warm spares included.
    pub workers_per_node: usize,
    /// Browsers held ready for new sessions.
    pub warm_spares: usize,
    /// Browser starts per second of the whole node, evenly spaced.
    pub starts_per_second: u32,
    /// Browsers that may be starting at once.
    pub launching_at_once: usize,
}

/// `[restart]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Ceiling of the first delay after a failure, in milliseconds.
    pub backoff_base_ms: u64,
    /// Ceiling of every delay in milliseconds.
    pub backoff_cap_ms: u64,
    /// So long without a failure, and the delays begin again, in milliseconds.
    pub reset_after_ms: u64,
    /// More failures than this inside the window open the breaker.
    pub max_failures: usize,
    /// The window in milliseconds.
    pub window_ms: u64,
    /// How long the breaker stays open the first time, in milliseconds.
    pub open_ms: u64,
    /// Longest time the breaker stays open, in milliseconds.
    pub open_cap_ms: u64,
    /// A probe that is not connected by then has failed, in milliseconds.
    pub probe_timeout_ms: u64,
}

/// `[browser]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Browser {
    /// Path of Chromium.
    pub executable: String,
    /// The account that browsers run as when the server is root, so that their sandbox stays on.
    pub user: String,
    /// Where profile directories of live browsers stand.
    pub profile_dir: String,
    /// The wa-js bundle, read at every start of a session so that it can be replaced at run time.
    pub wa_js: String,
    /// How long a browser may take to start, in seconds.
    pub launch_timeout_s: u64,
    /// How long a page may take to be ready for a login or to be connected, in seconds.
    pub ready_timeout_s: u64,
    /// How often a linked session is copied into a sealed snapshot while it runs, in seconds.
    pub snapshot_every_s: u64,
    /// How often a connected page asks the network whether it is there, in seconds; 0 = never.
    pub probe_every_s: u64,
    /// How often memory and CPU of a worker are read, in seconds.
    pub watch_every_s: u64,
    /// A worker that uses more memory is replaced in a quiet moment, in MB; 0 = never.
    pub memory_mb: u64,
    /// A worker that is older is replaced in a quiet moment, in hours; 0 = never.
    pub max_age_h: u64,
    /// A session without messages and commands for so long is quiet, in seconds.
    pub quiet_s: u64,
}

/// `[login]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// How long the first QR code is shown, in milliseconds.
    pub qr_first_ms: u64,
    /// How long each later one is shown, in milliseconds.
    pub qr_next_ms: u64,
    /// How many are shown before the login has failed.
    pub qr_codes: u32,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests that may wait at one session.
    pub session_inbox: usize,
    /// Requests that may wait at the registry.
    pub registry_inbox: usize,
    /// Messages that may wait in one session's outbox.
    pub outbox: u64,
    /// Longest text of a message in bytes.
    pub text_bytes: usize,
    /// Sockets per tenant.
    pub sockets_per_tenant: usize,
    /// A chat without signals for so long is put to sleep, in milliseconds.
    pub chat_idle_ms: u64,
    /// A signal whose handling panicked so often is set aside as a dead letter.
    pub poison_limit: u32,
}

/// `[quotas]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// What a user may have.
    pub user: Limited,
    /// What a tenant may have with all of its users.
    pub tenant: Limited,
}

/// What somebody may have; 0 = any number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limited {
    /// Sessions.
    pub sessions: u64,
    /// Messages that are accepted in a minute.
    pub messages_per_minute: u64,
    /// Bytes of files that messages carry.
    pub storage_bytes: u64,
    /// Webhooks in the configs of sessions.
    pub webhooks: u64,
}

/// `[pacing]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pacing {
    /// Messages that a session sends per minute; 0 = as many as there are.
    pub session_per_minute: u32,
    /// So many of them may leave at once after a pause.
    pub session_burst: u32,
    /// Messages per minute in each chat; 0 = as many as there are.
    pub chat_per_minute: u32,
    /// So many of them may leave at once after a pause.
    pub chat_burst: u32,
    /// Before each message a pause of up to so long, in milliseconds.
    pub jitter_ms: u64,
}

/// `[retention]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days that the journal (messages and events) is kept.
    pub journal_days: u64,
    /// Days that finished outbox rows are kept.
    pub outbox_days: u64,
    /// Days that dead letters are kept.
    pub dead_letter_days: u64,
    /// Days that records of what was done are kept.
    pub audit_days: u64,
}

/// `[webhooks]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// A webhook that is told of all sessions, beside those of their configs. Empty: none.
    pub url: SecretString,
    /// Names of its events; `*` = all.
    pub events: Vec<String>,
    /// Signs what it is told. Empty: not signed.
    pub hmac_key: SecretString,
    /// How delays between tries grow.
    pub retries_policy: Growth,
    /// The first delay, in seconds.
    pub retries_delay_s: u32,
    /// Tries after the first.
    pub retries_attempts: u32,
    /// Texts like "Name: value" that it is sent along.
    pub custom_headers: Vec<SecretString>,
    /// How long any webhook's receiver has to answer, in seconds.
    pub timeout_s: u64,
    /// For how long a receiver that cannot be reached is waited for, in seconds.
    pub away_s: u64,
    /// Longest event that is posted, in bytes.
    pub max_bytes: usize,
}

/// `[media]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// Longest file in bytes.
    pub max_bytes: u64,
    /// Hours that a file is kept after it came or was last sent.
    pub keep_h: u64,
    /// When the files of incoming messages are fetched.
    pub fetch: When,
    /// Requests with files that are handled at once.
    pub uploads_at_once: usize,
    /// How long a file may take that is named by URL, in seconds.
    pub url_timeout_s: u64,
    /// Program that makes voice messages and films.
    pub ffmpeg: String,
    /// Bucket of an S3-compatible store.
    pub s3_bucket: String,
    /// Its address; empty: AWS.
    pub s3_endpoint: String,
    /// Its region.
    pub s3_region: String,
    /// In front of every object's name.
    pub s3_prefix: String,
    /// Whose.
    pub s3_access_key: SecretString,
    /// The key's secret.
    pub s3_secret_key: SecretString,
}

/// `[egress]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Hosts, addresses and networks inside the operator's network that users' URLs may lead to.
    pub allow: Vec<String>,
    /// Ports of all other hosts; none: any.
    pub ports: Vec<u16>,
    /// All of them, for development and tests.
    pub allow_private: bool,
}

/// `[simulator]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulator {
    /// Run the simulated WhatsApp inside the server.
    pub enabled: bool,
    /// Its address.
    pub listen: String,
    /// Address of a simulator that runs elsewhere, for sessions with network = "simulator".
    pub url: String,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// tracing filter.
    pub filter: String,
    /// "text" or "json".
    pub format: LogFormat,
}

/// How careful the server is about what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Nothing is made up: a missing key is an error.
    Production,
    /// Keys are made when they are missing.
    Development,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
