//! Log lines. Secrets never reach them: chromiumoxide and the database driver write raw frames and statements at debug, so
//! their targets stay off whatever the filter says.

use crate::config::{Log, LogFormat};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Crates whose lines below `warn` carry contents. `log` stands for all crates that do not use tracing.
const TALKATIVE: &[&str] = &[
    "actix_server",
    "actix_web",
    "actix_web_actors",
    "h2",
    "hyper",
    "hyper_util",
    "log",
    "mio",
    "reqwest",
    "sea_orm",
    "sea_orm_migration",
    "sea_schema",
    "sqlx",
    "tokio_tungstenite",
    "tungstenite",
    "want",
];

/// Whether a line may be written at all, before any filter of the operator's.
fn harmless(line: &Metadata<'_>) -> bool {
    let name = line.target().split("::").next().unwrap_or_default();
    // One prints frames that it cannot parse and calls every closed browser an error, the other lets any stranger write
    // errors. What matters of both is told by those who use them.
    if name.starts_with("chromiumoxide") || name == "actix_http" {
        return false;
    }
    *line.level() <= Level::WARN || !TALKATIVE.contains(&name)
}

/// Starts logging to standard output.
///
/// # Errors
/// When the filter makes no sense.
pub fn start(log: &Log) -> Result<(), String> {
    let text = std::env::var("RUST_LOG").unwrap_or_else(|_| log.filter.clone());
    let wanted = EnvFilter::try_new(&text).map_err(|error| format!("log.filter {text:?}: {error}"))?;
    let filter = wanted.and(filter_fn(harmless));
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stdout);
    let registry = tracing_subscriber::registry();
    let started = match log.format {
        LogFormat::Text => registry.with(lines.with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(filter)).try_init(),
    };
    started.map_err(|error| error.to_string())
}
