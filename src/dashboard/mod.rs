//! What people see: the dashboard's files, built into the binary, and the events that keep it live: a socket, and a stream for
//! clients that have nothing but HTTP.

pub mod files;
pub mod gate;
pub mod socket;
pub mod stream;
