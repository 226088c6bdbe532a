//! What tenants and users may have, and what they have. A limit that was lowered takes nothing away: what there is stays, and nothing
//! comes to it.

use crate::store::entity::{quotas, sessions, users};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Expr, OnConflict, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QuerySelect, QueryTrait as _, Statement};
use std::collections::HashMap;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::domain::quota::{Exceeded, Limits, Quota, Resource, Whose};
use wardroom_actors::domain::webhook::Hooks;
use wardroom_actors::ports::PortError;

/// The largest limit.
pub const MOST: u64 = i64::MAX as u64;

/// Limits that somebody was given; `None` where the default holds. 0 = any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Sessions.
    pub sessions: Option<u64>,
    /// Messages that are accepted in a minute.
    pub messages_per_minute: Option<u64>,
    /// Bytes of files.
    pub storage_bytes: Option<u64>,
    /// Webhooks of sessions.
    pub webhooks: Option<u64>,
}

impl Given {
    /// These, and the defaults where nothing was given.
    #[must_use]
    pub fn over(&self, defaults: &Limits) -> Limits {
        Limits {
            sessions: self.sessions.unwrap_or(defaults.sessions),
            messages_per_minute: self.messages_per_minute.unwrap_or(defaults.messages_per_minute),
            storage_bytes: self.storage_bytes.unwrap_or(defaults.storage_bytes),
            webhooks: self.webhooks.unwrap_or(defaults.webhooks),
        }
    }
}

/// Whose limits were given, `None` for the tenant itself; and what.
pub type Book = HashMap<(TenantId, Option<UserId>), Given>;

/// How many webhooks a session's config has.
pub(super) fn webhooks_in(config: &str) -> u64 {
    let config = serde_json::from_str(config).unwrap_or_default();
    Hooks::of_config(&config).map_or(0, |hooks| hooks.iter().count() as u64)
}

fn given(row: &quotas::Model) -> Given {
    let limit = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    Given {
        sessions: limit(row.sessions),
        messages_per_minute: limit(row.messages_per_minute),
        storage_bytes: limit(row.storage_bytes),
        webhooks: limit(row.webhooks),
    }
}

impl Store {
    /// All limits that were given, unless they are those of this mark; and the mark of these.
    ///
    /// # Errors
    /// The database's.
    pub async fn quotas_since(&self, mark: (i64, i64)) -> Result<Option<(Book, (i64, i64))>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Quotas, Mode::Read).await?;
            let now = quotas::Entity::find()
                .select_only()
                .expr(Expr::cust("COUNT(*)"))
                // Each change makes it larger, also of two at the same time.
                .expr(Expr::cust("CAST(COALESCE(SUM(version), 0) AS BIGINT)"))
                .into_tuple::<(i64, i64)>()
                .one(&*tx)
                .await?
                .unwrap_or_default();
            if now == mark {
                return Ok(None);
            }
            let rows = quotas::Entity::find().all(&*tx).await?;
            let user = |id: Uuid| (!id.is_nil()).then_some(UserId(id));
            let book = rows.iter().map(|row| ((TenantId(row.tenant_id), user(row.user_id)), given(row))).collect();
            // A change that came in between is read again the next time.
            Ok(Some((book, now)))
        })
        .await
    }

    /// Gives limits to a user, or to a tenant itself; false when there is no such user.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_quota(&self, tenant: TenantId, user: Option<UserId>, given: Given) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Quotas, Mode::Write).await?;
            if let Some(user) = user {
                let row = users::Entity::find_by_id((tenant.0, user.0)).one(&*tx).await?;
                if row.is_none_or(|row| row.dek.is_empty()) {
                    return Ok(false);
                }
            }
            let limit = |value: Option<u64>| Set(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
            let row = quotas::ActiveModel {
                tenant_id: Set(tenant.0),
                user_id: Set(user.map_or(Uuid::nil(), |user| user.0)),
                sessions: limit(given.sessions),
                messages_per_minute: limit(given.messages_per_minute),
                storage_bytes: limit(given.storage_bytes),
                webhooks: limit(given.webhooks),
                version: Set(1),
            };
            use quotas::Column::{MessagesPerMinute, Sessions, StorageBytes, TenantId, UserId, Version, Webhooks};
            let again = OnConflict::columns([TenantId, UserId])
                .update_columns([Sessions, MessagesPerMinute, StorageBytes, Webhooks])
                .value(Version, Expr::cust("quotas.version + 1"))
                .to_owned();
            quotas::Entity::insert(row).on_conflict(again).exec_without_returning(&*tx).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// What a user has, or a whole tenant; messages are not counted here.
    ///
    /// # Errors
    /// The database's.
    pub async fn has(&self, tenant: TenantId, user: Option<UserId>, resource: Resource) -> Result<u64, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            Self::used(&tx, tenant, user, resource).await
        })
        .await
    }

    /// What somebody has.
    async fn used(tx: &Tx, tenant: TenantId, user: Option<UserId>, resource: Resource) -> Result<u64, Failure> {
        let sum: SimpleExpr = match resource {
            Resource::Sessions => Expr::cust("COUNT(*)"),
            Resource::Webhooks => Expr::cust("CAST(COALESCE(SUM(webhooks), 0) AS BIGINT)"),
            Resource::Storage => Expr::cust("CAST(COALESCE(SUM(file_bytes), 0) AS BIGINT)"),
            Resource::Messages => return Ok(0),
        };
        let sum = sessions::Entity::find()
            .filter(sessions::Column::TenantId.eq(tenant.0))
            .apply_if(user, |query, user| query.filter(sessions::Column::UserId.eq(user.0)))
            // The files of a session that is being removed are still there.
            .apply_if((resource != Resource::Storage).then_some(()), |query, ()| {
                query.filter(sessions::Column::DeletedAt.is_null())
            })
            .select_only()
            .expr(sum)
            .into_tuple::<i64>()
            .one(&**tx)
            .await?;
        Ok(sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or_default())
    }

    /// Waits until nobody else counts what this tenant has, until the end of the transaction. To be asked for before a session's row.
    pub(super) async fn alone(&self, tx: &Tx, tenant: TenantId) -> Result<(), Failure> {
        // SQLite has one writer.
        if !self.is_sqlite() {
            let wait = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
            let wait = Statement::from_sql_and_values(tx.get_database_backend(), wait, [tenant.0.to_string().into()]);
            tx.execute_raw(wait).await?;
        }
        Ok(())
    }

    /// Whether so much may come to what a user and its tenant have. Two who ask at the same time wait for each other until the end of
    /// the transaction.
    pub(super) async fn room(
        &self,
        tx: &Tx,
        (tenant, user): (TenantId, UserId),
        quota: &Quota,
        resource: Resource,
        more: u64,
    ) -> Result<Result<(), Exceeded>, Failure> {
        if more == 0 || Whose::BOTH.iter().all(|whose| quota.of(*whose).of(resource) == 0) {
            return Ok(Ok(()));
        }
        self.alone(tx, tenant).await?;
        for whose in Whose::BOTH {
            let limits = quota.of(whose);
            let limit = limits.of(resource);
            if limit == 0 {
                continue;
            }
            let used = Self::used(tx, tenant, (whose == Whose::User).then_some(user), resource).await?;
            if !limits.admits(resource, used, more) {
                return Ok(Err(Exceeded { resource, whose, limit }));
            }
        }
        Ok(Ok(()))
    }
}
