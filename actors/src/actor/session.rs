//! Owns one session: its state machine, its restart policy and the shell around its driver. The registry starts it.
//! In: control requests, commands for the driver, reports and exits of the driver. Out: events, and orders to the driver.
//! Nothing is lost when it dies: machine, driver and view stand in the routing table, and it adopts them again.

use super::browser_pool::{BrowserPoolActor, PoolTable, Release};
use super::inbox::Permit;
use super::living::{DriverHandle, SessionEntry, View, lock};
use crate::domain::event::{Event, EventKind, StatusChange};
use crate::domain::exit::ExitReason;
use crate::domain::ids::{Incarnation, event_id};
use crate::domain::session::{Action, Input, Next, Phase, Status, StopMode, Then};
use crate::policy::restart::Decision;
use crate::ports::clock::Clock;
use crate::ports::engine::{Answer, Command, CommandError, DriverContext, Engine, Report, Reported, WorkerPool};
use crate::ports::journal::{Entry, EventSink, Journal};
use crate::ports::store::{OutboxStore, SessionStore};
use crate::supervise::Lifeline;
use actix::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// A control request. Sent by the handle; each kind is idempotent.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Control {
    /// What.
    pub wish: Wish,
    /// Hears when it has come to its end: for a start at once, for a stop when the driver is gone.
    pub done: Option<oneshot::Sender<()>>,
    /// The place in the inbox.
    pub permit: Option<Permit>,
}

/// What a person wants of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Run.
    Start,
    /// End, keep the login.
    Stop,
    /// End and start again; forgets all failures.
    Restart,
    /// Unlink the account; starts again if it was running.
    Logout,
    /// Unlink the account and end.
    Remove,
}

/// A command for the driver, sent by the handle.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ask {
    /// What.
    pub command: Command,
    /// The place in the inbox.
    pub permit: Permit,
}

/// The registry has removed the session: end for good.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Passivate;

#[derive(Message)]
#[rtype(result = "()")]
struct FromDriver(Reported);

#[derive(Message)]
#[rtype(result = "()")]
struct DriverExited {
    incarnation: Incarnation,
    reason: ExitReason,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Wake {
    at: u64,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ProbeOver {
    incarnation: Incarnation,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Forgotten;

/// Ports and the tables.
#[derive(Clone)]
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The adapter.
    pub engine: Arc<dyn Engine>,
    /// Messages and events.
    pub journal: Arc<dyn Journal>,
    /// What is not stored.
    pub sink: Arc<dyn EventSink>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Outgoing texts.
    pub outbox: Arc<dyn OutboxStore>,
    /// Browsers, for drivers.
    pub pool: Arc<dyn WorkerPool>,
    /// The pool's actor, for giving slots back.
    pub pool_actor: Addr<BrowserPoolActor>,
    /// The pool's count.
    pub pool_table: Arc<PoolTable>,
    /// The runtime of drivers.
    pub io: tokio::runtime::Handle,
    /// Longest time from a stop request to the driver's end.
    pub stop_timeout: Duration,
}

/// The shell.
pub struct SessionActor {
    deps: Deps,
    entry: Arc<SessionEntry>,
    lifeline: Lifeline,
    rng: StdRng,
    /// Who waits for the end of a stop.
    waiting: Vec<oneshot::Sender<()>>,
    /// The probe that was ended for being too slow.
    failed_probe: Option<Incarnation>,
}

impl SessionActor {
    /// A shell around what stands in `entry`.
    #[must_use]
    pub fn new(deps: Deps, entry: Arc<SessionEntry>, lifeline: Lifeline) -> Self {
        let seed = u64::try_from(entry.spec().id.0.as_u128() & u128::from(u64::MAX)).unwrap_or_default();
        Self { deps, entry, lifeline, rng: StdRng::seed_from_u64(seed), waiting: vec![], failed_probe: None }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.adopt(ctx);
    }
}

impl Supervised for SessionActor {}

impl Handler<Control> for SessionActor {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        let running = lock(&self.entry.machine).session.phase() != Phase::Stopped;
        let stop = |mode, then| Input::Stop { mode, then };
        let input = match control.wish {
            Wish::Start => Input::Start,
            Wish::Stop => stop(StopMode::KeepLogin, Then::Stay),
            Wish::Restart => stop(StopMode::KeepLogin, Then::Start),
            Wish::Logout if running => stop(StopMode::Logout, Then::Start),
            Wish::Logout | Wish::Remove => stop(StopMode::Logout, Then::Stay),
        };
        if control.wish != Wish::Stop {
            lock(&self.entry.machine).restart.reset();
        }
        match control.wish {
            Wish::Stop | Wish::Remove => self.waiting.extend(control.done),
            Wish::Start | Wish::Restart | Wish::Logout => drop(control.done.map(|done| done.send(()))),
        }
        self.step(input, ctx);
    }
}

impl Handler<Ask> for SessionActor {
    type Result = ();

    fn handle(&mut self, ask: Ask, _: &mut Context<Self>) {
        let driver = lock(&self.entry.driver);
        let refused = match driver.as_ref() {
            None => Some((ask.command, CommandError::NotReady)),
            Some(driver) => match driver.commands.try_send(ask.command) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(command)) => Some((command, CommandError::Busy)),
                Err(mpsc::error::TrySendError::Closed(command)) => Some((command, CommandError::NoAnswer)),
            },
        };
        if let Some((command, error)) = refused {
            command.refuse(error);
        }
    }
}

impl Handler<FromDriver> for SessionActor {
    type Result = ();

    fn handle(&mut self, FromDriver(reported): FromDriver, ctx: &mut Context<Self>) {
        let from = reported.incarnation;
        if from != lock(&self.entry.machine).session.incarnation() {
            return;
        }
        match reported.report {
            Report::Qr(qr) => {
                self.step(Input::DriverLogin(from), ctx);
                // A session that was asked to end meanwhile shows no code any more.
                if lock(&self.entry.machine).session.phase() == Phase::Login {
                    self.entry.view.send_modify(|view| view.qr = Some(qr));
                    self.announce(Status::ScanQrCode, None);
                }
            }
            Report::PairingCode => self.step(Input::DriverLogin(from), ctx),
            Report::Linked(account) => self.entry.view.send_modify(|view| {
                view.qr = None;
                view.account = Some(account);
            }),
            Report::Ready(account) => {
                self.entry.view.send_modify(|view| {
                    view.qr = None;
                    view.exit = None;
                    view.account = Some(account);
                });
                lock(&self.entry.machine).restart.healthy(self.deps.clock.now());
                self.step(Input::DriverReady(from), ctx);
            }
            Report::Connecting => self.step(Input::DriverConnecting(from), ctx),
            Report::Delivered { outbox, result } => {
                if let Some((_, waiter)) = self.entry.deliveries.remove(&outbox) {
                    let _ = waiter.send(result);
                }
            }
        }
    }
}

impl Handler<DriverExited> for SessionActor {
    type Result = ();

    fn handle(&mut self, mut exited: DriverExited, ctx: &mut Context<Self>) {
        if self.failed_probe.take_if(|probe| *probe == exited.incarnation).is_some() {
            exited.reason = ExitReason::TimedOut { detail: "the probe start took too long".to_owned() };
        }
        let now = self.deps.clock.now();
        {
            let mut driver = lock(&self.entry.driver);
            driver.take_if(|driver| driver.incarnation == exited.incarnation);
        }
        let decision = {
            let mut machine = lock(&self.entry.machine);
            if machine.session.incarnation() != exited.incarnation {
                return;
            }
            machine.restart.exited(exited.reason.class(), now, &mut self.rng)
        };
        let next = match decision {
            Decision::Finish => Next::Finish,
            Decision::Park => Next::Park,
            Decision::RetryAt(until) => Next::Wait { until, open: false },
            Decision::ProbeAt(until) => Next::Wait { until, open: true },
        };
        let retry_at_ms = match next {
            Next::Wait { until, .. } => {
                Some(self.deps.clock.unix_ms().saturating_add_unsigned(until.saturating_sub(now)))
            }
            Next::Finish | Next::Park => None,
        };
        let unlinked = matches!(exited.reason, ExitReason::Unpaired | ExitReason::LoggedOut);
        self.entry.view.send_modify(|view| {
            view.qr = None;
            view.exit = Some(exited.reason.clone());
            view.retry_at_ms = retry_at_ms;
            if unlinked {
                view.account = None;
            }
        });
        tracing::info!(session = %self.entry.spec().id, reason = exited.reason.code(), ?next, "driver ended");
        if let Next::Wait { open: true, .. } = next {
            let kind = EventKind::ConnectionFailed {
                exit: exited.reason.clone(),
                retry_at_ms: retry_at_ms.unwrap_or_default(),
            };
            self.publish(kind);
        }
        self.step(Input::Exited(exited.incarnation, next), ctx);
    }
}

impl Handler<Wake> for SessionActor {
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Context<Self>) {
        let due = {
            let mut machine = lock(&self.entry.machine);
            match machine.session.phase() {
                // A wake-up that was planned before the wait was changed has no effect.
                Phase::Waiting { until, .. } if until == wake.at => machine.restart.may_start(self.deps.clock.now()),
                _ => false,
            }
        };
        if due {
            self.step(Input::WaitOver, ctx);
        }
    }
}

impl Handler<ProbeOver> for SessionActor {
    type Result = ();

    fn handle(&mut self, over: ProbeOver, _: &mut Context<Self>) {
        let slow = {
            let machine = lock(&self.entry.machine);
            machine.session.incarnation() == over.incarnation && machine.restart.probe_deadline().is_some()
        };
        if slow {
            self.failed_probe = Some(over.incarnation);
            if let Some(driver) = lock(&self.entry.driver).as_ref() {
                driver.stop.send_replace(Some(StopMode::KeepLogin));
            }
        }
    }
}

impl Handler<Forgotten> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Forgotten, ctx: &mut Context<Self>) {
        self.entry.view.send_modify(|view| {
            view.account = None;
            view.qr = None;
        });
        self.step(Input::Forgotten, ctx);
    }
}

impl Handler<Passivate> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Passivate, ctx: &mut Context<Self>) {
        self.lifeline.end();
        ctx.stop();
    }
}

impl SessionActor {
    /// After a start of the actor: what was under way when it died is taken up again.
    fn adopt(&mut self, ctx: &mut Context<Self>) {
        let (phase, incarnation, has_driver) = {
            let machine = lock(&self.entry.machine);
            (machine.session.phase(), machine.session.incarnation(), machine.session.has_driver())
        };
        let alive = lock(&self.entry.driver).as_ref().is_some_and(|driver| driver.incarnation == incarnation);
        if has_driver && !alive {
            let detail = "the session's actor died while it started a driver".to_owned();
            ctx.notify(DriverExited { incarnation, reason: ExitReason::Panicked { detail } });
        }
        match phase {
            Phase::Waiting { until, .. } => self.perform(vec![Action::WakeAt(until)], ctx),
            Phase::Forgetting { .. } => self.forget(ctx),
            _ => {}
        }
    }

    /// One step of the machine, the change of status it brought, and its actions.
    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        let (actions, before, after, incarnation, waiting) = {
            let mut machine = lock(&self.entry.machine);
            let before = machine.session.status();
            let actions = machine.session.step(input);
            let waiting = matches!(machine.session.phase(), Phase::Waiting { .. });
            (actions, before, machine.session.status(), machine.session.incarnation(), waiting)
        };
        self.entry.view.send_modify(|view| {
            view.incarnation = incarnation;
            if !waiting {
                view.retry_at_ms = None;
            }
        });
        if before != after && after != Status::ScanQrCode {
            let exit = if after == Status::Working { None } else { self.entry.view.borrow().exit.clone() };
            self.announce(after, exit);
        }
        let parked = lock(&self.entry.machine).session.phase() == Phase::Parked;
        if parked {
            self.deps.pool_actor.do_send(Release { session: self.entry.spec().id });
        }
        self.perform(actions, ctx);
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Spawn(incarnation) => {
                    self.settle();
                    self.spawn_driver(incarnation, ctx);
                    self.watch_probe(incarnation, ctx);
                }
                Action::EndDriver(mode) => {
                    if let Some(driver) = lock(&self.entry.driver).as_ref() {
                        driver.stop.send_replace(Some(mode));
                    }
                }
                Action::ForgetLogin => self.forget(ctx),
                Action::WakeAt(at) => {
                    let sleep = self.deps.clock.sleep_until(at);
                    ctx.spawn(sleep.into_actor(self).map(move |(), _, ctx| ctx.notify(Wake { at })));
                }
                Action::Settled => {
                    self.deps.pool_actor.do_send(Release { session: self.entry.spec().id });
                    self.put_away(ctx);
                }
            }
        }
    }

    /// Seals what a crash may have left open, then tells whoever waits for the end. Interleaves; the engine lets no driver
    /// begin meanwhile.
    fn put_away(&mut self, ctx: &mut Context<Self>) {
        let sealed = self.deps.io.spawn(self.deps.engine.put_away(&self.entry.spec()));
        ctx.spawn(sealed.into_actor(self).map(|_, actor, _| actor.settle()));
    }

    /// The old driver is gone: whoever waited for that hears it.
    fn settle(&mut self) {
        for done in self.waiting.drain(..) {
            let _ = done.send(());
        }
    }

    /// A half-open breaker's probe has a deadline of its own.
    fn watch_probe(&mut self, incarnation: Incarnation, ctx: &mut Context<Self>) {
        let deadline = lock(&self.entry.machine).restart.probe_deadline();
        if let Some(deadline) = deadline {
            let sleep = self.deps.clock.sleep_until(deadline);
            ctx.spawn(sleep.into_actor(self).map(move |(), _, ctx| ctx.notify(ProbeOver { incarnation })));
        }
    }

    /// Removes the login; what follows waits for it. Interleaves.
    fn forget(&mut self, ctx: &mut Context<Self>) {
        let (deps, entry) = (self.deps.clone(), Arc::clone(&self.entry));
        let work = self.deps.io.spawn(async move {
            let spec = entry.spec();
            if deps.engine.forget(&spec).await.is_err() || deps.sessions.unlinked(&spec).await.is_err() {
                tracing::error!(session = %spec.id, "the login could not be removed completely");
            }
            if let Ok(Some(stored)) = deps.sessions.get(spec.key()).await {
                *lock(&entry.spec) = stored;
            }
        });
        ctx.spawn(work.into_actor(self).map(|_, _, ctx| ctx.notify(Forgotten)));
    }

    /// Starts a driver on the `io` runtime, and a watcher that reports its end whatever happens to it.
    fn spawn_driver(&mut self, incarnation: Incarnation, ctx: &mut Context<Self>) {
        let (command_tx, command_rx) = mpsc::channel(64);
        let (report_tx, mut report_rx) = mpsc::channel::<Reported>(64);
        let (stop_tx, stop_rx) = watch::channel(None);
        *lock(&self.entry.driver) = Some(DriverHandle { incarnation, commands: command_tx, stop: stop_tx });
        let addr = ctx.address();
        let reports_to = addr.clone();
        self.deps.io.spawn(async move {
            while let Some(reported) = report_rx.recv().await {
                let _ = reports_to.send(FromDriver(reported)).await;
            }
        });
        let (deps, entry) = (self.deps.clone(), Arc::clone(&self.entry));
        self.deps.io.spawn(async move {
            let mut spec = entry.spec();
            if let Ok(Some(stored)) = deps.sessions.get(spec.key()).await {
                *lock(&entry.spec) = stored.clone();
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
            };
            let reason = watch_driver(&deps, &spec, context, stop_rx).await;
            if let Ok(Some(stored)) = deps.sessions.get(spec.key()).await {
                *lock(&entry.spec) = stored;
            }
            addr.do_send(DriverExited { incarnation, reason });
        });
    }

    /// Tells everybody about a status; the journal keeps all but the QR codes.
    fn announce(&self, status: Status, exit: Option<ExitReason>) {
        let at = self.deps.clock.unix_ms();
        let mut history = vec![];
        self.entry.view.send_modify(|view| {
            view.status = status;
            view.activity_ms = Some(at);
            view.history.push((status, at));
            let surplus = view.history.len().saturating_sub(3);
            view.history.drain(..surplus);
            history = view.history.clone();
        });
        tracing::info!(session = %self.entry.spec().id, status = status.as_str(), "session status");
        self.publish(EventKind::Status(StatusChange { status, history, exit }));
    }

    fn publish(&self, kind: EventKind) {
        let spec = self.entry.spec();
        if kind.durable() {
            let entry = Entry {
                key: spec.key(),
                user: spec.user,
                session: spec.name,
                epoch: spec.link_epoch,
                dedupe: event_id(),
                kind,
            };
            self.deps.io.spawn(self.deps.journal.append(vec![entry]));
        } else {
            let at_ms = self.deps.clock.unix_ms();
            let event = Event { seq: None, id: event_id(), key: spec.key(), session: spec.name, at_ms, kind };
            self.deps.sink.publish(event);
        }
    }
}

/// Runs a driver to its end. A panic is contained and cleaned up after; a stop that takes too long is enforced.
async fn watch_driver(
    deps: &Deps,
    spec: &crate::domain::spec::SessionSpec,
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

impl Command {
    /// Answers with an error instead of doing it.
    pub fn refuse(self, error: CommandError) {
        fn say<T>(answer: Answer<T>, error: CommandError) {
            let _ = answer.send(Err(error));
        }
        match self {
            Self::RequestCode { answer, .. } => say(answer, error),
            Self::Screenshot { answer } => say(answer, error),
            Self::Seen { answer, .. } | Self::Typing { answer, .. } => say(answer, error),
        }
    }
}

/// What a session looks like before anything happened to it.
#[must_use]
pub fn first_view(spec: &crate::domain::spec::SessionSpec) -> View {
    View {
        status: Status::Stopped,
        history: vec![],
        account: spec.account.clone(),
        qr: None,
        exit: None,
        retry_at_ms: None,
        incarnation: Incarnation::default(),
        activity_ms: None,
        desired_running: spec.desired_running,
    }
}

/// The entry of a session in the routing table, before its actor runs.
#[must_use]
pub fn new_entry(
    spec: crate::domain::spec::SessionSpec,
    restart: crate::policy::restart::RestartPolicy,
) -> SessionEntry {
    SessionEntry {
        inbox: std::sync::OnceLock::new(),
        view: watch::Sender::new(first_view(&spec)),
        spec: Mutex::new(spec),
        driver: Mutex::new(None),
        machine: Mutex::new(super::living::Machine {
            session: crate::domain::session::Session::default(),
            restart: crate::policy::restart::Restart::new(restart),
        }),
        outbox_ready: Arc::default(),
        deliveries: dashmap::DashMap::new(),
    }
}
