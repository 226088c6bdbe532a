//! From a panic in a handler to the actor's next start, before any backoff; beside it, a tokio task that panics and is spawned again
//! by whoever watches it.

use crate::traffic::histogram;
use actix::prelude::*;
use hdrhistogram::Histogram;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use wardroom::clock::SystemClock;
use wardroom_actors::supervise::{self, Delays, Supervision};

struct Fragile {
    panicked: Arc<Mutex<Option<Instant>>>,
    times: Arc<Mutex<Histogram<u64>>>,
}

impl Actor for Fragile {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        if let Some(at) = self.panicked.lock().unwrap().take() {
            let nanos = u64::try_from(at.elapsed().as_nanos()).unwrap();
            self.times.lock().unwrap().record(nanos.max(1)).unwrap();
        }
    }
}

impl Supervised for Fragile {}

#[derive(Message)]
#[rtype(result = "()")]
struct Break;

impl Handler<Break> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Break, _: &mut Context<Self>) {
        *self.panicked.lock().unwrap() = Some(Instant::now());
        std::panic::panic_any("broken");
    }
}

/// Nanoseconds of restarts: ours, and a watched task's.
pub fn run(times: usize) -> (Histogram<u64>, Histogram<u64>) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let measured = actix_rt::System::new().block_on(async move {
        let ours = Arc::new(Mutex::new(histogram()));
        for _ in 0..times {
            let (panicked, times) = (Arc::default(), Arc::clone(&ours));
            let supervision = Arc::new(Supervision {
                clock: Arc::new(SystemClock::start()),
                delays: Delays::default(),
                on_exit: Arc::new(|_, _, _| {}),
            });
            let make = move |_| Fragile { panicked: Arc::clone(&panicked), times: Arc::clone(&times) };
            // One restart each, so that none waits for its backoff.
            let addr = supervise::start(&Arbiter::current(), "fragile", supervision, make);
            let _ = addr.send(Break).await;
        }
        let mut theirs = histogram();
        for _ in 0..times {
            let at = Arc::new(Mutex::new(Instant::now()));
            let begun = Arc::clone(&at);
            let first = tokio::task::spawn_local(async move {
                *begun.lock().unwrap() = Instant::now();
                std::panic::panic_any("broken");
            });
            let _ = first.await;
            let second = tokio::task::spawn_local(async move { at.lock().unwrap().elapsed() });
            theirs.record(u64::try_from(second.await.unwrap().as_nanos()).unwrap().max(1)).unwrap();
        }
        let ours = ours.lock().unwrap().clone();
        (ours, theirs)
    });
    std::panic::set_hook(usual);
    measured
}
