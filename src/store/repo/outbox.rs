//! Texts that have to leave.

use crate::store::entity::outbox;
use crate::store::{Failure, Mode, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::ids::SessionKey;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::failpoint;
use wardroom_actors::ports::store::{AcceptError, Delivery, OutboxStore, Outgoing};
use wardroom_actors::ports::{BoxFuture, PortError};

pub(in crate::store) const WAITING: i16 = 0;
const SENT: i16 = 1;
const FAILED: i16 = 2;

/// A message id as WhatsApp Web makes them: `3EB0` and 18 hex digits.
pub(in crate::store) fn new_message_id() -> String {
    let random = uuid::Uuid::new_v4();
    let hex: String = random.as_bytes().iter().take(9).map(|byte| format!("{byte:02X}")).collect();
    format!("3EB0{hex}")
}

fn of(key: SessionKey) -> SimpleExpr {
    outbox::Column::TenantId.eq(key.tenant.0).and(outbox::Column::SessionId.eq(key.session.0))
}

impl Store {
    async fn accept_text(
        &self,
        spec: SessionSpec,
        chat: ChatId,
        text: String,
        limit: u64,
    ) -> Result<Result<Outgoing, AcceptError>, Failure> {
        let tx = Tx::tenant(self, spec.tenant, Mode::Write).await?;
        let waiting = outbox::Entity::find()
            .filter(of(spec.key()))
            .filter(outbox::Column::State.eq(WAITING))
            .filter(outbox::Column::Kind.eq("send"));
        if waiting.count(&*tx).await? >= limit {
            return Ok(Err(AcceptError::Full));
        }
        self.need_dek(&tx, spec.tenant, spec.user).await?;
        let (id, message_id) = (self.next_outbox_id(), new_message_id());
        let label = Self::label(spec.tenant, spec.user, Kind::Outbox, id);
        let row = outbox::ActiveModel {
            tenant_id: Set(spec.tenant.0),
            id: Set(id),
            session_id: Set(spec.id.0),
            chat_id: Set(None),
            kind: Set("send".to_owned()),
            dedupe: Set(format!("api:{message_id}")),
            alias: Set(Some(chat.as_str().to_owned())),
            message_id: Set(Some(message_id.clone())),
            payload: Set(self.vault.seal(&label, text.as_bytes())?),
            state: Set(WAITING),
            code: Set(None),
            attempts: Set(0),
            hook: Set(None),
            seq: Set(None),
            name: Set(None),
            created_at: Set(self.now()),
            updated_at: Set(self.now()),
        };
        outbox::Entity::insert(row).exec_without_returning(&*tx).await?;
        tx.commit().await?;
        failpoint::pass("outbox.committed");
        Ok(Ok(Outgoing { id, chat, message_id, text, attempts: 0 }))
    }

    async fn waiting_texts(&self, spec: SessionSpec, limit: u64) -> Result<Vec<Outgoing>, Failure> {
        let tx = Tx::tenant(self, spec.tenant, Mode::Read).await?;
        self.need_dek(&tx, spec.tenant, spec.user).await?;
        let rows = outbox::Entity::find()
            .filter(of(spec.key()))
            .filter(outbox::Column::State.eq(WAITING))
            .filter(outbox::Column::Kind.eq("send"))
            .order_by_asc(outbox::Column::Id)
            .limit(limit)
            .all(&*tx)
            .await?;
        let mut texts = Vec::with_capacity(rows.len());
        for row in rows {
            let label = Self::label(spec.tenant, spec.user, Kind::Outbox, row.id);
            let text = self.vault.open(&label, &row.payload)?;
            texts.push(Outgoing {
                id: row.id,
                chat: row.alias.as_deref().and_then(|alias| ChatId::parse(alias).ok()).ok_or(Failure::Strange)?,
                message_id: row.message_id.ok_or(Failure::Strange)?,
                text: String::from_utf8(text).map_err(|_| Failure::Strange)?,
                attempts: row.attempts,
            });
        }
        Ok(texts)
    }

    fn change_text(
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
        chat: &ChatId,
        text: String,
        limit: u64,
    ) -> BoxFuture<'static, Result<Outgoing, AcceptError>> {
        let (store, spec, chat) = (self.clone(), spec.clone(), chat.clone());
        let work = self.on_io(async move { store.accept_text(spec, chat, text, limit).await });
        Box::pin(async move { work.await? })
    }

    fn waiting(&self, spec: &SessionSpec, limit: u64) -> BoxFuture<'static, Result<Vec<Outgoing>, PortError>> {
        let (store, spec) = (self.clone(), spec.clone());
        self.on_io(async move { store.waiting_texts(spec, limit).await })
    }

    fn attempt(&self, key: SessionKey, id: i64) -> BoxFuture<'static, Result<(), PortError>> {
        let more = Expr::col(outbox::Column::Attempts).add(1);
        self.change_text(key, id, vec![(outbox::Column::Attempts, more)])
    }

    fn finish(&self, key: SessionKey, id: i64, delivery: Delivery) -> BoxFuture<'static, Result<(), PortError>> {
        let (state, code) = match delivery {
            Delivery::Sent => (SENT, None),
            Delivery::Failed { code } => (FAILED, Some(code)),
        };
        let columns = vec![(outbox::Column::State, Expr::value(state)), (outbox::Column::Code, Expr::value(code))];
        self.change_text(key, id, columns)
    }
}
