//! Second factors, as they are kept.

use super::people::{Login, is};
use crate::store::entity::users;
use crate::store::{Failure, Mode, Store, Tx};
use crate::vault::Kind;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;
use zeroize::Zeroizing;

impl Store {
    /// What a stored second factor says.
    ///
    /// # Errors
    /// [`PortError::Corrupt`].
    pub fn open_second_factor(&self, login: &Login, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PortError> {
        let label = Self::label(login.tenant, login.user, Kind::Person, "second_factor");
        Ok(Zeroizing::new(self.vault.open(&label, sealed).map_err(Failure::from)?))
    }

    /// Replaces a second factor, if it is still the one that was read: what may be used once is used once. False when it is not.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_second_factor(&self, login: &Login, factor: Option<&[u8]>) -> Result<bool, PortError> {
        let (store, who, before) = (self.clone(), (login.tenant, login.user), login.second_factor.clone());
        let factor = factor.map(|factor| Zeroizing::new(factor.to_vec()));
        self.on_io(async move {
            let tx = Tx::tenant(&store, who.0, Mode::Write).await?;
            let sealed = factor.map(|factor| store.seal_of(who, "second_factor", &factor)).transpose()?;
            let same = match before {
                Some(before) => users::Column::SecondFactor.eq(before),
                None => users::Column::SecondFactor.is_null(),
            };
            let done = users::Entity::update_many()
                .col_expr(users::Column::SecondFactor, Expr::value(sealed))
                .filter(is(who.0, who.1))
                .filter(same)
                .exec(&*tx)
                .await?;
            tx.commit().await?;
            Ok(done.rows_affected == 1)
        })
        .await
    }

    /// Takes the second factor off somebody who lost it, and ends their stays; false when there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_second_factor(&self, tenant: TenantId, user: UserId) -> Result<bool, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Write).await?;
            let done = users::Entity::update_many()
                .col_expr(users::Column::SecondFactor, Expr::value(None::<Vec<u8>>))
                .filter(is(tenant, user))
                .filter(users::Column::SecondFactor.is_not_null())
                .exec(&*tx)
                .await?;
            if done.rows_affected == 0 {
                return Ok(false);
            }
            Self::end_stays_of(&tx, (tenant, user), None).await?;
            tx.commit().await?;
            store.forget_keys();
            Ok(true)
        })
        .await
    }
}
