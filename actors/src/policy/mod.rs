//! When to start, when to try again, when to refuse. Pure values: time and chance come in as arguments.
//!
//! Times are milliseconds of the monotonic clock that the caller uses throughout.

pub mod admission;
pub mod allowance;
pub mod backoff;
pub mod breaker;
pub mod pacing;
pub mod restart;
pub mod window;

#[cfg(test)]
mod models;
