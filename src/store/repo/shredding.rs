//! Users and tenants that are deleted: their data keys are destroyed at once, so that nothing of theirs opens any more but from
//! copies that have the keys, too; what is left of them is removed behind that.

use super::people::{Role, Standing, is};
use crate::store::entity::{api_keys, invitations, sessions, sign_ins, tenants, users};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, SimpleExpr};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait as _, EntityTrait, IntoActiveModel, PaginatorTrait};
use sea_orm::{ActiveValue::Set, DbBackend, QueryFilter, QueryOrder, QuerySelect, Statement};
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;

/// What became of a wish to delete somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shredded {
    /// Their data key is destroyed.
    Done,
    /// They are the only owner that is let in.
    LastOwner,
    /// There is nobody, or nobody with that role any more.
    Nobody,
}

/// Deleted users of whom something is left; the words of an index, which values that are bound would miss.
fn is_leaving() -> SimpleExpr {
    Expr::cust("status = 'leaving'")
}

impl Store {
    /// Destroys the data key of somebody who has the role that whoever deletes them knows. Their stays, keys and invitations go in
    /// the same transaction, and their sessions are buried.
    ///
    /// # Errors
    /// The database's.
    pub async fn shred_person(&self, tenant: TenantId, user: UserId, was: Role) -> Result<Shredded, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let owners = Self::owners_let_in(&tx, tenant).await?;
            let row = users::Entity::find().filter(is(tenant, user)).lock(LockType::Update).one(&*tx).await?;
            let Some(row) = row.filter(|row| row.role == was.name() && !Standing::named(&row.status).is_gone()) else {
                return Ok(Shredded::Nobody);
            };
            if owners == [row.id] {
                return Ok(Shredded::LastOwner);
            }
            store.shred(&tx, row).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(Shredded::Done)
        })
        .await
    }

    /// The same for a tenant and all of its users; false when there is none of this name.
    ///
    /// # Errors
    /// The database's.
    pub async fn shred_tenant(&self, name: &str) -> Result<bool, PortError> {
        let (store, name) = (self.clone(), name.to_owned());
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            let Some(row) = tenants::Entity::find().filter(tenants::Column::Name.eq(name)).one(&*tx).await? else {
                return Ok(false);
            };
            // Whoever makes a session for one of them waits, or is seen.
            let people = users::Entity::find().filter(users::Column::TenantId.eq(row.id));
            let people = people.order_by_asc(users::Column::Id).lock(LockType::Update).all(&*tx).await?;
            for person in people.into_iter().filter(|row| !Standing::named(&row.status).is_gone()) {
                store.shred(&tx, person).await?;
            }
            let id = row.id;
            let mut row = row.into_active_model();
            row.name = Set(nameless(id));
            row.status = Set(Standing::Deleted.name().to_owned());
            row.update(&*tx).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(true)
        })
        .await
    }

    async fn shred(&self, tx: &Tx, row: users::Model) -> Result<(), Failure> {
        let (tenant, user) = (TenantId(row.tenant_id), UserId(row.id));
        Self::remove_access(tx, tenant, user).await?;
        sessions::Entity::update_many()
            .col_expr(sessions::Column::DeletedAt, Expr::value(self.now()))
            .col_expr(sessions::Column::DesiredRunning, Expr::value(false))
            .filter(Self::are_sessions_of(tenant, user))
            .filter(sessions::Column::DeletedAt.is_null())
            .exec(&**tx)
            .await?;
        let mut row = row.into_active_model();
        row.name = Set(nameless(user.0));
        row.dek = Set(vec![]);
        row.status = Set(Standing::Leaving.name().to_owned());
        row.role = Set(Role::Viewer.name().to_owned());
        row.login = Set(None);
        row.email = Set(None);
        row.password = Set(None);
        row.second_factor = Set(None);
        row.update(&**tx).await?;
        Ok(())
    }

    async fn remove_access(tx: &Tx, tenant: TenantId, user: UserId) -> Result<(), Failure> {
        use api_keys::Column::{Id, TenantId as KeyTenant, UserId as KeyUser};
        let theirs = KeyTenant.eq(tenant.0).and(KeyUser.eq(user.0));
        let keys = api_keys::Entity::find().filter(theirs.clone()).select_only().column(Id);
        let keys = keys.into_tuple::<Uuid>().all(&**tx).await?;
        let of_keys = sign_ins::Column::KeyId.is_in(super::sizes::padded(keys));
        sign_ins::Entity::delete_many()
            .filter(sign_ins::Column::TenantId.eq(tenant.0))
            .filter(sign_ins::Column::UserId.eq(user.0).or(of_keys))
            .exec(&**tx)
            .await?;
        api_keys::Entity::delete_many().filter(theirs).exec(&**tx).await?;
        invitations::Entity::delete_by_id((tenant.0, user.0)).exec(&**tx).await?;
        Ok(())
    }

    fn are_sessions_of(tenant: TenantId, user: UserId) -> SimpleExpr {
        sessions::Column::TenantId.eq(tenant.0).and(sessions::Column::UserId.eq(user.0))
    }

    /// The owners of a tenant that are let in, in an order in which everybody waits for everybody.
    pub(super) async fn owners_let_in(tx: &Tx, tenant: TenantId) -> Result<Vec<Uuid>, Failure> {
        let owners = users::Entity::find()
            .filter(users::Column::TenantId.eq(tenant.0))
            .filter(users::Column::Role.eq(Role::Owner.name()))
            .filter(users::Column::Status.eq(Standing::Active.name()))
            .order_by_asc(users::Column::Id)
            .lock(LockType::Update)
            .all(&**tx)
            .await?;
        Ok(owners.into_iter().map(|owner| owner.id).collect())
    }

    /// Finishes with deleted users of whom no session is left; answers how many have some left, for whose end the caller cares.
    ///
    /// # Errors
    /// The database's.
    pub async fn see_off(&self) -> Result<usize, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let leaving = users::Entity::find().filter(is_leaving()).all(&*tx).await?;
            let mut left = 0;
            let mut gone = vec![];
            for row in leaving {
                let theirs = Self::are_sessions_of(TenantId(row.tenant_id), UserId(row.id));
                match sessions::Entity::find().filter(theirs).count(&*tx).await? {
                    0 => gone.push(row),
                    _ => left += 1,
                }
            }
            tx.rollback().await?;
            for row in &gone {
                store.vault.forget(TenantId(row.tenant_id), UserId(row.id));
            }
            if !gone.is_empty() && !store.is_overwritten().await? {
                return Ok(left);
            }
            for row in &gone {
                let (tenant, user) = (TenantId(row.tenant_id), UserId(row.id));
                let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
                // What somebody was doing when their key was destroyed.
                Self::remove_access(&tx, tenant, user).await?;
                users::Entity::update_many()
                    .col_expr(users::Column::Status, Expr::value(Standing::Deleted.name()))
                    .filter(is(tenant, user))
                    .exec(&*tx)
                    .await?;
                tx.commit().await?;
                tracing::info!(%tenant, %user, "a deleted user's sessions are gone, and the last copy of their data key");
            }
            Ok(left)
        })
        .await
    }

    /// Whether SQLite's log, which has the pages on which keys stood, is empty. Who still reads what was before is waited for by
    /// nobody: the next time tells.
    async fn is_overwritten(&self) -> Result<bool, sea_orm::DbErr> {
        if !self.is_sqlite() {
            return Ok(true);
        }
        for mode in ["PASSIVE", "TRUNCATE"] {
            let text = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA wal_checkpoint({mode})"));
            let Some(row) = self.writer.query_one_raw(text).await? else { return Ok(false) };
            let (busy, pages, moved): (i32, i32, i32) =
                (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            if busy != 0 || pages != moved {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a deleted user or tenant is called: the name is free for others, and nobody can be called so.
fn nameless(id: Uuid) -> String {
    format!("deleted\n{id}")
}
