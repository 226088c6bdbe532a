//! The ordered durable record of signals and events. It is the chats' inbox.

use super::{BoxFuture, PortError};
use crate::domain::event::{Event, EventKind};
use crate::domain::ids::{ChatKey, LinkEpoch, SessionKey, SessionName, UserId};
use crate::domain::signal::{AgentState, Effect, Signal};
use crate::domain::webhook::HookId;

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose.
    pub key: SessionKey,
    /// Whose data key seals it.
    pub user: UserId,
    /// The session's name.
    pub session: SessionName,
    /// Which linking it belongs to.
    pub epoch: LinkEpoch,
    /// Unique per (session, link epoch): `msg:<id>`, `ack:<id>:<n>`; a second entry with the same key is dropped.
    pub dedupe: String,
    /// What happened.
    pub kind: EventKind,
    /// Webhooks that have to be told of it, each under a name. Of a signal they hear through its chat's agent.
    pub told: Vec<(HookId, &'static str)>,
}

/// What became of an [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is committed, with this place and, for signals, in this chat.
    New {
        /// Place in the journal.
        seq: i64,
        /// The chat it was filed under.
        chat: Option<ChatKey>,
    },
    /// It had been recorded before.
    Duplicate,
}

/// The journal.
pub trait Journal: Send + Sync + 'static {
    /// Commits the entries in order; ends after the commit. All or nothing.
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'static, Result<Vec<Recorded>, PortError>>;
}

/// One signal as it stands in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Its place.
    pub seq: i64,
    /// What it is.
    pub signal: Signal,
}

/// Agent states and what their agents still have to see.
pub trait AgentStore: Send + Sync + 'static {
    /// State and the place of the last handled signal.
    fn load(&self, chat: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>>;

    /// The next signals after `handled`, in order, at most `limit`.
    fn pending(&self, chat: ChatKey, handled: i64, limit: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>>;

    /// Chats of all sessions with messages that their agents have not seen.
    fn behind(&self) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>>;

    /// Stores state, mark and effects together, if the mark still is `expected`.
    ///
    /// The id of an effect is `(seq, index)`, so that a repeated commit adds nothing.
    fn commit(&self, commit: AgentCommit) -> BoxFuture<'static, Result<(), PortError>>;
}

/// What an agent's steps leave behind.
#[derive(Clone, Debug)]
pub struct AgentCommit {
    /// The chat.
    pub chat: ChatKey,
    /// The mark before.
    pub expected: i64,
    /// The signals that were handled, in order, with what is to be done for each; the mark moves to the last.
    pub steps: Vec<(i64, Vec<Effect>)>,
    /// Those of them that were set aside as dead letters.
    pub poison: Vec<i64>,
    /// The new state.
    pub state: AgentState,
}

impl AgentCommit {
    /// The mark after.
    #[must_use]
    pub fn handled(&self) -> i64 {
        self.steps.last().map_or(self.expected, |(seq, _)| *seq)
    }
}

/// Wakes the actor of a chat that has new signals. It never waits.
pub trait NudgeSink: Send + Sync + 'static {
    /// There is something new for `chat`.
    fn nudge(&self, chat: ChatKey);
}

/// Where committed and ephemeral events go. It must not block and may drop nothing that carries a `seq`.
pub trait EventSink: Send + Sync + 'static {
    /// One event.
    fn publish(&self, event: Event);
}
