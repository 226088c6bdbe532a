//! What agents remember, and what they still have to see.

use crate::store::entity::{agent_state, chat_aliases, chats, dead_letters, journal, outbox, sessions};
use crate::store::{Failure, Mode, Store, Tx};
use crate::vault::Kind;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::{ChatKey, ChatUuid, SessionKey, UserId};
use wardroom_actors::domain::signal::{AgentState, Effect, Signal};
use wardroom_actors::failpoint;
use wardroom_actors::ports::journal::{AgentCommit, AgentStore, Pending};
use wardroom_actors::ports::{BoxFuture, PortError};

impl Store {
    /// The user whose data key seals what belongs to the session.
    async fn owner(&self, tx: &Tx, key: SessionKey) -> Result<UserId, Failure> {
        let row = sessions::Entity::find_by_id((key.tenant.0, key.session.0)).one(&**tx).await?;
        let user = UserId(row.ok_or(Failure::Gone)?.user_id);
        self.need_dek(tx, key.tenant, user).await?;
        Ok(user)
    }

    async fn load_agent(&self, chat: ChatKey) -> Result<(AgentState, i64), Failure> {
        let tx = Tx::tenant(self, chat.tenant, Mode::Read).await?;
        let id = (chat.tenant.0, chat.session.0, chat.chat.0);
        let Some(row) = agent_state::Entity::find_by_id(id).one(&*tx).await? else {
            return Ok((AgentState::default(), 0));
        };
        let user = self.owner(&tx, chat.session_key()).await?;
        let label = Self::label(chat.tenant, user, Kind::AgentState, chat.chat);
        Ok((AgentState(self.vault.open(&label, &row.state)?), row.handled_seq))
    }

    async fn signals(&self, chat: ChatKey, handled: i64, limit: u64) -> Result<Vec<Pending>, Failure> {
        let tx = Tx::tenant(self, chat.tenant, Mode::Read).await?;
        let user = self.owner(&tx, chat.session_key()).await?;
        let rows = journal::Entity::find()
            .filter(journal::Column::TenantId.eq(chat.tenant.0))
            .filter(journal::Column::SessionId.eq(chat.session.0))
            .filter(journal::Column::ChatId.eq(chat.chat.0))
            .filter(journal::Column::Seq.gt(handled))
            .order_by_asc(journal::Column::Seq)
            .limit(limit)
            .all(&*tx)
            .await?;
        let mut signals = Vec::with_capacity(rows.len());
        for row in rows {
            let kind = match self.open_row(chat.tenant, user, &row)? {
                // What it stands for may be too old by now.
                EventKind::Replay { of, .. } => match journal::Entity::find_by_id((chat.tenant.0, of)).one(&*tx).await? {
                    Some(original) => self.open_row(chat.tenant, user, &original)?,
                    None => continue,
                },
                kind => kind,
            };
            let signal = match kind {
                EventKind::Message(message) => Signal::Message(message),
                EventKind::Ack(ack) => Signal::Ack(ack),
                _ => continue,
            };
            signals.push(Pending { seq: row.seq, signal });
        }
        Ok(signals)
    }

    async fn commit_agent(&self, commit: AgentCommit) -> Result<(), Failure> {
        let AgentCommit { chat, expected, handled, .. } = commit;
        failpoint::pass("agent.commit");
        let tx = Tx::tenant(self, chat.tenant, Mode::Write).await?;
        let user = self.owner(&tx, chat.session_key()).await?;
        let label = Self::label(chat.tenant, user, Kind::AgentState, chat.chat);
        let state = self.vault.seal(&label, &commit.state.0)?;
        let moved = agent_state::Entity::update_many()
            .col_expr(agent_state::Column::HandledSeq, Expr::value(handled))
            .col_expr(agent_state::Column::State, Expr::value(state.clone()))
            .filter(agent_state::Column::TenantId.eq(chat.tenant.0))
            .filter(agent_state::Column::SessionId.eq(chat.session.0))
            .filter(agent_state::Column::ChatId.eq(chat.chat.0))
            .filter(agent_state::Column::HandledSeq.eq(expected))
            .exec(&*tx)
            .await?;
        if moved.rows_affected == 0 {
            if expected != 0 {
                return Err(Failure::Gone);
            }
            // The first signal of a chat. Somebody else's first signal makes this insert fail as a conflict.
            let row = agent_state::ActiveModel {
                tenant_id: Set(chat.tenant.0),
                session_id: Set(chat.session.0),
                chat_id: Set(chat.chat.0),
                handled_seq: Set(handled),
                state: Set(state),
            };
            agent_state::Entity::insert(row).exec_without_returning(&*tx).await?;
        }
        if commit.poison {
            self.set_aside(&tx, chat, handled).await?;
        }
        for (index, effect) in commit.effects.iter().enumerate() {
            self.effect(&tx, chat, user, handled, index, effect).await?;
        }
        tx.commit().await?;
        failpoint::pass("agent.committed");
        Ok(())
    }

    async fn set_aside(&self, tx: &Tx, chat: ChatKey, seq: i64) -> Result<(), Failure> {
        let row = dead_letters::ActiveModel {
            tenant_id: Set(chat.tenant.0),
            session_id: Set(chat.session.0),
            chat_id: Set(chat.chat.0),
            seq: Set(seq),
            at: Set(self.now()),
        };
        dead_letters::Entity::insert(row).exec_without_returning(&**tx).await?;
        Ok(())
    }

    /// Puts an effect into the outbox; its id is (seq, index), so that it cannot be put there twice.
    async fn effect(
        &self,
        tx: &Tx,
        chat: ChatKey,
        user: UserId,
        seq: i64,
        index: usize,
        effect: &Effect,
    ) -> Result<(), Failure> {
        let id = self.next_outbox_id();
        let (kind, alias, plain) = match effect {
            Effect::Send { text } => {
                let alias = chat_aliases::Entity::find()
                    .filter(chat_aliases::Column::TenantId.eq(chat.tenant.0))
                    .filter(chat_aliases::Column::SessionId.eq(chat.session.0))
                    .filter(chat_aliases::Column::ChatId.eq(chat.chat.0))
                    .order_by_asc(chat_aliases::Column::Alias)
                    .one(&**tx)
                    .await?;
                ("send", alias.map(|row| row.alias), text.clone().into_bytes())
            }
            Effect::Webhook { .. } => ("webhook", None, serde_json::to_vec(effect).map_err(|_| Failure::Strange)?),
        };
        let label = Self::label(chat.tenant, user, Kind::Outbox, id);
        let row = outbox::ActiveModel {
            tenant_id: Set(chat.tenant.0),
            id: Set(id),
            session_id: Set(chat.session.0),
            chat_id: Set(Some(chat.chat.0)),
            kind: Set(kind.to_owned()),
            dedupe: Set(format!("effect:{seq}:{index}")),
            message_id: Set(alias.as_ref().map(|_| super::outbox::new_message_id())),
            alias: Set(alias),
            payload: Set(self.vault.seal(&label, &plain)?),
            state: Set(super::outbox::WAITING),
            code: Set(None),
            attempts: Set(0),
            created_at: Set(self.now()),
            updated_at: Set(self.now()),
        };
        use outbox::Column::{Dedupe, SessionId, TenantId};
        let insert = outbox::Entity::insert(row).on_conflict_do_nothing_on([TenantId, SessionId, Dedupe]);
        insert.exec_without_returning(&**tx).await?;
        Ok(())
    }

    async fn chats_behind(&self, key: SessionKey) -> Result<Vec<ChatKey>, Failure> {
        let tx = Tx::tenant(self, key.tenant, Mode::Read).await?;
        let marks = agent_state::Entity::find()
            .filter(agent_state::Column::TenantId.eq(key.tenant.0))
            .filter(agent_state::Column::SessionId.eq(key.session.0))
            .select_only()
            .column(agent_state::Column::ChatId)
            .column(agent_state::Column::HandledSeq)
            .into_tuple::<(uuid::Uuid, i64)>()
            .all(&*tx)
            .await?;
        let last = chats::Entity::find()
            .filter(chats::Column::TenantId.eq(key.tenant.0))
            .filter(chats::Column::SessionId.eq(key.session.0))
            .select_only()
            .column(chats::Column::Id)
            .column(chats::Column::LastSeq)
            .into_tuple::<(uuid::Uuid, i64)>()
            .all(&*tx)
            .await?;
        let marks: std::collections::HashMap<_, _> = marks.into_iter().collect();
        let behind = last.into_iter().filter(|(chat, seq)| marks.get(chat).copied().unwrap_or_default() < *seq);
        let (tenant, session) = (key.tenant, key.session);
        Ok(behind.map(|(chat, _)| ChatKey { tenant, session, chat: ChatUuid(chat) }).collect())
    }
}

impl AgentStore for Store {
    fn load(&self, chat: ChatKey) -> BoxFuture<'static, Result<(AgentState, i64), PortError>> {
        let store = self.clone();
        self.on_io(async move { store.load_agent(chat).await })
    }

    fn pending(&self, chat: ChatKey, handled: i64, limit: u64) -> BoxFuture<'static, Result<Vec<Pending>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.signals(chat, handled, limit).await })
    }

    fn behind(&self, session: SessionKey) -> BoxFuture<'static, Result<Vec<ChatKey>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.chats_behind(session).await })
    }

    fn commit(&self, commit: AgentCommit) -> BoxFuture<'static, Result<(), PortError>> {
        let store = self.clone();
        self.on_io(async move { store.commit_agent(commit).await })
    }
}
