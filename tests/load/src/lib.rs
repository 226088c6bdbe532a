//! The load and fault kit: a house to test in, traffic, faults, and a referee that counts every message at every end.
//!
//! Everything is seeded, so that a run that failed can be made again; everything goes to 127.0.0.1 and stops by itself. The
//! binary under test is `target/release/wardroom`, in a process of its own, and so is the simulated network.
//!
//! Reading order: [`house`], [`traffic`], [`referee`], [`faults`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test kit says that something is wrong by panicking, prints for people, and lives in real time"
)]

pub mod bench;
pub mod bucket;
pub mod faults;
pub mod house;
pub mod postgres;
pub mod receiver;
pub mod referee;
pub mod report;
pub mod scenarios;
pub mod traffic;
