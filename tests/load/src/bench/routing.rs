//! Messages per second to 10,000 chats in random order, 4,096 in flight: through the kernel's routing table and doorbells against a
//! plain tokio task that owns a map of channels. As with the journal, a chat of the kernel fetches what waits for it when it is rung.

use super::median;
use actix::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc};
use wardroom::clock::SystemClock;
use wardroom_actors::actor::fairness::Fairness;
use wardroom_actors::actor::inbox::{Doorbell, Nudge};
use wardroom_actors::actor::living::Table;
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionId, TenantId};
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::supervise::{self, Delays, Supervision};

const CHATS: usize = 10_000;
const IN_FLIGHT: usize = 4096;

/// What is done with a message at its end.
#[derive(Clone)]
struct End {
    window: Arc<Semaphore>,
    handled: Arc<AtomicU64>,
}

impl End {
    fn reached(&self, messages: u64) {
        self.handled.fetch_add(messages, Ordering::Relaxed);
        self.window.add_permits(usize::try_from(messages).unwrap());
    }
}

/// What stands in the table for a chat.
#[derive(Default)]
struct Entry {
    bell: Doorbell<Chat>,
    /// Stands for the journal.
    waiting: AtomicU64,
}

struct Chat {
    end: End,
    entry: Arc<Entry>,
    fairness: Fairness,
}

impl Actor for Chat {
    type Context = Context<Self>;
}

impl Supervised for Chat {}

impl Handler<Nudge> for Chat {
    type Result = ();

    fn handle(&mut self, _: Nudge, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        self.entry.bell.answer();
        self.end.reached(self.entry.waiting.swap(0, Ordering::AcqRel));
    }
}

async fn send(messages: u64, end: &End, mut one: impl FnMut(usize)) -> f64 {
    let (mut rng, begun) = (StdRng::seed_from_u64(1), Instant::now());
    for _ in 0..messages {
        end.window.acquire().await.unwrap().forget();
        one(rng.random_range(0..CHATS));
    }
    while end.handled.load(Ordering::Relaxed) < messages {
        tokio::task::yield_now().await;
    }
    f64::from(u32::try_from(messages).unwrap()) / begun.elapsed().as_secs_f64()
}

fn end() -> End {
    End { window: Arc::new(Semaphore::new(IN_FLIGHT)), handled: Arc::default() }
}

fn key() -> ChatKey {
    ChatKey { tenant: TenantId::generate(), session: SessionId::generate(), chat: ChatUuid::generate() }
}

/// The kernel's way: a concurrent map, a doorbell, a supervised actor.
fn kernel(threads: usize, messages: u64) -> f64 {
    actix_rt::System::new().block_on(async move {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let supervision =
            Supervision { clock: Arc::clone(&clock), delays: Delays::default(), on_exit: Arc::new(|_, _, _| {}) };
        // The sender has one of the threads, and its share of the chats beside it.
        let others = (1..threads).map(|_| Arbiter::new().handle());
        let arbiters: Vec<_> = std::iter::once(Arbiter::current()).chain(others).collect();
        let end = end();
        let keys: Vec<_> = (0..CHATS).map(|_| key()).collect();
        let table: Table<ChatKey, Arc<Entry>> = Table::default();
        for (key, arbiter) in keys.iter().zip(arbiters.iter().cycle()) {
            let (mine, entry) = (end.clone(), Arc::new(Entry::default()));
            let its = Arc::clone(&entry);
            let make = move |_| Chat { end: mine.clone(), entry: Arc::clone(&its), fairness: Fairness::default() };
            entry.bell.connect(supervise::start(arbiter, "chat", supervision.clone(), make));
            table.insert(*key, entry);
        }
        send(messages, &end, |chat| {
            let entry = table.get(&keys[chat]).unwrap();
            entry.waiting.fetch_add(1, Ordering::AcqRel);
            entry.bell.ring();
        })
        .await
    })
}

/// The plain way: one task owns the map.
fn plain(threads: usize, messages: u64) -> f64 {
    let runtime = if threads == 1 {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().unwrap()
    };
    runtime.block_on(async move {
        let end = end();
        let (registry, mut inbox) = mpsc::channel::<ChatKey>(IN_FLIGHT);
        let keys: Vec<_> = (0..CHATS).map(|_| key()).collect();
        let mut table = HashMap::new();
        for key in &keys {
            let (sender, mut messages) = mpsc::channel::<ChatKey>(64);
            let end = end.clone();
            tokio::spawn(async move {
                while messages.recv().await.is_some() {
                    end.reached(1);
                }
            });
            table.insert(*key, sender);
        }
        let refused = end.clone();
        tokio::spawn(async move {
            while let Some(chat) = inbox.recv().await {
                if table[&chat].try_send(chat).is_err() {
                    refused.reached(1);
                }
            }
        });
        let counted = end.clone();
        let sending = tokio::spawn(async move {
            send(messages, &counted, |chat| {
                if registry.try_send(keys[chat]).is_err() {
                    counted.reached(1);
                }
            })
            .await
        });
        sending.await.unwrap()
    })
}

/// Medians of five interleaved runs: messages per second of the kernel and of the plain registry.
pub fn run(threads: usize) -> (f64, f64) {
    const MESSAGES: u64 = 1_000_000;
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..5 {
        ours.push(kernel(threads, MESSAGES));
        theirs.push(plain(threads, MESSAGES));
    }
    (median(ours), median(theirs))
}
