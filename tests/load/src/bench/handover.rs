//! Another master key takes the place of the one before, under a server that is used, is killed in the middle and goes on.

use crate::house::{House, SOON, until};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wardroom::clock::SystemClock;
use wardroom::store::repo::invitations::Guest;
use wardroom::store::repo::people::Role as PersonRole;
use wardroom::store::{Options, Role, Store};
use wardroom::vault::{Kek, Vault};
use wardroom_actors::domain::ids::NodeId;

/// People of each tenant.
const PEOPLE: usize = 100;
/// Data keys that the server wraps in one transaction.
const BATCH: usize = 500;

/// How it went.
pub struct Handover {
    /// Data keys.
    pub keys: u64,
    /// What they had sealed and all else, opened at the end.
    pub sealed: u64,
    /// From the command to its end, not disturbed.
    pub took: Duration,
    /// People whose address was asked for and read meanwhile.
    pub read: u64,
    /// Answers that were none, while a server was there.
    pub failed: u64,
    /// How many of the data keys were under the new key when the server was killed.
    pub killed_at: u64,
    /// The house that it went on in.
    pub house: House,
}

async fn open(house: &House) -> Store {
    let data = house.data();
    let url = format!("sqlite://{}", data.join("wardroom.db").display());
    let vault = Arc::new(Vault::new(Kek::read(&data.join("kek.hex")).unwrap()));
    let options = Options { url, max_connections: 2 };
    let opening = Store::open(&options, vault, Arc::new(SystemClock::start()), NodeId::generate(), Role::Operator);
    Box::pin(opening).await.unwrap()
}

fn key_of(tenant: usize) -> String {
    format!("key_of_tenant_{tenant:0>30}")
}

async fn people(house: &House, tenants: usize) {
    let store = open(house).await;
    for n in 0..tenants {
        let tenant = store.create_tenant(&format!("tenant-{n}")).await.unwrap().unwrap();
        let owner = store.user_named(tenant, "owner").await.unwrap();
        store.add_key(tenant, owner, &key_of(n), true).await.unwrap();
        // The owner is one of them.
        for m in 1..PEOPLE {
            let (name, email) = (format!("p{m}"), format!("p{m}@tenant-{n}.example"));
            let guest = Guest { name, email, role: PersonRole::Viewer };
            store.invite(tenant, guest, &format!("{n}-{m}"), 3_600_000).await.unwrap();
        }
    }
    store.close().await;
}

/// Asks tenant after tenant for its people.
fn read(house: &House, tenants: usize, going: &Arc<AtomicBool>) -> (Arc<AtomicU64>, Arc<AtomicU64>) {
    let (read, failed): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
    let (counts, going) = ((Arc::clone(&read), Arc::clone(&failed)), Arc::clone(going));
    let url = format!("http://127.0.0.1:{}/api/users", house.http);
    tokio::spawn(async move {
        let client = reqwest::Client::new();
        for n in (0..tenants).cycle() {
            if !going.load(Ordering::Acquire) {
                break;
            }
            // While no server is there, none answers.
            let Ok(answer) = client.get(&url).header("x-api-key", key_of(n)).send().await else { continue };
            let status = answer.status();
            let Ok(text) = answer.text().await else { continue };
            let emails = text.matches(&format!("@tenant-{n}.example")).count();
            if status == 200 && emails == PEOPLE - 1 {
                counts.0.fetch_add(emails as u64, Ordering::AcqRel);
            } else {
                counts.1.fetch_add(1, Ordering::AcqRel);
            }
        }
    });
    (read, failed)
}

/// With so many tenants.
pub async fn run(tenants: usize) -> Handover {
    let mut house = House::with(&[("WARDROOM__POOL__WARM_SPARES", "0")], &[]).await;
    house.close().await;
    people(&house, tenants).await;
    let batches = (tenants * PEOPLE).div_ceil(BATCH);
    house.failpoint = Some(format!("kill:handover.wrapped@{}", batches.div_ceil(2)));
    house.open().await;
    let going = Arc::new(AtomicBool::new(true));
    let (read, failed) = read(&house, tenants, &going);
    let mut command = house.command();
    let mut command = command.args(["key", "rotate"]).stdout(Stdio::null()).spawn().unwrap();
    while !house.ended() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Nor does who began it live.
    command.kill().unwrap();
    command.wait().unwrap();
    let store = open(&house).await;
    let killed_at = store.handover_progress().await.unwrap().expect("it was not done").done;
    store.close().await;
    house.failpoint = None;
    house.open().await;
    let next = house.data().join("kek.hex.next");
    until("the server has gone on and is done", SOON, || async {
        let verified = house.command().args(["key", "rotate"]).output().unwrap();
        (verified.status.success() && !next.exists()).then_some(())
    })
    .await;
    let begun = Instant::now();
    house.run(&["key", "rotate"]);
    let took = begun.elapsed();
    going.store(false, Ordering::Release);
    let verified = house.run(&["key", "verify"]);
    let sealed = verified.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_default();
    let (read, failed) = (read.load(Ordering::Acquire), failed.load(Ordering::Acquire));
    Handover { keys: (tenants * PEOPLE) as u64, sealed, took, read, failed, killed_at, house }
}
