//! Messages per second to 10,000 chats in random order, 4,096 in flight: through the kernel's routing table against a plain tokio
//! task that owns a map of channels.

use super::median;
use actix::prelude::*;
use dashmap::DashMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc};
use wardroom::clock::SystemClock;
use wardroom_actors::actor::fairness::Fairness;
use wardroom_actors::actor::inbox::{Inbox, Permit};
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::supervise::{self, Delays, Supervision};

const CHATS: u64 = 10_000;
const IN_FLIGHT: usize = 4096;

/// What is done with a message at its end.
#[derive(Clone)]
struct End {
    window: Arc<Semaphore>,
    handled: Arc<AtomicU64>,
}

impl End {
    fn reached(&self) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.window.add_permits(1);
    }
}

struct Chat {
    end: End,
    fairness: Fairness,
}

impl Actor for Chat {
    type Context = Context<Self>;
}

impl Supervised for Chat {}

#[derive(Message)]
#[rtype(result = "()")]
struct Routed {
    permit: Permit,
}

impl Handler<Routed> for Chat {
    type Result = ();

    fn handle(&mut self, routed: Routed, ctx: &mut Context<Self>) {
        self.fairness.spend(ctx);
        routed.permit.begin();
        self.end.reached();
    }
}

async fn send(messages: u64, end: &End, mut one: impl FnMut(u64)) -> f64 {
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

/// The kernel's way: a concurrent map, a permit, a supervised actor.
fn kernel(threads: usize, messages: u64) -> f64 {
    actix_rt::System::new().block_on(async move {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let supervision =
            Supervision { clock: Arc::clone(&clock), delays: Delays::default(), on_exit: Arc::new(|_, _, _| {}) };
        let others: Vec<_> = (1..threads).map(|_| Arbiter::new().handle()).collect();
        let end = end();
        let table: DashMap<u64, Arc<Inbox<Chat>>> = DashMap::new();
        for chat in 0..CHATS {
            // With one thread, sender and chats share it.
            let arbiter = others.first().cloned().unwrap_or_else(Arbiter::current);
            let mine = end.clone();
            let make = move |_| Chat { end: mine.clone(), fairness: Fairness::default() };
            let addr = supervise::start(&arbiter, "chat", supervision.clone(), make);
            table.insert(chat, Arc::new(Inbox::new(addr, 64, Arc::clone(&clock))));
        }
        send(messages, &end, |chat| {
            let inbox = table.get(&chat).map(|entry| Arc::clone(&entry)).unwrap();
            if let Some(permit) = inbox.permit() {
                inbox.addr.do_send(Routed { permit });
            } else {
                end.reached();
            }
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
        let (registry, mut inbox) = mpsc::channel::<u64>(IN_FLIGHT);
        let mut table = HashMap::new();
        for chat in 0..CHATS {
            let (sender, mut messages) = mpsc::channel::<u64>(64);
            let end = end.clone();
            tokio::spawn(async move {
                while messages.recv().await.is_some() {
                    end.reached();
                }
            });
            table.insert(chat, sender);
        }
        let refused = end.clone();
        tokio::spawn(async move {
            while let Some(chat) = inbox.recv().await {
                if table[&chat].try_send(chat).is_err() {
                    refused.reached();
                }
            }
        });
        let counted = end.clone();
        let sending = tokio::spawn(async move {
            send(messages, &counted, |chat| {
                if registry.try_send(chat).is_err() {
                    counted.reached();
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
