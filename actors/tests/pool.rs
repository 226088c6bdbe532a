//! The pool of browsers, with a launcher that waits until it is told to go on.
#![expect(clippy::unwrap_used, reason = "a test says that something is wrong by panicking")]

use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, oneshot};
use wardroom_actors::actor::browser_pool::{BrowserPoolActor, Close, Deps, Policy, PoolTable};
use wardroom_actors::domain::ids::WorkerId;
use wardroom_actors::ports::BoxFuture;
use wardroom_actors::ports::worker::{LaunchError, Worker, WorkerLauncher};
use wardroom_actors::testing::SharedClock;

struct SlowLauncher {
    begun: Semaphore,
    go_on: Semaphore,
    alive: Arc<AtomicUsize>,
}

struct SlowWorker(WorkerId, Arc<AtomicUsize>);

impl Worker for SlowWorker {
    fn id(&self) -> WorkerId {
        self.0
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn endpoint(&self) -> &str {
        ""
    }

    fn exited(&self) -> BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }

    fn stop(&self, _: bool) -> BoxFuture<'_, ()> {
        self.1.fetch_sub(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

impl WorkerLauncher for SlowLauncher {
    fn launch(&self, id: WorkerId) -> BoxFuture<'_, Result<Arc<dyn Worker>, LaunchError>> {
        Box::pin(async move {
            self.alive.fetch_add(1, Ordering::SeqCst);
            self.begun.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
            Ok(Arc::new(SlowWorker(id, Arc::clone(&self.alive))) as _)
        })
    }

    fn remove_profile(&self, _: WorkerId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[actix_rt::test]
async fn a_pool_is_closed_when_the_last_launch_has_come_to_its_end() {
    let alive = Arc::new(AtomicUsize::new(0));
    let launcher =
        Arc::new(SlowLauncher { begun: Semaphore::new(0), go_on: Semaphore::new(0), alive: Arc::clone(&alive) });
    let policy = Policy { warm_spares: 2, launching_at_once: 1, starts_per_second: 1000 };
    let clock = SharedClock::default();
    let deps = Deps {
        clock: Arc::new(clock.clone()),
        launcher: Arc::clone(&launcher) as _,
        table: Arc::new(PoolTable::new(10)),
        io: tokio::runtime::Handle::current(),
        policy,
    };
    let pool = BrowserPoolActor::new(deps).start();
    clock.0.advance(1000);
    launcher.begun.acquire().await.unwrap().forget();
    // One browser is starting; the other spare waits for its turn, and has none any more.
    let (done, mut closed) = oneshot::channel();
    pool.send(Close { done }).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(closed.try_recv().is_err(), "a browser is still being started");
    launcher.go_on.add_permits(1);
    closed.await.unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 0, "a browser is left");
    assert_eq!(launcher.begun.available_permits(), 0, "another browser was started");
}
