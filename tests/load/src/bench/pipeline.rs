//! Inbound messages through journal commit, agent and outbox commit, on a SQLite file with full synchronisation: offered at a fixed
//! rate, each message's latency from the moment it was due until the effect of its agent is committed.

use super::idle::entry;
use super::kernel::Bench;
use crate::traffic::histogram;
use hdrhistogram::Histogram;
use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wardroom::clock::SystemClock;
use wardroom::store::repo::journal::JournalWriter;
use wardroom::store::{Options, Role, Store};
use wardroom::vault::{Kek, Vault};
use wardroom_actors::agent::{Agent, AgentFactory};
use wardroom_actors::domain::ids::{ChatKey, NodeId};
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::ports::journal::{AgentCommit, AgentStore, Pending};
use wardroom_actors::ports::{BoxFuture, PortError};
use wardroom_actors::testing::kernel::Stores;

/// Chats that the messages go round.
const CHATS: u32 = 500;
/// Messages of the first seconds are not timed: each chat is made and its state loaded then.
const WARM_UP: Duration = Duration::from_secs(2);

struct Echo;

impl Agent for Echo {
    fn handle(
        &self,
        state: &AgentState,
        signal: &Signal,
        _: i64,
        _: &mut dyn rand::RngCore,
    ) -> (AgentState, Vec<Effect>) {
        match signal {
            Signal::Message(message) => (state.clone(), vec![Effect::Send { text: format!("re: {}", message.body) }]),
            Signal::Ack(_) | Signal::Change(_) => (state.clone(), vec![]),
        }
    }
}

impl AgentFactory for Echo {
    fn agent(&self, _: ChatKey) -> Arc<dyn Agent> {
        Arc::new(Self)
    }
}

#[derive(Default)]
struct Stopwatch {
    /// When each message was due, by id; then by place.
    due: HashMap<String, Instant>,
    placed: HashMap<i64, Instant>,
    times: Option<Histogram<u64>>,
    /// Messages done, the first seconds' too.
    done: u64,
    /// What is due before is not timed.
    from: Option<Instant>,
    last: Option<Instant>,
}

/// The store, watched.
struct Timed {
    store: Store,
    watch: Arc<Mutex<Stopwatch>>,
}

impl AgentStore for Timed {
    fn load(&self, chat: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>> {
        self.store.load(chat)
    }

    fn pending(&self, chat: ChatKey, handled: i64, limit: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>> {
        let (pending, watch) = (self.store.pending(chat, handled, limit), Arc::clone(&self.watch));
        Box::pin(async move {
            let pending = pending.await?;
            let mut watch = watch.lock().unwrap();
            for one in &pending {
                if let Signal::Message(message) = &one.signal
                    && let Some(due) = watch.due.remove(&message.id)
                {
                    watch.placed.insert(one.seq, due);
                }
            }
            Ok(pending)
        })
    }

    fn behind(&self) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>> {
        self.store.behind()
    }

    fn commit(&self, commit: AgentCommit) -> BoxFuture<'static, Result<(), PortError>> {
        let places: Vec<_> = commit.steps.iter().map(|(seq, _)| *seq).collect();
        let (commit, watch) = (self.store.commit(commit), Arc::clone(&self.watch));
        Box::pin(async move {
            commit.await?;
            let mut watch = watch.lock().unwrap();
            for seq in places {
                if let Some(due) = watch.placed.remove(&seq) {
                    if watch.from.is_some_and(|from| due >= from) {
                        let micros = u64::try_from(due.elapsed().as_micros()).unwrap().clamp(1, 600_000_000);
                        watch.times.get_or_insert_with(histogram).record(micros).unwrap();
                    }
                    watch.done += 1;
                    watch.last = Some(Instant::now());
                }
            }
            Ok(())
        })
    }
}

/// What came of an offered rate.
pub struct Throughput {
    /// Messages per second that were done.
    pub per_second: f64,
    /// Microseconds.
    pub latency: Histogram<u64>,
    /// The database, to be removed when nothing is measured any more: disks are slow for a while after large files are deleted.
    pub dir: TempDir,
}

/// Offers `per_second` messages for so long to a store in `dir`.
pub fn run(per_second: u32, time: Duration, dir: TempDir) -> Throughput {
    let url = format!("sqlite://{}", dir.path().join("bench.db").display());
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = io.handle().clone();
    let result = actix_rt::System::new().block_on(async move {
        let opening = handle.spawn(async move {
            let vault = Arc::new(Vault::new(Kek::parse(&"07".repeat(32), "bench").unwrap()));
            let options = Options { url, max_connections: 4 };
            let clock = Arc::new(SystemClock::start());
            let store = Box::pin(Store::open(&options, vault, clock, NodeId::generate(), Role::Server)).await.unwrap();
            let tenant = store.create_tenant("bench").await.unwrap().unwrap();
            let user = store.user_named(tenant, "owner").await.unwrap();
            (store, tenant, user)
        });
        let (store, tenant, user) = opening.await.unwrap();
        let watch = Arc::<Mutex<Stopwatch>>::default();
        let stores = Stores {
            sessions: Arc::new(store.clone()),
            outbox: Arc::new(store.clone()),
            agents: Arc::new(Timed { store: store.clone(), watch: Arc::clone(&watch) }),
        };
        let bench = Bench::start(&handle, 2, stores, Arc::new(Echo), (tenant, user), |sink, nudge| {
            Arc::new(JournalWriter::start(store, sink, nudge))
        });
        let spec = bench.session("one").await.spec;
        let (journal, offered) = (Arc::clone(&bench.journal), Arc::clone(&watch));
        // As drivers do: what has come since the last look goes into one append.
        let offering = handle.spawn(async move {
            let begun = Instant::now();
            offered.lock().unwrap().from = Some(begun + WARM_UP);
            let time = time + WARM_UP;
            let (mut n, mut appends) = (0_u32, tokio::task::JoinSet::new());
            while begun.elapsed() < time {
                let due_now = u32::try_from(begun.elapsed().as_micros() * u128::from(per_second) / 1_000_000).unwrap();
                let mut entries = vec![];
                while n < due_now {
                    let due = begun + Duration::from_secs_f64(f64::from(n) / f64::from(per_second));
                    let one = entry(&spec, &format!("{}@c.us", n % CHATS), &n.to_string());
                    let id = one.dedupe.replace("msg:", &format!("false_{}@c.us_", n % CHATS));
                    offered.lock().unwrap().due.insert(id, due);
                    entries.push(one);
                    n += 1;
                }
                if !entries.is_empty() {
                    let journal = Arc::clone(&journal);
                    appends.spawn(async move { journal.append(entries).await.unwrap() });
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            while appends.join_next().await.is_some() {}
            (begun, n)
        });
        let (begun, offered) = offering.await.unwrap();
        let patience = Instant::now();
        loop {
            let done = watch.lock().unwrap().done;
            if done >= u64::from(offered) || patience.elapsed() > Duration::from_secs(60) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let watch = watch.lock().unwrap();
        let latency = watch.times.clone().unwrap();
        assert_eq!(watch.done, u64::from(offered), "not all messages came through");
        let elapsed = watch.last.unwrap() - begun;
        (f64::from(offered) / elapsed.as_secs_f64(), latency)
    });
    io.shutdown_background();
    let (per_second, latency) = result;
    Throughput { per_second, latency, dir }
}

/// Bytes of a message in the plain log.
const RECORD: usize = 512;
/// The plain log goes round in this, as SQLite's does.
const RING: usize = 32 << 20;

/// The least that commits can cost on this disk: the same messages, offered at the same rate for the same time, each due group
/// written over a file that has its size already and followed by one fdatasync. No database, no agent, no thread but one.
pub fn plain(per_second: u32, time: Duration, place: &Path) -> Histogram<u64> {
    let dir = tempfile::tempdir_in(place).unwrap();
    let file = std::fs::File::create(dir.path().join("log")).unwrap();
    let zeros = vec![0; RING];
    file.write_all_at(&zeros, 0).unwrap();
    file.sync_all().unwrap();
    let (mut times, mut n, mut at) = (histogram(), 0_u32, 0);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let due_now = u32::try_from(begun.elapsed().as_micros() * u128::from(per_second) / 1_000_000).unwrap();
        if due_now == n {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let bytes = (RECORD * (due_now - n) as usize).min(RING);
        if at + bytes > RING {
            at = 0;
        }
        file.write_all_at(&zeros[..bytes], at as u64).unwrap();
        file.sync_data().unwrap();
        at += bytes;
        for one in n..due_now {
            let due = begun + Duration::from_secs_f64(f64::from(one) / f64::from(per_second));
            times.record(u64::try_from(due.elapsed().as_micros()).unwrap().max(1)).unwrap();
        }
        n = due_now;
    }
    times
}
