//! Signals and events, in order.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "journal")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub session_id: Uuid,
    pub chat_id: Option<Uuid>,
    pub link_epoch: i32,
    pub dedupe: String,
    pub kind: String,
    pub event_id: String,
    pub at: i64,
    pub message_id: Option<String>,
    pub from_me: Option<bool>,
    pub timestamp: Option<i64>,
    pub ack: Option<i16>,
    pub payload: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
