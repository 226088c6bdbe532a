//! What people see: the dashboard's files, built into the binary.

pub mod files;

pub use files::file;
