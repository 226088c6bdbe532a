//! Stays of people and of keys: by a cookie's hash, or by the generation of the token that renews them.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sign_ins")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub key_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub hash: Vec<u8>,
    pub generation: i32,
    /// Where it began, sealed.
    pub about: Option<Vec<u8>>,
    pub created_at: i64,
    pub used_at: i64,
    pub expires_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
