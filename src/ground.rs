//! What a server stands on before it starts: its data directory, its lock, its master key, its database.

use crate::config::{Config, Environment};
use crate::engine::web::{LaunchOptions, find_browser};
use crate::media::Objects;
use crate::store::{OpenError, Options, Role, Store};
use crate::vault::{Kek, KekCommand, KekError, KekFile, KekProvider, KekText, Vault};
use anyhow::{Context as _, bail};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use rustix::fs::Advice;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use secrecy::ExposeSecret;
use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use wardroom_actors::domain::ids::NodeId;
use wardroom_actors::ports::clock::Clock;

/// From now on files that this process makes are nobody else's to read, and nothing of its memory, and of those that it starts, is
/// written to a core file.
pub fn keep_to_ourselves() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Only a higher limit could be refused.
    let _ = setrlimit(Resource::Core, none);
}

/// From now on this process may have as many files open as the system lets it: the limit that it is born with is meant for programs
/// that count descriptors in bits. Answers how many.
pub fn all_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// From now on no process of the same user may look into this one's memory or environment, and no handler of core dumps gets it:
/// the limit above does not bind those.
///
/// # Errors
/// Of the kernel.
pub fn no_onlookers() -> anyhow::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Makes the data directory. Others may pass through it to the profiles of browsers, but not look around.
///
/// # Errors
/// Of the file system.
pub fn data_dir(config: &Config) -> anyhow::Result<PathBuf> {
    let dir = &config.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(dir)
        .with_context(|| format!("cannot create {}", dir.display()))?;
    dir.canonicalize().with_context(|| format!("cannot use {}", dir.display()))
}

/// Where an import unpacks an archive, for as long as it works on it.
pub const IMPORT: &str = "import";

/// Removes what an import has unpacked, be it one that was killed: it is a login that anybody could use.
///
/// # Errors
/// Of the file system.
pub fn clear_import(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} holds an unpacked login and cannot be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Holds the data directory until it is dropped.
///
/// # Errors
/// When another server holds it.
pub fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("server.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another Wardroom server is using {}: stop it first, or give this one a data_dir of its own",
            dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The id of the server that lives in this data directory.
///
/// # Errors
/// Of the file system.
pub fn node(dir: &Path) -> anyhow::Result<NodeId> {
    let path = dir.join("node.id");
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(NodeId(Uuid::parse_str(text.trim()).with_context(|| format!("{} is damaged", path.display()))?));
    }
    let id = NodeId::generate();
    std::fs::write(&path, id.to_string())?;
    Ok(id)
}

/// Where the master key is expected.
#[must_use]
pub fn kek_file(config: &Config, dir: &Path) -> PathBuf {
    match config.vault.kek_file.as_str() {
        "" => dir.join("kek.hex"),
        path => PathBuf::from(path),
    }
}

/// Who gives the master key.
#[must_use]
pub fn kek_provider(config: &Config, dir: &Path) -> Box<dyn KekProvider> {
    let vault = &config.vault;
    if !vault.kek_command.is_empty() {
        return Box::new(KekCommand(vault.kek_command.clone()));
    }
    if !vault.kek.expose_secret().is_empty() {
        return Box::new(KekText { text: vault.kek.clone(), origin: "WARDROOM__VAULT__KEK" });
    }
    Box::new(KekFile(kek_file(config, dir)))
}

/// Whether the master key lies in a file.
#[must_use]
pub fn is_kek_in_file(config: &Config) -> bool {
    config.vault.kek_command.is_empty() && config.vault.kek.expose_secret().is_empty()
}

/// Where the master key lies that takes the place of the one in a file.
#[must_use]
pub fn next_kek_file(file: &Path) -> PathBuf {
    file.with_added_extension("next")
}

/// The master key; a development start makes one and says so.
///
/// # Errors
/// A sentence that says what to do.
pub fn kek(config: &Config, dir: &Path) -> anyhow::Result<Kek> {
    let path = kek_file(config, dir);
    if config.environment == Environment::Development && is_kek_in_file(config) && !path.exists() {
        Kek::create(&path)?;
        tracing::warn!(path = %path.display(), "made a master key for development; whoever has it can read everything");
    }
    Ok(kek_provider(config, dir).kek()?)
}

/// Puts the master key that took the place of the one in a file there; the old one stays beside it, under its id.
///
/// # Errors
/// Of the file system.
pub fn change_kek_file(file: &Path, old: &Kek) -> anyhow::Result<PathBuf> {
    let kept = file.with_added_extension(old.id().simple().to_string());
    // A link first: at no time is there no key.
    match std::fs::hard_link(file, &kept) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot keep {}", file.display()));
        }
        _ => std::fs::rename(next_kek_file(file), file)?,
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()?;
    Ok(kept)
}

/// Where the database is.
#[must_use]
pub fn database(config: &Config, dir: &Path) -> Options {
    let url = config.database.url.expose_secret();
    let url = if url.is_empty() { format!("sqlite://{}", dir.join("wardroom.db").display()) } else { url.to_owned() };
    Options { url, max_connections: config.database.max_connections }
}

/// Opens the store on the runtime that this is called on.
///
/// # Errors
/// A sentence that says what to do.
pub async fn store(
    config: &Config,
    dir: &Path,
    clock: Arc<dyn Clock>,
    role: Role,
) -> anyhow::Result<(Store, Arc<Vault>)> {
    let kek = kek(config, dir)?;
    let old = kek.id();
    match open(config, dir, kek, Arc::clone(&clock), role).await {
        // It was replaced, and whoever replaced it did not come to change the file.
        Err(error) if is_kek_in_file(config) && is_replaced(&error) => {
            let file = kek_file(config, dir);
            let Ok(next) = Kek::read(&next_kek_file(&file)) else { return Err(error) };
            let opened = open(config, dir, next, clock, role).await.map_err(|_| error)?;
            let kept = change_kek_file(&file, &Kek::read(&file)?)?;
            tracing::warn!(%old, kept = %kept.display(), "the master key had been replaced; its file has the new one now");
            Ok(opened)
        }
        opened => opened,
    }
}

fn is_replaced(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Kek(KekError::Replaced { .. })))
}

async fn open(
    config: &Config,
    dir: &Path,
    kek: Kek,
    clock: Arc<dyn Clock>,
    role: Role,
) -> anyhow::Result<(Store, Arc<Vault>)> {
    let vault = Arc::new(Vault::new(kek));
    let options = database(config, dir);
    // The migrations make a future of many kilobytes.
    let store = Box::pin(Store::open(&options, Arc::clone(&vault), clock, node(dir)?, role)).await?;
    Ok((store, vault))
}

/// Where the bytes of files are kept: in the data directory, or in the bucket that the config names.
///
/// # Errors
/// A sentence that says what to do.
pub fn objects(config: &Config, dir: &Path) -> anyhow::Result<Objects> {
    let media = &config.media;
    if media.s3_bucket.is_empty() {
        let dir = dir.join("media");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        remove_halves(&dir)?;
        // What was written is there after a power cut.
        let disk = LocalFileSystem::new_with_prefix(&dir)?.with_fsync(true).with_automatic_cleanup(true);
        return Ok(Objects { store: Arc::new(disk), part: 1 << 20 });
    }
    let mut bucket = AmazonS3Builder::new()
        .with_bucket_name(&media.s3_bucket)
        .with_region(&media.s3_region)
        .with_access_key_id(media.s3_access_key.expose_secret())
        .with_secret_access_key(media.s3_secret_key.expose_secret());
    if !media.s3_endpoint.is_empty() {
        bucket = bucket.with_endpoint(&media.s3_endpoint).with_allow_http(media.s3_endpoint.starts_with("http://"));
    }
    let bucket = bucket.build().context("the bucket of [media] cannot be used")?;
    let store: Arc<dyn ObjectStore> = match media.s3_prefix.trim_matches('/') {
        "" => Arc::new(bucket),
        prefix => Arc::new(PrefixStore::new(bucket, prefix)),
    };
    // No part but the last may be shorter there.
    Ok(Objects { store, part: 5 << 20 })
}

/// Removes what a killed server had not written to the end: it is staged under names that no object has.
fn remove_halves(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_halves(&entry.path())?;
        } else if entry.file_name().to_string_lossy().contains('#') {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// How browsers are started here.
///
/// # Errors
/// A sentence that says what to install.
pub fn launching(config: &Config, dir: &Path) -> anyhow::Result<LaunchOptions> {
    let Some(executable) = find_browser(&config.browser.executable) else {
        bail!("no Chromium was found: run deploy/setup.sh, or set browser.executable to its path");
    };
    Ok(LaunchOptions {
        executable,
        user: config.browser.user.clone(),
        profiles: profiles(config, dir)?,
        timeout: Duration::from_secs(config.browser.launch_timeout_s),
    })
}

/// Browsers of a root server run under an account of their own, which has to get to its profiles.
fn profiles(config: &Config, dir: &Path) -> anyhow::Result<PathBuf> {
    if !config.browser.profile_dir.is_empty() {
        return Ok(PathBuf::from(&config.browser.profile_dir));
    }
    let root = rustix::process::geteuid().is_root();
    let closed = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0);
    if root && dir.ancestors().skip(1).any(closed) {
        let place = Path::new("/var/lib/wardroom").join(node(dir)?.to_string());
        DirBuilder::new().recursive(true).mode(0o711).create(&place)?;
        return Ok(place);
    }
    std::fs::set_permissions(dir, Permissions::from_mode(0o711))?;
    Ok(dir.join("workers"))
}

/// Asks the kernel to have the program's own file in memory. A panic reads tables of it that nothing else reads; where they lie on
/// a cold disk, everybody on that thread waits for it, a second long.
pub fn keep_program_at_hand() {
    let asked = File::open("/proc/self/exe").map(|file| rustix::fs::fadvise(file, 0, None, Advice::WillNeed));
    if let Ok(Err(error)) | Err(error) = asked.map(|asked| asked.map_err(std::io::Error::from)) {
        tracing::debug!(%error, "the program's file was not read ahead");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_into_a_server() {
        no_onlookers().unwrap();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn as_many_files_may_be_open_as_the_system_lets() {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: most }).unwrap();
        assert_eq!(all_descriptors(), most.unwrap_or(u64::MAX));
    }
}
