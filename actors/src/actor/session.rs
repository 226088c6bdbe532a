//! Owns one session: its state machine, its restart policy and the shell around its driver. The registry starts it.
//! In: control requests, commands for the driver, reports and exits of the driver. Out: events, and orders to the driver.
//! Nothing is lost when it dies: machine, driver and view stand in the routing table, and it adopts them again.

mod driving;
mod telling;

use super::browser_pool::{BrowserPoolActor, PoolTable, Release};
use super::fairness::Fairness;
use super::inbox::Permit;
use super::living::{Down, SessionEntry, View, lock};
use crate::domain::event::{EventKind, Recovery, Step};
use crate::domain::exit::{ExitClass, ExitReason};
use crate::domain::ids::Incarnation;
use crate::domain::session::{Action, Input, Next, Phase, Status, StopMode, Then};
use crate::failpoint;
use crate::policy::restart::Decision;
use crate::ports::clock::Clock;
use crate::ports::engine::{Answer, Command, CommandError, Engine, Report, Reported, WorkerPool};
use crate::ports::journal::{EventSink, Journal};
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

#[derive(Message)]
#[rtype(result = "()")]
struct PutAway;

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
    fairness: Fairness,
}

impl SessionActor {
    /// A shell around what stands in `entry`.
    #[must_use]
    pub fn new(deps: Deps, entry: Arc<SessionEntry>, lifeline: Lifeline) -> Self {
        let seed = u64::try_from(entry.spec().id.0.as_u128() & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            deps,
            entry,
            lifeline,
            rng: StdRng::seed_from_u64(seed),
            waiting: vec![],
            failed_probe: None,
            fairness: Fairness::default(),
        }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        failpoint::pass("session.started");
        self.adopt(ctx);
    }
}

impl Supervised for SessionActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        failpoint::pass("session.restarting");
    }
}

impl Handler<Control> for SessionActor {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("session.control");
        if let Some(permit) = &control.permit {
            permit.begin();
        }
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
            self.with_breaker(|machine| machine.restart.reset());
        }
        let begun = match control.wish {
            Wish::Stop | Wish::Remove => {
                self.waiting.extend(control.done);
                None
            }
            Wish::Start | Wish::Restart | Wish::Logout => control.done,
        };
        self.step(input, ctx);
        if let Some(begun) = begun {
            let _ = begun.send(());
        }
    }
}

impl Handler<Ask> for SessionActor {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("session.ask");
        ask.permit.begin();
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
        self.fairness.spend(ctx);
        failpoint::pass("session.report");
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
                let now = self.deps.clock.now();
                self.with_breaker(|machine| machine.restart.healthy(now));
                let down = lock(&self.entry.down).take();
                let recovered =
                    down.map(|down| Recovery { cause: down.cause.to_owned(), ms: now.saturating_sub(down.since) });
                self.step(Input::DriverReady(from), ctx);
                self.note(Step::Ready { recovered });
            }
            Report::Connecting => {
                if lock(&self.entry.machine).session.phase() == Phase::Working {
                    self.goes_down("disconnected");
                    self.note(Step::Connecting);
                }
                self.step(Input::DriverConnecting(from), ctx);
            }
            // The forwarder has taken these.
            Report::Delivered { .. } | Report::Usage(_) => {}
        }
    }
}

impl Handler<DriverExited> for SessionActor {
    type Result = ();

    fn handle(&mut self, mut exited: DriverExited, ctx: &mut Context<Self>) {
        failpoint::pass("session.exited");
        if self.failed_probe == Some(exited.incarnation) {
            exited.reason = ExitReason::TimedOut { detail: "the probe start took too long".to_owned() };
        }
        let now = self.deps.clock.now();
        // Decision and step are one, so that an exit is counted once also when this actor dies right behind them.
        let (decision, before, status, actions, breaker) = {
            let mut machine = lock(&self.entry.machine);
            if machine.session.incarnation() != exited.incarnation || !machine.session.has_driver() {
                return;
            }
            let (before, status) = (machine.session.phase(), machine.session.status());
            let breaker = machine.restart.breaker();
            let decision = next(machine.restart.exited(exited.reason.class(), now, &mut self.rng));
            let actions = machine.session.step(Input::Exited(exited.incarnation, decision));
            (decision, before, status, actions, (breaker, machine.restart.breaker()))
        };
        lock(&self.entry.driver).take_if(|driver| driver.incarnation == exited.incarnation);
        *lock(&self.entry.usage) = None;
        self.tell_end(&exited.reason, decision, before, breaker);
        self.after_step(status, actions, ctx);
    }
}

impl Handler<Wake> for SessionActor {
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Context<Self>) {
        failpoint::pass("session.wake");
        let now = self.deps.clock.now();
        let due = self.with_breaker(|machine| match machine.session.phase() {
            // A wake-up that was planned before the wait was changed has no effect.
            Phase::Waiting { until, .. } if until == wake.at => machine.restart.may_start(now),
            _ => false,
        });
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

impl Handler<PutAway> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: PutAway, _: &mut Context<Self>) {
        // A start that came meanwhile is another story; whoever waited for the end has waited for this one.
        self.settle();
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
    /// After a start of the actor: what was under way when it died is taken up again. Each part may be done twice.
    fn adopt(&mut self, ctx: &mut Context<Self>) {
        let (phase, incarnation, has_driver) = {
            let machine = lock(&self.entry.machine);
            (machine.session.phase(), machine.session.incarnation(), machine.session.has_driver())
        };
        let ended = lock(&self.entry.ended).clone().filter(|(of, _)| *of == incarnation).map(|(_, reason)| reason);
        let known = lock(&self.entry.driver).as_ref().is_some_and(|driver| driver.incarnation == incarnation);
        match (has_driver, ended) {
            (true, Some(reason)) => ctx.notify(DriverExited { incarnation, reason }),
            (true, None) if known => {
                self.watch_probe(incarnation, ctx);
                let said = lock(&self.entry.said).clone().filter(|said| said.incarnation == incarnation);
                if let Some(said) = said {
                    ctx.notify(FromDriver(said));
                }
                if let Phase::Stopping { mode, .. } = phase {
                    self.perform(vec![Action::EndDriver(mode)], ctx);
                }
            }
            (true, None) => {
                let detail = "the session's actor died while it started a driver".to_owned();
                ctx.notify(DriverExited { incarnation, reason: ExitReason::Panicked { detail } });
            }
            (false, _) => {}
        }
        match phase {
            Phase::Waiting { until, .. } => self.perform(vec![Action::WakeAt(until)], ctx),
            Phase::Forgetting { .. } => self.forget(ctx),
            Phase::Stopped if incarnation > Incarnation::default() => self.perform(vec![Action::Settled], ctx),
            Phase::Parked => self.deps.pool_actor.do_send(Release { session: self.entry.spec().id }),
            _ => {}
        }
        let status = lock(&self.entry.machine).session.status();
        if status != self.entry.view.borrow().status && status != Status::ScanQrCode {
            let exit = self.entry.view.borrow().exit.clone();
            self.announce(status, exit);
        }
        self.note_panic();
    }

    /// One step of the machine, the change of status it brought, and its actions.
    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        let (before, actions) = {
            let mut machine = lock(&self.entry.machine);
            (machine.session.status(), machine.session.step(input))
        };
        self.after_step(before, actions, ctx);
    }

    /// What follows a step: everybody sees it, then its actions are performed.
    fn after_step(&mut self, before: Status, actions: Vec<Action>, ctx: &mut Context<Self>) {
        let (phase, after, incarnation) = {
            let machine = lock(&self.entry.machine);
            (machine.session.phase(), machine.session.status(), machine.session.incarnation())
        };
        self.entry.view.send_modify(|view| {
            view.incarnation = incarnation;
            if !matches!(phase, Phase::Waiting { .. }) {
                view.retry_at_ms = None;
            }
        });
        if before != after && after != Status::ScanQrCode {
            let exit = if after == Status::Working { None } else { self.entry.view.borrow().exit.clone() };
            self.announce(after, exit);
        }
        if phase == Phase::Parked {
            self.deps.pool_actor.do_send(Release { session: self.entry.spec().id });
        }
        self.perform(actions, ctx);
    }

    /// Changes the machine, and tells of it when the breaker changed.
    fn with_breaker<T>(&self, change: impl FnOnce(&mut super::living::Machine) -> T) -> T {
        let (outcome, before, after) = {
            let mut machine = lock(&self.entry.machine);
            let before = machine.restart.breaker();
            (change(&mut machine), before, machine.restart.breaker())
        };
        self.note_breaker(before, after);
        outcome
    }

    /// The connection is lost: from now on the recovery is timed.
    fn goes_down(&self, cause: &'static str) {
        let since = self.deps.clock.now();
        lock(&self.entry.down).get_or_insert(Down { since, cause });
    }

    /// Tells of a driver's end: log, timeline, view, event.
    fn tell_end(&self, reason: &ExitReason, next: Next, before: Phase, breaker: (Breaker, Breaker)) {
        let retry_at_ms = match next {
            Next::Wait { until, .. } => {
                let after = until.saturating_sub(self.deps.clock.now());
                Some(self.deps.clock.unix_ms().saturating_add_unsigned(after))
            }
            Next::Finish | Next::Park => None,
        };
        match next {
            Next::Wait { .. } if before == Phase::Working => self.goes_down(reason.code()),
            Next::Finish | Next::Park => drop(lock(&self.entry.down).take()),
            Next::Wait { .. } => {}
        }
        let unlinked = matches!(reason, ExitReason::Unpaired | ExitReason::LoggedOut);
        self.entry.view.send_modify(|view| {
            view.qr = None;
            view.exit = Some(reason.clone());
            view.retry_at_ms = retry_at_ms;
            if unlinked {
                view.account = None;
            }
        });
        let word = match next {
            Next::Finish => "finish",
            Next::Park => "park",
            Next::Wait { open: false, .. } => "retry",
            Next::Wait { open: true, .. } => "probe",
        };
        self.note(Step::Ended { exit: reason.clone(), next: word.to_owned(), retry_at_ms });
        self.note_breaker(breaker.0, breaker.1);
        if let Next::Wait { open: true, .. } = next {
            let retry_at_ms = retry_at_ms.unwrap_or_default();
            self.publish(EventKind::ConnectionFailed { exit: reason.clone(), retry_at_ms });
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Spawn(incarnation) => {
                    self.settle();
                    failpoint::pass("session.spawn");
                    let after = self.entry.view.borrow().exit.clone();
                    let failed = after.filter(|exit| exit.class() != ExitClass::Finished);
                    self.note(Step::Started {
                        incarnation: incarnation.0,
                        cause: failed.map(|exit| exit.code().into()),
                    });
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
                    ctx.spawn(sleep.into_actor(self).map(move |(), _, ctx| {
                        failpoint::pass("session.spawned");
                        ctx.notify(Wake { at });
                    }));
                }
                Action::Settled => {
                    self.deps.pool_actor.do_send(Release { session: self.entry.spec().id });
                    self.put_away(ctx);
                }
            }
        }
    }

    /// Seals what a crash may have left open, then tells whoever waits for the end. The engine lets no driver begin meanwhile.
    fn put_away(&mut self, ctx: &mut Context<Self>) {
        let (sealed, addr) = (self.deps.engine.put_away(&self.entry.spec()), ctx.address());
        self.deps.io.spawn(async move {
            sealed.await;
            addr.do_send(PutAway);
        });
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

    /// Removes the login; what follows waits for it.
    fn forget(&mut self, ctx: &mut Context<Self>) {
        let (deps, entry, addr) = (self.deps.clone(), Arc::clone(&self.entry), ctx.address());
        self.deps.io.spawn(async move {
            let spec = entry.spec();
            if deps.engine.forget(&spec).await.is_err() || deps.sessions.unlinked(&spec).await.is_err() {
                tracing::error!(session = %spec.id, "the login could not be removed completely");
            }
            if let Ok(Some(stored)) = deps.sessions.get(spec.key()).await {
                entry.set_spec(stored);
            }
            addr.do_send(Forgotten);
        });
    }
}

type Breaker = crate::policy::breaker::State;

/// The restart policy's decision in the words of the state machine.
fn next(decision: Decision) -> Next {
    match decision {
        Decision::Finish => Next::Finish,
        Decision::Park => Next::Park,
        Decision::RetryAt(until) => Next::Wait { until, open: false },
        Decision::ProbeAt(until) => Next::Wait { until, open: true },
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
            Self::Ask { answer, .. } => say(answer, error),
            Self::Act { answer, .. } | Self::Fetch { answer, .. } => say(answer, error),
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
    global: Arc<crate::domain::webhook::Hooks>,
) -> SessionEntry {
    SessionEntry {
        inbox: std::sync::OnceLock::new(),
        view: watch::Sender::new(first_view(&spec)),
        hooks: Mutex::new(super::living::hooks_of(&spec, &global)),
        global,
        spec: Mutex::new(spec),
        driver: Mutex::default(),
        ended: Mutex::default(),
        said: Mutex::default(),
        panic: Mutex::default(),
        usage: Mutex::default(),
        down: Mutex::default(),
        timeline: Mutex::default(),
        removing: tokio::sync::Mutex::default(),
        machine: Mutex::new(super::living::Machine {
            session: crate::domain::session::Session::default(),
            restart: crate::policy::restart::Restart::new(restart),
        }),
        outbox_ready: Arc::default(),
        deliveries: dashmap::DashMap::new(),
    }
}
