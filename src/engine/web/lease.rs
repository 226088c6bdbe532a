//! How a driver gets its browser and the profile directory that the browser works in.

use super::Shared;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, oneshot};
use wardroom_actors::domain::ids::WorkerId;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::failpoint;
use wardroom_actors::ports::engine::DriverContext;
use wardroom_actors::ports::worker::{Worker, WorkerLauncher as _};

pub(super) type Leased = (Arc<dyn Worker>, bool, OwnedMutexGuard<()>);

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
        let restored = matches!(profile, Profile::Restored(_));
        let wanted = match profile {
            Profile::Kept(worker) | Profile::Restored(worker) => Some(worker),
            Profile::New => None,
        };
        failpoint::pass("boot.restored");
        match pool.lease(&spec, wanted).await {
            Ok(worker) => {
                if let Err(Ok((worker, ..))) = answer.send(Ok((worker, restored, lock))) {
                    worker.stop(false).await;
                }
            }
            Err(error) => {
                if let Profile::Restored(worker) = profile {
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
    Restored(WorkerId),
    /// Nothing to come back to.
    New,
}

/// Which profile is to be used.
fn profile(shared: &Shared, spec: &SessionSpec) -> std::io::Result<Profile> {
    if let Some(worker) = spec.worker
        && shared.launcher.profile(worker).join("Default").is_dir()
    {
        return Ok(Profile::Kept(worker));
    }
    if !shared.snapshots.exists(spec) {
        return Ok(Profile::New);
    }
    let worker = WorkerId::generate();
    let path = shared.launcher.make_profile(worker)?;
    let made = shared.snapshots.restore(spec, &path);
    let owned = made.and_then(|made| made.iter().try_for_each(|path| shared.launcher.own(path)));
    if let Err(error) = owned {
        let _ = std::fs::remove_dir_all(&path);
        return Err(error);
    }
    Ok(Profile::Restored(worker))
}
