//! Plain data and pure functions. Nothing here waits, locks or looks at a clock.

pub mod chat;
pub mod event;
pub mod exit;
pub mod ids;
pub mod login;
pub mod message;
pub mod session;
pub mod signal;
pub mod spec;
pub mod webhook;
