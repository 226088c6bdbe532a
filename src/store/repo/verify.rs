//! Looks whether everything that is sealed opens.

use super::own::SERVER;
use super::sealed::{COLUMNS, Column, Id, Item};
use super::signing;
use crate::store::entity::{signing_keys, users};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use std::collections::HashSet;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;

/// Rows that are looked at in one transaction.
const PAGE: u64 = 500;
/// What is told of what does not open.
const TOLD: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Items that open.
    pub sound: u64,
    /// Items that do not.
    pub damaged: u64,
    /// Which they are, as far as there is room.
    pub which: Vec<String>,
    /// Users whose data key was destroyed: what is left of theirs opens no more, and is not counted.
    pub shredded: u64,
}

impl Verdict {
    /// Counts one.
    pub fn count(&mut self, opens: bool, which: impl FnOnce() -> String) {
        if opens {
            self.sound += 1;
            return;
        }
        self.damaged += 1;
        if self.which.len() < TOLD {
            self.which.push(which());
        }
    }
}

impl Store {
    /// Opens everything that is sealed in the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn verify(&self) -> Result<Verdict, PortError> {
        let store = self.clone();
        let own = self.on_io(async move {
            let mut verdict = Verdict::default();
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            store.verify_own(&tx, &mut verdict).await?;
            for row in signing_keys::Entity::find().all(&*tx).await? {
                let opens = store.vault.open_own(&signing::item(row.id), &row.sealed).is_ok();
                verdict.count(opens, || format!("signing_keys {}", row.id));
            }
            Ok(verdict)
        });
        let mut verdict = own.await?;
        for tenant in self.tenants().await?.into_iter().chain([SERVER.0]) {
            let store = self.clone();
            let looking = self.on_io(async move {
                store.verify_tenant(tenant, &mut verdict).await?;
                Ok(verdict)
            });
            verdict = looking.await?;
        }
        Ok(verdict)
    }

    async fn verify_tenant(&self, tenant: TenantId, verdict: &mut Verdict) -> Result<(), Failure> {
        let tx = Tx::system(self, Reason::Operator, Mode::Read).await?;
        self.learn_handover(&tx).await?;
        // Those whose items are not looked at: they were told of once, with their key.
        let mut closed = HashSet::new();
        for row in users::Entity::find().filter(users::Column::TenantId.eq(tenant.0)).all(&*tx).await? {
            let user = UserId(row.id);
            if row.dek.is_empty() {
                verdict.shredded += 1;
                closed.insert(user);
                continue;
            }
            let opens = self.vault.admit(tenant, user, &row.dek).is_ok();
            if !opens {
                closed.insert(user);
            }
            verdict.count(opens, || format!("users {tenant} {user} dek"));
        }
        tx.rollback().await?;
        for column in COLUMNS {
            self.verify_column(tenant, column, &closed, verdict).await?;
        }
        Ok(())
    }

    async fn verify_column(
        &self,
        tenant: TenantId,
        column: &Column,
        closed: &HashSet<UserId>,
        verdict: &mut Verdict,
    ) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let Some((mut looked, mut seen)) = self.look_at(tenant, column, closed, after.as_deref()).await? else {
                return Ok(());
            };
            // Keys may have been renewed, and rows written, since the keys were read.
            if looked.iter().any(|(_, opens)| !opens) {
                self.admit_all(tenant).await?;
                match self.look_at(tenant, column, closed, after.as_deref()).await? {
                    Some(again) => (looked, seen) = again,
                    None => return Ok(()),
                }
            }
            for (item, opens) in looked {
                let key = || item.key.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                verdict.count(opens, || format!("{} {tenant} {} {}", column.table, key(), column.column));
            }
            after = Some(seen);
        }
    }

    /// Some items, whether each opens, and where to go on.
    async fn look_at(
        &self,
        tenant: TenantId,
        column: &Column,
        closed: &HashSet<UserId>,
        after: Option<&[Id]>,
    ) -> Result<Option<(Vec<(Item, bool)>, Vec<Id>)>, Failure> {
        let tx = Tx::tenant(self, tenant, Mode::Read).await?;
        let owners = self.owners_in(&tx, tenant).await?;
        let (mut items, seen) = column.page(&tx, (tenant, &owners), after, PAGE).await?;
        // Users who came meanwhile were sealed for just now.
        items.retain(|item| !closed.contains(&item.label.user) && self.vault.knows(tenant, item.label.user));
        let open = |item: Item| {
            let opens = self.vault.open(&item.label, &item.sealed).is_ok();
            (item, opens)
        };
        Ok(seen.map(|seen| (items.into_iter().map(open).collect(), seen)))
    }

    /// Reads a tenant's data keys, and what has to be known for that.
    async fn admit_all(&self, tenant: TenantId) -> Result<(), Failure> {
        let tx = Tx::system(self, Reason::Operator, Mode::Read).await?;
        self.learn_handover(&tx).await?;
        for row in users::Entity::find().filter(users::Column::TenantId.eq(tenant.0)).all(&*tx).await? {
            let _ = self.vault.admit(tenant, UserId(row.id), &row.dek);
        }
        Ok(())
    }
}
