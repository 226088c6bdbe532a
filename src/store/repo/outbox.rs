//! Messages that have to leave.

use super::sizes::padded;
use crate::store::entity::outbox;
use crate::store::{Failure, Mode, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, TryInsertResult};
use std::collections::HashMap;
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

impl Store {
    async fn accept_one(
        &self,
        spec: SessionSpec,
        wanted: Wanted,
        limit: u64,
    ) -> Result<Result<Accepted, AcceptError>, Failure> {
        let tx = Tx::tenant(self, spec.tenant, Mode::Write).await?;
        self.need_dek(&tx, spec.tenant, spec.user).await?;
        if let Some(earlier) = self.earlier(&tx, &spec, &wanted).await? {
            return Ok(earlier);
        }
        let waiting = outbox::Entity::find()
            .filter(of(spec.key()))
            .filter(outbox::Column::State.eq(WAITING))
            .filter(outbox::Column::Kind.eq("send"));
        if waiting.count(&*tx).await? >= limit {
            return Ok(Err(AcceptError::Full));
        }
        let id = self.next_outbox_id();
        let owner = (spec.key(), spec.user);
        let row = self.outgoing_row(owner, id, (wanted.dedupe.clone(), wanted.message_id.clone()), &wanted.draft)?;
        let row = outbox::ActiveModel { alias: Set(Some(wanted.chat.to_string())), ..row };
        use outbox::Column::{Dedupe, SessionId, TenantId};
        let insert = outbox::Entity::insert(row).on_conflict_do_nothing_on([TenantId, SessionId, Dedupe]);
        if !matches!(insert.exec_without_returning(&*tx).await?, TryInsertResult::Inserted(1)) {
            // The same request came over two connections, and the other one was faster.
            let earlier = self.earlier(&tx, &spec, &wanted).await?;
            return earlier.ok_or(Failure::Strange);
        }
        tx.commit().await?;
        failpoint::pass("outbox.committed");
        let Wanted { chat, draft, message_id, .. } = wanted;
        Ok(Ok(Accepted { outgoing: Outgoing { id, chat, message_id, draft, attempts: 0 }, ended: None }))
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
        let ended = match row.state {
            WAITING => None,
            SENT => Some(Delivery::Sent { id: row.message_id.clone().unwrap_or_default() }),
            _ => Some(Delivery::Failed { code: row.code.clone().unwrap_or_default() }),
        };
        // As they were written: numbers that are read and written again may differ in their last digit.
        let label = Self::label(spec.tenant, spec.user, Kind::Outbox, row.id);
        let same = self.vault.open(&label, &row.payload)?
            == serde_json::to_vec(&wanted.draft).map_err(|_| Failure::Strange)?;
        let outgoing = self.outgoing(spec, row)?;
        let same = same && outgoing.chat == wanted.chat;
        Ok(Some(if same { Ok(Accepted { outgoing, ended }) } else { Err(AcceptError::Taken) }))
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
        let mut readable = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id;
            match self.outgoing(&spec, row) {
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

    fn change_one(
        &self,
        key: SessionKey,
        id: i64,
        columns: Vec<(outbox::Column, SimpleExpr)>,
    ) -> BoxFuture<'static, Result<(), PortError>> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Write).await?;
            let mut update =
                outbox::Entity::update_many().col_expr(outbox::Column::UpdatedAt, Expr::value(store.now()));
            for (column, value) in columns {
                update = update.col_expr(column, value);
            }
            update.filter(of(key)).filter(outbox::Column::Id.eq(id)).exec(&*tx).await?;
            Ok(tx.commit().await?)
        })
    }
}

impl OutboxStore for Store {
    fn accept(
        &self,
        spec: &SessionSpec,
        wanted: &Wanted,
        limit: u64,
    ) -> BoxFuture<'static, Result<Accepted, AcceptError>> {
        let (store, spec, wanted) = (self.clone(), spec.clone(), wanted.clone());
        let work = self.on_io(async move { store.accept_one(spec, wanted, limit).await });
        Box::pin(async move { work.await? })
    }

    fn waiting(
        &self,
        spec: &SessionSpec,
        held: &[ChatId],
        limit: u64,
    ) -> BoxFuture<'static, Result<Vec<Outgoing>, PortError>> {
        let (store, spec, held) = (self.clone(), spec.clone(), held.to_vec());
        self.on_io(async move { store.waiting_messages(spec, held, limit).await })
    }

    fn attempt(&self, key: SessionKey, id: i64) -> BoxFuture<'static, Result<(), PortError>> {
        let more = Expr::col(outbox::Column::Attempts).add(1);
        self.change_one(key, id, vec![(outbox::Column::Attempts, more)])
    }

    fn finish(&self, key: SessionKey, id: i64, delivery: Delivery) -> BoxFuture<'static, Result<(), PortError>> {
        let columns = match delivery {
            Delivery::Sent { id } => {
                vec![(outbox::Column::State, Expr::value(SENT)), (outbox::Column::MessageId, Expr::value(id))]
            }
            Delivery::Failed { code } => {
                vec![(outbox::Column::State, Expr::value(FAILED)), (outbox::Column::Code, Expr::value(code))]
            }
        };
        self.change_one(key, id, columns)
    }
}
