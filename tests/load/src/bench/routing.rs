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
use tokio::sync::mpsc;
use wardroom::clock::SystemClock;
use wardroom_actors::actor::fairness::Fairness;
use wardroom_actors::actor::inbox::{Doorbell, Nudge};
use wardroom_actors::actor::living::Table;
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionId, TenantId};
use wardroom_actors::supervise::{self, Delays, Supervision};

const CHATS: usize = 10_000;
const IN_FLIGHT: u64 = 4096;

/// Messages that have reached their chats.
type Handled = Arc<AtomicU64>;

/// What stands in the table for a chat.
#[derive(Default)]
struct Entry {
    bell: Doorbell<Chat>,
    /// Stands for the journal.
    waiting: AtomicU64,
}

struct Chat {
    handled: Handled,
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
        self.handled.fetch_add(self.entry.waiting.swap(0, Ordering::AcqRel), Ordering::Relaxed);
    }
}

async fn send(messages: u64, handled: &Handled, mut one: impl FnMut(usize)) -> f64 {
    let (mut rng, begun) = (StdRng::seed_from_u64(1), Instant::now());
    let reaches = async |least: u64| {
        while handled.load(Ordering::Relaxed) < least {
            tokio::task::yield_now().await;
        }
    };
    for sent in 0..messages {
        reaches((sent + 1).saturating_sub(IN_FLIGHT)).await;
        one(rng.random_range(0..CHATS));
    }
    reaches(messages).await;
    f64::from(u32::try_from(messages).unwrap()) / begun.elapsed().as_secs_f64()
}

fn key() -> ChatKey {
    ChatKey { tenant: TenantId::generate(), session: SessionId::generate(), chat: ChatUuid::generate() }
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Everything on one thread.
    OneThread,
    /// The sender on one thread, the chats on another.
    Apart,
    /// The sender on one thread, half of the chats beside it.
    Mixed,
}

/// The kernel's way: a concurrent map, a doorbell, a supervised actor.
fn kernel(layout: Layout, messages: u64) -> f64 {
    actix_rt::System::new().block_on(async move {
        let clock = Arc::new(SystemClock::start());
        let supervision = Arc::new(Supervision { clock, delays: Delays::default(), on_exit: Arc::new(|_, _, _| {}) });
        let arbiters = match layout {
            Layout::OneThread => vec![Arbiter::current()],
            Layout::Apart => vec![Arbiter::new().handle()],
            Layout::Mixed => vec![Arbiter::current(), Arbiter::new().handle()],
        };
        let handled = Handled::default();
        let keys: Vec<_> = (0..CHATS).map(|_| key()).collect();
        let table: Table<ChatKey, Arc<Entry>> = Table::default();
        for (key, arbiter) in keys.iter().zip(arbiters.iter().cycle()) {
            let (mine, entry) = (Arc::clone(&handled), Arc::new(Entry::default()));
            let its = Arc::clone(&entry);
            let make =
                move |_| Chat { handled: Arc::clone(&mine), entry: Arc::clone(&its), fairness: Fairness::default() };
            entry.bell.connect(supervise::start(arbiter, "chat", Arc::clone(&supervision), make));
            table.insert(*key, entry);
        }
        send(messages, &handled, |chat| {
            let entry = table.get(&keys[chat]).unwrap();
            entry.waiting.fetch_add(1, Ordering::AcqRel);
            entry.bell.ring();
        })
        .await
    })
}

/// The plain way: one task owns the map.
fn plain(layout: Layout, messages: u64) -> f64 {
    let runtime = if layout == Layout::OneThread {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
    };
    runtime.block_on(async move {
        let handled = Handled::default();
        let (registry, mut inbox) = mpsc::channel::<ChatKey>(usize::try_from(IN_FLIGHT).unwrap());
        let keys: Vec<_> = (0..CHATS).map(|_| key()).collect();
        let mut table = HashMap::new();
        for key in &keys {
            let (sender, mut messages) = mpsc::channel::<ChatKey>(64);
            let handled = Arc::clone(&handled);
            tokio::spawn(async move {
                while messages.recv().await.is_some() {
                    handled.fetch_add(1, Ordering::Relaxed);
                }
            });
            table.insert(*key, sender);
        }
        tokio::spawn(async move {
            while let Some(chat) = inbox.recv().await {
                table[&chat].try_send(chat).unwrap();
            }
        });
        let sending =
            tokio::spawn(async move { send(messages, &handled, |chat| registry.try_send(keys[chat]).unwrap()).await });
        sending.await.unwrap()
    })
}

/// Medians of five interleaved runs: messages per second of the kernel and of the plain registry.
pub fn run(layout: Layout) -> (f64, f64) {
    const MESSAGES: u64 = 1_000_000;
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..5 {
        ours.push(kernel(layout, MESSAGES));
        theirs.push(plain(layout, MESSAGES));
    }
    (median(ours), median(theirs))
}
