//! Backups that are made, looked at and restored.

use super::BackupCommand;
use super::audit::told;
use super::operate::{blocking, store_with_vault};
use crate::backup::{self, Counts, Manifest};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::ground;
use crate::store::{Role, Store};
use crate::vault::{Kek, Vault};
use std::path::Path;
use std::sync::Arc;

pub(super) fn run(config: Config, what: BackupCommand) -> anyhow::Result<()> {
    match what {
        BackupCommand::Create { file } => create(config, &file),
        BackupCommand::Verify { file, kek } => blocking(async {
            let dir = ground::data_dir(&config)?;
            let (manifest, counts) = backup::verify(&vault(&config, &dir, kek.as_deref())?, &dir, &file).await?;
            println!("{} is whole: {}", file.display(), told_of(&manifest, counts));
            Ok(())
        }),
        BackupCommand::Restore { file, kek } => blocking(async {
            let dir = ground::data_dir(&config)?;
            let vault = Arc::new(vault(&config, &dir, kek.as_deref())?);
            let (manifest, counts) = backup::restore(&config, &vault, &dir, &file).await?;
            let (options, clock) = (ground::database(&config, &dir), Arc::new(SystemClock::start()));
            let store =
                Box::pin(Store::open(&options, Arc::clone(&vault), clock, manifest.node, Role::Operator)).await?;
            store.skip_places().await?;
            told(&store, None, "backup restored", None).await?;
            println!("Restored: {}", told_of(&manifest, counts));
            println!("The server needs the master key {}. Sessions come back without a scan.", vault.kek_id());
            Ok(())
        }),
    }
}

fn vault(config: &Config, dir: &Path, kek: Option<&Path>) -> anyhow::Result<Vault> {
    let kek = match kek {
        Some(path) => Kek::read(path)?,
        None => ground::kek_provider(config, dir).kek()?,
    };
    Ok(Vault::new(kek))
}

fn told_of(manifest: &Manifest, counts: Counts) -> String {
    let Counts { snapshots, media, bytes } = counts;
    let made = httpdate(manifest.made_ms);
    format!("made {made}, the database, {snapshots} parts of logins and {media} files ({} KB).", bytes / 1024)
}

fn httpdate(ms: i64) -> String {
    let seconds = u64::try_from(ms / 1000).unwrap_or_default();
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    actix_web::http::header::HttpDate::from(at).to_string()
}

fn create(config: Config, file: &Path) -> anyhow::Result<()> {
    blocking(async {
        let dir = ground::data_dir(&config)?;
        let (store, vault) = store_with_vault(&config).await?;
        let Counts { snapshots, media, bytes } = backup::create(&store, &vault, &dir, file).await?;
        told(&store, None, "backup made", None).await?;
        println!(
            "{} has the database, {snapshots} parts of logins and {media} files ({} KB).",
            file.display(),
            bytes / 1024
        );
        if !config.media.s3_bucket.is_empty() {
            println!("Files that lie in the bucket {} are not in it.", config.media.s3_bucket);
        }
        println!("It opens with the master key {} alone: keep a copy of that elsewhere.", vault.kek_id());
        Ok(())
    })
}
