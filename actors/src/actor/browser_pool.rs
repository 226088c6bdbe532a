//! Owns the count of workers: slots of running sessions, warm spares, launches. The app starts it.
//! In: reserve, release, lease. Out: launched workers. Nothing is lost when it dies: the ledger and the spares stand in
//! [`PoolTable`], and workers belong to their drivers.

use super::fairness::Fairness;
use super::living::lock;
use crate::domain::ids::{SessionId, UserId, WorkerId};
use crate::domain::spec::SessionSpec;
use crate::failpoint;
use crate::policy::admission::{Ledger, Refused, Slot};
use crate::policy::pacing::Pacing;
use crate::ports::BoxFuture;
use crate::ports::clock::Clock;
use crate::ports::engine::WorkerPool;
use crate::ports::worker::{LaunchError, Worker, WorkerLauncher};
use actix::prelude::*;
use dashmap::DashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, oneshot, watch};

/// Takes a slot for a session that is to run. Idempotent. Sent by the handle.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub struct Reserve {
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// So many of theirs may run.
    pub limit: usize,
}

/// Gives a slot back. Idempotent. Sent by the session.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Release {
    /// The session.
    pub session: SessionId,
}

/// A driver needs its browser. Sent through [`PoolDoor`].
#[derive(Message)]
#[rtype(result = "()")]
struct Lease {
    session: SessionId,
    user: UserId,
    profile: Option<WorkerId>,
    answer: oneshot::Sender<Result<Arc<dyn Worker>, LaunchError>>,
}

/// Look whether a spare has to be launched.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Warm;

/// End the spares and launch no more. Sent at shutdown; the answer comes when they are gone, and whatever was being launched.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close {
    /// Hears the end.
    pub done: oneshot::Sender<()>,
}

/// What lives on.
pub struct PoolTable {
    /// The count.
    pub ledger: Mutex<Ledger>,
    spares: DashMap<WorkerId, Arc<dyn Worker>>,
    /// The node is shutting down: nothing is launched, and no spare is kept.
    closed: watch::Sender<bool>,
    /// Launches that are on their way, or whose worker nobody has taken over yet.
    launches: watch::Sender<usize>,
    /// A permit for each launch whose place was given away and that is gone by now.
    made_way: Arc<Semaphore>,
}

impl PoolTable {
    /// For a node of so many workers.
    #[must_use]
    pub fn new(node_limit: usize) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(node_limit)),
            spares: DashMap::new(),
            closed: watch::Sender::new(false),
            launches: watch::Sender::new(0),
            made_way: Arc::new(Semaphore::new(0)),
        }
    }
}

/// A launch on its way; dropped when somebody answers for its worker, or there is none.
struct Launching(Arc<PoolTable>);

impl Launching {
    fn begin(table: &Arc<PoolTable>) -> Self {
        table.launches.send_modify(|launches| *launches += 1);
        Self(Arc::clone(table))
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        self.0.launches.send_modify(|launches| *launches -= 1);
    }
}

/// Numbers.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Warm spares to hold ready.
    pub warm_spares: usize,
    /// Browsers that may be starting at once.
    pub launching_at_once: usize,
    /// Browser starts per second.
    pub starts_per_second: u32,
}

/// Ports and numbers.
#[derive(Clone)]
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Starts browsers.
    pub launcher: Arc<dyn WorkerLauncher>,
    /// What lives on.
    pub table: Arc<PoolTable>,
    /// The runtime of launches.
    pub io: tokio::runtime::Handle,
    /// Numbers.
    pub policy: Policy,
}

/// The shell.
pub struct BrowserPoolActor {
    deps: Deps,
    launching: Arc<Semaphore>,
    pacing: Pacing,
    fairness: Fairness,
}

impl BrowserPoolActor {
    /// A pool over `deps.table`.
    #[must_use]
    pub fn new(deps: Deps) -> Self {
        let launching = Arc::new(Semaphore::new(deps.policy.launching_at_once.max(1)));
        let pacing = Pacing::per_second(deps.policy.starts_per_second);
        Self { deps, launching, pacing, fairness: Fairness::default() }
    }

    /// Ends when the place of `slot` is free: a spare that stood there is gone.
    fn after(&self, slot: Slot, displaced: Option<Arc<dyn Worker>>) -> BoxFuture<'static, ()> {
        let gone = displaced.map(|worker| self.end(worker));
        let made_way = Arc::clone(&self.deps.table.made_way);
        Box::pin(async move {
            if let Some(gone) = gone {
                gone.await;
            }
            if slot == Slot::AfterWarming
                && let Ok(permit) = made_way.acquire_owned().await
            {
                permit.forget();
            }
        })
    }

    /// Launches on the `io` runtime, when its place is free, at the next place of the node's pacing.
    fn launch(
        &mut self,
        id: WorkerId,
        free: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<Arc<dyn Worker>, LaunchError>> {
        let at = self.pacing.place(self.deps.clock.now());
        let (clock, launcher) = (Arc::clone(&self.deps.clock), Arc::clone(&self.deps.launcher));
        let launching = Arc::clone(&self.launching);
        let mut closed = self.deps.table.closed.subscribe();
        let task = self.deps.io.spawn(async move {
            let its_turn = async {
                free.await;
                clock.sleep_until(at).await;
                launching.acquire_owned().await
            };
            tokio::select! {
                biased;
                () = async { drop(closed.wait_for(|closed| *closed).await) } => Err(LaunchError("the node is shutting down".to_owned())),
                _permit = its_turn => launcher.launch(id).await,
            }
        });
        Box::pin(async move { task.await.unwrap_or_else(|error| Err(LaunchError(error.to_string()))) })
    }

    /// Launches a spare if one is missing. All that is counted is counted on the `io` runtime, where a panic of this actor
    /// takes nothing away.
    fn warm(&mut self, ctx: &mut Context<Self>) {
        let closed = *self.deps.table.closed.borrow();
        if closed || !lock(&self.deps.table.ledger).begin_warming(self.deps.policy.warm_spares) {
            return;
        }
        let launch = self.launch(WorkerId::generate(), Box::pin(std::future::ready(())));
        let (table, launcher, addr) = (Arc::clone(&self.deps.table), Arc::clone(&self.deps.launcher), ctx.address());
        let launching = Launching::begin(&table);
        self.deps.io.spawn(async move {
            let worker = launch.await.inspect_err(|error| tracing::warn!(%error, "no warm worker")).ok();
            if let Some(worker) = &worker {
                table.spares.insert(worker.id(), Arc::clone(worker));
            }
            let kept = lock(&table.ledger).end_warming(worker.as_ref().map(|worker| worker.id()));
            if !kept || *table.closed.borrow() {
                // Its place was given away, or nobody will need it.
                if let Some(worker) = worker {
                    table.spares.remove(&worker.id());
                    end(launcher, worker).await;
                }
                table.made_way.add_permits(usize::from(!kept));
                return;
            }
            drop(launching);
            let Some(worker) = worker else { return };
            addr.do_send(Warm);
            worker.exited().await;
            // A worker that was handed out is its driver's business.
            if table.spares.remove(&worker.id()).is_some() {
                lock(&table.ledger).lose_spare(worker.id());
                end(launcher, worker).await;
                addr.do_send(Warm);
            }
        });
    }

    /// Ends a spare; what it occupied is free once it is gone.
    fn end(&self, worker: Arc<dyn Worker>) -> BoxFuture<'static, ()> {
        let task = self.deps.io.spawn(end(Arc::clone(&self.deps.launcher), worker));
        Box::pin(async move {
            let _ = task.await;
        })
    }
}

async fn end(launcher: Arc<dyn WorkerLauncher>, worker: Arc<dyn Worker>) {
    worker.stop(false).await;
    launcher.remove_profile(worker.id()).await;
}

impl Actor for BrowserPoolActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        failpoint::pass("browser_pool.started");
        ctx.notify(Warm);
    }
}

impl Supervised for BrowserPoolActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        failpoint::pass("browser_pool.restarting");
    }
}

impl Handler<Reserve> for BrowserPoolActor {
    type Result = ResponseFuture<Result<(), Refused>>;

    fn handle(&mut self, reserve: Reserve, ctx: &mut Context<Self>) -> Self::Result {
        self.fairness.spend(ctx);
        failpoint::pass("browser_pool.reserve");
        let slot = lock(&self.deps.table.ledger).reserve(reserve.session, reserve.user, reserve.limit);
        let free = match slot {
            Ok(Slot::Displaced(spare)) => {
                let worker = self.deps.table.spares.remove(&spare);
                self.after(Slot::Displaced(spare), worker.map(|(_, worker)| worker))
            }
            Ok(slot) => self.after(slot, None),
            Err(refused) => return Box::pin(async move { Err(refused) }),
        };
        Box::pin(async move {
            free.await;
            Ok(())
        })
    }
}

impl Handler<Release> for BrowserPoolActor {
    type Result = ();

    fn handle(&mut self, release: Release, ctx: &mut Context<Self>) {
        lock(&self.deps.table.ledger).release(release.session);
        self.warm(ctx);
    }
}

impl Handler<Lease> for BrowserPoolActor {
    type Result = ();

    fn handle(&mut self, lease: Lease, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        failpoint::pass("browser_pool.lease");
        // Its user's limit was asked when it was reserved for.
        let reserved = lock(&self.deps.table.ledger).reserve(lease.session, lease.user, usize::MAX);
        let spare = match reserved {
            Err(refused) => {
                let _ = lease.answer.send(Err(LaunchError(refused.to_string())));
                return;
            }
            Ok(Slot::Displaced(spare)) => Some(spare),
            Ok(_) if lease.profile.is_none() => lock(&self.deps.table.ledger).take_spare(),
            Ok(_) => None,
        };
        let warm = spare.and_then(|id| self.deps.table.spares.remove(&id)).map(|(_, worker)| worker);
        match (warm, lease.profile) {
            (Some(worker), None) => {
                if let Err(Ok(unwanted)) = lease.answer.send(Ok(worker)) {
                    let gone = self.end(unwanted);
                    self.deps.io.spawn(gone);
                }
            }
            (displaced, profile) => {
                let free = self.after(reserved.unwrap_or(Slot::Held), displaced);
                let launch = self.launch(profile.unwrap_or_else(WorkerId::generate), free);
                let launching = Launching::begin(&self.deps.table);
                self.deps.io.spawn(async move {
                    let _launching = launching;
                    if let Err(Ok(worker)) = lease.answer.send(launch.await) {
                        worker.stop(false).await;
                    }
                });
            }
        }
        self.warm(ctx);
    }
}

impl Handler<Warm> for BrowserPoolActor {
    type Result = ();

    fn handle(&mut self, _: Warm, ctx: &mut Context<Self>) {
        self.warm(ctx);
    }
}

impl Handler<Close> for BrowserPoolActor {
    type Result = ();

    fn handle(&mut self, close: Close, _: &mut Context<Self>) {
        self.deps.table.closed.send_replace(true);
        let ids: Vec<_> = self.deps.table.spares.iter().map(|spare| *spare.key()).collect();
        let ends: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.deps.table.spares.remove(&id))
            .map(|(_, worker)| self.end(worker))
            .collect();
        let mut launches = self.deps.table.launches.subscribe();
        self.deps.io.spawn(async move {
            for end in ends {
                end.await;
            }
            let _ = launches.wait_for(|launches| *launches == 0).await;
            let _ = close.done.send(());
        });
    }
}

/// The pool as drivers see it.
pub struct PoolDoor(pub Addr<BrowserPoolActor>);

impl WorkerPool for PoolDoor {
    fn lease(
        &self,
        spec: &SessionSpec,
        profile: Option<WorkerId>,
    ) -> BoxFuture<'static, Result<Arc<dyn Worker>, LaunchError>> {
        let (answer, worker) = oneshot::channel();
        self.0.do_send(Lease { session: spec.id, user: spec.user, profile, answer });
        Box::pin(async move { worker.await.unwrap_or_else(|_| Err(LaunchError("the pool did not answer".into()))) })
    }
}
