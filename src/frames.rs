//! Events as clients read them: WAHA's envelope and payloads, and what Wardroom adds (`cursor`, its own event names).

use crate::api::shape::{message_body, metadata_of, time_ms};
use crate::api::supervision::step_body;
use serde_json::{Value, json};
use wardroom_actors::domain::change::{Change, What};
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::login::{Account, QrCode};
use wardroom_actors::domain::notice::{Move, Notice};
use wardroom_actors::domain::session::Status;
use wardroom_actors::handle::Seen;

/// Events that a subscription to `*` does not bring: they are secrets.
pub const QR: &str = "auth.qr";

/// All names that a subscription may carry.
pub const NAMES: &[&str] = &[
    "session.status",
    "message",
    "message.any",
    "message.ack",
    "presence.update",
    "session.connection_failed",
    "session.supervision",
    QR,
    "gap",
    "message.reaction",
    "message.ack.group",
    "message.waiting",
    "message.edited",
    "message.revoked",
    "chat.archive",
    "group.v2.join",
    "group.v2.leave",
    "group.v2.participants",
    "group.v2.update",
    "poll.vote",
    "poll.vote.failed",
    "event.response",
    "event.response.failed",
    "label.upsert",
    "label.deleted",
    "label.chat.added",
    "label.chat.deleted",
    "call.received",
    "call.accepted",
    "call.rejected",
    "engine.event",
    "group.join",
    "group.leave",
    "state.change",
];

/// A session as frames need it.
#[derive(Default)]
pub struct Face<'a> {
    /// The linked account.
    account: Option<&'a Account>,
    /// The config's metadata.
    metadata: Value,
}

impl<'a> Face<'a> {
    /// Of a session.
    #[must_use]
    pub fn of(seen: &'a Seen) -> Self {
        Self { account: seen.view.account.as_ref(), metadata: metadata_of(&seen.spec.config) }
    }
}

/// The frames of one event: usually one, two for an incoming message.
#[must_use]
pub fn frames(event: &Event, face: &Face<'_>) -> Vec<(&'static str, String)> {
    let payload = payload(event, face);
    event.kind.names().iter().map(|name| (*name, envelope(event, face, name, payload.clone()))).collect()
}

/// The frame of an event under one of its names.
#[must_use]
pub fn frame(event: &Event, face: &Face<'_>, name: &str) -> Option<String> {
    event.kind.names().contains(&name).then(|| envelope(event, face, name, payload(event, face)))
}

fn payload(event: &Event, face: &Face<'_>) -> Value {
    match &event.kind {
        EventKind::Status(change) => {
            let statuses: Vec<_> =
                change.history.iter().map(|(status, at)| json!({"status": status.as_str(), "timestamp": at})).collect();
            let mut payload = json!({
                "name": event.session.as_str(), "status": change.status.as_str(), "statuses": statuses, "data": null,
            });
            if let (Some(exit), Some(object)) = (&change.exit, payload.as_object_mut()) {
                object.insert("reason".into(), json!(exit.code()));
                object.insert("userAction".into(), json!(exit.user_action()));
            }
            payload
        }
        EventKind::Message(message) => message_body(message, face.account),
        EventKind::Ack(ack) => {
            let own = face.account.map(|account| account.id.as_str());
            let (from, to) = if ack.from_me { (Some(ack.chat.as_str()), own) } else { (own, Some(ack.chat.as_str())) };
            json!({
                "id": ack.message_id, "from": from, "to": to, "participant": ack.participant, "fromMe": ack.from_me,
                "ack": i8::from(ack.ack), "ackName": ack.ack.name(),
            })
        }
        EventKind::Change(change) => change_body(change, face.account),
        EventKind::Notice(notice) => notice_body(notice, face.account),
        EventKind::Presence { chat, participant, presence, last_seen } => {
            let who = participant.as_ref().unwrap_or(chat);
            let one = json!({"participant": who, "lastKnownPresence": presence, "lastSeen": last_seen});
            json!({"id": chat, "presences": [one]})
        }
        EventKind::ConnectionFailed { exit, retry_at_ms } => json!({"reason": exit.code(), "retryAt": retry_at_ms}),
        EventKind::Supervised(step) => step_body(event.at_ms, step),
        EventKind::Replay { .. } => Value::Null,
    }
}

/// WAHA's words for what happens beside messages.
fn notice_body(notice: &Notice, account: Option<&Account>) -> Value {
    match notice {
        Notice::Call { call, from, video, group, at, .. } => {
            json!({"id": call, "from": from, "timestamp": at, "isVideo": video, "isGroup": group, "_data": {}})
        }
        Notice::Members { group, change, people, at, .. } => {
            let role = if *change == Move::Promote { "admin" } else { "participant" };
            let role = if *change == Move::Leave { "left" } else { role };
            let people: Vec<_> = people.iter().map(|id| json!({"id": id, "role": role})).collect();
            json!({"type": change.word(), "timestamp": at, "group": {"id": group}, "participants": people, "_data": {}})
        }
        Notice::Group { group, subject, description, announce, restrict, at } => {
            let mut changed = json!({"id": group});
            if let Some(changed) = changed.as_object_mut() {
                let texts = [("subject", subject), ("description", description)];
                changed.extend(texts.into_iter().filter_map(|(name, text)| Some((name.into(), json!(text.as_ref()?)))));
                let open = [("membersCanSendMessages", announce), ("membersCanEditInfo", restrict)];
                changed.extend(open.into_iter().filter_map(|(name, closed)| Some((name.into(), json!(!(*closed)?)))));
            }
            json!({"group": changed, "timestamp": at, "_data": {}})
        }
        Notice::Archived { chat, on, at } => json!({"id": chat, "timestamp": at, "archived": on}),
        Notice::Label { label, name, color, gone, .. } => {
            let name = if *gone { "" } else { name };
            json!({"id": label, "name": name, "color": color, "colorHex": crate::palette::hex(*color)})
        }
        Notice::Waiting { message, .. } => message_body(message, account),
        Notice::Labelled { label, chat, .. } => json!({"labelId": label, "chatId": chat, "label": null}),
    }
}

/// WAHA's words for what happens to a message; `id` and `editedMessageId` are bare where WAHA's are.
fn change_body(change: &Change, account: Option<&Account>) -> Value {
    let own = account.map(|account| account.id.as_str());
    let chat = Some(change.chat.as_str());
    let (from, to) = if change.from_me { (own, chat) } else { (chat, own) };
    let author = change.participant.as_deref().or(from);
    let bare = change.message_id.split('_').nth(2).unwrap_or_default();
    let seconds = change.at_ms as f64 / 1000.0;
    match &change.what {
        What::Reacted { text } => json!({
            "id": change.id, "from": from, "fromMe": change.from_me, "source": "app", "participant": author, "to": to,
            "timestamp": seconds, "reaction": {"text": text, "messageId": change.message_id},
        }),
        What::Edited { body } => json!({
            "id": change.id, "editedMessageId": bare, "body": body, "from": from, "fromMe": change.from_me, "to": to,
            "participant": author, "timestamp": seconds, "_data": {},
        }),
        What::Revoked => json!({
            "after": {"id": change.id, "from": from, "fromMe": change.from_me, "to": to, "participant": author,
                "timestamp": seconds},
            "revokedMessageId": bare, "before": null,
        }),
        What::Voted { options } => {
            // Of polls WAHA calls the account so.
            let me = Some("me");
            let own_poll = change.message_id.starts_with("true_");
            let (voted_by, voted_to) = if change.from_me { (me, chat) } else { (author, me) };
            // In a group the id says who asked.
            let asker = change.message_id.split('_').nth(3).or(chat);
            let (asked_by, asked_to) = if own_poll { (me, chat) } else { (asker, me) };
            json!({
                "vote": {"id": change.id, "to": voted_to, "from": voted_by, "fromMe": change.from_me,
                    "selectedOptions": options, "timestamp": change.at_ms / 1000},
                "poll": {"id": change.message_id, "to": asked_to, "from": asked_by, "fromMe": own_poll},
            })
        }
    }
}

/// The frame of a QR code, for those who asked for it by name.
#[must_use]
pub fn qr_frame(event: &Event, face: &Face<'_>, qr: &QrCode, png: &str) -> String {
    let payload = json!({
        "value": qr.text, "image": format!("data:image/png;base64,{png}"), "number": qr.number, "expiresAt": qr.expires_at_ms,
    });
    envelope(event, face, QR, payload)
}

/// Told instead of events that are too old to be replayed.
#[must_use]
pub fn gap_frame(oldest: i64) -> String {
    let payload = json!({"resumesAt": cursor(oldest)});
    json!({"id": wardroom_actors::domain::ids::event_id(), "event": "gap", "payload": payload}).to_string()
}

fn envelope(event: &Event, face: &Face<'_>, name: &str, payload: Value) -> String {
    let me = face.account.map(|account| json!({"id": account.id, "pushName": account.push_name}));
    let mut frame = json!({
        "id": event.id, "timestamp": time_ms(event.at_ms), "event": name, "session": event.session.as_str(),
        "metadata": face.metadata, "me": me, "payload": payload, "engine": "WEBJS", "environment": environment(),
    });
    if let (Some(seq), Some(object)) = (event.seq, frame.as_object_mut()) {
        object.insert("cursor".into(), json!(cursor(seq)));
    }
    frame.to_string()
}

/// What WAHA tells of the server in every event.
#[must_use]
pub fn environment() -> Value {
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    json!({
        "version": env!("CARGO_PKG_VERSION"), "engine": "WEBJS", "tier": "CORE", "browser": null, "platform": platform,
        "worker": {"id": null},
    })
}

/// A place in the stream, opaque to clients.
#[must_use]
pub fn cursor(seq: i64) -> String {
    format!("j{seq:x}")
}

/// Reads a cursor.
#[must_use]
pub fn read_cursor(text: &str) -> Option<i64> {
    i64::from_str_radix(text.strip_prefix('j')?, 16).ok().filter(|seq| *seq >= 0)
}

/// Whether a status event comes with a code to show.
#[must_use]
pub fn shows_qr(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Status(change) if change.status == Status::ScanQrCode)
}
