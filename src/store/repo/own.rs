//! Secrets of the server itself, which stand in `meta` under the master key.

use super::handover::put;
use super::verify::Verdict;
use crate::store::entity::meta;
use crate::store::{Failure, Mode, OpenError, Reason, Store, Tx};
use crate::vault::{KekError, random};
use aws_lc_rs::signature::Ed25519KeyPair;
use sea_orm::EntityTrait;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use zeroize::Zeroizing;

/// By which addresses are found, and what signs audit chains: 32 bytes each.
const SECRETS: [&str; 2] = ["login_key", "audit_key"];
/// Under which is sealed what is noted of people whom nobody knows.
const DATA_KEY: &str = "server_dek";

/// Whose such notes are: no tenant and no user has these ids.
pub const SERVER: (TenantId, UserId) = (TenantId(Uuid::nil()), UserId(Uuid::nil()));

/// The secrets that are needed all the time.
pub(in crate::store) struct Own {
    pub(in crate::store) login: Zeroizing<Vec<u8>>,
    pub(in crate::store) audit: Ed25519KeyPair,
}

async fn kept(tx: &Tx, name: &str) -> Result<Option<Vec<u8>>, sea_orm::DbErr> {
    Ok(meta::Entity::find_by_id(name.to_owned()).one(&**tx).await?.map(|row| row.value))
}

/// Loads them; what is missing is made.
pub(in crate::store) async fn load(store: &Store) -> Result<Own, OpenError> {
    let damaged = |_| KekError::Wrong;
    let tx = Tx::system(store, Reason::Boot, Mode::Write).await?;
    let mut secrets = vec![];
    for name in SECRETS {
        secrets.push(match kept(&tx, name).await? {
            Some(sealed) => store.vault.open_own(name, &sealed).map_err(damaged)?,
            None => {
                let made = Zeroizing::new(random::<32>().to_vec());
                put(&tx, name, store.vault.seal_own(name, &made)).await?;
                made
            }
        });
    }
    let (tenant, user) = SERVER;
    match kept(&tx, DATA_KEY).await? {
        Some(wrapped) => store.vault.admit(tenant, user, &wrapped).map_err(damaged)?,
        None => put(&tx, DATA_KEY, store.vault.new_dek(tenant, user)).await?,
    }
    tx.commit().await?;
    let audit = secrets.pop().and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
    let (Some(audit), Some(login)) = (audit, secrets.pop()) else { return Err(KekError::Wrong.into()) };
    Ok(Own { login, audit })
}

impl Store {
    /// Puts them under the master key that wraps now.
    pub(super) async fn wrap_own_anew(&self, tx: &Tx) -> Result<(), Failure> {
        for name in SECRETS {
            if let Some(sealed) = kept(tx, name).await? {
                put(tx, name, self.vault.rewrap_own(name, &sealed)?).await?;
            }
        }
        if let Some(wrapped) = kept(tx, DATA_KEY).await? {
            let (tenant, user) = SERVER;
            put(tx, DATA_KEY, self.vault.rewrap_dek(tenant, user, &wrapped)?).await?;
        }
        Ok(())
    }

    /// Looks whether they open.
    pub(super) async fn verify_own(&self, tx: &Tx, verdict: &mut Verdict) -> Result<(), Failure> {
        for name in SECRETS {
            if let Some(sealed) = kept(tx, name).await? {
                verdict.count(self.vault.open_own(name, &sealed).is_ok(), || name.to_owned());
            }
        }
        if let Some(wrapped) = kept(tx, DATA_KEY).await? {
            let (tenant, user) = SERVER;
            verdict.count(self.vault.admit(tenant, user, &wrapped).is_ok(), || DATA_KEY.to_owned());
        }
        Ok(())
    }
}
