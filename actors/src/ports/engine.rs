//! One port for all engines: a driver that runs until it ends, takes commands and reports.

use super::journal::Journal;
use super::store::{OutboxStore, SessionStore};
use super::worker::{LaunchError, Usage, Worker};
use super::{BoxFuture, PortError};
use crate::domain::action::Action;
use crate::domain::asking::Question;
use crate::domain::exit::ExitReason;
use crate::domain::ids::Incarnation;
use crate::domain::login::{Account, QrCode};
use crate::domain::message::Message;
use crate::domain::session::StopMode;
use crate::domain::spec::SessionSpec;
use crate::domain::webhook::Hooks;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The session is not in the state that the command needs.
    #[error("the session is not ready for this")]
    NotReady,
    /// The engine has no such feature.
    #[error("The method is not implemented by the engine.")]
    Unsupported,
    /// There is no such message.
    #[error("there is no such message")]
    NoMessage,
    /// There is no such group, label or call; which of them.
    #[error("there is no such {0}")]
    NotFound(String),
    /// The message's file cannot be had any more.
    #[error("the message's file is gone")]
    NoFile,
    /// The message's file is not the one that its sender promised.
    #[error("the message's file is damaged")]
    Damaged,
    /// The message's file is longer than the operator allows.
    #[error("the message's file is longer than this server takes")]
    FileTooLarge,
    /// The user has no room left for files.
    #[error("there is no room left for this user's files")]
    NoRoom,
    /// The network does not know the other side.
    #[error("the number is not on WhatsApp")]
    NotOnNetwork,
    /// The network refused, with its own words.
    #[error("the network refused: {0}")]
    Refused(String),
    /// The driver did not answer in time, or died meanwhile.
    #[error("no answer from the session's driver")]
    NoAnswer,
    /// The inbox is full.
    #[error("too many requests are waiting for this session")]
    Busy,
}

/// Where an answer goes.
pub type Answer<T> = oneshot::Sender<Result<T, CommandError>>;

/// What a running driver can be asked.
pub enum Command {
    /// A pairing code for this number.
    RequestCode {
        /// Digits only.
        phone: String,
        /// The code, `ABCD-1234`.
        answer: Answer<String>,
    },
    /// A PNG of what the browser shows.
    Screenshot {
        /// The image.
        answer: Answer<Vec<u8>>,
    },
    /// The file of a message, brought into the store.
    Fetch {
        /// The message's full id.
        message: String,
        /// Done; the store has it under the message's id.
        answer: Answer<()>,
    },
    /// A question about the account, people or groups; see [`crate::domain::asking`].
    Ask {
        /// What.
        question: Question,
        /// What the engine says, in the shape that belongs to the question.
        answer: Answer<serde_json::Value>,
    },
    /// Something done to a message or a chat.
    Act {
        /// What.
        action: Action,
        /// Done.
        answer: Answer<()>,
    },
}

/// What a driver tells its session. It never waits for an answer.
#[derive(Clone, Debug)]
pub enum Report {
    /// A QR code is shown.
    Qr(QrCode),
    /// A pairing code was issued.
    PairingCode,
    /// An account was just linked; the store already knows.
    Linked(Account),
    /// Linked and connected.
    Ready(Account),
    /// The network is gone, the driver is trying by itself.
    Connecting,
    /// What the worker uses.
    Usage(Usage),
    /// An outgoing message left, or never will; the store already knows.
    Delivered {
        /// Its bare id.
        message_id: String,
        /// What stands in the chat now, or why nothing does (a code).
        result: Result<Message, String>,
    },
}

/// A report and who made it.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The driver's incarnation.
    pub incarnation: Incarnation,
    /// What it says.
    pub report: Report,
}

/// Leases the session's worker; the lease ends with the driver.
pub trait WorkerPool: Send + Sync + 'static {
    /// Starts (or hands out a warm) browser for `spec`. `profile` is the worker whose profile directory is to be used;
    /// `None` takes a new one.
    fn lease(
        &self,
        spec: &SessionSpec,
        profile: Option<crate::domain::ids::WorkerId>,
    ) -> BoxFuture<'static, Result<Arc<dyn Worker>, LaunchError>>;
}

/// Everything a driver works with.
pub struct DriverContext {
    /// The session as stored when the driver was started.
    pub spec: SessionSpec,
    /// Which start this is.
    pub incarnation: Incarnation,
    /// Commands; the channel is bounded.
    pub commands: mpsc::Receiver<Command>,
    /// Reports to the session.
    pub reports: mpsc::Sender<Reported>,
    /// Set once the driver shall end.
    pub stop: watch::Receiver<Option<StopMode>>,
    /// Work for the page is waiting in the outbox.
    pub outbox_ready: Arc<Notify>,
    /// Where messages are recorded.
    pub journal: Arc<dyn Journal>,
    /// What has to be sent.
    pub outbox: Arc<dyn OutboxStore>,
    /// Where a linking is recorded.
    pub sessions: Arc<dyn SessionStore>,
    /// Browsers.
    pub pool: Arc<dyn WorkerPool>,
    /// Whom the session tells what happens beside messages; of messages the agents tell.
    pub hooks: Arc<Hooks>,
}

impl DriverContext {
    /// Sends a report; a session that is gone does not hear it.
    pub async fn report(&self, report: Report) {
        let _ = self.reports.send(Reported { incarnation: self.incarnation, report }).await;
    }
}

/// An adapter to a network.
pub trait Engine: Send + Sync + 'static {
    /// Runs the session until it ends, and ends only when nothing of it is left running. Dropping the future must leave
    /// nothing behind that [`Self::clean_up`] does not remove.
    fn run(&self, context: DriverContext) -> BoxFuture<'static, ExitReason>;

    /// Ends whatever a driver that panicked or was aborted has left running.
    fn clean_up(&self, spec: &SessionSpec) -> BoxFuture<'static, ()>;

    /// Seals what a driver that is gone has left open on disk; false when that was not possible and it stays open.
    fn put_away(&self, spec: &SessionSpec) -> BoxFuture<'static, bool>;

    /// Removes every trace of the session's login from this machine.
    fn forget(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>>;
}
