//! Keys as their owners see them. Only hashes are stored; the keys that a session derives can be made again from its user's
//! data key and the row's id.

use super::identity::{Actions, hash};
use crate::store::entity::{api_keys, sign_ins};
use crate::store::{Failure, Mode, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;
use wardroom_actors::domain::ids::{SessionId, TenantId, UserId};
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::PortError;

/// A use is written down at most so often, in milliseconds.
const NOTED_MS: i64 = 60_000;
/// Keys of one tenant.
const MOST: u64 = 10_000;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// What its actions say.
    Plain,
    /// Fetching the files of one session.
    Media,
    /// The QR code and the screen of one session.
    Control,
}

impl KeyKind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Media => "media",
            Self::Control => "control",
        }
    }

    fn named(name: &str) -> Self {
        [Self::Media, Self::Control].into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Plain)
    }

    fn actions(self) -> Actions {
        Actions { control: self == Self::Control, ..Actions::NONE }
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub kind: KeyKind,
    /// Whose.
    pub user: UserId,
    /// What can be changed of it.
    pub wish: KeyWish,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
    /// When it was last used, to the minute.
    pub used_ms: Option<i64>,
    /// Until when the secret before the last rotation is good, too.
    pub old_until_ms: Option<i64>,
}

/// What can be said of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyWish {
    /// Reaches everything of its tenant.
    pub is_admin: bool,
    /// Reaches this session alone.
    pub session: Option<SessionId>,
    /// It is good at all.
    pub is_active: bool,
    /// What it may do.
    pub actions: Actions,
}

fn key(row: api_keys::Model) -> Key {
    Key {
        id: row.id,
        kind: KeyKind::named(&row.kind),
        user: UserId(row.user_id),
        wish: KeyWish {
            is_admin: row.is_admin,
            session: row.session_id.map(SessionId),
            is_active: row.is_active,
            actions: Actions::of_bits(row.actions),
        },
        created_ms: row.created_at,
        used_ms: row.last_used_at,
        old_until_ms: row.old_until,
    }
}

fn is(tenant: TenantId, id: Uuid) -> SimpleExpr {
    api_keys::Column::TenantId.eq(tenant.0).and(api_keys::Column::Id.eq(id))
}

impl Store {
    /// A tenant's keys, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, tenant: TenantId) -> Result<Vec<Key>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = api_keys::Entity::find()
                .filter(api_keys::Column::TenantId.eq(tenant.0))
                .order_by_asc(api_keys::Column::Id)
                .limit(MOST)
                .all(&*tx)
                .await?;
            Ok(rows.into_iter().map(key).collect())
        })
        .await
    }

    /// A new key.
    ///
    /// # Errors
    /// The database's.
    pub async fn create_key(
        &self,
        tenant: TenantId,
        user: UserId,
        secret: &str,
        wish: KeyWish,
    ) -> Result<Key, PortError> {
        let (store, hash) = (self.clone(), hash(secret));
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let row = store.key_row((tenant, user), Uuid::now_v7(), KeyKind::Plain, hash, wish);
            let row = row.insert(&*tx).await?;
            tx.commit().await?;
            Ok(key(row))
        })
        .await
    }

    fn key_row(
        &self,
        (tenant, user): (TenantId, UserId),
        id: Uuid,
        kind: KeyKind,
        hash: Vec<u8>,
        wish: KeyWish,
    ) -> api_keys::ActiveModel {
        api_keys::ActiveModel {
            tenant_id: Set(tenant.0),
            id: Set(id),
            user_id: Set(user.0),
            hash: Set(hash),
            is_admin: Set(wish.is_admin),
            created_at: Set(self.now()),
            kind: Set(kind.name().to_owned()),
            session_id: Set(wish.session.map(|session| session.0)),
            is_active: Set(wish.is_active),
            actions: Set(wish.actions.bits()),
            last_used_at: Set(None),
            old_hash: Set(None),
            old_until: Set(None),
        }
    }

    /// Changes a key; `None` when there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn change_key(
        &self,
        tenant: TenantId,
        id: Uuid,
        user: UserId,
        wish: KeyWish,
    ) -> Result<Option<Key>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let Some(row) = api_keys::Entity::find().filter(is(tenant, id)).one(&*tx).await? else { return Ok(None) };
            let mut row = row.into_active_model();
            row.user_id = Set(user.0);
            row.is_admin = Set(wish.is_admin);
            row.session_id = Set(wish.session.map(|session| session.0));
            row.is_active = Set(wish.is_active);
            row.actions = Set(wish.actions.bits());
            let row = row.update(&*tx).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(Some(key(row)))
        })
        .await
    }

    /// A new secret for a key; the one before is good for `overlap_ms` more. `None` when there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn rotate_key(
        &self,
        tenant: TenantId,
        id: Uuid,
        secret: &str,
        overlap_ms: i64,
    ) -> Result<Option<Key>, PortError> {
        let (store, hash) = (self.clone(), hash(secret));
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let Some(row) = api_keys::Entity::find().filter(is(tenant, id)).one(&*tx).await? else { return Ok(None) };
            let before = row.hash.clone();
            let mut row = row.into_active_model();
            (row.hash, row.old_hash) = (Set(hash), Set(Some(before)));
            row.old_until = Set(Some(store.now().saturating_add(overlap_ms)));
            if overlap_ms == 0 {
                (row.old_hash, row.old_until) = (Set(None), Set(None));
            }
            let row = row.update(&*tx).await?;
            // Whoever signed in with the secret before has to do it again.
            Self::end_stays(&tx, tenant, id).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(Some(key(row)))
        })
        .await
    }

    async fn end_stays(tx: &Tx, tenant: TenantId, id: Uuid) -> Result<(), Failure> {
        sign_ins::Entity::delete_many()
            .filter(sign_ins::Column::TenantId.eq(tenant.0))
            .filter(sign_ins::Column::KeyId.eq(id))
            .exec(&**tx)
            .await?;
        Ok(())
    }

    /// Removes a key, and ends the stays that began with it; false when there was none.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_key(&self, tenant: TenantId, id: Uuid) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            Self::end_stays(&tx, tenant, id).await?;
            let gone = api_keys::Entity::delete_many().filter(is(tenant, id)).exec(&*tx).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(gone.rows_affected > 0)
        })
        .await
    }

    /// A session's key of this kind with its secret: the one that is there, or a new one.
    ///
    /// # Errors
    /// The database's.
    pub async fn derived_key(&self, spec: &SessionSpec, kind: KeyKind) -> Result<(Key, String), PortError> {
        let (store, spec) = (self.clone(), spec.clone());
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Write).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await?;
            let secret = |id: Uuid| -> Result<String, Failure> {
                let label = Self::label(spec.tenant, spec.user, Kind::ApiKey, id);
                Ok(format!("key_{}", hex::encode(store.vault.fingerprint(&label, kind.name().as_bytes())?)))
            };
            let known = api_keys::Entity::find()
                .filter(api_keys::Column::TenantId.eq(spec.tenant.0))
                .filter(api_keys::Column::SessionId.eq(spec.id.0))
                .filter(api_keys::Column::Kind.eq(kind.name()))
                .one(&*tx)
                .await?;
            if let Some(row) = known {
                let secret = secret(row.id)?;
                return Ok((key(row), secret));
            }
            let id = Uuid::now_v7();
            let secret = secret(id)?;
            let wish = KeyWish { is_admin: false, session: Some(spec.id), is_active: true, actions: kind.actions() };
            let row = store.key_row((spec.tenant, spec.user), id, kind, hash(&secret), wish);
            let row = row.insert(&*tx).await?;
            tx.commit().await?;
            Ok((key(row), secret))
        })
        .await
    }

    /// A key was used: noted by and by, never waited for.
    pub(super) fn key_used(&self, row: &api_keys::Model) {
        let now = self.now();
        let noted = self.key_uses.get(&row.id).map(|at| *at).or(row.last_used_at);
        if noted.is_some_and(|at| now.saturating_sub(at) < NOTED_MS) {
            return;
        }
        self.key_uses.insert(row.id, now);
        let (store, tenant, id) = (self.clone(), TenantId(row.tenant_id), row.id);
        self.spawn(async move {
            let noting = async {
                let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
                api_keys::Entity::update_many()
                    .col_expr(api_keys::Column::LastUsedAt, Expr::value(now))
                    .filter(is(tenant, id))
                    .exec(&*tx)
                    .await?;
                tx.commit().await
            };
            if let Err(error) = noting.await {
                tracing::debug!(%error, "a key's use was not noted");
            }
        });
    }
}
