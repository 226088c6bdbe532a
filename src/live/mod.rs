//! Events as they happen: a socket, and a stream for clients that have nothing but HTTP.

pub mod gate;
pub mod socket;
pub mod stream;
