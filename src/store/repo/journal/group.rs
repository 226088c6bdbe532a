//! One commit's entries. Messages become rows in one statement, as long as nothing comes in between that has to see them.

use super::merge::merge;
use super::unseen::Written;
use crate::store::entity::{chats, journal, outbox, sessions};
use crate::store::repo::chats::{find_or_make, join};
use crate::store::repo::deliveries::{Lane, Told};
use crate::store::repo::recent;
use crate::store::repo::sizes::{ROWS, bite, padded, places};
use crate::store::{Failure, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Statement, TryInsertResult, Value};
use std::collections::{HashMap, HashSet};
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionKey, event_id};
use wardroom_actors::domain::message::{AckChange, Message};
use wardroom_actors::domain::signal::Signal;
use wardroom_actors::ports::journal::{Entry, Recorded};

type Alias = (SessionKey, String);

/// Chats by alias, and their names, so that a known chat costs no query.
#[derive(Default)]
pub(super) struct Aliases {
    chats: HashMap<Alias, ChatUuid>,
    names: HashMap<ChatUuid, String>,
}

/// What was learned in a commit.
#[derive(Default)]
pub(super) struct Fresh {
    found: Vec<(Alias, ChatUuid)>,
    names: Vec<(ChatUuid, String)>,
    /// Two chats became one.
    pub merged: bool,
}

/// Aliases that are remembered; above that all are forgotten.
const REMEMBERED: usize = 100_000;

impl Aliases {
    /// Takes over what a commit has made true.
    pub fn learn(&mut self, fresh: Fresh) {
        if fresh.merged || self.chats.len().max(self.names.len()) > REMEMBERED {
            (self.chats, self.names) = (HashMap::new(), HashMap::new());
        }
        self.chats.extend(fresh.found);
        self.names.extend(fresh.names);
    }
}

/// What a commit brings.
pub(super) struct Grouped {
    /// In the order of the entries.
    pub recorded: Vec<Recorded>,
    /// In the same order.
    pub events: Vec<Event>,
    /// To be learned after the commit.
    pub fresh: Fresh,
    /// The last place given out.
    pub seq: i64,
    /// Chats that have got a signal, to be woken after the commit.
    pub chats: HashSet<ChatKey>,
    /// What chats have to see, to be kept for them after the commit.
    pub rows: Vec<Written>,
    /// What webhooks may have to be told, to be kept for them after the commit.
    pub told: Vec<recent::Fresh>,
    /// To be rung for after the commit.
    pub lanes: HashSet<Lane>,
}

/// An entry whose row is not written yet.
struct Waiting {
    entry: Entry,
    chat: Option<ChatUuid>,
    seq: i64,
    id: String,
    at: i64,
    /// Bytes of its payload.
    size: usize,
}

pub(super) struct Group<'a> {
    store: &'a Store,
    tx: &'a Tx,
    known: &'a Aliases,
    /// Sessions that have a row. What arrives after a session was purged leaves no row behind.
    alive: HashMap<SessionKey, bool>,
    rows: Vec<journal::ActiveModel>,
    waiting: Vec<Waiting>,
    grouped: Grouped,
}

impl<'a> Group<'a> {
    pub fn begin(store: &'a Store, tx: &'a Tx, known: &'a Aliases, seq: i64) -> Self {
        let grouped = Grouped {
            recorded: vec![],
            events: vec![],
            fresh: Fresh::default(),
            seq,
            chats: HashSet::new(),
            rows: vec![],
            told: vec![],
            lanes: HashSet::new(),
        };
        Self { store, tx, known, alive: HashMap::new(), rows: vec![], waiting: vec![], grouped }
    }

    /// Records an entry, or prepares its row.
    pub async fn record(&mut self, entry: Entry) -> Result<(), Failure> {
        let (at, id) = (self.store.now(), event_id());
        if !entry.kind.durable() || !self.is_alive(entry.key).await? {
            self.flush().await?;
            let Entry { key, session, kind, .. } = entry;
            self.grouped.events.push(Event { seq: None, id, key, session, at_ms: at, kind });
            self.grouped.recorded.push(Recorded::Duplicate);
            return Ok(());
        }
        self.store.need_dek(self.tx, entry.key.tenant, entry.user).await?;
        let chat = match &entry.kind {
            EventKind::Message(message) => Some(self.chat(&entry, &message.chat, message.chat_alias.as_deref()).await?),
            EventKind::Ack(ack) => Some(self.chat(&entry, &ack.chat, None).await?),
            EventKind::Change(change) => Some(self.chat(&entry, &change.chat, change.chat_alias.as_deref()).await?),
            EventKind::Replay { chat, .. } => Some(*chat),
            EventKind::Status(_)
            | EventKind::Notice(_)
            | EventKind::Presence { .. }
            | EventKind::ConnectionFailed { .. }
            | EventKind::Supervised(_) => None,
        };
        self.grouped.seq += 1;
        let mut waiting = Waiting { entry, chat, seq: self.grouped.seq, id, at, size: 0 };
        let row = self.row(&waiting)?;
        waiting.size = row.payload.as_ref().len();
        self.rows.push(row);
        self.waiting.push(waiting);
        if self.rows.len() >= ROWS { self.flush().await } else { Ok(()) }
    }

    /// Writes what is left.
    pub async fn end(mut self) -> Result<Grouped, Failure> {
        self.flush().await?;
        Ok(self.grouped)
    }

    /// The chat behind an alias, or behind two that are one.
    async fn chat(&mut self, entry: &Entry, alias: &str, other: Option<&str>) -> Result<ChatUuid, Failure> {
        let (key, other) = (entry.key, other.filter(|other| *other != alias));
        let known = |alias: &str| self.known.chats.get(&(key, alias.to_owned())).copied();
        let found = known(alias).filter(|chat| other.is_none_or(|other| known(other) == Some(*chat)));
        if let (Some(chat), false) = (found, self.grouped.fresh.merged) {
            return Ok(chat);
        }
        // Two chats that become one take their rows along: those have to be there.
        self.flush().await?;
        let chat = match other {
            None => find_or_make(self.tx, key, alias).await?,
            Some(other) => match join(self.tx, key, alias, other).await? {
                (chat, None) => chat,
                (older, Some(younger)) => {
                    self.merge(entry, older, younger).await?;
                    older
                }
            },
        };
        let names = [Some(alias), other].into_iter().flatten();
        self.grouped.fresh.found.extend(names.map(|name| ((key, name.to_owned()), chat)));
        Ok(chat)
    }

    /// Makes two chats one, and has what neither has seen seen by what they become.
    async fn merge(&mut self, by: &Entry, older: ChatUuid, younger: ChatUuid) -> Result<(), Failure> {
        let merged = merge(self.tx, by.key, (older, younger), self.grouped.seq).await?;
        (self.grouped.fresh.merged, self.grouped.fresh.found) = (true, vec![]);
        self.grouped.lanes.extend(merged.lanes);
        self.grouped.chats.insert(by.key.chat(older));
        let mut rows = Vec::with_capacity(merged.open.len());
        for of in merged.open {
            self.grouped.seq += 1;
            let (kind, dedupe) = (EventKind::Replay { of, chat: older }, format!("merge:{of}"));
            let entry = Entry { kind, dedupe, told: vec![], ..by.clone() };
            let (seq, id, at) = (self.grouped.seq, event_id(), self.store.now());
            rows.push(self.row(&Waiting { entry, chat: Some(older), seq, id, at, size: 0 })?);
        }
        while !rows.is_empty() {
            journal::Entity::insert_many(bite(&mut rows)).exec_without_returning(&**self.tx).await?;
        }
        Ok(())
    }

    fn row(&self, one: &Waiting) -> Result<journal::ActiveModel, Failure> {
        let Waiting { entry, chat, seq, id, at, .. } = one;
        let label = Store::label(entry.key.tenant, entry.user, Kind::Journal, format!("{}/{seq}", entry.key.session));
        let plain = serde_json::to_vec(&entry.kind).map_err(|_| Failure::Strange)?;
        let message = message_of(&entry.kind);
        Ok(journal::ActiveModel {
            tenant_id: Set(entry.key.tenant.0),
            seq: Set(*seq),
            session_id: Set(entry.key.session.0),
            chat_id: Set(chat.map(|chat| chat.0)),
            link_epoch: Set(entry.epoch.0),
            dedupe: Set(entry.dedupe.clone()),
            kind: Set(super::kind_name(&entry.kind).to_owned()),
            event_id: Set(id.clone()),
            at: Set(*at),
            message_id: Set(match &entry.kind {
                // Found with the message that it changes.
                EventKind::Change(change) if change.what.rewrites() => Some(change.message_id.clone()),
                _ => message.map(|message| message.id.clone()),
            }),
            from_me: Set(message.map(|message| message.from_me)),
            timestamp: Set(message.map(|message| message.timestamp)),
            ack: Set(message.map(|message| i16::from(i8::from(message.ack)))),
            payload: Set(self.store.vault.seal(&label, &plain)?),
        })
    }

    /// Writes the rows that wait. A repeat gives no row, and its place stays empty.
    async fn flush(&mut self) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        use journal::Column::{Dedupe, LinkEpoch, SessionId, TenantId};
        let unique = [TenantId, SessionId, LinkEpoch, Dedupe];
        let mut rows = std::mem::take(&mut self.rows);
        let mut written: HashSet<_> = self.waiting.iter().map(|one| one.seq).collect();
        let mut inserted = 0;
        while !rows.is_empty() {
            let insert = journal::Entity::insert_many(bite(&mut rows)).on_conflict_do_nothing_on(unique);
            if let TryInsertResult::Inserted(rows) = insert.exec_without_returning(&**self.tx).await? {
                inserted += rows;
            }
        }
        if inserted < written.len() as u64 {
            written = self.written().await?;
        }
        // The last message of a chat is what its place in the list follows from.
        let mut touched: HashMap<ChatUuid, usize> = HashMap::new();
        let waiting = std::mem::take(&mut self.waiting);
        for (place, one) in waiting.iter().enumerate().filter(|(_, one)| written.contains(&one.seq)) {
            match (&one.entry.kind, one.chat) {
                (EventKind::Message(_) | EventKind::Replay { .. }, Some(chat)) => drop(touched.insert(chat, place)),
                (EventKind::Ack(ack), _) => self.raise_ack(one.entry.key, ack).await?,
                _ => {}
            }
        }
        let last: Vec<_> = touched.into_iter().filter_map(|(chat, place)| Some((chat, waiting.get(place)?))).collect();
        self.touch_chats(&last).await?;
        self.tell(waiting.iter().filter(|one| written.contains(&one.seq))).await?;
        for Waiting { entry, chat, seq, id, at, size } in waiting {
            if !written.contains(&seq) {
                self.grouped.recorded.push(Recorded::Duplicate);
                continue;
            }
            let chat = chat.map(|chat| entry.key.chat(chat));
            self.grouped.chats.extend(chat);
            if let Some(chat) = chat {
                let signal = Signal::of(entry.kind.clone());
                self.grouped.rows.push(Written { chat, seq, size, signal });
            }
            self.grouped.recorded.push(Recorded::New { seq, chat });
            let Entry { key, session, kind, told, .. } = entry;
            // Of a signal webhooks hear through the chat's agent. One that stands for another has to be read.
            if (chat.is_some() || !told.is_empty()) && !matches!(kind, EventKind::Replay { .. }) {
                let told = Told { seq: Some(seq), id: id.clone(), at_ms: at, kind: kind.clone() };
                self.grouped.told.push(recent::Fresh { key, seq, told, size });
            }
            self.grouped.events.push(Event { seq: Some(seq), id, key, session, at_ms: at, kind });
        }
        Ok(())
    }

    /// Places of those that wait whose rows are there. Asked only where there are repeats: each row of an answer wakes a thread.
    async fn written(&self) -> Result<HashSet<i64>, Failure> {
        let tenants: HashSet<_> = self.waiting.iter().map(|one| one.entry.key.tenant.0).collect();
        let there = journal::Entity::find()
            .select_only()
            .column(journal::Column::Seq)
            .filter(journal::Column::TenantId.is_in(padded(tenants)))
            .filter(journal::Column::Seq.is_in(padded(self.waiting.iter().map(|one| one.seq))));
        Ok(there.into_tuple::<i64>().all(&**self.tx).await?.into_iter().collect())
    }

    /// Rows for the webhooks that an entry names.
    async fn tell(&mut self, entries: impl Iterator<Item = &Waiting>) -> Result<(), Failure> {
        let mut rows: Vec<outbox::ActiveModel> = vec![];
        for Waiting { entry, chat, seq, .. } in entries {
            for (hook, name) in &entry.told {
                let lane = Lane { key: entry.key, hook: *hook, chat: chat.unwrap_or(Lane::SESSION) };
                rows.push(self.store.delivery(lane, *seq, name, format!("event:{seq}:{hook}:{name}")));
                self.grouped.lanes.insert(lane);
            }
        }
        while !rows.is_empty() {
            outbox::Entity::insert_many(bite(&mut rows)).exec_without_returning(&**self.tx).await?;
        }
        Ok(())
    }

    /// The chats' places in the list, in one statement; and the names that are new.
    async fn touch_chats(&mut self, last: &[(ChatUuid, &Waiting)]) -> Result<(), Failure> {
        if last.is_empty() {
            return Ok(());
        }
        let mut values = Vec::<Value>::with_capacity(last.len() * 5);
        for (chat, one) in last {
            let key = one.entry.key;
            values.extend([key.tenant.0.into(), key.session.0.into(), chat.0.into(), one.seq.into(), one.at.into()]);
        }
        let backend = self.tx.get_database_backend();
        let text = format!(
            "UPDATE chats SET last_seq = v.column4, last_at = v.column5 FROM (VALUES {}) AS v \
             WHERE chats.tenant_id = v.column1 AND chats.session_id = v.column2 AND chats.id = v.column3",
            places(backend, &mut values, 1, 5)
        );
        self.tx.execute_raw(Statement::from_sql_and_values(backend, text, values)).await?;
        for (chat, one) in last {
            let theirs = message_of(&one.entry.kind).filter(|message| !message.from_me);
            if let Some(name) = theirs.and_then(|message| message.push_name.as_ref())
                && self.known.names.get(chat) != Some(name)
            {
                self.name_chat(one, *chat, name).await?;
                self.grouped.fresh.names.push((*chat, name.clone()));
            }
        }
        Ok(())
    }

    async fn name_chat(&self, one: &Waiting, chat: ChatUuid, name: &str) -> Result<(), Failure> {
        let entry = &one.entry;
        let label = Store::label(entry.key.tenant, entry.user, Kind::Journal, format!("chat/{chat}"));
        let sealed = self.store.vault.seal(&label, name.as_bytes())?;
        chats::Entity::update_many()
            .col_expr(chats::Column::Name, Expr::value(sealed))
            .filter(chats::Column::TenantId.eq(entry.key.tenant.0))
            .filter(chats::Column::SessionId.eq(entry.key.session.0))
            .filter(chats::Column::Id.eq(chat.0))
            .exec(&**self.tx)
            .await?;
        Ok(())
    }

    /// A late, lower ack changes nothing.
    async fn raise_ack(&self, key: SessionKey, change: &AckChange) -> Result<(), Failure> {
        let ack = i16::from(i8::from(change.ack));
        journal::Entity::update_many()
            .col_expr(journal::Column::Ack, Expr::value(ack))
            .filter(journal::Column::TenantId.eq(key.tenant.0))
            .filter(journal::Column::SessionId.eq(key.session.0))
            .filter(journal::Column::MessageId.eq(change.message_id.as_str()))
            .filter(journal::Column::Ack.lt(ack))
            .exec(&**self.tx)
            .await?;
        Ok(())
    }

    async fn is_alive(&mut self, key: SessionKey) -> Result<bool, Failure> {
        if let Some(alive) = self.alive.get(&key) {
            return Ok(*alive);
        }
        let row = sessions::Entity::find_by_id((key.tenant.0, key.session.0))
            .select_only()
            .column(sessions::Column::LinkEpoch)
            .into_tuple::<i32>()
            .one(&**self.tx)
            .await?;
        self.alive.insert(key, row.is_some());
        Ok(row.is_some())
    }
}

fn message_of(kind: &EventKind) -> Option<&Message> {
    match kind {
        EventKind::Message(message) => Some(message),
        _ => None,
    }
}
