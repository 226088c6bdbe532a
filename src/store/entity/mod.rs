//! The tables as sea-orm sees them. Only `store` uses them.

pub mod agent_state;
pub mod api_keys;
pub mod attachments;
pub mod audit;
pub mod audit_heads;
pub mod chat_aliases;
pub mod chats;
pub mod dead_letters;
pub mod files;
pub mod invitations;
pub mod journal;
pub mod meta;
pub mod nodes;
pub mod outbox;
pub mod quotas;
pub mod sessions;
pub mod sign_ins;
pub mod signing_keys;
pub mod tenants;
pub mod users;
