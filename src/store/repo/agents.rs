//! What agents remember, and what they still have to see.

use super::deliveries::Lane;
use super::gather::Answering;
use super::sizes::{bite, few_of_each, places};
use crate::store::entity::{agent_state, chat_aliases, dead_letters, journal, outbox, sessions};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::Uuid;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult, Statement, Value,
};
use std::collections::{HashMap, HashSet};
use wardroom_actors::domain::draft::Draft;
use wardroom_actors::domain::ids::{self, ChatKey, ChatUuid, SessionId, SessionKey, TenantId, UserId};
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::failpoint;
use wardroom_actors::ports::journal::{AgentCommit, AgentStore, Pending};
use wardroom_actors::ports::{BoxFuture, PortError};

impl Store {
    /// The user whose data key seals what belongs to the session. A session never changes hands.
    pub(super) async fn owner(&self, tx: &Tx, key: SessionKey) -> Result<UserId, Failure> {
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
        let Some(sealed) = row.state else { return Ok((AgentState::default(), row.handled_seq)) };
        let user = self.owner(&tx, chat.session_key()).await?;
        let label = Self::label(chat.tenant, user, Kind::AgentState, chat.chat);
        Ok((AgentState(self.vault.open(&label, &sealed)?), row.handled_seq))
    }

    /// What each chat has still to see, in one statement.
    async fn signals(&self, asked: &[Asked]) -> Result<Vec<Result<Vec<Pending>, PortError>>, Failure> {
        asked.iter().for_each(|one| self.unseen.reading(one.chat));
        let tx = Tx::system(self, Reason::GroupRead, Mode::Read).await?;
        let most = asked.iter().map(|one| one.limit).max().unwrap_or_default();
        let mut values: Vec<Value> = vec![];
        for Asked { chat, handled, .. } in asked {
            values.extend([chat.tenant.0.into(), chat.session.0.into(), chat.chat.0.into(), (*handled).into()]);
        }
        let test = "next.tenant_id = v.column1 AND next.session_id = v.column2 AND next.chat_id = v.column3 \
                    AND next.seq > v.column4";
        let backend = tx.get_database_backend();
        let statement = few_of_each(backend, values, 4, ("journal", "seq"), test, most);
        let mut found = HashMap::<Uuid, Vec<journal::Model>>::new();
        for row in journal::Entity::find().from_raw_sql(statement).all(&*tx).await? {
            found.entry(row.chat_id.unwrap_or_default()).or_default().push(row);
        }
        let mut answers = Vec::with_capacity(asked.len());
        for Asked { chat, handled, limit } in asked {
            let mut rows = found.remove(&chat.chat.0).unwrap_or_default();
            rows.sort_unstable_by_key(|row| row.seq);
            if rows.len() < *limit {
                self.unseen.read(*chat, rows.last().map_or(*handled, |row| row.seq));
            }
            rows.truncate(*limit);
            answers.push(match self.opened(&tx, *chat, rows).await {
                Err(Failure::Db(error)) => return Err(error.into()),
                opened => opened.map_err(PortError::from),
            });
        }
        Ok(answers)
    }

    async fn opened(&self, tx: &Tx, chat: ChatKey, rows: Vec<journal::Model>) -> Result<Vec<Pending>, Failure> {
        let user = self.owner(tx, chat.session_key()).await?;
        let mut signals = Vec::with_capacity(rows.len());
        for row in rows {
            let seq = row.seq;
            let Some((_, kind)) = self.original(tx, user, row).await? else { continue };
            let Some(signal) = Signal::of(kind) else { continue };
            signals.push(Pending { seq, signal });
        }
        Ok(signals)
    }

    /// Commits a group of agents' steps in one transaction. One that was overtaken is left out and takes nobody else along.
    async fn commit_agents(&self, aliases: &mut Names, commits: &[&AgentCommit]) -> Result<HashSet<ChatKey>, Failure> {
        failpoint::pass("agent.commit");
        let (tx, moved) = self.move_marks(commits).await?;
        let (mut rows, mut lanes) = (vec![], HashSet::new());
        for commit in commits.iter().filter(|commit| moved.contains(&commit.chat)) {
            let owned = (commit.chat, self.owner(&tx, commit.chat.session_key()).await?);
            for seq in &commit.poison {
                self.set_aside(&tx, commit.chat, *seq).await?;
            }
            for (seq, effects) in &commit.steps {
                for (index, effect) in effects.iter().enumerate() {
                    if let Effect::Webhook { hook, .. } = effect {
                        lanes.insert(Lane { key: commit.chat.session_key(), hook: *hook, chat: commit.chat.chat });
                    }
                    rows.push(self.effect(&tx, aliases, owned, (*seq, index), effect).await?);
                }
            }
        }
        while !rows.is_empty() {
            use outbox::Column::{Dedupe, SessionId, TenantId};
            let insert =
                outbox::Entity::insert_many(bite(&mut rows)).on_conflict_do_nothing_on([TenantId, SessionId, Dedupe]);
            insert.exec_without_returning(&*tx).await?;
        }
        tx.commit().await?;
        for commit in commits.iter().filter(|commit| moved.contains(&commit.chat)) {
            self.unseen.seen(commit.chat, commit.handled());
        }
        failpoint::pass("agent.committed");
        self.ring(lanes);
        Ok(moved)
    }

    /// Writes states and marks in a new transaction; answers the chats whose mark stood where it was expected and whose session
    /// is still there.
    async fn move_marks(&self, commits: &[&AgentCommit]) -> Result<(Tx, HashSet<ChatKey>), Failure> {
        let tx = Tx::system(self, Reason::GroupCommit, Mode::Write).await?;
        let Some((keys, statement)) = self.marks(&tx, commits, "").await? else { return Ok((tx, HashSet::new())) };
        if tx.execute_raw(statement).await?.rows_affected() == keys.len() as u64 {
            return Ok((tx, keys.into_values().collect()));
        }
        // Somebody was overtaken. Who, is asked only now: each row of an answer wakes a thread.
        tx.rollback().await?;
        let tx = Tx::system(self, Reason::GroupCommit, Mode::Write).await?;
        let mut moved = HashSet::new();
        let Some((keys, statement)) = self.marks(&tx, commits, " RETURNING agent_state.chat_id").await? else {
            return Ok((tx, moved));
        };
        for row in tx.query_all_raw(statement).await? {
            moved.extend(keys.get(&row.try_get::<Uuid>("", "chat_id")?).copied());
        }
        Ok((tx, moved))
    }

    /// The chats whose sessions are still there, if there are any, and the statement that writes their states and marks.
    async fn marks(
        &self,
        tx: &Tx,
        commits: &[&AgentCommit],
        returning: &str,
    ) -> Result<Option<(HashMap<Uuid, ChatKey>, Statement)>, Failure> {
        let (mut values, mut keys) = (Vec::<Value>::new(), HashMap::new());
        for commit in commits {
            let (chat, handled) = (commit.chat, commit.handled());
            let user = match self.owner(tx, chat.session_key()).await {
                Err(Failure::Gone) => continue,
                owner => owner?,
            };
            let label = Self::label(chat.tenant, user, Kind::AgentState, chat.chat);
            let state = self.vault.seal(&label, &commit.state.0)?;
            keys.insert(chat.chat.0, chat);
            values.extend([chat.tenant.0.into(), chat.session.0.into(), chat.chat.0.into()]);
            values.extend([commit.expected.into(), handled.into(), state.into()]);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let backend = tx.get_database_backend();
        let text = format!(
            "UPDATE agent_state SET handled_seq = v.column5, state = v.column6 FROM (VALUES {}) AS v \
             WHERE agent_state.tenant_id = v.column1 AND agent_state.session_id = v.column2 \
             AND agent_state.chat_id = v.column3 AND agent_state.handled_seq = v.column4{returning}",
            places(backend, &mut values, 1, 6)
        );
        Ok(Some((keys, Statement::from_sql_and_values(backend, text, values))))
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
        let dedupe = format!("effect:{seq}:{index}");
        let text = match effect {
            Effect::Send { text } => text,
            Effect::Webhook { hook, name } => {
                let lane = Lane { key: chat.session_key(), hook: *hook, chat: chat.chat };
                return Ok(self.delivery(lane, seq, name, dedupe));
            }
        };
        let names = (dedupe, ids::message_id());
        let row = self.outgoing_row((chat.session_key(), user), self.next_outbox_id(), names, &Draft::text(text))?;
        let alias = self.alias(tx, aliases, chat).await?;
        Ok(outbox::ActiveModel { chat_id: Set(Some(chat.chat.0)), alias: Set(alias), ..row })
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
        let text = "SELECT tenant_id, session_id, chat_id FROM agent_state WHERE EXISTS (SELECT 1 FROM journal \
                    WHERE journal.tenant_id = agent_state.tenant_id AND journal.session_id = agent_state.session_id \
                    AND journal.chat_id = agent_state.chat_id AND journal.seq > agent_state.handled_seq)";
        let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), text)).await?;
        let key = |row: &QueryResult| -> Result<ChatKey, DbErr> {
            Ok(ChatKey {
                tenant: TenantId(row.try_get("", "tenant_id")?),
                session: SessionId(row.try_get("", "session_id")?),
                chat: ChatUuid(row.try_get("", "chat_id")?),
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
/// For each question whether it is the first of its chat. An actor that was rebuilt may ask beside its predecessor.
fn firsts<'a>(chats: impl Iterator<Item = &'a ChatKey>) -> Vec<bool> {
    let mut seen = HashSet::new();
    chats.map(|chat| seen.insert(*chat)).collect()
}

/// What a chat has still to see.
#[derive(Clone)]
pub(in crate::store) struct Asked {
    chat: ChatKey,
    handled: i64,
    limit: usize,
}

/// Reads what chats have still to see.
#[derive(Default)]
pub(in crate::store) struct Reading;

impl Answering for Reading {
    type Question = Asked;
    type Answer = Vec<Pending>;
    const GROUP: usize = 100;

    async fn answer(
        &mut self,
        store: &Store,
        asked: &[Asked],
    ) -> Result<Vec<Result<Vec<Pending>, PortError>>, Failure> {
        let firsts = firsts(asked.iter().map(|one| &one.chat));
        let once: Vec<_> = asked.iter().zip(&firsts).filter(|(_, first)| **first).map(|(one, _)| one.clone()).collect();
        let mut answers = store.signals(&once).await?.into_iter();
        let answer = |first| {
            if first { answers.next().unwrap_or(Err(PortError::Unavailable)) } else { Err(PortError::Conflict) }
        };
        Ok(firsts.into_iter().map(answer).collect())
    }
}

/// Writes agents' steps.
#[derive(Default)]
pub(in crate::store) struct Writing {
    aliases: Names,
}

impl Answering for Writing {
    type Question = AgentCommit;
    type Answer = ();
    const GROUP: usize = 250;

    async fn answer(&mut self, store: &Store, commits: &[AgentCommit]) -> Result<Vec<Result<(), PortError>>, Failure> {
        let firsts = firsts(commits.iter().map(|commit| &commit.chat));
        let once: Vec<_> = commits.iter().zip(&firsts).filter(|(_, first)| **first).map(|(one, _)| one).collect();
        let moved = store.commit_agents(&mut self.aliases, &once).await?;
        let done = |(commit, first): (&AgentCommit, bool)| first && moved.contains(&commit.chat);
        let answer = |done| if done { Ok(()) } else { Err(PortError::Conflict) };
        Ok(commits.iter().zip(firsts).map(done).map(answer).collect())
    }
}

impl AgentStore for Store {
    fn load(&self, chat: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>> {
        let store = self.clone();
        self.on_io(async move { store.load_agent(chat).await })
    }

    fn pending(&self, chat: ChatKey, handled: i64, limit: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(pending) = self.unseen.take(chat, handled, limit) {
            return Box::pin(std::future::ready(Ok(pending)));
        }
        self.readers.ask(self, Asked { chat, handled, limit })
    }

    fn behind(&self) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.chats_behind().await })
    }

    fn commit(&self, commit: AgentCommit) -> BoxFuture<'static, Result<(), PortError>> {
        self.agents.ask(self, commit)
    }
}
