//! Master keys and data keys that are replaced while everything goes on, and what `wardroom key verify` finds.

use super::people::{guest, person};
use super::{Ground, Postgres, chat, opened, real, seq, vault, wanted};
use crate::store::entity::users;
use crate::store::repo::audit::Fact;
use crate::store::repo::keys::KeyWish;
use crate::store::repo::people::Role as PersonRole;
use crate::store::repo::sealed::COLUMNS;
use crate::store::repo::signing::SigningKey;
use crate::store::repo::stays::{About, Staying};
use crate::store::{Mode, OpenError, Options, Reason, Role, Store, Tx};
use crate::vault::{Kek, KekError, Vault};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wardroom_actors::domain::ids::{NodeId, UserId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::signal::AgentState;
use wardroom_actors::failpoint;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::journal::AgentCommit;
use wardroom_actors::testing::SharedClock;

const DAY_MS: i64 = 24 * 3600 * 1000;

fn kek(digits: &str) -> Kek {
    Kek::parse(&digits.repeat(32), "test").unwrap()
}

async fn open_with(url: &str, digits: &str) -> Result<Store, OpenError> {
    let options = Options { url: url.to_owned(), max_connections: 4 };
    let vault = Arc::new(Vault::new(kek(digits)));
    let clock = Arc::new(SharedClock::default());
    Box::pin(Store::open(&options, vault, clock, NodeId::generate(), Role::Server)).await
}

/// Something in every column that is sealed.
async fn furnish(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let one = ground.session("keys").await;
    let account = Account { id: "1@c.us".into(), lid: None, push_name: "Shop".into() };
    ground.sessions.linked(&one, &account, 77).await.unwrap();
    let recorded = ground.record(&one, "a", "7@c.us", None, 1).await;
    let steps = vec![(seq(&recorded), vec![])];
    let state = AgentState(b"what an agent knows".to_vec());
    let step = AgentCommit { chat: chat(&recorded), expected: 0, steps, poison: vec![], state };
    ground.agents.commit(step).await.unwrap();
    ground.outbox.accept(&one, &wanted("k", "a text"), 5).await.unwrap();
    let (_, login) = person(store, ground.tenant, guest("kim", PersonRole::Admin)).await;
    assert!(store.set_second_factor(&login, Some(b"{}")).await.unwrap());
    let login = store.login_by_id(ground.tenant, login.user).await.unwrap().unwrap();
    store.stay_by_tokens(login, About::default(), DAY_MS).await.unwrap();
    let wish = KeyWish { is_admin: true, session: None, is_active: true, actions: Default::default() };
    store.create_key(ground.tenant, ground.user, "a key", wish).await.unwrap();
    let holder = store.key_holder("a key").await.unwrap().unwrap();
    store.stay(Staying::Key(holder), "a cookie", About::default(), DAY_MS).await.unwrap();
    let personal = [("address".to_owned(), "203.0.113.7".into())].into_iter().collect();
    let (tenant, user) = (Some(ground.tenant), Some(ground.user));
    store.audit(vec![Fact { tenant, user, at_ms: 1, record: "{}".to_owned(), personal }]).await.unwrap();
    let signing = SigningKey {
        id: uuid::Uuid::new_v4(),
        public: vec![1],
        private: zeroize::Zeroizing::new(vec![2; 32]),
        created_ms: store.unix_ms(),
    };
    store.add_signing_key(signing, 0).await.unwrap();
}

async fn all_opens(store: &Store) -> u64 {
    let verdict = store.verify().await.unwrap();
    assert_eq!(verdict.which, Vec::<String>::new());
    verdict.sound
}

/// Changes the last byte of something that stands in a column; answers how it was and is.
async fn flip(store: &Store, table: &'static str, column: &'static str) -> (Vec<u8>, Vec<u8>) {
    let tx = Tx::system(store, Reason::Operator, Mode::Read).await.unwrap();
    let mut select = Query::select();
    select.column(Alias::new(column)).from(Alias::new(table)).and_where(Expr::col(Alias::new(column)).is_not_null());
    select.and_where(Expr::col(Alias::new(column)).ne(Vec::<u8>::new())).limit(1);
    let before: Vec<u8> = tx.query_one(&select).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    drop(tx);
    let mut after = before.clone();
    *after.last_mut().unwrap() ^= 1;
    put(store, (table, column), &before, &after).await;
    (before, after)
}

/// What stands in two rows of a column, of different people or of one.
async fn two(store: &Store, table: &'static str, column: &'static str) -> Option<[Vec<u8>; 2]> {
    let tx = Tx::system(store, Reason::Operator, Mode::Read).await.unwrap();
    let mut select = Query::select();
    select.distinct().column(Alias::new(column)).from(Alias::new(table)).limit(2);
    select.and_where(Expr::col(Alias::new(column)).is_not_null());
    select.and_where(Expr::col(Alias::new(column)).ne(Vec::<u8>::new()));
    let rows = tx.query_all(&select).await.unwrap();
    let rows: Vec<Vec<u8>> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    rows.try_into().ok()
}

async fn put(store: &Store, (table, column): (&'static str, &'static str), was: &[u8], is: &[u8]) {
    let tx = Tx::system(store, Reason::Operator, Mode::Write).await.unwrap();
    let mut update = Query::update();
    update.table(Alias::new(table)).value(Alias::new(column), is.to_vec());
    update.and_where(Expr::col(Alias::new(column)).eq(was.to_vec()));
    tx.execute(&update).await.unwrap();
    tx.commit().await.unwrap();
}

async fn every_change_is_found(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let sound = all_opens(store).await;
    let places = COLUMNS.iter().map(|column| (column.table, column.column));
    for (table, column) in places.chain([("signing_keys", "sealed"), ("users", "dek")]) {
        let (before, after) = flip(store, table, column).await;
        let verdict = store.verify().await.unwrap();
        assert_eq!(verdict.damaged, 1, "{table} {column}: {verdict:?}");
        assert!(verdict.which[0].starts_with(table) && verdict.which[0].contains(column) || column == "sealed");
        put(store, (table, column), &after, &before).await;
    }
    assert_eq!(all_opens(store).await, sound);
}

/// Nothing opens in the place of something else of its kind.
async fn what_changes_places_is_found(ground: &Ground) {
    let store = ground.store.as_ref().unwrap();
    let (_, login) = person(store, ground.tenant, guest("lea", PersonRole::Viewer)).await;
    assert!(store.set_second_factor(&login, Some(b"{}")).await.unwrap());
    let login = store.login_by_id(ground.tenant, login.user).await.unwrap().unwrap();
    store.stay_by_tokens(login, About::default(), DAY_MS).await.unwrap();
    let sound = all_opens(store).await;
    let mut moved = vec![];
    for (table, column) in COLUMNS.iter().map(|column| (column.table, column.column)) {
        let Some([one, other]) = two(store, table, column).await else { continue };
        let swap = async || {
            let between = b"neither".as_slice();
            for (was, is) in [(one.as_slice(), between), (other.as_slice(), &one), (between, &other)] {
                put(store, (table, column), was, is).await;
            }
        };
        swap().await;
        assert_eq!(store.verify().await.unwrap().damaged, 2, "{table} {column}");
        swap().await;
        moved.push(column);
    }
    for column in ["email", "password", "second_factor"] {
        assert!(moved.contains(&column), "{moved:?}");
    }
    assert_eq!(all_opens(store).await, sound);
}

/// What is binary in the database is known: sealed, hashed, or nobody's secret.
async fn every_column_is_known(store: &Store) {
    const OPEN: [&str; 16] = [
        "api_keys hash",
        "api_keys old_hash",
        "audit hash",
        "audit proof",
        "audit signature",
        "audit_heads base_hash",
        "audit_heads base_signature",
        "audit_heads hash",
        "files fingerprint",
        "invitations hash",
        "meta value",
        "sign_ins hash",
        "signing_keys public",
        "signing_keys sealed",
        "users dek",
        "users login",
    ];
    let text = "SELECT table_name || ' ' || column_name FROM information_schema.columns
                WHERE table_schema = current_schema() AND data_type = 'bytea' ORDER BY 1";
    let rows = store.writer.query_all_raw(Statement::from_string(DbBackend::Postgres, text)).await.unwrap();
    for row in rows {
        let name: String = row.try_get_by_index(0).unwrap();
        let sealed = COLUMNS.iter().any(|column| format!("{} {}", column.table, column.column) == name);
        assert!(sealed || OPEN.contains(&name.as_str()), "{name} is neither sealed nor known");
    }
}

async fn another_master_key_takes_the_place(ground: &Ground, url: &str) {
    let store = ground.store.as_ref().unwrap();
    // As many as make several transactions.
    for n in 0..1_100 {
        store.user_named(ground.tenant, &format!("u{n}")).await.unwrap();
    }
    let before = all_opens(store).await;
    assert!(store.hand_over(&kek("07")).await.unwrap() && store.handover_progress().await.unwrap().is_none());
    assert!(store.hand_over(&kek("08")).await.unwrap());
    assert!(store.hand_over(&kek("08")).await.unwrap() || store.vault.kek_id() != kek("08").id());
    let (reading, rounds) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let reader = {
        let (store, reading, rounds) = (store.clone(), Arc::clone(&reading), Arc::clone(&rounds));
        tokio::spawn(async move {
            while reading.load(Ordering::Acquire) {
                all_opens(&store).await;
                rounds.fetch_add(1, Ordering::AcqRel);
            }
        })
    };
    store.follow_handover().await.unwrap();
    assert_eq!(store.vault.kek_id(), kek("08").id(), "it has learned of it");
    assert!(!store.hand_over(&kek("09")).await.unwrap(), "one after the other");
    // It is killed behind the first transaction.
    failpoint::arm("handover.wrapped", 1, Arc::new(|| std::panic::resume_unwind(Box::new("a failpoint"))));
    assert_eq!(store.follow_handover().await, Err(PortError::Unavailable));
    let progress = store.handover_progress().await.unwrap().unwrap();
    assert!(progress.done == 500 && progress.all > 1_100, "{progress:?}");
    let newcomer = store.user_named(ground.tenant, "newcomer").await.unwrap();
    let before_it_was_done = rounds.load(Ordering::Acquire);
    while rounds.load(Ordering::Acquire) <= before_it_was_done && !reader.is_finished() {
        tokio::task::yield_now().await;
    }
    reading.store(false, Ordering::Release);
    reader.await.unwrap();

    // A start with either key goes on, with no other.
    for digits in ["07", "08"] {
        assert_eq!(all_opens(&open_with(url, digits).await.unwrap()).await, before + 1);
    }
    assert!(matches!(open_with(url, "09").await, Err(OpenError::Kek(KekError::Wrong))));
    let resumed = open_with(url, "07").await.unwrap();
    resumed.follow_handover().await.unwrap();
    assert!(resumed.handover_progress().await.unwrap().is_some(), "others may have to learn of it");
    resumed.follow_handover().await.unwrap();
    assert!(resumed.handover_progress().await.unwrap().is_none());
    assert_eq!(all_opens(&resumed).await, before + 1);
    store.follow_handover().await.unwrap();
    assert!(store.vault.kek_before().is_none(), "others forget the old key, too");
    let tx = Tx::system(&resumed, Reason::Operator, Mode::Read).await.unwrap();
    let rows = users::Entity::find().all(&*tx).await.unwrap();
    assert!(rows.iter().all(|row| resumed.vault.is_wrapped_now(&row.dek)));
    assert!(rows.iter().any(|row| UserId(row.id) == newcomer));
    drop(tx);
    let (old, new) = (kek("07").id(), kek("08").id());
    let refused = open_with(url, "07").await.err().unwrap();
    let replaced = matches!(refused, OpenError::Kek(KekError::Replaced { old: a, new: b }) if (a, b) == (old, new));
    assert!(replaced, "{refused}");
    assert_eq!(all_opens(&open_with(url, "08").await.unwrap()).await, before + 1);
}

async fn data_keys_are_renewed(ground: &Ground, url: &str) {
    let store = ground.store.as_ref().unwrap();
    let before = all_opens(store).await;
    assert!(store.is_alone().await.unwrap());
    let other = open_with(url, "07").await.unwrap();
    assert_eq!(all_opens(&other).await, before);
    assert!(!store.is_alone().await.unwrap());
    let keys = async || {
        let tx = Tx::system(store, Reason::Operator, Mode::Read).await.unwrap();
        users::Entity::find().all(&*tx).await.unwrap().into_iter().map(|row| row.dek.len()).collect::<Vec<_>>()
    };
    store.follow_data_keys(ground.tenant).await.unwrap();
    let several = keys().await;
    store.follow_data_keys(ground.tenant).await.unwrap();
    other.follow_data_keys(ground.tenant).await.unwrap();
    assert_eq!(keys().await, several, "once is enough, also for one who remembers the keys of before");
    assert_eq!(all_opens(&other).await, before);
    assert_eq!(all_opens(store).await, before);
    // It is killed behind the first transaction, and a start goes on.
    failpoint::arm("renewal.resealed", 2, Arc::new(|| std::panic::resume_unwind(Box::new("a failpoint"))));
    let (again, tenant) = (store.clone(), ground.tenant);
    assert!(tokio::spawn(async move { again.reseal(tenant).await }).await.is_err());
    assert_eq!(all_opens(store).await, before);
    assert!(store.reseal(ground.tenant).await.unwrap() > 0);
    assert_eq!(store.reseal(ground.tenant).await.unwrap(), 0);
    assert!(store.retire_data_keys(ground.tenant).await.unwrap());
    assert!(keys().await.iter().zip(&several).all(|(now, before)| now < before));
    assert_eq!(all_opens(store).await, before);
    // What follows from the data key is what it was.
    assert!(store.key_holder("a key").await.unwrap().is_some() && store.signed_in("a cookie").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_changes_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("keys.db").display());
    let ground = real(&url).await;
    furnish(&ground).await;
    every_change_is_found(&ground).await;
    what_changes_places_is_found(&ground).await;
    data_keys_are_renewed(&ground, &url).await;
    another_master_key_takes_the_place(&ground, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_changes_its_keys() {
    let postgres = Postgres::start().await;
    let url = postgres.plain().await;
    let ground = real(&url).await;
    furnish(&ground).await;
    every_column_is_known(ground.store.as_ref().unwrap()).await;
    every_change_is_found(&ground).await;
    what_changes_places_is_found(&ground).await;
    data_keys_are_renewed(&ground, &url).await;
    another_master_key_takes_the_place(&ground, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_read_is_nobody_elses_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("one.db").display());
    let node = NodeId::generate();
    let store = opened(&url, vault(), node).await;
    let ground = Ground { sessions: Arc::new(store.clone()), store: Some(store.clone()), ..super::fake() };
    let tenant = store.create_tenant("t").await.unwrap().unwrap();
    let user = store.user_named(tenant, "owner").await.unwrap();
    let ground = Ground { tenant, user, ..ground };
    ground.session("one").await;
    let two = ground.session("two").await;
    flip(&store, "sessions", "config").await;
    let left = ground.sessions.all().await.unwrap();
    assert_eq!(left.iter().map(|spec| spec.id).collect::<Vec<_>>(), [two.id]);
}
