//! Renews data keys, and seals everything anew that was sealed with those before: rows, snapshots, files. It goes on where it was
//! after whatever comes in between.

use crate::engine::web::Snapshots;
use crate::media::Files;
use crate::store::Store;
use crate::store::repo::renewal::Place;
use std::time::Duration;
use uuid::Uuid;
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::PortError;

/// What was sealed when the new keys came is stored by then, or its key is still held.
pub const SETTLED: Duration = Duration::from_secs(60);

/// Who renews.
#[derive(Clone)]
pub struct Renewal {
    /// What is sealed in rows.
    pub store: Store,
    /// What is sealed of logins.
    pub snapshots: Snapshots,
    /// What is sealed of files.
    pub files: Files,
    /// How long after the first look the last one begins.
    pub settled: Duration,
}

impl Renewal {
    /// Goes on as far as it can now.
    ///
    /// # Errors
    /// The database's, or of the files.
    pub async fn follow(&self) -> Result<(), PortError> {
        while let Some((place, ..)) = self.store.renewal().await? {
            let settled = i64::try_from(self.settled.as_millis()).unwrap_or(i64::MAX);
            if place.is_last && self.store.unix_ms() < place.since_ms.saturating_add(settled) {
                return Ok(());
            }
            let next = match self.store.tenant_behind(place.behind).await? {
                Some(tenant) if self.renew(tenant, place.is_last).await? => Some(Place { behind: tenant, ..place }),
                // Something is being sealed with an old key.
                Some(_) => return Ok(()),
                None if place.is_last => {
                    tracing::info!("the data keys were renewed");
                    None
                }
                None => Some(Place { is_last: true, since_ms: self.store.unix_ms(), behind: TenantId(Uuid::nil()) }),
            };
            self.store.renewed_upto(next).await?;
        }
        Ok(())
    }

    async fn renew(&self, tenant: TenantId, is_last: bool) -> Result<bool, PortError> {
        if !is_last {
            self.store.follow_data_keys(tenant).await?;
        } else if self.store.is_sealing(tenant) {
            return Ok(false);
        }
        self.store.reseal(tenant).await?;
        let (specs, unread) = self.store.sessions_of(tenant).await?;
        for spec in specs {
            let (snapshots, whose) = (self.snapshots.clone(), spec.clone());
            let resealed = tokio::task::spawn_blocking(move || snapshots.reseal(&whose)).await;
            resealed.map_err(|_| PortError::Unavailable)?.map_err(|error| {
                tracing::warn!(session = %spec.id, %error, "a snapshot was not sealed anew");
                PortError::Unavailable
            })?;
            for file in self.store.files_of(spec.key()).await? {
                self.files.reseal(&spec, file).await?;
            }
        }
        match (is_last, unread) {
            (false, _) => Ok(true),
            (true, 0) => self.store.retire_data_keys(tenant).await,
            // Their logins and files may be sound, and open with the old keys alone.
            (true, unread) => {
                tracing::warn!(%tenant, unread, "sessions cannot be read: old data keys are kept");
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Objects;
    use crate::store::{Options, Role};
    use crate::vault::{Kek, Vault};
    use object_store::memory::InMemory;
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use wardroom_actors::domain::ids::{NodeId, SessionName};
    use wardroom_actors::domain::quota::Quota;
    use wardroom_actors::domain::spec::{EngineName, Network};
    use wardroom_actors::failpoint;
    use wardroom_actors::ports::files::FileStore as _;
    use wardroom_actors::ports::store::{NewSession, SessionStore as _};
    use wardroom_actors::testing::SharedClock;

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_snapshots_and_files_are_sealed_anew_and_what_is_being_sealed_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::new(Kek::parse(&"07".repeat(32), "test").unwrap()));
        let options = Options { url: format!("sqlite://{}", dir.path().join("w.db").display()), max_connections: 2 };
        let clock = Arc::new(SharedClock::default());
        let opening =
            Store::open(&options, Arc::clone(&vault), Arc::clone(&clock) as _, NodeId::generate(), Role::Server);
        let store = Box::pin(opening).await.unwrap();
        let tenant = store.create_tenant("t").await.unwrap().unwrap();
        let new = NewSession {
            tenant,
            user: store.user_named(tenant, "owner").await.unwrap(),
            name: SessionName::parse("s").unwrap(),
            engine: EngineName::Web,
            network: Network::Simulator,
            config: "{}".to_owned(),
            desired_running: false,
        };
        let spec = store.create(new, Quota::default()).await.unwrap();
        let profile = dir.path().join("profile");
        fs::create_dir_all(profile.join("Default/IndexedDB")).unwrap();
        fs::write(profile.join("Default/IndexedDB/login"), vec![7; 200_000]).unwrap();
        let snapshots = Snapshots::new(dir.path().join("snapshots"), Arc::clone(&vault));
        tokio::task::block_in_place(|| {
            snapshots.archive(&spec, &profile).unwrap();
            snapshots.archive(&spec, &profile).unwrap();
            snapshots.keep_storage(&spec, "{\"a\":1}").unwrap();
        });
        let kept = Objects { store: Arc::new(InMemory::new()), part: 5 << 20 };
        let io = tokio::runtime::Handle::current();
        let files = Files::new(store.clone(), Arc::clone(&vault), kept, clock, 4 << 20, Arc::new(Quota::default()), io);
        let mut ready = files.take_in(&spec);
        ready.write(&vec![1; 3_000_000]).await.unwrap();
        let ready = ready.finish().await.unwrap();
        let mut coming = files.take_in(&spec);
        coming.write(b"the beginning, ").await.unwrap();
        // Taken in, not only sent to be.
        coming.write(b"").await.unwrap();
        coming.write(b"").await.unwrap();
        coming.write(b"").await.unwrap();

        let settled = Duration::ZERO;
        let renewal = Renewal { store: store.clone(), snapshots: snapshots.clone(), files: files.clone(), settled };
        assert!(store.begin_renewal().await.unwrap() && !store.begin_renewal().await.unwrap());
        renewal.follow().await.unwrap();
        assert!(store.renewal().await.unwrap().is_some_and(|(place, ..)| place.is_last), "something is being sealed");
        coming.write(b"and the end").await.unwrap();
        // Nor is a file forgotten that is whole, and not yet noted.
        let (stored, go): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let moment = (Arc::clone(&stored), Arc::clone(&go));
        failpoint::arm(
            "file.stored",
            1,
            Arc::new(move || {
                moment.0.store(true, Ordering::Release);
                while !moment.1.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }),
        );
        let coming = tokio::spawn(coming.finish());
        while !stored.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        renewal.follow().await.unwrap();
        assert!(store.renewal().await.unwrap().is_some());
        go.store(true, Ordering::Release);
        let coming = coming.await.unwrap().unwrap();
        renewal.follow().await.unwrap();
        assert!(store.renewal().await.unwrap().is_none());

        assert_eq!(store.verify().await.unwrap().damaged, 0);
        let look = || tokio::task::block_in_place(|| snapshots.verify(&spec));
        let all = look();
        assert_eq!(all, [("current", true), ("previous", true), ("storage", true)]);
        assert!(files.opens(&spec, ready).await.unwrap() && files.opens(&spec, coming).await.unwrap());
        assert_eq!(files.piece(&spec, coming, 0).await.unwrap(), b"the beginning, and the end");
        let into = dir.path().join("into");
        fs::create_dir_all(&into).unwrap();
        snapshots.restore(&spec, &into).unwrap();
        assert_eq!(fs::read(into.join("Default/IndexedDB/login")).unwrap(), vec![7; 200_000]);
        // What was cut off stays as it is, and keeps nobody else's from being sealed anew.
        let previous = dir.path().join(format!("snapshots/{tenant}/{}/previous", spec.id));
        let bytes = fs::read(&previous).unwrap();
        for left in [0, 20, bytes.len() / 2] {
            fs::write(&previous, &bytes[..left]).unwrap();
            assert!(store.begin_renewal().await.unwrap());
            renewal.follow().await.unwrap();
            assert!(store.renewal().await.unwrap().is_none());
            assert_eq!(look(), [("current", true), ("previous", false), ("storage", true)], "{left}");
        }
        // A change of a byte is found in each.
        for (name, _) in all {
            let path = dir.path().join(format!("snapshots/{tenant}/{}/{name}", spec.id));
            let mut bytes = fs::read(&path).unwrap();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            fs::write(&path, bytes).unwrap();
            assert!(look().contains(&(name, false)), "{name}");
        }
    }
}
