//! Outgoing texts: from the outbox into the page, in the order in which they were accepted. The message id was chosen then,
//! and the page is asked for it before each attempt, so that a text whose fate is unknown is not sent twice.

use super::convert::PageEvent;
use super::driver::Live;
use super::health::observed;
use super::page::js;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::message::Message;
use wardroom_actors::failpoint;
use wardroom_actors::ports::engine::Report;
use wardroom_actors::ports::store::{Delivery, Outgoing};

/// Texts taken from the outbox at once.
const BATCH: u64 = 32;
/// How long one text may take in the page.
const SEND: Duration = Duration::from_secs(20);
/// A text that failed so often in a page that was connected all the while is given up; those behind it must not wait for ever.
const MOST_FAILURES: u32 = 5;
/// Pause after the page or the store failed.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Verdict {
    Sent { message: Box<PageEvent> },
    NotOnWhatsapp,
    Refused { detail: String },
}

/// Runs until it is aborted; works only while the session is linked and connected.
pub(super) async fn run(live: Arc<Live>) -> ExitReason {
    // The text at the head of the queue, and how often it has failed.
    let mut failing = (0, 0);
    loop {
        live.ready().await;
        let waiting = live.outbox.waiting(&live.spec(), BATCH).await.unwrap_or_default();
        if waiting.is_empty() {
            // A text that was accepted between the look and the wait has left its ring behind.
            let _ = tokio::time::timeout(Duration::from_secs(30), live.outbox_ready.notified()).await;
            continue;
        }
        for text in waiting {
            let id = text.id;
            let attempt = async { live.is_ready() && send(&live, text).await };
            let (sent, starved) = observed(&live, attempt).await;
            if sent {
                continue;
            }
            // A machine without CPU for the page is no fault of the text's.
            let counts = !starved && live.stands().await;
            failing = if failing.0 == id { (id, failing.1 + u32::from(counts)) } else { (id, 0) };
            if failing.1 >= MOST_FAILURES {
                tracing::warn!(session = %live.spec().id, "a text is given up");
                finish(&live, id, Err("refused".to_owned())).await;
            }
            tokio::time::sleep(PAUSE).await;
            break;
        }
    }
}

/// One attempt; false when it has to be made again.
async fn send(live: &Live, text: Outgoing) -> bool {
    let key = live.spec().key();
    if live.outbox.attempt(key, text.id).await.is_err() {
        return false;
    }
    live.remember_sent(&text.message_id);
    failpoint::pass("outbox.to_page");
    let call = format!("__wardroom.send({}, {}, {})", js(text.chat.as_str()), js(&text.text), js(&text.message_id));
    let verdict = live.page.call::<Verdict>(&call, SEND).await;
    failpoint::pass("page.sent");
    let result = match verdict {
        Ok(Verdict::Sent { message }) => match live.record_own(*message).await {
            Some(message) => Ok(message),
            None => return false,
        },
        Ok(Verdict::NotOnWhatsapp) => Err("not_on_whatsapp".to_owned()),
        Ok(Verdict::Refused { detail }) => {
            tracing::warn!(session = %key.session, detail, "the network refused a text");
            Err("refused".to_owned())
        }
        Err(error) => {
            tracing::warn!(session = %key.session, %error, "a text could not be handed to the page");
            return false;
        }
    };
    finish(live, text.id, result).await
}

async fn finish(live: &Live, id: i64, result: Result<Message, String>) -> bool {
    let delivery = match &result {
        Ok(_) => Delivery::Sent,
        Err(code) => Delivery::Failed { code: code.clone() },
    };
    failpoint::pass("outbox.to_mark");
    let stored = live.outbox.finish(live.spec().key(), id, delivery).await.is_ok();
    if stored {
        live.report(Report::Delivered { outbox: id, result }).await;
    }
    stored
}
