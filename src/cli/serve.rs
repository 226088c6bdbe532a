//! `wardroom serve` and `wardroom simulator`.

use super::SimulatorCommand;
use crate::clock::SystemClock;
use crate::config::{Config, Environment, Log, LogFormat};
use crate::simulator::script::Script;
use crate::{app, simulator, telemetry};
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use wardroom_actors::failpoint;

/// Runs the server until SIGTERM or SIGINT.
pub(super) fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    cheap_panics();
    let clock = Arc::new(SystemClock::start());
    arm_failpoint(&config, &clock)?;
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).max(2))
        .thread_name("io")
        .enable_all()
        .build()?;
    let handle = io.handle().clone();
    let ended = actix_rt::System::new().block_on(async move {
        let mut stop = std::pin::pin!(stop_signal()?);
        let running = tokio::select! {
            running = app::start(config, handle, clock, None) => running?,
            () = &mut stop => return Ok(()),
        };
        stop.await;
        tracing::info!("stopping");
        running.stop().await;
        Ok(())
    });
    io.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Runs a simulator until SIGTERM or SIGINT.
pub(super) fn simulator(options: SimulatorCommand) -> anyhow::Result<()> {
    let script = match &options.script {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            Script::read(&text).map_err(|what| anyhow::anyhow!("{}: {what}", path.display()))?
        }
        None => Script::default(),
    };
    let log = Log { filter: "info".to_owned(), format: LogFormat::Text };
    telemetry::start(&log).map_err(anyhow::Error::msg)?;
    actix_rt::System::new().block_on(async move {
        let stop = stop_signal()?;
        let running = simulator::start(simulator::Options {
            listen: options.listen,
            data_dir: options.data_dir,
            qr_first: Duration::from_millis(options.qr_first_ms),
            qr_next: Duration::from_millis(options.qr_next_ms),
            qr_codes: options.qr_codes,
            script,
        })?;
        tracing::info!(phones = format!("http://{}/phones", running.address), "simulated WhatsApp");
        stop.await;
        running.handle.stop(false).await;
        Ok(())
    })
}

/// Breaks the server at a named moment, for tests and in development only. `WARDROOM_FAILPOINT=kill:page.taken@3` ends the process
/// at the third passage of that moment, as kill -9 does; `panic:page.taken@3` panics there; `jump:page.taken@-3600000` moves the wall
/// clock by so many milliseconds at the first passage; `slow:page.taken@300` takes so many milliseconds at every passage.
/// Commas part several.
fn arm_failpoint(config: &Config, clock: &Arc<SystemClock>) -> anyhow::Result<()> {
    let Ok(text) = std::env::var("WARDROOM_FAILPOINT") else { return Ok(()) };
    anyhow::ensure!(config.environment == Environment::Development, "WARDROOM_FAILPOINT is for development only");
    text.split(',').try_for_each(|one| arm(one, clock))
}

fn arm(text: &str, clock: &Arc<SystemClock>) -> anyhow::Result<()> {
    let parts = text.split_once(':').and_then(|(what, rest)| Some((what, rest.split_once('@')?)));
    let (what, (moment, number)) = parts.context("WARDROOM_FAILPOINT is kill, panic, jump or slow:MOMENT@N")?;
    let number: i64 = number.parse().context("WARDROOM_FAILPOINT: N is a number")?;
    let nth = u32::try_from(number).unwrap_or(1);
    match what {
        "kill" => failpoint::arm(
            moment,
            nth,
            Arc::new(|| {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }),
        ),
        "panic" => failpoint::arm(
            moment,
            nth,
            Arc::new(|| {
                tracing::warn!("a failpoint panics");
                std::panic::resume_unwind(Box::new("a failpoint"))
            }),
        ),
        "jump" => {
            let clock = Arc::clone(clock);
            failpoint::arm(moment, 1, Arc::new(move || clock.jump(number)));
        }
        "slow" => {
            let pause = Duration::from_millis(u64::from(nth));
            #[expect(clippy::disallowed_methods, reason = "it is meant to block")]
            failpoint::arm_always(moment, Arc::new(move || std::thread::sleep(pause)));
        }
        other => anyhow::bail!("WARDROOM_FAILPOINT: {other} is neither kill, panic, jump nor slow"),
    }
    Ok(())
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// A contained panic is an ordinary event: one line, no backtrace, so that a storm of them does not block a thread.
fn cheap_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = wardroom_actors::supervise::panic_text(panic.payload());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, text, "panic");
    }));
}
