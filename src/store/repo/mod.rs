//! Repositories, one per port or subject.

pub mod agents;
pub mod audit;
pub mod chats;
pub mod dead_letters;
pub mod deliveries;
pub mod files;
pub(in crate::store) mod gather;
pub mod handover;
pub mod identity;
pub mod invitations;
pub mod journal;
pub mod keys;
pub mod node;
pub mod outbox;
pub mod own;
pub mod people;
pub mod quotas;
pub(in crate::store) mod recent;
pub mod renewal;
pub mod retention;
pub(in crate::store) mod sealed;
pub mod sessions;
pub mod shredding;
pub mod signing;
pub(in crate::store) mod sizes;
pub mod stays;
pub mod verify;
