//! The whole server with an engine that has no browsers: HTTP, journal, agents, outbox, webhooks and sockets as they are, and
//! messages that come at a fixed rate. The server runs in a process of its own: this program with the argument `serve`.

use super::idle::message;
use crate::house::House;
use crate::traffic::now;
use actix_rt::System;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wardroom::clock::SystemClock;
use wardroom::{app, config, telemetry};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::message::Message;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::engine::{CommandError, DriverContext, Engine, Report};
use wardroom_actors::ports::journal::Entry;
use wardroom_actors::ports::store::{Delivery, Outgoing};
use wardroom_actors::ports::{BoxFuture, PortError};

/// Names the file in which a [`Score`] appears.
const SCORE: &str = "WARDROOM_LOAD_SCORE";

/// Set: what is accepted stays in the outbox.
pub const IDLE: &str = "WARDROOM_LOAD_IDLE";

/// Which messages come in, the same for each session.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Score {
    /// When the first one is due, in microseconds since 1970.
    pub begin: u64,
    /// Messages per second and session.
    pub per_second: f64,
    /// Messages of each session.
    pub count: u32,
    /// Chats of each session that they go round.
    pub chats: u32,
}

/// A house whose server is this program.
pub async fn house(settings: &[(&str, &str)]) -> House {
    let dir = tempfile::tempdir().unwrap();
    let score = dir.path().join("score").display().to_string();
    let mut all = vec![
        (SCORE, score.as_str()),
        ("WARDROOM__QUOTAS__USER__SESSIONS", "1000"),
        ("WARDROOM__POOL__WARM_SPARES", "0"),
        ("WARDROOM__LIMITS__SOCKETS_PER_TENANT", "2000"),
    ];
    all.extend(settings);
    House::of(std::env::current_exe().unwrap(), dir, &all, &[]).await
}

/// From now on messages come in.
pub fn play(house: &House, score: Score) {
    let (fresh, path) = (house.dir.path().join("score.fresh"), house.dir.path().join("score"));
    std::fs::write(&fresh, serde_json::to_string(&score).unwrap()).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

/// Runs the server until it is killed.
pub fn serve() {
    wardroom::egress::provide_tls();
    let config = config::load(None).unwrap();
    telemetry::start(&config.log).unwrap();
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
    let handle = io.handle().clone();
    System::new().block_on(async move {
        let clock = Arc::new(SystemClock::start());
        let _running = app::start(config, handle, clock, Some(Arc::new(Puppet))).await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// Is linked at once, sends what it is given, and hears what the score says.
struct Puppet;

impl Engine for Puppet {
    fn run(&self, mut context: DriverContext) -> BoxFuture<'static, ExitReason> {
        Box::pin(async move {
            let account = Account { id: "49170@c.us".into(), lid: None, push_name: "Puppet".into() };
            context.report(Report::Ready(account)).await;
            let mut stop = context.stop.clone();
            let mut commands = std::mem::replace(&mut context.commands, tokio::sync::mpsc::channel(1).1);
            let context = &context;
            tokio::select! {
                _ = stop.wait_for(Option::is_some) => ExitReason::Stopped,
                () = sends(context) => ExitReason::Stopped,
                () = hears(context) => ExitReason::Stopped,
                () = async {
                    while let Some(command) = commands.recv().await {
                        command.refuse(CommandError::Unsupported);
                    }
                } => ExitReason::Stopped,
            }
        })
    }

    fn clean_up(&self, _: &SessionSpec) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn put_away(&self, _: &SessionSpec) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(true))
    }

    fn forget(&self, _: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// As a driver with a page does it: tried, sent, recorded, closed, one after the other.
async fn sends(context: &DriverContext) {
    if std::env::var_os(IDLE).is_some() {
        return std::future::pending().await;
    }
    let key = context.spec.key();
    loop {
        let waiting = context.outbox.waiting(&context.spec, &[], 32).await.unwrap();
        if waiting.is_empty() {
            let _ = tokio::time::timeout(Duration::from_secs(30), context.outbox_ready.notified()).await;
        }
        for Outgoing { id, chat, message_id, .. } in waiting {
            context.outbox.attempt(key, id).await.unwrap();
            let id_there = format!("true_{chat}_{message_id}");
            let own = Message { id: id_there, from_me: true, via_api: true, ..message(&chat.to_string(), &message_id) };
            context.journal.append(vec![entry(&context.spec, own.clone())]).await.unwrap();
            context.outbox.finish(key, id, Delivery::Sent { id: own.id.clone() }).await.unwrap();
            context.report(Report::Delivered { message_id, result: Ok(own) }).await;
        }
    }
}

/// As a driver with a page does it: what has come since the last look is committed at once.
async fn hears(context: &DriverContext) {
    let Ok(path) = std::env::var(SCORE) else { return std::future::pending().await };
    let score = loop {
        match read(Path::new(&path)) {
            Some(score) => break score,
            None => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    };
    let due = |n: u32| score.begin + (f64::from(n) / score.per_second * 1e6) as u64;
    let mut n = 0;
    while n < score.count {
        let mut entries = vec![];
        while n < score.count && due(n) <= now() {
            let chat = format!("49{}@c.us", n % score.chats);
            let one = Message { body: format!("due {}", due(n)), ..message(&chat, &n.to_string()) };
            entries.push(entry(&context.spec, one));
            n += 1;
        }
        if !entries.is_empty() {
            context.journal.append(entries).await.unwrap();
        }
        let wait = due(n).saturating_sub(now()).max(1000);
        tokio::time::sleep(Duration::from_micros(wait)).await;
    }
    std::future::pending().await
}

fn read(path: &Path) -> Option<Score> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn entry(spec: &SessionSpec, message: Message) -> Entry {
    Entry {
        key: spec.key(),
        user: spec.user,
        session: spec.name.clone(),
        epoch: spec.link_epoch,
        dedupe: format!("msg:{}", message.id),
        kind: EventKind::Message(message),
        told: vec![],
    }
}
