//! Files of messages: out of the store into the page, and out of the page into the store, in slices.

use super::driver::Live;
use super::page::{PageError, js};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::fetching::Fetching;
use wardroom_actors::domain::ids::FileId;
use wardroom_actors::domain::message::Message;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::engine::CommandError;
use wardroom_actors::ports::files::TakeError;

/// Bytes that go through the connection to the page at once.
const SLICE: usize = 256 << 10;
/// How long the network may take to give a file.
const OPEN: Duration = Duration::from_secs(60);
/// How long a slice may take.
const PASS: Duration = Duration::from_secs(10);
/// Files that wait to be fetched at once; those above come when somebody asks for them.
pub(super) const WAITING: usize = 1000;

/// Why a file is not in the page.
pub(super) enum NotHeld {
    /// It is not in the store any more.
    Gone,
    /// The store failed, which is no fault of the message's.
    StoreFailed,
    /// The page failed.
    PageFailed,
}

/// Hands a file to the page, which holds it for the message of this id.
pub(super) async fn hand_over(live: &Live, file: FileId, message_id: &str) -> Result<(), NotHeld> {
    let hold = async |slice: Option<String>| {
        let call = format!("__wardroom.hold({}, {})", js(message_id), js(slice));
        live.page.call::<bool>(&call, PASS).await.map_err(|_| NotHeld::PageFailed)
    };
    hold(None).await?;
    for index in 0.. {
        let piece = live.shared.files.piece(&live.spec(), file, index).await.map_err(|error| match error {
            PortError::Unavailable => NotHeld::StoreFailed,
            PortError::Conflict | PortError::Corrupt => NotHeld::Gone,
        })?;
        if piece.is_empty() {
            break;
        }
        for slice in piece.chunks(SLICE) {
            hold(Some(STANDARD.encode(slice))).await?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Opened {
    /// `digest`: of the file in base64, as its sender gave it with the message.
    Open {
        size: u64,
        digest: Option<String>,
    },
    Failed {
        code: String,
        detail: Option<String>,
    },
}

/// Brings the file of a message into the store, unless it is there. Whoever asks while somebody fetches it waits for that.
pub(super) async fn fetch(live: &Live, message: &str) -> Result<(), CommandError> {
    let lock = Arc::clone(&live.fetches.entry(message.to_owned()).or_default());
    let alone = lock.lock().await;
    let fetched = fetch_alone(live, message).await;
    drop(alone);
    // The map's and this one: nobody else waits.
    live.fetches.remove_if(message, |_, lock| Arc::strong_count(lock) <= 2);
    fetched
}

async fn fetch_alone(live: &Live, message: &str) -> Result<(), CommandError> {
    let Ok(_one_of_few) = live.fetching.acquire().await else { return Err(CommandError::NoAnswer) };
    let known = live.shared.files.attached(&live.spec(), message).await.map_err(|_| CommandError::NoAnswer)?;
    if known.is_some() {
        return Ok(());
    }
    let handle = live.handles.fetch_add(1, Ordering::Relaxed);
    let taken = take(live, message, handle).await;
    // Also after a time-out: what the page still downloads then is dropped when it is there.
    let _ = live.page.ask::<bool>(&format!("__wardroom.close({handle})")).await;
    live.shared.files.attach(&live.spec(), message, taken?).await.map_err(|_| CommandError::NoAnswer)
}

async fn take(live: &Live, message: &str, handle: u64) -> Result<FileId, CommandError> {
    let refused = |error: TakeError| match error {
        TakeError::TooLarge { .. } => CommandError::FileTooLarge,
        TakeError::Quota(exceeded) => {
            tracing::info!(session = %live.spec().id, %exceeded, "the file of a message finds no room");
            CommandError::NoRoom
        }
        TakeError::Store(_) => CommandError::NoAnswer,
    };
    let limit = live.shared.options.file_bytes;
    let open = format!("__wardroom.open({handle}, {}, {limit})", js(message));
    let (size, promised) = match live.page.call::<Opened>(&open, OPEN).await.map_err(failed)? {
        Opened::Open { size, digest } if size <= limit => (size, digest),
        Opened::Open { .. } => return Err(CommandError::FileTooLarge),
        Opened::Failed { code, detail } => {
            tracing::info!(session = %live.spec().id, code, detail, "the file of a message cannot be had");
            return Err(match code.as_str() {
                "message_not_found" => CommandError::NoMessage,
                "file_too_large" => CommandError::FileTooLarge,
                _ => CommandError::NoFile,
            });
        }
    };
    let mut intake = live.shared.files.take_in(&live.spec());
    let (mut at, mut digest) = (0, Sha256::new());
    while at < size {
        let call = format!("__wardroom.slice({handle}, {at}, {SLICE})");
        let slice = live.page.call::<String>(&call, PASS).await.map_err(failed)?;
        let fits = |bytes: &Vec<u8>| !bytes.is_empty() && bytes.len() as u64 <= size - at;
        let bytes = STANDARD.decode(slice).ok().filter(fits).ok_or(CommandError::NoAnswer)?;
        at += bytes.len() as u64;
        digest.update(&bytes);
        intake.write(&bytes).await.map_err(refused)?;
    }
    if promised.is_some_and(|promised| promised != STANDARD.encode(digest.finalize())) {
        tracing::warn!(session = %live.spec().id, "the file of a message is another than its sender promised");
        let _ = live.page.call::<bool>(&format!("__wardroom.forget({})", js(message)), PASS).await;
        return Err(CommandError::Damaged);
    }
    intake.finish().await.map_err(refused)
}

fn failed(error: PageError) -> CommandError {
    match error {
        PageError::Threw(text) => CommandError::Refused(text),
        _ => CommandError::NoAnswer,
    }
}

impl Live {
    /// A message is stored: its file is wanted now, or when somebody asks for it.
    pub fn want_file(&self, message: &Message) {
        // What was sent over the API is here.
        let Some(media) = message.parts.media.as_ref().filter(|_| !message.via_api) else { return };
        let config = serde_json::from_str(&self.spec().config).unwrap_or_default();
        let fetching = Fetching::of_config(&config).unwrap_or_default();
        let fits = media.size.is_none_or(|size| size <= self.shared.options.file_bytes);
        if fits && fetching.at_once(&media.mimetype, self.shared.options.fetch) {
            let _ = self.wanted.try_send(message.id.clone());
        }
    }
}

/// Fetches files as their messages come, one after the other; what fails is tried again when somebody asks for it.
pub(super) async fn fetch_at_once(live: Arc<Live>, mut wanted: mpsc::Receiver<String>) -> ExitReason {
    loop {
        live.ready().await;
        match wanted.recv().await {
            Some(message) => drop(fetch(&live, &message).await),
            None => std::future::pending().await,
        }
    }
}
