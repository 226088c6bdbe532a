//! What PostgreSQL's row-level security costs: a page of one tenant's rows with it, without it, and asked for in one statement by
//! somebody who may see everything.

use super::median;
use crate::postgres::Postgres;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::Map;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wardroom::clock::SystemClock;
use wardroom::store::repo::audit::Fact;
use wardroom::store::{Options, Role, Store};
use wardroom::vault::{Kek, Vault};
use wardroom_actors::domain::ids::{NodeId, TenantId};

const TENANTS: usize = 50;
const ROWS: usize = 2_000;
const PAGE: u64 = 20;
const CLIENTS: usize = 8;
/// How long each way is asked for in a round, and rounds.
const TIME: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

/// Pages a second, and the median of how long one takes, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    pub per_second: f64,
    pub us: f64,
}

/// Medians of all rounds.
#[derive(Debug)]
pub struct Cost {
    /// As the server reads.
    pub with: Pages,
    /// The same with the policies switched off.
    pub without: Pages,
    /// One statement outside of any transaction.
    pub plain: Pages,
}

async fn pages<F: Future<Output = ()> + Send>(ask: impl Fn(usize) -> F + Clone + Send + 'static) -> Pages {
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let ask = ask.clone();
        let client = async move {
            let mut times = vec![];
            for n in 0.. {
                if begun.elapsed() > TIME {
                    break;
                }
                let asked = Instant::now();
                ask(client + n * CLIENTS).await;
                times.push(asked.elapsed().as_secs_f64() * 1e6);
            }
            times
        };
        tokio::spawn(Box::pin(client))
    });
    let mut all = vec![];
    for client in clients.collect::<Vec<_>>() {
        all.extend(client.await.unwrap());
    }
    Pages { per_second: all.len() as f64 / begun.elapsed().as_secs_f64(), us: median(all) }
}

async fn page_of(keeper: &DatabaseConnection, tenant: TenantId) {
    let text = "SELECT * FROM audit WHERE tenant_id = $1 ORDER BY seq DESC LIMIT $2";
    let values = [tenant.0.into(), PAGE.cast_signed().into()];
    let asked = Statement::from_sql_and_values(DbBackend::Postgres, text, values);
    assert_eq!(keeper.query_all_raw(asked).await.unwrap().len(), usize::try_from(PAGE).unwrap());
}

pub async fn run() -> Cost {
    let postgres = Postgres::start().await;
    let url = postgres.plain().await;
    let options = Options { url: url.clone(), max_connections: u32::try_from(CLIENTS).unwrap() };
    let vault = Arc::new(Vault::new(Kek::parse(&"07".repeat(32), "the bench").unwrap()));
    let clock = Arc::new(SystemClock::start());
    let store = Box::pin(Store::open(&options, vault, clock, NodeId::generate(), Role::Server)).await.unwrap();
    let mut tenants = vec![];
    for n in 0..TENANTS {
        let tenant = store.create_tenant(&format!("tenant-{n}")).await.unwrap().unwrap();
        let record = "{\"what\":\"POST /api/sessions\",\"status\":201}".to_owned();
        let fact = Fact { tenant: Some(tenant), user: None, at_ms: 1, record, personal: Map::new() };
        for _ in 0..ROWS / 500 {
            store.audit(vec![fact.clone(); 500]).await.unwrap();
        }
        tenants.push(tenant);
    }
    // A superuser, for whom there are no policies.
    let house = postgres.url().replace("/postgres?", "/the%20house?");
    let keeper = Box::pin(Database::connect(house)).await.unwrap();
    keeper.execute_unprepared("VACUUM ANALYZE audit").await.unwrap();
    let tenants = Arc::new(tenants);
    let served = {
        let (store, tenants) = (store.clone(), Arc::clone(&tenants));
        move |n: usize| {
            let (store, tenant) = (store.clone(), tenants[n % TENANTS]);
            async move { assert_eq!(store.audited(tenant, None, PAGE).await.unwrap().len() as u64, PAGE) }
        }
    };
    let plain = {
        let (keeper, tenants) = (keeper.clone(), Arc::clone(&tenants));
        move |n: usize| {
            let (keeper, tenant) = (keeper.clone(), tenants[n % TENANTS]);
            async move { page_of(&keeper, tenant).await }
        }
    };
    let mut rounds = vec![];
    for _ in 0..ROUNDS {
        let with = pages(served.clone()).await;
        keeper.execute_unprepared("ALTER TABLE audit DISABLE ROW LEVEL SECURITY").await.unwrap();
        let without = pages(served.clone()).await;
        keeper.execute_unprepared("ALTER TABLE audit ENABLE ROW LEVEL SECURITY").await.unwrap();
        rounds.push([with, without, pages(plain.clone()).await]);
    }
    let middle = |way: usize| Pages {
        per_second: median(rounds.iter().map(|round| round[way].per_second).collect()),
        us: median(rounds.iter().map(|round| round[way].us).collect()),
    };
    Cost { with: middle(0), without: middle(1), plain: middle(2) }
}
