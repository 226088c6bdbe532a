//! Sessions and their outgoing work.

use super::{BoxFuture, PortError};
use crate::domain::chat::ChatId;
use crate::domain::draft::Draft;
use crate::domain::ids::{LinkEpoch, SessionKey, SessionName, TenantId, UserId, WorkerId};
use crate::domain::login::Account;
use crate::domain::quota::{Exceeded, Quota};
use crate::domain::spec::{EngineName, Network, SessionSpec};

/// A session that does not exist yet.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Owner.
    pub tenant: TenantId,
    /// Whose.
    pub user: UserId,
    /// Its name.
    pub name: SessionName,
    /// The adapter.
    pub engine: EngineName,
    /// The network.
    pub network: Network,
    /// The client's `config`, JSON text.
    pub config: String,
    /// Start at once, and at every boot.
    pub desired_running: bool,
}

/// Why no session was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The tenant has one of this name.
    #[error("a session of this name exists")]
    Exists,
    /// More than the quota allows.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

/// Why a session's config stayed what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// More than the quota allows.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

/// The sessions. Writes are fenced by `owner_epoch`: [`PortError::Conflict`] when another node took over.
pub trait SessionStore: Send + Sync + 'static {
    /// All sessions that this node owns, without tombstones.
    fn all(&self) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>>;

    /// Sessions whose deletion was begun and not finished.
    fn tombstones(&self) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>>;

    /// Creates one, unless the name is taken, or it or its webhooks are more than `quota` allows.
    fn create(&self, new: NewSession, quota: Quota) -> BoxFuture<'static, Result<SessionSpec, CreateError>>;

    /// As it stands now; `None` when there is none.
    fn get(&self, key: SessionKey) -> BoxFuture<'static, Result<Option<SessionSpec>, PortError>>;

    /// Whether a person wants it to run.
    fn set_desired(&self, spec: &SessionSpec, running: bool) -> BoxFuture<'static, Result<(), PortError>>;

    /// Replaces the client's config, unless it has more webhooks than `quota` allows.
    fn set_config(
        &self,
        spec: &SessionSpec,
        network: Network,
        config: String,
        quota: Quota,
    ) -> BoxFuture<'static, Result<(), ConfigError>>;

    /// An account was linked: the link epoch rises by one. Answers the new epoch.
    fn linked(
        &self,
        spec: &SessionSpec,
        account: &Account,
        at: i64,
    ) -> BoxFuture<'static, Result<LinkEpoch, PortError>>;

    /// The account is gone.
    fn unlinked(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>>;

    /// Whose profile directory holds the login.
    fn set_worker(&self, spec: &SessionSpec, worker: Option<WorkerId>) -> BoxFuture<'static, Result<(), PortError>>;

    /// Unix seconds of the newest message recorded since the last linking.
    fn watermark(&self, key: SessionKey, epoch: LinkEpoch) -> BoxFuture<'static, Result<Option<i64>, PortError>>;

    /// Marks it deleted: from now on nobody finds it, and its name is free.
    fn bury(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>>;

    /// Removes every row of it.
    fn purge(&self, key: SessionKey) -> BoxFuture<'static, Result<(), PortError>>;
}

/// A message that somebody wants to leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// To whom.
    pub chat: ChatId,
    /// What it says.
    pub draft: Draft,
    /// The bare message id (without chat) that it gets.
    pub message_id: String,
    /// Unique per session: what is wanted again under the same name is answered like the first time and not done again.
    pub dedupe: String,
}

/// A message that has to leave.
#[derive(Clone, PartialEq)]
pub struct Outgoing {
    /// Its place in the outbox.
    pub id: i64,
    /// To whom.
    pub chat: ChatId,
    /// The bare message id (without chat), chosen when the message was accepted.
    pub message_id: String,
    /// What it says.
    pub draft: Draft,
    /// How often it was tried.
    pub attempts: i32,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({})", self.id)
    }
}

/// What the outbox answers to a [`Wanted`].
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The message; of an earlier request, if this one repeats it.
    pub outgoing: Outgoing,
    /// Whether nobody wanted it before.
    pub is_new: bool,
    /// What became of it, if it is known already.
    pub ended: Option<Delivery>,
}

/// What became of an outgoing message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The network has it.
    Sent {
        /// Its full id, as it stands in the chat.
        id: String,
    },
    /// It will never leave.
    Failed {
        /// `not_on_whatsapp`, `refused`.
        code: String,
    },
}

/// The outbox of one session.
pub trait OutboxStore: Send + Sync + 'static {
    /// Accepts a message; it is committed when this ends. `limit` messages may wait per session.
    fn accept(
        &self,
        spec: &SessionSpec,
        wanted: &Wanted,
        limit: u64,
    ) -> BoxFuture<'static, Result<Accepted, AcceptError>>;

    /// The oldest waiting messages, in order, without those for chats that are `held`.
    fn waiting(
        &self,
        spec: &SessionSpec,
        held: &[ChatId],
        limit: u64,
    ) -> BoxFuture<'static, Result<Vec<Outgoing>, PortError>>;

    /// Notes that an attempt begins.
    fn attempt(&self, key: SessionKey, id: i64) -> BoxFuture<'static, Result<(), PortError>>;

    /// Closes it.
    fn finish(&self, key: SessionKey, id: i64, delivery: Delivery) -> BoxFuture<'static, Result<(), PortError>>;
}

/// Why a text was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Too many wait already.
    #[error("too many messages are waiting in this session")]
    Full,
    /// Something else was wanted under this name.
    #[error("this Idempotency-Key or id was used for another message")]
    Taken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}
