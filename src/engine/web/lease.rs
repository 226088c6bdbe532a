//! How a driver gets its browser and the profile directory that the browser works in.
//!
//! A profile that a browser left behind is used again as it stands. One in which browsers fail again and again before the
//! session is ready is taken for damaged: then the snapshot stands in for it, and replaces it once the session is ready.

use super::Shared;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, oneshot};
use wardroom_actors::domain::ids::WorkerId;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::failpoint;
use wardroom_actors::ports::engine::DriverContext;
use wardroom_actors::ports::worker::{Worker, WorkerLauncher as _};

/// Failed starts in a row after which the snapshot is tried instead of the profile.
const DAMAGED_AFTER: u32 = 3;

/// A browser and what it works in.
pub(super) struct Leased {
    pub worker: Arc<dyn Worker>,
    /// The profile was made from a snapshot for this run.
    pub restored: bool,
    /// The profile that this one stands in for.
    pub instead_of: Option<WorkerId>,
    /// Held as long as the browser may live.
    pub _lock: OwnedMutexGuard<()>,
}

/// Finds or makes the profile and starts a browser in it. That goes on although the driver is given up meanwhile, and holds
/// the session's lock until the browser is there and ended again: nobody else touches the profile before.
pub(super) async fn lease(
    shared: &Arc<Shared>,
    context: &DriverContext,
    lock: OwnedMutexGuard<()>,
) -> Result<Leased, String> {
    let (answer, leased) = oneshot::channel();
    let (shared, pool, spec) = (Arc::clone(shared), Arc::clone(&context.pool), context.spec.clone());
    tokio::spawn(async move {
        let profile = match tokio::task::block_in_place(|| profile(&shared, &spec)) {
            Ok(profile) => profile,
            Err(error) => return drop(answer.send(Err(error.to_string()))),
        };
        let wanted = match profile {
            Profile::Kept(worker) | Profile::Restored { worker, .. } => Some(worker),
            Profile::New => None,
        };
        failpoint::pass("boot.restored");
        match (pool.lease(&spec, wanted).await, profile) {
            (Ok(worker), profile) => {
                let (restored, instead_of) = match profile {
                    Profile::Restored { instead_of, .. } => (true, instead_of),
                    Profile::Kept(_) | Profile::New => (false, None),
                };
                if let Err(Ok(leased)) = answer.send(Ok(Leased { worker, restored, instead_of, _lock: lock })) {
                    leased.worker.stop(false).await;
                }
            }
            (Err(error), profile) => {
                if let Profile::Restored { worker, .. } = profile {
                    shared.launcher.remove_profile(worker).await;
                }
                let _ = answer.send(Err(error.to_string()));
            }
        }
    });
    leased.await.unwrap_or_else(|_| Err("the browser's start was given up".to_owned()))
}

/// Where a session's browser works.
#[derive(Clone, Copy)]
enum Profile {
    /// Left behind by a browser that died; used as it stands.
    Kept(WorkerId),
    /// Made from the snapshot just now.
    Restored { worker: WorkerId, instead_of: Option<WorkerId> },
    /// Nothing to come back to.
    New,
}

/// Which profile is to be used.
fn profile(shared: &Shared, spec: &SessionSpec) -> std::io::Result<Profile> {
    let kept = spec.worker.filter(|worker| shared.launcher.profile(*worker).join("Default").is_dir());
    let failures = shared.failed_starts.get(&spec.id).map_or(0, |failures| *failures);
    // In turns, because the cause may be another: then the profile is still the better one.
    let damaged = failures % (DAMAGED_AFTER + 1) == DAMAGED_AFTER;
    match kept {
        Some(kept) if damaged && shared.snapshots.exists(spec) => {
            tracing::warn!(session = %spec.id, failures, "the profile seems damaged; its snapshot is tried");
            // A snapshot that does not open is no better.
            let made = restore(shared, spec);
            made.map_or(Ok(Profile::Kept(kept)), |worker| Ok(Profile::Restored { worker, instead_of: Some(kept) }))
        }
        Some(kept) => Ok(Profile::Kept(kept)),
        None if shared.snapshots.exists(spec) => {
            restore(shared, spec).map(|worker| Profile::Restored { worker, instead_of: None })
        }
        None => Ok(Profile::New),
    }
}

/// Makes a profile out of the snapshot.
fn restore(shared: &Shared, spec: &SessionSpec) -> std::io::Result<WorkerId> {
    let worker = WorkerId::generate();
    let path = shared.launcher.make_profile(worker)?;
    let made = shared.snapshots.restore(spec, &path);
    let owned = made.and_then(|made| made.iter().try_for_each(|path| shared.launcher.own(path)));
    if let Err(error) = owned {
        let _ = std::fs::remove_dir_all(&path);
        return Err(error);
    }
    Ok(worker)
}
