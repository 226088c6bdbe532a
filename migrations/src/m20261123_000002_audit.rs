//! Who did what: records in a chain for each tenant, and one for the server itself, whose tenant is nil.

use super::m20261101_000001_foundation::{key, table};
use super::row_security::{Rows, protect};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, binary_null, string, uuid, uuid_null};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

fn tables() -> [TableCreateStatement; 2] {
    [
        table("audit")
            .col(uuid("tenant_id"))
            .col(big_integer("seq"))
            .col(big_integer("at"))
            .col(uuid_null("user_id"))
            .col(string("record"))
            .col(binary_null("personal"))
            .col(binary_null("proof"))
            .col(binary("hash"))
            .col(binary("signature"))
            .primary_key(&mut key(&["tenant_id", "seq"]))
            .to_owned(),
        table("audit_heads")
            .col(uuid("tenant_id"))
            .col(big_integer("seq"))
            .col(binary("hash"))
            .col(big_integer("base"))
            .col(binary_null("base_hash"))
            .col(binary_null("base_signature"))
            .primary_key(&mut key(&["tenant_id"]))
            .to_owned(),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        if manager.get_database_backend() == DbBackend::Sqlite {
            // PostgreSQL gives the right to none of this to a tenant's role; here it takes a statement that means it.
            for text in [
                "CREATE TRIGGER audit_kept BEFORE UPDATE OF tenant_id, seq, at, user_id, record, proof, hash, signature ON audit
                 BEGIN SELECT RAISE(ABORT, 'audit records do not change'); END",
                "CREATE TRIGGER audit_begins BEFORE DELETE ON audit WHEN OLD.seq >
                 (SELECT base FROM audit_heads h WHERE h.tenant_id = OLD.tenant_id)
                 BEGIN SELECT RAISE(ABORT, 'audit records go from the beginning'); END",
            ] {
                manager.get_connection().execute_unprepared(text).await?;
            }
        }
        let rows = [("audit", Rows::Kept(&["personal"])), ("audit_heads", Rows::Kept(&[]))];
        protect(manager, &rows).await
    }
}
