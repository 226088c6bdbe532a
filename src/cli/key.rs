//! `wardroom key`: the master key, and whether everything that is sealed opens.

use super::audit::told;
use super::operate::{blocking, store, store_with_vault};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::engine::web::Snapshots;
use crate::ground;
use crate::media::Files;
use crate::renewal::{self, Renewal};
use crate::store::Store;
use crate::vault::{Kek, KekFile, KekProvider as _};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::domain::quota::Quota;
use wardroom_actors::ports::store::SessionStore as _;

/// How often it is told how far a rotation has come.
const TELL: Duration = Duration::from_millis(500);

pub(super) fn generate(config: &Config, path: Option<PathBuf>) -> anyhow::Result<()> {
    let path = match path {
        Some(path) => path,
        None => ground::kek_file(config, &ground::data_dir(config)?),
    };
    Kek::create(&path)?;
    println!("Wrote a new master key to {}. Keep a copy of it somewhere safe.", path.display());
    Ok(())
}

pub(super) fn check(config: Config) -> anyhow::Result<()> {
    blocking(async {
        store(&config).await?;
        println!("The master key is the right one for this database.");
        Ok(())
    })
}

/// Replaces the master key. A running server does it, or else this.
pub(super) fn rotate(config: Config, to: Option<PathBuf>) -> anyhow::Result<()> {
    let dir = ground::data_dir(&config)?;
    let file = ground::kek_file(&config, &dir);
    let in_place = to.is_none();
    if in_place && !ground::is_kek_in_file(&config) {
        bail!(
            "the master key lies in no file: name the file of the new one with --to (it is made when it is not there)"
        );
    }
    let next = to.unwrap_or_else(|| ground::next_kek_file(&file));
    let resumes = next.exists();
    let old = if in_place { KekFile(file.clone()).kek().ok() } else { None };
    blocking(async {
        let store = store(&config).await?;
        if in_place && resumes && !next.exists() {
            println!("The rotation that was begun is done; {} has the new key.", file.display());
            return Ok(());
        }
        if !next.exists() {
            Kek::create(&next)?;
        }
        let new = Kek::read(&next)?;
        if !store.hand_over(&new).await? {
            bail!(
                "another master key takes its place, or has: let that end with `wardroom key rotate`, `--to` its file"
            );
        }
        follow(&store, &dir).await?;
        told(&store, None, "master key replaced", Some(new.id())).await?;
        match old.filter(|_| in_place) {
            Some(old) => {
                let kept = ground::change_kek_file(&file, &old).with_context(|| {
                    format!(
                        "put {} in the place of {}: no server starts with the old key",
                        next.display(),
                        file.display()
                    )
                })?;
                println!("{} has the new key. The old one is kept as {}:", file.display(), kept.display());
            }
            None => println!("From now on the server needs the key in {}. Keep the old one:", next.display()),
        }
        println!("backups that were made before need it. Keep a copy of the new one somewhere safe.");
        Ok(())
    })
}

async fn follow(store: &Store, dir: &Path) -> anyhow::Result<()> {
    let mut told = None;
    while let Some(progress) = store.handover_progress().await? {
        if told != Some(progress) {
            println!("{} of {} data keys", progress.done, progress.all);
            told = Some(progress);
        }
        // A server that runs does it, here or elsewhere.
        if store.is_alone().await?
            && let Ok(_alone) = ground::lock(dir)
        {
            store.follow_handover().await?;
        } else {
            tokio::time::sleep(TELL).await;
        }
    }
    Ok(())
}

/// Renews data keys. A running server does it, or else this.
pub(super) fn renew(config: Config) -> anyhow::Result<()> {
    blocking(async {
        let dir = ground::data_dir(&config)?;
        let (store, snapshots, files) = sealed(&config, &dir).await?;
        let renewal = Renewal { store: store.clone(), snapshots, files, settled: renewal::SETTLED };
        if !store.is_alone().await? {
            bail!(
                "servers of other data directories have used this database: each remembers data keys and has files of its own. \
                 Renewing them is for a database of one server, from its data directory"
            );
        }
        store.begin_renewal().await?;
        told(&store, None, "data keys renewed", None).await?;
        let mut told = None;
        while let Some((place, done, all)) = store.renewal().await? {
            let step = (place.is_last, done);
            if told != Some(step) {
                let look = if place.is_last { "second" } else { "first" };
                println!("{look} of two looks: {done} of {all} tenants");
                told = Some(step);
            }
            if let Ok(_alone) = ground::lock(&dir) {
                renewal.follow().await?;
            }
            tokio::time::sleep(TELL).await;
        }
        println!("Everything is sealed with new data keys. Backups hold the old ones, under the master key.");
        Ok(())
    })
}

async fn sealed(config: &Config, dir: &Path) -> anyhow::Result<(Store, Snapshots, Files)> {
    let (store, vault) = store_with_vault(config).await?;
    let snapshots = Snapshots::new(dir.join("snapshots"), Arc::clone(&vault));
    let (clock, io) = (Arc::new(SystemClock::start()), tokio::runtime::Handle::current());
    let objects = ground::objects(config, dir)?;
    let files =
        Files::new(store.clone(), vault, objects, clock, config.media.max_bytes, Arc::new(Quota::default()), io);
    Ok((store, snapshots, files))
}

/// Opens everything that is sealed.
pub(super) fn verify(config: Config) -> anyhow::Result<()> {
    blocking(async {
        let dir = ground::data_dir(&config)?;
        let (store, snapshots, files) = sealed(&config, &dir).await?;
        let mut verdict = store.verify().await?;
        for spec in store.all().await? {
            let (kept, whose) = (snapshots.clone(), spec.clone());
            for (name, opens) in tokio::task::spawn_blocking(move || kept.verify(&whose)).await? {
                verdict.count(opens, || format!("snapshot {} {} {name}", spec.tenant, spec.id));
            }
            for file in store.files_of(spec.key()).await? {
                verdict.count(files.opens(&spec, file).await?, || format!("file {} {} {file}", spec.tenant, spec.id));
            }
        }
        for which in &verdict.which {
            println!("DAMAGED  {which}");
        }
        if verdict.shredded > 0 {
            println!("{} users have no data key any more: theirs was destroyed.", verdict.shredded);
        }
        if verdict.damaged > 0 {
            bail!("{} sealed items do not open, {} do", verdict.damaged, verdict.sound);
        }
        println!("All {} sealed items open.", verdict.sound);
        Ok(())
    })
}
