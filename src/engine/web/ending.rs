//! How a driver ends.

use super::Shared;
use super::convert::{PageState, Stage};
use super::copies::copy_storage;
use super::driver::Live;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wardroom_actors::domain::exit::{ExitClass, ExitReason};
use wardroom_actors::domain::ids::WorkerId;
use wardroom_actors::domain::session::StopMode;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::store::SessionStore;
use wardroom_actors::ports::worker::{Worker, WorkerLauncher as _};

/// How long a logout may take.
const LOGOUT: Duration = Duration::from_secs(10);

/// The end: say goodbye where that was asked for, prove that the browser is gone, then keep or remove what it left.
pub(super) struct Ending<'a> {
    pub shared: &'a Arc<Shared>,
    pub before: &'a SessionSpec,
    pub live: Option<&'a Live>,
    pub worker: &'a Arc<dyn Worker>,
    pub mode: Option<StopMode>,
    /// The profile that the worker's stood in for, in vain: it is still the session's.
    pub instead_of: Option<WorkerId>,
}

impl Ending<'_> {
    pub async fn end(&self, reason: ExitReason, store: &dyn SessionStore) -> ExitReason {
        let spec = self.live.map_or_else(|| self.before.clone(), Live::spec);
        let asked = matches!(reason, ExitReason::Stopped | ExitReason::Recycled { .. });
        let lost = self.live.is_some_and(|live| live.login_lost.load(Ordering::Acquire)) && self.instead_of.is_none();
        if let Some(live) = self.live {
            live.ending.store(true, Ordering::Release);
            if self.mode == Some(StopMode::Logout) && live.is_ready() {
                log_out(live).await;
            } else if asked && spec.account.is_some() && !lost {
                copy_storage(live, &mut None).await;
            }
        }
        self.worker.stop(asked).await;
        let mut profile = self.worker.id();
        if let Some(kept) = self.instead_of {
            self.shared.launcher.remove_profile(profile).await;
            profile = kept;
        }
        let unpaired = reason == ExitReason::Unpaired;
        let keep = spec.account.is_some() && self.mode != Some(StopMode::Logout) && !unpaired;
        if keep && !lost && matches!(reason.class(), ExitClass::Transient | ExitClass::Planned) {
            // The profile is used again as it stands.
            return reason;
        }
        if keep && !lost && !self.shared.put_away(&spec, profile).await {
            return reason;
        }
        if unpaired {
            let (shared, key) = (Arc::clone(self.shared), spec.key());
            let _ = tokio::task::spawn_blocking(move || shared.snapshots.remove(key)).await;
            let _ = store.unlinked(&spec).await;
        }
        let _ = store.set_worker(&spec, None).await;
        self.shared.launcher.remove_profile(profile).await;
        if self.mode == Some(StopMode::Logout) { ExitReason::LoggedOut } else { reason }
    }
}

async fn log_out(live: &Live) {
    if live.page.ask::<bool>("__wardroom.logout()").await.is_err() {
        return;
    }
    let gone = async {
        // The page reloads when it is done, so an exception is as good as the word.
        while let Ok(state) = live.page.ask::<PageState>("__wardroom.state()").await {
            if state.stage == Stage::LoggedOut {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(LOGOUT, gone).await.is_err() {
        tracing::warn!(session = %live.spec().id, "the network did not confirm the logout in time");
    }
}
