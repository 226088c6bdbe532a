//! People who sign in: users with an address, a password and a role, their invitations and their stays, and the keys that sign
//! their tokens. Tenants that are shut.

use super::m20261101_000001_foundation::{index, key, table};
use super::row_security::{self, Rows, protect};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, binary_null, integer, string, uuid, uuid_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

fn tables() -> [TableCreateStatement; 3] {
    [
        // Stays of at most a few weeks; those of before end with this migration.
        table("sign_ins")
            .col(uuid("tenant_id"))
            .col(uuid("id"))
            .col(uuid_null("key_id"))
            .col(uuid_null("user_id"))
            .col(binary("hash"))
            .col(integer("generation"))
            .col(binary_null("about"))
            .col(big_integer("created_at"))
            .col(big_integer("used_at"))
            .col(big_integer("expires_at"))
            .primary_key(&mut key(&["tenant_id", "id"]))
            .to_owned(),
        table("invitations")
            .col(uuid("tenant_id"))
            .col(uuid("user_id"))
            .col(binary("hash"))
            .col(big_integer("expires_at"))
            .primary_key(&mut key(&["tenant_id", "user_id"]))
            .to_owned(),
        table("signing_keys")
            .col(uuid("id").primary_key())
            .col(binary("public"))
            .col(binary("sealed"))
            .col(big_integer("created_at"))
            .to_owned(),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("sign_ins").to_owned()).await?;
        for table in tables() {
            manager.create_table(table).await?;
        }
        let columns = [
            ("tenants", string("status").default("active").to_owned()),
            ("users", string("status").default("active").to_owned()),
            ("users", string("role").default("operator").to_owned()),
            ("users", binary_null("login").to_owned()),
            ("users", binary_null("email").to_owned()),
            ("users", binary_null("password").to_owned()),
            ("users", binary_null("second_factor").to_owned()),
        ];
        for (table, column) in columns {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        for index in [
            index("sign_ins_hash", "sign_ins", &["hash"], true),
            index("sign_ins_user", "sign_ins", &["tenant_id", "user_id"], false),
            index("invitations_hash", "invitations", &["hash"], true),
            index("users_login", "users", &["login"], true),
        ] {
            manager.create_index(index).await?;
        }
        for text in [
            "CREATE INDEX users_off ON users (id) WHERE status <> 'active'",
            "CREATE INDEX users_leaving ON users (tenant_id, id) WHERE status = 'leaving'",
            "CREATE INDEX tenants_off ON tenants (id) WHERE status <> 'active'",
        ] {
            manager.get_connection().execute_unprepared(text).await?;
        }
        row_security::change_rows(manager, "UPDATE users SET role = 'owner' WHERE name = 'owner'").await?;
        let rows = [("sign_ins", Rows::Owned), ("invitations", Rows::Owned), ("signing_keys", Rows::Servers)];
        protect(manager, &rows).await
    }
}
