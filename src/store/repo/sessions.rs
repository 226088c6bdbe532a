//! Sessions. Every write is fenced by `owner_epoch`: a start of this node that was superseded changes nothing.

use super::quotas::webhooks_in;
use crate::store::entity::{
    agent_state, api_keys, attachments, chat_aliases, chats, dead_letters, files, journal, outbox, sessions, users,
};
use crate::store::{Failure, Mode, Reason, Store, Tx, is_unique_violation};
use crate::vault::Kind;
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, SimpleExpr};
use sea_orm::{ActiveModelTrait as _, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::HashSet;
use uuid::Uuid;
use wardroom_actors::domain::ids::{LinkEpoch, SessionId, SessionKey, SessionName, TenantId, UserId, WorkerId};
use wardroom_actors::domain::login::Account;
use wardroom_actors::domain::quota::{Exceeded, Quota, Resource};
use wardroom_actors::domain::spec::{EngineName, Network, SessionSpec};
use wardroom_actors::ports::store::{ConfigError, CreateError, NewSession, SessionStore};
use wardroom_actors::ports::{BoxFuture, PortError};

type Row = sessions::Model;

impl Store {
    async fn spec(&self, tx: &Tx, row: Row) -> Result<SessionSpec, Failure> {
        let (tenant, user, id) = (TenantId(row.tenant_id), UserId(row.user_id), SessionId(row.id));
        let (config, account) = match self.need_dek(tx, tenant, user).await {
            Ok(()) => self.open_session(&row)?,
            // Its user was deleted: it is known, so that what is left of it is removed.
            Err(Failure::Gone) => ("{}".to_owned(), None),
            Err(error) => return Err(error),
        };
        Ok(SessionSpec {
            tenant,
            user,
            id,
            name: SessionName::parse(&row.name).map_err(|_| Failure::Strange)?,
            engine: match row.engine.as_str() {
                "web" => EngineName::Web,
                _ => return Err(Failure::Strange),
            },
            network: match row.network.as_str() {
                "whatsapp" => Network::Whatsapp,
                "simulator" => Network::Simulator,
                _ => return Err(Failure::Strange),
            },
            config,
            desired_running: row.desired_running,
            link_epoch: LinkEpoch(row.link_epoch),
            linked_at: row.linked_at,
            account,
            worker: row.worker_id.map(WorkerId),
            owner_epoch: row.owner_epoch,
        })
    }

    fn open_session(&self, row: &Row) -> Result<(String, Option<Account>), Failure> {
        let label = |kind| Self::label(TenantId(row.tenant_id), UserId(row.user_id), kind, SessionId(row.id));
        let config = self.vault.open(&label(Kind::Config), &row.config)?;
        let account = row.account.as_ref().map(|sealed| self.vault.open(&label(Kind::Account), sealed)).transpose()?;
        let account = account.map(|plain| serde_json::from_slice(&plain)).transpose().map_err(|_| Failure::Strange)?;
        Ok((String::from_utf8(config).map_err(|_| Failure::Strange)?, account))
    }

    async fn owned(&self, buried: bool) -> Result<Vec<SessionSpec>, Failure> {
        let tx = Tx::system(self, Reason::Boot, Mode::Read).await?;
        let deleted = sessions::Column::DeletedAt;
        let rows = sessions::Entity::find()
            .filter(sessions::Column::OwnerNode.eq(self.node.0))
            .filter(if buried { deleted.is_not_null() } else { deleted.is_null() })
            .order_by_asc(sessions::Column::CreatedAt)
            .all(&*tx)
            .await?;
        let uncounted: HashSet<_> = rows.iter().filter(|row| row.webhooks.is_none()).map(|row| row.id).collect();
        let specs = self.specs(&tx, rows).await?;
        tx.rollback().await?;
        for spec in specs.iter().filter(|spec| uncounted.contains(&spec.id.0)) {
            let count = i32::try_from(webhooks_in(&spec.config)).ok();
            let tx = Tx::tenant(self, spec.tenant, Mode::Write).await?;
            let update = sessions::Entity::update_many().col_expr(sessions::Column::Webhooks, Expr::value(count));
            update.filter(is(spec.key())).filter(sessions::Column::Webhooks.is_null()).exec(&*tx).await?;
            tx.commit().await?;
        }
        Ok(specs)
    }

    /// Those that can be read.
    async fn specs(&self, tx: &Tx, rows: Vec<Row>) -> Result<Vec<SessionSpec>, Failure> {
        let mut specs = Vec::with_capacity(rows.len());
        for row in rows {
            let (tenant, id) = (row.tenant_id, row.id);
            match self.spec(tx, row).await {
                Ok(spec) => specs.push(spec),
                Err(Failure::Db(error)) => return Err(error.into()),
                // It is nobody else's trouble.
                Err(error) => {
                    tracing::error!(%tenant, session = %id, %error, "a session cannot be read and is left out")
                }
            }
        }
        Ok(specs)
    }

    /// The sessions of a tenant that can be read, whoever's and wherever they are, the buried ones too; and how many cannot.
    ///
    /// # Errors
    /// The database's.
    pub async fn sessions_of(&self, tenant: TenantId) -> Result<(Vec<SessionSpec>, usize), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = sessions::Entity::find().filter(sessions::Column::TenantId.eq(tenant.0)).all(&*tx).await?;
            let all = rows.len();
            let specs = store.specs(&tx, rows).await?;
            let unread = all - specs.len();
            Ok((specs, unread))
        })
        .await
    }

    /// The workers of this node's sessions, also of those that cannot be read: their profiles hold logins.
    ///
    /// # Errors
    /// The database's.
    pub async fn workers(&self) -> Result<Vec<WorkerId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Boot, Mode::Read).await?;
            let ids = sessions::Entity::find()
                .filter(sessions::Column::OwnerNode.eq(store.node.0))
                .filter(sessions::Column::DeletedAt.is_null())
                .select_only()
                .column(sessions::Column::WorkerId);
            let ids = ids.into_tuple::<Option<Uuid>>().all(&*tx).await?;
            Ok(ids.into_iter().flatten().map(WorkerId).collect())
        })
        .await
    }

    /// Changes columns of one session, if this start of the node still owns it.
    fn change(
        &self,
        spec: &SessionSpec,
        columns: Vec<(sessions::Column, SimpleExpr)>,
    ) -> BoxFuture<'static, Result<(), PortError>> {
        let (store, key, epoch) = (self.clone(), spec.key(), self.epoch);
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Write).await?;
            let mut update = sessions::Entity::update_many();
            for (column, value) in columns {
                update = update.col_expr(column, value);
            }
            let update = update.filter(is(key)).filter(sessions::Column::OwnerEpoch.eq(epoch));
            if update.exec(&*tx).await?.rows_affected == 0 {
                return Err(Failure::Gone);
            }
            Ok(tx.commit().await?)
        })
    }

    async fn create_session(&self, new: NewSession, quota: Quota) -> Result<Result<SessionSpec, CreateError>, Failure> {
        let tx = Tx::tenant(self, new.tenant, Mode::Write).await?;
        // Two creations of one user wait for each other here; SQLite has one writer anyway.
        let mut user = users::Entity::find_by_id((new.tenant.0, new.user.0));
        if !self.is_sqlite() {
            user = user.lock(LockType::Update);
        }
        user.one(&*tx).await?.filter(|user| !user.dek.is_empty()).ok_or(Failure::Gone)?;
        let living = sessions::Entity::find()
            .filter(sessions::Column::TenantId.eq(new.tenant.0))
            .filter(sessions::Column::DeletedAt.is_null());
        let same = living.clone().filter(sessions::Column::Name.eq(new.name.as_str())).one(&*tx).await?;
        if same.is_some() {
            return Ok(Err(CreateError::Exists));
        }
        let webhooks = webhooks_in(&new.config);
        for (resource, more) in [(Resource::Sessions, 1), (Resource::Webhooks, webhooks)] {
            if let Err(exceeded) = self.room(&tx, (new.tenant, new.user), &quota, resource, more).await? {
                return Ok(Err(exceeded.into()));
            }
        }
        self.need_dek(&tx, new.tenant, new.user).await?;
        let id = SessionId::generate();
        let label = Self::label(new.tenant, new.user, Kind::Config, id);
        let row = Row {
            tenant_id: new.tenant.0,
            id: id.0,
            user_id: new.user.0,
            name: new.name.as_str().to_owned(),
            engine: "web".to_owned(),
            network: network(new.network).to_owned(),
            config: self.vault.seal(&label, new.config.as_bytes())?,
            desired_running: new.desired_running,
            link_epoch: 0,
            linked_at: None,
            account: None,
            worker_id: None,
            owner_node: self.node.0,
            owner_epoch: self.epoch,
            created_at: self.now(),
            deleted_at: None,
            webhooks: i32::try_from(webhooks).ok(),
            file_bytes: 0,
        };
        let insert = sessions::Entity::insert(sessions::ActiveModel::from(row.clone()).reset_all());
        match insert.exec_without_returning(&*tx).await {
            Err(error) if is_unique_violation(&error) => return Ok(Err(CreateError::Exists)),
            other => other?,
        };
        let spec = self.spec(&tx, row).await?;
        tx.commit().await?;
        Ok(Ok(spec))
    }

    async fn configure(
        &self,
        spec: &SessionSpec,
        to: Network,
        config: &str,
        quota: Quota,
    ) -> Result<Result<(), Exceeded>, Failure> {
        let label = Self::label(spec.tenant, spec.user, Kind::Config, spec.id);
        let (sealed, webhooks) = (self.vault.seal(&label, config.as_bytes())?, webhooks_in(config));
        let tx = Tx::tenant(self, spec.tenant, Mode::Write).await?;
        self.alone(&tx, spec.tenant).await?;
        let row = sessions::Entity::find().filter(is(spec.key())).one(&*tx).await?.ok_or(Failure::Gone)?;
        let before = row.webhooks.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
        // Whoever was left with more than they may have can still have fewer.
        if let Some(more) = webhooks.checked_sub(before).filter(|more| *more > 0)
            && let Err(exceeded) = self.room(&tx, (spec.tenant, spec.user), &quota, Resource::Webhooks, more).await?
        {
            return Ok(Err(exceeded));
        }
        let changed = sessions::Entity::update_many()
            .col_expr(sessions::Column::Config, Expr::value(sealed))
            .col_expr(sessions::Column::Network, Expr::value(network(to)))
            .col_expr(sessions::Column::Webhooks, Expr::value(i32::try_from(webhooks).ok()))
            .filter(is(spec.key()))
            .filter(sessions::Column::OwnerEpoch.eq(self.epoch))
            .exec(&*tx)
            .await?;
        if changed.rows_affected == 0 {
            return Err(Failure::Gone);
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    async fn purge_session(&self, key: SessionKey) -> Result<(), Failure> {
        let tx = Tx::tenant(self, key.tenant, Mode::Write).await?;
        macro_rules! purge {
            ($($table:ident),*) => { $(
                $table::Entity::delete_many()
                    .filter($table::Column::TenantId.eq(key.tenant.0))
                    .filter($table::Column::SessionId.eq(key.session.0))
                    .exec(&*tx)
                    .await?;
            )* };
        }
        purge!(journal, outbox, agent_state, dead_letters, chat_aliases, chats, attachments, files, api_keys);
        sessions::Entity::delete_many().filter(is(key)).exec(&*tx).await?;
        tx.commit().await?;
        // Whatever is still on its way finds no owner, and leaves no row behind.
        self.owners.remove(&key);
        self.unseen.forget(key);
        self.recent.forget(key);
        if let Some(hear) = self.purged.get() {
            hear(key);
        }
        Ok(())
    }
}

fn is(key: SessionKey) -> SimpleExpr {
    sessions::Column::TenantId.eq(key.tenant.0).and(sessions::Column::Id.eq(key.session.0))
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Whatsapp => "whatsapp",
        Network::Simulator => "simulator",
    }
}

impl SessionStore for Store {
    fn all(&self) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.owned(false).await })
    }

    fn tombstones(&self) -> BoxFuture<'static, Result<Vec<SessionSpec>, PortError>> {
        let store = self.clone();
        self.on_io(async move { store.owned(true).await })
    }

    fn create(&self, new: NewSession, quota: Quota) -> BoxFuture<'static, Result<SessionSpec, CreateError>> {
        let store = self.clone();
        let work = self.on_io(async move { store.create_session(new, quota).await });
        Box::pin(async move { work.await? })
    }

    fn get(&self, key: SessionKey) -> BoxFuture<'static, Result<Option<SessionSpec>, PortError>> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Read).await?;
            match sessions::Entity::find().filter(is(key)).one(&*tx).await? {
                None => Ok(None),
                Some(row) => store.spec(&tx, row).await.map(Some),
            }
        })
    }

    fn set_desired(&self, spec: &SessionSpec, running: bool) -> BoxFuture<'static, Result<(), PortError>> {
        self.change(spec, vec![(sessions::Column::DesiredRunning, Expr::value(running))])
    }

    fn set_config(
        &self,
        spec: &SessionSpec,
        to: Network,
        config: String,
        quota: Quota,
    ) -> BoxFuture<'static, Result<(), ConfigError>> {
        let (store, spec) = (self.clone(), spec.clone());
        let work = self.on_io(async move { store.configure(&spec, to, &config, quota).await });
        Box::pin(async move { Ok(work.await??) })
    }

    fn linked(
        &self,
        spec: &SessionSpec,
        account: &Account,
        at: i64,
    ) -> BoxFuture<'static, Result<LinkEpoch, PortError>> {
        let label = Self::label(spec.tenant, spec.user, Kind::Account, spec.id);
        let sealed = serde_json::to_vec(account).ok().and_then(|plain| self.vault.seal(&label, &plain).ok());
        let Some(sealed) = sealed else { return Box::pin(async { Err(PortError::Corrupt) }) };
        let epoch = LinkEpoch(spec.link_epoch.0 + 1);
        let columns = vec![
            (sessions::Column::Account, Expr::value(sealed)),
            (sessions::Column::LinkedAt, Expr::value(at)),
            (sessions::Column::LinkEpoch, Expr::value(epoch.0)),
        ];
        let change = self.change(spec, columns);
        Box::pin(async move { change.await.map(|()| epoch) })
    }

    fn unlinked(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        let columns = vec![
            (sessions::Column::Account, Expr::value(None::<Vec<u8>>)),
            (sessions::Column::LinkedAt, Expr::value(None::<i64>)),
            (sessions::Column::WorkerId, Expr::value(None::<Uuid>)),
        ];
        self.change(spec, columns)
    }

    fn set_worker(&self, spec: &SessionSpec, worker: Option<WorkerId>) -> BoxFuture<'static, Result<(), PortError>> {
        self.change(spec, vec![(sessions::Column::WorkerId, Expr::value(worker.map(|worker| worker.0)))])
    }

    fn watermark(&self, key: SessionKey, epoch: LinkEpoch) -> BoxFuture<'static, Result<Option<i64>, PortError>> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, key.tenant, Mode::Read).await?;
            let newest = journal::Entity::find()
                .filter(journal::Column::TenantId.eq(key.tenant.0))
                .filter(journal::Column::SessionId.eq(key.session.0))
                .filter(journal::Column::LinkEpoch.eq(epoch.0))
                .filter(journal::Column::Timestamp.is_not_null())
                .select_only()
                .column_as(journal::Column::Timestamp.max(), "newest")
                .into_tuple::<Option<i64>>()
                .one(&*tx)
                .await?;
            Ok(newest.flatten())
        })
    }

    fn bury(&self, spec: &SessionSpec) -> BoxFuture<'static, Result<(), PortError>> {
        let columns = vec![
            (sessions::Column::DeletedAt, Expr::value(self.now())),
            (sessions::Column::DesiredRunning, Expr::value(false)),
        ];
        self.change(spec, columns)
    }

    fn purge(&self, key: SessionKey) -> BoxFuture<'static, Result<(), PortError>> {
        let store = self.clone();
        self.on_io(async move { store.purge_session(key).await })
    }
}
