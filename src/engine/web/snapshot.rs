//! How a login is kept while no browser runs, and what localStorage would lose.
//!
//! A snapshot is the part of a profile directory that holds the login: tar, zstd, sealed, checksummed by its seal, replaced
//! atomically, two generations. Beside it stands a copy of localStorage, because Chromium writes that late: after kill -9
//! a first write is lost when it is two seconds old.

use super::process::{signal_group, stand_still};
use crate::vault::{Kind, Label, Vault};
use dashmap::DashMap;
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{self, BufRead as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use wardroom_actors::domain::ids::SessionKey;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::failpoint;

/// What of a profile holds the login.
pub(crate) const PARTS: &[&str] =
    &["Default/IndexedDB", "Default/Local Storage", "Default/Cookies", "Default/Network", "Default/WebStorage"];

/// The sealed files of all sessions.
#[derive(Clone)]
pub struct Snapshots {
    dir: PathBuf,
    vault: Arc<Vault>,
    /// One at a time writes or removes the files of a session.
    locks: Arc<DashMap<SessionKey, Arc<Mutex<()>>>>,
}

impl Snapshots {
    /// Files below `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, vault: Arc<Vault>) -> Self {
        Self { dir, vault, locks: Arc::default() }
    }

    fn of(&self, key: SessionKey) -> PathBuf {
        self.dir.join(key.tenant.to_string()).join(key.session.to_string())
    }

    fn label(spec: &SessionSpec, kind: Kind) -> Label {
        Label { tenant: spec.tenant, user: spec.user, kind, item: spec.id.to_string() }
    }

    /// Whether there is anything to come back from.
    #[must_use]
    pub fn exists(&self, spec: &SessionSpec) -> bool {
        let dir = self.of(spec.key());
        dir.join("current").exists() || dir.join("previous").exists()
    }

    /// While it lives nobody else writes or removes the session's files. Waits in a blocking way.
    pub(super) fn lock(&self, key: SessionKey) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(&self.locks.entry(key).or_default());
        lock.blocking_lock_owned()
    }

    /// Archives a profile whose browser is gone.
    ///
    /// # Errors
    /// Of the file system; the generations before are untouched then.
    pub fn archive(&self, spec: &SessionSpec, profile: &Path) -> io::Result<u64> {
        let _alone = self.lock(spec.key());
        self.archive_alone(spec, profile)
    }

    /// [`Self::archive`] for whoever holds the lock.
    pub(super) fn archive_alone(&self, spec: &SessionSpec, profile: &Path) -> io::Result<u64> {
        let dir = self.of(spec.key());
        fs::create_dir_all(&dir)?;
        let fresh = dir.join("fresh");
        let sealer =
            self.vault.sealer(&Self::label(spec, Kind::Snapshot), io::BufWriter::new(File::create(&fresh)?))?;
        let mut tar = tar::Builder::new(zstd::Encoder::new(sealer, 3)?);
        tar.follow_symlinks(false);
        for part in PARTS {
            let path = profile.join(part);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => tar.append_dir_all(part, &path)?,
                Ok(meta) if meta.is_file() => tar.append_path_with_name(&path, part)?,
                _ => {}
            }
        }
        let file = tar.into_inner()?.finish()?.finish()?.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        let size = file.metadata()?.len();
        failpoint::pass("snapshot.written");
        let (current, previous) = (dir.join("current"), dir.join("previous"));
        if current.exists() {
            fs::rename(&current, &previous)?;
        }
        failpoint::pass("snapshot.swapped");
        fs::rename(&fresh, &current)?;
        File::open(&dir)?.sync_all()?;
        Ok(size)
    }

    /// Unpacks the newest generation that opens into an empty directory; answers the files and directories it made.
    ///
    /// # Errors
    /// When neither generation opens.
    pub fn restore(&self, spec: &SessionSpec, into: &Path) -> io::Result<Vec<PathBuf>> {
        let dir = self.of(spec.key());
        let mut worst = io::Error::new(io::ErrorKind::NotFound, "there is no snapshot");
        for generation in ["current", "previous"] {
            let path = dir.join(generation);
            if !path.exists() {
                continue;
            }
            match self.unpack(spec, &path, into) {
                Ok(made) => return Ok(made),
                Err(error) => {
                    tracing::warn!(session = %spec.id, generation, %error, "a snapshot does not open");
                    for part in PARTS {
                        let _ = fs::remove_dir_all(into.join(part));
                        let _ = fs::remove_file(into.join(part));
                    }
                    worst = error;
                }
            }
        }
        Err(worst)
    }

    fn unpack(&self, spec: &SessionSpec, from: &Path, into: &Path) -> io::Result<Vec<PathBuf>> {
        let opener = self.vault.opener(&Self::label(spec, Kind::Snapshot), io::BufReader::new(File::open(from)?))?;
        let mut tar = tar::Archive::new(zstd::Decoder::new(opener)?);
        let mut made = vec![into.join("Default")];
        fs::create_dir_all(into.join("Default"))?;
        for entry in tar.entries()? {
            let mut entry = entry?;
            let path = into.join(entry.path()?);
            if !entry.unpack_in(into)? {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a snapshot leads out of its directory"));
            }
            made.push(path);
        }
        // The end of the stream is where a cut-off file shows.
        io::copy(&mut tar.into_inner(), &mut io::sink())?;
        Ok(made)
    }

    /// Seals a copy of localStorage.
    ///
    /// # Errors
    /// Of the file system.
    pub fn keep_storage(&self, spec: &SessionSpec, json: &str) -> io::Result<()> {
        let _alone = self.lock(spec.key());
        let dir = self.of(spec.key());
        fs::create_dir_all(&dir)?;
        let sealed = self.vault.seal(&Self::label(spec, Kind::Storage), json.as_bytes()).map_err(io::Error::other)?;
        replace(&dir, "storage", &sealed)
    }

    /// The copy of localStorage; `None` when there is none that opens.
    #[must_use]
    pub fn storage(&self, spec: &SessionSpec) -> Option<String> {
        let mut sealed = vec![];
        File::open(self.of(spec.key()).join("storage")).ok()?.read_to_end(&mut sealed).ok()?;
        let plain = self.vault.open(&Self::label(spec, Kind::Storage), &sealed).ok()?;
        String::from_utf8(plain).ok()
    }

    /// Which of a session's files are there, and whether each opens.
    #[must_use]
    pub fn verify(&self, spec: &SessionSpec) -> Vec<(&'static str, bool)> {
        let _alone = self.lock(spec.key());
        let dir = self.of(spec.key());
        let opens = |file: File| -> io::Result<u64> {
            let file = io::BufReader::new(file);
            io::copy(&mut self.vault.opener(&Self::label(spec, Kind::Snapshot), file)?, &mut io::sink())
        };
        let file = |name| File::open(dir.join(name)).ok();
        let kept = ["current", "previous"].into_iter().filter_map(|name| Some((name, opens(file(name)?).is_ok())));
        let storage = file("storage").map(|_| ("storage", self.storage(spec).is_some()));
        kept.chain(storage).collect()
    }

    /// Seals anew what is not sealed with its user's first data key.
    ///
    /// # Errors
    /// Of the file system. What does not open stays as it is.
    pub fn reseal(&self, spec: &SessionSpec) -> io::Result<()> {
        let _alone = self.lock(spec.key());
        let (dir, label) = (self.of(spec.key()), Self::label(spec, Kind::Snapshot));
        for name in ["current", "previous"] {
            let path = dir.join(name);
            let Some(file) = there(File::open(&path))? else { continue };
            let mut source = io::BufReader::new(file);
            if self.vault.is_sealed_now(&label, source.fill_buf()?).map_err(io::Error::other)? {
                continue;
            }
            let fresh = dir.join("fresh");
            let mut sealer = self.vault.sealer(&label, io::BufWriter::new(File::create(&fresh)?))?;
            let opened = self.vault.opener(&label, source).and_then(|mut opener| io::copy(&mut opener, &mut sealer));
            match opened {
                // Changed, or cut off.
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                    tracing::warn!(session = %spec.id, name, %error, "a snapshot does not open");
                    fs::remove_file(&fresh)?;
                }
                opened => {
                    opened?;
                    sealer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                    fs::rename(&fresh, &path)?;
                    File::open(&dir)?.sync_all()?;
                }
            }
        }
        let (storage, label) = (dir.join("storage"), Self::label(spec, Kind::Storage));
        if let Some(sealed) = there(fs::read(&storage))?
            && !self.vault.is_sealed_now(&label, &sealed).map_err(io::Error::other)?
            && let Ok(sealed) = self.vault.reseal(&label, &sealed)
        {
            replace(&dir, "storage", &sealed)?;
        }
        Ok(())
    }

    /// Removes everything of a session.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remove(&self, key: SessionKey) -> io::Result<()> {
        let _alone = self.lock(key);
        match fs::remove_dir_all(self.of(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What is there of a file that may be missing.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Writes a file whole or not at all.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = dir.join(format!("{name}.fresh"));
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(fresh, dir.join(name))?;
    File::open(dir)?.sync_all()
}

/// Copies the login's files of a running browser into `stage` while all its processes are stopped: files that LevelDB never
/// changes are linked, logs are copied. Meant to take well under 200 ms.
pub(super) fn stage_live(group: u32, profile: &Path, stage: &Path) -> io::Result<()> {
    fs::create_dir_all(stage)?;
    signal_group(group, Signal::STOP);
    let copied = if stand_still(group) {
        PARTS.iter().try_for_each(|part| copy(&profile.join(part), &stage.join(part)))
    } else {
        Err(io::Error::new(io::ErrorKind::TimedOut, "the browser does not stand still"))
    };
    signal_group(group, Signal::CONT);
    copied
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(from) else { return Ok(()) };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if meta.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    } else if meta.is_file() && from.extension().is_some_and(|end| end == "ldb") {
        fs::hard_link(from, to)
    } else if meta.is_file() {
        fs::copy(from, to).map(drop)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Kek;
    use wardroom_actors::domain::ids::{LinkEpoch, SessionId, SessionName, TenantId, UserId};
    use wardroom_actors::domain::spec::{EngineName, Network};

    fn spec() -> SessionSpec {
        SessionSpec {
            tenant: TenantId::generate(),
            user: UserId::generate(),
            id: SessionId::generate(),
            name: SessionName::parse("one").unwrap(),
            engine: EngineName::Web,
            network: Network::Simulator,
            config: "{}".into(),
            desired_running: true,
            link_epoch: LinkEpoch(1),
            linked_at: None,
            account: None,
            worker: None,
            owner_epoch: 1,
        }
    }

    fn ground() -> (tempfile::TempDir, Snapshots, SessionSpec, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (spec, vault) = (spec(), Vault::new(Kek::parse(&"07".repeat(32), "test").unwrap()));
        let _ = vault.new_dek(spec.tenant, spec.user);
        let profile = dir.path().join("profile");
        fs::create_dir_all(profile.join("Default/IndexedDB/db")).unwrap();
        fs::write(profile.join("Default/IndexedDB/db/000001.log"), "first").unwrap();
        fs::write(profile.join("Default/Other"), "not part of a login").unwrap();
        let snapshots = Snapshots::new(dir.path().join("snapshots"), Arc::new(vault));
        (dir, snapshots, spec, profile)
    }

    fn restored(snapshots: &Snapshots, spec: &SessionSpec, dir: &Path) -> String {
        let _ = fs::remove_dir_all(dir);
        snapshots.restore(spec, dir).unwrap();
        assert!(!dir.join("Default/Other").exists());
        fs::read_to_string(dir.join("Default/IndexedDB/db/000001.log")).unwrap()
    }

    #[test]
    fn a_damaged_generation_gives_way_to_the_one_before() {
        let (dir, snapshots, spec, profile) = ground();
        let (into, file) = (dir.path().join("into"), snapshots.of(spec.key()).join("current"));
        snapshots.archive(&spec, &profile).unwrap();
        fs::write(profile.join("Default/IndexedDB/db/000001.log"), "second").unwrap();
        snapshots.archive(&spec, &profile).unwrap();
        assert_eq!(restored(&snapshots, &spec, &into), "second");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert_eq!(restored(&snapshots, &spec, &into), "first");
        bytes.truncate(middle);
        fs::write(&file, &bytes).unwrap();
        assert_eq!(restored(&snapshots, &spec, &into), "first");
    }

    #[test]
    fn a_snapshot_of_one_session_is_of_no_use_to_another() {
        let (dir, snapshots, spec, profile) = ground();
        snapshots.archive(&spec, &profile).unwrap();
        let other = SessionSpec { id: SessionId::generate(), ..spec.clone() };
        let from = snapshots.of(spec.key());
        let to = snapshots.of(other.key());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(from, to).unwrap();
        assert!(snapshots.restore(&other, &dir.path().join("into")).is_err());
    }

    #[test]
    fn nothing_of_a_profile_is_readable_in_a_snapshot() {
        let (_dir, snapshots, spec, profile) = ground();
        snapshots.archive(&spec, &profile).unwrap();
        snapshots.keep_storage(&spec, "{\"canary\":\"first\"}").unwrap();
        for file in ["current", "storage"] {
            let bytes = fs::read(snapshots.of(spec.key()).join(file)).unwrap();
            assert!(!bytes.windows(5).any(|part| part == b"first"), "{file}");
        }
        assert_eq!(snapshots.storage(&spec).unwrap(), "{\"canary\":\"first\"}");
        snapshots.remove(spec.key()).unwrap();
        assert!(!snapshots.exists(&spec));
    }
}
