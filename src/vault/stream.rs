//! Sealed streams: a header, then chunks of at most 64 KiB. Index and last-flag of each chunk are authenticated, so chunks
//! cannot be reordered, repeated or cut off.
//!
//! `version (1) | key id (16) | nonce prefix (16)`, then per chunk `length (4, big endian, top bit = last) | ciphertext`.

use super::envelope::{Key, VERSION, random};
use super::ring::Ring;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

/// Bytes that a chunk seals; only the last one may seal fewer.
pub const CHUNK: usize = 64 * 1024;
/// Bytes in front of the first chunk.
pub const HEADER: usize = 33;
const TAG: usize = 16;
const LAST: u32 = 1 << 31;

/// Where a chunk begins in a sealed stream.
#[must_use]
pub fn place(index: u64) -> u64 {
    HEADER as u64 + index * (4 + CHUNK + TAG) as u64
}

struct Chunks {
    cipher: XChaCha20Poly1305,
    aad: Vec<u8>,
    prefix: [u8; 16],
    index: u64,
}

impl Chunks {
    fn next(&mut self, last: bool) -> ([u8; 24], Vec<u8>) {
        let mut nonce = [0; 24];
        let (head, tail) = nonce.split_at_mut(16);
        head.copy_from_slice(&self.prefix);
        tail.copy_from_slice(&self.index.to_be_bytes());
        let aad = [self.aad.as_slice(), &self.index.to_be_bytes(), &[u8::from(last)]].concat();
        self.index += 1;
        (nonce, aad)
    }
}

/// Seals what is written to it.
pub struct Sealer<W: Write> {
    chunks: Chunks,
    sink: W,
    buffer: Vec<u8>,
    /// Held, so that the ring keeps the key until all is written that is sealed with it.
    _key: Arc<Key>,
}

impl<W: Write> Sealer<W> {
    pub(super) fn new(key: Arc<Key>, aad: Vec<u8>, mut sink: W) -> Result<Self> {
        let prefix = random();
        sink.write_all(&[VERSION])?;
        sink.write_all(key.id.as_bytes())?;
        sink.write_all(&prefix)?;
        let chunks = Chunks { cipher: key.cipher(), aad, prefix, index: 0 };
        Ok(Self { chunks, sink, buffer: Vec::with_capacity(CHUNK), _key: key })
    }

    /// What was sealed so far goes here.
    pub fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Writes the last chunk and gives the sink back.
    ///
    /// # Errors
    /// Of the sink.
    pub fn finish(mut self) -> Result<W> {
        self.emit(true)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn emit(&mut self, last: bool) -> Result<()> {
        let (nonce, aad) = self.chunks.next(last);
        let payload = Payload { msg: &self.buffer, aad: &aad };
        let sealed = self.chunks.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| damaged())?;
        let length = u32::try_from(sealed.len()).map_err(Error::other)? | if last { LAST } else { 0 };
        self.sink.write_all(&length.to_be_bytes())?;
        self.sink.write_all(&sealed)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        if self.buffer.len() == CHUNK {
            self.emit(false)?;
        }
        let taken = data.len().min(CHUNK - self.buffer.len());
        self.buffer.extend(data.iter().take(taken));
        Ok(taken)
    }

    /// Chunks are written when they are full; there is nothing to flush before the end.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Opens what a [`Sealer`] wrote.
pub struct Opener<R: Read> {
    chunks: Chunks,
    source: R,
    buffer: Vec<u8>,
    read: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Goes on at a chunk: the source gives the header, and then what begins at [`place`].
    pub(super) fn new(ring: &Ring, aad: Vec<u8>, mut source: R, index: u64) -> Result<Self> {
        let (mut version, mut id, mut prefix) = ([0; 1], [0; 16], [0; 16]);
        source.read_exact(&mut version)?;
        source.read_exact(&mut id)?;
        source.read_exact(&mut prefix)?;
        let key = ring.key(uuid::Uuid::from_bytes(id)).filter(|_| version == [VERSION]).ok_or_else(damaged)?;
        let chunks = Chunks { cipher: key.cipher(), aad, prefix, index };
        Ok(Self { chunks, source, buffer: vec![], read: 0, ended: false })
    }

    fn fill(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.source.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let last = length & LAST != 0;
        let size = usize::try_from(length & !LAST).map_err(Error::other)?;
        if size > CHUNK + TAG {
            return Err(damaged());
        }
        let mut sealed = vec![0; size];
        self.source.read_exact(&mut sealed)?;
        let (nonce, aad) = self.chunks.next(last);
        let payload = Payload { msg: &sealed, aad: &aad };
        self.buffer = self.chunks.cipher.decrypt(XNonce::from_slice(&nonce), payload).map_err(|_| damaged())?;
        (self.read, self.ended) = (0, last);
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while self.read == self.buffer.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let taken = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.read += taken;
        Ok(taken)
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "sealed data does not open")
}
