//! A WhatsApp that needs no phone: a fake network, the page that the unmodified wa-js attaches to, and phones to play with.
//!
//! It is as unkind as the real one: a message is acknowledged when the page has stored it and is never sent again; messages
//! for a device that is offline wait; a phone shows a message id once; a device that was rolled back to an older state gets
//! messages that it cannot read. It is a feature for bot developers, and the ground that Wardroom's own proofs stand on.
//!
//! Reading order: [`network`] (the pure state), `hub` (who is connected, the log on disk), `server` (HTTP and sockets),
//! `assets/page.js` (the WhatsApp Web page), `assets/letters.js` (what its messages carry), `assets/people.js` (what it knows of
//! people and groups), [`script`] (phones that act by themselves).

pub mod channels;
mod files;
pub mod groups;
mod hub;
pub mod network;
pub mod script;
mod server;
mod socket;

pub use server::{Running, start};

use std::path::PathBuf;
use std::time::Duration;

/// How a simulator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its address.
    pub listen: String,
    /// Where its state is kept.
    pub data_dir: PathBuf,
    /// Life of the first QR code.
    pub qr_first: Duration,
    /// Life of each later one.
    pub qr_next: Duration,
    /// How many codes are shown to one page.
    pub qr_codes: u32,
    /// What its phones do by themselves.
    pub script: script::Script,
}
