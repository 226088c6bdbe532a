//! The database. Everything durable but snapshots goes through here.
//!
//! Invariants: [`Tx::tenant`] and [`Tx::system`] are the only doors; every query names its tenant; bodies, names and
//! configs are sealed before they reach a row; all connections live on the `io` runtime.
//!
//! Reading order: [`tx`], `repo/journal.rs` (group commit), the other repositories, one per port.

pub mod copy;
mod entity;
pub mod repo;
#[cfg(test)]
pub(crate) mod testing;
mod tx;

// Nobody else opens a transaction.
use tx::{Mode, Reason, Tx, classify, is_unique_violation};

use crate::vault::{Kind, Label, Sealed, Vault};
use dashmap::DashMap;
use repo::gather::Gather;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::{ActiveValue::Set, ConnectOptions, Database, DatabaseConnection, DbBackend, DbErr, EntityTrait};
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use wardroom_actors::domain::ids::{NodeId, SessionKey, TenantId, UserId};
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::{BoxFuture, PortError};
use wardroom_migrations::{Migrator, MigratorTrait, row_security};

/// Why the store cannot be used at all. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database does not answer, or refuses.
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbErr),
    /// It was made by a newer server.
    #[error(
        "the database was migrated by a newer Wardroom ({0} is not known here): run that version, or restore a backup"
    )]
    Newer(String),
    /// Its sealed data belongs to another master key.
    #[error(transparent)]
    Kek(#[from] crate::vault::KekError),
}

/// What can go wrong inside a repository.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbErr),
    /// A sealed column.
    #[error(transparent)]
    Sealed(#[from] Sealed),
    /// The row is not there, or belongs to another owner by now.
    #[error("the row is gone")]
    Gone,
    /// The row says something that this version does not understand.
    #[error("the row cannot be understood")]
    Strange,
}

impl From<Failure> for PortError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Db(error) => classify(&error),
            Failure::Sealed(_) | Failure::Strange => Self::Corrupt,
            Failure::Gone => Self::Conflict,
        }
    }
}

/// Where the database is and how it is used.
#[derive(Clone)]
pub struct Options {
    /// `sqlite://…` or `postgres://…`
    pub url: String,
    /// Connections of the pool.
    pub max_connections: u32,
}

/// Prepared statements that a connection to SQLite keeps.
const STATEMENTS: usize = 24;

/// Pages in SQLite's log at which a commit moves them into the file, and all others wait for the disk: the more, the seldomer each
/// page is moved. The log stays as large as it ever was, 32 MB.
const LOG: &str = "8000";
/// Pages that a connection to SQLite keeps, in KiB (negative by its rule). A reader's are worth nothing after the next commit; many
/// of them would only be memory that fills slowly.
const WRITER_CACHE: &str = "-2000";
const READER_CACHE: &str = "-256";

/// By which the master key is known again.
const KEK_CHECK: &str = "kek_check";

/// Who opens a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one server of a node.
    Server,
    /// A command line beside it.
    Operator,
}

/// What all repositories share.
pub struct Inner {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    roles: Option<tx::Roles>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    io: tokio::runtime::Handle,
    node: NodeId,
    epoch: i64,
    /// Last place given out in the journal.
    journal_seq: AtomicI64,
    /// Places up to here may have been given out, whatever is left of them; the next start begins above.
    journal_reserved: AtomicI64,
    /// Last place given out in the outbox.
    outbox_seq: AtomicI64,
    /// Whose each session is, as far as that was needed.
    owners: DashMap<SessionKey, UserId>,
    /// Whose keys are, by hash, and until when that is taken for granted.
    known_keys: DashMap<Vec<u8>, (repo::identity::Holder, u64)>,
    /// Who the people are that stay, by stay, and until when that is taken for granted.
    known_stays: DashMap<uuid::Uuid, (repo::identity::Holder, u64)>,
    /// When keys were last used, as far as it was noted.
    key_uses: DashMap<uuid::Uuid, i64>,
    /// The server's own secrets.
    own: OnceLock<repo::own::Own>,
    /// Where audit chains end, as far as something was recorded.
    chain_ends: DashMap<TenantId, repo::audit::Edge>,
    /// Which master key was seen to take the place of the one before.
    coming_kek: Mutex<Option<uuid::Uuid>>,
    /// What chats have still to see, as far as it need not be read.
    unseen: repo::journal::Unseen,
    /// What webhooks have still to be told, as far as it need not be read.
    recent: repo::recent::Recent,
    /// Who reads for agents.
    readers: Gather<repo::agents::Reading>,
    /// Who writes their steps.
    agents: Gather<repo::agents::Writing>,
    /// Who finds out whose keys are.
    holders: Gather<repo::identity::Keys>,
    /// Who reads outgoing messages.
    queues: Gather<repo::outbox::Waiting>,
    /// Who writes outgoing messages and what becomes of them.
    changes: Gather<repo::outbox::Changing>,
    /// Who reads for webhooks.
    lanes: Gather<repo::deliveries::Reading>,
    /// Who writes what became of their events.
    settling: Gather<repo::deliveries::Settling>,
    /// Who is told that a session's rows are gone.
    purged: OnceLock<Box<dyn Fn(SessionKey) + Send + Sync>>,
    /// Who is told that webhooks have something to be told.
    bell: OnceLock<Arc<dyn repo::deliveries::LaneBell>>,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Deref for Store {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Store {
    /// Connects, without changing anything.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn connect(options: &Options) -> Result<(DatabaseConnection, DatabaseConnection), DbErr> {
        let memory = options.url.contains(":memory:");
        let mut writer = ConnectOptions::new(options.url.clone());
        writer.sqlx_logging(false).acquire_timeout(Duration::from_secs(5));
        let options_of = |cache: &'static str| {
            move |sqlite: SqliteConnectOptions| {
                let wal = sqlite.create_if_missing(true).pragma("journal_mode", "WAL").pragma("synchronous", "FULL");
                let wal = wal.pragma("wal_autocheckpoint", LOG).pragma("cache_size", cache);
                // A statement of many rows keeps what it would have to take back: not in a file beside everybody's, made and
                // removed for each group.
                let wal = wal.pragma("temp_store", "MEMORY");
                // Statements of many rows are large, and each connection would keep a hundred; see `repo::sizes`.
                let wal = wal.statement_cache_capacity(STATEMENTS);
                wal.pragma("busy_timeout", "5000").pragma("foreign_keys", "ON").pragma("secure_delete", "ON")
            }
        };
        writer.map_sqlx_sqlite_opts(options_of(WRITER_CACHE));
        // A transaction that SQLite ends by itself (disk full) leaves the driver's count of open ones wrong; the connection
        // would then read an old snapshot for ever.
        writer.map_sqlx_sqlite_before_acquire(|connection, _| {
            let sound = !sea_orm::sqlx::Connection::is_in_transaction(connection);
            Box::pin(std::future::ready(Ok(sound)))
        });
        let sqlite = options.url.starts_with("sqlite:");
        // A file does not go away; a server does, and its connections have to be tried.
        writer.test_before_acquire(!sqlite);
        // One writer: SQLite has no more, and in memory each connection would be a database of its own.
        let mut reader = writer.clone();
        reader.map_sqlx_sqlite_opts(options_of(READER_CACHE));
        writer.max_connections(if sqlite { 1 } else { options.max_connections });
        reader.max_connections(options.max_connections);
        if sqlite {
            // All are there from the start and stay: memory does not creep up, and what is in memory is not lost.
            reader.min_connections(options.max_connections);
            for pool in [&mut writer, &mut reader] {
                pool.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
            }
            writer.min_connections(1);
        }
        let writer = Box::pin(Database::connect(writer)).await?;
        let reader = if sqlite && !memory { Box::pin(Database::connect(reader)).await? } else { writer.clone() };
        Ok((writer, reader))
    }

    /// Migrates to this version's schema.
    ///
    /// # Errors
    /// [`OpenError`]; a database of a newer version is left alone.
    pub async fn migrate(writer: &DatabaseConnection) -> Result<usize, OpenError> {
        let known: Vec<_> = Migrator::migrations().iter().map(|one| one.name().to_owned()).collect();
        if let Ok(applied) = Migrator::get_migration_models(writer).await
            && let Some(stranger) = applied.iter().find(|one| !known.contains(&one.version))
        {
            return Err(OpenError::Newer(stranger.version.clone()));
        }
        let pending = Migrator::get_pending_migrations(writer).await?.len();
        row_security::roles(writer).await?;
        Migrator::up(writer, None).await?;
        Ok(pending)
    }

    /// Opens the store: migrates, checks the master key. A server also counts this start of the node and takes over the
    /// node's sessions; an operator's command leaves them to the server that may be running.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        options: &Options,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        node: NodeId,
        role: Role,
    ) -> Result<Self, OpenError> {
        let (writer, reader) = Self::connect(options).await?;
        Self::migrate(&writer).await?;
        let roles = tx::Roles::of(&writer).await?;
        let io = tokio::runtime::Handle::current();
        let inner = Inner {
            writer,
            reader,
            roles,
            vault,
            clock,
            io,
            node,
            epoch: 0,
            journal_seq: AtomicI64::new(0),
            journal_reserved: AtomicI64::new(0),
            outbox_seq: AtomicI64::new(0),
            owners: DashMap::new(),
            known_keys: DashMap::new(),
            known_stays: DashMap::new(),
            own: OnceLock::new(),
            key_uses: DashMap::new(),
            chain_ends: DashMap::new(),
            coming_kek: Mutex::new(None),
            unseen: repo::journal::Unseen::default(),
            recent: repo::recent::Recent::default(),
            readers: Gather::new(),
            agents: Gather::new(),
            holders: Gather::new(),
            queues: Gather::new(),
            changes: Gather::new(),
            lanes: Gather::new(),
            settling: Gather::new(),
            purged: OnceLock::new(),
            bell: OnceLock::new(),
        };
        let mut store = Self(Arc::new(inner));
        store.check_kek().await?;
        let _ = store.own.set(repo::own::load(&store).await?);
        if role == Role::Operator {
            return Ok(store);
        }
        let epoch = repo::node::begin_epoch(&store).await?;
        let last = repo::node::last_journal_seq(&store).await?;
        store.journal_seq.store(last, Ordering::Release);
        store.journal_reserved.store(last, Ordering::Release);
        store.outbox_seq.store(repo::node::last_outbox_id(&store).await?, Ordering::Release);
        if let Some(inner) = Arc::get_mut(&mut store.0) {
            inner.epoch = epoch;
        }
        repo::node::take_sessions(&store).await?;
        Ok(store)
    }

    /// Closes all connections; what was committed is in the file.
    pub async fn close(&self) {
        let _ = self.writer.clone().close().await;
        let _ = self.reader.clone().close().await;
    }

    fn is_sqlite(&self) -> bool {
        self.writer.get_database_backend() == DbBackend::Sqlite
    }

    /// Runs on the `io` runtime, whoever awaits it.
    fn on_io<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, PortError>> {
        let task = self.io.spawn(work);
        Box::pin(async move { task.await.map_err(|_| PortError::Unavailable)?.map_err(PortError::from) })
    }

    /// The store's wall clock, Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        self.clock.unix_ms()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Health, Mode::Read).await?;
            entity::meta::Entity::find_by_id(KEK_CHECK.to_owned()).one(&*tx).await?;
            Ok(())
        })
        .await
    }

    /// From now on `hear` is told of every session whose rows are gone, so that what lies elsewhere can go, too.
    pub fn hear_purges(&self, hear: impl Fn(SessionKey) + Send + Sync + 'static) {
        let _ = self.purged.set(Box::new(hear));
    }

    /// Runs a task beside everything else on the store's runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.io.spawn(task);
    }

    fn next_outbox_id(&self) -> i64 {
        self.outbox_seq.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn now(&self) -> i64 {
        self.unix_ms()
    }

    /// Makes sure that the user's data key is in the ring; [`Failure::Gone`] when it was destroyed.
    async fn need_dek(&self, tx: &Tx, tenant: TenantId, user: UserId) -> Result<(), Failure> {
        if !self.vault.knows(tenant, user) {
            let row = entity::users::Entity::find_by_id((tenant.0, user.0)).one(&**tx).await?;
            let row = row.filter(|row| !row.dek.is_empty()).ok_or(Failure::Gone)?;
            self.vault.admit(tenant, user, &row.dek)?;
        }
        Ok(())
    }

    fn label(tenant: TenantId, user: UserId, kind: Kind, item: impl ToString) -> Label {
        Label { tenant, user, kind, item: item.to_string() }
    }

    async fn check_kek(&self) -> Result<(), OpenError> {
        let tx = Tx::system(self, Reason::Boot, Mode::Write).await?;
        match self.learn_handover(&tx).await {
            Ok(()) => {}
            Err(Failure::Db(error)) => return Err(error.into()),
            Err(_) => return Err(crate::vault::KekError::Wrong.into()),
        }
        match entity::meta::Entity::find_by_id(KEK_CHECK.to_owned()).one(&*tx).await? {
            Some(row) if self.vault.check(&row.value) => Ok(()),
            Some(_) => Err(self.wrong_kek(&tx).await?.into()),
            None => {
                let value = self.vault.check_value();
                let row = entity::meta::ActiveModel { key: Set(KEK_CHECK.into()), value: Set(value) };
                entity::meta::Entity::insert(row).exec_without_returning(&*tx).await?;
                Ok(tx.commit().await?)
            }
        }
    }
}

#[cfg(test)]
mod conformance;
