//! Chats, their aliases and their messages, as read by the API and by sockets that resume.

use super::sizes::{ROWS, padded};
use crate::store::entity::{agent_state, chat_aliases, chats, journal, sessions};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Condition, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use wardroom_actors::domain::change::What;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionId, SessionKey, SessionName, TenantId, UserId};
use wardroom_actors::domain::message::{Ack, Message};
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::PortError;

/// A chat as it stands in the list.
#[derive(Clone, Debug)]
pub struct ChatRow {
    /// The alias that its last message came with, or the first that was known.
    pub id: String,
    /// The other side's name, where known.
    pub name: Option<String>,
    /// Unix milliseconds of the last message.
    pub last_at: i64,
}

/// Which messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page {
    /// At most so many.
    pub limit: u64,
    /// After skipping so many.
    pub offset: u64,
    /// Oldest first.
    pub ascending: bool,
    /// Only those behind this place, in the order of the page.
    pub behind: Option<i64>,
    /// Unix seconds: not older.
    pub from: Option<i64>,
    /// Unix seconds: not newer.
    pub to: Option<i64>,
    /// Own ones only, or others' only.
    pub from_me: Option<bool>,
    /// Which have got exactly so far.
    pub ack: Option<Ack>,
}

/// The chat behind an alias, made when it is new.
pub(in crate::store) async fn find_or_make(tx: &Tx, key: SessionKey, alias: &str) -> Result<ChatUuid, Failure> {
    match lookup(tx, key, alias).await? {
        Some(chat) => Ok(chat),
        None => create(tx, key, alias).await,
    }
}

/// The chat behind two aliases of one person, and a younger one that has to become part of it.
pub(in crate::store) async fn join(
    tx: &Tx,
    key: SessionKey,
    alias: &str,
    other: &str,
) -> Result<(ChatUuid, Option<ChatUuid>), Failure> {
    match (lookup(tx, key, alias).await?, lookup(tx, key, other).await?) {
        (None, None) => {
            let chat = create(tx, key, alias).await?;
            name(tx, key, other, chat).await?;
            Ok((chat, None))
        }
        (Some(chat), None) => name(tx, key, other, chat).await.map(|()| (chat, None)),
        (None, Some(chat)) => name(tx, key, alias, chat).await.map(|()| (chat, None)),
        (Some(one), Some(two)) if one == two => Ok((one, None)),
        // Ids sort by age.
        (Some(one), Some(two)) => Ok((one.min(two), Some(one.max(two)))),
    }
}

async fn lookup(tx: &Tx, key: SessionKey, alias: &str) -> Result<Option<ChatUuid>, Failure> {
    let id = (key.tenant.0, key.session.0, alias.to_owned());
    let row = chat_aliases::Entity::find_by_id(id).one(&**tx).await?;
    Ok(row.map(|row| ChatUuid(row.chat_id)))
}

async fn create(tx: &Tx, key: SessionKey, alias: &str) -> Result<ChatUuid, Failure> {
    let chat = ChatUuid::generate();
    let row = chats::ActiveModel {
        tenant_id: Set(key.tenant.0),
        session_id: Set(key.session.0),
        id: Set(chat.0),
        name: Set(None),
        last_seq: Set(0),
        last_at: Set(0),
    };
    chats::Entity::insert(row).exec_without_returning(&**tx).await?;
    // The mark is there as long as the chat is: only who finds it where it was expected may move it.
    let mark = agent_state::ActiveModel {
        tenant_id: Set(key.tenant.0),
        session_id: Set(key.session.0),
        chat_id: Set(chat.0),
        handled_seq: Set(0),
        state: Set(None),
    };
    agent_state::Entity::insert(mark).exec_without_returning(&**tx).await?;
    name(tx, key, alias, chat).await?;
    Ok(chat)
}

async fn name(tx: &Tx, key: SessionKey, alias: &str, chat: ChatUuid) -> Result<(), Failure> {
    let row = chat_aliases::ActiveModel {
        tenant_id: Set(key.tenant.0),
        session_id: Set(key.session.0),
        alias: Set(alias.to_owned()),
        chat_id: Set(chat.0),
    };
    chat_aliases::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Chats of a session in which something was recorded.
fn recorded(spec: &SessionSpec) -> Condition {
    Condition::all()
        .add(chats::Column::TenantId.eq(spec.tenant.0))
        .add(chats::Column::SessionId.eq(spec.id.0))
        .add(chats::Column::LastSeq.gt(0))
}

/// The same; where aliases are named, only those behind them.
async fn recorded_of(tx: &Tx, spec: &SessionSpec, only: Vec<ChatId>) -> Result<Condition, Failure> {
    let all = recorded(spec);
    if only.is_empty() {
        return Ok(all);
    }
    let named = behind(tx, spec, only.iter().map(|alias| alias.as_str().to_owned()).collect()).await?;
    Ok(all.add(chats::Column::Id.is_in(padded(named.iter().map(|row| row.chat_id)))))
}

/// The chats behind aliases of a session.
async fn behind(tx: &Tx, spec: &SessionSpec, aliases: Vec<String>) -> Result<Vec<chat_aliases::Model>, Failure> {
    Ok(chat_aliases::Entity::find()
        .filter(chat_aliases::Column::TenantId.eq(spec.tenant.0))
        .filter(chat_aliases::Column::SessionId.eq(spec.id.0))
        .filter(chat_aliases::Column::Alias.is_in(padded(aliases)))
        .all(&**tx)
        .await?)
}

impl Store {
    /// The session's chats, the latest first; where aliases are named, only those behind them.
    ///
    /// # Errors
    /// The database's.
    pub async fn chats(
        &self,
        spec: &SessionSpec,
        limit: u64,
        offset: u64,
        only: &[ChatId],
    ) -> Result<Vec<ChatRow>, PortError> {
        let (store, spec) = (self.clone(), spec.clone());
        let only = only.to_vec();
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            let rows = chats::Entity::find()
                .filter(recorded_of(&tx, &spec, only).await?)
                .order_by_desc(chats::Column::LastSeq)
                .limit(limit)
                .offset(offset)
                .all(&*tx)
                .await?;
            let ids = rows.iter().map(|row| row.id);
            let aliases = chat_aliases::Entity::find()
                .filter(chat_aliases::Column::TenantId.eq(spec.tenant.0))
                .filter(chat_aliases::Column::SessionId.eq(spec.id.0))
                .filter(chat_aliases::Column::ChatId.is_in(padded(ids)))
                .order_by_asc(chat_aliases::Column::Alias)
                .all(&*tx)
                .await?;
            let open = |row: &chats::Model| {
                let sealed = row.name.as_ref()?;
                let label = Self::label(spec.tenant, spec.user, Kind::Journal, format!("chat/{}", row.id));
                store.vault.open(&label, sealed).ok().and_then(|name| String::from_utf8(name).ok())
            };
            let list = rows.iter().filter_map(|row| {
                // The phone number, where it is known: clients answer to it.
                let mut own: Vec<_> = aliases.iter().filter(|alias| alias.chat_id == row.id).collect();
                own.sort_by_key(|alias| !alias.alias.ends_with("@c.us"));
                let id = own.first()?.alias.clone();
                Some(ChatRow { id, name: open(row), last_at: row.last_at })
            });
            Ok(list.collect())
        })
        .await
    }

    /// How many chats [`Self::chats`] has in all, and which of some aliases are chats of the session's.
    ///
    /// # Errors
    /// The database's.
    pub async fn recorded_chats(
        &self,
        spec: &SessionSpec,
        only: &[ChatId],
        aliases: Vec<String>,
    ) -> Result<(u64, HashSet<String>), PortError> {
        let (store, spec, only) = (self.clone(), spec.clone(), only.to_vec());
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            let all = chats::Entity::find().filter(recorded_of(&tx, &spec, only).await?).count(&*tx).await?;
            let mut theirs = HashSet::new();
            for aliases in aliases.chunks(ROWS) {
                let named = behind(&tx, &spec, aliases.to_vec()).await?;
                let ids = padded(named.iter().map(|row| row.chat_id));
                let ids = recorded(&spec).add(chats::Column::Id.is_in(ids));
                let ids = chats::Entity::find().select_only().column(chats::Column::Id).filter(ids);
                let ids: HashSet<Uuid> = ids.into_tuple().all(&*tx).await?.into_iter().collect();
                theirs.extend(named.into_iter().filter(|row| ids.contains(&row.chat_id)).map(|row| row.alias));
            }
            Ok((all, theirs))
        })
        .await
    }

    /// The messages of a chat, or of all, as they stand now, with their places; none when there is no such chat.
    ///
    /// # Errors
    /// The database's.
    pub async fn messages(
        &self,
        spec: &SessionSpec,
        alias: Option<&str>,
        page: Page,
    ) -> Result<Vec<(i64, Message)>, PortError> {
        use journal::Column;
        let (store, spec, alias) = (self.clone(), spec.clone(), alias.map(str::to_owned));
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            let mut which = Condition::all().add(Column::Kind.eq("message"));
            if let Some(alias) = alias {
                let Some(chat) = lookup(&tx, spec.key(), &alias).await? else { return Ok(vec![]) };
                which = which.add(Column::ChatId.eq(chat.0));
            }
            let (order, behind): (_, fn(Column, i64) -> SimpleExpr) = if page.ascending {
                (sea_orm::Order::Asc, |column, place| column.gt(place))
            } else {
                (sea_orm::Order::Desc, |column, place| column.lt(place))
            };
            which = which
                .add_option(page.behind.map(|place| behind(Column::Seq, place)))
                .add_option(page.from.map(|from| Column::Timestamp.gte(from)))
                .add_option(page.to.map(|to| Column::Timestamp.lte(to)))
                .add_option(page.from_me.map(|own| Column::FromMe.eq(own)))
                .add_option(page.ack.map(|ack| Column::Ack.eq(i16::from(i8::from(ack)))));
            let rows = journal::Entity::find()
                .filter(Column::TenantId.eq(spec.tenant.0))
                .filter(Column::SessionId.eq(spec.id.0))
                .filter(which)
                .order_by(Column::Seq, order)
                .limit(page.limit)
                .offset(page.offset)
                .all(&*tx)
                .await?;
            store.as_they_stand(&tx, &spec, &rows).await
        })
        .await
    }

    /// A message by its full id, as it stands now. The id may name the chat by another of its aliases.
    ///
    /// # Errors
    /// The database's.
    pub async fn message(&self, spec: &SessionSpec, id: &str) -> Result<Option<Message>, PortError> {
        let (store, spec, id) = (self.clone(), spec.clone(), id.to_owned());
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            let mut ids = vec![id.clone()];
            if let [whose, alias, rest] = id.splitn(3, '_').collect::<Vec<_>>().as_slice()
                && let Some(chat) = lookup(&tx, spec.key(), alias).await?
            {
                let aliases = chat_aliases::Entity::find()
                    .filter(chat_aliases::Column::TenantId.eq(spec.tenant.0))
                    .filter(chat_aliases::Column::SessionId.eq(spec.id.0))
                    .filter(chat_aliases::Column::ChatId.eq(chat.0))
                    .all(&*tx)
                    .await?;
                ids.extend(aliases.iter().map(|row| format!("{whose}_{}_{rest}", row.alias)));
            }
            let rows = journal::Entity::find()
                .filter(journal::Column::TenantId.eq(spec.tenant.0))
                .filter(journal::Column::SessionId.eq(spec.id.0))
                .filter(journal::Column::MessageId.is_in(padded(ids)))
                .filter(journal::Column::Kind.eq("message"))
                .all(&*tx)
                .await?;
            Ok(store.as_they_stand(&tx, &spec, &rows).await?.pop().map(|(_, message)| message))
        })
        .await
    }

    /// A message that has one of these ids, in whichever of these sessions (of one tenant) it is.
    ///
    /// # Errors
    /// The database's.
    pub async fn carrier(
        &self,
        specs: Vec<SessionSpec>,
        ids: Vec<String>,
    ) -> Result<Option<(SessionSpec, Message)>, PortError> {
        let store = self.clone();
        let Some(tenant) = specs.first().map(|spec| spec.tenant) else { return Ok(None) };
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let row = journal::Entity::find()
                .filter(journal::Column::TenantId.eq(tenant.0))
                .filter(journal::Column::SessionId.is_in(padded(specs.iter().map(|spec| spec.id.0))))
                .filter(journal::Column::MessageId.is_in(padded(ids)))
                .filter(journal::Column::Kind.eq("message"))
                .order_by_desc(journal::Column::Seq)
                .one(&*tx)
                .await?;
            let spec = |row: &journal::Model| specs.iter().find(|spec| spec.id.0 == row.session_id).cloned();
            let Some((spec, row)) = row.and_then(|row| Some((spec(&row)?, row))) else {
                return Ok(None);
            };
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            Ok(store.as_they_stand(&tx, &spec, &[row]).await?.pop().map(|(_, message)| (spec, message)))
        })
        .await
    }

    /// Events after a place in the journal, in order.
    ///
    /// # Errors
    /// The database's.
    pub async fn events_after(&self, tenant: TenantId, after: i64, limit: u64) -> Result<Vec<Event>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = journal::Entity::find()
                .filter(journal::Column::TenantId.eq(tenant.0))
                .filter(journal::Column::Seq.gt(after))
                .order_by_asc(journal::Column::Seq)
                .limit(limit)
                .all(&*tx)
                .await?;
            store.events_of(&tx, &rows).await
        })
        .await
    }

    /// Events of all tenants after a place in the journal, in order, with the chats that they are signals of.
    pub(in crate::store) async fn journal_after(
        &self,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(Event, Option<ChatKey>)>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::GroupCommit, Mode::Read).await?;
            let rows = journal::Entity::find()
                .filter(journal::Column::Seq.gt(after))
                .order_by_asc(journal::Column::Seq)
                .limit(limit)
                .all(&*tx)
                .await?;
            let chats: HashMap<_, _> = rows.iter().map(|row| (row.seq, row.chat_id)).collect();
            let events = store.events_of(&tx, &rows).await?;
            let with_chat = |event: Event| {
                let chat = event.seq.and_then(|seq| chats.get(&seq).copied().flatten());
                let (tenant, session) = (event.key.tenant, event.key.session);
                (event, chat.map(|chat| ChatKey { tenant, session, chat: ChatUuid(chat) }))
            };
            Ok(events.into_iter().map(with_chat).collect())
        })
        .await
    }

    /// Rows as events; those of sessions that are gone are left out.
    async fn events_of(&self, tx: &Tx, rows: &[journal::Model]) -> Result<Vec<Event>, Failure> {
        let mut owners: HashMap<uuid::Uuid, Option<sessions::Model>> = HashMap::new();
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let tenant = TenantId(row.tenant_id);
            let owner = match owners.entry(row.session_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let found = sessions::Entity::find_by_id((tenant.0, row.session_id)).one(&**tx).await?;
                    place.insert(found)
                }
            };
            let Some(session) = owner else { continue };
            let user = UserId(session.user_id);
            self.need_dek(tx, tenant, user).await?;
            events.push(Event {
                seq: Some(row.seq),
                id: row.event_id.clone(),
                key: SessionKey { tenant, session: SessionId(row.session_id) },
                session: SessionName::parse(&session.name).map_err(|_| Failure::Strange)?,
                at_ms: row.at,
                kind: self.open_row(tenant, user, row)?,
            });
        }
        Ok(events)
    }

    /// The messages of rows with their latest acks, after all that happened to them, with their places.
    async fn as_they_stand(
        &self,
        tx: &Tx,
        spec: &SessionSpec,
        rows: &[journal::Model],
    ) -> Result<Vec<(i64, Message)>, Failure> {
        let changes = journal::Entity::find()
            .filter(journal::Column::TenantId.eq(spec.tenant.0))
            .filter(journal::Column::SessionId.eq(spec.id.0))
            .filter(journal::Column::MessageId.is_in(padded(rows.iter().filter_map(|row| row.message_id.as_deref()))))
            .filter(journal::Column::Kind.eq("change"))
            .order_by_asc(journal::Column::Seq)
            .all(&**tx)
            .await?;
        let mut happened: HashMap<String, Vec<What>> = HashMap::new();
        for row in changes {
            if let EventKind::Change(change) = self.open_row(spec.tenant, spec.user, &row)? {
                happened.entry(change.message_id).or_default().push(change.what);
            }
        }
        let mut messages = Vec::with_capacity(rows.len());
        for row in rows {
            let EventKind::Message(mut message) = self.open_row(spec.tenant, spec.user, row)? else { continue };
            let ack = row.ack.and_then(|ack| i8::try_from(ack).ok()).and_then(|ack| Ack::try_from(ack).ok());
            message.ack = ack.unwrap_or(message.ack);
            for what in happened.remove(&message.id).unwrap_or_default() {
                what.apply(&mut message);
            }
            messages.push((row.seq, message));
        }
        Ok(messages)
    }

    /// The row whose event this one stands for: itself, unless it is a replay; `None` when the journal does not keep it any
    /// more.
    pub(in crate::store) async fn original(
        &self,
        tx: &Tx,
        user: UserId,
        mut row: journal::Model,
    ) -> Result<Option<(journal::Model, EventKind)>, Failure> {
        loop {
            match self.open_row(TenantId(row.tenant_id), user, &row)? {
                // What was replayed may have been a replay.
                EventKind::Replay { of, .. } if of < row.seq => {
                    let Some(next) = journal::Entity::find_by_id((row.tenant_id, of)).one(&**tx).await? else {
                        return Ok(None);
                    };
                    row = next;
                }
                kind => return Ok(Some((row, kind))),
            }
        }
    }

    pub(in crate::store) fn open_row(
        &self,
        tenant: TenantId,
        user: UserId,
        row: &journal::Model,
    ) -> Result<EventKind, Failure> {
        let label = Self::label(tenant, user, Kind::Journal, format!("{}/{}", row.session_id, row.seq));
        let plain = self.vault.open(&label, &row.payload)?;
        serde_json::from_slice(&plain).map_err(|_| Failure::Strange)
    }
}
