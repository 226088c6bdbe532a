//! What webhooks have still to be told: one row for each event, webhook and name, in lanes that keep their order.

use super::gather::Answering;
use super::sizes::{few_of_each, padded, parameter, places};
use crate::store::entity::{journal, outbox, sessions};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    QueryTrait, Statement, Value,
};
use std::collections::HashMap;
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatUuid, SessionId, SessionKey, TenantId, UserId};
use wardroom_actors::domain::webhook::HookId;
use wardroom_actors::failpoint;
use wardroom_actors::ports::{BoxFuture, PortError};

/// Events of one chat for one webhook. They are told in order; other lanes do not wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The session.
    pub key: SessionKey,
    /// The webhook.
    pub hook: HookId,
    /// The chat.
    pub chat: ChatUuid,
}

impl Lane {
    /// Stands for a chat where an event is the session's own.
    pub const SESSION: ChatUuid = ChatUuid(uuid::Uuid::nil());
}

/// Is told of lanes that have something new. It never waits.
pub trait LaneBell: Send + Sync {
    /// There is something in `lane`.
    fn ring(&self, lane: Lane);
}

/// One event for one webhook.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names its row.
    pub id: i64,
    /// The name under which the event is told.
    pub name: String,
    /// Tries that were answered badly.
    pub attempts: u32,
    /// When it was recorded, last answered or last set free, Unix milliseconds.
    pub since_ms: i64,
    /// The event; `None` when the journal does not keep it any more, or it cannot be read.
    pub event: Option<Told>,
}

/// An event without its session, which whoever tells it knows.
#[derive(Clone, Debug)]
pub struct Told {
    /// Place in the journal, if it has one.
    pub seq: Option<i64>,
    /// `evt_…`
    pub id: String,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// What happened.
    pub kind: EventKind,
}

/// Which of the deliveries that were set aside.
#[derive(Clone, Debug, Default)]
pub struct Dead {
    /// Of one user's sessions only.
    pub user: Option<UserId>,
    /// Of one session only.
    pub session: Option<SessionId>,
    /// These only.
    pub ids: Option<Vec<i64>>,
    /// Older than this one.
    pub before: Option<i64>,
    /// Recorded at or after, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Recorded before, Unix milliseconds.
    pub to_ms: Option<i64>,
}

/// A delivery that was set aside.
#[derive(Clone, Debug)]
pub struct DeadDelivery {
    /// Where it belongs.
    pub lane: Lane,
    /// What it is.
    pub delivery: Delivery,
    /// Why.
    pub code: String,
    /// When its event was recorded, Unix milliseconds.
    pub recorded_ms: i64,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Done,
    /// It was answered badly; it is tried again.
    Again(String),
    /// It was answered badly for the last time, and is set aside.
    Dead(String),
    /// It was not answered, or not even tried, and is set aside.
    Untold(String),
}

/// Rows of one lane that are read at once.
pub const BATCH: usize = 16;
/// The `state` of what was set aside.
pub(super) const DEAD: i16 = 2;

impl Store {
    /// Who hears of lanes from now on.
    pub fn hear_lanes(&self, bell: std::sync::Arc<dyn LaneBell>) {
        let _ = self.bell.set(bell);
    }

    /// To be called after the commit.
    pub(super) fn ring(&self, lanes: impl IntoIterator<Item = Lane>) {
        if let Some(bell) = self.bell.get() {
            lanes.into_iter().for_each(|lane| bell.ring(lane));
        }
    }

    /// The row of one event for one webhook.
    pub(super) fn delivery(&self, lane: Lane, seq: i64, name: &str, dedupe: String) -> outbox::ActiveModel {
        outbox::ActiveModel {
            tenant_id: Set(lane.key.tenant.0),
            id: Set(self.next_outbox_id()),
            session_id: Set(lane.key.session.0),
            chat_id: Set(Some(lane.chat.0)),
            kind: Set("webhook".to_owned()),
            dedupe: Set(dedupe),
            alias: Set(None),
            message_id: Set(None),
            payload: Set(vec![]),
            state: Set(super::outbox::WAITING),
            code: Set(None),
            attempts: Set(0),
            hook: Set(Some(lane.hook.to_string())),
            seq: Set(Some(seq)),
            name: Set(Some(name.to_owned())),
            file_id: Set(None),
            created_at: Set(self.now()),
            updated_at: Set(self.now()),
        }
    }

    /// All lanes in which something waits.
    ///
    /// # Errors
    /// The database's.
    pub async fn waiting_lanes(&self) -> Result<Vec<Lane>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Webhooks, Mode::Read).await?;
            lanes_of(&tx, None).await
        })
        .await
    }

    /// The next events of a lane, in order.
    pub fn deliveries(&self, lane: Lane) -> BoxFuture<'static, Result<Vec<Delivery>, PortError>> {
        self.lanes.ask(self, lane)
    }

    /// Writes what became of events of one tenant.
    pub fn settle(&self, tenant: TenantId, outcomes: Vec<(i64, Outcome)>) -> BoxFuture<'static, Result<(), PortError>> {
        self.settling.ask(self, (tenant, outcomes))
    }

    /// Deliveries of a tenant that were set aside, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn dead_deliveries(
        &self,
        tenant: TenantId,
        which: Dead,
        limit: u64,
    ) -> Result<Vec<DeadDelivery>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = outbox::Entity::find().filter(dead(tenant, &which)).order_by_desc(outbox::Column::Id);
            let rows = rows.limit(limit).all(&*tx).await?;
            let wanted = HashMap::from([(tenant.0, rows.iter().filter_map(|row| row.seq).collect())]);
            let mut events = store.told_events(&tx, wanted).await?;
            let letter = |row: outbox::Model| {
                Ok(DeadDelivery {
                    lane: Lane {
                        key: SessionKey { tenant, session: SessionId(row.session_id) },
                        hook: row.hook.as_deref().unwrap_or_default().parse().map_err(|_| Failure::Strange)?,
                        chat: ChatUuid(row.chat_id.unwrap_or_default()),
                    },
                    code: row.code.clone().unwrap_or_default(),
                    recorded_ms: row.created_at,
                    delivery: delivery(row, &mut events),
                })
            };
            rows.into_iter().map(letter).collect()
        })
        .await
    }

    /// Lets deliveries go that were set aside, behind nothing: each is as old as its event. Answers how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn revive(&self, tenant: TenantId, which: Dead) -> Result<u64, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let revived = outbox::Entity::update_many()
                .col_expr(outbox::Column::State, Expr::value(super::outbox::WAITING))
                .col_expr(outbox::Column::Code, Expr::value(None::<String>))
                .col_expr(outbox::Column::Attempts, Expr::value(0))
                .col_expr(outbox::Column::UpdatedAt, Expr::value(store.now()))
                .filter(dead(tenant, &which))
                .exec(&*tx)
                .await?;
            tx.commit().await?;
            if revived.rows_affected > 0 {
                let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
                let lanes = lanes_of(&tx, Some(tenant)).await?;
                store.ring(lanes);
            }
            Ok(revived.rows_affected)
        })
        .await
    }

    async fn read_lanes(&self, lanes: &[Lane]) -> Result<Vec<Result<Vec<Delivery>, PortError>>, Failure> {
        let tx = Tx::system(self, Reason::Webhooks, Mode::Read).await?;
        let mut values: Vec<Value> = vec![];
        for Lane { key, hook, chat } in lanes {
            values.extend([key.tenant.0.into(), key.session.0.into(), hook.to_string().into(), chat.0.into()]);
        }
        let test = "next.tenant_id = v.column1 AND next.session_id = v.column2 AND next.hook = v.column3 \
                    AND next.chat_id = v.column4 AND next.state = 0";
        let backend = tx.get_database_backend();
        let statement = few_of_each(backend, values, 4, ("outbox", "id"), test, BATCH);
        let mut found = HashMap::<Lane, Vec<outbox::Model>>::new();
        let mut wanted: HashMap<uuid::Uuid, Vec<i64>> = HashMap::new();
        for row in tx.query_all_raw(statement).await? {
            let (lane, row) = (lane_of(&row)?, outbox::Model::from_query_result(&row, "")?);
            wanted.entry(row.tenant_id).or_default().extend(row.seq);
            found.entry(lane).or_default().push(row);
        }
        let mut events = self.told_events(&tx, wanted).await?;
        let answer = |lane: &Lane| {
            let mut rows = found.remove(lane).unwrap_or_default();
            rows.sort_unstable_by_key(|row| row.id);
            Ok(rows.into_iter().map(|row| delivery(row, &mut events)).collect())
        };
        Ok(lanes.iter().map(answer).collect())
    }

    /// Events by tenant and place. One that cannot be read is left out, so that it is nobody else's trouble.
    async fn told_events(
        &self,
        tx: &Tx,
        wanted: HashMap<uuid::Uuid, Vec<i64>>,
    ) -> Result<HashMap<(uuid::Uuid, i64), Told>, Failure> {
        let mut found = HashMap::new();
        for (tenant, mut places) in wanted {
            places.retain(|seq| {
                let told = self.recent.get(tenant, *seq);
                told.map(|told| found.insert((tenant, *seq), told)).is_none()
            });
            if places.is_empty() {
                continue;
            }
            let of_tenant = journal::Column::TenantId.eq(tenant).and(journal::Column::Seq.is_in(padded(places)));
            for row in journal::Entity::find().filter(of_tenant).all(&**tx).await? {
                let seq = row.seq;
                match self.told(tx, row).await {
                    Ok(told) => drop(found.insert((tenant, seq), told)),
                    Err(Failure::Db(error)) => return Err(error.into()),
                    Err(failure) => tracing::error!(seq, %failure, "an event cannot be read"),
                }
            }
        }
        Ok(found)
    }

    /// An event; for a replay, the one that it stands for.
    async fn told(&self, tx: &Tx, row: journal::Model) -> Result<Told, Failure> {
        let (tenant, session) = (TenantId(row.tenant_id), SessionId(row.session_id));
        let user = self.owner(tx, SessionKey { tenant, session }).await?;
        let (row, kind) = self.original(tx, user, row).await?.ok_or(Failure::Gone)?;
        Ok(Told { seq: Some(row.seq), id: row.event_id, at_ms: row.at, kind })
    }

    async fn settle_all(&self, settled: &[(TenantId, Vec<(i64, Outcome)>)]) -> Result<(), Failure> {
        let tx = Tx::system(self, Reason::Webhooks, Mode::Write).await?;
        let (mut done, mut tried) = (Vec::<Value>::new(), Vec::<Value>::new());
        for (tenant, outcomes) in settled {
            for (id, outcome) in outcomes {
                let (state, attempts, code) = match outcome {
                    Outcome::Done => {
                        done.extend([tenant.0.into(), (*id).into()]);
                        continue;
                    }
                    Outcome::Again(code) => (super::outbox::WAITING, 1, code),
                    Outcome::Dead(code) => (DEAD, 1, code),
                    Outcome::Untold(code) => (DEAD, 0, code),
                };
                tried.extend([tenant.0.into(), (*id).into(), i32::from(state).into(), code.clone().into()]);
                tried.push(attempts.into());
            }
        }
        let backend = tx.get_database_backend();
        if !done.is_empty() {
            let rows = places(backend, &mut done, 1, 2);
            let text = format!("DELETE FROM outbox WHERE (tenant_id, id) IN (VALUES {rows})");
            tx.execute_raw(Statement::from_sql_and_values(backend, text, done)).await?;
        }
        if !tried.is_empty() {
            tried.insert(0, self.now().into());
            let (now, rows) = (parameter(backend, 1), places(backend, &mut tried, 2, 5));
            let text = format!(
                "UPDATE outbox SET state = v.column3, code = v.column4, attempts = attempts + v.column5, updated_at = {now} \
                 FROM (VALUES {rows}) AS v WHERE outbox.tenant_id = v.column1 AND outbox.id = v.column2"
            );
            tx.execute_raw(Statement::from_sql_and_values(backend, text, tried)).await?;
        }
        failpoint::pass("webhook.settle");
        Ok(tx.commit().await?)
    }
}

fn delivery(row: outbox::Model, events: &mut HashMap<(uuid::Uuid, i64), Told>) -> Delivery {
    Delivery {
        id: row.id,
        name: row.name.unwrap_or_default(),
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
        since_ms: row.updated_at,
        event: row.seq.and_then(|seq| events.get(&(row.tenant_id, seq)).cloned()),
    }
}

fn dead(tenant: TenantId, which: &Dead) -> Condition {
    use outbox::Column;
    let theirs = |user: UserId| {
        let sessions = sessions::Entity::find().select_only().column(sessions::Column::Id);
        let sessions =
            sessions.filter(sessions::Column::TenantId.eq(tenant.0)).filter(sessions::Column::UserId.eq(user.0));
        Column::SessionId.in_subquery(sessions.into_query())
    };
    Condition::all()
        .add(Column::TenantId.eq(tenant.0).and(Column::Kind.eq("webhook")).and(Column::State.eq(DEAD)))
        .add_option(which.user.map(theirs))
        .add_option(which.session.map(|session| Column::SessionId.eq(session.0)))
        .add_option(which.ids.as_ref().map(|ids| Column::Id.is_in(padded(ids.iter().copied()))))
        .add_option(which.before.map(|before| Column::Id.lt(before)))
        .add_option(which.from_ms.map(|from| Column::CreatedAt.gte(from)))
        .add_option(which.to_ms.map(|to| Column::CreatedAt.lt(to)))
}

/// Lanes in which something waits.
async fn lanes_of(tx: &Tx, tenant: Option<TenantId>) -> Result<Vec<Lane>, Failure> {
    let (only, values) = match tenant {
        None => ("", vec![]),
        Some(tenant) => (" AND tenant_id = $1", vec![Value::from(tenant.0)]),
    };
    let text = format!(
        "SELECT DISTINCT tenant_id, session_id, hook, chat_id FROM outbox WHERE hook IS NOT NULL AND state = 0{only}"
    );
    let rows = tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), text, values)).await?;
    rows.iter().map(lane_of).collect()
}

fn lane_of(row: &QueryResult) -> Result<Lane, Failure> {
    let hook: String = row.try_get("", "hook")?;
    let (tenant, session) = (TenantId(row.try_get("", "tenant_id")?), SessionId(row.try_get("", "session_id")?));
    Ok(Lane {
        key: SessionKey { tenant, session },
        hook: hook.parse().map_err(|_| Failure::Strange)?,
        chat: ChatUuid(row.try_get("", "chat_id")?),
    })
}

/// Reads for lanes.
#[derive(Default)]
pub(in crate::store) struct Reading;

impl Answering for Reading {
    type Question = Lane;
    type Answer = Vec<Delivery>;
    const GROUP: usize = 50;

    async fn answer(
        &mut self,
        store: &Store,
        lanes: &[Lane],
    ) -> Result<Vec<Result<Vec<Delivery>, PortError>>, Failure> {
        store.read_lanes(lanes).await
    }
}

/// Writes what became of events.
#[derive(Default)]
pub(in crate::store) struct Settling;

impl Answering for Settling {
    type Question = (TenantId, Vec<(i64, Outcome)>);
    type Answer = ();
    const GROUP: usize = 50;

    async fn answer(
        &mut self,
        store: &Store,
        settled: &[Self::Question],
    ) -> Result<Vec<Result<(), PortError>>, Failure> {
        store.settle_all(settled).await?;
        Ok(settled.iter().map(|_| Ok(())).collect())
    }
}
