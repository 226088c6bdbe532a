//! Where the files lie that messages carry: sealed, in pieces, on this machine's disk or in an S3-compatible store.
//!
//! A file's bytes are there before its row is, so a row never leads nowhere; bytes without a row are what a kill left behind,
//! and the broom takes them. The same content is kept once in a session, and known again by a fingerprint that only the
//! user's key makes.

use crate::store::Store;
use crate::vault::{CHUNK, HEADER, Kind, Label, Vault, place};
use futures_util::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use wardroom_actors::domain::ids::{FileId, SessionId, SessionKey, TenantId};
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::failpoint;
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::files::{FileStore, Intake, PIECE, TakeError};
use wardroom_actors::ports::quotas::Quotas;
use wardroom_actors::ports::{BoxFuture, PortError};

/// Where bytes are kept.
pub struct Objects {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// Longer files leave in parts of so many bytes, shorter ones at once.
    pub part: usize,
}

/// Parts under way at once.
const PARTS: usize = 2;
/// Bytes without a row may belong to a file that is being taken in, until they are so old.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// The files. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    store: Store,
    vault: Arc<Vault>,
    objects: Arc<dyn ObjectStore>,
    part: usize,
    clock: Arc<dyn Clock>,
    io: tokio::runtime::Handle,
    /// Longest file in bytes.
    limit: u64,
    quotas: Arc<dyn Quotas>,
}

impl Files {
    /// Files whose bytes are kept as `objects`.
    #[must_use]
    pub fn new(
        store: Store,
        vault: Arc<Vault>,
        objects: Objects,
        clock: Arc<dyn Clock>,
        limit: u64,
        quotas: Arc<dyn Quotas>,
        io: tokio::runtime::Handle,
    ) -> Self {
        let Objects { store: objects, part } = objects;
        let files = Self { store, vault, objects, part, clock, io, limit, quotas };
        let purged = files.clone();
        files.store.hear_purges(move |key| {
            let files = purged.clone();
            purged.io.spawn(async move {
                if let Err(error) = files.forget(key).await {
                    tracing::warn!(%error, "a deleted session's files are still there; the broom will try again");
                }
            });
        });
        files
    }

    fn on_io<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, PortError>> {
        let task = self.io.spawn(work);
        Box::pin(async move { task.await.map_err(|_| PortError::Unavailable)? })
    }

    async fn read(&self, spec: &SessionSpec, file: FileId, index: u64) -> Result<Vec<u8>, PortError> {
        let size = self.store.file_size(spec.key(), file).await?.ok_or(PortError::Conflict)?;
        let start = index.saturating_mul(PIECE as u64);
        let length = size.saturating_sub(start).min(PIECE as u64);
        if length == 0 {
            return Ok(vec![]);
        }
        self.store.ready_to_seal(spec).await?;
        let (first, last) = (start / CHUNK as u64, (start + length - 1) / CHUNK as u64);
        // A chunk is sealed in as many bytes more as a whole one is.
        let end = place(last) + (start + length - last * CHUNK as u64) + (place(1) - place(0) - CHUNK as u64);
        let ranges = [0..HEADER as u64, place(first)..end];
        let mut plain = vec![0; usize::try_from(length).map_err(|_| PortError::Corrupt)?];
        // A bucket answers the ranges one by one, and between them the file may have been sealed anew: then the next time tells.
        for _ in 0..2 {
            let parts = self.objects.get_ranges(&object(spec.key(), file), &ranges).await;
            let source = parts.map_err(|error| failed(&error))?.concat();
            let opener = self.vault.opener_at(&label(spec, file), source.as_slice(), first);
            if opener.and_then(|mut opener| opener.read_exact(&mut plain)).is_ok() {
                return Ok(plain);
            }
        }
        Err(PortError::Corrupt)
    }

    /// Seals a file anew that is not sealed with its user's first data key. What does not open stays as it is.
    ///
    /// # Errors
    /// The database's, or the object store's.
    pub async fn reseal(&self, spec: &SessionSpec, file: FileId) -> Result<(), PortError> {
        let (path, label) = (object(spec.key(), file), label(spec, file));
        match self.objects.head(&path).await {
            Ok(found) if found.size >= HEADER as u64 => {}
            Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(failed(&error)),
        }
        let header = self.objects.get_range(&path, 0..HEADER as u64).await.map_err(|error| failed(&error))?;
        let corrupt = |_| PortError::Corrupt;
        if self.vault.is_sealed_now(&label, &header).map_err(|_| PortError::Corrupt)? {
            return Ok(());
        }
        // Whoever reads meanwhile reads the bytes of before: they are replaced when all are there.
        let mut writer =
            BufWriter::with_capacity(Arc::clone(&self.objects), path, self.part).with_max_concurrency(PARTS);
        let mut sealer = self.vault.sealer(&label, vec![]).map_err(corrupt)?;
        for index in 0.. {
            match self.read(spec, file, index).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => sealer.write_all(&piece).map_err(corrupt)?,
                Err(error) => {
                    let _ = writer.abort().await;
                    tracing::warn!(session = %spec.id, %file, %error, "a file was not sealed anew");
                    return if error == PortError::Unavailable { Err(error) } else { Ok(()) };
                }
            }
            writer.put(std::mem::take(sealer.sink()).into()).await.map_err(|error| failed(&error))?;
        }
        writer.put(sealer.finish().map_err(corrupt)?.into()).await.map_err(|error| failed(&error))?;
        writer.shutdown().await.map_err(|_| PortError::Unavailable)
    }

    async fn take(
        self,
        spec: SessionSpec,
        mut from: mpsc::Receiver<Vec<u8>>,
        whole: oneshot::Receiver<()>,
    ) -> Result<FileId, TakeError> {
        self.store.ready_to_seal(&spec).await?;
        let file = FileId::generate();
        // Until the file is noted: only then is it found and sealed anew when data keys are renewed.
        let _held = self.vault.hold(&label(&spec, file)).map_err(|_| PortError::Corrupt)?;
        let path = object(spec.key(), file);
        let mut writer =
            BufWriter::with_capacity(Arc::clone(&self.objects), path.clone(), self.part).with_max_concurrency(PARTS);
        let written = self.write(&spec, file, &mut from, &mut writer).await;
        let (fingerprint, size) = match written {
            // Whoever gave it up did not say that it was all.
            Ok(written) if whole.await.is_ok() => written,
            Ok(_) => {
                let _ = writer.abort().await;
                return Err(PortError::Conflict.into());
            }
            Err(error) => {
                let _ = writer.abort().await;
                return Err(error);
            }
        };
        writer.shutdown().await.map_err(|error| {
            tracing::warn!(%error, "a file could not be stored");
            PortError::Unavailable
        })?;
        failpoint::pass("file.stored");
        let quota = self.quotas.of(spec.tenant, spec.user);
        let kept = match self.store.note_file(spec.key(), file, fingerprint, size, quota).await {
            Err(full @ TakeError::Quota(_)) => {
                self.remove(&path).await;
                return Err(full);
            }
            noted => noted?,
        };
        if kept == file {
            return Ok(file);
        }
        match self.objects.head(&object(spec.key(), kept)).await {
            // The bytes of the one that was there are lost: this one takes its place.
            Err(object_store::Error::NotFound { .. }) => {
                self.store.replace_file(spec.key(), kept, file).await?;
                Ok(file)
            }
            _ => {
                self.remove(&path).await;
                Ok(kept)
            }
        }
    }

    /// Seals all there is; answers its fingerprint and length.
    async fn write(
        &self,
        spec: &SessionSpec,
        file: FileId,
        from: &mut mpsc::Receiver<Vec<u8>>,
        into: &mut BufWriter,
    ) -> Result<(Vec<u8>, u64), TakeError> {
        let corrupt = |_| PortError::Corrupt;
        let mut sealer = self.vault.sealer(&label(spec, file), vec![]).map_err(corrupt)?;
        let (mut digest, mut size) = (Sha256::new(), 0_u64);
        while let Some(bytes) = from.recv().await {
            size += bytes.len() as u64;
            if size > self.limit {
                return Err(TakeError::TooLarge { limit: self.limit });
            }
            digest.update(&bytes);
            sealer.write_all(&bytes).map_err(corrupt)?;
            let sealed = std::mem::take(sealer.sink());
            into.put(sealed.into()).await.map_err(|error| failed(&error))?;
        }
        let rest = sealer.finish().map_err(corrupt)?;
        into.put(rest.into()).await.map_err(|error| failed(&error))?;
        // Of the session: what it is the fingerprint of must not be seen across sessions either.
        let whose = Label { item: spec.id.to_string(), ..label(spec, file) };
        Ok((self.vault.fingerprint(&whose, &digest.finalize()).map_err(|_| PortError::Corrupt)?, size))
    }

    async fn remove(&self, path: &Path) {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(%path, %error, "a file's bytes could not be removed; the broom will try again")
            }
        }
    }

    /// Removes files that nobody has used for so long.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_old(&self, keep: Duration) -> Result<usize, PortError> {
        let before = self.clock.unix_ms().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let mut all = 0;
        loop {
            let gone = self.store.forget_files(before).await?;
            if gone.is_empty() {
                return Ok(all);
            }
            all += gone.len();
            for (key, file) in gone {
                self.remove(&object(key, file)).await;
            }
        }
    }

    /// Whether a file's bytes are there and are those that were stored.
    ///
    /// # Errors
    /// The database's, or the object store's.
    pub async fn opens(&self, spec: &SessionSpec, file: FileId) -> Result<bool, PortError> {
        for index in 0.. {
            match self.read(spec, file, index).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(_) => {}
                Err(PortError::Corrupt) => return Ok(false),
                // It was removed meanwhile.
                Err(PortError::Conflict) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The broom: removes bytes that belong to no file of this database's tenants; what else lies there is not ours.
    ///
    /// # Errors
    /// The database's, or the object store's.
    pub async fn sweep(&self) -> Result<usize, PortError> {
        let before = self.clock.unix_ms().saturating_sub(i64::try_from(LEFT_BEHIND.as_millis()).unwrap_or(i64::MAX));
        let mut all = 0;
        for tenant in self.store.tenants().await? {
            let mut found = self.objects.list(Some(&Path::from(tenant.to_string())));
            while let Some(object) = found.next().await {
                let object = object.map_err(|error| failed(&error))?;
                let Some((key, file)) = of_path(&object.location) else { continue };
                let old = object.last_modified.timestamp_millis() < before;
                if old && self.store.file_size(key, file).await?.is_none() {
                    self.remove(&object.location).await;
                    all += 1;
                }
            }
        }
        Ok(all)
    }

    /// Removes the bytes of a session that is gone.
    async fn forget(&self, key: SessionKey) -> Result<(), object_store::Error> {
        let theirs = self.objects.list(Some(&of_session(key)));
        let paths: Vec<_> = theirs.map_ok(|object| object.location).try_collect().await?;
        for path in paths {
            self.remove(&path).await;
        }
        Ok(())
    }
}

impl FileStore for Files {
    fn take_in(&self, spec: &SessionSpec) -> Box<dyn Intake> {
        let (pieces, from) = mpsc::channel(2);
        let (finish, whole) = oneshot::channel();
        let taking = self.io.spawn(self.clone().take(spec.clone(), from, whole));
        Box::new(Taking { pieces: Some(pieces), finish, taking })
    }

    fn piece(&self, spec: &SessionSpec, file: FileId, index: u64) -> BoxFuture<'static, Result<Vec<u8>, PortError>> {
        let (files, spec) = (self.clone(), spec.clone());
        self.on_io(async move { files.read(&spec, file, index).await })
    }

    fn attach(&self, spec: &SessionSpec, message: &str, file: FileId) -> BoxFuture<'static, Result<(), PortError>> {
        let (store, key, message) = (self.store.clone(), spec.key(), message.to_owned());
        Box::pin(async move { store.attach_file(key, message, file).await })
    }

    fn attached(&self, spec: &SessionSpec, message: &str) -> BoxFuture<'static, Result<Option<FileId>, PortError>> {
        let (store, key, message) = (self.store.clone(), spec.key(), message.to_owned());
        Box::pin(async move { store.attached_file(key, message).await })
    }
}

/// A file that is being taken in.
struct Taking {
    pieces: Option<mpsc::Sender<Vec<u8>>>,
    finish: oneshot::Sender<()>,
    taking: tokio::task::JoinHandle<Result<FileId, TakeError>>,
}

impl Intake for Taking {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), TakeError>> {
        Box::pin(async move {
            let Some(pieces) = &self.pieces else { return Err(PortError::Conflict.into()) };
            if pieces.send(bytes.to_vec()).await.is_ok() {
                return Ok(());
            }
            self.pieces = None;
            let ended = (&mut self.taking).await.map_err(|_| PortError::Unavailable)?;
            Err(ended.err().unwrap_or(TakeError::Store(PortError::Unavailable)))
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<FileId, TakeError>> {
        Box::pin(async move {
            let Self { pieces, finish, taking } = *self;
            if pieces.is_none() {
                return Err(PortError::Conflict.into());
            }
            drop(pieces);
            let _ = finish.send(());
            taking.await.map_err(|_| PortError::Unavailable)?
        })
    }
}

fn label(spec: &SessionSpec, file: FileId) -> Label {
    Label { tenant: spec.tenant, user: spec.user, kind: Kind::File, item: format!("{}/{file}", spec.id) }
}

fn of_session(key: SessionKey) -> Path {
    Path::from(format!("{}/{}", key.tenant, key.session))
}

fn object(key: SessionKey, file: FileId) -> Path {
    of_session(key).join(file.to_string())
}

fn of_path(path: &Path) -> Option<(SessionKey, FileId)> {
    let mut ids = path.parts().map(|part| uuid::Uuid::parse_str(part.as_ref()).ok());
    let (tenant, session, file) = (ids.next()??, ids.next()??, ids.next()??);
    let key = SessionKey { tenant: TenantId(tenant), session: SessionId(session) };
    ids.next().is_none().then_some((key, FileId(file)))
}

/// What the kernel needs to know of an error of the object store.
fn failed(error: &object_store::Error) -> PortError {
    match error {
        object_store::Error::NotFound { .. } => PortError::Corrupt,
        error => {
            tracing::warn!(%error, "the store of files failed");
            PortError::Unavailable
        }
    }
}

#[cfg(test)]
mod tests;
