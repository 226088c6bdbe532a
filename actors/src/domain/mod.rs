//! Plain data and pure functions. Nothing here waits, locks or looks at a clock.

pub mod action;
pub mod asking;
pub mod change;
pub mod chat;
pub mod draft;
pub mod event;
pub mod exit;
pub mod fetching;
pub mod ids;
pub mod ignoring;
pub mod login;
pub mod message;
pub mod notice;
pub mod quota;
pub mod session;
pub mod signal;
pub mod spec;
pub mod webhook;
