//! Tenants, users, API keys, and what whoever shows one may do.

use super::gather::Answering;
use super::handover::put;
use super::keys::KeyKind;
use super::people::{Role, Standing};
use super::sizes::padded;
use crate::store::entity::{api_keys, meta, tenants, users};
use crate::store::{Failure, Mode, Reason, Store, Tx, is_unique_violation};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use uuid::Uuid;
use wardroom_actors::domain::ids::{SessionId, TenantId, UserId};
use wardroom_actors::ports::PortError;

/// Who asks, by a key or by a stay, and what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The key; of a person, who has none, the stay.
    pub key: Uuid,
    /// The stay in which they ask.
    pub stay: Option<Uuid>,
    /// The role of a person, which reaches all sessions of the tenant.
    pub role: Option<Role>,
    /// They are a person who needs a code to sign in.
    pub has_second_factor: bool,
    /// Owner.
    pub tenant: TenantId,
    /// Whose sessions it creates.
    pub user: UserId,
    /// Reaches all sessions of the tenant and may act for other users; without it, only its own user's.
    pub is_admin: bool,
    /// The only session that it reaches.
    pub session: Option<SessionId>,
    /// What it may do to sessions; an admin key may do everything.
    pub actions: Actions,
    /// It may fetch files, whatever else it may do.
    pub files: bool,
}

impl Holder {
    /// Whether it reaches a session of its tenant.
    #[must_use]
    pub fn reaches(&self, user: UserId, session: SessionId) -> bool {
        self.reaches_all() || (self.user == user && self.session.is_none_or(|own| own == session))
    }

    /// Whether it reaches every session of its tenant.
    #[must_use]
    pub fn reaches_all(&self) -> bool {
        self.is_admin || self.role.is_some()
    }

    /// Whether it may do this to the sessions that it reaches.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        let Actions { read, send, control, setting, app, delete } = self.actions;
        let allowed = match action {
            Action::Read => read,
            Action::Send => send,
            Action::Control => control,
            Action::Setting => setting,
            Action::App => app,
            Action::Delete => delete,
        };
        self.is_admin || allowed
    }
}

/// A kind of things to do to a session, as WAHA divides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Messages, chats, events.
    Read,
    /// Sending, and whatever else others see.
    Send,
    /// Starting, stopping, linking.
    Control,
    /// Its settings.
    Setting,
    /// Integrations.
    App,
    /// Deleting it.
    Delete,
}

/// What a key may do; what is not said is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actions {
    /// See [`Action::Read`].
    #[serde(default)]
    pub read: bool,
    /// See [`Action::Send`].
    #[serde(default)]
    pub send: bool,
    /// See [`Action::Control`].
    #[serde(default)]
    pub control: bool,
    /// See [`Action::Setting`].
    #[serde(default)]
    pub setting: bool,
    /// See [`Action::App`].
    #[serde(default)]
    pub app: bool,
    /// See [`Action::Delete`].
    #[serde(default)]
    pub delete: bool,
}

impl Default for Actions {
    /// What a key may do that says nothing of it, as in WAHA.
    fn default() -> Self {
        Self { delete: false, ..Self::of_bits(63) }
    }
}

impl Actions {
    /// Nothing.
    pub const NONE: Self = Self::of_bits(0);

    pub(super) const fn of_bits(bits: i32) -> Self {
        Self {
            read: bits & 1 != 0,
            send: bits & 2 != 0,
            control: bits & 4 != 0,
            setting: bits & 8 != 0,
            app: bits & 16 != 0,
            delete: bits & 32 != 0,
        }
    }

    pub(super) fn bits(self) -> i32 {
        let all = [self.read, self.send, self.control, self.setting, self.app, self.delete];
        all.iter().rev().fold(0, |bits, one| bits << 1 | i32::from(*one))
    }
}

/// A key is known for so long, in milliseconds, before it is looked up again: another process may have changed it.
pub(super) const KNOWN_MS: u64 = 500;
/// Keys that are known.
pub(super) const KNOWN: usize = 10_000;

/// A secret text as it is stored. Keys have 160 random bits and more, so a plain hash is enough.
pub(super) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

impl Store {
    /// A tenant by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant_named(&self, name: &str) -> Result<Option<TenantId>, PortError> {
        let (store, name) = (self.clone(), name.to_owned());
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let row = tenants::Entity::find().filter(tenants::Column::Name.eq(name)).one(&*tx).await?;
            Ok(row.map(|row| TenantId(row.id)))
        })
        .await
    }

    /// The name of a tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant_name(&self, tenant: TenantId) -> Result<Option<String>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            Ok(tenants::Entity::find_by_id(tenant.0).one(&*tx).await?.map(|row| row.name))
        })
        .await
    }

    /// Creates a tenant with its user `owner`; `None` when the name is taken.
    ///
    /// # Errors
    /// The database's.
    pub async fn create_tenant(&self, name: &str) -> Result<Option<TenantId>, PortError> {
        let (store, name) = (self.clone(), name.to_owned());
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            let id = TenantId::generate();
            let row = tenants::ActiveModel {
                id: Set(id.0),
                name: Set(name),
                created_at: Set(store.now()),
                status: Set(Standing::Active.name().to_owned()),
                hosts: Set(None),
            };
            match tenants::Entity::insert(row).exec_without_returning(&*tx).await {
                Err(error) if is_unique_violation(&error) => return Ok(None),
                other => other?,
            };
            store.insert_user(&tx, id, OWNER, Role::Owner).await?;
            tx.commit().await?;
            Ok(Some(id))
        })
        .await
    }

    /// The user of that name, created on first use.
    ///
    /// # Errors
    /// The database's.
    pub async fn user_named(&self, tenant: TenantId, name: &str) -> Result<UserId, PortError> {
        let (store, name) = (self.clone(), name.to_owned());
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let found = users::Entity::find()
                .filter(users::Column::TenantId.eq(tenant.0))
                .filter(users::Column::Name.eq(name.as_str()))
                .one(&*tx)
                .await?;
            if let Some(row) = found {
                return Ok(UserId(row.id));
            }
            let id = store.insert_user(&tx, tenant, &name, Role::Operator).await?;
            tx.commit().await?;
            Ok(id)
        })
        .await
    }

    pub(super) async fn insert_user(
        &self,
        tx: &Tx,
        tenant: TenantId,
        name: &str,
        role: Role,
    ) -> Result<UserId, Failure> {
        let id = UserId::generate();
        let row = users::ActiveModel {
            tenant_id: Set(tenant.0),
            id: Set(id.0),
            name: Set(name.to_owned()),
            dek: Set(self.vault.new_dek(tenant, id)),
            created_at: Set(self.now()),
            status: Set(Standing::Active.name().to_owned()),
            role: Set(role.name().to_owned()),
            ..Default::default()
        };
        users::Entity::insert(row).exec_without_returning(&**tx).await?;
        Ok(id)
    }

    /// Stores a key's hash. Idempotent for the same key of the same tenant.
    ///
    /// # Errors
    /// [`PortError::Conflict`] when another tenant has this key.
    pub async fn add_key(&self, tenant: TenantId, user: UserId, secret: &str, is_admin: bool) -> Result<(), PortError> {
        let (store, hash) = (self.clone(), hash(secret));
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            store.insert_key(&tx, (tenant, user), hash, is_admin).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Stores the admin key that the config names; once, so that one that was removed stays away. False when that was done before.
    ///
    /// # Errors
    /// As for [`Self::add_key`].
    pub async fn add_first_key(&self, tenant: TenantId, user: UserId, secret: &str) -> Result<bool, PortError> {
        let (store, hash) = (self.clone(), hash(secret));
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            let before = meta::Entity::find_by_id(FIRST_KEY.to_owned()).one(&*tx).await?;
            let now = [tenant.0.as_bytes().as_slice(), &hash].concat();
            if before.is_some_and(|row| row.value == now) {
                return Ok(false);
            }
            store.insert_key(&tx, (tenant, user), hash, true).await?;
            put(&tx, FIRST_KEY, now).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn insert_key(
        &self,
        tx: &Tx,
        (tenant, user): (TenantId, UserId),
        hash: Vec<u8>,
        is_admin: bool,
    ) -> Result<(), Failure> {
        let found = api_keys::Entity::find().filter(api_keys::Column::Hash.eq(hash.clone())).one(&**tx).await?;
        match found {
            Some(row) if row.tenant_id == tenant.0 => return Ok(()),
            Some(_) => return Err(Failure::Gone),
            None => {}
        }
        let row = api_keys::ActiveModel {
            tenant_id: Set(tenant.0),
            id: Set(Uuid::now_v7()),
            user_id: Set(user.0),
            hash: Set(hash),
            is_admin: Set(is_admin),
            created_at: Set(self.now()),
            actions: Set(63),
            ..Default::default()
        };
        api_keys::Entity::insert(row).exec_without_returning(&**tx).await?;
        Ok(())
    }

    /// Whether there is any key at all.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_keys(&self) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Boot, Mode::Read).await?;
            Ok(api_keys::Entity::find().one(&*tx).await?.is_some())
        })
        .await
    }

    /// Whose key this is; looked up by hash, so its time tells nothing about other keys.
    ///
    /// # Errors
    /// The database's.
    pub async fn key_holder(&self, secret: &str) -> Result<Option<Holder>, PortError> {
        let (hash, now) = (hash(secret), self.clock.now());
        if let Some(known) = self.known_keys.get(&hash).filter(|known| now < known.1) {
            return Ok(Some(known.0));
        }
        let holder = self.holders.ask(self, hash.clone()).await?;
        if let Some(holder) = holder {
            if self.known_keys.len() >= KNOWN {
                self.known_keys.clear();
            }
            self.known_keys.insert(hash, (holder, now.saturating_add(KNOWN_MS)));
        }
        Ok(holder)
    }

    /// Keys or people have changed: they are looked up again.
    pub fn forget_keys(&self) {
        self.known_keys.clear();
        self.known_stays.clear();
    }
}

/// The tenant and the digest of the last key of the config.
const FIRST_KEY: &str = "first_key";

/// The user that every tenant is born with.
pub const OWNER: &str = "owner";

/// What a key may do.
pub(super) fn holder(row: api_keys::Model) -> Holder {
    Holder {
        key: row.id,
        stay: None,
        role: None,
        has_second_factor: false,
        tenant: TenantId(row.tenant_id),
        user: UserId(row.user_id),
        is_admin: row.is_admin,
        session: row.session_id.map(SessionId),
        actions: Actions::of_bits(row.actions),
        files: row.kind == KeyKind::Media.name(),
    }
}

/// Of keys whose tenant and whose user are not shut out.
pub(super) fn welcome() -> SimpleExpr {
    let off = |table: &'static str| {
        let of_table = |column: &'static str| Expr::col((table, column));
        Query::select()
            .expr(of_table("id"))
            .from(table)
            .and_where(of_table("status").ne(Standing::Active.name()))
            .take()
    };
    let tenant = api_keys::Column::TenantId.not_in_subquery(off("tenants"));
    tenant.and(api_keys::Column::UserId.not_in_subquery(off("users")))
}

/// Finds out whose keys are, for all who ask at the same time.
#[derive(Default)]
pub(in crate::store) struct Keys;

impl Answering for Keys {
    type Question = Vec<u8>;
    type Answer = Option<Holder>;
    const GROUP: usize = 128;

    async fn answer(
        &mut self,
        store: &Store,
        hashes: &[Vec<u8>],
    ) -> Result<Vec<Result<Option<Holder>, PortError>>, Failure> {
        use api_keys::Column::{Hash, IsActive, OldHash, OldUntil};
        let (asked, now) = (padded(hashes.iter().collect::<HashSet<_>>().into_iter().cloned()), store.now());
        let tx = Tx::system(store, Reason::KeyLookup, Mode::Read).await?;
        let old = OldHash.is_in(asked.clone()).and(OldUntil.gt(now));
        let found =
            api_keys::Entity::find().filter(Hash.is_in(asked).or(old)).filter(IsActive.eq(true)).filter(welcome());
        let rows = found.all(&*tx).await?;
        drop(tx);
        rows.iter().for_each(|row| store.key_used(row));
        let holder_of = |hash: &Vec<u8>| {
            let lives = |row: &&api_keys::Model| row.old_until.is_some_and(|until| until > now);
            let current = rows.iter().find(|row| row.hash == *hash);
            current.or_else(|| rows.iter().filter(lives).find(|row| row.old_hash.as_ref() == Some(hash))).cloned()
        };
        Ok(hashes.iter().map(|hash| Ok(holder_of(hash).map(holder))).collect())
    }
}
