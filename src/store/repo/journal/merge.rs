//! Two chats that turn out to be one.

use crate::store::entity::{agent_state, chat_aliases, chats, dead_letters, journal, outbox};
use crate::store::repo::deliveries::Lane;
use crate::store::{Failure, Tx};
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use wardroom_actors::domain::ids::{ChatUuid, SessionKey};
use wardroom_actors::domain::webhook::HookId;

/// What the writer has left to do.
pub(super) struct Merged {
    /// Places of the signals that neither agent had handled, in order.
    pub open: Vec<i64>,
    /// Where webhooks have still to be told of the chat.
    pub lanes: Vec<Lane>,
}

/// The network told late that two chats are one: `keep` takes over what `drop` had. The younger agent's memory cannot be
/// joined and is given up. One mark cannot tell what the two had handled, so it moves to `seq`, behind everything, and
/// what was open gets places after it.
pub(super) async fn merge(
    tx: &Tx,
    key: SessionKey,
    (keep, drop): (ChatUuid, ChatUuid),
    seq: i64,
) -> Result<Merged, Failure> {
    macro_rules! of {
        ($table:ident, $query:expr, $chat:ident = $id:expr) => {
            $query
                .filter($table::Column::TenantId.eq(key.tenant.0))
                .filter($table::Column::SessionId.eq(key.session.0))
                .filter($table::Column::$chat.eq($id.0))
        };
    }
    let mut unseen = Condition::any();
    for chat in [keep, drop] {
        // Locked: an agent that commits meanwhile finds its mark moved.
        let mark = of!(agent_state, agent_state::Entity::find().lock_exclusive(), ChatId = chat).one(&**tx).await?;
        let handled = mark.map_or(0, |mark| mark.handled_seq);
        unseen = unseen.add(journal::Column::ChatId.eq(chat.0).and(journal::Column::Seq.gt(handled)));
    }
    let open = journal::Entity::find()
        .select_only()
        .column(journal::Column::Seq)
        .filter(journal::Column::TenantId.eq(key.tenant.0))
        .filter(journal::Column::SessionId.eq(key.session.0))
        .filter(unseen)
        .order_by_asc(journal::Column::Seq)
        .into_tuple()
        .all(&**tx)
        .await?;
    if let Some(dropped) = of!(chats, chats::Entity::find(), Id = drop).one(&**tx).await? {
        let later = chats::Entity::update_many()
            .col_expr(chats::Column::LastSeq, Expr::value(dropped.last_seq))
            .col_expr(chats::Column::LastAt, Expr::value(dropped.last_at))
            .filter(chats::Column::LastSeq.lt(dropped.last_seq));
        of!(chats, later, Id = keep).exec(&**tx).await?;
    }
    macro_rules! hand_over {
        ($($table:ident),*) => {
            $(of!($table, $table::Entity::update_many(), ChatId = drop)
                .col_expr($table::Column::ChatId, Expr::value(keep.0))
                .exec(&**tx)
                .await?;)*
        };
    }
    hand_over!(journal, outbox, chat_aliases, dead_letters);
    of!(agent_state, agent_state::Entity::delete_many(), ChatId = drop).exec(&**tx).await?;
    of!(chats, chats::Entity::delete_many(), Id = drop).exec(&**tx).await?;
    of!(agent_state, agent_state::Entity::update_many(), ChatId = keep)
        .col_expr(agent_state::Column::HandledSeq, Expr::value(seq))
        .exec(&**tx)
        .await?;
    let hooks: Vec<String> = of!(outbox, outbox::Entity::find(), ChatId = keep)
        .select_only()
        .column(outbox::Column::Hook)
        .distinct()
        .filter(outbox::Column::Hook.is_not_null())
        .filter(outbox::Column::State.eq(0))
        .into_tuple()
        .all(&**tx)
        .await?;
    let lane = |hook: String| -> Result<Lane, Failure> {
        let hook: HookId = hook.parse().map_err(|_| Failure::Strange)?;
        Ok(Lane { key, hook, chat: keep })
    };
    Ok(Merged { open, lanes: hooks.into_iter().map(lane).collect::<Result<_, _>>()? })
}
