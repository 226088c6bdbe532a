//! People: users who sign in with an e-mail address and a password, what their roles allow; and tenants that are shut.
//!
//! Invariants: an address belongs to one user of one tenant, and stands nowhere in the clear; what shuts somebody out ends their
//! stays in the same transaction.

use super::hosts::listed;
use super::identity::Actions;
use crate::store::entity::{api_keys, invitations, sign_ins, tenants, users};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::Kind;
use hmac::{Hmac, Mac};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait as _,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;
use zeroize::Zeroizing;

/// Users of one tenant that are shown.
const MOST: u64 = 10_000;

/// What a person may do in their tenant. This is the table of permissions: [`Role::is_admin`], [`Role::actions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Sends, links, starts and stops; deletes nothing, and has nothing to do with keys and people.
    Operator,
    /// Everything, but to owners.
    Admin,
    /// Everything.
    Owner,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Admin, Self::Owner];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Manages keys and people, and may do everything to sessions.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self >= Self::Admin
    }

    /// What it may do to the sessions of the tenant.
    #[must_use]
    pub fn actions(self) -> Actions {
        match self {
            Self::Viewer => Actions { read: true, ..Actions::NONE },
            Self::Operator => Actions::default(),
            Self::Admin | Self::Owner => Actions { delete: true, ..Actions::default() },
        }
    }
}

/// Whether somebody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Yes.
    Active,
    /// Not now: neither their stays nor their keys are good.
    Suspended,
    /// Never again: their data key is destroyed, and what else is left of them is being removed.
    #[serde(skip_deserializing)]
    Leaving,
    /// Nothing is left of them.
    #[serde(skip_deserializing)]
    Deleted,
}

impl Standing {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Leaving => "leaving",
            Self::Deleted => "deleted",
        }
    }

    pub(super) fn named(name: &str) -> Self {
        let all = [Self::Active, Self::Leaving, Self::Deleted];
        all.into_iter().find(|standing| standing.name() == name).unwrap_or(Self::Suspended)
    }

    /// Whether they were deleted.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Leaving | Self::Deleted)
    }
}

/// A user as their tenant's admins see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Address; a user who only has keys has none.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether they are let in.
    pub standing: Standing,
    /// Whether they have chosen a password.
    pub has_password: bool,
    /// Whether they need a second factor.
    pub has_second_factor: bool,
    /// Since when, Unix milliseconds.
    pub created_ms: i64,
}

/// A tenant as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Which.
    pub id: TenantId,
    /// Name.
    pub name: String,
    /// Whether it is let in.
    pub standing: Standing,
    /// Since when, Unix milliseconds.
    pub created_ms: i64,
    /// The hosts that its URLs may name; `None`: any.
    pub hosts: Option<Vec<String>>,
}

/// What became of a change of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was made.
    Person(Person),
    /// They are the only owner that is let in.
    LastOwner,
    /// There is nobody, or nobody with that role any more.
    Nobody,
}

/// What is known of somebody who signs in.
#[derive(Clone)]
pub struct Login {
    /// Whose they are.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Words that their password must not be made of: their name, their address, their tenant's name.
    pub words: Vec<String>,
    /// The hash of their password, if they have chosen one.
    pub password: Option<Zeroizing<String>>,
    /// The same as it is stored, by which it is known again.
    pub(super) sealed_password: Option<Vec<u8>>,
    /// Their second factor as it is stored, if they need one.
    pub second_factor: Option<Vec<u8>>,
    /// They and their tenant are let in.
    pub is_welcome: bool,
}

/// A change of somebody.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The role that they have, for all that whoever changes it knows.
    pub was: Role,
    /// Their new role.
    pub role: Option<Role>,
    /// Whether they are let in.
    pub standing: Option<Standing>,
}

/// An address as it is compared: without spaces around it, and in small letters. `None` for what is no address.
#[must_use]
pub fn normal_email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, host) = text.split_once('@')?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '@' || c == '<' || c == '>';
    let sound = !local.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
    (sound && text.len() <= 254 && !local.contains(odd) && !host.contains(odd)).then_some(text)
}

/// Whether a user may be called so.
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '_', '-'])
}

/// Users who were not deleted.
fn are_there() -> SimpleExpr {
    users::Column::Status.is_in([Standing::Active, Standing::Suspended].map(Standing::name))
}

pub(super) fn is(tenant: TenantId, user: UserId) -> SimpleExpr {
    users::Column::TenantId.eq(tenant.0).and(users::Column::Id.eq(user.0))
}

impl Store {
    /// By which an address is found.
    pub(super) fn login(&self, email: &str) -> Vec<u8> {
        let key = self.own.get().map(|own| own.login.as_slice()).unwrap_or_default();
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(key);
        mac.map(|mac| mac.chain_update(email).finalize().into_bytes().to_vec()).unwrap_or_default()
    }

    pub(super) fn seal_of(&self, row: (TenantId, UserId), item: &str, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        Ok(self.vault.seal(&Self::label(row.0, row.1, Kind::Person, item), plain)?)
    }

    fn open_of(&self, row: &users::Model, item: &str, sealed: &[u8]) -> Result<String, Failure> {
        let (tenant, user) = (TenantId(row.tenant_id), UserId(row.id));
        if !self.vault.knows(tenant, user) {
            self.vault.admit(tenant, user, &row.dek)?;
        }
        let plain = self.vault.open(&Self::label(tenant, user, Kind::Person, item), sealed)?;
        String::from_utf8(plain).map_err(|_| Failure::Strange)
    }

    pub(super) fn person(&self, row: &users::Model) -> Result<Person, Failure> {
        let email = row.email.as_ref().map(|sealed| self.open_of(row, "email", sealed)).transpose()?;
        Ok(Person {
            id: UserId(row.id),
            name: row.name.clone(),
            email,
            role: Role::named(&row.role).ok_or(Failure::Strange)?,
            standing: Standing::named(&row.status),
            has_password: row.password.is_some(),
            has_second_factor: row.second_factor.is_some(),
            created_ms: row.created_at,
        })
    }

    /// A tenant's users, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn people(&self, tenant: TenantId) -> Result<Vec<Person>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = users::Entity::find()
                .filter(users::Column::TenantId.eq(tenant.0).and(are_there()))
                .order_by_asc(users::Column::Id)
                .limit(MOST)
                .all(&*tx)
                .await?;
            rows.iter().map(|row| store.person(row)).collect()
        })
        .await
    }

    /// One of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn person_of(&self, tenant: TenantId, user: UserId) -> Result<Option<Person>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let row = users::Entity::find().filter(is(tenant, user).and(are_there())).one(&*tx).await?;
            row.map(|row| store.person(&row)).transpose()
        })
        .await
    }

    /// How many users a tenant has.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_people(&self, tenant: TenantId) -> Result<u64, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            Ok(users::Entity::find().filter(users::Column::TenantId.eq(tenant.0).and(are_there())).count(&*tx).await?)
        })
        .await
    }

    /// False when the password is not the one that was read any more.
    pub(super) async fn write_password(
        &self,
        tx: &Tx,
        who: (TenantId, UserId),
        password: &str,
        read: Option<&Login>,
    ) -> Result<bool, Failure> {
        self.need_dek(tx, who.0, who.1).await?;
        let sealed = self.seal_of(who, "password", password.as_bytes())?;
        let done = users::Entity::update_many()
            .col_expr(users::Column::Password, Expr::value(sealed))
            .filter(is(who.0, who.1));
        let same = read.map(|read| match &read.sealed_password {
            Some(before) => users::Column::Password.eq(before.clone()),
            None => users::Column::Password.is_null(),
        });
        let done = same.into_iter().fold(done, QueryFilter::filter).exec(&**tx).await?;
        Ok(done.rows_affected == 1)
    }

    /// Gives somebody another password; their stays end, but for `stay`. False when it was changed meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_password(&self, login: &Login, password: &str, stay: Option<Uuid>) -> Result<bool, PortError> {
        let (store, login, password) = (self.clone(), login.clone(), Zeroizing::new(password.to_owned()));
        self.on_io(async move {
            let who = (login.tenant, login.user);
            let tx = Tx::tenant(&store, who.0, Mode::Write).await?;
            if !store.write_password(&tx, who, &password, Some(&login)).await? {
                return Ok(false);
            }
            Self::end_stays_of(&tx, who, stay).await?;
            invitations::Entity::delete_by_id((who.0.0, who.1.0)).exec(&*tx).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(true)
        })
        .await
    }

    /// Keeps the same password by another hash, if it is still the same, and answers how it is known from now on.
    ///
    /// # Errors
    /// The database's.
    pub async fn hash_anew(&self, login: Login, hash: &str) -> Result<Login, PortError> {
        let (store, hash) = (self.clone(), Zeroizing::new(hash.to_owned()));
        self.on_io(async move {
            let who = (login.tenant, login.user);
            let tx = Tx::tenant(&store, who.0, Mode::Write).await?;
            if !store.write_password(&tx, who, &hash, Some(&login)).await? {
                return Ok(login);
            }
            let row = users::Entity::find().filter(is(who.0, who.1)).one(&*tx).await?.ok_or(Failure::Gone)?;
            tx.commit().await?;
            Ok(Login { sealed_password: row.password, ..login })
        })
        .await
    }

    /// What is known of whoever has this address, which is a normal one.
    ///
    /// # Errors
    /// The database's.
    pub async fn who_signs_in(&self, email: &str) -> Result<Option<Login>, PortError> {
        let (store, login) = (self.clone(), self.login(email));
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::SignIn, Mode::Read).await?;
            let row = users::Entity::find().filter(users::Column::Login.eq(login)).one(&*tx).await?;
            let Some(row) = row else { return Ok(None) };
            store.login_of(&tx, row).await.map(Some)
        })
        .await
    }

    /// The same, of somebody who is known.
    ///
    /// # Errors
    /// The database's.
    pub async fn login_by_id(&self, tenant: TenantId, user: UserId) -> Result<Option<Login>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let row = users::Entity::find().filter(is(tenant, user)).one(&*tx).await?;
            let Some(row) = row else { return Ok(None) };
            store.login_of(&tx, row).await.map(Some)
        })
        .await
    }

    pub(super) async fn login_of(&self, tx: &Tx, row: users::Model) -> Result<Login, Failure> {
        let tenant = tenants::Entity::find_by_id(row.tenant_id).one(&**tx).await?.ok_or(Failure::Gone)?;
        let password = row.password.as_ref().map(|sealed| self.open_of(&row, "password", sealed)).transpose()?;
        let email = row.email.as_ref().map(|sealed| self.open_of(&row, "email", sealed)).transpose()?;
        let active = |status: &str| Standing::named(status) == Standing::Active;
        Ok(Login {
            tenant: TenantId(row.tenant_id),
            user: UserId(row.id),
            is_welcome: active(&row.status) && active(&tenant.status),
            words: [Some(row.name), email, Some(tenant.name)].into_iter().flatten().collect(),
            password: password.map(Zeroizing::new),
            sealed_password: row.password,
            second_factor: row.second_factor,
        })
    }

    /// Switches off the keys of somebody who may not have them with this role.
    pub(super) async fn lower(tx: &Tx, (tenant, user): (TenantId, UserId), role: Role) -> Result<(), Failure> {
        if !role.is_admin() {
            api_keys::Entity::update_many()
                .col_expr(api_keys::Column::IsActive, Expr::value(false))
                .filter(api_keys::Column::TenantId.eq(tenant.0))
                .filter(api_keys::Column::UserId.eq(user.0))
                .filter(api_keys::Column::IsAdmin.eq(true))
                .exec(&**tx)
                .await?;
        }
        Ok(())
    }

    /// Changes somebody's role, or whether they are let in. Who is shut out has no stays any more and no invitation; who is no
    /// admin any more has no admin keys that are good.
    ///
    /// # Errors
    /// The database's.
    pub async fn change_person(&self, tenant: TenantId, user: UserId, change: Change) -> Result<Changed, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            // Two owners who change each other wait for one another.
            let owners = Self::owners_let_in(&tx, tenant).await?;
            let row = users::Entity::find().filter(is(tenant, user)).lock(LockType::Update).one(&*tx).await?;
            let Some(row) = row.filter(|row| row.role == change.was.name() && !Standing::named(&row.status).is_gone())
            else {
                return Ok(Changed::Nobody);
            };
            if change.role.is_none() && change.standing.is_none() {
                return Ok(Changed::Person(store.person(&row)?));
            }
            let stays =
                change.role.is_none_or(|role| role == Role::Owner) && change.standing != Some(Standing::Suspended);
            if !stays && owners == [user.0] {
                return Ok(Changed::LastOwner);
            }
            let mut row = row.into_active_model();
            if let Some(role) = change.role {
                row.role = Set(role.name().to_owned());
                Self::lower(&tx, (tenant, user), role).await?;
            }
            if let Some(standing) = change.standing {
                row.status = Set(standing.name().to_owned());
                if standing != Standing::Active {
                    Self::end_stays_of(&tx, (tenant, user), None).await?;
                    invitations::Entity::delete_by_id((tenant.0, user.0)).exec(&*tx).await?;
                }
            }
            let row = row.update(&*tx).await?;
            let person = store.person(&row)?;
            tx.commit().await?;
            store.forget_keys();
            Ok(Changed::Person(person))
        })
        .await
    }

    pub(super) async fn end_stays_of(
        tx: &Tx,
        (tenant, user): (TenantId, UserId),
        but: Option<Uuid>,
    ) -> Result<u64, Failure> {
        let keys = api_keys::Entity::find()
            .filter(api_keys::Column::TenantId.eq(tenant.0))
            .filter(api_keys::Column::UserId.eq(user.0))
            .select_only()
            .column(api_keys::Column::Id)
            .into_query();
        let mut ending = sign_ins::Entity::delete_many()
            .filter(sign_ins::Column::TenantId.eq(tenant.0))
            .filter(sign_ins::Column::UserId.eq(user.0).or(sign_ins::Column::KeyId.in_subquery(keys)));
        if let Some(stay) = but {
            ending = ending.filter(sign_ins::Column::Id.ne(stay));
        }
        Ok(ending.exec(&**tx).await?.rows_affected)
    }

    /// All tenants, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn all_tenants(&self) -> Result<Vec<Tenant>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let there = tenants::Column::Status.ne(Standing::Deleted.name());
            let rows = tenants::Entity::find().filter(there).order_by_asc(tenants::Column::Id).all(&*tx).await?;
            let tenant = |row: tenants::Model| Tenant {
                id: TenantId(row.id),
                name: row.name,
                standing: Standing::named(&row.status),
                created_ms: row.created_at,
                hosts: row.hosts.as_deref().map(listed),
            };
            Ok(rows.into_iter().map(tenant).collect())
        })
        .await
    }

    /// Tenants that are shut.
    ///
    /// # Errors
    /// The database's.
    pub async fn shut_tenants(&self) -> Result<HashSet<TenantId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::KeyLookup, Mode::Read).await?;
            Self::shut(&tx).await
        })
        .await
    }

    pub(super) async fn shut(tx: &Tx) -> Result<HashSet<TenantId>, Failure> {
        let shut = tenants::Entity::find()
            .filter(tenants::Column::Status.ne(Standing::Active.name()))
            .select_only()
            .column(tenants::Column::Id)
            .into_tuple::<Uuid>()
            .all(&**tx)
            .await?;
        Ok(shut.into_iter().map(TenantId).collect())
    }

    /// Shuts a tenant, whose stays and invitations end, or lets it in again; false when there is none of this name.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_standing(&self, tenant: &str, standing: Standing) -> Result<bool, PortError> {
        let (store, name) = (self.clone(), tenant.to_owned());
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            let Some(row) = tenants::Entity::find().filter(tenants::Column::Name.eq(name)).one(&*tx).await? else {
                return Ok(false);
            };
            if standing != Standing::Active {
                sign_ins::Entity::delete_many().filter(sign_ins::Column::TenantId.eq(row.id)).exec(&*tx).await?;
                invitations::Entity::delete_many().filter(invitations::Column::TenantId.eq(row.id)).exec(&*tx).await?;
            }
            let mut row = row.into_active_model();
            row.status = Set(standing.name().to_owned());
            row.update(&*tx).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(true)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_without_its_looks() {
        assert_eq!(normal_email(" Anna@Example.COM ").as_deref(), Some("anna@example.com"));
        for odd in ["", "anna", "@example.com", "anna@", "anna@example", "a b@example.com", "a@b@example.com"] {
            assert_eq!(normal_email(odd), None, "{odd}");
        }
        for odd in ["anna@.com", "anna@example.com.", "a\n@example.com", "<a>@example.com"] {
            assert_eq!(normal_email(odd), None, "{odd}");
        }
        assert_eq!(normal_email(&format!("{}@example.com", "a".repeat(250))), None);
    }

    #[test]
    fn a_role_may_what_a_lower_one_may() {
        for pair in Role::ALL.windows(2) {
            let [low, high] = pair else { continue };
            let (few, many) = (low.actions().bits(), high.actions().bits());
            assert_eq!(few & many, few, "{low:?} {high:?}");
            assert!(low < high && low.is_admin() <= high.is_admin());
        }
        assert!(!Role::Operator.is_admin() && !Role::Operator.actions().delete);
        assert_eq!(Role::Viewer.actions(), Actions { read: true, ..Actions::NONE });
        assert!(Role::ALL.iter().all(|role| Role::named(role.name()) == Some(*role)));
    }
}
