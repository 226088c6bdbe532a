//! PostgreSQL's row-level security, asked with statements that name no tenant, as the roles that the server becomes.

use super::{Ground, Postgres, real};
use crate::store::{Mode, Reason, Store, Tx};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};
use wardroom_actors::domain::ids::TenantId;

/// Tables that belong to no tenant.
const SERVERS: &[&str] = &["meta", "nodes", "signing_keys", "tenants"];

async fn rows(connection: &impl ConnectionTrait, text: &str) -> Vec<QueryResult> {
    connection.query_all_raw(Statement::from_string(DbBackend::Postgres, text)).await.unwrap()
}

async fn count(connection: &impl ConnectionTrait, text: &str) -> i64 {
    rows(connection, &format!("SELECT COUNT(*) FROM {text}")).await[0].try_get_by_index(0).unwrap()
}

async fn refused(tx: Tx, text: &str) -> String {
    let refused = tx.execute_unprepared(text).await.unwrap_err().to_string();
    tx.rollback().await.unwrap();
    refused
}

async fn tables(store: &Store) -> Vec<String> {
    let text = "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') \
                AND relnamespace = current_schema()::regnamespace AND relname <> 'seaql_migrations'";
    rows(&store.writer, text).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// A tenant in whose tables something stands.
async fn tenant(ground: &Ground) -> TenantId {
    let one = ground.session("s").await;
    ground.record(&one, "a", "10@c.us", None, 1).await;
    ground
        .store
        .as_ref()
        .unwrap()
        .add_key(ground.tenant, ground.user, &ground.tenant.0.to_string(), true)
        .await
        .unwrap();
    ground.tenant
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_says_whose_its_rows_are() {
    let postgres = Postgres::start().await;
    let store = real(&postgres.plain().await).await.store.unwrap();
    for table in tables(&store).await {
        let facts = rows(
            &store.writer,
            &format!(
                "SELECT c.relrowsecurity AND c.relforcerowsecurity AS forced,
                     EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS owned,
                     (SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid
                         AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisprimary) AS led_by,
                     ARRAY(SELECT roles[1]::text || ': ' || qual FROM pg_policies p WHERE p.tablename = c.relname
                         AND cmd = 'ALL' AND permissive = 'PERMISSIVE' AND with_check IS NULL ORDER BY 1) AS policies
                 FROM pg_class c WHERE c.oid = '{table}'::regclass"
            ),
        )
        .await
        .remove(0);
        assert!(facts.try_get::<bool>("", "forced").unwrap(), "{table}: forced");
        let policies: Vec<String> = facts.try_get("", "policies").unwrap();
        let of = |column: &str| {
            format!(
                "the house_tenant: ({column} = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)"
            )
        };
        let every = "the house_server: true".to_owned();
        if facts.try_get::<bool>("", "owned").unwrap() {
            assert_eq!(policies, [every, of("tenant_id")], "{table}");
            assert_eq!(facts.try_get::<String>("", "led_by").unwrap(), "tenant_id", "{table}");
        } else {
            assert!(SERVERS.contains(&table.as_str()), "{table} is nobody's");
            assert_eq!(policies, if table == "tenants" { vec![every, of("id")] } else { vec![every] }, "{table}");
        }
    }
    let roles = "pg_roles WHERE rolname LIKE 'the house%' AND NOT rolsuper AND NOT rolbypassrls AND NOT rolcanlogin";
    assert_eq!(count(&store.writer, roles).await, 2);
    assert_eq!(count(&store.writer, "pg_tables WHERE tableowner LIKE 'the house%'").await, 0, "they own nothing");
    let member = "SELECT pg_has_role('the house_tenant', 'the house_server', 'MEMBER')";
    assert!(!rows(&store.writer, member).await[0].try_get_by_index::<bool>(0).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_forgets_its_tenant_finds_only_its_own() {
    let postgres = Postgres::start().await;
    let url = postgres.plain().await;
    let ground = real(&url).await;
    let (one, other) = (tenant(&ground).await, tenant(&real(&url).await).await);
    let store = ground.store.unwrap();
    for table in tables(&store).await.iter().filter(|table| !SERVERS.contains(&table.as_str())) {
        let tx = Tx::tenant(&store, one, Mode::Read).await.unwrap();
        assert_eq!(count(&*tx, &format!("{table} WHERE tenant_id <> '{}'", one.0)).await, 0, "{table}");
        let own = count(&*tx, table).await;
        tx.rollback().await.unwrap();
        let tx = Tx::system(&store, Reason::Boot, Mode::Read).await.unwrap();
        let all = count(&*tx, table).await;
        assert_eq!((own, all), if all == 0 { (0, 0) } else { (all / 2, all) }, "{table}");
        tx.rollback().await.unwrap();
        // Within the tenant's role, but without saying which tenant: on a connection that said it before.
        let tx = Tx::tenant(&store, one, Mode::Read).await.unwrap();
        tx.execute_unprepared("RESET app.tenant_id").await.unwrap();
        assert_eq!(count(&*tx, table).await, 0, "{table}");
        tx.rollback().await.unwrap();
    }
    let write = async || Tx::tenant(&store, one, Mode::Write).await.unwrap();
    let tx = write().await;
    for text in ["UPDATE sessions SET name = 'mine'", "DELETE FROM journal", "DELETE FROM users"] {
        let changed = tx.execute_unprepared(&format!("{text} WHERE tenant_id = '{}'", other.0)).await.unwrap();
        assert_eq!(changed.rows_affected(), 0, "{text}");
    }
    tx.rollback().await.unwrap();
    let moved = format!("UPDATE api_keys SET tenant_id = '{}'", other.0);
    assert!(refused(write().await, &moved).await.contains("row-level security"));
    let made = format!("INSERT INTO chat_aliases VALUES ('{0}', '{0}', 'x@c.us', '{0}')", other.0);
    assert!(refused(write().await, &made).await.contains("row-level security"));
    for table in ["meta", "nodes"] {
        assert!(refused(write().await, &format!("SELECT * FROM {table}")).await.contains("permission denied"));
    }
    assert!(refused(write().await, "UPDATE tenants SET name = 'x'").await.contains("permission denied"));
    let tx = write().await;
    assert_eq!(count(&*tx, "tenants").await, 1);
    tx.rollback().await.unwrap();
    // What a transaction was ends with it.
    let login = rows(&store.writer, "SELECT current_user::text, current_setting('app.tenant_id', true)").await;
    assert_eq!(login[0].try_get_by_index::<String>(0).unwrap(), "keeper");
    assert_ne!(login[0].try_get_by_index::<Option<String>>(1).unwrap(), Some(one.0.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_lost_its_protection_is_noticed() {
    let postgres = Postgres::start().await;
    let ground = real(&postgres.plain().await).await;
    tenant(&ground).await;
    let store = ground.store.unwrap();
    let leaking = async |change: &str| {
        store.writer.execute_unprepared(change).await.unwrap();
        store.leaking_tables().await.unwrap()
    };
    for (change, found) in [
        ("SELECT 1", vec![]),
        ("ALTER TABLE journal DISABLE ROW LEVEL SECURITY", vec!["journal"]),
        ("CREATE POLICY anybody ON api_keys FOR SELECT USING (true)", vec!["api_keys", "journal"]),
        ("ALTER TABLE journal ENABLE ROW LEVEL SECURITY", vec!["api_keys"]),
        ("DROP POLICY anybody ON api_keys", vec![]),
    ] {
        assert_eq!(leaking(change).await, found, "{change}");
    }
}
