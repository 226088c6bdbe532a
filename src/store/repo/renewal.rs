//! Data keys are followed by new ones, and what was sealed with the old ones is sealed anew: all tenants twice, because what was
//! sealed while the new keys came may be stored behind the first look. `crate::renewal` goes through it, and through files.

use super::handover::put;
use super::people::is;
use super::sealed::{COLUMNS, Column, Id};
use crate::store::entity::{meta, nodes, tenants, users};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::{FreshDek, Retired, Sealed, Vault};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::failpoint;
use wardroom_actors::ports::PortError;

/// Where it is said how far it has come.
const RENEWAL: &str = "data_keys_renewal";
/// Rows that are looked at in one transaction.
const PAGE: u64 = 500;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first look gives new keys, the last one takes the old ones away.
    pub is_last: bool,
    /// Since when this look goes on, Unix milliseconds.
    pub since_ms: i64,
    /// The tenant that was done last; nil before the first.
    pub behind: TenantId,
}

impl Place {
    fn read(value: &[u8]) -> Option<Self> {
        let (last, rest) = value.split_first()?;
        let (since, behind) = rest.split_first_chunk()?;
        let behind = TenantId(Uuid::from_slice(behind).ok()?);
        Some(Self { is_last: *last == 1, since_ms: i64::from_be_bytes(*since), behind })
    }

    fn written(self) -> Vec<u8> {
        [[u8::from(self.is_last)].as_slice(), &self.since_ms.to_be_bytes(), self.behind.0.as_bytes()].concat()
    }
}

impl Store {
    /// Whether this is the one node that ever used the database: nobody else remembers keys, or has files.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_alone(&self) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            Ok(nodes::Entity::find().all(&*tx).await?.iter().all(|node| node.id == store.node.0))
        })
        .await
    }

    /// Begins it; false when it is going on already. Only where [`Self::is_alone`].
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_renewal(&self) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            if meta::Entity::find_by_id(RENEWAL.to_owned()).one(&*tx).await?.is_some() {
                return Ok(false);
            }
            let first = Place { is_last: false, since_ms: store.now(), behind: TenantId(Uuid::nil()) };
            put(&tx, RENEWAL, first.written()).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// How far it has come, and how many tenants of how many this look has done; `None` when there is nothing to do.
    ///
    /// # Errors
    /// The database's.
    pub async fn renewal(&self) -> Result<Option<(Place, u64, u64)>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let Some(row) = meta::Entity::find_by_id(RENEWAL.to_owned()).one(&*tx).await? else { return Ok(None) };
            let place = Place::read(&row.value).ok_or(Failure::Strange)?;
            let all = tenants::Entity::find().count(&*tx).await?;
            let done = tenants::Entity::find().filter(tenants::Column::Id.lte(place.behind.0)).count(&*tx).await?;
            Ok(Some((place, done, all)))
        })
        .await
    }

    /// It has come to `place`; to its end with `None`.
    ///
    /// # Errors
    /// The database's.
    pub async fn renewed_upto(&self, place: Option<Place>) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            match place {
                Some(place) => put(&tx, RENEWAL, place.written()).await?,
                None => {
                    meta::Entity::delete_by_id(RENEWAL.to_owned()).exec(&*tx).await?;
                }
            }
            tx.commit().await?;
            failpoint::pass("renewal.noted");
            Ok(())
        })
        .await
    }

    /// The tenant that comes behind one.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant_behind(&self, behind: TenantId) -> Result<Option<TenantId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let next = tenants::Entity::find().filter(tenants::Column::Id.gt(behind.0));
            let next = next.order_by_asc(tenants::Column::Id).one(&*tx).await?;
            Ok(next.map(|row| TenantId(row.id)))
        })
        .await
    }

    /// Puts a new data key in front of each user's who has one alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn follow_data_keys(&self, tenant: TenantId) -> Result<(), PortError> {
        self.each_user(tenant, move |vault, user| vault.follow_dek(tenant, user)).await
    }

    /// Whether something of a tenant is being sealed with an old data key.
    #[must_use]
    pub fn is_sealing(&self, tenant: TenantId) -> bool {
        self.vault.is_busy(tenant)
    }

    /// Takes the old data keys away; false when one is in use.
    ///
    /// # Errors
    /// The database's.
    pub async fn retire_data_keys(&self, tenant: TenantId) -> Result<bool, PortError> {
        let busy = Arc::new(AtomicBool::new(false));
        let met = Arc::clone(&busy);
        let retire = move |vault: &Vault, user| match vault.retire_deks(tenant, user)? {
            Retired::Fresh(fresh) => Ok(Some(fresh)),
            Retired::Already => Ok(None),
            Retired::Busy => {
                met.store(true, Ordering::Release);
                Ok(None)
            }
        };
        self.each_user(tenant, retire).await?;
        Ok(!busy.load(Ordering::Acquire))
    }

    /// Stores other data keys of a tenant's users; a user whose keys do not open, or were destroyed, is left alone.
    async fn each_user(
        &self,
        tenant: TenantId,
        change: impl Fn(&Vault, UserId) -> Result<Option<FreshDek>, Sealed> + Send + Sync + 'static,
    ) -> Result<(), PortError> {
        let (store, change) = (self.clone(), Arc::new(change));
        let mut behind = Some(Uuid::nil());
        while let Some(place) = behind {
            let (store, change) = (store.clone(), Arc::clone(&change));
            let page = self.on_io(async move {
                let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
                let rows = users::Entity::find().filter(users::Column::TenantId.eq(tenant.0));
                let rows = rows.filter(users::Column::Id.gt(place)).order_by_asc(users::Column::Id).limit(PAGE);
                let rows = rows.all(&*tx).await?;
                let mut changed = vec![];
                for row in &rows {
                    let user = UserId(row.id);
                    // What is stored counts, not what this process remembers.
                    if row.dek.is_empty() || store.vault.admit(tenant, user, &row.dek).is_err() {
                        continue;
                    }
                    let Some(fresh) = change(&store.vault, user)? else { continue };
                    let updated = users::Entity::update_many()
                        .col_expr(users::Column::Dek, Expr::value(fresh.wrapped.clone()))
                        .filter(is(tenant, user))
                        .filter(users::Column::Dek.eq(row.dek.clone()))
                        .exec(&*tx)
                        .await?;
                    if updated.rows_affected == 1 {
                        changed.push(fresh);
                    }
                }
                tx.commit().await?;
                changed.into_iter().for_each(|fresh| store.vault.install(fresh));
                Ok(rows.last().map(|row| row.id))
            });
            behind = page.await?;
        }
        Ok(())
    }

    /// Seals a tenant's items anew that are not sealed with their user's first data key; says how many they were.
    ///
    /// # Errors
    /// The database's.
    pub async fn reseal(&self, tenant: TenantId) -> Result<u64, PortError> {
        // Everybody's keys are in the ring, or their items would be passed over.
        self.each_user(tenant, |_, _| Ok(None)).await?;
        let mut all = 0;
        for column in COLUMNS {
            let mut behind = None;
            loop {
                let (store, place) = (self.clone(), behind.take());
                let page = self.on_io(async move { store.reseal_page(tenant, column, place).await }).await?;
                let Some((last, resealed)) = page else { break };
                all += resealed;
                behind = Some(last);
                failpoint::pass("renewal.resealed");
            }
        }
        Ok(all)
    }

    async fn reseal_page(
        &self,
        tenant: TenantId,
        column: &Column,
        behind: Option<Vec<Id>>,
    ) -> Result<Option<(Vec<Id>, u64)>, Failure> {
        let tx = Tx::tenant(self, tenant, Mode::Write).await?;
        let owners = self.owners_in(&tx, tenant).await?;
        let (items, last) = column.page(&tx, (tenant, &owners), behind.as_deref(), PAGE).await?;
        let mut resealed = 0;
        for item in items {
            // Of somebody whose keys are not there, and what is under the first key: nothing to do.
            if self.vault.is_sealed_now(&item.label, &item.sealed).unwrap_or(true) {
                continue;
            }
            // What does not open does not get worse; `key verify` tells of it.
            let Ok(fresh) = self.vault.reseal(&item.label, &item.sealed) else { continue };
            column.replace(&tx, &item, fresh).await?;
            resealed += 1;
        }
        tx.commit().await?;
        Ok(last.map(|last| (last, resealed)))
    }
}
