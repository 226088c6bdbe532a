//! The whole product as its users meet it: the release binary, a real Chromium, the simulator in a process of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test says that something is wrong by panicking, prints for people, and lives in real time"
)]

mod apart;
mod attacks;
mod audit;
mod backups;
mod canaries;
mod channels;
mod clients;
mod comeback;
mod command_line;
mod dashboard;
mod edge;
mod events;
mod faults;
mod figures;
mod files;
mod guard;
mod history;
mod importing;
mod journey;
mod keys;
mod kinds;
mod login;
mod people;
mod person;
mod quotas;
mod refusals;
mod rude;
mod scripted;
mod secrets;
mod sign_ins;
mod statuses;
mod supervision;
mod vault;
mod waha;
mod webhooks;
mod you;
