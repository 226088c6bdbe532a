//! Invitations: how somebody comes to have an address and a password.

use super::identity::hash;
use super::people::{Login, Person, Role, is};
use crate::store::entity::{invitations, users};
use crate::store::{Failure, Mode, Reason, Store, Tx, is_unique_violation};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter};
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;
use zeroize::Zeroizing;

/// Who is invited.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Name, unique in the tenant.
    pub name: String,
    /// Address, unique in the server.
    pub email: String,
    /// What they may do.
    pub role: Role,
}

/// What became of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invited {
    /// It was written.
    Person(Person),
    /// Somebody with an address has this name.
    NameTaken,
    /// Somebody has this address; who, and in which tenant, is not said.
    EmailTaken,
}

impl Store {
    /// Invites somebody, who then may choose a password within `for_ms`, with `token`. A user who had only keys so far gets an
    /// address.
    ///
    /// # Errors
    /// The database's.
    pub async fn invite(&self, tenant: TenantId, guest: Guest, token: &str, for_ms: i64) -> Result<Invited, PortError> {
        let (store, hash) = (self.clone(), hash(token));
        self.on_io(async move {
            // An address is asked for among all tenants' users.
            let tx = Tx::system(&store, Reason::SignIn, Mode::Write).await?;
            let named = users::Column::TenantId.eq(tenant.0).and(users::Column::Name.eq(guest.name.as_str()));
            let known = users::Entity::find().filter(named).one(&*tx).await?;
            if known.as_ref().is_some_and(|row| row.login.is_some()) {
                return Ok(Invited::NameTaken);
            }
            let taken = users::Entity::find().filter(users::Column::Login.eq(store.login(&guest.email)));
            if taken.one(&*tx).await?.is_some() {
                return Ok(Invited::EmailTaken);
            }
            let user = match known {
                Some(row) => {
                    Self::lower(&tx, (tenant, UserId(row.id)), guest.role).await?;
                    store.need_dek(&tx, tenant, UserId(row.id)).await?;
                    UserId(row.id)
                }
                None => store.insert_user(&tx, tenant, &guest.name, guest.role).await?,
            };
            let row = users::ActiveModel {
                tenant_id: Set(tenant.0),
                id: Set(user.0),
                role: Set(guest.role.name().to_owned()),
                login: Set(Some(store.login(&guest.email))),
                email: Set(Some(store.seal_of((tenant, user), "email", guest.email.as_bytes())?)),
                ..Default::default()
            };
            let row = match row.update(&*tx).await {
                Err(error) if is_unique_violation(&error) => return Ok(Invited::EmailTaken),
                other => other?,
            };
            store.write_invitation(&tx, (tenant, user), hash, for_ms).await?;
            let person = store.person(&row)?;
            tx.commit().await?;
            store.forget_keys();
            Ok(Invited::Person(person))
        })
        .await
    }

    async fn write_invitation(
        &self,
        tx: &Tx,
        (tenant, user): (TenantId, UserId),
        hash: Vec<u8>,
        for_ms: i64,
    ) -> Result<(), Failure> {
        invitations::Entity::delete_by_id((tenant.0, user.0)).exec(&**tx).await?;
        let row = invitations::ActiveModel {
            tenant_id: Set(tenant.0),
            user_id: Set(user.0),
            hash: Set(hash),
            expires_at: Set(self.now().saturating_add(for_ms)),
        };
        invitations::Entity::insert(row).exec_without_returning(&**tx).await?;
        Ok(())
    }

    /// Invites somebody again, who has an address: the invitation before is not good any more, the password stays until another
    /// one is chosen. False when there is nobody.
    ///
    /// # Errors
    /// The database's.
    pub async fn invite_again(
        &self,
        tenant: TenantId,
        user: UserId,
        token: &str,
        for_ms: i64,
    ) -> Result<bool, PortError> {
        let (store, hash) = (self.clone(), hash(token));
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let row = users::Entity::find().filter(is(tenant, user)).one(&*tx).await?;
            if row.is_none_or(|row| row.login.is_none()) {
                return Ok(false);
            }
            store.write_invitation(&tx, (tenant, user), hash, for_ms).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Who may choose a password with this token.
    ///
    /// # Errors
    /// The database's.
    pub async fn invited(&self, token: &str) -> Result<Option<Login>, PortError> {
        let (store, hash) = (self.clone(), hash(token));
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::SignIn, Mode::Read).await?;
            let found = invitations::Entity::find()
                .filter(invitations::Column::Hash.eq(hash))
                .filter(invitations::Column::ExpiresAt.gt(store.now()))
                .one(&*tx)
                .await?;
            let Some(found) = found else { return Ok(None) };
            let row = users::Entity::find_by_id((found.tenant_id, found.user_id)).one(&*tx).await?;
            store.login_of(&tx, row.ok_or(Failure::Gone)?).await.map(Some)
        })
        .await
    }

    /// Takes an invitation up: from now on this password is theirs, and no other; a second factor stays. False when the token is not
    /// good any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn accept_invitation(&self, token: &str, login: &Login, password: &str) -> Result<bool, PortError> {
        let (store, hash, password) = (self.clone(), hash(token), Zeroizing::new(password.to_owned()));
        let who = (login.tenant, login.user);
        self.on_io(async move {
            let tx = Tx::tenant(&store, who.0, Mode::Write).await?;
            let used = invitations::Entity::delete_many()
                .filter(invitations::Column::TenantId.eq(who.0.0))
                .filter(invitations::Column::UserId.eq(who.1.0))
                .filter(invitations::Column::Hash.eq(hash))
                .filter(invitations::Column::ExpiresAt.gt(store.now()))
                .exec(&*tx)
                .await?;
            if used.rows_affected == 0 {
                return Ok(false);
            }
            store.write_password(&tx, who, &password, None).await?;
            Self::end_stays_of(&tx, who, None).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(true)
        })
        .await
    }

    /// Takes an invitation back that was not taken up, with the address; false when there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn withdraw_invitation(&self, tenant: TenantId, user: UserId) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let done = users::Entity::update_many()
                .col_expr(users::Column::Login, Expr::value(None::<Vec<u8>>))
                .col_expr(users::Column::Email, Expr::value(None::<Vec<u8>>))
                .filter(is(tenant, user))
                .filter(users::Column::Login.is_not_null())
                .filter(users::Column::Password.is_null())
                .exec(&*tx)
                .await?;
            invitations::Entity::delete_by_id((tenant.0, user.0)).exec(&*tx).await?;
            if done.rows_affected > 0 {
                tx.commit().await?;
            }
            Ok(done.rows_affected > 0)
        })
        .await
    }
}
