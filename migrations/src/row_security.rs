//! PostgreSQL's row-level security: what a transaction of a tenant can see, also where a statement forgets whose it is.
//!
//! Two roles that nobody can log in as, named after the database. A transaction of a tenant becomes `<database>_tenant` and
//! says in `app.tenant_id` which; one of the server itself becomes `<database>_server`. The security is forced, so a migration
//! that moves rows has to become the server, too. SQLite has none of this.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// The name of a role, as SQL: what the policies that there are say, or else after the database, which may have had another name
/// when they were made.
fn role(policy: &str, suffix: &str) -> String {
    format!(
        "coalesce((SELECT roles[1]::text FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'tenants' \
         AND policyname = '{policy}'), current_database() || '{suffix}')"
    )
}

fn tenant_role() -> String {
    role("own", "_tenant")
}

fn server_role() -> String {
    role("every", "_server")
}

/// A statement that answers the names of both roles, the tenant's first.
#[must_use]
pub fn names() -> String {
    format!("SELECT {}, {}", tenant_role(), server_role())
}

/// Makes the roles where they are missing, and lets the login become them. To be done at each start: a dump that was restored
/// elsewhere brought no rights along.
///
/// # Errors
/// The database's, above all where the login has no `CREATEROLE`.
pub async fn roles<C: ConnectionTrait>(connection: &C) -> Result<(), DbErr> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let (tenant, server) = (tenant_role(), server_role());
    let text = format!(
        "DO $$
         DECLARE
             name text;
             right_to_be text := CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END;
         BEGIN
             FOREACH name IN ARRAY ARRAY[{tenant}, {server}] LOOP
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                     EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', name);
                 END IF;
                 IF NOT pg_has_role(current_user, name, right_to_be) THEN
                     EXECUTE format('GRANT %I TO CURRENT_USER', name);
                 END IF;
                 IF NOT has_schema_privilege(name, current_schema(), 'USAGE') THEN
                     EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
                 END IF;
             END LOOP;
         END
         $$"
    );
    connection.execute_unprepared(&text).await?;
    Ok(())
}

/// What a table's rows are to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those with its `tenant_id` are its own.
    Owned,
    /// The same, to look at; of a row that is there only these columns change.
    Kept(&'static [&'static str]),
    /// The row of its id is it, to look at.
    Itself,
    /// Nothing.
    Servers,
}

/// Says whose the rows of these tables are. Every table that a migration makes has to pass here.
pub(crate) async fn protect(manager: &SchemaManager<'_>, tables: &[(&str, Rows)]) -> Result<(), DbErr> {
    if manager.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let (tenant, server) = (tenant_role(), server_role());
    for (table, rows) in tables {
        let own = match rows {
            Rows::Owned => Some(("SELECT, INSERT, UPDATE, DELETE".to_owned(), "tenant_id")),
            Rows::Kept([]) => Some(("SELECT".to_owned(), "tenant_id")),
            Rows::Kept(columns) => Some((format!("SELECT, UPDATE ({})", columns.join(", ")), "tenant_id")),
            Rows::Itself => Some(("SELECT".to_owned(), "id")),
            Rows::Servers => None,
        };
        // An unset setting is NULL, one that was set in an earlier transaction of the connection is empty: neither is a tenant.
        let own = own.map_or_else(String::new, |(rights, column)| {
            format!(
                "EXECUTE format('GRANT {rights} ON {table} TO %I', tenant);
                 EXECUTE format('CREATE POLICY own ON {table} TO %I USING \
                 ({column} = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)', tenant);"
            )
        });
        let text = format!(
            "DO $$
             DECLARE
                 tenant text := {tenant};
                 server text := {server};
             BEGIN
                 ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
                 {own}
                 EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO %I', server);
                 EXECUTE format('CREATE POLICY every ON {table} TO %I USING (true)', server);
             END
             $$"
        );
        manager.get_connection().execute_unprepared(&text).await?;
    }
    Ok(())
}

/// Runs a statement that changes rows of tables that are protected already.
pub(crate) async fn change_rows(manager: &SchemaManager<'_>, statement: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if manager.get_database_backend() != DbBackend::Postgres {
        connection.execute_unprepared(statement).await?;
        return Ok(());
    }
    let server = server_role();
    let text = format!(
        "DO $$
         BEGIN
             EXECUTE format('SET LOCAL ROLE %I', {server});
             {statement};
             RESET ROLE;
         END
         $$"
    );
    connection.execute_unprepared(&text).await?;
    Ok(())
}
