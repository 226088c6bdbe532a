//! What people see: the dashboard's files, built into the binary, and the socket that keeps it live.

pub mod files;
pub mod gate;
pub mod socket;
