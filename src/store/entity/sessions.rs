//! Sessions and tombstones of sessions.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: String,
    pub engine: String,
    pub network: String,
    pub config: Vec<u8>,
    pub desired_running: bool,
    pub link_epoch: i32,
    pub linked_at: Option<i64>,
    pub account: Option<Vec<u8>>,
    pub worker_id: Option<Uuid>,
    pub owner_node: Uuid,
    pub owner_epoch: i64,
    pub created_at: i64,
    pub deleted_at: Option<i64>,
    /// Webhooks in its config; NULL until they are counted.
    pub webhooks: Option<i32>,
    /// Bytes of its files.
    pub file_bytes: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
