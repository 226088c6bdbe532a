//! The hosts that a tenant's URLs may name, where an operator has listed them.

use crate::store::entity::tenants;
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use std::collections::HashMap;
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::PortError;

/// None where it cannot be read.
pub(super) fn listed(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

impl Store {
    /// Those of all tenants that have such a list.
    ///
    /// # Errors
    /// The database's.
    pub async fn hosts(&self) -> Result<HashMap<TenantId, Vec<String>>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Read).await?;
            let rows = tenants::Entity::find().filter(tenants::Column::Hosts.is_not_null()).all(&*tx).await?;
            Ok(rows.into_iter().filter_map(|row| Some((TenantId(row.id), listed(&row.hosts?)))).collect())
        })
        .await
    }

    /// Gives a tenant such a list, or takes it away.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_hosts(&self, tenant: TenantId, hosts: Option<&[String]>) -> Result<(), PortError> {
        let (store, list) = (self.clone(), hosts.map(|hosts| serde_json::json!(hosts).to_string()));
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            let one = tenants::Entity::update_many().filter(tenants::Column::Id.eq(tenant.0));
            one.col_expr(tenants::Column::Hosts, Expr::value(list)).exec(&*tx).await?;
            tx.commit().await?;
            Ok::<_, Failure>(())
        })
        .await
    }
}
