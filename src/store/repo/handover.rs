//! Another master key takes the place of the one that wraps, while everything goes on: what is wrapped is wrapped anew, by and
//! by. Killed in the middle it goes on where it was, with whichever of the two keys the next start is given.

use super::people::is;
use super::signing;
use crate::store::entity::{meta, signing_keys, users};
use crate::store::{Failure, KEK_CHECK, Mode, Reason, Store, Tx};
use crate::vault::{Kek, KekError};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait as _, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use std::sync::PoisonError;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::failpoint;
use wardroom_actors::ports::PortError;

/// Where the keys lie, each under the other, until it is done.
const HANDOVER: &str = "kek_handover";
/// Which key was the last to be replaced, and by which.
const REPLACED: &str = "kek_replaced";
/// Data keys that are wrapped in one transaction.
const BATCH: u64 = 500;

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is.
    pub all: u64,
}

impl Store {
    /// Lets `new` take the master key's place: [`Self::follow_handover`] does it. False when a third key is about to, or has.
    ///
    /// # Errors
    /// The database's.
    pub async fn hand_over(&self, new: &Kek) -> Result<bool, PortError> {
        let (store, handover, id) = (self.clone(), self.vault.hand_over(new), new.id());
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            if meta::Entity::find_by_id(HANDOVER.to_owned()).one(&*tx).await?.is_some() {
                return Ok(store.vault.kek_id() == id);
            }
            if store.vault.kek_id() != id {
                // It may have been replaced since this process began.
                let check = meta::Entity::find_by_id(KEK_CHECK.to_owned()).one(&*tx).await?;
                if !check.is_some_and(|row| store.vault.check(&row.value)) {
                    return Ok(false);
                }
                put(&tx, HANDOVER, handover).await?;
                tx.commit().await?;
            }
            Ok(true)
        })
        .await
    }

    /// How far it has come; `None` when no key's place is being taken.
    ///
    /// # Errors
    /// The database's.
    pub async fn handover_progress(&self) -> Result<Option<Progress>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let Some(row) = meta::Entity::find_by_id(HANDOVER.to_owned()).one(&*tx).await? else { return Ok(None) };
            store.vault.take_over(&row.value)?;
            let all = users::Entity::find().filter(has_key()).count(&*tx).await?;
            let done = users::Entity::find().filter(is_wrapped_by(store.vault.kek_id())).count(&*tx).await?;
            Ok(Some(Progress { done, all }))
        })
        .await
    }

    /// Learns of a key that takes the master key's place, and does what is to be done for it the next time that it is called. To
    /// be called each second: others have learned of it when the first data key is wrapped anew.
    ///
    /// # Errors
    /// The database's.
    pub async fn follow_handover(&self) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let Some(row) = meta::Entity::find_by_id(HANDOVER.to_owned()).one(&*tx).await? else {
                store.vault.let_go();
                store.saw_coming(None);
                return Ok(());
            };
            tx.rollback().await?;
            store.vault.take_over(&row.value)?;
            let new = store.vault.kek_id();
            if store.saw_coming(Some(new)) != Some(new) {
                tracing::info!(%new, "another master key takes the place of the one before");
                return Ok(());
            }
            let mut after = Some((Uuid::nil(), Uuid::nil()));
            while let Some(place) = after {
                after = store.wrap_some(place).await?;
            }
            store.finish_handover(&row.value).await
        })
        .await
    }

    /// Notes which master key is coming; says which one was the last time.
    fn saw_coming(&self, kek: Option<Uuid>) -> Option<Uuid> {
        std::mem::replace(&mut *self.coming_kek.lock().unwrap_or_else(PoisonError::into_inner), kek)
    }

    /// Wraps some data keys anew, in order; says behind which one to go on.
    async fn wrap_some(&self, after: (Uuid, Uuid)) -> Result<Option<(Uuid, Uuid)>, Failure> {
        let tx = Tx::system(self, Reason::Operator, Mode::Write).await?;
        use users::Column::{Id, TenantId as Tenant};
        let behind = Tenant.gt(after.0).or(Tenant.eq(after.0).and(Id.gt(after.1)));
        let rows = users::Entity::find().filter(has_key()).filter(behind).order_by_asc(Tenant).order_by_asc(Id);
        let rows = rows.limit(BATCH).all(&*tx).await?;
        for row in &rows {
            self.wrap_anew(&tx, row).await?;
        }
        tx.commit().await?;
        failpoint::pass("handover.wrapped");
        Ok(rows.last().map(|row| (row.tenant_id, row.id)))
    }

    async fn wrap_anew(&self, tx: &Tx, row: &users::Model) -> Result<(), Failure> {
        if self.vault.is_wrapped_now(&row.dek) {
            return Ok(());
        }
        let (tenant, user) = (TenantId(row.tenant_id), UserId(row.id));
        let Ok(dek) = self.vault.rewrap_dek(tenant, user, &row.dek) else {
            // It opens with neither: nothing that is done here makes it worse.
            tracing::error!(%tenant, %user, "a data key does not open");
            return Ok(());
        };
        users::Entity::update_many()
            .col_expr(users::Column::Dek, Expr::value(dek))
            .filter(is(tenant, user))
            .filter(users::Column::Dek.eq(row.dek.clone()))
            .exec(&**tx)
            .await?;
        Ok(())
    }

    /// What else is wrapped, and that the old key is not needed any more.
    async fn finish_handover(&self, handover: &[u8]) -> Result<(), Failure> {
        let Some(old) = self.vault.kek_before() else { return Ok(()) };
        let tx = Tx::system(self, Reason::Operator, Mode::Write).await?;
        let still = meta::Entity::find_by_id(HANDOVER.to_owned()).one(&*tx).await?;
        if still.is_none_or(|row| row.value != handover) {
            return Ok(());
        }
        if !self.is_sqlite() {
            // What is being inserted is waited for, and then seen.
            tx.execute_unprepared("LOCK TABLE users, signing_keys IN SHARE ROW EXCLUSIVE MODE").await?;
        }
        // Users who were made meanwhile by a process that had not learned of it yet.
        for row in users::Entity::find().filter(is_wrapped_by(old)).all(&*tx).await? {
            self.wrap_anew(&tx, &row).await?;
        }
        for row in signing_keys::Entity::find().all(&*tx).await? {
            let sealed = self.vault.rewrap_own(&signing::item(row.id), &row.sealed)?;
            let row = signing_keys::ActiveModel { id: Set(row.id), sealed: Set(sealed), ..Default::default() };
            signing_keys::Entity::update(row).exec(&*tx).await?;
        }
        self.wrap_own_anew(&tx).await?;
        put(&tx, KEK_CHECK, self.vault.check_value()).await?;
        put(&tx, REPLACED, [old.into_bytes(), self.vault.kek_id().into_bytes()].concat()).await?;
        meta::Entity::delete_by_id(HANDOVER.to_owned()).exec(&*tx).await?;
        tx.commit().await?;
        self.vault.let_go();
        tracing::info!(%old, new = %self.vault.kek_id(), "the old master key is not needed any more");
        Ok(())
    }

    /// Learns of a key that takes the place of the one that was given, or was given instead.
    pub(in crate::store) async fn learn_handover(&self, tx: &Tx) -> Result<(), Failure> {
        if let Some(row) = meta::Entity::find_by_id(HANDOVER.to_owned()).one(&**tx).await? {
            self.vault.take_over(&row.value)?;
        }
        Ok(())
    }

    /// What is wrong with a master key that is not this database's.
    pub(in crate::store) async fn wrong_kek(&self, tx: &Tx) -> Result<KekError, crate::store::OpenError> {
        let row = meta::Entity::find_by_id(REPLACED.to_owned()).one(&**tx).await?;
        let ids = row.and_then(|row| {
            let (old, new) = row.value.split_at_checked(16)?;
            Some((Uuid::from_slice(old).ok()?, Uuid::from_slice(new).ok()?))
        });
        Ok(match ids.filter(|(old, _)| *old == self.vault.kek_id()) {
            Some((old, new)) => KekError::Replaced { old, new },
            None => KekError::Wrong,
        })
    }
}

/// Those whose data key was not destroyed.
fn has_key() -> SimpleExpr {
    users::Column::Dek.ne(Vec::<u8>::new())
}

/// Those whose data key says that it is wrapped by this one: the id stands behind the version.
fn is_wrapped_by(kek: Uuid) -> SimpleExpr {
    let id = Func::cust("substr").args([Expr::col(users::Column::Dek), Expr::val(2), Expr::val(16)]);
    SimpleExpr::from(id).eq(kek.as_bytes().to_vec())
}

pub(super) async fn put(tx: &Tx, key: &str, value: Vec<u8>) -> Result<(), sea_orm::DbErr> {
    meta::Entity::delete_by_id(key.to_owned()).exec(&**tx).await?;
    let row = meta::ActiveModel { key: Set(key.to_owned()), value: Set(value) };
    meta::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}
