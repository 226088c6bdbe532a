//! Whether tenants are still apart: somebody who changes the database by hand may take a policy away.

use crate::store::{Mode, Store, Tx};
use sea_orm::{ConnectionTrait, Statement};
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::PortError;

/// Tables of PostgreSQL with rows of tenants.
const TABLES: &str = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                      AND a.attname = 'tenant_id' WHERE c.relkind IN ('r', 'p') \
                      AND c.relnamespace = current_schema()::regnamespace ORDER BY 1";

impl Store {
    /// Tables in which a tenant that does not exist finds something, when it asks for all there is. SQLite has no protection of its
    /// own that could be lost.
    ///
    /// # Errors
    /// The database's.
    pub async fn leaking_tables(&self) -> Result<Vec<String>, PortError> {
        if self.is_sqlite() {
            return Ok(vec![]);
        }
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, TenantId::generate(), Mode::Read).await?;
            let backend = tx.get_database_backend();
            let mut leaking = vec![];
            for row in tx.query_all_raw(Statement::from_string(backend, TABLES)).await? {
                let table: String = row.try_get_by_index(0)?;
                let any = Statement::from_string(backend, format!("SELECT 1 FROM \"{table}\" LIMIT 1"));
                if tx.query_one_raw(any).await?.is_some() {
                    leaking.push(table);
                }
            }
            Ok(leaking)
        })
        .await
    }
}
