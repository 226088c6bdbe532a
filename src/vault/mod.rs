//! Seals secrets. The master key (KEK) wraps one data key (DEK) per user; nothing outside this folder sees key bytes.
//!
//! Invariants: what was sealed for one (tenant, user, kind, item) opens for no other; a wrong master key is noticed at
//! start-up by a key check value; no key has a `Debug` that prints it.

mod envelope;
mod kek;
mod stream;

pub use kek::{Kek, KekError};
pub use stream::{CHUNK, HEADER, Opener, Sealer, place};

use dashmap::DashMap;
use envelope::Key;
use std::sync::Arc;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};

/// Sealed data does not open: it was changed, moved, or sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed data does not open")]
pub struct Sealed;

/// What a sealed item is; part of what is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session's config.
    Config,
    /// A linked account.
    Account,
    /// A journal row.
    Journal,
    /// A text in the outbox.
    Outbox,
    /// An agent's memory.
    AgentState,
    /// A login's files.
    Snapshot,
    /// A login's localStorage.
    Storage,
    /// A file that messages carry.
    File,
    /// A key that follows from the user's.
    ApiKey,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Account => "account",
            Self::Journal => "journal",
            Self::Outbox => "outbox",
            Self::AgentState => "agent_state",
            Self::Snapshot => "snapshot",
            Self::Storage => "storage",
            Self::File => "file",
            Self::ApiKey => "api_key",
        }
    }
}

/// Whose item it is and which; the same words are needed to open it.
#[derive(Clone, Debug)]
pub struct Label {
    /// Owner.
    pub tenant: TenantId,
    /// Whose data key.
    pub user: UserId,
    /// What it is.
    pub kind: Kind,
    /// Which one of its kind.
    pub item: String,
}

impl Label {
    fn aad(&self) -> Vec<u8> {
        format!("wardroom/1|{}|{}|{}|{}", self.tenant, self.user, self.kind.name(), self.item).into_bytes()
    }
}

/// The keyring: the master key and the data keys that were opened with it.
pub struct Vault {
    kek: Kek,
    deks: DashMap<(TenantId, UserId), Arc<Key>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

const CHECK: &[u8] = b"wardroom key check value";

impl Vault {
    /// A keyring around a master key.
    #[must_use]
    pub fn new(kek: Kek) -> Self {
        Self { kek, deks: DashMap::new() }
    }

    /// A value to store, by which [`Self::check`] knows the master key again.
    #[must_use]
    pub fn check_value(&self) -> Vec<u8> {
        envelope::seal(self.kek.key(), b"wardroom/1|kcv", CHECK)
    }

    /// Whether `value` was made with this master key.
    #[must_use]
    pub fn check(&self, value: &[u8]) -> bool {
        envelope::open(self.kek.key(), b"wardroom/1|kcv", value).is_ok_and(|text| text == CHECK)
    }

    /// A new data key for a user, wrapped for storing. It is in the ring from now on.
    #[must_use]
    pub fn new_dek(&self, tenant: TenantId, user: UserId) -> Vec<u8> {
        let key = Key::generate();
        let wrapped = envelope::seal(self.kek.key(), &dek_aad(tenant, user), key.parts().as_slice());
        self.deks.insert((tenant, user), Arc::new(key));
        wrapped
    }

    /// Puts a stored data key into the ring.
    ///
    /// # Errors
    /// [`Sealed`] when it was wrapped for somebody else or with another master key.
    pub fn admit(&self, tenant: TenantId, user: UserId, wrapped: &[u8]) -> Result<(), Sealed> {
        let parts = zeroize::Zeroizing::new(envelope::open(self.kek.key(), &dek_aad(tenant, user), wrapped)?);
        self.deks.insert((tenant, user), Arc::new(Key::from_parts(&parts).ok_or(Sealed)?));
        Ok(())
    }

    /// Whether the user's data key is in the ring.
    #[must_use]
    pub fn knows(&self, tenant: TenantId, user: UserId) -> bool {
        self.deks.contains_key(&(tenant, user))
    }

    /// Seals a small item.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data key is not in the ring.
    pub fn seal(&self, label: &Label, plain: &[u8]) -> Result<Vec<u8>, Sealed> {
        Ok(envelope::seal(&*self.dek(label)?, &label.aad(), plain))
    }

    /// Opens a small item.
    ///
    /// # Errors
    /// [`Sealed`].
    pub fn open(&self, label: &Label, sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
        envelope::open(&*self.dek(label)?, &label.aad(), sealed)
    }

    /// Seals a stream into `sink`; call [`Sealer::finish`] at its end.
    ///
    /// # Errors
    /// Of the sink, or when the user's data key is not in the ring.
    pub fn sealer<W: std::io::Write>(&self, label: &Label, sink: W) -> std::io::Result<Sealer<W>> {
        let key = self.dek(label).map_err(std::io::Error::other)?;
        Sealer::new(key, label.aad(), sink)
    }

    /// Opens a sealed stream; what it reads was authenticated, and a cut-off end is an error.
    ///
    /// # Errors
    /// Of the source, or when it was sealed with another key.
    pub fn opener<R: std::io::Read>(&self, label: &Label, source: R) -> std::io::Result<Opener<R>> {
        self.opener_at(label, source, 0)
    }

    /// [`Self::opener`], which goes on at a chunk: `source` gives the first [`HEADER`] bytes of the sealed stream, and then
    /// what begins at [`place`].
    ///
    /// # Errors
    /// As for [`Self::opener`].
    pub fn opener_at<R: std::io::Read>(&self, label: &Label, source: R, index: u64) -> std::io::Result<Opener<R>> {
        let key = self.dek(label).map_err(std::io::Error::other)?;
        Opener::new(key, label.aad(), source, index)
    }

    /// By which equal contents are known again, and which tells nobody else what they are.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data key is not in the ring.
    pub fn fingerprint(&self, label: &Label, digest: &[u8]) -> Result<Vec<u8>, Sealed> {
        Ok(self.dek(label)?.mac(&[label.aad().as_slice(), b"|", digest].concat()))
    }

    fn dek(&self, label: &Label) -> Result<Arc<Key>, Sealed> {
        self.deks.get(&(label.tenant, label.user)).map(|key| Arc::clone(&key)).ok_or(Sealed)
    }
}

fn dek_aad(tenant: TenantId, user: UserId) -> Vec<u8> {
    format!("wardroom/1|dek|{tenant}|{user}").into_bytes()
}

fn new_key_id() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests;
