//! Keys that sign tokens: the newest signs, the one before is believed until what it signed has expired.

use crate::store::entity::signing_keys;
use crate::store::{Mode, Reason, Store, Tx};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;
use wardroom_actors::ports::PortError;
use zeroize::Zeroizing;

/// A key that signs tokens.
pub struct SigningKey {
    /// Its id, which tokens name.
    pub id: Uuid,
    /// What everybody may know of it.
    pub public: Vec<u8>,
    /// The key itself, PKCS #8.
    pub private: Zeroizing<Vec<u8>>,
    /// Since when, Unix milliseconds.
    pub created_ms: i64,
}

pub(super) fn item(id: Uuid) -> String {
    format!("signing_key|{id}")
}

impl Store {
    /// All of them, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::SignIn, Mode::Read).await?;
            let rows = signing_keys::Entity::find().order_by_desc(signing_keys::Column::CreatedAt).all(&*tx).await?;
            let open = |row: signing_keys::Model| {
                let private = store.vault.open_own(&item(row.id), &row.sealed)?;
                Ok(SigningKey { id: row.id, public: row.public, private, created_ms: row.created_at })
            };
            rows.into_iter().map(open).collect()
        })
        .await
    }

    /// Adds one, and removes those made before `older_ms`.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_signing_key(&self, key: SigningKey, older_ms: i64) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::SignIn, Mode::Write).await?;
            let row = signing_keys::ActiveModel {
                id: Set(key.id),
                sealed: Set(store.vault.seal_own(&item(key.id), &key.private)),
                public: Set(key.public),
                created_at: Set(key.created_ms),
            };
            signing_keys::Entity::insert(row).exec_without_returning(&*tx).await?;
            signing_keys::Entity::delete_many().filter(signing_keys::Column::CreatedAt.lt(older_ms)).exec(&*tx).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}
