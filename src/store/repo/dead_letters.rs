//! Signals that panicked their agents too often: listed, and handed to the agent again when somebody says so.

use crate::store::entity::{chat_aliases, dead_letters, journal, sessions};
use crate::store::{Failure, Mode, Store, Tx};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatUuid, SessionId, SessionKey, SessionName, TenantId, UserId};
use wardroom_actors::ports::PortError;

/// One of them.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Place of the signal in the journal; names it.
    pub id: i64,
    /// Whose.
    pub key: SessionKey,
    /// The session's user.
    pub user: UserId,
    /// The session's name.
    pub session: SessionName,
    /// The chat.
    pub chat: ChatUuid,
    /// One of the chat's ids.
    pub chat_id: Option<String>,
    /// When it was set aside, Unix milliseconds.
    pub at_ms: i64,
    /// What it was; `None` when the journal does not keep it any more.
    pub signal: Option<EventKind>,
}

impl Store {
    /// A tenant's dead letters before `before`, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn dead_letters(
        &self,
        tenant: TenantId,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = dead_letters::Entity::find()
                .filter(dead_letters::Column::TenantId.eq(tenant.0))
                .filter(dead_letters::Column::Seq.lt(before.unwrap_or(i64::MAX)))
                .order_by_desc(dead_letters::Column::Seq)
                .limit(limit)
                .all(&*tx)
                .await?;
            let mut letters = Vec::with_capacity(rows.len());
            for row in rows {
                letters.extend(store.letter(&tx, row).await?);
            }
            Ok(letters)
        })
        .await
    }

    /// One of a tenant's dead letters.
    ///
    /// # Errors
    /// The database's.
    pub async fn dead_letter(&self, tenant: TenantId, id: i64) -> Result<Option<DeadLetter>, PortError> {
        let next = id.checked_add(1);
        let found = self.dead_letters(tenant, next, 1).await?;
        Ok(found.into_iter().find(|letter| letter.id == id))
    }

    /// It was replayed: it is no dead letter any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn bury_letter(&self, tenant: TenantId, id: i64) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            dead_letters::Entity::delete_many()
                .filter(dead_letters::Column::TenantId.eq(tenant.0))
                .filter(dead_letters::Column::Seq.eq(id))
                .exec(&*tx)
                .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn letter(&self, tx: &Tx, row: dead_letters::Model) -> Result<Option<DeadLetter>, Failure> {
        let tenant = TenantId(row.tenant_id);
        let Some(session) = sessions::Entity::find_by_id((row.tenant_id, row.session_id)).one(&**tx).await? else {
            return Ok(None);
        };
        let user = UserId(session.user_id);
        self.need_dek(tx, tenant, user).await?;
        let signal = match journal::Entity::find_by_id((tenant.0, row.seq)).one(&**tx).await? {
            Some(recorded) => self.original(tx, user, recorded).await?.map(|(_, kind)| kind),
            None => None,
        };
        let alias = chat_aliases::Entity::find()
            .filter(chat_aliases::Column::TenantId.eq(row.tenant_id))
            .filter(chat_aliases::Column::SessionId.eq(row.session_id))
            .filter(chat_aliases::Column::ChatId.eq(row.chat_id))
            .order_by_asc(chat_aliases::Column::Alias)
            .one(&**tx)
            .await?;
        Ok(Some(DeadLetter {
            id: row.seq,
            key: SessionKey { tenant, session: SessionId(row.session_id) },
            user,
            session: SessionName::parse(&session.name).map_err(|_| Failure::Strange)?,
            chat: ChatUuid(row.chat_id),
            chat_id: alias.map(|row| row.alias),
            at_ms: row.at,
            signal,
        }))
    }
}
