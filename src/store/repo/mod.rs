//! Repositories, one per port or subject.

pub mod agents;
pub mod chats;
pub mod dead_letters;
pub mod deliveries;
pub mod files;
pub(in crate::store) mod gather;
pub mod identity;
pub mod journal;
pub mod keys;
pub mod node;
pub mod outbox;
pub(in crate::store) mod recent;
pub mod retention;
pub mod sessions;
pub(in crate::store) mod sizes;
