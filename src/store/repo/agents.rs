//! What agents remember, and what they still have to see.

use crate::store::entity::{agent_state, chat_aliases, dead_letters, journal, outbox, sessions};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::Kind;
use futures_util::FutureExt;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect, Statement,
    TryInsertResult,
};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionId, SessionKey, TenantId, UserId};
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::failpoint;
use wardroom_actors::ports::journal::{AgentCommit, AgentStore, Pending};
use wardroom_actors::ports::{BoxFuture, PortError};

impl Store {
    /// The user whose data key seals what belongs to the session. A session never changes hands.
    async fn owner(&self, tx: &Tx, key: SessionKey) -> Result<UserId, Failure> {
        if let Some(user) = self.owners.get(&key) {
            return Ok(*user);
        }
        let row = sessions::Entity::find_by_id((key.tenant.0, key.session.0)).one(&**tx).await?;
        let user = UserId(row.ok_or(Failure::Gone)?.user_id);
        self.need_dek(tx, key.tenant, user).await?;
        if self.owners.len() > OWNERS {
            self.owners.clear();
        }
        self.owners.insert(key, user);
        Ok(user)
    }

    async fn load_agent(&self, chat: ChatKey) -> Result<(AgentState, i64), Failure> {
        let tx = Tx::tenant(self, chat.tenant, Mode::Read).await?;
        let id = (chat.tenant.0, chat.session.0, chat.chat.0);
        let Some(row) = agent_state::Entity::find_by_id(id).one(&*tx).await? else {
            return Ok((AgentState::default(), 0));
        };
        let user = self.owner(&tx, chat.session_key()).await?;
        let label = Self::label(chat.tenant, user, Kind::AgentState, chat.chat);
        Ok((AgentState(self.vault.open(&label, &row.state)?), row.handled_seq))
    }

    async fn signals(&self, chat: ChatKey, handled: i64, limit: u64) -> Result<Vec<Pending>, Failure> {
        let tx = Tx::tenant(self, chat.tenant, Mode::Read).await?;
        let user = self.owner(&tx, chat.session_key()).await?;
        let rows = journal::Entity::find()
            .filter(journal::Column::TenantId.eq(chat.tenant.0))
            .filter(journal::Column::SessionId.eq(chat.session.0))
            .filter(journal::Column::ChatId.eq(chat.chat.0))
            .filter(journal::Column::Seq.gt(handled))
            .order_by_asc(journal::Column::Seq)
            .limit(limit)
            .all(&*tx)
            .await?;
        let mut signals = Vec::with_capacity(rows.len());
        for row in rows {
            let kind = match self.open_row(chat.tenant, user, &row)? {
                // What it stands for may be too old by now.
                EventKind::Replay { of, .. } => match journal::Entity::find_by_id((chat.tenant.0, of)).one(&*tx).await?
                {
                    Some(original) => self.open_row(chat.tenant, user, &original)?,
                    None => continue,
                },
                kind => kind,
            };
            let signal = match kind {
                EventKind::Message(message) => Signal::Message(message),
                EventKind::Ack(ack) => Signal::Ack(ack),
                _ => continue,
            };
            signals.push(Pending { seq: row.seq, signal });
        }
        Ok(signals)
    }

    /// Commits a group of agents' steps in one transaction. One that was overtaken is left out and takes nobody else along.
    async fn commit_agents(&self, aliases: &mut Names, commits: &[AgentCommit]) -> Result<Vec<bool>, Failure> {
        failpoint::pass("agent.commit");
        let tx = Tx::system(self, Reason::GroupCommit, Mode::Write).await?;
        let (mut done, mut rows) = (Vec::with_capacity(commits.len()), vec![]);
        for commit in commits {
            done.push(self.commit_agent(&tx, aliases, commit, &mut rows).await?);
        }
        if !rows.is_empty() {
            use outbox::Column::{Dedupe, SessionId, TenantId};
            let insert = outbox::Entity::insert_many(rows).on_conflict_do_nothing_on([TenantId, SessionId, Dedupe]);
            insert.exec_without_returning(&*tx).await?;
        }
        tx.commit().await?;
        failpoint::pass("agent.committed");
        Ok(done)
    }

    /// False when the mark is not where it was expected, or the session is gone.
    async fn commit_agent(
        &self,
        tx: &Tx,
        aliases: &mut Names,
        commit: &AgentCommit,
        rows: &mut Vec<outbox::ActiveModel>,
    ) -> Result<bool, Failure> {
        let (chat, handled) = (commit.chat, commit.handled());
        let user = match self.owner(tx, chat.session_key()).await {
            Err(Failure::Gone) => return Ok(false),
            owner => owner?,
        };
        let label = Self::label(chat.tenant, user, Kind::AgentState, chat.chat);
        let state = self.vault.seal(&label, &commit.state.0)?;
        let moved = if commit.expected == 0 {
            // The first signal of a chat, if nobody else was faster.
            let row = agent_state::ActiveModel {
                tenant_id: Set(chat.tenant.0),
                session_id: Set(chat.session.0),
                chat_id: Set(chat.chat.0),
                handled_seq: Set(handled),
                state: Set(state),
            };
            use agent_state::Column::{ChatId, SessionId, TenantId};
            let insert = agent_state::Entity::insert(row).on_conflict_do_nothing_on([TenantId, SessionId, ChatId]);
            matches!(insert.exec_without_returning(&**tx).await?, TryInsertResult::Inserted(1))
        } else {
            let moved = agent_state::Entity::update_many()
                .col_expr(agent_state::Column::HandledSeq, Expr::value(handled))
                .col_expr(agent_state::Column::State, Expr::value(state))
                .filter(agent_state::Column::TenantId.eq(chat.tenant.0))
                .filter(agent_state::Column::SessionId.eq(chat.session.0))
                .filter(agent_state::Column::ChatId.eq(chat.chat.0))
                .filter(agent_state::Column::HandledSeq.eq(commit.expected))
                .exec(&**tx)
                .await?;
            moved.rows_affected > 0
        };
        if !moved {
            return Ok(false);
        }
        for seq in &commit.poison {
            self.set_aside(tx, chat, *seq).await?;
        }
        for (seq, effects) in &commit.steps {
            for (index, effect) in effects.iter().enumerate() {
                rows.push(self.effect(tx, aliases, (chat, user), (*seq, index), effect).await?);
            }
        }
        Ok(true)
    }

    async fn set_aside(&self, tx: &Tx, chat: ChatKey, seq: i64) -> Result<(), Failure> {
        let row = dead_letters::ActiveModel {
            tenant_id: Set(chat.tenant.0),
            session_id: Set(chat.session.0),
            chat_id: Set(chat.chat.0),
            seq: Set(seq),
            at: Set(self.now()),
        };
        dead_letters::Entity::insert(row).exec_without_returning(&**tx).await?;
        Ok(())
    }

    /// The row of an effect; its id is (seq, index), so that it cannot be there twice.
    async fn effect(
        &self,
        tx: &Tx,
        aliases: &mut Names,
        (chat, user): (ChatKey, UserId),
        (seq, index): (i64, usize),
        effect: &Effect,
    ) -> Result<outbox::ActiveModel, Failure> {
        let id = self.next_outbox_id();
        let (kind, alias, plain) = match effect {
            Effect::Send { text } => ("send", self.alias(tx, aliases, chat).await?, text.clone().into_bytes()),
            Effect::Webhook { .. } => ("webhook", None, serde_json::to_vec(effect).map_err(|_| Failure::Strange)?),
        };
        let label = Self::label(chat.tenant, user, Kind::Outbox, id);
        Ok(outbox::ActiveModel {
            tenant_id: Set(chat.tenant.0),
            id: Set(id),
            session_id: Set(chat.session.0),
            chat_id: Set(Some(chat.chat.0)),
            kind: Set(kind.to_owned()),
            dedupe: Set(format!("effect:{seq}:{index}")),
            message_id: Set(alias.as_ref().map(|_| super::outbox::new_message_id())),
            alias: Set(alias),
            payload: Set(self.vault.seal(&label, &plain)?),
            state: Set(super::outbox::WAITING),
            code: Set(None),
            attempts: Set(0),
            created_at: Set(self.now()),
            updated_at: Set(self.now()),
        })
    }

    /// An id under which the network knows a chat. Once it is one, it stays one.
    async fn alias(&self, tx: &Tx, known: &mut Names, chat: ChatKey) -> Result<Option<String>, Failure> {
        if let Some(alias) = known.get(&chat) {
            return Ok(Some(alias.clone()));
        }
        let found = chat_aliases::Entity::find()
            .filter(chat_aliases::Column::TenantId.eq(chat.tenant.0))
            .filter(chat_aliases::Column::SessionId.eq(chat.session.0))
            .filter(chat_aliases::Column::ChatId.eq(chat.chat.0))
            .order_by_asc(chat_aliases::Column::Alias)
            .one(&**tx)
            .await?;
        if let Some(row) = &found {
            if known.len() > NAMES {
                known.clear();
            }
            known.insert(chat, row.alias.clone());
        }
        Ok(found.map(|row| row.alias))
    }

    async fn chats_behind(&self) -> Result<Vec<ChatKey>, Failure> {
        let tx = Tx::system(self, Reason::Boot, Mode::Read).await?;
        let text = "SELECT chats.tenant_id, chats.session_id, chats.id FROM chats LEFT JOIN agent_state \
                    ON agent_state.tenant_id = chats.tenant_id AND agent_state.session_id = chats.session_id \
                    AND agent_state.chat_id = chats.id WHERE chats.last_seq > COALESCE(agent_state.handled_seq, 0)";
        let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), text)).await?;
        let key = |row: &QueryResult| -> Result<ChatKey, DbErr> {
            Ok(ChatKey {
                tenant: TenantId(row.try_get("", "tenant_id")?),
                session: SessionId(row.try_get("", "session_id")?),
                chat: ChatUuid(row.try_get("", "id")?),
            })
        };
        Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
    }
}

/// Ids of chats, as far as the writer has needed them.
type Names = HashMap<ChatKey, String>;

/// Ids that are remembered; above that all are forgotten.
const NAMES: usize = 100_000;
/// Sessions whose owners are remembered; above that all are forgotten.
const OWNERS: usize = 100_000;
/// Commits that one transaction takes.
const GROUP: usize = 250;
/// Commits that may wait for the writer.
const QUEUE: usize = 1024;

type Waiting = (AgentCommit, oneshot::Sender<Result<(), PortError>>);

/// The door to the one writer of agents' steps: what arrives while a commit is under way goes into the next one.
pub(in crate::store) struct AgentWriter(mpsc::Sender<Waiting>, Mutex<Option<mpsc::Receiver<Waiting>>>);

impl AgentWriter {
    pub(in crate::store) fn new() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self(queue, Mutex::new(Some(waiting)))
    }

    /// Starts the writer at the first use: only a server has agents.
    fn queue(&self, store: &Store) -> mpsc::Sender<Waiting> {
        let first = self.1.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = first {
            store.spawn(write(store.clone(), waiting));
        }
        self.0.clone()
    }
}

async fn write(store: Store, mut waiting: mpsc::Receiver<Waiting>) {
    let mut aliases = Names::new();
    while let Some(first) = waiting.recv().await {
        let mut group = vec![first];
        while group.len() < GROUP {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        let (commits, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // A panic is an error of this group; the writer goes on.
        let outcome = match AssertUnwindSafe(store.commit_agents(&mut aliases, &commits)).catch_unwind().await {
            Ok(outcome) => outcome.map_err(PortError::from),
            Err(_) => Err(PortError::Unavailable),
        };
        match outcome {
            Ok(done) => {
                for (answer, done) in answers.into_iter().zip(done) {
                    let _ = answer.send(if done { Ok(()) } else { Err(PortError::Conflict) });
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error));
                }
            }
        }
    }
}

impl AgentStore for Store {
    fn load(&self, chat: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>> {
        let store = self.clone();
        self.on_io(async move { store.load_agent(chat).await })
    }

    fn pending(&self, chat: ChatKey, handled: i64, limit: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.signals(chat, handled, limit).await })
    }

    fn behind(&self) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.chats_behind().await })
    }

    fn commit(&self, commit: AgentCommit) -> BoxFuture<'static, Result<(), PortError>> {
        let (queue, (answer, hear)) = (self.agents.queue(self), oneshot::channel());
        Box::pin(async move {
            queue.send((commit, answer)).await.map_err(|_| PortError::Unavailable)?;
            hear.await.unwrap_or(Err(PortError::Unavailable))
        })
    }
}
