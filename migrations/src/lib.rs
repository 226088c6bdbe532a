//! The database schema, forward only. SQLite and PostgreSQL run the same migrations.
//!
//! Rules: every table's key is led by `tenant_id` (but for what belongs to no tenant: `meta`, `nodes`, `tenants`); times are
//! Unix milliseconds; sealed columns are binary; whose a table's rows are says `row_security::protect`; a migration that has been
//! released is never edited.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261101_000001_foundation;
mod m20261121_000001_files;
mod m20261122_000001_row_security;
mod m20261123_000001_people;
mod m20261123_000002_audit;
mod m20261124_000001_quotas;
mod m20261125_000001_hosts;
pub mod row_security;

/// All migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261101_000001_foundation::Migration),
            Box::new(m20261121_000001_files::Migration),
            Box::new(m20261122_000001_row_security::Migration),
            Box::new(m20261123_000001_people::Migration),
            Box::new(m20261123_000002_audit::Migration),
            Box::new(m20261124_000001_quotas::Migration),
            Box::new(m20261125_000001_hosts::Migration),
        ]
    }
}
