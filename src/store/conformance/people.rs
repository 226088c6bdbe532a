//! People and their stays, on every database that has them.

use super::{Ground, Postgres, real};
use crate::store::Store;
use crate::store::repo::identity::Actions;
use crate::store::repo::identity::Holder;
use crate::store::repo::invitations::{Guest, Invited};
use crate::store::repo::keys::KeyWish;
use crate::store::repo::people::{Change, Changed, Login, Role, Standing};
use crate::store::repo::stays::{About, Renewal, Renewed, Staying};
use wardroom_actors::domain::ids::{TenantId, UserId};

const DAY_MS: i64 = 24 * 3600 * 1000;

pub(super) fn guest(name: &str, role: Role) -> Guest {
    Guest { name: name.to_owned(), email: format!("{name}-{}@example.com", uuid::Uuid::new_v4()), role }
}

/// Somebody who is invited and has chosen a password.
pub(super) async fn person(store: &Store, tenant: TenantId, guest: Guest) -> (UserId, Login) {
    let (token, email) = (uuid::Uuid::new_v4().to_string(), guest.email.clone());
    let Invited::Person(person) = store.invite(tenant, guest, &token, DAY_MS).await.unwrap() else {
        unreachable!("nobody has this name")
    };
    let login = store.invited(&token).await.unwrap().unwrap();
    assert!(store.accept_invitation(&token, &login, "a hash").await.unwrap());
    assert!(!store.accept_invitation(&token, &login, "another").await.unwrap());
    (person.id, store.who_signs_in(&email).await.unwrap().unwrap())
}

async fn stay(store: &Store, login: &Login) -> Renewed {
    store.stay_by_tokens(login.clone(), About::default(), DAY_MS).await.unwrap()
}

async fn renewed(store: &Store, token: &str) -> Option<Renewed> {
    match store.renew(token).await.unwrap() {
        Renewal::Done(renewed) => Some(renewed),
        _ => None,
    }
}

async fn lasts(store: &Store, holder: Holder) -> bool {
    store.lasting(vec![holder]).await.unwrap() == [holder]
}

async fn addresses_are_one_persons(ground: &Ground, store: &Store) {
    let other = store.create_tenant(&format!("t{}", uuid::Uuid::new_v4())).await.unwrap().unwrap();
    let anna = guest("anna", Role::Viewer);
    let email = anna.email.clone();
    let (id, login) = person(store, ground.tenant, anna.clone()).await;
    assert_eq!(store.invite(ground.tenant, anna.clone(), "x", DAY_MS).await.unwrap(), Invited::NameTaken);
    let taken = Guest { name: "other".to_owned(), ..anna };
    assert_eq!(store.invite(other, taken, "x", DAY_MS).await.unwrap(), Invited::EmailTaken);
    assert!(store.people(other).await.unwrap().iter().all(|person| person.name == "owner"), "nobody is left behind");
    assert!(store.people(ground.tenant).await.unwrap().iter().any(|person| person.email.as_ref() == Some(&email)));
    assert!(store.person_of(other, id).await.unwrap().is_none(), "another tenant's");
    assert!(!store.withdraw_invitation(ground.tenant, id).await.unwrap(), "it was taken up");
    assert!(!store.invite_again(other, id, "y", DAY_MS).await.unwrap());
    // An invitation that was replaced, or whose time is over, is none.
    assert!(store.invite_again(ground.tenant, id, "first", DAY_MS).await.unwrap());
    assert!(store.invite_again(ground.tenant, id, "second", -1).await.unwrap());
    for token in ["first", "second", "third"] {
        assert!(store.invited(token).await.unwrap().is_none(), "{token}");
        assert!(!store.accept_invitation(token, &login, "a hash").await.unwrap());
    }
    // One that was not taken up can be taken back, and the address is free.
    let bert = guest("bert", Role::Viewer);
    let Invited::Person(one) = store.invite(ground.tenant, bert.clone(), "b", DAY_MS).await.unwrap() else { return };
    assert!(store.withdraw_invitation(ground.tenant, one.id).await.unwrap());
    assert!(store.invited("b").await.unwrap().is_none());
    assert!(matches!(store.invite(other, bert, "c", DAY_MS).await.unwrap(), Invited::Person(_)));
}

async fn stays_end_when_they_have_to(ground: &Ground, store: &Store) {
    let (id, login) = person(store, ground.tenant, guest("carl", Role::Operator)).await;
    let first = stay(store, &login).await;
    let second = renewed(store, &first.token).await.unwrap();
    assert_eq!(second.holder, first.holder);
    assert!(lasts(store, first.holder).await);
    assert!(matches!(store.renew(&first.token).await.unwrap(), Renewal::Reused(..)));
    assert!(renewed(store, &second.token).await.is_none() && !lasts(store, first.holder).await);
    // A token of one stay is none of another.
    let (one, two) = (stay(store, &login).await, stay(store, &login).await);
    assert!(one.token != two.token && renewed(store, &one.token.replace('A', "B")).await.is_none());
    assert!(store.end_stay(one.holder, two.holder.stay.unwrap()).await.unwrap(), "one's own other");
    let (_, other) = person(store, ground.tenant, guest("dora", Role::Viewer)).await;
    let theirs = stay(store, &other).await;
    assert!(!store.end_stay(one.holder, theirs.holder.stay.unwrap()).await.unwrap());
    assert_eq!(store.stays(ground.tenant, id).await.unwrap().len(), 1);
    store.stay(Staying::Person(Box::new(login.clone())), "a cookie", About::default(), DAY_MS).await.unwrap();
    let by_cookie = store.signed_in("a cookie").await.unwrap().unwrap();
    assert!(lasts(store, by_cookie).await && by_cookie.user == id);

    // Whoever showed what was changed meanwhile does not get in.
    assert!(store.set_password(&login, "another hash", one.holder.stay).await.unwrap());
    assert!(!store.set_password(&login, "a third hash", None).await.unwrap(), "read before the change");
    assert!(store.stay_by_tokens(login.clone(), About::default(), DAY_MS).await.is_err());
    assert!(store.stay(Staying::Person(Box::new(login.clone())), "late", About::default(), DAY_MS).await.is_err());
    let anew = store.hash_anew(login.clone(), "a hash of the old one").await.unwrap();
    assert!(store.stay_by_tokens(anew, About::default(), DAY_MS).await.is_err());
    assert!(lasts(store, one.holder).await && store.signed_in("a cookie").await.unwrap().is_none());

    // Shut out, and a role that changes.
    let login = store.login_by_id(ground.tenant, id).await.unwrap().unwrap();
    let raised = Change { was: Role::Operator, role: Some(Role::Admin), standing: None };
    assert!(matches!(store.change_person(ground.tenant, id, raised).await.unwrap(), Changed::Person(_)));
    assert!(!lasts(store, one.holder).await, "it may do something else now");
    assert_eq!(store.change_person(ground.tenant, id, raised).await.unwrap(), Changed::Nobody, "no operator any more");
    let wish = KeyWish { is_admin: true, session: None, is_active: true, actions: Actions::default() };
    let secret = uuid::Uuid::new_v4().to_string();
    store.create_key(ground.tenant, id, &secret, wish).await.unwrap();
    let key = store.key_holder(&secret).await.unwrap().unwrap();
    assert!(lasts(store, key).await);
    let lowered = Change { was: Role::Admin, role: Some(Role::Viewer), standing: None };
    store.change_person(ground.tenant, id, lowered).await.unwrap();
    assert!(store.key_holder(&secret).await.unwrap().is_none() && !lasts(store, key).await);
    let out = Change { was: Role::Viewer, role: None, standing: Some(Standing::Suspended) };
    store.change_person(ground.tenant, id, out).await.unwrap();
    assert!(store.stays(ground.tenant, id).await.unwrap().is_empty());
    assert!(store.stay_by_tokens(login, About::default(), DAY_MS).await.is_err());
    let owner = Change { was: Role::Owner, role: Some(Role::Viewer), standing: None };
    assert_eq!(store.change_person(ground.tenant, ground.user, owner).await.unwrap(), Changed::LastOwner);
}

async fn a_key_s_stays_are_bounded_and_end_with_its_person_s(ground: &Ground, store: &Store) {
    let (user, login) = person(store, ground.tenant, guest("frieda", Role::Admin)).await;
    let wish = KeyWish { is_admin: true, session: None, is_active: true, actions: Actions::default() };
    let secret = uuid::Uuid::new_v4().to_string();
    store.create_key(ground.tenant, user, &secret, wish).await.unwrap();
    let key = store.key_holder(&secret).await.unwrap().unwrap();
    let cookie = |place: usize| format!("{secret} {place}");
    for place in 0..=100 {
        store.stay(Staying::Key(key), &cookie(place), About::default(), DAY_MS).await.unwrap();
    }
    assert!(store.signed_in(&cookie(0)).await.unwrap().is_none(), "the oldest gives way");
    for place in [1, 100] {
        assert!(store.signed_in(&cookie(place)).await.unwrap().is_some(), "{place}");
    }
    let before = store.count_stays().await.unwrap();
    let own = stay(store, &login).await;
    assert_eq!(store.count_stays().await.unwrap(), before + 1);
    assert_eq!(store.end_all_stays(ground.tenant, user, own.holder.stay).await.unwrap(), 100);
    assert!(store.signed_in(&cookie(100)).await.unwrap().is_none() && lasts(store, own.holder).await);
}

async fn the_first_key_is_put_in_once(ground: &Ground, store: &Store) {
    let [first, second] = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|secret| secret.to_string());
    let put = async |secret: &str| {
        store.add_first_key(ground.tenant, ground.user, secret).await.unwrap();
        store.key_holder(secret).await.unwrap()
    };
    assert_eq!(put(&first).await, put(&first).await);
    let key = put(&first).await.unwrap();
    assert!(store.delete_key(ground.tenant, key.key).await.unwrap());
    assert!(put(&first).await.is_none(), "whoever removed it meant it");
    assert!(put(&second).await.is_some(), "another one is new");
}

async fn a_shut_tenant_is_out(ground: &Ground, store: &Store) {
    let tenant = store.all_tenants().await.unwrap().into_iter().find(|tenant| tenant.id == ground.tenant).unwrap();
    let (_, login) = person(store, ground.tenant, guest("emma", Role::Viewer)).await;
    let stay = stay(store, &login).await;
    store.stay(Staying::Person(Box::new(login.clone())), "her cookie", About::default(), DAY_MS).await.unwrap();
    let secret = uuid::Uuid::new_v4().to_string();
    store.add_key(ground.tenant, ground.user, &secret, true).await.unwrap();
    let key = store.key_holder(&secret).await.unwrap().unwrap();
    assert!(store.set_standing(&tenant.name, Standing::Suspended).await.unwrap());
    assert!(!store.set_standing("nobody", Standing::Suspended).await.unwrap());
    assert!(store.shut_tenants().await.unwrap().contains(&ground.tenant));
    assert!(store.key_holder(&secret).await.unwrap().is_none() && !lasts(store, key).await);
    assert!(!lasts(store, stay.holder).await && renewed(store, &stay.token).await.is_none());
    assert!(!store.login_by_id(ground.tenant, login.user).await.unwrap().unwrap().is_welcome);
    assert!(store.set_standing(&tenant.name, Standing::Active).await.unwrap());
    assert!(lasts(store, key).await, "keys are good again");
    assert!(renewed(store, &stay.token).await.is_none(), "stays have ended");
    assert!(store.signed_in("her cookie").await.unwrap().is_none());
}

async fn suite(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    addresses_are_one_persons(ground, store).await;
    stays_end_when_they_have_to(ground, store).await;
    a_key_s_stays_are_bounded_and_end_with_its_person_s(ground, store).await;
    the_first_key_is_put_in_once(ground, store).await;
    a_shut_tenant_is_out(ground, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_people_and_their_stays() {
    let dir = tempfile::tempdir().unwrap();
    suite(&real(&format!("sqlite://{}", dir.path().join("people.db").display())).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_people_and_their_stays() {
    let postgres = Postgres::start().await;
    suite(&real(&postgres.plain().await).await).await;
}
