//! Seals secrets. The master key (KEK) wraps one data key (DEK) per user; nothing outside this folder sees key bytes.
//!
//! Invariants: what was sealed for one (tenant, user, kind, item) opens for no other; a wrong master key is noticed at
//! start-up by a key check value; no key has a `Debug` that prints it.

mod envelope;
mod kek;
mod ring;
mod stream;

pub use envelope::random;
pub use kek::{Kek, KekCommand, KekError, KekFile, KekProvider, KekText};
pub use stream::{CHUNK, HEADER, Opener, Sealer, place};

use dashmap::DashMap;
use envelope::Key;
use ring::Ring;
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use zeroize::Zeroizing;

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
    /// What a person signs in with.
    Person,
    /// A person's stay.
    SignIn,
    /// What is personal in a record of what was done.
    Audit,
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
            Self::Person => "person",
            Self::SignIn => "sign_in",
            Self::Audit => "audit",
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
    master: RwLock<Masters>,
    rings: DashMap<(TenantId, UserId), Arc<Ring>>,
}

/// The master key that wraps, and the one whose place it takes, as long as that lasts.
#[derive(Clone)]
struct Masters {
    current: Arc<Kek>,
    before: Option<Arc<Kek>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

/// Data keys that are not stored yet.
pub struct FreshDek {
    whose: (TenantId, UserId),
    ring: Arc<Ring>,
    /// What is to be stored.
    pub wrapped: Vec<u8>,
}

/// A data key that is in use.
pub struct HeldDek(#[expect(dead_code, reason = "it is only held")] Arc<Key>);

/// What becomes of data keys that were followed by another.
pub enum Retired {
    /// They may go.
    Fresh(FreshDek),
    /// Something is being sealed with one of them.
    Busy,
    /// There are none.
    Already,
}

const CHECK: &[u8] = b"wardroom key check value";
const CHECK_AAD: &[u8] = b"wardroom/1|kcv";
/// The new master key under the old one, and the other way round.
const HANDOVER: [&str; 2] = ["handover to", "handover from"];

impl Vault {
    /// A keyring around a master key.
    #[must_use]
    pub fn new(kek: Kek) -> Self {
        let master = RwLock::new(Masters { current: Arc::new(kek), before: None });
        Self { master, rings: DashMap::new() }
    }

    fn masters(&self) -> Masters {
        self.master.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_masters(&self, current: Kek, before: Option<Kek>) {
        *self.master.write().unwrap_or_else(PoisonError::into_inner) =
            Masters { current: Arc::new(current), before: before.map(Arc::new) };
    }

    fn wrap(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        envelope::seal(self.masters().current.key(), aad, plain)
    }

    fn unwrap(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        let Masters { current, before } = self.masters();
        let id = envelope::key_id(sealed).ok_or(Sealed)?;
        let kek = [Some(current), before].into_iter().flatten().find(|kek| kek.id() == id).ok_or(Sealed)?;
        envelope::open(kek.key(), aad, sealed).map(Zeroizing::new)
    }

    /// Which master key wraps.
    #[must_use]
    pub fn kek_id(&self) -> Uuid {
        self.masters().current.id()
    }

    /// Which one's place is being taken.
    #[must_use]
    pub fn kek_before(&self) -> Option<Uuid> {
        self.masters().before.map(|kek| kek.id())
    }

    /// A value to store, by which [`Self::check`] knows the master key again.
    #[must_use]
    pub fn check_value(&self) -> Vec<u8> {
        self.wrap(CHECK_AAD, CHECK)
    }

    /// Whether `value` was made with this master key.
    #[must_use]
    pub fn check(&self, value: &[u8]) -> bool {
        self.unwrap(CHECK_AAD, value).is_ok_and(|text| text.as_slice() == CHECK)
    }

    /// What has to be stored for `new` to take the master key's place: whoever has one of them has both.
    #[must_use]
    pub fn hand_over(&self, new: &Kek) -> Vec<u8> {
        let [to, from] = HANDOVER;
        let old = self.masters().current;
        let to = envelope::seal(old.key(), &own_aad(to), &new.key().parts());
        let from = envelope::seal(new.key(), &own_aad(from), &old.key().parts());
        [to, from].concat()
    }

    /// Learns from what [`Self::hand_over`] made: from now on the new key wraps, and both open. Says whether that is new.
    ///
    /// # Errors
    /// [`Sealed`] when it is about other keys.
    pub fn take_over(&self, handover: &[u8]) -> Result<bool, Sealed> {
        let masters = self.masters();
        let (to, from) = handover.split_at_checked(handover.len() / 2).ok_or(Sealed)?;
        let known = masters.before.as_ref().map(|before| (Some(before.id()), Some(masters.current.id())));
        if known == Some((envelope::key_id(to), envelope::key_id(from))) {
            return Ok(false);
        }
        let [to_name, from_name] = HANDOVER;
        let mine = masters.current.key();
        let again = Kek::from_parts(&mine.parts()).ok_or(Sealed)?;
        if let Ok(new) = envelope::open(mine, &own_aad(to_name), to).map(Zeroizing::new) {
            self.set_masters(Kek::from_parts(&new).ok_or(Sealed)?, Some(again));
        } else {
            let old = envelope::open(mine, &own_aad(from_name), from).map(Zeroizing::new)?;
            self.set_masters(again, Some(Kek::from_parts(&old).ok_or(Sealed)?));
        }
        Ok(true)
    }

    /// Forgets the master key whose place was taken.
    pub fn let_go(&self) {
        self.master.write().unwrap_or_else(PoisonError::into_inner).before = None;
    }

    /// Seals what belongs to the server itself.
    #[must_use]
    pub fn seal_own(&self, item: &str, plain: &[u8]) -> Vec<u8> {
        self.wrap(&own_aad(item), plain)
    }

    /// Opens what belongs to the server itself.
    ///
    /// # Errors
    /// [`Sealed`].
    pub fn open_own(&self, item: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        self.unwrap(&own_aad(item), sealed)
    }

    /// The same, under the master key that wraps.
    ///
    /// # Errors
    /// [`Sealed`].
    pub fn rewrap_own(&self, item: &str, sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
        Ok(self.seal_own(item, &self.open_own(item, sealed)?))
    }

    /// A new data key for a user, wrapped for storing. It is in the ring from now on.
    #[must_use]
    pub fn new_dek(&self, tenant: TenantId, user: UserId) -> Vec<u8> {
        let ring = Ring::generate();
        let wrapped = self.wrap(&dek_aad(tenant, user), &ring.parts());
        self.rings.insert((tenant, user), Arc::new(ring));
        wrapped
    }

    /// Puts stored data keys into the ring. Those that are there already stay the same, because something may hold them.
    ///
    /// # Errors
    /// [`Sealed`] when they were wrapped for somebody else or with another master key.
    pub fn admit(&self, tenant: TenantId, user: UserId, wrapped: &[u8]) -> Result<(), Sealed> {
        let parts = self.unwrap(&dek_aad(tenant, user), wrapped)?;
        let ring = Ring::from_parts(&parts).ok_or(Sealed)?;
        let ring = match self.ring_of(tenant, user) {
            Ok(known) => ring.keeping(&known),
            Err(_) => ring,
        };
        self.rings.insert((tenant, user), Arc::new(ring));
        Ok(())
    }

    /// Stored data keys, wrapped by the master key that wraps.
    ///
    /// # Errors
    /// As for [`Self::admit`].
    pub fn rewrap_dek(&self, tenant: TenantId, user: UserId, wrapped: &[u8]) -> Result<Vec<u8>, Sealed> {
        let aad = dek_aad(tenant, user);
        Ok(self.wrap(&aad, &self.unwrap(&aad, wrapped)?))
    }

    /// Whether this was wrapped by the master key that wraps.
    #[must_use]
    pub fn is_wrapped_now(&self, wrapped: &[u8]) -> bool {
        envelope::key_id(wrapped) == Some(self.kek_id())
    }

    /// A user's data key with a new one in front, wrapped for storing: [`Self::install`] is for when they are stored. `None` when
    /// there are several already.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data keys are not in the ring.
    pub fn follow_dek(&self, tenant: TenantId, user: UserId) -> Result<Option<FreshDek>, Sealed> {
        let followed = self.ring_of(tenant, user)?.followed();
        followed.map(|ring| self.fresh(tenant, user, ring)).transpose()
    }

    /// A user's first data key without those before it, wrapped for storing, if none of those is in use.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data keys are not in the ring.
    pub fn retire_deks(&self, tenant: TenantId, user: UserId) -> Result<Retired, Sealed> {
        let ring = self.ring_of(tenant, user)?;
        match ring.alone() {
            None => Ok(Retired::Already),
            Some(_) if ring.is_busy() => Ok(Retired::Busy),
            Some(alone) => Ok(Retired::Fresh(self.fresh(tenant, user, alone)?)),
        }
    }

    fn fresh(&self, tenant: TenantId, user: UserId, ring: Ring) -> Result<FreshDek, Sealed> {
        let wrapped = self.wrap(&dek_aad(tenant, user), &ring.parts());
        Ok(FreshDek { whose: (tenant, user), ring: Arc::new(ring), wrapped })
    }

    /// Uses data keys that are stored by now.
    pub fn install(&self, fresh: FreshDek) {
        self.rings.insert(fresh.whose, fresh.ring);
    }

    /// Forgets a user's data keys.
    pub fn forget(&self, tenant: TenantId, user: UserId) {
        self.rings.remove(&(tenant, user));
    }

    /// Whether this is sealed with the key that its user's things are sealed with now.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data keys are not in the ring.
    pub fn is_sealed_now(&self, label: &Label, sealed: &[u8]) -> Result<bool, Sealed> {
        Ok(envelope::key_id(sealed) == Some(self.ring(label)?.first()?.id))
    }

    /// The same item, sealed with that key.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn reseal(&self, label: &Label, sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
        self.seal(label, &Zeroizing::new(self.open(label, sealed)?))
    }

    /// Whether the user's data key is in the ring.
    #[must_use]
    pub fn knows(&self, tenant: TenantId, user: UserId) -> bool {
        self.rings.contains_key(&(tenant, user))
    }

    /// Seals a small item.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data key is not in the ring.
    pub fn seal(&self, label: &Label, plain: &[u8]) -> Result<Vec<u8>, Sealed> {
        Ok(envelope::seal(self.ring(label)?.first()?, &label.aad(), plain))
    }

    /// Opens a small item.
    ///
    /// # Errors
    /// [`Sealed`].
    pub fn open(&self, label: &Label, sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
        envelope::open(self.ring(label)?.key_of(sealed)?, &label.aad(), sealed)
    }

    /// Seals a stream into `sink`; call [`Sealer::finish`] at its end.
    ///
    /// # Errors
    /// Of the sink, or when the user's data key is not in the ring.
    pub fn sealer<W: std::io::Write>(&self, label: &Label, sink: W) -> std::io::Result<Sealer<W>> {
        let ring = self.ring(label).map_err(std::io::Error::other)?;
        Sealer::new(Arc::clone(ring.first().map_err(std::io::Error::other)?), label.aad(), sink)
    }

    /// Holds the key that a user's things are sealed with now: as long as it lives, that key is not retired. For what is sealed
    /// long before it is stored.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data keys are not in the ring.
    pub fn hold(&self, label: &Label) -> Result<HeldDek, Sealed> {
        Ok(HeldDek(Arc::clone(self.ring(label)?.first()?)))
    }

    /// Whether something of a tenant is being sealed with a data key that was followed by another.
    #[must_use]
    pub fn is_busy(&self, tenant: TenantId) -> bool {
        self.rings.iter().any(|ring| ring.key().0 == tenant && ring.is_busy())
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
        let ring = self.ring(label).map_err(std::io::Error::other)?;
        Opener::new(&ring, label.aad(), source, index)
    }

    /// By which equal contents are known again, and which tells nobody else what they are.
    ///
    /// # Errors
    /// [`Sealed`] when the user's data key is not in the ring.
    pub fn fingerprint(&self, label: &Label, digest: &[u8]) -> Result<Vec<u8>, Sealed> {
        Ok(self.ring(label)?.mac(&[label.aad().as_slice(), b"|", digest].concat()))
    }

    fn ring(&self, label: &Label) -> Result<Arc<Ring>, Sealed> {
        self.ring_of(label.tenant, label.user)
    }

    fn ring_of(&self, tenant: TenantId, user: UserId) -> Result<Arc<Ring>, Sealed> {
        self.rings.get(&(tenant, user)).map(|ring| Arc::clone(&ring)).ok_or(Sealed)
    }
}

/// How a backup begins.
const BACKUP: &[u8] = b"wardroom backup 1\n";
const BACKUP_KEY: &str = "backup key";
const BACKUP_AAD: &[u8] = b"wardroom/1|backup";

impl Vault {
    /// Seals a backup into `sink`, under a key of its own, which the master key wraps.
    ///
    /// # Errors
    /// Of the sink.
    pub fn backup_sealer<W: std::io::Write>(&self, mut sink: W) -> std::io::Result<Sealer<W>> {
        let key = Key::generate();
        let wrapped = self.seal_own(BACKUP_KEY, &key.parts());
        sink.write_all(BACKUP)?;
        sink.write_all(&u16::try_from(wrapped.len()).map_err(std::io::Error::other)?.to_be_bytes())?;
        sink.write_all(&wrapped)?;
        Sealer::new(Arc::new(key), BACKUP_AAD.to_vec(), sink)
    }

    /// Opens a backup.
    ///
    /// # Errors
    /// Of the source; a sentence when it is no backup, or was sealed with another master key.
    pub fn backup_opener<R: std::io::Read>(&self, mut source: R) -> std::io::Result<Opener<R>> {
        let mut magic = [0; BACKUP.len()];
        source.read_exact(&mut magic)?;
        if magic != BACKUP {
            return Err(std::io::Error::other("this is no backup"));
        }
        let mut length = [0; 2];
        source.read_exact(&mut length)?;
        let mut wrapped = vec![0; u16::from_be_bytes(length).into()];
        source.read_exact(&mut wrapped)?;
        let another = || {
            let id = envelope::key_id(&wrapped).unwrap_or_default();
            std::io::Error::other(format!("it was sealed with the master key {id}: that one is needed"))
        };
        let parts = self.open_own(BACKUP_KEY, &wrapped).map_err(|_| another())?;
        let ring = Ring::from_parts(&parts).ok_or_else(another)?;
        Opener::new(&ring, BACKUP_AAD.to_vec(), source, 0)
    }
}

fn dek_aad(tenant: TenantId, user: UserId) -> Vec<u8> {
    format!("wardroom/1|dek|{tenant}|{user}").into_bytes()
}

fn own_aad(item: &str) -> Vec<u8> {
    format!("wardroom/1|own|{item}").into_bytes()
}

fn new_key_id() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests;
