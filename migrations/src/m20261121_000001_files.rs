//! Files that messages carry: what is stored, and which message carries what.

use super::m20261101_000001_foundation::{index, key, table};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, string, uuid, uuid_null};

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

#[async_trait::async_trait]
impl MigrationTrait for Migration {
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
        let column = Table::alter().table("outbox").add_column(uuid_null("file_id")).to_owned();
        manager.alter_table(column).await
    }
}
