//! Records of what was done, on every database that keeps them.

use super::people::{guest, person};
use super::{Ground, Postgres, opened, real, vault};
use crate::store::Store;
use crate::store::entity::{audit, audit_heads};
use crate::store::repo::audit::{Fact, Personal};
use crate::store::repo::own::SERVER;
use crate::store::repo::people::Role;
use crate::store::repo::retention::Retention;
use crate::store::{Mode, Reason, Tx};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use wardroom_actors::domain::ids::{NodeId, TenantId, UserId};

const ADDRESS: &str = "203.0.113.77";

fn fact(tenant: Option<TenantId>, user: Option<UserId>, what: &str) -> Fact {
    let personal: Map<String, Value> = [("address".to_owned(), ADDRESS.into())].into_iter().collect();
    Fact { tenant, user, at_ms: 1, record: json!({"what": what}).to_string(), personal }
}

async fn record(ground: &Ground, count: usize) {
    let facts = (0..count).map(|n| fact(Some(ground.tenant), Some(ground.user), &format!("act {n}"))).collect();
    ground.store.as_ref().unwrap().audit(facts).await.unwrap();
}

async fn trouble(store: &Store, tenant: TenantId) -> Option<String> {
    store.walk_chain(tenant, |_| Ok(())).await.unwrap().trouble
}

async fn run(store: &Store, text: &str) {
    let tx = Tx::system(store, Reason::Audit, Mode::Write).await.unwrap();
    tx.execute_unprepared(text).await.unwrap();
    tx.commit().await.unwrap();
}

async fn what_is_recorded_is_read(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let facts = vec![
        fact(Some(ground.tenant), Some(ground.user), "one"),
        fact(None, None, "nobody"),
        fact(Some(ground.tenant), None, "two"),
    ];
    store.audit(facts).await.unwrap();
    let links = store.audited(ground.tenant, None, 10).await.unwrap();
    assert_eq!(links.iter().map(|link| link.seq).collect::<Vec<_>>(), [2, 1]);
    let tells = |personal: &Personal| matches!(personal, Personal::Open(text) if text.contains(ADDRESS));
    assert!(links[0].personal == Personal::None && tells(&links[1].personal));
    let own = store.audited(SERVER.0, None, 10).await.unwrap();
    assert!(own.len() == 1 && tells(&own[0].personal), "{own:?}");
    assert_eq!(store.audited(ground.tenant, Some(2), 10).await.unwrap().len(), 1);
    let tx = Tx::system(store, Reason::Audit, Mode::Read).await.unwrap();
    let rows = audit::Entity::find().all(&*tx).await.unwrap();
    assert!(!format!("{rows:?}").contains(ADDRESS), "it is sealed");
}

async fn chains_hold(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    record(ground, 1_200).await;
    record(ground, 3).await;
    let mut given = 0;
    let give = |_: &_| {
        given += 1;
        Ok(())
    };
    let walk = store.walk_chain(ground.tenant, give).await.unwrap();
    assert_eq!((walk.trouble, walk.records, walk.last.seq, given), (None, 1_205, 1_205, 1_205));
    assert_eq!(trouble(store, SERVER.0).await, None);
    assert_eq!(store.verify().await.unwrap().damaged, 0);
    let chains = store.chains().await.unwrap();
    assert_eq!(chains.iter().collect::<HashSet<_>>(), HashSet::from([&SERVER.0, &ground.tenant]));
}

async fn rows(store: &Store, tenant: TenantId) -> (Vec<audit::Model>, audit_heads::Model) {
    let tx = Tx::system(store, Reason::Audit, Mode::Read).await.unwrap();
    let rows = audit::Entity::find().filter(audit::Column::TenantId.eq(tenant.0)).order_by_asc(audit::Column::Seq);
    let head = audit_heads::Entity::find_by_id(tenant.0).one(&*tx).await.unwrap().unwrap();
    (rows.all(&*tx).await.unwrap(), head)
}

async fn put_back(store: &Store, tenant: TenantId, (rows, head): &(Vec<audit::Model>, audit_heads::Model)) {
    let tx = Tx::system(store, Reason::Audit, Mode::Write).await.unwrap();
    audit::Entity::delete_many().filter(audit::Column::TenantId.eq(tenant.0)).exec(&*tx).await.unwrap();
    for rows in rows.chunks(500) {
        let rows = rows.iter().map(|row| audit::ActiveModel::from(row.clone()));
        audit::Entity::insert_many(rows).exec_without_returning(&*tx).await.unwrap();
    }
    audit_heads::Entity::delete_by_id(tenant.0).exec(&*tx).await.unwrap();
    let head = audit_heads::ActiveModel::from(head.clone());
    audit_heads::Entity::insert(head).exec_without_returning(&*tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Each time on what is whole: somebody with the database's password changes it.
async fn every_change_is_noticed(ground: &Ground, is_sqlite: bool) {
    let (store, own) = (ground.store.as_ref().unwrap(), ground.tenant);
    let tenant = if is_sqlite { format!("x'{}'", own.0.simple()) } else { format!("'{}'", own.0) };
    if is_sqlite {
        let tx = Tx::system(store, Reason::Audit, Mode::Write).await.unwrap();
        for text in ["UPDATE audit SET record = '{}'", "DELETE FROM audit WHERE seq > 1202", "DELETE FROM audit"] {
            let refused = tx.execute_unprepared(text).await.unwrap_err().to_string();
            assert!(refused.contains("audit records"), "{refused}");
        }
        tx.rollback().await.unwrap();
        run(store, "DROP TRIGGER audit_kept").await;
        run(store, "DROP TRIGGER audit_begins").await;
    } else {
        for text in ["UPDATE audit SET record = '{}'", "DELETE FROM audit", "UPDATE audit_heads SET seq = 1"] {
            let tx = Tx::tenant(store, own, Mode::Write).await.unwrap();
            let refused = tx.execute_unprepared(text).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{text}: {refused}");
        }
    }
    let whole = rows(store, own).await;
    let sixth = whole.0[5].clone();
    let literal = |bytes: &[u8]| match (is_sqlite, hex::encode(bytes)) {
        (true, digits) => format!("x'{digits}'"),
        (false, digits) => format!("'\\x{digits}'"),
    };
    let base = format!(
        "UPDATE audit_heads SET base = 6, base_hash = {0}, base_signature = {1}",
        literal(&sixth.hash),
        literal(&sixth.signature)
    );
    let attacks = [
        (vec!["UPDATE audit SET record = '{\"what\":\"nothing\"}' WHERE seq = 6"], "record 6 is not what it was"),
        (vec!["UPDATE audit SET at = 2 WHERE seq = 6"], "record 6 is not what it was"),
        (vec!["UPDATE audit SET user_id = NULL WHERE seq = 6"], "record 6 is not what it was"),
        (vec!["UPDATE audit SET signature = hash WHERE seq = 6"], "record 6 is not what it was"),
        (vec!["UPDATE audit SET personal = NULL WHERE seq = 6"], "the personal part of record 6 is not what it was"),
        (vec!["DELETE FROM audit WHERE seq = 6"], "records from 6 on are missing"),
        (vec!["DELETE FROM audit WHERE seq < 7"], "records from 1 on are missing"),
        (vec!["DELETE FROM audit WHERE seq < 7", &base], "records up to 6 were removed by somebody else"),
        (vec!["DELETE FROM audit WHERE seq = 1205"], "records from 1205 on are missing"),
        (vec!["DELETE FROM audit WHERE seq > 0"], "records from 1 on are missing"),
    ];
    for (statements, noticed) in attacks {
        for text in &statements {
            let condition = if text.contains("WHERE") { "AND" } else { "WHERE" };
            run(store, &format!("{text} {condition} tenant_id = {tenant}")).await;
        }
        assert_eq!(trouble(store, own).await.as_deref(), Some(noticed), "{statements:?}");
        put_back(store, own, &whole).await;
        assert_eq!(trouble(store, own).await, None, "{statements:?} is undone");
    }
    // Whoever knows how hashes are made rewrites everything from a record on, but cannot sign it.
    let mut forged = whole.clone();
    forged.0[5].record = json!({"what": "nothing"}).to_string();
    let links = store.audited_behind(own, 0).await.unwrap();
    let mut before = links[4].hash.clone();
    for row in &mut forged.0[5..] {
        let mut link = links[5].clone();
        (link.seq, link.at_ms, link.user) = (row.seq, row.at, row.user_id);
        (link.record, link.proof) = (row.record.clone(), row.proof.clone());
        before = link.hashed(own, &before);
        row.hash.clone_from(&before);
    }
    forged.1.hash = before;
    put_back(store, own, &forged).await;
    assert_eq!(trouble(store, own).await.as_deref(), Some("record 6 is not what it was"));
    put_back(store, own, &whole).await;
    // What is cut off at the end, together with the head, is noticed by copies alone, and by a server that goes on.
    run(store, &format!("DELETE FROM audit WHERE seq > 6 AND tenant_id = {tenant}")).await;
    let hash = literal(&sixth.hash);
    run(store, &format!("UPDATE audit_heads SET seq = 6, hash = {hash} WHERE tenant_id = {tenant}")).await;
    assert_eq!(trouble(store, own).await, None);
    let ends = store.grown_chains(&mut HashMap::new());
    assert!(ends.iter().any(|(tenant, end)| *tenant == own && end.seq == 1_205), "{ends:?}");
}

async fn what_is_old_goes_and_the_chain_holds(ground: &Ground) {
    let (store, tenant) = (ground.store.as_ref().unwrap(), ground.tenant);
    let keep = |audit_ms| Retention { journal_ms: 1 << 40, outbox_ms: 1 << 40, dead_letters_ms: 1 << 40, audit_ms };
    // The facts of this test are of the first millisecond.
    let (all, none) = (keep(store.unix_ms() - 2), keep(store.unix_ms() - 1));
    store.forget_old(all).await.unwrap();
    record(ground, 740).await;
    assert_eq!(store.forget_old(none).await.unwrap(), 0, "nothing is old");
    assert_eq!(store.forget_old(all).await.unwrap(), 740);
    assert_eq!(trouble(store, tenant).await, None, "an empty one holds, too");
    record(ground, 2).await;
    let walk = store.walk_chain(tenant, |_| Ok(())).await.unwrap();
    assert_eq!((walk.trouble, walk.records, walk.last.seq), (None, 2, 742));
    let base = store.chain(tenant).await.unwrap().0.unwrap();
    assert_eq!(base.edge.seq, 740);
}

async fn who_is_deleted_is_not_told_of(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let (user, _) = person(store, ground.tenant, guest("paul", Role::Viewer)).await;
    let facts = || vec![fact(Some(ground.tenant), Some(user), "his")];
    store.audit(facts()).await.unwrap();
    store.shred_person(ground.tenant, user, Role::Viewer).await.unwrap();
    assert_eq!(store.see_off().await.unwrap(), 0);
    store.audit(facts()).await.unwrap();
    let links = store.audited(ground.tenant, None, 2).await.unwrap();
    assert!(links.iter().all(|link| link.record.contains("his") && link.personal == Personal::None), "{links:?}");
    assert!(links[1].proof.is_some() && links[0].proof.is_none());
    assert_eq!(trouble(store, ground.tenant).await, None);
}

/// Two processes record at the same time.
async fn nobody_forks_a_chain(ground: &Ground, url: &str) {
    let store = ground.store.as_ref().unwrap();
    let records = async || store.walk_chain(ground.tenant, |_| Ok(())).await.unwrap().records;
    let before = records().await;
    let other = opened(url, vault(), NodeId::generate()).await;
    let many = (0..20).map(|n| {
        let one = fact(Some(ground.tenant), Some(ground.user), &format!("at once {n}"));
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move { store.audit(vec![one.clone(), fact(None, None, "own"), one]).await.unwrap() })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!((trouble(store, ground.tenant).await, records().await), (None, before + 40));
    assert_eq!(trouble(store, SERVER.0).await, None);
}

async fn suite(url: &str) {
    let is_sqlite = url.starts_with("sqlite");
    let ground = real(url).await;
    what_is_recorded_is_read(&ground).await;
    chains_hold(&ground).await;
    every_change_is_noticed(&ground, is_sqlite).await;
    let ground = real(url).await;
    what_is_old_goes_and_the_chain_holds(&ground).await;
    who_is_deleted_is_not_told_of(&ground).await;
    nobody_forks_a_chain(&ground, url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    suite(&format!("sqlite://{}", dir.path().join("audit.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_what_was_done() {
    let postgres = Postgres::start().await;
    suite(&postgres.plain().await).await;
}
