//! Wardroom: a self-hosted server that keeps many people's messaging sessions alive, apart, and under watch.
//!
//! Invariants: the kernel (`wardroom-actors`) decides, this crate adapts; only [`app`] knows every adapter; a tenant is
//! reached through [`auth`] and the repositories of [`store`] only; no secret is in a log, an error or a child's environment.
//!
//! Reading order: [`app`] (how it fits together), [`api`] (what can be asked), [`engine::web`] (how a session is driven),
//! [`store`] and [`vault`] (what is kept, and how).

pub mod api;
pub mod app;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod dashboard;
pub mod egress;
pub mod engine;
pub mod error;
pub mod fetch;
pub mod ffmpeg;
pub mod frames;
pub mod ground;
pub mod health;
pub mod links;
pub mod live;
pub mod media;
pub mod metrics;
pub mod ops;
pub mod palette;
pub mod pulse;
pub mod quotas;
pub mod renewal;
pub mod requests;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod vault;
pub mod webhook;

/// Messages are allocated on one thread and freed on another, which costs the C library's allocator dearly; and what was freed
/// goes back to the system (half an hour of five busy sessions: 39 MB resident, with mimalloc 80 to 105 MB).
// Unit tests link this crate twice.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
