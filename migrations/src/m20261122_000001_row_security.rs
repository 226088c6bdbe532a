//! Row-level security for all tables that there are.

use super::row_security::{Rows, protect, roles};
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[(&str, Rows)] = &[
    ("agent_state", Rows::Owned),
    ("api_keys", Rows::Owned),
    ("attachments", Rows::Owned),
    ("chat_aliases", Rows::Owned),
    ("chats", Rows::Owned),
    ("dead_letters", Rows::Owned),
    ("files", Rows::Owned),
    ("journal", Rows::Owned),
    ("outbox", Rows::Owned),
    ("sessions", Rows::Owned),
    ("sign_ins", Rows::Owned),
    ("users", Rows::Owned),
    ("tenants", Rows::Itself),
    ("meta", Rows::Servers),
    ("nodes", Rows::Servers),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        roles(manager.get_connection()).await?;
        protect(manager, TABLES).await
    }
}
