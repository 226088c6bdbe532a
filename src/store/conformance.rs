//! One suite for every store: SQLite in memory, SQLite in a file, PostgreSQL, and the fakes that the kernel is tested with.

mod audit;
mod keys;
mod people;
mod quotas;
mod reading;
mod rows;
mod shredding;

use super::repo::deliveries::{Dead, Lane, LaneBell, Outcome};
use super::repo::journal::JournalWriter;
use super::{Options, Role, Store};
use crate::vault::{Kek, Vault};
use std::sync::{Arc, Mutex};
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::draft::Draft;
use wardroom_actors::domain::event::{EventKind, StatusChange};
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::ids::{ChatKey, NodeId, SessionKey, SessionName, TenantId, UserId, WorkerId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::message::{Ack, AckChange, Message};
use wardroom_actors::domain::quota::{Exceeded, Quota, Resource, Whose};
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::domain::spec::{EngineName, Network, SessionSpec};
use wardroom_actors::domain::webhook::HookId;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::journal::{AgentCommit, AgentStore, Entry, Journal, NudgeSink, Pending, Recorded};
use wardroom_actors::ports::store::{
    AcceptError, CreateError, Delivery, NewSession, OutboxStore, SessionStore, Wanted,
};
use wardroom_actors::testing::{Memory, RecordingSink, SharedClock, sessions as at_most};
use wardroom_load::postgres::Postgres;

/// A store under test, as the kernel sees it.
struct Ground {
    sessions: Arc<dyn SessionStore>,
    outbox: Arc<dyn OutboxStore>,
    agents: Arc<dyn AgentStore>,
    journal: Arc<dyn Journal>,
    sink: Arc<RecordingSink>,
    tenant: TenantId,
    user: UserId,
    /// The real store, for what only that has.
    store: Option<Store>,
    /// Lanes that were rung for.
    rung: Arc<Bells>,
}

#[derive(Default)]
struct Bells(Mutex<Vec<Lane>>);

impl LaneBell for Bells {
    fn ring(&self, lane: Lane) {
        self.0.lock().unwrap().push(lane);
    }
}

struct Quiet;

impl NudgeSink for Quiet {
    fn nudge(&self, _: ChatKey) {}
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(Kek::parse(&"07".repeat(32), "test").unwrap()))
}

async fn opened(url: &str, vault: Arc<Vault>, node: NodeId) -> Store {
    let options = Options { url: url.to_owned(), max_connections: 4 };
    Box::pin(Store::open(&options, vault, Arc::new(SharedClock::default()), node, Role::Server)).await.unwrap()
}

async fn real(url: &str) -> Ground {
    let store = opened(url, vault(), NodeId::generate()).await;
    let tenant = store.create_tenant(&format!("t{}", uuid::Uuid::new_v4())).await.unwrap().unwrap();
    let user = store.user_named(tenant, "owner").await.unwrap();
    let (sink, rung) = (Arc::new(RecordingSink::default()), Arc::new(Bells::default()));
    store.hear_lanes(Arc::clone(&rung) as _);
    let journal = JournalWriter::start(store.clone(), Arc::clone(&sink) as _, Arc::new(Quiet));
    Ground {
        sessions: Arc::new(store.clone()),
        outbox: Arc::new(store.clone()),
        agents: Arc::new(store.clone()),
        journal: Arc::new(journal),
        sink,
        tenant,
        user,
        store: Some(store),
        rung,
    }
}

fn fake() -> Ground {
    let (memory, sink) = (Memory::default(), Arc::new(RecordingSink::default()));
    let _ = memory.sink.set(Arc::clone(&sink) as _);
    Ground {
        sessions: Arc::new(memory.clone()),
        outbox: Arc::new(memory.clone()),
        agents: Arc::new(memory.clone()),
        journal: Arc::new(memory),
        sink,
        tenant: TenantId::generate(),
        user: UserId::generate(),
        store: None,
        rung: Arc::default(),
    }
}

impl Ground {
    fn new_session(&self, name: &str) -> NewSession {
        NewSession {
            tenant: self.tenant,
            user: self.user,
            name: SessionName::parse(name).unwrap(),
            engine: EngineName::Web,
            network: Network::Simulator,
            config: "{\"a\":1}".into(),
            desired_running: true,
        }
    }

    async fn session(&self, name: &str) -> SessionSpec {
        self.sessions.create(self.new_session(name), Quota::default()).await.unwrap()
    }

    async fn get(&self, key: SessionKey) -> SessionSpec {
        self.sessions.get(key).await.unwrap().unwrap()
    }

    fn entry(&self, spec: &SessionSpec, dedupe: &str, kind: EventKind) -> Entry {
        Entry {
            key: spec.key(),
            user: self.user,
            session: spec.name.clone(),
            epoch: spec.link_epoch,
            dedupe: dedupe.into(),
            kind,
            told: vec![],
        }
    }

    fn message(&self, spec: &SessionSpec, id: &str, chat: &str, alias: Option<&str>, at: i64) -> Entry {
        let message = Message {
            id: format!("false_{chat}_{id}"),
            chat: chat.into(),
            chat_alias: alias.map(str::to_owned),
            from_me: false,
            participant: None,
            push_name: Some("Name".into()),
            kind: "chat".into(),
            body: format!("body {id}"),
            timestamp: at,
            ack: Ack::Server,
            via_api: false,
            parts: Box::default(),
        };
        self.entry(spec, &format!("msg:{id}"), EventKind::Message(message))
    }

    async fn record(&self, spec: &SessionSpec, id: &str, chat: &str, alias: Option<&str>, at: i64) -> Recorded {
        self.journal.append(vec![self.message(spec, id, chat, alias, at)]).await.unwrap().remove(0)
    }
}

fn chat(recorded: &Recorded) -> ChatKey {
    match recorded {
        Recorded::New { chat: Some(chat), .. } => *chat,
        other => panic!("{other:?}"),
    }
}

fn seq(recorded: &Recorded) -> i64 {
    match recorded {
        Recorded::New { seq, .. } => *seq,
        Recorded::Duplicate => panic!("a duplicate"),
    }
}

async fn sessions_are_named_once_counted_and_forgotten(ground: &Ground) {
    let one = ground.session("one").await;
    assert_eq!(ground.get(one.key()).await, one);
    assert_eq!((one.config.as_str(), one.network), ("{\"a\":1}", Network::Simulator));
    assert_eq!(
        ground.sessions.create(ground.new_session("one"), Quota::default()).await.unwrap_err(),
        CreateError::Exists
    );
    let full = ground.sessions.create(ground.new_session("two"), at_most(1)).await.unwrap_err();
    let exceeded = Exceeded { resource: Resource::Sessions, whose: Whose::User, limit: 1 };
    assert_eq!(full, CreateError::Quota(exceeded));
    let stranger = SessionKey { tenant: TenantId::generate(), session: one.id };
    assert_eq!(ground.sessions.get(stranger).await.unwrap(), None);

    ground.sessions.set_desired(&one, false).await.unwrap();
    ground.sessions.set_config(&one, Network::Whatsapp, "{}".into(), Quota::default()).await.unwrap();
    let worker = WorkerId::generate();
    ground.sessions.set_worker(&one, Some(worker)).await.unwrap();
    let account = Account { id: "1@c.us".into(), lid: Some("9@lid".into()), push_name: "One".into() };
    let epoch = ground.sessions.linked(&one, &account, 77).await.unwrap();
    let now = ground.get(one.key()).await;
    assert_eq!((epoch.0, now.link_epoch, now.linked_at), (1, epoch, Some(77)));
    assert_eq!((now.desired_running, now.network, now.config.as_str()), (false, Network::Whatsapp, "{}"));
    assert_eq!((now.account.as_ref(), now.worker), (Some(&account), Some(worker)));
    ground.sessions.unlinked(&now).await.unwrap();
    let now = ground.get(one.key()).await;
    assert_eq!((now.account, now.worker, now.link_epoch), (None, None, epoch), "the epoch never goes back");

    ground.sessions.bury(&one).await.unwrap();
    assert!(ground.sessions.all().await.unwrap().iter().all(|spec| spec.id != one.id));
    assert!(ground.sessions.tombstones().await.unwrap().iter().any(|spec| spec.id == one.id));
    let again = ground.session("one").await;
    assert_ne!(again.id, one.id, "a buried name is free");
    ground.sessions.purge(one.key()).await.unwrap();
    assert_eq!(ground.sessions.get(one.key()).await.unwrap(), None);
    assert_eq!(ground.sessions.set_desired(&one, true).await, Err(PortError::Conflict));
    ground.sessions.purge(again.key()).await.unwrap();
}

async fn the_journal_keeps_order_and_drops_repeats(ground: &Ground) {
    let (one, two) = (ground.session("j1").await, ground.session("j2").await);
    let first = ground.record(&one, "a", "5@c.us", None, 10).await;
    let second = ground.record(&one, "b", "5@c.us", None, 30).await;
    assert_eq!(ground.record(&one, "a", "5@c.us", None, 10).await, Recorded::Duplicate);
    let three = ["b", "c", "c"].map(|n| ground.message(&one, n, "5@c.us", None, 30));
    let three = ground.journal.append(three.into()).await.unwrap();
    assert!(matches!(three[..], [Recorded::Duplicate, Recorded::New { .. }, Recorded::Duplicate]), "{three:?}");
    let elsewhere = ground.record(&two, "a", "5@c.us", None, 20).await;
    assert!(seq(&first) < seq(&second) && seq(&second) < seq(&elsewhere));
    assert_eq!(chat(&first), chat(&second));
    assert_ne!(chat(&first).chat, chat(&elsewhere).chat, "the same chat_id in two sessions is two chats");
    assert_eq!(ground.sessions.watermark(one.key(), one.link_epoch).await.unwrap(), Some(30));

    let status = StatusChange { status: Status::Working, history: vec![], exit: None };
    let typing =
        EventKind::Presence { chat: "5@c.us".into(), participant: None, presence: "typing".into(), last_seen: None };
    let entries = vec![ground.entry(&one, "s1", typing), ground.entry(&one, "s2", EventKind::Status(status))];
    let recorded = ground.journal.append(entries).await.unwrap();
    assert_eq!(recorded[0], Recorded::Duplicate, "who types is never stored");
    assert!(matches!(recorded[1], Recorded::New { chat: None, .. }));
    let told: Vec<_> = ground.sink.0.lock().unwrap().iter().map(|event| event.seq).collect();
    let stored: Vec<_> = told.iter().copied().flatten().collect();
    assert!(stored.is_sorted() && told.contains(&None), "{told:?}");

    ground.sessions.purge(one.key()).await.unwrap();
    let late = ground.record(&one, "late", "5@c.us", None, 40).await;
    assert_eq!(late, Recorded::Duplicate, "nothing is recorded for a session that is gone");
    assert_eq!(ground.sessions.watermark(one.key(), one.link_epoch).await.unwrap(), None);
    ground.sessions.purge(two.key()).await.unwrap();
}

async fn two_names_of_one_person_are_one_chat(ground: &Ground) {
    let one = ground.session("a1").await;
    let by_number = ground.record(&one, "a", "6@c.us", None, 1).await;
    let by_hidden = ground.record(&one, "b", "66@lid", None, 2).await;
    assert_ne!(chat(&by_number), chat(&by_hidden));
    let joined = chat(&ground.record(&one, "c", "66@lid", Some("6@c.us"), 3).await);
    assert_eq!(joined, chat(&by_number), "the older chat stays");
    let (_, mark) = ground.agents.load(joined).await.unwrap();
    let all = ground.agents.pending(joined, mark, 10).await.unwrap();
    let bodies: Vec<_> = all
        .iter()
        .map(|pending| match &pending.signal {
            Signal::Message(message) => message.body.clone(),
            Signal::Ack(_) | Signal::Change(_) => String::new(),
        })
        .collect();
    assert_eq!(bodies, ["body a", "body b", "body c"]);
    assert_eq!(chat(&ground.record(&one, "d", "6@c.us", None, 4).await), joined);
    ground.sessions.purge(one.key()).await.unwrap();
}

/// Whatever two agents had handled when their chats became one: the rest is seen once, in order.
async fn chats_that_become_one_lose_and_repeat_nothing(ground: &Ground) {
    let turns = ["6@c.us", "66@lid", "66@lid", "6@c.us", "66@lid"];
    for (by_older, by_younger) in [(0, 0), (0, 3), (2, 0), (1, 2), (2, 1), (2, 3)] {
        let one = ground.session("m1").await;
        let mut chats = [vec![], vec![]];
        for (n, alias) in turns.into_iter().enumerate() {
            let recorded = ground.record(&one, &n.to_string(), alias, None, 1).await;
            chats[usize::from(alias == "66@lid")].push((chat(&recorded), seq(&recorded), format!("body {n}")));
        }
        let hook: HookId = "7".parse().unwrap();
        let mut open = vec![];
        let mut late = vec![];
        for (signals, handled) in chats.iter().zip([by_older, by_younger]) {
            let steps = |signals: &[(ChatKey, i64, String)]| -> Vec<_> {
                let effects = || vec![Effect::Webhook { hook, name: "message" }];
                signals.iter().map(|(_, seq, _)| (*seq, effects())).collect()
            };
            let (done, rest) = signals.split_at(handled);
            let commit = |expected, steps| AgentCommit {
                chat: signals[0].0,
                expected,
                steps,
                poison: vec![],
                state: AgentState(vec![1]),
            };
            if !done.is_empty() {
                ground.agents.commit(commit(0, steps(done))).await.unwrap();
            }
            if !rest.is_empty() {
                late.push(commit(done.last().map_or(0, |(_, seq, _)| *seq), steps(rest)));
            }
            open.extend(rest.iter().map(|(_, seq, body)| (*seq, body.clone())));
        }
        open.sort();
        ground.rung.0.lock().unwrap().clear();
        let joined = chat(&ground.record(&one, "c", "66@lid", Some("6@c.us"), 3).await);
        assert_eq!(joined, chats[0][0].0, "the older chat stays");
        for commit in late {
            assert_eq!(
                ground.agents.commit(commit).await,
                Err(PortError::Conflict),
                "what was under way is taken back"
            );
        }
        assert_eq!(ground.agents.behind().await.unwrap(), [joined]);
        let (_, mark) = ground.agents.load(joined).await.unwrap();
        let seen = ground.agents.pending(joined, mark, 10).await.unwrap();
        let bodies = seen.iter().map(|pending| match &pending.signal {
            Signal::Message(message) => message.body.as_str(),
            Signal::Ack(_) | Signal::Change(_) => "",
        });
        let expected = open.iter().map(|(_, body)| body.as_str()).chain(["body c"]);
        assert_eq!(bodies.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{by_older}, {by_younger}");
        if let Some(store) = &ground.store {
            let lane = Lane { key: one.key(), hook, chat: joined.chat };
            let told = store.deliveries(lane).await.unwrap();
            assert_eq!(told.len(), by_older + by_younger, "what webhooks have to be told goes along");
            assert_eq!(ground.rung.0.lock().unwrap().contains(&lane), !told.is_empty());
        }
        ground.sessions.purge(one.key()).await.unwrap();
    }
}

async fn what_is_replayed_twice_is_seen_twice(ground: &Ground) {
    if ground.store.is_none() {
        return;
    }
    let one = ground.session("r1").await;
    let first = ground.record(&one, "a", "6@c.us", None, 1).await;
    let (chat, mut of) = (chat(&first), seq(&first));
    for n in ["r1", "r2"] {
        let again = ground.entry(&one, n, EventKind::Replay { of, chat: chat.chat });
        of = seq(&ground.journal.append(vec![again]).await.unwrap()[0]);
    }
    let seen = ground.agents.pending(chat, 0, 10).await.unwrap();
    let of_message = |pending: &Pending| matches!(&pending.signal, Signal::Message(one) if one.body == "body a");
    assert!(seen.len() == 3 && seen.iter().all(of_message), "{seen:?}");
    ground.sessions.purge(one.key()).await.unwrap();
}

async fn agents_commit_once_and_in_order(ground: &Ground) {
    let one = ground.session("g1").await;
    let first = ground.record(&one, "a", "7@c.us", None, 1).await;
    let second = ground.record(&one, "b", "7@c.us", None, 2).await;
    let chat = chat(&first);
    assert_eq!(ground.agents.behind().await.unwrap(), [chat]);
    assert_eq!(ground.agents.load(chat).await.unwrap(), (AgentState::default(), 0));
    let commit = |expected, handled, state: u8| AgentCommit {
        chat,
        expected,
        steps: vec![(handled, vec![Effect::Webhook { hook: "7".parse().unwrap(), name: "message" }])],
        poison: vec![],
        state: AgentState(vec![state]),
    };
    ground.agents.commit(commit(0, seq(&first), 1)).await.unwrap();
    assert_eq!(ground.agents.commit(commit(0, seq(&second), 9)).await, Err(PortError::Conflict), "compare and set");
    assert_eq!(ground.agents.load(chat).await.unwrap(), (AgentState(vec![1]), seq(&first)));
    assert_eq!(ground.agents.pending(chat, seq(&first), 10).await.unwrap().len(), 1);
    ground.agents.commit(commit(seq(&first), seq(&second), 2)).await.unwrap();
    assert!(ground.agents.behind().await.unwrap().is_empty());
    // An ack that nobody has handled counts as well: no later message may come to ring for it.
    let (message_id, chat_id) = ("false_7@c.us_b".into(), "7@c.us".into());
    let read = AckChange { message_id, chat: chat_id, from_me: false, ack: Ack::Read, participant: None };
    ground.journal.append(vec![ground.entry(&one, "ack:b:3", EventKind::Ack(read))]).await.unwrap();
    assert_eq!(ground.agents.behind().await.unwrap(), [chat]);
    // More at once than one statement takes.
    let last = seq(&second) + 3000;
    let many = AgentCommit {
        steps: (seq(&second) + 1..=last).flat_map(|seq| commit(0, seq, 0).steps).collect(),
        ..commit(seq(&second), last, 3)
    };
    ground.agents.commit(many).await.unwrap();
    assert_eq!(ground.agents.load(chat).await.unwrap(), (AgentState(vec![3]), last));
    ground.sessions.purge(one.key()).await.unwrap();
}

async fn agents_are_overtaken_alone_and_see_on_where_they_are(ground: &Ground) {
    let one = ground.session("g2").await;
    let mut first = vec![];
    for n in 0..3 {
        first.push(ground.record(&one, &format!("m{n}"), &format!("{n}@c.us"), None, 1).await);
    }
    let commit = |expected, of: &Recorded| {
        let (steps, state) = (vec![(seq(of), vec![])], AgentState(vec![1]));
        ground.agents.commit(AgentCommit { chat: chat(of), expected, steps, poison: vec![], state })
    };
    // The first is written alone, and the others wait for it and are written together.
    let answers = tokio::join!(commit(0, &first[0]), commit(77, &first[1]), commit(0, &first[2]));
    assert_eq!(answers, (Ok(()), Err(PortError::Conflict), Ok(())));
    if ground.store.is_none() {
        return;
    }

    let (chat, mark) = (chat(&first[0]), seq(&first[0]));
    let bodies = async |mark| {
        let seen = ground.agents.pending(chat, mark, 10).await.unwrap();
        let body = |pending: Pending| match pending.signal {
            Signal::Message(message) => message.body,
            other => panic!("{other:?}"),
        };
        seen.into_iter().map(body).collect::<Vec<_>>()
    };
    assert!(bodies(mark).await.is_empty());
    let next = ground.record(&one, "n", "0@c.us", None, 2).await;
    assert_eq!(bodies(mark).await, ["body n"]);
    assert_eq!(bodies(0).await, ["body m0", "body n"]);
    let again = ground.entry(&one, "r", EventKind::Replay { of: mark, chat: chat.chat });
    let again = ground.journal.append(vec![again]).await.unwrap().remove(0);
    ground.record(&one, "o", "0@c.us", None, 3).await;
    assert_eq!(bodies(mark).await, ["body n", "body m0", "body o"]);
    commit(mark, &next).await.unwrap();
    assert_eq!(bodies(seq(&next)).await, ["body m0", "body o"]);
    commit(seq(&next), &again).await.unwrap();
    assert_eq!(bodies(seq(&again)).await, ["body o"]);
    ground.sessions.purge(one.key()).await.unwrap();
    assert_eq!(ground.agents.pending(chat, seq(&again), 10).await, Err(PortError::Conflict), "nothing is left of it");
}

fn wanted(name: &str, text: &str) -> Wanted {
    let (chat, message_id) = (ChatId::parse("8").unwrap(), wardroom_actors::domain::ids::message_id());
    Wanted { chat, draft: Draft::text(text), message_id, dedupe: name.into() }
}

async fn the_outbox_is_bounded_and_ordered(ground: &Ground) {
    let one = ground.session("o1").await;
    let accept = async |name: &str, text: &str| ground.outbox.accept(&one, &wanted(name, text), 2).await;
    let first = accept("1", "first").await.unwrap().outgoing;
    let second = accept("2", "second").await.unwrap().outgoing;
    assert_eq!(accept("3", "third").await, Err(AcceptError::Full));
    ground.outbox.attempt(one.key(), first.id).await.unwrap();
    let waiting = ground.outbox.waiting(&one, &[], 10).await.unwrap();
    let shown: Vec<_> = waiting.iter().map(|message| (message.draft.body(), message.attempts)).collect();
    assert_eq!(shown, [("first", 1), ("second", 0)]);
    assert!(ground.outbox.waiting(&one, &[ChatId::parse("8").unwrap()], 10).await.unwrap().is_empty());
    assert_eq!(ground.outbox.waiting(&one, &[ChatId::parse("9").unwrap()], 10).await.unwrap().len(), 2);
    ground.outbox.finish(one.key(), first.id, Delivery::Sent { id: "true_8@c.us_A".into() }).await.unwrap();
    let failed = Delivery::Failed { code: "refused".into() };
    ground.outbox.finish(one.key(), second.id, failed).await.unwrap();
    assert!(ground.outbox.waiting(&one, &[], 10).await.unwrap().is_empty());
    accept("3", "third").await.unwrap();
    ground.sessions.purge(one.key()).await.unwrap();
}

async fn what_is_wanted_twice_is_done_once(ground: &Ground) {
    let (one, two) = (ground.session("i1").await, ground.session("i2").await);
    let accept = async |spec, name: &str, text: &str| ground.outbox.accept(spec, &wanted(name, text), 2).await;
    let first = accept(&one, "a", "hi").await.unwrap();
    accept(&one, "b", "full").await.unwrap();
    let again = accept(&one, "a", "hi").await.unwrap();
    assert_eq!(again.outgoing.message_id, first.outgoing.message_id, "although it is full");
    assert!(first.is_new && !again.is_new);
    assert_eq!(accept(&one, "a", "ho").await, Err(AcceptError::Taken));
    let elsewhere = accept(&two, "a", "ho").await.unwrap();
    assert_ne!(elsewhere.outgoing.message_id, first.outgoing.message_id, "each session has its own names");
    let (sent, failed) = (Delivery::Sent { id: "true_8@c.us_A".into() }, Delivery::Failed { code: "refused".into() });
    ground.outbox.finish(one.key(), first.outgoing.id, sent.clone()).await.unwrap();
    assert_eq!(accept(&one, "a", "hi").await.unwrap().ended, Some(sent));
    ground.outbox.finish(two.key(), elsewhere.outgoing.id, failed.clone()).await.unwrap();
    assert_eq!(accept(&two, "a", "ho").await.unwrap().ended, Some(failed));
    let many: Vec<_> = (0..8).map(|_| ground.outbox.accept(&two, &wanted("c", "at once"), 100)).collect();
    let all: Vec<_> = futures_util::future::join_all(many).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().map(|one| one.outgoing.id).collect::<std::collections::HashSet<_>>().len(), 1);
    assert_eq!(all.iter().filter(|one| one.is_new).count(), 1, "of those that come at once, one is new");
    for spec in [&one, &two] {
        ground.sessions.purge(spec.key()).await.unwrap();
    }
}

/// What only a real store has: deliveries.
async fn what_webhooks_are_told_waits_in_lanes(ground: &Ground) {
    let Some(store) = &ground.store else { return };
    let (one, hook) = (ground.session("w1").await, "7".parse().unwrap());
    let heard = [
        ground.record(&one, "a", "10@c.us", None, 1).await,
        ground.record(&one, "b", "10@c.us", None, 2).await,
        ground.record(&one, "c", "10@c.us", None, 3).await,
    ];
    let chat = chat(&heard[0]);
    let steps = heard.iter().map(|one| (seq(one), vec![Effect::Webhook { hook, name: "message" }])).collect();
    let state = AgentState::default();
    ground.agents.commit(AgentCommit { chat, expected: 0, steps, poison: vec![], state }).await.unwrap();
    let failed = EventKind::ConnectionFailed { exit: ExitReason::Hung, retry_at_ms: 1 };
    let told = Entry { told: vec![(hook, "session.connection_failed")], ..ground.entry(&one, "failed", failed) };
    ground.journal.append(vec![told.clone(), told]).await.unwrap();
    let lane = Lane { key: one.key(), hook, chat: chat.chat };
    let own = Lane { chat: Lane::SESSION, ..lane };
    let mut lanes = store.waiting_lanes().await.unwrap();
    lanes.retain(|lane| lane.key == one.key());
    lanes.sort_unstable();
    let mut both = [lane, own];
    both.sort_unstable();
    assert_eq!(lanes, both);
    assert_eq!(store.deliveries(own).await.unwrap().len(), 1, "a repeat is not told");
    // As they were just written, and as they are read back.
    let kept = store.deliveries(lane).await.unwrap();
    store.recent.forget(one.key());
    let waiting = store.deliveries(lane).await.unwrap();
    let told = |all: &[super::repo::deliveries::Delivery]| {
        all.iter().map(|one| format!("{:?}", one.event)).collect::<Vec<_>>()
    };
    assert_eq!(told(&kept), told(&waiting));
    let texts = waiting.iter().map(|one| match one.event.as_ref().map(|told| &told.kind) {
        Some(EventKind::Message(message)) => message.body.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["body a", "body b", "body c"]);
    let outcomes = [Outcome::Done, Outcome::Again("http_500".into()), Outcome::Dead("http_410".into())];
    let ids = waiting.iter().map(|one| one.id);
    store.settle(ground.tenant, ids.zip(outcomes).collect()).await.unwrap();
    let left = store.deliveries(lane).await.unwrap();
    assert_eq!(left.iter().map(|one| (one.id, one.attempts)).collect::<Vec<_>>(), [(waiting[1].id, 1)]);
    let of_session = Dead { session: Some(one.id), ..Dead::default() };
    let dead = store.dead_deliveries(ground.tenant, of_session.clone(), 10).await.unwrap();
    assert_eq!(
        dead.iter().map(|one| (one.delivery.id, one.code.as_str())).collect::<Vec<_>>(),
        [(waiting[2].id, "http_410")]
    );
    let stranger = Dead { user: Some(UserId::generate()), ..of_session.clone() };
    assert_eq!(store.revive(ground.tenant, stranger).await.unwrap(), 0);
    let late = Dead { from_ms: Some(dead[0].recorded_ms + 1), ..of_session.clone() };
    assert_eq!(store.revive(ground.tenant, late).await.unwrap(), 0);
    assert_eq!(store.revive(TenantId::generate(), of_session.clone()).await.unwrap(), 0);
    assert_eq!(store.revive(ground.tenant, of_session).await.unwrap(), 1);
    assert_eq!(store.deliveries(lane).await.unwrap().len(), 2);
    ground.sessions.purge(one.key()).await.unwrap();
    assert!(store.deliveries(lane).await.unwrap().is_empty());
}

async fn suite(ground: &Ground) {
    sessions_are_named_once_counted_and_forgotten(ground).await;
    the_journal_keeps_order_and_drops_repeats(ground).await;
    two_names_of_one_person_are_one_chat(ground).await;
    chats_that_become_one_lose_and_repeat_nothing(ground).await;
    what_is_replayed_twice_is_seen_twice(ground).await;
    agents_commit_once_and_in_order(ground).await;
    agents_are_overtaken_alone_and_see_on_where_they_are(ground).await;
    the_outbox_is_bounded_and_ordered(ground).await;
    what_is_wanted_twice_is_done_once(ground).await;
    reading::shows_what_was_recorded(ground).await;
    reading::finds_what_was_asked_for(ground).await;
    what_webhooks_are_told_waits_in_lanes(ground).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fakes_keep_the_promises_of_a_store() {
    suite(&fake()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_memory_keeps_the_promises_of_a_store() {
    suite(&real("sqlite::memory:").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_a_file_keeps_the_promises_of_a_store_and_fences_an_older_start() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("w.db").display());
    suite(&real(&url).await).await;
    fences(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_promises_of_a_store_and_fences_an_older_start() {
    let postgres = Postgres::start().await;
    let url = postgres.plain().await;
    suite(&real(&url).await).await;
    fences(&url).await;
}

/// A start of the node that was superseded can no longer change a session; another master key opens nothing.
async fn fences(url: &str) {
    let (node, vault) = (NodeId::generate(), vault());
    let old = opened(url, Arc::clone(&vault), node).await;
    let tenant = old.create_tenant("fenced").await.unwrap().unwrap();
    let user = old.user_named(tenant, "owner").await.unwrap();
    let new = NewSession {
        tenant,
        user,
        name: SessionName::parse("f").unwrap(),
        engine: EngineName::Web,
        network: Network::Simulator,
        config: "{}".into(),
        desired_running: true,
    };
    let spec = old.create(new, Quota::default()).await.unwrap();
    let fresh = opened(url, vault, node).await;
    assert_eq!(old.set_desired(&spec, false).await, Err(PortError::Conflict));
    let own = fresh.all().await.unwrap();
    assert_eq!(own.len(), 1);
    fresh.set_desired(&own[0], false).await.unwrap();
    let wrong = Arc::new(Vault::new(Kek::parse(&"08".repeat(32), "test").unwrap()));
    let options = Options { url: url.to_owned(), max_connections: 1 };
    let refused = Box::pin(Store::open(&options, wrong, Arc::new(SharedClock::default()), node, Role::Server)).await;
    assert!(refused.err().unwrap().to_string().contains("not the master key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_what_is_old_and_leaves_a_mark() {
    use super::repo::retention::Retention;
    let ground = real("sqlite::memory:").await;
    let store = ground.store.clone().unwrap();
    let (one, hook) = (ground.session("old").await, "7".parse().unwrap());
    let recorded = ground.record(&one, "a", "5@c.us", None, 1).await;
    let (chat, steps) = (chat(&recorded), vec![(seq(&recorded), vec![Effect::Webhook { hook, name: "message" }])]);
    let state = AgentState::default();
    ground.agents.commit(AgentCommit { chat, expected: 0, steps, poison: vec![], state }).await.unwrap();
    let told = async || store.deliveries(Lane { key: one.key(), hook, chat: chat.chat }).await.unwrap().remove(0).event;
    let keep = Retention { journal_ms: 1000, outbox_ms: 1000, dead_letters_ms: 1000, audit_ms: 1000 };
    assert_eq!(store.forget_old(keep).await.unwrap(), 0, "nothing is old yet");
    assert!(told().await.is_some());
    let gone = store.forget_old(Retention { journal_ms: -1, ..keep }).await.unwrap();
    assert_eq!(gone, 1);
    assert_eq!(store.pruned_upto().await.unwrap(), seq(&recorded));
    assert!(told().await.is_none(), "nor does a webhook hear of it any more");
}

/// Statements are counted nowhere else: what a thousand messages cost is one commit for each hundred.
#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_their_commits_and_all_hear_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let ground = real(&format!("sqlite://{}", dir.path().join("w.db").display())).await;
    let one = ground.session("busy").await;
    let all = Mutex::new(vec![]);
    let tasks = (0..500).map(|n| {
        let (ground, one, all) = (&ground, &one, &all);
        async move {
            let recorded = ground.record(one, &format!("m{n}"), "5@c.us", None, n).await;
            all.lock().unwrap().push(seq(&recorded));
        }
    });
    futures_util::future::join_all(tasks).await;
    let mut all = all.into_inner().unwrap();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 500);
}
