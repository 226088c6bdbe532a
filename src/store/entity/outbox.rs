//! Durable work still to be done.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub session_id: Uuid,
    pub chat_id: Option<Uuid>,
    pub kind: String,
    pub dedupe: String,
    pub alias: Option<String>,
    pub message_id: Option<String>,
    pub payload: Vec<u8>,
    pub state: i16,
    pub code: Option<String>,
    pub attempts: i32,
    pub hook: Option<String>,
    pub seq: Option<i64>,
    pub name: Option<String>,
    pub file_id: Option<Uuid>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
