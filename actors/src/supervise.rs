//! Runs an actor so that its panic is an event and not an end.
//!
//! `actix::Supervisor` ignores panics, knows no delay and no cap, and some panics abort the whole process while the
//! context unwinds. This future drives actix's public `ContextFut` instead: it contains every panic, keeps address and
//! mailbox, restarts the first time at once and then with a growing delay, and drops the context inside a guard too.
//! A stop is not an end: only [`Lifeline::end`], or the loss of the last address, ends an actor for good.

use crate::ports::BoxFuture;
use crate::ports::clock::Clock;
use actix::dev::{ContextFut, channel};
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

/// What a supervised actor runs under.
#[derive(Clone)]
pub struct Supervision {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Numbers.
    pub delays: Delays,
    /// The listener. It must not panic.
    pub on_exit: OnExit,
}

/// Starts an actor on `arbiter`. `kind` names it in reports; `factory` runs on the arbiter's thread, and once only:
/// `restarting()` has to rebuild what a panic may have damaged.
pub fn start<A>(
    arbiter: &ArbiterHandle,
    kind: &'static str,
    supervision: Supervision,
    factory: impl FnOnce(Lifeline) -> A + Send + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised + Unpin,
{
    let (sender, receiver) = channel::channel(16);
    let lifeline = Lifeline::default();
    arbiter.spawn_fn(move || {
        let built = lifeline.clone();
        match catch_unwind(AssertUnwindSafe(|| factory(built))) {
            Ok(actor) => {
                let context = Context::with_receiver(receiver);
                actix_rt::spawn(Run::new(Box::pin(context.into_future(actor)), kind, supervision, lifeline));
            }
            Err(payload) => (supervision.on_exit)(kind, &Exit::Panicked(panic_text(payload.as_ref())), None),
        }
    });
    Addr::new(sender)
}

/// The text of a panic.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".to_owned())
}

type ActorFuture<A> = Pin<Box<ContextFut<A, Context<A>>>>;

enum Step {
    Poll,
    Restart,
    RestartAfter(BoxFuture<'static, ()>),
}

struct Run<A: Actor<Context = Context<A>>> {
    future: Option<ActorFuture<A>>,
    kind: &'static str,
    supervision: Supervision,
    lifeline: Lifeline,
    step: Step,
    /// Exits in a row.
    exits: u32,
    last_exit: Option<u64>,
}

impl<A: Actor<Context = Context<A>> + Supervised + Unpin> Run<A> {
    fn new(future: ActorFuture<A>, kind: &'static str, supervision: Supervision, lifeline: Lifeline) -> Self {
        Self { future: Some(future), kind, supervision, lifeline, step: Step::Poll, exits: 0, last_exit: None }
    }

    /// One run of the actor, or one attempt to restart it.
    fn run(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Exit> {
        let Some(future) = self.future.as_mut() else { return Poll::Ready(Exit::Stopped) };
        match &mut self.step {
            Step::Poll => {}
            Step::RestartAfter(delay) => {
                ready!(delay.as_mut().poll(cx));
                self.step = Step::Restart;
            }
            Step::Restart => {}
        }
        if matches!(self.step, Step::Restart) {
            self.step = Step::Poll;
            // If restarting() itself panics the state was not rebuilt, so started() must not see it: one more exit.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| future.as_mut().get_mut().restart())) {
                return Poll::Ready(Exit::Panicked(panic_text(payload.as_ref())));
            }
        }
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Stopped),
            Err(payload) => Poll::Ready(Exit::Panicked(panic_text(payload.as_ref()))),
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
            let connected = this.future.as_mut().is_some_and(|future| future.as_mut().get_mut().ctx().connected());
            if this.lifeline.ended() || !connected {
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
        let future = self.future.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
    }
}
