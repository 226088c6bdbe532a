//! The master key: where it comes from ([`KekProvider`] is the port), and what is wrong with it.

use super::envelope::{Key, random};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
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
    /// It was the right one once.
    #[error(
        "this master key ({old}) was replaced by another ({new}): set WARDROOM__VAULT__KEK_FILE (or whatever gives the key) to \
         that one; nothing was changed"
    )]
    Replaced {
        /// The one that was given.
        old: Uuid,
        /// The one that is needed.
        new: Uuid,
    },
    /// A command gave none.
    #[error("vault.kek_command gave no master key: {0}")]
    Command(String),
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
        file.sync_all().map_err(io)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
    }

    /// A fingerprint that gives nothing away.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }

    pub(super) fn from_parts(parts: &[u8]) -> Option<Self> {
        Key::from_parts(parts).map(Self)
    }
}

/// Whoever gives the master key. A key service is one more of these.
pub trait KekProvider {
    /// The key.
    ///
    /// # Errors
    /// [`KekError`].
    fn kek(&self) -> Result<Kek, KekError>;
}

/// A file of 64 hex digits that nobody else may read.
pub struct KekFile(pub PathBuf);

impl KekProvider for KekFile {
    fn kek(&self) -> Result<Kek, KekError> {
        Kek::read(&self.0)
    }
}

/// The digits themselves, as an environment variable has them.
pub struct KekText {
    /// The digits.
    pub text: SecretString,
    /// Where they come from.
    pub origin: &'static str,
}

impl KekProvider for KekText {
    fn kek(&self) -> Result<Kek, KekError> {
        Kek::parse(self.text.expose_secret(), self.origin)
    }
}

/// A program with its arguments that prints the digits, as clients of key services do. It has half a minute.
pub struct KekCommand(pub Vec<String>);

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl KekProvider for KekCommand {
    fn kek(&self) -> Result<Kek, KekError> {
        let failed = |why: String| KekError::Command(why);
        let (program, arguments) = self.0.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // It has a group of its own, so that all of it can be ended, and none of the server's secrets.
        command.process_group(0);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WARDROOM")) {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| failed(format!("{program}: {error}")))?;
        let pid = rustix::process::Pid::from_child(&child);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Zeroizing::new(String::new());
            let read = child.stdout.take().map_or(Ok(0), |out| out.take(4096).read_to_string(&mut text));
            let _ = tell.send(read.and_then(|_| child.wait()).map(|status| (status, text)));
        });
        let Ok(ended) = told.recv_timeout(PATIENCE) else {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            return Err(failed(format!("{program} took longer than {PATIENCE:?}")));
        };
        let (status, text) = ended.map_err(|error| failed(format!("{program}: {error}")))?;
        if !status.success() {
            return Err(failed(format!("{program} ended with {status}")));
        }
        Kek::parse(&text, "what vault.kek_command prints")
    }
}
