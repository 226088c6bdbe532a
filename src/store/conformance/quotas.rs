//! Quotas: what is counted is counted in the transaction that adds to it, so that two at once never get more than one may have.

use super::{Ground, Postgres, real};
use crate::store::repo::quotas::Given;
use futures_util::future::join_all;
use wardroom_actors::domain::ids::{FileId, TenantId, UserId};
use wardroom_actors::domain::quota::{Exceeded, Limits, Quota, Resource, Whose};
use wardroom_actors::domain::spec::Network;
use wardroom_actors::ports::files::TakeError;
use wardroom_actors::ports::store::{ConfigError, CreateError, NewSession};

fn hooked(webhooks: usize) -> String {
    let hooks: Vec<_> = (0..webhooks).map(|_| r#"{"url":"http://127.0.0.1:1/"}"#).collect();
    format!(r#"{{"webhooks":[{}]}}"#, hooks.join(","))
}

fn of(user: Limits, tenant: Limits) -> Quota {
    Quota { user, tenant }
}

async fn only_so_many_at_once(ground: &Ground) {
    let other = ground.store.as_ref().unwrap().user_named(ground.tenant, "other").await.unwrap();
    let limits = |sessions| Limits { sessions, ..Limits::default() };
    let quota = of(limits(3), limits(4));
    let wanted = |user: UserId, name: String| NewSession { user, ..ground.new_session(&name) };
    let many = join_all((0..8).map(|n| ground.sessions.create(wanted(ground.user, format!("a{n}")), quota))).await;
    assert_eq!(many.iter().filter(|one| one.is_ok()).count(), 3);
    let full = Exceeded { resource: Resource::Sessions, whose: Whose::User, limit: 3 };
    assert!(many.iter().flat_map(|one| one.as_ref().err()).all(|error| *error == CreateError::Quota(full)));
    // Of two users the tenant's rest is one.
    let more = join_all((0..4).map(|n| ground.sessions.create(wanted(other, format!("b{n}")), quota))).await;
    assert_eq!(more.iter().filter(|one| one.is_ok()).count(), 1);
    let full = Exceeded { resource: Resource::Sessions, whose: Whose::Tenant, limit: 4 };
    assert!(more.iter().flat_map(|one| one.as_ref().err()).all(|error| *error == CreateError::Quota(full)));
    // Who goes makes room.
    let gone = many.into_iter().flatten().next().unwrap();
    ground.sessions.bury(&gone).await.unwrap();
    assert!(ground.sessions.create(wanted(other, "c".to_owned()), quota).await.is_ok());
}

async fn webhooks_are_counted_where_they_are_written(ground: &Ground) {
    let limits = |webhooks| Limits { webhooks, ..Limits::default() };
    let quota = of(limits(5), limits(0));
    let new = |name: &str, webhooks| NewSession { config: hooked(webhooks), ..ground.new_session(name) };
    let one = ground.sessions.create(new("w1", 3), quota).await.unwrap();
    let full = Exceeded { resource: Resource::Webhooks, whose: Whose::User, limit: 5 };
    assert_eq!(ground.sessions.create(new("w2", 3), quota).await.unwrap_err(), CreateError::Quota(full));
    let two = ground.sessions.create(new("w2", 1), quota).await.unwrap();
    let set =
        async |webhooks, quota| ground.sessions.set_config(&one, Network::Simulator, hooked(webhooks), quota).await;
    set(4, quota).await.unwrap();
    assert_eq!(set(5, quota).await.unwrap_err(), ConfigError::Quota(full));
    assert_eq!(ground.get(one.key()).await.config, hooked(4), "what was refused changed nothing");
    // Lowered: nothing is taken away, fewer may be had, more not.
    let lower = of(limits(2), limits(0));
    set(3, lower).await.unwrap();
    assert!(set(4, lower).await.is_err());
    let store = ground.store.as_ref().unwrap();
    assert_eq!(store.has(ground.tenant, Some(ground.user), Resource::Webhooks).await.unwrap(), 4);
    ground.sessions.bury(&two).await.unwrap();
    assert_eq!(store.has(ground.tenant, None, Resource::Webhooks).await.unwrap(), 3);
}

async fn files_are_weighed(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let limits = |storage_bytes| Limits { storage_bytes, ..Limits::default() };
    let quota = of(limits(1000), limits(1500));
    let one = ground.session("f1").await;
    let note = async |print: u8, size| store.note_file(one.key(), FileId::generate(), vec![print], size, quota).await;
    let kept = note(1, 600).await.unwrap();
    assert_eq!(note(1, 600).await.unwrap(), kept, "the same once more weighs nothing");
    let full = Exceeded { resource: Resource::Storage, whose: Whose::User, limit: 1000 };
    assert_eq!(note(2, 401).await.unwrap_err(), TakeError::Quota(full));
    let at_once = join_all((3..9).map(|print| note(print, 200))).await;
    assert_eq!(at_once.iter().filter(|one| one.is_ok()).count(), 2);
    let has = async |user| store.has(ground.tenant, user, Resource::Storage).await.unwrap();
    assert_eq!(has(Some(ground.user)).await, 1000);
    assert_eq!(store.files_of(one.key()).await.unwrap().len(), 3, "what was refused left no row");
    // What retention takes, and what goes with its session, is room again.
    assert_eq!(store.forget_files(i64::MAX).await.unwrap().len(), 3);
    assert_eq!(has(None).await, 0);
    note(1, 700).await.unwrap();
    ground.sessions.bury(&one).await.unwrap();
    assert_eq!(has(None).await, 700, "its files are still there");
    ground.sessions.purge(one.key()).await.unwrap();
    assert_eq!(has(None).await, 0);
}

async fn what_was_given_is_read_when_it_changes(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let (_, mark) = store.quotas_since((-1, -1)).await.unwrap().unwrap();
    assert!(store.quotas_since(mark).await.unwrap().is_none());
    let given = Given { sessions: Some(7), ..Given::default() };
    assert!(store.give_quota(ground.tenant, Some(ground.user), given).await.unwrap());
    let (book, mark) = store.quotas_since(mark).await.unwrap().unwrap();
    assert_eq!(book.get(&(ground.tenant, Some(ground.user))), Some(&given));
    let whole = Given { storage_bytes: Some(0), ..Given::default() };
    assert!(store.give_quota(ground.tenant, None, whole).await.unwrap());
    assert!(store.give_quota(ground.tenant, Some(ground.user), Given::default()).await.unwrap());
    let (book, _) = store.quotas_since(mark).await.unwrap().unwrap();
    assert_eq!(book.get(&(ground.tenant, Some(ground.user))), Some(&Given::default()));
    assert_eq!(book.get(&(ground.tenant, None)), Some(&whole));
    assert!(!store.give_quota(ground.tenant, Some(UserId::generate()), given).await.unwrap(), "nobody");
    assert!(!store.give_quota(TenantId::generate(), Some(ground.user), given).await.unwrap(), "another tenant's");
}

async fn suite(url: &str) {
    only_so_many_at_once(&real(url).await).await;
    webhooks_are_counted_where_they_are_written(&real(url).await).await;
    files_are_weighed(&real(url).await).await;
    what_was_given_is_read_when_it_changes(&real(url).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_gives_nobody_more_than_they_may_have() {
    let dir = tempfile::tempdir().unwrap();
    suite(&format!("sqlite://{}", dir.path().join("w.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_gives_nobody_more_than_they_may_have() {
    let postgres = Postgres::start().await;
    suite(&postgres.plain().await).await;
}
