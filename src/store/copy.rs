//! The whole database as it stands at one moment, for a backup, and back: SQLite's as a file, PostgreSQL's as rows.

use super::{Store, tx};
use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Postgres};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde::{Deserialize, Serialize};
use std::path::Path;
use wardroom_migrations::{Migrator, MigratorTrait};

/// Bytes of rows that go together.
const PIECE: usize = 4 << 20;

/// A table and its columns, in the order of its rows' fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Theirs.
    pub columns: Vec<String>,
}

impl Table {
    fn fields(&self) -> String {
        self.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn run(connection: &mut PoolConnection<Postgres>, text: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut **connection).await.map(drop)
}

/// PostgreSQL at one moment.
pub struct Copying {
    connection: PoolConnection<Postgres>,
    /// All that there are.
    pub tables: Vec<Table>,
}

impl Copying {
    /// Gives all rows of a table, some at a time and each whole, as `COPY` writes them.
    ///
    /// # Errors
    /// The database's, and those of whoever takes them.
    pub async fn rows(
        &mut self,
        table: &Table,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let text = format!("COPY (SELECT {} FROM {}) TO STDOUT", table.fields(), quoted(&table.name));
        let mut rows = self.connection.copy_out_raw(&text).await?;
        let mut piece = vec![];
        while let Some(row) = rows.next().await {
            piece.extend_from_slice(&row?);
            if piece.len() >= PIECE {
                take(&piece)?;
                piece.clear();
            }
        }
        if piece.is_empty() { Ok(()) } else { take(&piece) }
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish(mut self) -> Result<(), sqlx::Error> {
        run(&mut self.connection, "ROLLBACK".to_owned()).await
    }
}

impl Store {
    /// Whether it is one file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.is_sqlite()
    }

    /// Which migrations made the database what it is.
    #[must_use]
    pub fn migrations() -> Vec<String> {
        Migrator::migrations().iter().map(|one| one.name().to_owned()).collect()
    }

    /// Writes a copy of SQLite's file, which must not be there yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn copy_file(&self, to: &Path) -> anyhow::Result<()> {
        let name = to.to_str().context("the path must be text")?.replace('\'', "''");
        self.reader.execute_unprepared(&format!("VACUUM INTO '{name}'")).await?;
        Ok(())
    }

    /// PostgreSQL as it stands now; what is written from now on is not seen.
    ///
    /// # Errors
    /// The database's.
    pub async fn copy_rows(&self) -> anyhow::Result<Copying> {
        let role = self.roles.as_ref().map(tx::Roles::server).context("this database is a file")?;
        let mut connection = self.reader.get_postgres_connection_pool().acquire().await?;
        run(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned()).await?;
        run(&mut connection, format!("SET LOCAL ROLE {role}")).await?;
        let text = "SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname <> 'seaql_migrations'
             GROUP BY 1 ORDER BY 1";
        let rows: Vec<(String, Vec<String>)> = sqlx::query_as(text).fetch_all(&mut *connection).await?;
        let tables = rows.into_iter().map(|(name, columns)| Table { name, columns }).collect();
        Ok(Copying { connection, tables })
    }
}

/// PostgreSQL that is filled; nothing of it stands before [`Filling::finish`].
pub struct Filling(PoolConnection<Postgres>);

impl Filling {
    /// Begins, on a database that was migrated and has nothing in it.
    ///
    /// # Errors
    /// The database's; when there is something.
    pub async fn begin(database: &DatabaseConnection) -> anyhow::Result<Self> {
        ensure!(is_empty(database).await?, "there is something in this database already");
        let mut connection = database.get_postgres_connection_pool().acquire().await?;
        run(&mut connection, "BEGIN".to_owned()).await?;
        Ok(Self(connection))
    }

    /// Takes rows of a table.
    ///
    /// # Errors
    /// The database's.
    pub async fn rows(&mut self, table: &Table, rows: &[u8]) -> anyhow::Result<()> {
        let name = quoted(&table.name);
        // Whoever owns a table may not fill it like this while its rows are somebody's.
        run(&mut self.0, format!("ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")).await?;
        let mut filling = self.0.copy_in_raw(&format!("COPY {name} ({}) FROM STDIN", table.fields())).await?;
        filling.send(rows).await?;
        filling.finish().await?;
        run(&mut self.0, format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY")).await?;
        Ok(())
    }

    /// Makes it stand.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        Ok(run(&mut self.0, "COMMIT".to_owned()).await?)
    }
}

/// Whether a database that was migrated belongs to nobody yet.
///
/// # Errors
/// The database's.
pub async fn is_empty(database: &DatabaseConnection) -> anyhow::Result<bool> {
    let roles = tx::Roles::of(database).await?.context("this database is a file")?;
    let mut connection = database.get_postgres_connection_pool().acquire().await?;
    run(&mut connection, format!("BEGIN; SET LOCAL ROLE {}", roles.server())).await?;
    let text = "SELECT (SELECT COUNT(*) FROM tenants) + (SELECT COUNT(*) FROM meta)";
    let (found,): (i64,) = sqlx::query_as(text).fetch_one(&mut *connection).await?;
    run(&mut connection, "ROLLBACK".to_owned()).await?;
    Ok(found == 0)
}

/// Whether a file is a whole database of SQLite.
///
/// # Errors
/// The database's; what is wrong with it.
pub async fn check_file(path: &Path) -> anyhow::Result<()> {
    let url = format!("sqlite://{}", path.display());
    let database = Box::pin(sea_orm::Database::connect(url)).await?;
    let text = Statement::from_string(DbBackend::Sqlite, "PRAGMA integrity_check");
    let row = database.query_one_raw(text).await?.context("SQLite says nothing of it")?;
    let said: String = row.try_get_by_index(0)?;
    database.close().await?;
    ensure!(said == "ok", "the database in it is damaged: {said}");
    Ok(())
}
