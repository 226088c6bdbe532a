//! Starts a driver on the `io` runtime, listens to it, and sees its end whatever happens to it.

use super::{Deps, DriverExited, FromDriver, SessionActor};
use crate::actor::living::{DriverHandle, SessionEntry, lock};
use crate::domain::exit::ExitReason;
use crate::domain::ids::Incarnation;
use crate::domain::session::StopMode;
use crate::domain::spec::SessionSpec;
use crate::ports::engine::{DriverContext, Report, Reported};
use actix::prelude::*;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// How long a driver that is gone is listened to.
const LAST_WORDS_MS: u64 = 2_000;

impl SessionActor {
    /// Starts a driver, and a watcher that reports its end.
    pub(super) fn spawn_driver(&mut self, incarnation: Incarnation, ctx: &mut Context<Self>) {
        let (command_tx, command_rx) = mpsc::channel(64);
        let (report_tx, report_rx) = mpsc::channel::<Reported>(64);
        let (stop_tx, stop_rx) = watch::channel(None);
        let addr = ctx.address();
        let listening = self.deps.io.spawn(listen(report_rx, Arc::clone(&self.entry), addr.clone()));
        let (deps, entry) = (self.deps.clone(), Arc::clone(&self.entry));
        self.deps.io.spawn(async move {
            let mut spec = entry.spec();
            if let Ok(Some(stored)) = deps.sessions.get(spec.key()).await {
                entry.set_spec(stored.clone());
                spec = stored;
            }
            let context = DriverContext {
                spec: spec.clone(),
                incarnation,
                commands: command_rx,
                reports: report_tx,
                stop: stop_rx.clone(),
                outbox_ready: Arc::clone(&entry.outbox_ready),
                journal: Arc::clone(&deps.journal),
                outbox: Arc::clone(&deps.outbox),
                sessions: Arc::clone(&deps.sessions),
                pool: Arc::clone(&deps.pool),
                hooks: entry.hooks(),
            };
            let reason = watch_driver(&deps, &spec, context, stop_rx).await;
            if let Ok(Some(stored)) = deps.sessions.get(spec.key()).await {
                entry.set_spec(stored);
            }
            // What it said last is heard before its end, unless a straggler of it keeps the line open.
            tokio::select! {
                _ = listening => {}
                () = deps.clock.sleep_until(deps.clock.now().saturating_add(LAST_WORDS_MS)) => {}
            }
            *lock(&entry.ended) = Some((incarnation, reason.clone()));
            addr.do_send(DriverExited { incarnation, reason });
        });
        *lock(&self.entry.driver) = Some(DriverHandle { incarnation, commands: command_tx, stop: stop_tx });
    }
}

/// Hands a driver's reports on. What others wait for, and what is only looked at, does not go through the actor.
async fn listen(mut reports: mpsc::Receiver<Reported>, entry: Arc<SessionEntry>, session: Addr<SessionActor>) {
    while let Some(reported) = reports.recv().await {
        match reported.report {
            Report::Delivered { message_id, result } => {
                for waiter in entry.deliveries.remove(&message_id).map(|(_, waiters)| waiters).unwrap_or_default() {
                    let _ = waiter.send(result.clone());
                }
            }
            Report::Usage(usage) => *lock(&entry.usage) = Some(usage),
            _ => {
                *lock(&entry.said) = Some(reported.clone());
                // Awaited: a driver that talks too much waits for its session.
                let _ = session.send(FromDriver(reported)).await;
            }
        }
    }
}

/// Runs a driver to its end. A panic is contained and cleaned up after; a stop that takes too long is enforced.
async fn watch_driver(
    deps: &Deps,
    spec: &SessionSpec,
    context: DriverContext,
    mut stop: watch::Receiver<Option<StopMode>>,
) -> ExitReason {
    let mut driver = deps.io.spawn(deps.engine.run(context));
    let stop_overdue = async {
        let asked = stop.wait_for(Option::is_some).await.is_ok();
        if !asked {
            std::future::pending::<()>().await;
        }
        let clock = &deps.clock;
        let limit = u64::try_from(deps.stop_timeout.as_millis()).unwrap_or(u64::MAX);
        clock.sleep_until(clock.now().saturating_add(limit)).await;
    };
    let ended = tokio::select! {
        ended = &mut driver => ended,
        () = stop_overdue => {
            tracing::warn!(session = %spec.id, "the driver did not stop in time and is aborted");
            driver.abort();
            driver.await
        }
    };
    match ended {
        Ok(reason) => reason,
        Err(error) => {
            deps.engine.clean_up(spec).await;
            match error.try_into_panic() {
                Ok(payload) => ExitReason::Panicked { detail: crate::supervise::panic_text(payload.as_ref()) },
                Err(_) => ExitReason::Stopped,
            }
        }
    }
}
