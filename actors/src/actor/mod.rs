//! Thin shells, one file each. An actor checks, calls the core, performs the effects it got back.

pub mod arbiters;
pub mod browser_pool;
pub mod chat;
pub mod fairness;
pub mod inbox;
pub mod living;
pub mod registry;
pub mod session;
