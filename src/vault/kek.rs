//! The master key: where it comes from, and what is wrong with it.

use super::envelope::{Key, random};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The master key.
pub struct Kek(Key);

impl std::fmt::Debug for Kek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kek({})", self.id())
    }
}

/// Why there is no usable master key. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KekError {
    /// No file.
    #[error(
        "there is no master key at {0}: make one with `wardroom key generate {0}`, keep a copy of it somewhere safe, or \
         set WARDROOM__VAULT__KEK_FILE to the file that holds yours"
    )]
    Missing(PathBuf),
    /// It is something else.
    #[error(
        "the master key in {0} is malformed: it must be 64 hex digits (32 bytes); restore the copy that you kept, or make a \
         new one with `wardroom key generate` if nothing was sealed yet"
    )]
    Malformed(String),
    /// Others may read it.
    #[error("the master key {0} can be read by others: run `chmod 600 {0}`")]
    Exposed(PathBuf),
    /// It is not the one that this database was sealed with.
    #[error(
        "this is not the master key that the database was sealed with: set WARDROOM__VAULT__KEK_FILE (or WARDROOM__VAULT__KEK) \
         to the right one; nothing was changed"
    )]
    Wrong,
    /// The file system refused.
    #[error("cannot use the master key file {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Kek {
    /// A new one.
    #[must_use]
    pub fn generate() -> Zeroizing<String> {
        Zeroizing::new(hex::encode(random::<32>()))
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// [`KekError::Malformed`]; `origin` names the place in the sentence.
    pub fn parse(text: &str, origin: &str) -> Result<Self, KekError> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|_| KekError::Malformed(origin.to_owned()))?;
        let digest = Sha256::new().chain_update(b"wardroom kek id").chain_update(*bytes).finalize();
        let id = digest.first_chunk::<16>().map_or(Uuid::nil(), |id| Uuid::from_bytes(*id));
        Ok(Self(Key::new(id, *bytes)))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KekError`].
    pub fn read(path: &Path) -> Result<Self, KekError> {
        let io = |source| KekError::Io { path: path.to_owned(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(KekError::Missing(path.to_owned()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(KekError::Malformed(path.display().to_string()));
            }
            Err(error) => return Err(io(error)),
        };
        if std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o077 != 0 {
            return Err(KekError::Exposed(path.to_owned()));
        }
        Self::parse(&text, &path.display().to_string())
    }

    /// Writes a new key file with mode 0600; never replaces one.
    ///
    /// # Errors
    /// [`KekError::Io`].
    pub fn create(path: &Path) -> Result<(), KekError> {
        let io = |source| KekError::Io { path: path.to_owned(), source };
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(Self::generate().as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(io)?;
        file.sync_all().map_err(io)
    }

    /// A fingerprint that gives nothing away.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }
}
