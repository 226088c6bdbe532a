//! Which files there are, and which message carries what. The bytes lie elsewhere; a row is written when they are all there.

use super::outbox::WAITING;
use crate::store::entity::{attachments, files, outbox, sessions, tenants};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TryInsertResult};
use wardroom_actors::domain::ids::{FileId, SessionId, SessionKey, TenantId, UserId};
use wardroom_actors::domain::quota::{Quota, Resource};
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::files::TakeError;

/// Files that go at once.
const BITE: u64 = 100;

fn of(key: SessionKey) -> SimpleExpr {
    files::Column::TenantId.eq(key.tenant.0).and(files::Column::SessionId.eq(key.session.0))
}

impl Store {
    /// Makes the key ready that seals a user's files.
    ///
    /// # Errors
    /// The database's; [`PortError::Conflict`] when the user is gone.
    pub async fn ready_to_seal(&self, spec: &SessionSpec) -> Result<(), PortError> {
        if self.vault.knows(spec.tenant, spec.user) {
            return Ok(());
        }
        let (store, spec) = (self.clone(), spec.clone());
        self.on_io(async move {
            let tx = Tx::tenant(&store, spec.tenant, Mode::Read).await?;
            store.need_dek(&tx, spec.tenant, spec.user).await
        })
        .await
    }

    /// Notes a file whose bytes are all there. Answers the one that counts: an earlier one, if it has the same content.
    ///
    /// # Errors
    /// More than the quota allows; the database's.
    pub async fn note_file(
        &self,
        key: SessionKey,
        file: FileId,
        fingerprint: Vec<u8>,
        size: u64,
        quota: Quota,
    ) -> Result<FileId, TakeError> {
        let store = self.clone();
        let noted = self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Write).await?;
            let row = files::ActiveModel {
                tenant_id: Set(key.tenant.0),
                session_id: Set(key.session.0),
                id: Set(file.0),
                fingerprint: Set(fingerprint.clone()),
                size: Set(i64::try_from(size).map_err(|_| Failure::Strange)?),
                used_at: Set(store.now()),
            };
            use files::Column::{Fingerprint, SessionId, TenantId};
            let insert = files::Entity::insert(row).on_conflict_do_nothing_on([TenantId, SessionId, Fingerprint]);
            let file = match insert.exec_without_returning(&*tx).await? {
                TryInsertResult::Inserted(1) => {
                    let user = sessions::Entity::find_by_id((key.tenant.0, key.session.0)).one(&*tx).await?;
                    let user = UserId(user.ok_or(Failure::Gone)?.user_id);
                    if let Err(exceeded) = store.room(&tx, (key.tenant, user), &quota, Resource::Storage, size).await? {
                        return Ok(Err(exceeded));
                    }
                    Self::weigh(&tx, key, i64::try_from(size).map_err(|_| Failure::Strange)?).await?;
                    file
                }
                _ => {
                    let same = of(key).and(Fingerprint.eq(fingerprint));
                    let known = files::Entity::find().filter(same).one(&*tx).await?.ok_or(Failure::Strange)?;
                    store.use_file(&tx, key, known.id).await?;
                    FileId(known.id)
                }
            };
            tx.commit().await?;
            Ok(Ok(file))
        });
        Ok(noted.await??)
    }

    /// So many bytes of files more, or less, in a session.
    async fn weigh(tx: &Tx, key: SessionKey, bytes: i64) -> Result<(), Failure> {
        sessions::Entity::update_many()
            .col_expr(sessions::Column::FileBytes, Expr::col(sessions::Column::FileBytes).add(bytes))
            .filter(sessions::Column::TenantId.eq(key.tenant.0).and(sessions::Column::Id.eq(key.session.0)))
            .exec(&**tx)
            .await?;
        Ok(())
    }

    /// A file's length in bytes, if it is there.
    ///
    /// # Errors
    /// The database's.
    pub async fn file_size(&self, key: SessionKey, file: FileId) -> Result<Option<u64>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Read).await?;
            let row = files::Entity::find_by_id((key.tenant.0, key.session.0, file.0)).one(&*tx).await?;
            Ok(row.and_then(|row| u64::try_from(row.size).ok()))
        })
        .await
    }

    /// Remembers that a message carries a file.
    ///
    /// # Errors
    /// The database's.
    pub async fn attach_file(&self, key: SessionKey, message: String, file: FileId) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Write).await?;
            let row = attachments::ActiveModel {
                tenant_id: Set(key.tenant.0),
                session_id: Set(key.session.0),
                message_id: Set(message),
                file_id: Set(file.0),
            };
            use attachments::Column::{FileId as File, MessageId, SessionId, TenantId};
            let again = OnConflict::columns([TenantId, SessionId, MessageId]).update_column(File).to_owned();
            attachments::Entity::insert(row).on_conflict(again).exec_without_returning(&*tx).await?;
            store.use_file(&tx, key, file.0).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// The file of a message, if it is there.
    ///
    /// # Errors
    /// The database's.
    pub async fn attached_file(&self, key: SessionKey, message: String) -> Result<Option<FileId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Read).await?;
            let row = attachments::Entity::find_by_id((key.tenant.0, key.session.0, message)).one(&*tx).await?;
            Ok(row.map(|row| FileId(row.file_id)))
        })
        .await
    }

    /// Puts a file in the place of one with the same content whose bytes are lost.
    ///
    /// # Errors
    /// The database's.
    pub async fn replace_file(&self, key: SessionKey, lost: FileId, file: FileId) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Write).await?;
            files::Entity::update_many()
                .col_expr(files::Column::Id, Expr::value(file.0))
                .filter(of(key).and(files::Column::Id.eq(lost.0)))
                .exec(&*tx)
                .await?;
            attachments::Entity::update_many()
                .col_expr(attachments::Column::FileId, Expr::value(file.0))
                .filter(attachments::Column::TenantId.eq(key.tenant.0))
                .filter(attachments::Column::SessionId.eq(key.session.0))
                .filter(attachments::Column::FileId.eq(lost.0))
                .exec(&*tx)
                .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// All tenants of this database.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Retention, Mode::Read).await?;
            Ok(tenants::Entity::find().all(&*tx).await?.into_iter().map(|row| TenantId(row.id)).collect())
        })
        .await
    }

    /// A session's files.
    ///
    /// # Errors
    /// The database's.
    pub async fn files_of(&self, key: SessionKey) -> Result<Vec<FileId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Read).await?;
            let ids = files::Entity::find().filter(of(key)).select_only().column(files::Column::Id);
            Ok(ids.into_tuple::<Uuid>().all(&*tx).await?.into_iter().map(FileId).collect())
        })
        .await
    }

    async fn use_file(&self, tx: &Tx, key: SessionKey, file: Uuid) -> Result<(), Failure> {
        files::Entity::update_many()
            .col_expr(files::Column::UsedAt, Expr::value(self.now()))
            .filter(of(key).and(files::Column::Id.eq(file)))
            .exec(&**tx)
            .await?;
        Ok(())
    }

    /// Forgets some files that nobody has used since `before`, and answers them. What has still to leave needs its file.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_files(&self, before: i64) -> Result<Vec<(SessionKey, FileId)>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Retention, Mode::Write).await?;
            let needed = Query::select()
                .expr(Expr::val(1))
                .from(outbox::Entity)
                .and_where(outbox::Column::State.eq(WAITING))
                .and_where(
                    Expr::col((outbox::Entity, outbox::Column::TenantId))
                        .equals((files::Entity, files::Column::TenantId)),
                )
                .and_where(
                    Expr::col((outbox::Entity, outbox::Column::FileId)).equals((files::Entity, files::Column::Id)),
                )
                .to_owned();
            let old = files::Entity::find()
                .filter(files::Column::UsedAt.lt(before).and(Expr::exists(needed).not()))
                .order_by_asc(files::Column::UsedAt)
                .limit(BITE)
                .all(&*tx)
                .await?;
            // Of one session at a time: whoever changes several would wait crosswise.
            let session = old.first().map(|row| row.session_id);
            let mut gone = Vec::with_capacity(old.len());
            for row in old.into_iter().filter(|row| Some(row.session_id) == session) {
                let key = SessionKey { tenant: TenantId(row.tenant_id), session: SessionId(row.session_id) };
                // Somebody may have used it since.
                let unused = of(key).and(files::Column::Id.eq(row.id)).and(files::Column::UsedAt.lt(before));
                if files::Entity::delete_many().filter(unused).exec(&*tx).await?.rows_affected == 0 {
                    continue;
                }
                attachments::Entity::delete_many()
                    .filter(attachments::Column::TenantId.eq(row.tenant_id))
                    .filter(attachments::Column::SessionId.eq(row.session_id))
                    .filter(attachments::Column::FileId.eq(row.id))
                    .exec(&*tx)
                    .await?;
                Self::weigh(&tx, key, -row.size).await?;
                gone.push((key, FileId(row.id)));
            }
            tx.commit().await?;
            Ok(gone)
        })
        .await
    }
}
