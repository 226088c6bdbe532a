//! The kernel of Wardroom: what a session, a chat and a worker *are*, when they may start, and how they come back.
//!
//! Invariants: this crate knows no database, no HTTP and no Chromium; everything outside is a trait in [`ports`].
//! Decisions are pure functions over plain values ([`domain`], [`policy`]); the actors are thin shells around them.
//! An actor never does risky work: drivers are tasks of the `io` runtime that report by message.
//!
//! Reading order: [`domain::session`] (the state machine), [`policy::restart`] (when to try again),
//! [`supervise`] (how a panic is contained), `actor/session.rs` (the shell), [`handle`] (the only door).

#![deny(missing_docs)]

#[cfg(panic = "abort")]
compile_error!("supervision needs panic = \"unwind\"");

pub mod actor;
pub mod agent;
pub mod domain;
pub mod failpoint;
pub mod handle;
pub mod policy;
pub mod ports;
pub mod supervise;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
