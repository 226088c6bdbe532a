//! A user's data keys: the first seals, the others open what was sealed before they were followed by another.

use super::Sealed;
use super::envelope::{self, Key, PARTS};
use std::sync::Arc;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Bytes of the key by which things are known again.
const MAC: usize = 64;

pub(super) struct Ring {
    /// It stays when data keys change: keys of sessions and tokens of stays follow from it.
    mac_key: Zeroizing<Vec<u8>>,
    keys: Vec<Arc<Key>>,
}

impl Ring {
    pub(super) fn generate() -> Self {
        Self::of(Key::generate())
    }

    fn of(key: Key) -> Self {
        Self { mac_key: key.mac_key(), keys: vec![Arc::new(key)] }
    }

    /// What [`Self::parts`] wrote, or a key alone.
    pub(super) fn from_parts(parts: &[u8]) -> Option<Self> {
        if parts.len() == PARTS {
            return Some(Self::of(Key::from_parts(parts)?));
        }
        let (mac_key, keys) = parts.split_at_checked(MAC)?;
        let keys: Option<Vec<_>> = keys.chunks(PARTS).map(|key| Key::from_parts(key).map(Arc::new)).collect();
        let keys = keys.filter(|keys| !keys.is_empty())?;
        Some(Self { mac_key: Zeroizing::new(mac_key.to_vec()), keys })
    }

    /// All of it in one piece, for wrapping: the key alone, as long as it was never followed.
    pub(super) fn parts(&self) -> Zeroizing<Vec<u8>> {
        if let [key] = self.keys.as_slice()
            && key.mac_key() == self.mac_key
        {
            return key.parts();
        }
        let mut parts = self.mac_key.clone();
        for key in &self.keys {
            parts.extend_from_slice(&key.parts());
        }
        parts
    }

    /// With the keys of another ring, where they are the same ones.
    pub(super) fn keeping(mut self, known: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(same) = known.keys.iter().find(|one| one.id == key.id) {
                *key = Arc::clone(same);
            }
        }
        self
    }

    /// The key that seals.
    pub(super) fn first(&self) -> Result<&Arc<Key>, Sealed> {
        self.keys.first().ok_or(Sealed)
    }

    pub(super) fn key(&self, id: Uuid) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id).map(Arc::as_ref)
    }

    /// The key that opens this.
    pub(super) fn key_of(&self, sealed: &[u8]) -> Result<&Key, Sealed> {
        envelope::key_id(sealed).and_then(|id| self.key(id)).ok_or(Sealed)
    }

    pub(super) fn mac(&self, data: &[u8]) -> Vec<u8> {
        envelope::mac(&self.mac_key, data)
    }

    /// With another key in front; `None` when there are several.
    pub(super) fn followed(&self) -> Option<Self> {
        let [key] = self.keys.as_slice() else { return None };
        Some(Self { mac_key: self.mac_key.clone(), keys: vec![Arc::new(Key::generate()), Arc::clone(key)] })
    }

    /// With the first key alone; `None` when there is no other.
    pub(super) fn alone(&self) -> Option<Self> {
        let first = self.keys.first().filter(|_| self.keys.len() > 1)?;
        Some(Self { mac_key: self.mac_key.clone(), keys: vec![Arc::clone(first)] })
    }

    /// Whether something is being sealed with another key than the first.
    pub(super) fn is_busy(&self) -> bool {
        self.keys.iter().skip(1).any(|key| Arc::strong_count(key) > 1)
    }
}
