//! What users and tenants may have where that is not the default, and what sessions have of it.

use super::m20261101_000001_foundation::{key, table};
use super::row_security::{Rows, protect};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, integer_null, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The user is nil for the tenant itself.
        let quotas = table("quotas")
            .col(uuid("tenant_id"))
            .col(uuid("user_id"))
            .col(big_integer_null("sessions"))
            .col(big_integer_null("messages_per_minute"))
            .col(big_integer_null("storage_bytes"))
            .col(big_integer_null("webhooks"))
            .col(big_integer("version"))
            .primary_key(&mut key(&["tenant_id", "user_id"]))
            .to_owned();
        manager.create_table(quotas).await?;
        // Nobody raises their own.
        protect(manager, &[("quotas", Rows::Kept(&[]))]).await?;
        // Not known of sessions that are there already: how many are in their configs, which are sealed, says the next start.
        for column in [integer_null("webhooks"), big_integer("file_bytes").default(0).to_owned()] {
            let column = Table::alter().table("sessions").add_column(column).to_owned();
            manager.alter_table(column).await?;
        }
        let bytes = "UPDATE sessions SET file_bytes = COALESCE((SELECT SUM(f.size) FROM files f \
                     WHERE f.tenant_id = sessions.tenant_id AND f.session_id = sessions.id), 0)";
        super::row_security::change_rows(manager, bytes).await
    }
}
