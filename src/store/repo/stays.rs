//! Stays: on the dashboard, by a cookie, of a person or of whoever has a key; and of a person's program, by tokens.
//!
//! Invariants: a token that renews a stay is good once, and showing it again ends the stay; whoever is shut out stays nowhere.

use super::identity::{Holder, KNOWN, KNOWN_MS, hash, holder, welcome};
use super::people::{Login, Role, Standing};
use crate::store::entity::{api_keys, sign_ins, tenants, users};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;

/// Stays of one person, or of one key; the oldest ends when there would be more.
const MOST: usize = 100;
/// How a token that renews a stay begins, so that it is known for one wherever it is found.
const PREFIX: &str = "wrr_";
/// How long a token's proof is.
const PROOF: usize = 32;

/// Where a stay began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Address.
    pub address: String,
    /// What the client calls itself.
    pub agent: String,
}

/// A stay as the person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Which.
    pub id: Uuid,
    /// By tokens, not by a cookie.
    pub is_by_tokens: bool,
    /// Where it began.
    pub about: About,
    /// Since when, Unix milliseconds.
    pub created_ms: i64,
    /// When it was last renewed, or began.
    pub used_ms: i64,
    /// When it ends by itself.
    pub expires_ms: i64,
}

/// Who a stay is.
#[derive(Clone)]
pub enum Staying {
    /// Whoever has a key.
    Key(Holder),
    /// A person, as they were when they showed who they are.
    Person(Box<Login>),
}

/// A stay by tokens that has just begun or was renewed.
pub struct Renewed {
    /// Who stays.
    pub holder: Holder,
    /// The token for the next time.
    pub token: String,
    /// When the stay ends by itself, Unix milliseconds.
    pub expires_ms: i64,
}

/// What became of a token that was shown to renew a stay.
pub enum Renewal {
    /// It was good.
    Done(Renewed),
    /// It was good once: somebody has a copy. The stay has ended.
    Reused(TenantId, UserId),
    /// It is none.
    Unknown,
}

/// A token that renews a stay, read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Token {
    tenant: TenantId,
    stay: Uuid,
    generation: i32,
    proof: [u8; PROOF],
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (tenant, rest) = bytes.split_first_chunk::<16>()?;
        let (stay, rest) = rest.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (tenant, stay) = (TenantId(Uuid::from_bytes(*tenant)), Uuid::from_bytes(*stay));
        Some(Self { tenant, stay, generation: i32::from_be_bytes(*generation), proof: rest.try_into().ok()? })
    }

    fn write(&self) -> String {
        let Self { tenant, stay, generation, proof } = self;
        let bytes =
            [tenant.0.as_bytes().as_slice(), stay.as_bytes(), &generation.to_be_bytes(), proof.as_slice()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Who a person is in a stay, and what they may do.
fn person(row: &users::Model, stay: Uuid) -> Option<Holder> {
    let role = Role::named(&row.role).filter(|_| Standing::named(&row.status) == Standing::Active)?;
    Some(Holder {
        key: stay,
        stay: Some(stay),
        role: Some(role),
        has_second_factor: row.second_factor.is_some(),
        tenant: TenantId(row.tenant_id),
        user: UserId(row.id),
        is_admin: role.is_admin(),
        session: None,
        actions: role.actions(),
        files: false,
    })
}

impl Store {
    /// Begins a stay by a cookie.
    ///
    /// # Errors
    /// [`PortError::Conflict`] for somebody who is not let in any more, and for a key whose user needs a code to sign in; the
    /// database's.
    pub async fn stay(&self, who: Staying, cookie: &str, about: About, for_ms: i64) -> Result<(), PortError> {
        let (store, hash) = (self.clone(), hash(cookie));
        self.on_io(async move {
            let tenant = match &who {
                Staying::Key(holder) => holder.tenant,
                Staying::Person(login) => login.tenant,
            };
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            match &who {
                Staying::Person(login) => drop(Self::still(&tx, login).await?),
                Staying::Key(holder) => {
                    let user =
                        users::Entity::find_by_id((tenant.0, holder.user.0)).lock(LockType::Update).one(&*tx).await?;
                    user.filter(|user| user.second_factor.is_none()).ok_or(Failure::Gone)?;
                }
            }
            store.begin(&tx, (&who, Uuid::now_v7()), (hash, 0), &about, for_ms).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Begins a stay by tokens.
    ///
    /// # Errors
    /// [`PortError::Conflict`] for somebody who is not let in; the database's.
    pub async fn stay_by_tokens(&self, login: Login, about: About, for_ms: i64) -> Result<Renewed, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let (tenant, user) = (login.tenant, login.user);
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let row = Self::still(&tx, &login).await?;
            let stay = Uuid::now_v7();
            let holder = person(&row, stay).ok_or(Failure::Gone)?;
            let token = store.token(&tx, (tenant, user), stay, 1).await?.write();
            let who = Staying::Person(Box::new(login));
            store.begin(&tx, (&who, stay), (hash(&token), 1), &about, for_ms).await?;
            tx.commit().await?;
            Ok(Renewed { holder, token, expires_ms: store.now().saturating_add(for_ms) })
        })
        .await
    }

    /// The row of somebody who has shown who they are, if what they showed is still good: it may have been changed while it was
    /// looked at.
    async fn still(tx: &Tx, login: &Login) -> Result<users::Model, Failure> {
        let row = users::Entity::find_by_id((login.tenant.0, login.user.0)).lock(LockType::Update).one(&**tx).await?;
        let same = |row: &users::Model| {
            row.password == login.sealed_password && row.second_factor.is_some() == login.second_factor.is_some()
        };
        row.filter(same).filter(|row| Standing::named(&row.status) == Standing::Active).ok_or(Failure::Gone)
    }

    async fn begin(
        &self,
        tx: &Tx,
        (who, id): (&Staying, Uuid),
        (hash, generation): (Vec<u8>, i32),
        about: &About,
        for_ms: i64,
    ) -> Result<(), Failure> {
        let (tenant, user, key) = match who {
            Staying::Key(holder) => (holder.tenant, holder.user, Some(holder.key)),
            Staying::Person(login) => (login.tenant, login.user, None),
        };
        self.need_dek(tx, tenant, user).await?;
        let about = serde_json::to_vec(about).unwrap_or_default();
        let about = self.vault.seal(&Self::label(tenant, user, Kind::SignIn, id), &about)?;
        let same = key.map_or(sign_ins::Column::UserId.eq(user.0), |key| sign_ins::Column::KeyId.eq(key));
        let ids = sign_ins::Entity::find()
            .filter(sign_ins::Column::TenantId.eq(tenant.0))
            .filter(same)
            .order_by_asc(sign_ins::Column::Id)
            .select_only()
            .column(sign_ins::Column::Id)
            .into_tuple::<Uuid>()
            .all(&**tx)
            .await?;
        let over = (ids.len() + 1).saturating_sub(MOST);
        for id in ids.into_iter().take(over) {
            sign_ins::Entity::delete_by_id((tenant.0, id)).exec(&**tx).await?;
        }
        let now = self.now();
        let row = sign_ins::ActiveModel {
            tenant_id: Set(tenant.0),
            id: Set(id),
            key_id: Set(key),
            user_id: Set(key.is_none().then_some(user.0)),
            hash: Set(hash),
            // A stay by tokens counts from 1; a cookie stays what it is.
            generation: Set(generation),
            about: Set(Some(about)),
            created_at: Set(now),
            used_at: Set(now),
            expires_at: Set(now.saturating_add(for_ms)),
        };
        sign_ins::Entity::insert(row).exec_without_returning(&**tx).await?;
        Ok(())
    }

    /// The token of a stay that is the `generation`th: whoever has not the user's data key cannot make it.
    async fn token(
        &self,
        tx: &Tx,
        (tenant, user): (TenantId, UserId),
        stay: Uuid,
        generation: i32,
    ) -> Result<Token, Failure> {
        self.need_dek(tx, tenant, user).await?;
        let label = Self::label(tenant, user, Kind::SignIn, stay);
        let proof = self.vault.fingerprint(&label, &generation.to_be_bytes())?;
        let proof = *proof.first_chunk::<PROOF>().ok_or(Failure::Strange)?;
        Ok(Token { tenant, stay, generation, proof })
    }

    /// How many stays of anybody have not ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_stays(&self) -> Result<u64, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::SignIn, Mode::Read).await?;
            Ok(sign_ins::Entity::find().filter(sign_ins::Column::ExpiresAt.gt(store.now())).count(&*tx).await?)
        })
        .await
    }

    /// Renews a stay.
    ///
    /// # Errors
    /// The database's.
    pub async fn renew(&self, text: &str) -> Result<Renewal, PortError> {
        let Some(shown) = Token::read(text) else { return Ok(Renewal::Unknown) };
        let store = self.clone();
        self.on_io(async move {
            let id = (shown.tenant.0, shown.stay);
            // Nobody who has no such token gets the one writer's place.
            let tx = Tx::tenant(&store, shown.tenant, Mode::Read).await?;
            let Some(row) = sign_ins::Entity::find_by_id(id).one(&*tx).await? else { return Ok(Renewal::Unknown) };
            let Some(user) = row.user_id.filter(|_| row.generation > 0).map(UserId) else {
                return Ok(Renewal::Unknown);
            };
            let who = (shown.tenant, user);
            let made = store.token(&tx, who, shown.stay, shown.generation).await?;
            if made.proof.ct_eq(&shown.proof).unwrap_u8() == 0 || row.expires_at <= store.now() {
                return Ok(Renewal::Unknown);
            }
            tx.rollback().await?;
            let tx = Tx::tenant(&store, shown.tenant, Mode::Write).await?;
            let next = shown.generation.saturating_add(1);
            let token = store.token(&tx, who, shown.stay, next).await?.write();
            let done = sign_ins::Entity::update_many()
                .col_expr(sign_ins::Column::Generation, Expr::value(next))
                .col_expr(sign_ins::Column::Hash, Expr::value(hash(&token)))
                .col_expr(sign_ins::Column::UsedAt, Expr::value(store.now()))
                .filter(sign_ins::Column::TenantId.eq(id.0).and(sign_ins::Column::Id.eq(id.1)))
                .filter(sign_ins::Column::Generation.eq(shown.generation))
                .exec(&*tx)
                .await?;
            if done.rows_affected == 0 {
                sign_ins::Entity::delete_by_id(id).exec(&*tx).await?;
                tx.commit().await?;
                store.forget_keys();
                return Ok(Renewal::Reused(who.0, who.1));
            }
            let Some(holder) = store.staying(&tx, &row).await? else { return Ok(Renewal::Unknown) };
            tx.commit().await?;
            Ok(Renewal::Done(Renewed { holder, token, expires_ms: row.expires_at }))
        })
        .await
    }

    /// Who stays, if they are let in.
    async fn staying(&self, tx: &Tx, row: &sign_ins::Model) -> Result<Option<Holder>, Failure> {
        if let Some(key) = row.key_id {
            let key = api_keys::Entity::find_by_id((row.tenant_id, key))
                .filter(api_keys::Column::IsActive.eq(true))
                .filter(welcome())
                .one(&**tx)
                .await?;
            return Ok(key.map(|key| Holder { stay: Some(row.id), ..holder(key) }));
        }
        let Some(user) = row.user_id else { return Ok(None) };
        let tenant = tenants::Entity::find_by_id(row.tenant_id).one(&**tx).await?;
        if tenant.is_none_or(|tenant| Standing::named(&tenant.status) != Standing::Active) {
            return Ok(None);
        }
        let user = users::Entity::find_by_id((row.tenant_id, user)).one(&**tx).await?;
        Ok(user.and_then(|user| person(&user, row.id)))
    }

    /// Who has this cookie.
    ///
    /// # Errors
    /// The database's.
    pub async fn signed_in(&self, cookie: &str) -> Result<Option<Holder>, PortError> {
        let (store, hash) = (self.clone(), hash(cookie));
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::SignIn, Mode::Read).await?;
            let row = sign_ins::Entity::find()
                .filter(sign_ins::Column::Hash.eq(hash))
                .filter(sign_ins::Column::Generation.eq(0))
                .filter(sign_ins::Column::ExpiresAt.gt(store.now()))
                .one(&*tx)
                .await?;
            let Some(row) = row else { return Ok(None) };
            store.staying(&tx, &row).await
        })
        .await
    }

    /// Who the person is whose token says that they stay.
    ///
    /// # Errors
    /// The database's.
    pub async fn stays_on(&self, tenant: TenantId, stay: Uuid) -> Result<Option<Holder>, PortError> {
        let now = self.clock.now();
        if let Some(known) = self.known_stays.get(&stay).filter(|known| now < known.1) {
            return Ok(Some(known.0).filter(|holder| holder.tenant == tenant));
        }
        let store = self.clone();
        let holder = self
            .on_io(async move {
                let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
                let row = sign_ins::Entity::find_by_id((tenant.0, stay)).one(&*tx).await?;
                let Some(row) = row.filter(|row| row.expires_at > store.now()) else { return Ok(None) };
                store.staying(&tx, &row).await
            })
            .await?;
        if let Some(holder) = holder {
            if self.known_stays.len() >= KNOWN {
                self.known_stays.clear();
            }
            self.known_stays.insert(stay, (holder, now.saturating_add(KNOWN_MS)));
        }
        Ok(holder)
    }

    /// A person's stays, the latest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn stays(&self, tenant: TenantId, user: UserId) -> Result<Vec<Stay>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = sign_ins::Entity::find()
                .filter(sign_ins::Column::TenantId.eq(tenant.0))
                .filter(sign_ins::Column::UserId.eq(user.0))
                .filter(sign_ins::Column::ExpiresAt.gt(store.now()))
                .order_by_desc(sign_ins::Column::Id)
                .all(&*tx)
                .await?;
            store.need_dek(&tx, tenant, user).await?;
            let stay = |row: sign_ins::Model| -> Result<Stay, Failure> {
                let label = Self::label(tenant, user, Kind::SignIn, row.id);
                let about = row.about.map(|sealed| store.vault.open(&label, &sealed)).transpose()?;
                Ok(Stay {
                    id: row.id,
                    is_by_tokens: row.generation > 0,
                    about: about.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default(),
                    created_ms: row.created_at,
                    used_ms: row.used_at,
                    expires_ms: row.expires_at,
                })
            };
            rows.into_iter().map(stay).collect()
        })
        .await
    }

    /// Ends a stay of whoever asks; false when they have none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_stay(&self, holder: Holder, stay: Uuid) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, holder.tenant, Mode::Write).await?;
            let own = match holder.role {
                Some(_) => sign_ins::Column::UserId.eq(holder.user.0),
                None => sign_ins::Column::KeyId.eq(holder.key),
            };
            let gone = sign_ins::Entity::delete_many()
                .filter(sign_ins::Column::TenantId.eq(holder.tenant.0))
                .filter(sign_ins::Column::Id.eq(stay))
                .filter(own)
                .exec(&*tx)
                .await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(gone.rows_affected > 0)
        })
        .await
    }

    /// Ends all stays of a person but `keep`; answers how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_all_stays(&self, tenant: TenantId, user: UserId, keep: Option<Uuid>) -> Result<u64, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let gone = Self::end_stays_of(&tx, (tenant, user), keep).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(gone)
        })
        .await
    }

    /// Which of these are still who they were, and may still do what they might: to be asked again and again of what stays open.
    ///
    /// # Errors
    /// The database's.
    pub async fn lasting(&self, held: Vec<Holder>) -> Result<Vec<Holder>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::KeyLookup, Mode::Read).await?;
            let (stays, keys): (Vec<_>, Vec<_>) = held.into_iter().partition(|holder| holder.stay.is_some());
            let asked: HashSet<_> = keys.iter().map(|holder| holder.key).collect();
            let found = api_keys::Entity::find()
                .filter(api_keys::Column::Id.is_in(super::sizes::padded(asked)))
                .filter(api_keys::Column::IsActive.eq(true))
                .filter(welcome())
                .all(&*tx)
                .await?;
            let found: Vec<_> = found.into_iter().map(holder).collect();
            let mut lasting: Vec<_> = keys.into_iter().filter(|holder| found.contains(holder)).collect();
            let ids = super::sizes::padded(stays.iter().filter_map(|holder| holder.stay));
            let rows = sign_ins::Entity::find()
                .filter(sign_ins::Column::Id.is_in(ids))
                .filter(sign_ins::Column::ExpiresAt.gt(store.now()))
                .all(&*tx)
                .await?;
            let shut = Self::shut(&tx).await?;
            let ids = super::sizes::padded(rows.iter().filter_map(|row| row.user_id));
            let people = users::Entity::find().filter(users::Column::Id.is_in(ids)).all(&*tx).await?;
            let ids = super::sizes::padded(rows.iter().filter_map(|row| row.key_id));
            let keys = api_keys::Entity::find()
                .filter(api_keys::Column::Id.is_in(ids))
                .filter(api_keys::Column::IsActive.eq(true))
                .filter(welcome())
                .all(&*tx)
                .await?;
            for row in rows.iter().filter(|row| !shut.contains(&TenantId(row.tenant_id))) {
                let of_tenant = |tenant: Uuid| tenant == row.tenant_id;
                let user = people.iter().find(|one| of_tenant(one.tenant_id) && Some(one.id) == row.user_id);
                let key = keys.iter().find(|key| of_tenant(key.tenant_id) && Some(key.id) == row.key_id);
                let by_key = key.map(|key| Holder { stay: Some(row.id), ..holder(key.clone()) });
                let now = by_key.or_else(|| user.and_then(|user| person(user, row.id)));
                lasting.extend(now.filter(|now| stays.contains(now)));
            }
            Ok(lasting)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_refresh_token_is_read_or_refused(text in "wrr_[A-Za-z0-9_-]{0,120}|.{0,100}", bytes in any::<([u8; 16], [u8; 16], i32)>()) {
            if let Some(token) = Token::read(&text) {
                prop_assert_eq!(token.write(), text);
            }
            let (tenant, stay) = (TenantId(Uuid::from_bytes(bytes.0)), Uuid::from_bytes(bytes.1));
            let token = Token { tenant, stay, generation: bytes.2, proof: [9; PROOF] };
            prop_assert!(Token::read(&token.write()) == Some(token));
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let token = Token { tenant: TenantId(Uuid::now_v7()), stay: Uuid::now_v7(), generation: 7, proof: [9; PROOF] };
        let text = token.write();
        assert!(Token::read(&text) == Some(token));
        for odd in
            ["", PREFIX, &text[1..], &text[..text.len() - 2], &format!("{text}AA"), &text.replace("wrr_", "wrr-")]
        {
            assert!(Token::read(odd).is_none(), "{odd}");
        }
    }
}
