//! One sealed item: `version (1) | key id (16) | nonce (24) | ciphertext and tag`, XChaCha20-Poly1305.

use super::{Sealed, new_key_id};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha512;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(super) const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 1 + 16 + NONCE;
/// Bytes of a key with its id.
pub(super) const PARTS: usize = 16 + 32;

/// A key and its id.
pub(super) struct Key {
    pub(super) id: Uuid,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    pub(super) fn generate() -> Self {
        Self { id: new_key_id(), bytes: Zeroizing::new(random()) }
    }

    pub(super) fn new(id: Uuid, bytes: [u8; 32]) -> Self {
        Self { id, bytes: Zeroizing::new(bytes) }
    }

    /// Id and bytes in one piece, for wrapping.
    pub(super) fn parts(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.id.as_bytes().as_slice(), self.bytes.as_slice()].concat())
    }

    pub(super) fn from_parts(parts: &[u8]) -> Option<Self> {
        let (id, bytes) = parts.split_at_checked(16)?;
        Some(Self::new(Uuid::from_slice(id).ok()?, bytes.try_into().ok()?))
    }

    /// A key for [`mac`], which follows from this one, and from which this one does not.
    pub(super) fn mac_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(mac(self.bytes.as_ref(), b"wardroom/1|fingerprint"))
    }

    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.as_ref().into())
    }
}

/// HMAC-SHA512.
pub(super) fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mac = <Hmac<Sha512> as Mac>::new_from_slice(key);
    mac.map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()).unwrap_or_default()
}

/// With which key something was sealed.
pub(super) fn key_id(sealed: &[u8]) -> Option<Uuid> {
    sealed.get(1..17).and_then(|id| Uuid::from_slice(id).ok())
}

/// Random bytes of the operating system.
///
/// A machine without randomness cannot keep a secret; there is nothing sensible to go on with.
#[expect(clippy::expect_used, reason = "without randomness nothing can be sealed")]
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Seals `plain`; `aad` has to be given again to open it.
pub(super) fn seal(key: &Key, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random();
    let payload = Payload { msg: plain, aad };
    // The only error of this cipher is a text of more than 256 GB.
    let text = key.cipher().encrypt(XNonce::from_slice(&nonce), payload).unwrap_or_default();
    [[VERSION].as_slice(), key.id.as_bytes(), &nonce, &text].concat()
}

/// Opens what [`seal`] made.
pub(super) fn open(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
    let (header, text) = sealed.split_at_checked(HEADER).ok_or(Sealed)?;
    let (version, rest) = header.split_at_checked(1).ok_or(Sealed)?;
    let (id, nonce) = rest.split_at_checked(16).ok_or(Sealed)?;
    if version != [VERSION] || id != key.id.as_bytes() {
        return Err(Sealed);
    }
    key.cipher().decrypt(XNonce::from_slice(nonce), Payload { msg: text, aad }).map_err(|_| Sealed)
}
