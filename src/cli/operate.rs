//! Commands that work on the data directory and the database themselves.

use super::audit::told;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::ground;
use crate::ops::tenants::is_tenant_name;
use crate::store::{Role, Store};
use crate::vault::{Kek, Vault};
use anyhow::{Context as _, bail};
use std::sync::Arc;

pub(super) fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work)
}

pub(super) async fn store(config: &Config) -> anyhow::Result<Store> {
    Ok(store_with_vault(config).await?.0)
}

pub(super) async fn store_with_vault(config: &Config) -> anyhow::Result<(Store, Arc<Vault>)> {
    let dir = ground::data_dir(config)?;
    ground::store(config, &dir, Arc::new(SystemClock::start()), Role::Operator).await
}

pub(super) fn migrate(config: Config) -> anyhow::Result<()> {
    blocking(async {
        let dir = ground::data_dir(&config)?;
        let (writer, _) = Box::pin(Store::connect(&ground::database(&config, &dir))).await?;
        match Box::pin(Store::migrate(&writer)).await? {
            0 => println!("The database is up to date."),
            count => println!("Ran {count} migrations."),
        }
        Ok(())
    })
}

pub(super) fn create_tenant(config: Config, name: String) -> anyhow::Result<()> {
    if !is_tenant_name(&name) {
        bail!("a tenant's name has 1 to 64 characters");
    }
    blocking(async {
        let store = store(&config).await?;
        let id =
            store.create_tenant(&name).await?.with_context(|| format!("there is a tenant named {name} already"))?;
        told(&store, Some(id), "tenant created", None).await?;
        println!("Created tenant {name} ({id}).");
        Ok(())
    })
}

pub(super) fn create_key(config: Config, tenant: String, user: String, admin: bool) -> anyhow::Result<()> {
    if user.is_empty() || user.len() > 64 || user.chars().any(char::is_control) {
        bail!("a user's name has 1 to 64 characters");
    }
    blocking(async {
        let store = store(&config).await?;
        let found = store.tenant_named(&tenant).await?;
        let id =
            found.with_context(|| format!("there is no tenant named {tenant}: `wardroom tenants create {tenant}`"))?;
        let user_id = store.user_named(id, &user).await?;
        let key = format!("key_{}", Kek::generate().get(..40).unwrap_or_default());
        store.add_key(id, user_id, &key, admin).await?;
        told(&store, Some(id), "key created", Some(user_id.0)).await?;
        println!("Created a key of {user} in {tenant}. It is shown only now:");
        println!("{key}");
        Ok(())
    })
}
