//! What the kernel asks of the outside. Errors are opaque but classified: the caller must know whether to try again.

pub mod clock;
pub mod engine;
pub mod files;
pub mod journal;
pub mod quotas;
pub mod store;
pub mod worker;

/// Why a port could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not now; the same call may succeed later.
    #[error("not available right now")]
    Unavailable,
    /// Somebody else was faster, or the caller no longer owns what it writes to.
    #[error("conflicts with another change")]
    Conflict,
    /// What is stored cannot be read; trying again will not help.
    #[error("the stored data is damaged")]
    Corrupt,
}

/// A boxed future that may travel between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
