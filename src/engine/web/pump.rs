//! Outgoing messages: from the outbox into the page, in the order in which they were accepted. The message id was chosen then,
//! and the page is asked for it before each attempt, so that one whose fate is unknown is not sent twice.

use super::attachments::{NotHeld, hand_over};
use super::convert::PageEvent;
use super::driver::Live;
use super::health::observed;
use super::page::js;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::domain::draft::Content;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::message::Message;
use wardroom_actors::failpoint;
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::store::{Delivery, Outgoing};

/// Messages taken from the outbox at once.
const BATCH: u64 = 32;
/// How long one message may take in the page.
const SEND: Duration = Duration::from_secs(20);
/// A message that failed so often in a page that was connected all the while is given up; those behind it must not wait for ever.
const MOST_FAILURES: u32 = 5;
/// How long one with a file may take, and for each 64 KiB of it a second more.
const SEND_FILE: Duration = Duration::from_secs(60);
/// The longest that anything may take.
const SEND_MOST: Duration = Duration::from_secs(600);
/// The outbox is looked at so often, also when nobody rang, in milliseconds.
const LOOK_MS: u64 = 30_000;
/// Pause after the page or the store failed.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Verdict {
    Sent {
        message: Box<PageEvent>,
    },
    /// `not_on_whatsapp`, `message_not_found`, `id_taken`, `refused`.
    Failed {
        code: String,
        detail: Option<String>,
    },
}

/// Runs until it is aborted; works only while the session is linked and connected.
pub(super) async fn run(live: Arc<Live>) -> ExitReason {
    // The message at the head of the queue, and how often it has failed.
    let mut failing = (0, 0);
    // Chats that have written enough for now; other chats do not wait for them.
    let (mut held, mut until) = (vec![], u64::MAX);
    loop {
        live.ready().await;
        if until <= live.shared.clock.now() {
            (held, until) = (vec![], u64::MAX);
        }
        let waiting = live.outbox.waiting(&live.spec(), &held, BATCH).await.unwrap_or_default();
        if waiting.is_empty() {
            // One that was accepted between the look and the wait has left its ring behind.
            let longest = live.shared.clock.now().saturating_add(LOOK_MS).min(until);
            tokio::select! {
                () = live.outbox_ready.notified() => {}
                () = live.shared.clock.sleep_until(longest) => {}
            }
            (held, until) = (vec![], u64::MAX);
            continue;
        }
        for message in waiting {
            let (session, chat) = (live.spec().id, message.chat.clone());
            // What was tried before is paid for.
            if message.attempts == 0 {
                let (all, own) = live.shared.wait(session, &chat);
                if all > 0 {
                    live.shared.clock.sleep_until(live.shared.clock.now().saturating_add(all)).await;
                    break;
                }
                if own > 0 || held.contains(&chat) {
                    until = until.min(live.shared.clock.now().saturating_add(own));
                    if !held.contains(&chat) {
                        held.push(chat);
                    }
                    continue;
                }
                if !live.is_ready() {
                    break;
                }
                live.shared.pause(session, &chat).await;
            }
            let (id, message_id) = (message.id, message.message_id.clone());
            let attempt = async { if live.is_ready() { send(&live, message).await } else { Attempt::Hindered } };
            let (ended, starved) = observed(&live, attempt).await;
            if ended == Attempt::Closed {
                continue;
            }
            // A machine without CPU for the page is no fault of the message's.
            let counts = ended == Attempt::Failed && !starved && live.stands().await;
            failing = if failing.0 == id { (id, failing.1 + u32::from(counts)) } else { (id, 0) };
            if failing.1 >= MOST_FAILURES {
                tracing::warn!(session = %live.spec().id, "a message is given up");
                finish(&live, (id, message_id), Err("refused".to_owned())).await;
            }
            tokio::time::sleep(PAUSE).await;
            break;
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// The message is dealt with.
    Closed,
    /// The page failed: it is tried again, but not for ever.
    Failed,
    /// A store failed, which is no fault of the message's.
    Hindered,
}

async fn send(live: &Live, message: Outgoing) -> Attempt {
    let key = live.spec().key();
    if live.outbox.attempt(key, message.id).await.is_err() {
        return Attempt::Hindered;
    }
    let Outgoing { id, chat, message_id, draft, attempts } = message;
    live.remember_sent(&message_id);
    failpoint::pass("outbox.to_page");
    let (file, limit) = match &draft.content {
        Content::File { file, media, .. } => {
            let seconds = Duration::from_secs(media.size.unwrap_or_default() >> 16);
            (Some(*file), SEND_FILE.saturating_add(seconds).min(SEND_MOST))
        }
        _ => (None, SEND),
    };
    if let Some(file) = file {
        match hand_over(live, file, &message_id).await {
            Ok(()) => {}
            Err(NotHeld::StoreFailed) => return Attempt::Hindered,
            Err(NotHeld::PageFailed) => return Attempt::Failed,
            Err(NotHeld::Gone) => {
                tracing::error!(session = %key.session, %file, "the file of a message is gone");
                return finish(live, (id, message_id), Err("file_not_found".to_owned())).await;
            }
        }
    }
    let call = format!("__wardroom.send({}, {}, {}, {attempts})", js(&chat), js(&draft), js(&message_id));
    let verdict = live.page.call::<Verdict>(&call, limit).await;
    failpoint::pass("page.sent");
    let result = match verdict {
        Ok(Verdict::Sent { message }) => {
            // Known before the message is closed; what was sent over the API is not fetched meanwhile (`want_file`).
            if let (Some(file), Some(full)) = (file, message.id())
                && live.shared.files.attach(&live.spec(), full, file).await.is_err()
            {
                return Attempt::Hindered;
            }
            match live.record_own(*message).await {
                Some(message) => Ok(message),
                None => return Attempt::Hindered,
            }
        }
        Ok(Verdict::Failed { code, detail }) => {
            tracing::warn!(session = %key.session, code, detail, "a message was refused");
            Err(code)
        }
        Err(error) => {
            tracing::warn!(session = %key.session, %error, "a message could not be handed to the page");
            return Attempt::Failed;
        }
    };
    finish(live, (id, message_id), result).await
}

async fn finish(live: &Live, (id, message_id): (i64, String), result: Result<Message, String>) -> Attempt {
    let delivery = match &result {
        Ok(message) => Delivery::Sent { id: message.id.clone() },
        Err(code) => Delivery::Failed { code: code.clone() },
    };
    failpoint::pass("outbox.to_mark");
    let stored = live.outbox.finish(live.spec().key(), id, delivery).await.is_ok();
    if !stored {
        return Attempt::Hindered;
    }
    live.report(Report::Delivered { message_id, result }).await;
    Attempt::Closed
}
