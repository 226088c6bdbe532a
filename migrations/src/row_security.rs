//! PostgreSQL's row-level security: what a transaction of a tenant can see, whatever its statement says.
//!
//! Two roles that nobody can log in as, named after the database. A transaction of a tenant becomes `<database>_tenant` and
//! says in `app.tenant_id` which; one of the server itself becomes `<database>_server`. SQLite has none of this.

use sea_orm_migration::prelude::*;

/// Roles, and the right of the login to become them.
const ROLES: &str = "
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[current_database() || '_tenant', current_database() || '_server'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', name);
        END IF;
        IF NOT pg_has_role(current_user, name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
    END LOOP;
END
$$";

/// What a table's rows are to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those with its `tenant_id` are its own.
    Owned,
    /// The row of its id is it, to look at.
    Itself,
    /// Nothing.
    Servers,
}

/// Makes the roles.
pub(crate) async fn roles(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.get_database_backend() == sea_orm_migration::sea_orm::DbBackend::Postgres {
        manager.get_connection().execute_unprepared(ROLES).await?;
    }
    Ok(())
}

/// Says whose the rows of these tables are. Every table that a migration makes has to pass here.
pub(crate) async fn protect(manager: &SchemaManager<'_>, tables: &[(&str, Rows)]) -> Result<(), DbErr> {
    if manager.get_database_backend() != sea_orm_migration::sea_orm::DbBackend::Postgres {
        return Ok(());
    }
    for (table, rows) in tables {
        // An unset setting is NULL, one that was set in an earlier transaction of the connection is empty: neither is a tenant.
        let tenant = "nullif(current_setting(''app.tenant_id'', true), '''')::uuid";
        let (rights, column) = match rows {
            Rows::Owned => ("SELECT, INSERT, UPDATE, DELETE", "tenant_id"),
            Rows::Itself => ("SELECT", "id"),
            Rows::Servers => ("", ""),
        };
        let own = if rights.is_empty() {
            String::new()
        } else {
            format!(
                "EXECUTE format('GRANT {rights} ON {table} TO %I', current_database() || '_tenant');
                 EXECUTE format('CREATE POLICY own ON {table} TO %I USING ({column} = {tenant})', \
                 current_database() || '_tenant');"
            )
        };
        let text = format!(
            "DO $$ BEGIN
                 ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
                 {own}
                 EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO %I', current_database() || '_server');
                 EXECUTE format('CREATE POLICY every ON {table} TO %I USING (true)', current_database() || '_server');
             END $$"
        );
        manager.get_connection().execute_unprepared(&text).await?;
    }
    Ok(())
}
