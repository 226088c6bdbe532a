//! Removes what is too old, in small bites so that nobody waits for it.

use super::sizes::padded;
use crate::store::entity::{dead_letters, invitations, journal, meta, outbox, sign_ins};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use wardroom_actors::ports::PortError;

/// How long things are kept, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Messages and events.
    pub journal_ms: i64,
    /// Finished work.
    pub outbox_ms: i64,
    /// Signals that were set aside.
    pub dead_letters_ms: i64,
    /// Records of what was done.
    pub audit_ms: i64,
}

/// Rows of the journal that go at once.
const BITE: u64 = 500;
/// Up to which place the journal was pruned.
const PRUNED: &str = "journal_pruned";

impl Store {
    /// The last place of the journal that retention has removed; 0 when nothing was.
    ///
    /// # Errors
    /// The database's.
    pub async fn pruned_upto(&self) -> Result<i64, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Retention, Mode::Read).await?;
            let row = meta::Entity::find_by_id(PRUNED.to_owned()).one(&*tx).await?;
            Ok(row.and_then(|row| row.value.try_into().ok()).map_or(0, i64::from_be_bytes))
        })
        .await
    }

    /// Removes what is older than `retention`; answers how many rows went.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_old(&self, retention: Retention) -> Result<u64, PortError> {
        let mut all = 0;
        loop {
            let store = self.clone();
            // One bite, one transaction: commits of others come in between.
            let gone = self.on_io(async move { store.forget_some(retention).await }).await?;
            all += gone;
            if gone == 0 {
                return Ok(all);
            }
        }
    }

    async fn forget_some(&self, retention: Retention) -> Result<u64, Failure> {
        let now = self.now();
        let tx = Tx::system(self, Reason::Retention, Mode::Write).await?;
        let old = journal::Entity::find()
            .filter(journal::Column::At.lt(now - retention.journal_ms))
            .order_by_asc(journal::Column::Seq)
            .select_only()
            .column(journal::Column::Seq)
            .limit(BITE)
            .into_tuple::<i64>()
            .all(&*tx)
            .await?;
        if let Some(last) = old.last() {
            meta::Entity::delete_by_id(PRUNED.to_owned()).exec(&*tx).await?;
            let row = meta::ActiveModel { key: Set(PRUNED.to_owned()), value: Set(last.to_be_bytes().to_vec()) };
            meta::Entity::insert(row).exec_without_returning(&*tx).await?;
        }
        let journal = journal::Entity::delete_many().filter(journal::Column::Seq.is_in(padded(old))).exec(&*tx).await?;
        // Texts wait until they are sent; what webhooks were not told is kept as long as other dead letters.
        let texts = outbox::Column::Kind.eq("send").and(outbox::Column::State.ne(super::outbox::WAITING));
        let texts = texts.and(outbox::Column::UpdatedAt.lt(now - retention.outbox_ms));
        let untold = outbox::Column::Kind.eq("webhook").and(outbox::Column::State.eq(super::deliveries::DEAD));
        let untold = untold.and(outbox::Column::UpdatedAt.lt(now - retention.dead_letters_ms));
        let outbox = outbox::Entity::delete_many().filter(texts.or(untold)).exec(&*tx).await?;
        let dead = dead_letters::Entity::delete_many()
            .filter(dead_letters::Column::At.lt(now - retention.dead_letters_ms))
            .exec(&*tx)
            .await?;
        let stays = sign_ins::Entity::delete_many().filter(sign_ins::Column::ExpiresAt.lt(now)).exec(&*tx).await?;
        let unused =
            invitations::Entity::delete_many().filter(invitations::Column::ExpiresAt.lt(now)).exec(&*tx).await?;
        let audited = self.forget_audited(&tx, now - retention.audit_ms).await?;
        tx.commit().await?;
        self.recent.forget_before(now - retention.journal_ms);
        Ok(audited + [journal, outbox, dead, stays, unused].iter().map(|one| one.rows_affected).sum::<u64>())
    }
}
