//! Files that messages carry, in pieces: none is ever in memory as a whole.

use super::{BoxFuture, PortError};
use crate::domain::ids::FileId;
use crate::domain::quota::Exceeded;
use crate::domain::spec::SessionSpec;

/// Bytes of a piece; only the last one of a file is shorter.
pub const PIECE: usize = 1 << 20;

/// Why a file was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// It is longer than the operator allows.
    #[error("a file may have {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More than the quota allows.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

/// The files of all sessions.
pub trait FileStore: Send + Sync + 'static {
    /// Begins to take a file in. What is not finished has never been.
    fn take_in(&self, spec: &SessionSpec) -> Box<dyn Intake>;

    /// One piece; empty behind the end. [`PortError::Conflict`] when there is no such file.
    fn piece(&self, spec: &SessionSpec, file: FileId, index: u64) -> BoxFuture<'static, Result<Vec<u8>, PortError>>;

    /// Remembers that a message carries a file.
    fn attach(&self, spec: &SessionSpec, message: &str, file: FileId) -> BoxFuture<'static, Result<(), PortError>>;

    /// The file of a message, if it is here.
    fn attached(&self, spec: &SessionSpec, message: &str) -> BoxFuture<'static, Result<Option<FileId>, PortError>>;
}

/// A file that is being taken in.
pub trait Intake: Send {
    /// The next bytes, of any number.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), TakeError>>;

    /// The end. The same bytes are kept once in a session: the answer may be a file that was there before.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<FileId, TakeError>>;
}
