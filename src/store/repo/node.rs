//! This server among all that ever used the database.

use crate::store::entity::{journal, meta, nodes, outbox, sessions};
use crate::store::{Mode, Reason, Store, Tx, classify};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use wardroom_actors::ports::PortError;

/// Counts this start; the number fences what the starts before may still try to write.
pub(in crate::store) async fn begin_epoch(store: &Store) -> Result<i64, DbErr> {
    let tx = Tx::system(store, Reason::Boot, Mode::Write).await?;
    let before = nodes::Entity::find_by_id(store.node.0).one(&*tx).await?;
    let epoch = before.as_ref().map_or(0, |node| node.epoch) + 1;
    let row = nodes::ActiveModel { id: Set(store.node.0), epoch: Set(epoch), started_at: Set(store.now()) };
    if before.is_some() {
        nodes::Entity::update(row).exec(&*tx).await?;
    } else {
        nodes::Entity::insert(row).exec_without_returning(&*tx).await?;
    }
    tx.commit().await?;
    Ok(epoch)
}

/// This start owns the node's sessions from now on.
pub(in crate::store) async fn take_sessions(store: &Store) -> Result<(), DbErr> {
    let tx = Tx::system(store, Reason::Boot, Mode::Write).await?;
    sessions::Entity::update_many()
        .col_expr(sessions::Column::OwnerEpoch, Expr::value(store.epoch))
        .filter(sessions::Column::OwnerNode.eq(store.node.0))
        .exec(&*tx)
        .await?;
    tx.commit().await
}

/// How many places are reserved at once.
const BLOCK: i64 = 10_000;
/// Up to where places are reserved.
const RESERVED: &str = "journal_reserved";

/// The last place that may have been given out. Rows are deleted with their sessions, so they alone do not tell; a number
/// that is used twice would hide an event from whoever has seen the first.
pub(in crate::store) async fn last_journal_seq(store: &Store) -> Result<i64, DbErr> {
    let tx = Tx::system(store, Reason::Boot, Mode::Read).await?;
    let last = journal::Entity::find().order_by_desc(journal::Column::Seq).one(&*tx).await?;
    let reserved = meta::Entity::find_by_id(RESERVED.to_owned()).one(&*tx).await?;
    let reserved = reserved.and_then(|row| row.value.try_into().ok()).map_or(0, i64::from_be_bytes);
    Ok(last.map_or(0, |row| row.seq).max(reserved))
}

/// Reserves the next block of places in the commit that needs it.
pub(in crate::store) async fn reserve_places(tx: &Tx, upto: i64) -> Result<i64, DbErr> {
    let reserved = upto + BLOCK;
    meta::Entity::delete_by_id(RESERVED.to_owned()).exec(&**tx).await?;
    let row = meta::ActiveModel { key: Set(RESERVED.to_owned()), value: Set(reserved.to_be_bytes().to_vec()) };
    meta::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(reserved)
}

/// More places than are given out between a backup and its restoration.
const SKIPPED: i64 = 1 << 32;

impl Store {
    /// From now on places are given out that nobody has seen, although the database was restored from a backup: whoever reads on
    /// behind an event of the time after it gets what comes from now on.
    ///
    /// # Errors
    /// The database's.
    pub async fn skip_places(&self) -> Result<(), PortError> {
        let store = self.clone();
        let last = last_journal_seq(self).await.map_err(|error| classify(&error))?;
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Operator, Mode::Write).await?;
            reserve_places(&tx, last.saturating_add(SKIPPED)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}

pub(in crate::store) async fn last_outbox_id(store: &Store) -> Result<i64, DbErr> {
    let tx = Tx::system(store, Reason::Boot, Mode::Read).await?;
    let last = outbox::Entity::find().order_by_desc(outbox::Column::Id).one(&*tx).await?;
    Ok(last.map_or(0, |row| row.id))
}
