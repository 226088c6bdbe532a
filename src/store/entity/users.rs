//! Persons, with their wrapped data keys, and what they sign in with.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub dek: Vec<u8>,
    pub created_at: i64,
    pub status: String,
    pub role: String,
    /// By which their address is found.
    pub login: Option<Vec<u8>>,
    /// The address, sealed.
    pub email: Option<Vec<u8>>,
    /// The password's hash, sealed.
    pub password: Option<Vec<u8>>,
    pub second_factor: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
