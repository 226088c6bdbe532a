//! Copies of a login, made while its browser runs: localStorage often, everything now and then.

use super::driver::Live;
use super::snapshot;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::failpoint;

/// Copies localStorage every 5 s if it changed, and the whole login now and then.
pub(super) async fn keep_copies(live: Arc<Live>) -> ExitReason {
    const EVERY: Duration = Duration::from_secs(5);
    let mut last = None;
    let mut next_snapshot = Duration::ZERO;
    let mut waited = Duration::ZERO;
    live.ready().await;
    loop {
        copy_storage(&live, &mut last).await;
        if waited >= next_snapshot && live.is_ready() {
            snapshot_live(&live).await;
            (waited, next_snapshot) = (Duration::ZERO, live.shared.options.snapshot_every);
        }
        tokio::time::sleep(EVERY).await;
        waited += EVERY;
    }
}

pub(super) async fn copy_storage(live: &Live, last: &mut Option<String>) {
    let Ok(json) = live.page.ask::<String>("__wardroom.storage()").await else { return };
    if last.as_ref() == Some(&json) {
        return;
    }
    // A linked page has something there. Chromium can lose all of it while the page goes on; the copy must not follow.
    if json == "{}" {
        return tracing::warn!(session = %live.spec().id, "localStorage is empty; its copy stays as it is");
    }
    let (shared, spec, text) = (Arc::clone(&live.shared), live.spec(), json.clone());
    let kept = tokio::task::spawn_blocking(move || shared.snapshots.keep_storage(&spec, &text)).await;
    match kept {
        Ok(Ok(())) => *last = Some(json),
        _ => tracing::warn!(session = %live.spec().id, "the copy of localStorage could not be written"),
    }
}

async fn snapshot_live(live: &Arc<Live>) {
    let Some(group) = live.worker.pid() else { return };
    let live_again = Arc::clone(live);
    let made = tokio::task::spawn_blocking(move || {
        let (shared, spec) = (&live_again.shared, live_again.spec());
        let _alone = shared.snapshots.lock(spec.key());
        if live_again.ending.load(Ordering::Acquire) {
            return Ok(0);
        }
        let profile = shared.launcher.profile(live_again.worker.id());
        let stage = profile.with_extension("stage");
        let _ = std::fs::remove_dir_all(&stage);
        let staged = snapshot::stage_live(group, &profile, &stage);
        failpoint::pass("snapshot.staged");
        let made = staged.and_then(|()| shared.snapshots.archive_alone(&spec, &stage));
        let _ = std::fs::remove_dir_all(&stage);
        made
    });
    if let Ok(Err(error)) = made.await {
        tracing::warn!(session = %live.spec().id, %error, "no snapshot");
    }
}
