//! `wardroom doctor`: is everything there that a server needs, and how to mend what is not.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::engine::web::ChromiumLauncher;
use crate::store::Role;
use crate::{connections, ground};
use anyhow::bail;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use wardroom_actors::domain::ids::WorkerId;
use wardroom_actors::ports::worker::WorkerLauncher as _;

/// Prints a line per thing; fails when any is missing.
pub(super) fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let dir = ground::data_dir(&config)?;
    let running = ground::lock(&dir).is_err();
    let mut sick = 0;
    let mut tell = |what: &str, found: anyhow::Result<String>| match found {
        Ok(text) => println!("ok       {what}: {text}"),
        Err(error) => {
            sick += 1;
            println!("MISSING  {what}: {error:#}");
        }
    };
    let state = if running { "in use by a running server" } else { "free" };
    tell("data directory", Ok(format!("{} ({state})", dir.display())));
    tell("master key", ground::kek(&config, &dir).map(|kek| format!("{kek:?}")));
    tell("database", runtime.block_on(database(&config, &dir)));
    tell("browser", runtime.block_on(browser(&config, &dir)));
    tell("wa-js", bundle(Path::new(&config.browser.wa_js)));
    let (wanted, files) = (config.http.connections, ground::all_descriptors());
    let room = connections::room(wanted, files);
    tell("open files", Ok(format!("{files}, enough for {room} of {wanted} connections (http.connections)")));
    for (what, address) in [("http port", &config.http.listen), ("ops port", &config.ops.listen)] {
        let found = match TcpListener::bind(address) {
            Ok(_) => Ok(format!("{address} is free")),
            Err(_) if running => Ok(format!("{address} is in use by the running server")),
            Err(error) => Err(anyhow::anyhow!("{address}: {error}; set another one in config.toml")),
        };
        tell(what, found);
    }
    if sick == 0 { Ok(()) } else { bail!("{sick} things have to be mended") }
}

async fn database(config: &Config, dir: &Path) -> anyhow::Result<String> {
    ground::store(config, dir, Arc::new(SystemClock::start()), Role::Operator).await?;
    Ok("answers, and the master key is its own".to_owned())
}

/// Starts a browser and ends it again: nothing less tells whether it would start.
async fn browser(config: &Config, dir: &Path) -> anyhow::Result<String> {
    let options = ground::launching(config, dir)?;
    let program = options.executable.display().to_string();
    let launcher = ChromiumLauncher::new(options).map_err(anyhow::Error::msg)?;
    let id = WorkerId::generate();
    let started = launcher.launch(id).await;
    if let Ok(worker) = &started {
        worker.stop(true).await;
    }
    launcher.remove_profile(id).await;
    started.map(|_| format!("{program} starts")).map_err(Into::into)
}

fn bundle(path: &Path) -> anyhow::Result<String> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > 100_000 => Ok(format!("{} ({} KiB)", path.display(), meta.len() / 1024)),
        Ok(_) => bail!("{} is not the wa-js bundle: run deploy/setup.sh", path.display()),
        Err(error) => bail!("{}: {error}; run deploy/setup.sh, or set browser.wa_js", path.display()),
    }
}
