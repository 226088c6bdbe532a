//! All that is sealed in the database, column by column: to look whether it opens, and to seal it anew.

use crate::store::entity::{api_keys, sessions};
use crate::store::{Failure, Store, Tx};
use crate::vault::{Kind, Label};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Order, Query, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryResult, QuerySelect};
use std::collections::HashMap;
use std::fmt;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};

/// A column in which items are sealed under their user's data key.
pub(in crate::store) struct Column {
    pub(in crate::store) table: &'static str,
    pub(in crate::store) column: &'static str,
    /// What of the primary key comes behind the tenant.
    key: &'static [Part],
    whose: Whose,
    kind: Kind,
    /// What the item is called, of its session and its key.
    item: fn(Option<Uuid>, &[Id]) -> String,
}

/// A column of a primary key.
struct Part {
    name: &'static str,
    is_number: bool,
}

const fn uuid(name: &'static str) -> Part {
    Part { name, is_number: false }
}

const fn number(name: &'static str) -> Part {
    Part { name, is_number: true }
}

/// How a row says whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// It is the user's own.
    Itself,
    /// By a user.
    User,
    /// By a session.
    Session,
    /// By a user, or by one of their keys.
    Stay,
}

/// A value of a primary key.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Id {
    /// Most are these.
    Uuid(Uuid),
    /// Places in a stream.
    Number(i64),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => id.fmt(f),
            Self::Number(id) => id.fmt(f),
        }
    }
}

impl From<Id> for SimpleExpr {
    fn from(id: Id) -> Self {
        match id {
            Id::Uuid(id) => id.into(),
            Id::Number(id) => id.into(),
        }
    }
}

fn last(_: Option<Uuid>, key: &[Id]) -> String {
    key.last().map(ToString::to_string).unwrap_or_default()
}

fn of_chat(_: Option<Uuid>, key: &[Id]) -> String {
    format!("chat/{}", last(None, key))
}

fn of_session(session: Option<Uuid>, key: &[Id]) -> String {
    format!("{}/{}", session.unwrap_or_default(), last(None, key))
}

const fn of(table: &'static str, column: &'static str, key: &'static [Part], whose: Whose, kind: Kind) -> Column {
    Column { table, column, key, whose, kind, item: last }
}

const ID: &[Part] = &[uuid("id")];

/// All of them; a test says when one is missing.
pub(in crate::store) const COLUMNS: &[Column] = &[
    Column { item: |_, _| "email".into(), ..of("users", "email", ID, Whose::Itself, Kind::Person) },
    Column { item: |_, _| "password".into(), ..of("users", "password", ID, Whose::Itself, Kind::Person) },
    Column { item: |_, _| "second_factor".into(), ..of("users", "second_factor", ID, Whose::Itself, Kind::Person) },
    of("sign_ins", "about", ID, Whose::Stay, Kind::SignIn),
    of("audit", "personal", &[number("seq")], Whose::User, Kind::Audit),
    of("sessions", "config", ID, Whose::User, Kind::Config),
    of("sessions", "account", ID, Whose::User, Kind::Account),
    Column { item: of_chat, ..of("chats", "name", &[uuid("session_id"), uuid("id")], Whose::Session, Kind::Journal) },
    Column { item: of_session, ..of("journal", "payload", &[number("seq")], Whose::Session, Kind::Journal) },
    of("agent_state", "state", &[uuid("session_id"), uuid("chat_id")], Whose::Session, Kind::AgentState),
    of("outbox", "payload", &[number("id")], Whose::Session, Kind::Outbox),
];

/// Whose a tenant's sessions and keys are.
pub(in crate::store) struct Owners {
    sessions: HashMap<Uuid, Uuid>,
    keys: HashMap<Uuid, Uuid>,
}

/// A sealed item and where it stands.
pub(in crate::store) struct Item {
    pub(in crate::store) label: Label,
    pub(in crate::store) sealed: Vec<u8>,
    pub(in crate::store) key: Vec<Id>,
}

impl Store {
    pub(in crate::store) async fn owners_in(&self, tx: &Tx, tenant: TenantId) -> Result<Owners, Failure> {
        let sessions = sessions::Entity::find()
            .filter(sessions::Column::TenantId.eq(tenant.0))
            .select_only()
            .columns([sessions::Column::Id, sessions::Column::UserId])
            .into_tuple::<(Uuid, Uuid)>();
        let keys = api_keys::Entity::find()
            .filter(api_keys::Column::TenantId.eq(tenant.0))
            .select_only()
            .columns([api_keys::Column::Id, api_keys::Column::UserId])
            .into_tuple::<(Uuid, Uuid)>();
        let sessions = sessions.all(&**tx).await?.into_iter().collect();
        Ok(Owners { sessions, keys: keys.all(&**tx).await?.into_iter().collect() })
    }
}

impl Column {
    /// Items of a tenant behind one, in order; how many rows were looked at and the last of them, too: rows of nobody, which are
    /// about to be removed, are left out.
    pub(in crate::store) async fn page(
        &self,
        tx: &Tx,
        (tenant, owners): (TenantId, &Owners),
        after: Option<&[Id]>,
        limit: u64,
    ) -> Result<(Vec<Item>, Option<Vec<Id>>), Failure> {
        let mut select = Query::select();
        let column = || Expr::col(Alias::new(self.column));
        select.from(Alias::new(self.table)).column(Alias::new(self.column)).limit(limit);
        select.and_where(Expr::col(Alias::new("tenant_id")).eq(tenant.0));
        select.and_where(column().is_not_null()).and_where(column().ne(Vec::<u8>::new()));
        for part in self.key {
            select.column(Alias::new(part.name)).order_by(Alias::new(part.name), Order::Asc);
        }
        match self.whose {
            Whose::Itself => &mut select,
            Whose::User => select.column(Alias::new("user_id")),
            Whose::Session if self.key.first().is_some_and(|part| part.name == "session_id") => &mut select,
            Whose::Session => select.column(Alias::new("session_id")),
            Whose::Stay => select.columns([Alias::new("user_id"), Alias::new("key_id")]),
        };
        if let Some(after) = after {
            let columns = self.key.iter().map(|part| Expr::col(Alias::new(part.name)));
            let values = after.iter().map(|id| SimpleExpr::from(*id));
            select.and_where(Expr::tuple(columns).gt(Expr::tuple(values)));
        }
        let rows = tx.query_all(&select).await?;
        let mut items = Vec::with_capacity(rows.len());
        let mut seen = None;
        for row in rows {
            let key = self.key_of(&row)?;
            if let Some((user, session)) = self.whose(&row, &key, owners)? {
                let item = (self.item)(session, &key);
                let label = Label { tenant, user: UserId(user), kind: self.kind, item };
                items.push(Item { label, sealed: row.try_get("", self.column)?, key: key.clone() });
            }
            seen = Some(key);
        }
        Ok((items, seen))
    }

    /// Puts what was sealed anew where the item stood; does nothing when it is another one by now.
    pub(in crate::store) async fn replace(&self, tx: &Tx, item: &Item, fresh: Vec<u8>) -> Result<(), Failure> {
        let mut update = Query::update();
        update.table(Alias::new(self.table)).value(Alias::new(self.column), fresh);
        update.and_where(Expr::col(Alias::new("tenant_id")).eq(item.label.tenant.0));
        for (part, id) in self.key.iter().zip(&item.key) {
            update.and_where(Expr::col(Alias::new(part.name)).eq(SimpleExpr::from(*id)));
        }
        update.and_where(Expr::col(Alias::new(self.column)).eq(item.sealed.clone()));
        tx.execute(&update).await?;
        Ok(())
    }

    fn key_of(&self, row: &QueryResult) -> Result<Vec<Id>, Failure> {
        let mut ids = Vec::with_capacity(self.key.len());
        for part in self.key {
            let id = if part.is_number {
                Id::Number(row.try_get("", part.name)?)
            } else {
                Id::Uuid(row.try_get("", part.name)?)
            };
            ids.push(id);
        }
        Ok(ids)
    }

    /// Whose a row is, and of which session; `None` for what is nobody's any more.
    fn whose(&self, row: &QueryResult, key: &[Id], owners: &Owners) -> Result<Option<(Uuid, Option<Uuid>)>, Failure> {
        Ok(match self.whose {
            Whose::Itself => match key.first() {
                Some(Id::Uuid(id)) => Some((*id, None)),
                _ => None,
            },
            Whose::User => Some((row.try_get("", "user_id")?, None)),
            Whose::Session => {
                let session: Uuid = row.try_get("", "session_id")?;
                owners.sessions.get(&session).map(|user| (*user, Some(session)))
            }
            Whose::Stay => {
                let (user, key): (Option<Uuid>, Option<Uuid>) =
                    (row.try_get("", "user_id")?, row.try_get("", "key_id")?);
                user.or_else(|| owners.keys.get(&key?).copied()).map(|user| (user, None))
            }
        })
    }
}
