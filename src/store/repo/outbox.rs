//! Messages that have to leave.

use super::gather::Answering;
use super::sizes::{bite, few_of_each, padded, parameter, places};
use crate::store::entity::outbox;
use crate::store::{Failure, Mode, Reason, Store, Tx, is_unique_violation};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{ExprTrait as _, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement, Value};
use std::collections::{HashMap, HashSet};
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::draft::{Content, Draft};
use wardroom_actors::domain::ids::{SessionId, SessionKey, TenantId, UserId};
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::failpoint;
use wardroom_actors::ports::store::{AcceptError, Accepted, Delivery, OutboxStore, Outgoing, Wanted};
use wardroom_actors::ports::{BoxFuture, PortError};

pub(in crate::store) const WAITING: i16 = 0;
const SENT: i16 = 1;
const FAILED: i16 = 2;

fn of(key: SessionKey) -> SimpleExpr {
    outbox::Column::TenantId.eq(key.tenant.0).and(outbox::Column::SessionId.eq(key.session.0))
}

/// What is wanted again, with the file of what was wanted first, where both say the same of it: of two requests at the same time
/// each has fetched or made its own.
fn with_file_of(first: &Draft, again: &Draft) -> Draft {
    let mut draft = again.clone();
    if let (
        Content::File { file, media, said: Some(said), .. },
        Content::File { file: its, media: about, said: Some(before), .. },
    ) = (&mut draft.content, &first.content)
        && said == before
    {
        (*file, *media) = (*its, about.clone());
    }
    draft
}

impl Store {
    /// Makes a group of changes in one transaction; an answer for each.
    async fn change_all(&self, changes: &[Change]) -> Result<Vec<Result<Changed, PortError>>, Failure> {
        let tx = Tx::system(self, Reason::GroupCommit, Mode::Write).await?;
        self.close_all(&tx, changes).await?;
        let mut wanted = vec![];
        for change in changes {
            if let Change::Accept { spec, wanted: one, limit } = change {
                wanted.push((&**spec, &**one, *limit));
            }
        }
        let any = !wanted.is_empty();
        let mut accepted = self.accept_all(&tx, &wanted).await?.into_iter();
        tx.commit().await?;
        if any {
            failpoint::pass("outbox.committed");
        }
        let answer = |change: &Change| match change {
            Change::Accept { .. } => {
                accepted.next().unwrap_or(Err(PortError::Unavailable)).map(|answer| Changed::Accepted(Box::new(answer)))
            }
            Change::Attempt { .. } | Change::Finish { .. } => Ok(Changed::Done),
        };
        Ok(changes.iter().map(answer).collect())
    }

    /// Writes what is tried and what is over.
    async fn close_all(&self, tx: &Tx, changes: &[Change]) -> Result<(), Failure> {
        let (mut tried, mut over) = (Vec::<Value>::new(), Vec::<Value>::new());
        for change in changes {
            match change {
                Change::Accept { .. } => {}
                Change::Attempt { key, id } => {
                    tried.extend([key.tenant.0.into(), key.session.0.into(), (*id).into()]);
                }
                Change::Finish { key, id, delivery } => {
                    let (state, message, code) = match delivery {
                        Delivery::Sent { id } => (SENT, Some(id.clone()), None),
                        Delivery::Failed { code } => (FAILED, None, Some(code.clone())),
                    };
                    over.extend([key.tenant.0.into(), key.session.0.into(), (*id).into()]);
                    over.extend([i32::from(state).into(), message.into(), code.into()]);
                }
            }
        }
        let set = [
            (tried, 3, "attempts = attempts + 1"),
            (
                over,
                6,
                "state = v.column4, message_id = COALESCE(v.column5, message_id), code = COALESCE(v.column6, code)",
            ),
        ];
        for (mut values, columns, set) in set.into_iter().filter(|(values, ..)| !values.is_empty()) {
            values.insert(0, self.now().into());
            let backend = tx.get_database_backend();
            let text = format!(
                "UPDATE outbox SET updated_at = {}, {set} FROM (VALUES {}) AS v WHERE outbox.tenant_id = v.column1 \
                 AND outbox.session_id = v.column2 AND outbox.id = v.column3",
                parameter(backend, 1),
                places(backend, &mut values, 2, columns)
            );
            tx.execute_raw(Statement::from_sql_and_values(backend, text, values)).await?;
        }
        Ok(())
    }

    /// Writes what is wanted, unless it was wanted before or too much waits; an answer for each.
    async fn accept_all(
        &self,
        tx: &Tx,
        wanted: &[(&SessionSpec, &Wanted, u64)],
    ) -> Result<Vec<Result<Result<Accepted, AcceptError>, PortError>>, Failure> {
        if wanted.is_empty() {
            return Ok(vec![]);
        }
        let (before, mut waiting) = (self.known(tx, wanted).await?, self.waiting_in(tx, wanted).await?);
        let (mut answers, mut rows) = (Vec::with_capacity(wanted.len()), vec![]);
        // What this group accepts, by its name: the same request may come over two connections.
        let mut fresh = HashMap::<(SessionId, &str), (&Wanted, Accepted)>::new();
        for (spec, one, limit) in wanted {
            match self.need_dek(tx, spec.tenant, spec.user).await {
                Ok(()) => {}
                Err(Failure::Db(error)) => return Err(error.into()),
                // One user's trouble is nobody else's.
                Err(failure) => {
                    answers.push(Err(failure.into()));
                    continue;
                }
            }
            let name = (spec.id, one.dedupe.as_str());
            if let Some(row) = before.get(&(spec.id.0, one.dedupe.clone())) {
                answers.push(self.repeated(spec, one, row.clone()).map_err(PortError::from));
                continue;
            }
            if let Some((first, accepted)) = fresh.get(&name) {
                let same = first.draft == with_file_of(&first.draft, &one.draft) && first.chat == one.chat;
                answers.push(Ok(if same { Ok(accepted.clone()) } else { Err(AcceptError::Taken) }));
                continue;
            }
            let count = waiting.entry(spec.id.0).or_default();
            if u64::try_from(*count).unwrap_or_default() >= *limit {
                answers.push(Ok(Err(AcceptError::Full)));
                continue;
            }
            let id = self.next_outbox_id();
            let names = (one.dedupe.clone(), one.message_id.clone());
            let row = match self.outgoing_row((spec.key(), spec.user), id, names, &one.draft) {
                Ok(row) => row,
                Err(failure) => {
                    answers.push(Err(failure.into()));
                    continue;
                }
            };
            *count += 1;
            rows.push(outbox::ActiveModel { alias: Set(Some(one.chat.to_string())), ..row });
            let Wanted { chat, draft, message_id, .. } = (*one).clone();
            let outgoing = Outgoing { id, chat, message_id, draft, attempts: 0 };
            let accepted = Accepted { outgoing, is_new: true, ended: None };
            fresh.insert(name, (one, Accepted { is_new: false, ..accepted.clone() }));
            answers.push(Ok(Ok(accepted)));
        }
        while !rows.is_empty() {
            outbox::Entity::insert_many(bite(&mut rows)).exec_without_returning(&**tx).await?;
        }
        Ok(answers)
    }

    /// What was wanted before under the names of these, by session and name.
    async fn known(
        &self,
        tx: &Tx,
        wanted: &[(&SessionSpec, &Wanted, u64)],
    ) -> Result<HashMap<(Uuid, String), outbox::Model>, Failure> {
        let (backend, mut values) = (tx.get_database_backend(), Vec::<Value>::new());
        for (spec, one, _) in wanted {
            values.extend([spec.tenant.0.into(), spec.id.0.into(), one.dedupe.as_str().into()]);
        }
        let text = format!(
            "SELECT outbox.* FROM (VALUES {}) AS v JOIN outbox ON outbox.tenant_id = v.column1 \
             AND outbox.session_id = v.column2 AND outbox.dedupe = v.column3",
            places(backend, &mut values, 1, 3)
        );
        let statement = Statement::from_sql_and_values(backend, text, values);
        let rows = outbox::Entity::find().from_raw_sql(statement).all(&**tx).await?;
        Ok(rows.into_iter().map(|row| ((row.session_id, row.dedupe.clone()), row)).collect())
    }

    /// How many messages wait in the sessions of these.
    async fn waiting_in(
        &self,
        tx: &Tx,
        wanted: &[(&SessionSpec, &Wanted, u64)],
    ) -> Result<HashMap<Uuid, i64>, Failure> {
        let sessions: HashSet<_> = wanted.iter().map(|(spec, ..)| (spec.tenant.0, spec.id.0)).collect();
        let mut values: Vec<Value> =
            sessions.into_iter().flat_map(|(tenant, session)| [tenant.into(), session.into()]).collect();
        let backend = tx.get_database_backend();
        let text = format!(
            "SELECT v.column2 AS session_id, (SELECT COUNT(*) FROM outbox WHERE outbox.tenant_id = v.column1 \
             AND outbox.session_id = v.column2 AND outbox.kind = 'send' AND outbox.state = {WAITING}) AS waiting \
             FROM (VALUES {}) AS v",
            places(backend, &mut values, 1, 2)
        );
        let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, text, values)).await?;
        // Padding asks for sessions of nobody, in which nothing waits.
        let mut counts = HashMap::new();
        for row in rows {
            let (session, waiting): (Uuid, i64) = (row.try_get("", "session_id")?, row.try_get("", "waiting")?);
            let count = counts.entry(session).or_default();
            *count = Ord::max(waiting, *count);
        }
        Ok(counts)
    }

    /// Whether this was wanted before under the same name.
    ///
    /// # Errors
    /// The database's.
    pub async fn wanted_before(&self, spec: &SessionSpec, wanted: &Wanted) -> Result<bool, PortError> {
        let (store, spec, wanted) = (self.clone(), spec.clone(), wanted.clone());
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            Ok(store.earlier(&tx, &spec, &wanted).await?.is_some())
        })
        .await
    }

    /// What a request of this name brought before, if that was a file of which it said the same.
    ///
    /// # Errors
    /// The database's.
    pub async fn file_before(
        &self,
        spec: &SessionSpec,
        dedupe: String,
        said: String,
    ) -> Result<Option<Content>, PortError> {
        let (store, spec) = (self.clone(), spec.clone());
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            let same_name = outbox::Column::Dedupe.eq(dedupe);
            let Some(row) = outbox::Entity::find().filter(of(spec.key())).filter(same_name).one(&*tx).await? else {
                return Ok(None);
            };
            let content = store.outgoing(&spec, row)?.draft.content;
            let is_same = matches!(&content, Content::File { said: Some(before), .. } if *before == said);
            Ok(is_same.then_some(content))
        })
        .await
    }

    /// How many messages wait in each of a tenant's sessions.
    ///
    /// # Errors
    /// The database's.
    pub async fn queues(&self, tenant: TenantId) -> Result<HashMap<SessionId, i64>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows: Vec<(Uuid, i64)> = outbox::Entity::find()
                .select_only()
                .column(outbox::Column::SessionId)
                .column_as(outbox::Column::Id.count(), "waiting")
                .filter(outbox::Column::TenantId.eq(tenant.0))
                .filter(outbox::Column::Kind.eq("send"))
                .filter(outbox::Column::State.eq(WAITING))
                .group_by(outbox::Column::SessionId)
                .into_tuple()
                .all(&*tx)
                .await?;
            Ok(rows.into_iter().map(|(session, waiting)| (SessionId(session), waiting)).collect())
        })
        .await
    }

    /// What was wanted before under the same name.
    async fn earlier(
        &self,
        tx: &Tx,
        spec: &SessionSpec,
        wanted: &Wanted,
    ) -> Result<Option<Result<Accepted, AcceptError>>, Failure> {
        let same_name = outbox::Column::Dedupe.eq(wanted.dedupe.as_str());
        let Some(row) = outbox::Entity::find().filter(of(spec.key())).filter(same_name).one(&**tx).await? else {
            return Ok(None);
        };
        self.repeated(spec, wanted, row).map(Some)
    }

    /// The answer to what was wanted before and is wanted again.
    fn repeated(
        &self,
        spec: &SessionSpec,
        wanted: &Wanted,
        row: outbox::Model,
    ) -> Result<Result<Accepted, AcceptError>, Failure> {
        let ended = match row.state {
            WAITING => None,
            SENT => Some(Delivery::Sent { id: row.message_id.clone().unwrap_or_default() }),
            _ => Some(Delivery::Failed { code: row.code.clone().unwrap_or_default() }),
        };
        // As they were written: numbers that are read and written again may differ in their last digit.
        let label = Self::label(spec.tenant, spec.user, Kind::Outbox, row.id);
        let written = self.vault.open(&label, &row.payload)?;
        let outgoing = self.outgoing(spec, row)?;
        let draft = with_file_of(&outgoing.draft, &wanted.draft);
        let same = written == serde_json::to_vec(&draft).map_err(|_| Failure::Strange)?;
        let same = same && outgoing.chat == wanted.chat;
        Ok(if same { Ok(Accepted { outgoing, is_new: false, ended }) } else { Err(AcceptError::Taken) })
    }

    /// The row of a message that has to leave; whoever writes it adds the chat.
    pub(super) fn outgoing_row(
        &self,
        (key, user): (SessionKey, UserId),
        id: i64,
        (dedupe, message_id): (String, String),
        draft: &Draft,
    ) -> Result<outbox::ActiveModel, Failure> {
        let label = Self::label(key.tenant, user, Kind::Outbox, id);
        let plain = serde_json::to_vec(draft).map_err(|_| Failure::Strange)?;
        Ok(outbox::ActiveModel {
            tenant_id: Set(key.tenant.0),
            id: Set(id),
            session_id: Set(key.session.0),
            chat_id: Set(None),
            kind: Set("send".to_owned()),
            dedupe: Set(dedupe),
            alias: Set(None),
            message_id: Set(Some(message_id)),
            payload: Set(self.vault.seal(&label, &plain)?),
            state: Set(WAITING),
            code: Set(None),
            attempts: Set(0),
            hook: Set(None),
            seq: Set(None),
            name: Set(None),
            file_id: Set(match draft.content {
                Content::File { file, .. } => Some(file.0),
                _ => None,
            }),
            created_at: Set(self.now()),
            updated_at: Set(self.now()),
        })
    }

    fn outgoing(&self, spec: &SessionSpec, row: outbox::Model) -> Result<Outgoing, Failure> {
        let label = Self::label(spec.tenant, spec.user, Kind::Outbox, row.id);
        let plain = self.vault.open(&label, &row.payload)?;
        Ok(Outgoing {
            id: row.id,
            chat: row.alias.as_deref().and_then(|alias| ChatId::parse(alias).ok()).ok_or(Failure::Strange)?,
            message_id: row.message_id.ok_or(Failure::Strange)?,
            draft: serde_json::from_slice(&plain).map_err(|_| Failure::Strange)?,
            attempts: row.attempts,
        })
    }

    async fn waiting_messages(
        &self,
        spec: SessionSpec,
        held: Vec<ChatId>,
        limit: u64,
    ) -> Result<Vec<Outgoing>, Failure> {
        let tx = Tx::tenant(self, spec.tenant, Mode::Read).await?;
        self.need_dek(&tx, spec.tenant, spec.user).await?;
        let rows = outbox::Entity::find()
            .filter(of(spec.key()))
            .filter(outbox::Column::State.eq(WAITING))
            .filter(outbox::Column::Kind.eq("send"))
            .filter(outbox::Column::Alias.is_not_in(padded(held.iter().map(ChatId::as_str))))
            .order_by_asc(outbox::Column::Id)
            .limit(limit)
            .all(&*tx)
            .await?;
        drop(tx);
        self.readable(&spec, rows).await
    }

    /// What waits in many sessions, in one statement.
    async fn waiting_everywhere(
        &self,
        asked: &[(SessionSpec, u64)],
    ) -> Result<Vec<Result<Vec<Outgoing>, PortError>>, Failure> {
        let tx = Tx::system(self, Reason::GroupRead, Mode::Read).await?;
        let most = asked.iter().map(|(_, limit)| *limit).max().unwrap_or_default();
        let mut values: Vec<Value> = vec![];
        let mut sessions = HashSet::new();
        for (spec, _) in asked.iter().filter(|(spec, _)| sessions.insert(spec.id)) {
            values.extend([spec.tenant.0.into(), spec.id.0.into()]);
        }
        let test =
            "next.tenant_id = v.column1 AND next.session_id = v.column2 AND next.kind = 'send' AND next.state = 0";
        let backend = tx.get_database_backend();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let statement = few_of_each(backend, values, 2, ("outbox", "id"), test, most);
        let mut found = HashMap::<Uuid, Vec<outbox::Model>>::new();
        for row in outbox::Entity::find().from_raw_sql(statement).all(&*tx).await? {
            found.entry(row.session_id).or_default().push(row);
        }
        let mut keys = Vec::with_capacity(asked.len());
        for (spec, _) in asked {
            keys.push(match self.need_dek(&tx, spec.tenant, spec.user).await {
                Err(Failure::Db(error)) => return Err(error.into()),
                key => key,
            });
        }
        drop(tx);
        let answers = asked.iter().zip(keys).map(async |((spec, limit), key)| {
            // What cannot be opened for want of the key is left as it is.
            key?;
            let mut rows = found.get(&spec.id.0).cloned().unwrap_or_default();
            rows.sort_unstable_by_key(|row| row.id);
            rows.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
            self.readable(spec, rows).await
        });
        let answers = futures_util::future::join_all(answers).await;
        Ok(answers.into_iter().map(|answer| answer.map_err(PortError::from)).collect())
    }

    /// Opens rows; what cannot be read is closed.
    async fn readable(&self, spec: &SessionSpec, rows: Vec<outbox::Model>) -> Result<Vec<Outgoing>, Failure> {
        let mut readable = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id;
            match self.outgoing(spec, row) {
                Ok(outgoing) => readable.push(outgoing),
                Err(failure) => {
                    // It is nobody else's trouble: those behind it must not wait for it.
                    tracing::error!(id, %failure, "a message cannot be read");
                    let unreadable = Delivery::Failed { code: "unreadable".to_owned() };
                    self.finish(spec.key(), id, unreadable).await.map_err(|_| Failure::Strange)?;
                }
            }
        }
        Ok(readable)
    }
}

/// A change of the outbox.
pub(in crate::store) enum Change {
    /// A message is wanted; so many may wait in its session.
    Accept { spec: Box<SessionSpec>, wanted: Box<Wanted>, limit: u64 },
    /// One is tried.
    Attempt { key: SessionKey, id: i64 },
    /// One is over.
    Finish { key: SessionKey, id: i64, delivery: Delivery },
}

/// What came of it.
pub(in crate::store) enum Changed {
    /// A message was accepted, or not.
    Accepted(Box<Result<Accepted, AcceptError>>),
    /// Done.
    Done,
}

/// Reads what waits.
#[derive(Default)]
pub(in crate::store) struct Waiting;

impl Answering for Waiting {
    type Question = (SessionSpec, u64);
    type Answer = Vec<Outgoing>;
    const GROUP: usize = 64;

    async fn answer(
        &mut self,
        store: &Store,
        asked: &[(SessionSpec, u64)],
    ) -> Result<Vec<Result<Vec<Outgoing>, PortError>>, Failure> {
        store.waiting_everywhere(asked).await
    }
}

/// Writes changes.
#[derive(Default)]
pub(in crate::store) struct Changing;

impl Answering for Changing {
    type Question = Change;
    type Answer = Changed;
    const GROUP: usize = 128;

    async fn answer(&mut self, store: &Store, changes: &[Change]) -> Result<Vec<Result<Changed, PortError>>, Failure> {
        match store.change_all(changes).await {
            // Another server was faster with the same request; now it is known.
            Err(Failure::Db(error)) if is_unique_violation(&error) => store.change_all(changes).await,
            outcome => outcome,
        }
    }
}

impl OutboxStore for Store {
    fn accept(
        &self,
        spec: &SessionSpec,
        wanted: &Wanted,
        limit: u64,
    ) -> BoxFuture<'static, Result<Accepted, AcceptError>> {
        let change = Change::Accept { spec: Box::new(spec.clone()), wanted: Box::new(wanted.clone()), limit };
        let asked = self.changes.ask(self, change);
        Box::pin(async move {
            match asked.await? {
                Changed::Accepted(answer) => *answer,
                Changed::Done => Err(PortError::Corrupt.into()),
            }
        })
    }

    fn waiting(
        &self,
        spec: &SessionSpec,
        held: &[ChatId],
        limit: u64,
    ) -> BoxFuture<'static, Result<Vec<Outgoing>, PortError>> {
        if held.is_empty() {
            return self.queues.ask(self, (spec.clone(), limit));
        }
        let (store, spec, held) = (self.clone(), spec.clone(), held.to_vec());
        self.on_io(async move { store.waiting_messages(spec, held, limit).await })
    }

    fn attempt(&self, key: SessionKey, id: i64) -> BoxFuture<'static, Result<(), PortError>> {
        let asked = self.changes.ask(self, Change::Attempt { key, id });
        Box::pin(async move { asked.await.map(drop) })
    }

    fn finish(&self, key: SessionKey, id: i64, delivery: Delivery) -> BoxFuture<'static, Result<(), PortError>> {
        let asked = self.changes.ask(self, Change::Finish { key, id, delivery });
        Box::pin(async move { asked.await.map(drop) })
    }
}
