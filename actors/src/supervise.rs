//! Runs an actor so that its panic is an event and not an end.
//!
//! `actix::Supervisor` ignores panics, knows no delay and no cap, and some panics abort the whole process while the
//! context unwinds. This future drives actix's public `ContextFut` instead: it contains every panic, keeps address and
//! mailbox, restarts the first time at once and then with a growing delay, and drops the context inside a guard too.
//! A stop is not an end: only [`Lifeline::end`], or the loss of the last address, ends an actor for good.

use crate::ports::BoxFuture;
use crate::ports::clock::Clock;
use actix::dev::ContextFut;
use actix::dev::channel::{self, AddressReceiver};
use actix::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};

/// Why an actor's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped, or nobody held its address any more.
    Stopped,
    /// It panicked, with this text.
    Panicked(String),
}

/// Delays between restarts in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// The second restart in a row waits so long, then twice that, and so on.
    pub base_ms: u64,
    /// Longest delay.
    pub cap_ms: u64,
    /// So long without an exit, and the next restart is at once again.
    pub reset_after_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { base_ms: 10, cap_ms: 30_000, reset_after_ms: 60_000 }
    }
}

/// Tells an intended end from a stop. The actor keeps one and calls [`Self::end`] before it stops its context.
#[derive(Clone, Debug, Default)]
pub struct Lifeline(Arc<AtomicBool>);

impl Lifeline {
    /// The next exit is the last.
    pub fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn ended(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Hears of every exit; the number is the delay until the restart, `None` at the end.
pub type OnExit = Arc<dyn Fn(&'static str, &Exit, Option<u64>) + Send + Sync>;

/// What supervised actors run under.
pub struct Supervision {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Numbers.
    pub delays: Delays,
    /// The listener. It must not panic.
    pub on_exit: OnExit,
}

/// Starts an actor on `arbiter`. `kind` names it in reports. `factory` runs on the arbiter's thread, and again only while it
/// panics: later restarts keep the struct, so `restarting()` has to rebuild what a panic may have damaged.
pub fn start<A>(
    arbiter: &ArbiterHandle,
    kind: &'static str,
    supervision: Arc<Supervision>,
    factory: impl FnMut(Lifeline) -> A + Send + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised + Unpin,
{
    let (sender, receiver) = channel::channel(16);
    arbiter.spawn_fn(move || {
        actix_rt::spawn(Run {
            stage: Stage::Unbuilt(receiver, Box::new(factory)),
            kind,
            supervision,
            lifeline: Lifeline::default(),
            step: Step::Poll,
            exits: 0,
            last_exit: None,
        });
    });
    Addr::new(sender)
}

/// The text of a panic.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".to_owned())
}

type Factory<A> = Box<dyn FnMut(Lifeline) -> A>;

enum Step {
    Poll,
    Restart,
    RestartAfter(BoxFuture<'static, ()>),
}

enum Stage<A: Actor<Context = Context<A>>> {
    /// The factory has not succeeded yet; the mailbox is there already.
    Unbuilt(AddressReceiver<A>, Factory<A>),
    Built(Pin<Box<ContextFut<A, Context<A>>>>),
    Ended,
}

struct Run<A: Actor<Context = Context<A>>> {
    stage: Stage<A>,
    kind: &'static str,
    supervision: Arc<Supervision>,
    lifeline: Lifeline,
    step: Step,
    /// Exits in a row.
    exits: u32,
    last_exit: Option<u64>,
}

/// Runs `work` and makes a panic an exit.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T, Exit> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Exit::Panicked(panic_text(payload.as_ref())))
}

impl<A: Actor<Context = Context<A>> + Supervised + Unpin> Run<A> {
    /// One run of the actor, or one attempt to build or restart it.
    fn run(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Exit> {
        if let Step::RestartAfter(delay) = &mut self.step {
            ready!(delay.as_mut().poll(cx));
            self.step = Step::Restart;
        }
        let restart = matches!(self.step, Step::Restart);
        self.step = Step::Poll;
        if let Err(exit) = self.build() {
            return Poll::Ready(exit);
        }
        let Stage::Built(future) = &mut self.stage else { return Poll::Ready(Exit::Stopped) };
        // If restarting() itself panics the state was not rebuilt, so started() must not see it: one more exit.
        if restart && let Err(exit) = contained(|| future.as_mut().get_mut().restart()) {
            return Poll::Ready(exit);
        }
        match contained(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Stopped),
            Err(exit) => Poll::Ready(exit),
        }
    }

    fn build(&mut self) -> Result<(), Exit> {
        let Stage::Unbuilt(_, factory) = &mut self.stage else { return Ok(()) };
        let lifeline = self.lifeline.clone();
        let actor = contained(|| factory(lifeline))?;
        if let Stage::Unbuilt(receiver, _) = std::mem::replace(&mut self.stage, Stage::Ended) {
            self.stage = Stage::Built(Box::pin(Context::with_receiver(receiver).into_future(actor)));
        }
        Ok(())
    }

    /// Whether anybody holds the address.
    fn connected(&mut self) -> bool {
        match &mut self.stage {
            Stage::Unbuilt(receiver, _) => receiver.connected(),
            Stage::Built(future) => future.as_mut().get_mut().ctx().connected(),
            Stage::Ended => false,
        }
    }

    /// The delay before the next restart: none for the first exit in a while.
    fn next_delay(&mut self) -> u64 {
        let now = self.supervision.clock.now();
        let Delays { base_ms, cap_ms, reset_after_ms } = self.supervision.delays;
        if self.last_exit.is_none_or(|at| now.saturating_sub(at) >= reset_after_ms) {
            self.exits = 0;
        }
        self.last_exit = Some(now);
        self.exits = self.exits.saturating_add(1);
        match self.exits {
            1 => 0,
            n => base_ms.saturating_mul(1 << (n - 2).min(20)).min(cap_ms),
        }
    }
}

impl<A: Actor<Context = Context<A>> + Supervised + Unpin> Future for Run<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let exit = ready!(this.run(cx));
            if this.lifeline.ended() || !this.connected() {
                (this.supervision.on_exit)(this.kind, &exit, None);
                return Poll::Ready(());
            }
            let delay = this.next_delay();
            (this.supervision.on_exit)(this.kind, &exit, Some(delay));
            // A timer, even of zero, costs a millisecond.
            this.step = match delay {
                0 => Step::Restart,
                _ => Step::RestartAfter(
                    this.supervision.clock.sleep_until(this.supervision.clock.now().saturating_add(delay)),
                ),
            };
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Run<A> {
    fn drop(&mut self) {
        // ContextFut::drop polls the actor once more (stopping(), stopped()), which can panic as well.
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        let _ = contained(|| drop(stage));
    }
}
