//! Browser processes.

use super::BoxFuture;
use crate::domain::ids::WorkerId;
use std::sync::Arc;

/// Why no worker came up. The text is for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the browser did not start: {0}")]
pub struct LaunchError(pub String);

/// What a worker uses, all its processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Process id of its main process.
    pub pid: u32,
    /// Processes.
    pub processes: usize,
    /// Proportional set size in bytes: what it adds to the machine.
    pub memory: u64,
    /// CPU since the last look, in cores.
    pub cpu: f64,
}

/// One running browser.
pub trait Worker: Send + Sync + 'static {
    /// Its id, which names its profile directory.
    fn id(&self) -> WorkerId;

    /// Process id of its main process, if it is a process.
    fn pid(&self) -> Option<u32>;

    /// Where its debugging protocol is spoken.
    fn endpoint(&self) -> &str;

    /// Ends when the main process has ended.
    fn exited(&self) -> BoxFuture<'_, String>;

    /// Closes it, kills the whole group if that takes too long, and ends only when all of it is proven gone.
    /// `graceful` = false skips the closing.
    fn stop(&self, graceful: bool) -> BoxFuture<'_, ()>;
}

/// Starts browsers.
pub trait WorkerLauncher: Send + Sync + 'static {
    /// Starts one with the profile directory named `id`, which is created when it is missing.
    fn launch(&self, id: WorkerId) -> BoxFuture<'_, Result<Arc<dyn Worker>, LaunchError>>;

    /// Removes the profile directory of a worker that is gone.
    fn remove_profile(&self, id: WorkerId) -> BoxFuture<'_, ()>;
}
