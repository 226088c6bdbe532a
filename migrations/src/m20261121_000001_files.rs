//! Files that messages carry: what is stored, and which message carries what. Keys that may do less than others.

use super::m20261101_000001_foundation::{index, key, table};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, binary, binary_null, boolean, integer, string, uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

fn tables() -> [TableCreateStatement; 2] {
    [
        table("files")
            .col(uuid("tenant_id"))
            .col(uuid("session_id"))
            .col(uuid("id"))
            .col(binary("fingerprint"))
            .col(big_integer("size"))
            .col(big_integer("used_at"))
            .primary_key(&mut key(&["tenant_id", "session_id", "id"]))
            .to_owned(),
        table("attachments")
            .col(uuid("tenant_id"))
            .col(uuid("session_id"))
            .col(string("message_id"))
            .col(uuid("file_id"))
            .primary_key(&mut key(&["tenant_id", "session_id", "message_id"]))
            .to_owned(),
    ]
}

/// A session has one key of each kind that follows from it.
const DERIVED: &str =
    "CREATE UNIQUE INDEX api_keys_derived ON api_keys (tenant_id, session_id, kind) WHERE kind <> 'plain'";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        manager
            .create_index(index("files_content", "files", &["tenant_id", "session_id", "fingerprint"], true))
            .await?;
        manager.create_index(index("files_used", "files", &["used_at"], false)).await?;
        manager
            .create_index(index("attachments_file", "attachments", &["tenant_id", "session_id", "file_id"], false))
            .await?;
        // A message that has not left needs its file.
        let mut columns = vec![Table::alter().table("outbox").add_column(uuid_null("file_id")).to_owned()];
        // The keys that are there may do what they could, and a key of a session was never made.
        let of_keys = [
            string("kind").default("plain").to_owned(),
            uuid_null("session_id").to_owned(),
            boolean("is_active").default(true).to_owned(),
            integer("actions").default(63).to_owned(),
            big_integer_null("last_used_at").to_owned(),
            binary_null("old_hash").to_owned(),
            big_integer_null("old_until").to_owned(),
        ];
        columns.extend(of_keys.map(|column| Table::alter().table("api_keys").add_column(column).to_owned()));
        for column in columns {
            manager.alter_table(column).await?;
        }
        manager.create_index(index("api_keys_old_hash", "api_keys", &["old_hash"], false)).await?;
        manager.get_connection().execute_unprepared(DERIVED).await?;
        Ok(())
    }
}
