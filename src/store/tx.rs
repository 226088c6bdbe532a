//! The only doors to the database: [`Tx::tenant`] and [`Tx::system`].

use super::Store;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use std::ops::Deref;
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::PortError;
use wardroom_migrations::row_security;

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only look.
    Read,
    /// Look and change; on SQLite it takes the one writer's place at once, so that it can never be refused half-way.
    Write,
}

/// Why a transaction of no tenant is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Finding out whose a key is.
    KeyLookup,
    /// Finding out who signs in, who is invited, whose an address is.
    SignIn,
    /// Reading all sessions at start-up, checking keys.
    Boot,
    /// Recording what was done, of many tenants at once.
    Audit,
    /// Removing what is too old.
    Retention,
    /// The journal's writer, which groups rows of many tenants into one commit.
    GroupCommit,
    /// Chats of many tenants that read together what they have still to see.
    GroupRead,
    /// Webhooks of many tenants that read together what they have still to be told.
    Webhooks,
    /// Looking whether the database answers.
    Health,
    /// What everybody may have.
    Quotas,
    /// An operator's command line.
    Operator,
}

/// What PostgreSQL lets a transaction be, so that it sees only its tenant's rows (`migrations::row_security`). SQLite has no such
/// thing: there the filters of the repositories stand alone.
pub(super) struct Roles {
    tenant: String,
    server: String,
}

impl Roles {
    /// Those of this database.
    pub async fn of(connection: &DatabaseConnection) -> Result<Option<Self>, DbErr> {
        if connection.get_database_backend() != DbBackend::Postgres {
            return Ok(None);
        }
        let names = Statement::from_string(DbBackend::Postgres, row_security::names());
        let row = connection.query_one_raw(names).await?.ok_or(DbErr::RecordNotFound("roles".to_owned()))?;
        let quoted = |name: String| format!("\"{}\"", name.replace('"', "\"\""));
        Ok(Some(Self { tenant: quoted(row.try_get_by_index(0)?), server: quoted(row.try_get_by_index(1)?) }))
    }

    /// The role of the server itself, as SQL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The first statements of a transaction.
    fn opening(&self, mode: Mode, tenant: Option<TenantId>) -> String {
        let Self { tenant: role, server } = self;
        let access = if mode == Mode::Read { "SET TRANSACTION READ ONLY; " } else { "" };
        match tenant {
            Some(TenantId(id)) => {
                format!("{access}SET LOCAL ROLE {role}; SET LOCAL app.tenant_id = '{id}'")
            }
            None => format!("{access}SET LOCAL ROLE {server}"),
        }
    }
}

/// A transaction. Dropped without [`Tx::commit`], it never happened.
pub struct Tx {
    inner: DatabaseTransaction,
}

impl Tx {
    /// A transaction of one tenant.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn tenant(store: &Store, tenant: TenantId, mode: Mode) -> Result<Self, DbErr> {
        Self::begin(store, mode, Some(tenant)).await
    }

    /// A transaction of the server itself.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn system(store: &Store, reason: Reason, mode: Mode) -> Result<Self, DbErr> {
        tracing::trace!(?reason, "system transaction");
        Self::begin(store, mode, None).await
    }

    async fn begin(store: &Store, mode: Mode, tenant: Option<TenantId>) -> Result<Self, DbErr> {
        let connection: &DatabaseConnection = match mode {
            Mode::Read => &store.reader,
            Mode::Write => &store.writer,
        };
        let immediate = (store.is_sqlite() && mode == Mode::Write).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        let inner = connection.begin_with_options(options).await?;
        if let Some(roles) = &store.roles {
            // All that there is to say, at once.
            inner.execute_unprepared(&roles.opening(mode, tenant)).await?;
        }
        Ok(Self { inner })
    }

    /// Makes it happen.
    ///
    /// # Errors
    /// When the database cannot commit; then nothing of it happened.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.inner.commit().await
    }

    /// Undoes it, and has the connection free for the next one.
    ///
    /// # Errors
    /// When the database cannot be reached; then nothing of it happened either.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.inner.rollback().await
    }
}

impl Deref for Tx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.inner
    }
}

/// What the kernel needs to know of a database error.
#[must_use]
pub fn classify(error: &DbErr) -> PortError {
    match error {
        DbErr::RecordNotUpdated | DbErr::RecordNotInserted => PortError::Conflict,
        DbErr::Type(_) | DbErr::Json(_) => PortError::Corrupt,
        error if is_unique_violation(error) => PortError::Conflict,
        error => {
            tracing::warn!(%error, "the database failed");
            PortError::Unavailable
        }
    }
}

/// Whether a unique index refused the row.
#[must_use]
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}
