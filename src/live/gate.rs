//! The way to a socket, with a count of what waits there. actix-web-actors has no back-pressure, and an actor whose client
//! does not read is never polled again: so the count stands outside the actor, and a watchdog cuts the TCP connection.

use crate::store::repo::identity::Holder;
use bytestring::ByteString;
use std::collections::{HashSet, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use wardroom_actors::domain::event::Event;
use wardroom_actors::domain::ids::SessionName;

/// Where a gate's frames go. It never waits.
pub type Line = Box<dyn Fn(Frame) + Send + Sync>;

/// How a frame of an event is written for a client: under its name, with its place.
pub type Dress = fn(&str, Option<i64>, String) -> String;

/// A frame for the client. Sent through [`Gate::offer`] only.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Frame(pub ByteString);

/// The TCP connection under a socket, so that it can be cut from outside.
pub struct Conn(pub Arc<TcpStream>);

/// What a client wants to hear.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Whose key it is: only what it reaches.
    pub holder: Holder,
    /// One session, or all.
    pub session: Option<SessionName>,
    /// Event names; none = everything but secrets.
    pub names: Option<HashSet<String>>,
}

impl Filter {
    /// Whether an event of this name is wanted.
    #[must_use]
    pub fn wants(&self, session: &SessionName, name: &str) -> bool {
        let secret = name == crate::frames::QR || name == "engine.event";
        let session = self.session.as_ref().is_none_or(|one| one == session);
        session && self.names.as_ref().map_or(!secret, |names| names.contains(name))
    }
}

/// Frames that may wait at one socket.
const MESSAGES: usize = 256;
/// Bytes that may wait at one socket.
const BYTES: usize = 1 << 20;
/// Live events that may wait while a socket is still reading what it missed.
const BEHIND: usize = 4096;
/// No progress for so long with frames waiting: the client does not read.
const STALLED_MS: u64 = 10_000;
/// Not heard from for so long, three pings: the client is gone.
const SILENT_MS: u64 = 30_000;

/// One socket, or one stream of server-sent events.
pub struct Gate {
    /// What it wants.
    pub filter: Filter,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    progress: AtomicU64,
    heard: AtomicU64,
    evicted: AtomicBool,
    line: Mutex<Option<Line>>,
    /// How its client wants its frames.
    pub dress: Dress,
    conn: Weak<TcpStream>,
    /// Live events held back while older ones are replayed; `None` once the socket is live.
    behind: Mutex<Option<VecDeque<Arc<Event>>>>,
    /// Place of the last event that went to the client.
    pub last: AtomicI64,
}

impl Gate {
    /// A gate whose frames go into `line`; it begins live, or `replaying`.
    #[must_use]
    pub fn new(filter: Filter, (line, dress): (Line, Dress), conn: Weak<TcpStream>, now: u64, replaying: bool) -> Self {
        Self {
            filter,
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            progress: AtomicU64::new(now),
            heard: AtomicU64::new(now),
            evicted: AtomicBool::new(false),
            line: Mutex::new(Some(line)),
            dress,
            conn,
            behind: Mutex::new(replaying.then(VecDeque::new)),
            last: AtomicI64::new(-1),
        }
    }

    /// Sends a frame if there is credit; else the client is cut off. False when it is gone.
    pub fn offer(&self, frame: String, now: u64) -> Result<(), &'static str> {
        if self.evicted.load(Ordering::Acquire) {
            return Err("gone");
        }
        let messages = self.messages.fetch_add(1, Ordering::AcqRel) + 1;
        let bytes = self.bytes.fetch_add(frame.len(), Ordering::AcqRel) + frame.len();
        if messages > MESSAGES || bytes > BYTES {
            self.evict();
            return Err("no_credit");
        }
        if messages == 1 {
            self.progress.store(now, Ordering::Release);
        }
        if let Some(line) = lock(&self.line).as_ref() {
            line(Frame(frame.into()));
        }
        Ok(())
    }

    /// Holds a live event back while older ones are replayed; false when the socket is live.
    pub fn hold(&self, event: &Arc<Event>) -> bool {
        let mut behind = lock(&self.behind);
        let Some(queue) = behind.as_mut() else { return false };
        if queue.len() >= BEHIND {
            self.evict();
        } else {
            queue.push_back(Arc::clone(event));
        }
        true
    }

    /// The next event that was held back; with the last one the socket goes live.
    pub fn release(&self) -> Option<Arc<Event>> {
        let mut behind = lock(&self.behind);
        let next = behind.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *behind = None;
        }
        next
    }

    /// Whether the client keeps up: less than half of the credit is in use.
    #[must_use]
    pub fn keeps_up(&self) -> bool {
        self.messages.load(Ordering::Acquire) < MESSAGES / 2 && self.bytes.load(Ordering::Acquire) < BYTES / 2
    }

    /// A frame has left.
    pub fn handled(&self, bytes: usize, now: u64) {
        self.messages.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.progress.store(now, Ordering::Release);
    }

    /// The client said something.
    pub fn heard_from(&self, now: u64) {
        self.heard.store(now, Ordering::Release);
    }

    /// Why the client should be cut off, if it should.
    #[must_use]
    pub fn overdue(&self, now: u64) -> Option<&'static str> {
        let waiting = self.messages.load(Ordering::Acquire) > 0;
        if waiting && now.saturating_sub(self.progress.load(Ordering::Acquire)) > STALLED_MS {
            Some("stalled")
        } else if now.saturating_sub(self.heard.load(Ordering::Acquire)) > SILENT_MS {
            Some("silent")
        } else {
            None
        }
    }

    /// Cuts the connection; the HTTP dispatcher then drops the actor.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        lock(&self.line).take();
        if let Some(conn) = self.conn.upgrade() {
            let _ = conn.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was cut off or has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
