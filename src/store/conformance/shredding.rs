//! Users and tenants who are deleted, on every database that has them.

use super::people::{guest, person};
use super::{Ground, Postgres, opened, real, vault, wanted};
use crate::store::Store;
use crate::store::entity::users;
use crate::store::repo::invitations::Invited;
use crate::store::repo::keys::KeyWish;
use crate::store::repo::people::Role;
use crate::store::repo::shredding::Shredded;
use crate::store::repo::stays::{About, Renewal};
use crate::store::{Mode, Reason, Tx};
use crate::vault::{Kind, Label};
use sea_orm::EntityTrait as _;
use std::time::Duration;
use wardroom_actors::domain::ids::{NodeId, SessionId, UserId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::quota::Quota;
use wardroom_actors::ports::store::{CreateError, NewSession};

const DAY_MS: i64 = 24 * 3600 * 1000;

async fn row(store: &Store, user: UserId) -> users::Model {
    let tx = Tx::system(store, Reason::Operator, Mode::Read).await.unwrap();
    users::Entity::find().all(&*tx).await.unwrap().into_iter().find(|row| row.id == user.0).unwrap()
}

/// As a server does each second: whoever still reads what was before is waited for.
async fn seen_off(store: &Store, user: UserId) {
    while row(store, user).await.status != "deleted" {
        assert_eq!(store.see_off().await.unwrap(), 0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn session_of(ground: &Ground, user: UserId, name: &str) -> NewSession {
    NewSession { user, desired_running: true, ..ground.new_session(name) }
}

async fn a_person_is_gone(ground: &Ground, url: &str) {
    let store = ground.store.as_ref().unwrap();
    let fritz = guest("fritz", Role::Admin);
    let (user, login) = person(store, ground.tenant, fritz.clone()).await;
    let stay = store.stay_by_tokens(login.clone(), About::default(), DAY_MS).await.unwrap();
    let wish = KeyWish { is_admin: true, session: None, is_active: true, actions: Default::default() };
    store.create_key(ground.tenant, user, "his key", wish).await.unwrap();
    assert!(store.key_holder("his key").await.unwrap().is_some());
    let spec = ground.sessions.create(session_of(ground, user, "his"), Quota::default()).await.unwrap();
    let account = Account { id: "1@c.us".into(), lid: None, push_name: "Fritz".into() };
    ground.sessions.linked(&spec, &account, 77).await.unwrap();
    ground.outbox.accept(&spec, &wanted("k", "a text"), 5).await.unwrap();
    let before = row(store, user).await;

    let owner = store.shred_person(ground.tenant, ground.user, Role::Owner).await.unwrap();
    assert_eq!(owner, Shredded::LastOwner);
    let other_role = store.shred_person(ground.tenant, user, Role::Viewer).await.unwrap();
    assert_eq!(other_role, Shredded::Nobody, "it was changed meanwhile");
    let other = store.create_tenant(&format!("t{}", uuid::Uuid::new_v4())).await.unwrap().unwrap();
    assert_eq!(store.shred_person(other, user, Role::Admin).await.unwrap(), Shredded::Nobody, "another tenant's");
    assert_eq!(row(store, user).await, before, "who was not deleted is whole");
    assert_eq!(store.shred_person(ground.tenant, user, Role::Admin).await.unwrap(), Shredded::Done);
    assert_eq!(store.shred_person(ground.tenant, user, Role::Admin).await.unwrap(), Shredded::Nobody);

    // Nothing lets them in, and nothing tells of them.
    assert!(store.key_holder("his key").await.unwrap().is_none());
    assert!(store.lasting(vec![stay.holder]).await.unwrap().is_empty());
    assert!(!matches!(store.renew(&stay.token).await.unwrap(), Renewal::Done(_)));
    assert!(store.stay_by_tokens(login, About::default(), DAY_MS).await.is_err());
    assert!(store.person_of(ground.tenant, user).await.unwrap().is_none());
    assert!(store.people(ground.tenant).await.unwrap().iter().all(|person| person.id != user));
    let after = row(store, user).await;
    assert!(after.dek.is_empty() && after.login.is_none() && after.email.is_none() && after.password.is_none());
    assert!(!after.name.contains("fritz"));
    let refused = ground.sessions.create(session_of(ground, user, "late"), Quota::default()).await;
    assert!(matches!(refused, Err(CreateError::Store(_))), "nothing new is sealed for them");

    // The session is buried, and can be removed by who does not know the key.
    assert!(ground.sessions.all().await.unwrap().iter().all(|one| one.id != spec.id));
    assert_eq!(store.see_off().await.unwrap(), 1);
    let stranger = opened(url, vault(), NodeId::generate()).await;
    let bare = stranger.sessions_of(ground.tenant).await.unwrap().0.into_iter().find(|one| one.id == spec.id).unwrap();
    assert!(bare.config == "{}" && bare.account.is_none() && !bare.desired_running);
    assert!(stranger.vault.open(&config_of(ground, user, spec.id), b"").is_err());
    ground.sessions.purge(spec.key()).await.unwrap();
    assert!(store.vault.knows(ground.tenant, user));
    seen_off(store, user).await;
    assert!(!store.vault.knows(ground.tenant, user), "the last copy of the key");
    let verdict = store.verify().await.unwrap();
    assert_eq!((verdict.damaged, verdict.shredded), (0, 1), "{verdict:?}");

    // Name and address are free.
    let again = store.invite(ground.tenant, fritz, "again", DAY_MS).await.unwrap();
    assert!(matches!(again, Invited::Person(person) if person.id != user));
}

fn config_of(ground: &Ground, user: UserId, session: SessionId) -> Label {
    Label { tenant: ground.tenant, user, kind: Kind::Config, item: session.to_string() }
}

async fn a_tenant_is_gone(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let name = store.tenant_name(ground.tenant).await.unwrap().unwrap();
    let spec = ground.session("theirs").await;
    assert!(!store.shred_tenant("nobody").await.unwrap());
    assert!(store.shred_tenant(&name).await.unwrap());
    assert!(!store.shred_tenant(&name).await.unwrap());
    assert!(store.all_tenants().await.unwrap().iter().all(|tenant| tenant.id != ground.tenant));
    assert!(store.shut_tenants().await.unwrap().contains(&ground.tenant), "nothing of it runs");
    assert!(ground.sessions.tombstones().await.unwrap().iter().any(|one| one.id == spec.id));
    ground.sessions.purge(spec.key()).await.unwrap();
    seen_off(store, ground.user).await;
    assert!(!store.vault.knows(ground.tenant, ground.user));
    assert_eq!(store.verify().await.unwrap().damaged, 0);
    let again = store.create_tenant(&name).await.unwrap().unwrap();
    assert_ne!(again, ground.tenant, "the name is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_forgets_who_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gone.db");
    let url = format!("sqlite://{}", file.display());
    let ground = real(&url).await;
    let dek = row(ground.store.as_ref().unwrap(), ground.user).await.dek;
    a_person_is_gone(&ground, &url).await;
    let stands = || {
        let log = dir.path().join("gone.db-wal");
        let all = [file.clone(), log].map(|file| std::fs::read(file).unwrap()).concat();
        all.windows(dek.len()).any(|window| window == dek)
    };
    assert!(stands());
    a_tenant_is_gone(&ground).await;
    assert!(!stands(), "neither in the file nor in its log");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_forgets_who_is_deleted() {
    let postgres = Postgres::start().await;
    let url = postgres.plain().await;
    let ground = real(&url).await;
    a_person_is_gone(&ground, &url).await;
    a_tenant_is_gone(&ground).await;
}
