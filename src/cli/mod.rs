//! The command line. Commands that ask a running server go through its API; `migrate`, `tenants`, `users` and
//! `keys` use the database.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command line does")]

mod audit;
mod backup;
mod client;
mod doctor;
mod import;
mod key;
mod operate;
mod people;
mod quotas;
mod reading;
mod serve;

use crate::config::Environment;
use crate::store::repo::people::Standing;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps many people's messaging sessions alive, apart, and under watch.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// Settings that replace the defaults [default: ./config.toml, if there is one].
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve,
    /// Bring the database to this version's schema.
    Migrate,
    /// The master key.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Organisations.
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// People who sign in.
    #[command(subcommand)]
    Users(UsersCommand),
    /// What tenants and users may have.
    #[command(subcommand)]
    Quotas(quotas::QuotasCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// What was done, and by whom.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The database, logins and files in one sealed file.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Print the OpenAPI document.
    Openapi,
    /// Take over logins of whatsapp-web.js (LocalAuth, RemoteAuth) or WAHA's browser engine, without a scan. The server must be
    /// stopped.
    Import(ImportCommand),
    /// Sessions of a running server.
    Sessions(Asked<SessionsCommand>),
    /// Link an account: draws the QR code until a phone has scanned it.
    Login(AskedSession),
    /// Send a text.
    Send(Asked<SendCommand>),
    /// Send a file: as a picture, a film, a voice message or for saving, by what it is.
    SendFile(Asked<SendFileCommand>),
    /// Print events, one JSON object a line.
    Events(Asked<EventsCommand>),
    /// Chats of a session, the latest first.
    Chats(Asked<ChatsCommand>),
    /// Messages of a chat, the newest last.
    Messages(Asked<MessagesCommand>),
    /// Whom a session tells what happens.
    Webhooks(Asked<WebhooksCommand>),
    /// Events that webhooks were not told.
    Deadletters(Asked<DeadLettersCommand>),
    /// Addresses that a running server has shut out, because wrong keys came from them.
    #[command(subcommand)]
    Blocks(BlocksCommand),
    /// Look whether everything is there that a server needs.
    Doctor,
    /// Run the simulated WhatsApp by itself.
    Simulator(SimulatorCommand),
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Write a new master key to a file (mode 0600); never replaces one.
    Generate {
        /// The file [default: vault.kek_file].
        path: Option<PathBuf>,
    },
    /// Look whether the configured master key is the one that the database was sealed with.
    Check,
    /// Replace the master key by a new one, also of a running server, which goes on meanwhile. Begun once, it goes on after whatever
    /// comes in between; this command again shows how far it is.
    Rotate {
        /// The users' data keys instead: everything that is sealed is sealed anew, which takes as long as there is much of it, and
        /// a minute at least.
        #[arg(long, conflicts_with = "to")]
        data_keys: bool,
        /// The file of the new key, made when it is not there [default: the new key takes the place of the one in
        /// vault.kek_file].
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Open everything that is sealed, in the database and in files, and tell what does not open.
    Verify,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Look whether all records are what they were, and none is missing.
    Verify {
        /// Only this tenant's [default: all, and the server's own].
        #[arg(long)]
        tenant: Option<String>,
        /// A chain that was exported, in place of the database's.
        #[arg(long, conflicts_with = "tenant")]
        file: Option<PathBuf>,
        /// By whom it is signed, as `audit verify` tells it where the server is.
        #[arg(long, requires = "file")]
        key: Option<String>,
    },
    /// Print a chain, one JSON object a line.
    Export {
        /// Whose, by name; a deleted tenant's by its id [default: the server's own].
        #[arg(long)]
        tenant: Option<String>,
        /// A file, which must not be there yet [default: standard output].
        #[arg(long)]
        to: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum BackupCommand {
    /// Make one, beside a server that goes on.
    Create {
        /// A file, which must not be there yet.
        file: PathBuf,
    },
    /// Look whether one is whole, and opens.
    Verify {
        /// The backup.
        file: PathBuf,
        /// The master key of its time [default: the server's].
        #[arg(long)]
        kek: Option<PathBuf>,
    },
    /// Put everything back, into a data directory and a database that have nothing yet. The server must be stopped.
    Restore {
        /// The backup.
        file: PathBuf,
        /// The master key of its time [default: the server's].
        #[arg(long)]
        kek: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum TenantsCommand {
    /// Create a tenant with its user `owner`.
    Create {
        /// Its name.
        name: String,
    },
    /// Show them.
    List,
    /// Shut one out: none of its keys and people is let in, within a second.
    Suspend {
        /// Its name.
        name: String,
    },
    /// Let one in again.
    Resume {
        /// Its name.
        name: String,
    },
    /// Show the hosts that the URLs of its webhooks and files may name, or change them.
    Hosts {
        /// Its name.
        name: String,
        /// These and no others: `example.com`, `*.example.com` for what is below it, or an address. What the config refuses stays so.
        hosts: Vec<String>,
        /// Any again.
        #[arg(long, conflicts_with = "hosts")]
        any: bool,
    },
    /// Delete one with all that it has: the data keys of its users are destroyed at once, and nothing of it opens any more. What is
    /// left of it is removed by the server, now or when it is started.
    Delete {
        /// Its name.
        name: String,
        /// It is meant so: this cannot be undone.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
enum UsersCommand {
    /// Show them.
    List {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Invite somebody: a link, with which they choose a password on the dashboard, is printed alone on the last line. For somebody
    /// who is known, the one before is replaced.
    Invite {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Their name in it.
        name: String,
        /// The address with which they sign in; may be left out for somebody who has one.
        #[arg(long)]
        email: Option<String>,
        /// `owner`, `admin`, `operator` or `viewer` [default: operator].
        #[arg(long)]
        role: Option<String>,
        /// Take over a password that another system kept as a bcrypt hash: the hash is read from standard input, and nobody is
        /// invited.
        #[arg(long)]
        bcrypt: bool,
    },
    /// Give somebody another role.
    Role {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Their name in it.
        name: String,
        /// `owner`, `admin`, `operator` or `viewer`.
        role: String,
    },
    /// Take the second factor off somebody who lost it: their stays end.
    TakeSecondFactor {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Their name in it.
        name: String,
    },
    /// Shut somebody out: their stays end, their keys are not good.
    Suspend {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Their name in it.
        name: String,
    },
    /// Let somebody in again.
    Resume {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Their name in it.
        name: String,
    },
    /// Delete somebody with all that they have: their data key is destroyed at once, and nothing of theirs opens any more. What is
    /// left of it is removed by the server, now or when it is started.
    Delete {
        /// The tenant's name.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Their name in it.
        name: String,
        /// It is meant so: this cannot be undone.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Create an API key; it is printed alone on the last line and never again.
    Create {
        /// The tenant's name.
        #[arg(long)]
        tenant: String,
        /// The user whose sessions it creates; made on first use.
        #[arg(long, default_value = "owner")]
        user: String,
        /// May act for other users.
        #[arg(long)]
        admin: bool,
    },
}

#[derive(Subcommand)]
enum BlocksCommand {
    /// Show them.
    List,
    /// Let one in again.
    Remove {
        /// An address; a `key:…` that is slowed down; or `sign-ins`, while people sign in only from where they did before.
        #[arg(value_parser = blocked)]
        address: String,
    },
}

fn blocked(text: &str) -> Result<String, String> {
    let is_key = || text.strip_prefix(crate::ops::KEY).is_some_and(|key| uuid::Uuid::parse_str(key).is_ok());
    let known = text == crate::ops::SIGN_INS || is_key() || text.parse::<std::net::IpAddr>().is_ok();
    if known { Ok(text.to_owned()) } else { Err("no address, no `key:…`, and not `sign-ins`".to_owned()) }
}

/// Which server, and with which key.
#[derive(Args)]
struct Server {
    /// The server's address.
    #[arg(long, global = true, env = "WARDROOM_URL", default_value = "http://127.0.0.1:3000")]
    url: String,
    /// The API key.
    #[arg(
        long,
        global = true,
        env = "WARDROOM_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    key: String,
}

#[derive(Args)]
struct Asked<T: Args> {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    what: T,
}

#[derive(Args)]
struct AskedSession {
    #[command(flatten)]
    server: Server,
    /// The session's name.
    session: String,
}

#[derive(Args)]
struct SessionsCommand {
    #[command(subcommand)]
    verb: SessionsVerb,
}

#[derive(Subcommand)]
enum SessionsVerb {
    /// All sessions with their status.
    List,
    /// Create and start a session.
    Create {
        /// Its name.
        name: String,
        /// `whatsapp` or `simulator`.
        #[arg(long, default_value = "whatsapp")]
        network: String,
        /// Whose; admin keys only.
        #[arg(long)]
        user: Option<String>,
    },
    /// Start a session.
    Start {
        /// Its name.
        name: String,
    },
    /// Stop a session; it comes back without a scan.
    Stop {
        /// Its name.
        name: String,
    },
    /// Stop and start a session.
    Restart {
        /// Its name.
        name: String,
    },
    /// Unlink a session's account; the next start shows a new code.
    Logout {
        /// Its name.
        name: String,
    },
    /// Log a session out and remove everything of it.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Args)]
struct SendCommand {
    /// The session's name.
    session: String,
    /// A number or a chat id.
    chat: String,
    /// The text.
    text: String,
}

#[derive(Args)]
struct SendFileCommand {
    /// The session's name.
    session: String,
    /// A number or a chat id.
    chat: String,
    /// The file.
    path: std::path::PathBuf,
    /// A text with it.
    #[arg(long, default_value = "")]
    caption: String,
    /// Whatever it is, it is for saving.
    #[arg(long)]
    document: bool,
}

#[derive(Args)]
struct EventsCommand {
    /// Go on until interrupted; without it, only what is already recorded is printed.
    #[arg(long)]
    follow: bool,
    /// One session only.
    #[arg(long, default_value = "*")]
    session: String,
    /// Begin after this cursor.
    #[arg(long)]
    since: Option<String>,
}

#[derive(Args)]
struct ImportCommand {
    /// A profile's directory (`session-shop`) or archive (`RemoteAuth-shop.zip`), or a directory above several (`.wwebjs_auth`,
    /// `.sessions/webjs`).
    path: PathBuf,
    /// Whose they become.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// Whose user's.
    #[arg(long, default_value = "owner")]
    user: String,
    /// `whatsapp` or `simulator`.
    #[arg(long, default_value = "whatsapp")]
    network: String,
}

#[derive(Args)]
struct ChatsCommand {
    /// The session's name.
    session: String,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

#[derive(Args)]
struct MessagesCommand {
    /// The session's name.
    session: String,
    /// A number or a chat id; `all` for every chat.
    chat: String,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

#[derive(Args)]
struct WebhooksCommand {
    /// The session's name.
    session: String,
    #[command(subcommand)]
    verb: WebhooksVerb,
}

#[derive(Subcommand)]
enum WebhooksVerb {
    /// Show them.
    List,
    /// Add one, or change the one of the same URL.
    Add {
        /// Where events are posted to.
        #[arg(value_name = "URL")]
        hook: String,
        /// Which events.
        #[arg(long, value_delimiter = ',', default_value = "*")]
        events: Vec<String>,
        /// Signs them.
        #[arg(long, env = "WARDROOM_HMAC_KEY", hide_env_values = true)]
        hmac_key: Option<String>,
    },
    /// Remove one.
    Remove {
        /// Its URL.
        #[arg(value_name = "URL")]
        hook: String,
    },
    /// Post the session's status to one, once; it need not be in the list.
    Test {
        /// Its URL.
        #[arg(value_name = "URL")]
        hook: String,
    },
}

#[derive(Args)]
struct DeadLettersCommand {
    #[command(subcommand)]
    verb: DeadLettersVerb,
}

#[derive(Subcommand)]
enum DeadLettersVerb {
    /// Show them, the newest first.
    List {
        /// One session only.
        #[arg(long)]
        session: Option<String>,
    },
    /// Show one with what it tells, as JSON.
    Show {
        /// Its id.
        id: i64,
    },
    /// Tell them again: some by id, or all of a session, or all of a time.
    Replay {
        /// Their ids.
        ids: Vec<i64>,
        /// Of one session.
        #[arg(long)]
        session: Option<String>,
        /// Recorded at or after, Unix milliseconds.
        #[arg(long)]
        from: Option<i64>,
        /// Recorded before, Unix milliseconds.
        #[arg(long)]
        to: Option<i64>,
    },
}

#[derive(Args)]
struct SimulatorCommand {
    /// Its address.
    #[arg(long, default_value = "127.0.0.1:3002")]
    listen: String,
    /// Where its state is kept.
    #[arg(long, default_value = "data/simulator")]
    data_dir: PathBuf,
    /// Life of the first QR code in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    qr_first_ms: u64,
    /// Life of each later QR code in milliseconds.
    #[arg(long, default_value_t = 20_000)]
    qr_next_ms: u64,
    /// How many QR codes are shown to one page.
    #[arg(long, default_value_t = 6)]
    qr_codes: u32,
    /// A TOML file with phones that act by themselves; it begins anew with each start.
    #[arg(long)]
    script: Option<PathBuf>,
}

/// Runs the command; what went wrong is one sentence on standard error.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::ground::keep_to_ourselves();
    crate::egress::provide_tls();
    let config = || {
        let config = crate::config::load(cli.config.as_deref())?;
        if config.environment == Environment::Production {
            crate::ground::no_onlookers()?;
        }
        anyhow::Ok(config)
    };
    let done = match cli.command {
        Command::Serve => config().and_then(serve::run),
        Command::Migrate => config().and_then(operate::migrate),
        Command::Key(KeyCommand::Generate { path }) => config().and_then(|config| key::generate(&config, path)),
        Command::Key(KeyCommand::Check) => config().and_then(key::check),
        Command::Key(KeyCommand::Rotate { data_keys: true, .. }) => config().and_then(key::renew),
        Command::Key(KeyCommand::Rotate { to, .. }) => config().and_then(|config| key::rotate(config, to)),
        Command::Key(KeyCommand::Verify) => config().and_then(key::verify),
        Command::Tenants(TenantsCommand::Create { name }) => {
            config().and_then(|config| operate::create_tenant(config, name))
        }
        Command::Tenants(TenantsCommand::List) => config().and_then(people::tenants),
        Command::Tenants(TenantsCommand::Suspend { name }) => {
            config().and_then(|config| people::shut(config, name, Standing::Suspended))
        }
        Command::Tenants(TenantsCommand::Resume { name }) => {
            config().and_then(|config| people::shut(config, name, Standing::Active))
        }
        Command::Tenants(TenantsCommand::Hosts { name, hosts, any }) => {
            config().and_then(|config| people::hosts(config, name, hosts, any))
        }
        Command::Tenants(TenantsCommand::Delete { name, yes }) => {
            config().and_then(|config| people::delete_tenant(config, name, yes))
        }
        Command::Users(verb) => config().and_then(|config| people::users(config, verb)),
        Command::Keys(KeysCommand::Create { tenant, user, admin }) => {
            config().and_then(|config| operate::create_key(config, tenant, user, admin))
        }
        Command::Quotas(verb) => config().and_then(|config| quotas::run(config, verb)),
        Command::Backup(what) => config().and_then(|config| backup::run(config, what)),
        Command::Audit(what) => audit::run(config, what),
        Command::Openapi => {
            print!("{}", crate::api::docs::document());
            Ok(())
        }
        Command::Sessions(asked) => client::sessions(&asked.server, asked.what.verb),
        Command::Login(asked) => client::login(&asked.server, &asked.session),
        Command::Send(asked) => client::send(&asked.server, &asked.what),
        Command::SendFile(asked) => client::send_file(&asked.server, &asked.what),
        Command::Events(asked) => client::events(&asked.server, &asked.what),
        Command::Import(what) => config().and_then(|config| import::import(config, what)),
        Command::Chats(asked) => reading::chats(&asked.server, &asked.what),
        Command::Messages(asked) => reading::messages(&asked.server, &asked.what),
        Command::Webhooks(asked) => reading::webhooks(&asked.server, &asked.what),
        Command::Deadletters(asked) => client::dead_letters(&asked.server, asked.what.verb),
        Command::Blocks(verb) => config().and_then(|config| client::blocks(&config.ops, verb)),
        Command::Doctor => config().and_then(doctor::run),
        Command::Simulator(options) => serve::simulator(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wardroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}
