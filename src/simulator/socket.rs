//! The socket between a WhatsApp Web page and the fake network.
//!
//! A page without a link says `hello` with its public key and gets codes; a linked one says which device it is, signs a
//! challenge with the key that never left its browser, and gets what waited for it.

use super::channels::ChannelChange;
use super::groups::GroupChange;
use super::hub::{Hub, instant_now, unix_now};
use super::network::{Change, Letter};
use actix::prelude::*;
use actix_web_actors::ws;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Something for the page. Sent by the hub.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Push {
    pub text: String,
    /// Later.
    pub late: Option<Duration>,
    /// Cut the connection instead.
    pub close: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromPage {
    Hello {
        identity: String,
        device: Option<String>,
        #[serde(default)]
        counter: u64,
    },
    Proof {
        signature: String,
    },
    Refresh,
    PairingCode {
        phone: String,
    },
    Exists {
        ask: u64,
        id: String,
    },
    Send {
        ask: u64,
        id: String,
        to: String,
        kind: String,
        text: String,
        #[serde(default)]
        data: Value,
    },
    Stored {
        place: u64,
    },
    Seen {
        chat: String,
    },
    Presence {
        chat: String,
        state: String,
    },
    Group {
        ask: u64,
        id: Option<String>,
        change: GroupChange,
    },
    Channel {
        ask: u64,
        id: Option<String>,
        change: ChannelChange,
    },
    /// Those of the directory that fit a text, or the one of an id.
    Channels {
        ask: u64,
        id: Option<String>,
        #[serde(default)]
        text: String,
    },
    Invited {
        ask: u64,
        invite: String,
    },
    InviteOf {
        ask: u64,
        id: String,
    },
    AboutOf {
        ask: u64,
        id: String,
    },
    PictureOf {
        ask: u64,
        id: String,
    },
    Keep {
        key: String,
        value: Value,
    },
    Watch {
        chat: String,
    },
    Reject {
        call: String,
    },
    Logout,
}

/// The socket's actor.
pub(super) struct PageSocket {
    hub: Hub,
    connection: u64,
    /// The knock of a device that has to prove itself.
    knock: Option<Knock>,
    codes: u32,
    timer: Option<SpawnHandle>,
}

/// A device says that it is there.
struct Knock {
    device: String,
    /// The public key that it has now.
    identity: String,
    /// What it has to sign.
    nonce: String,
    counter: u64,
}

/// How long a pairing code is valid, as in wa-js.
const PAIRING_CODE_LIFE: Duration = Duration::from_secs(195);

impl PageSocket {
    pub fn new(hub: Hub) -> Self {
        Self { hub, connection: 0, knock: None, codes: 0, timer: None }
    }

    fn next_code(&mut self, ctx: &mut ws::WebsocketContext<Self>) {
        let options = std::sync::Arc::clone(&self.hub.options);
        self.codes += 1;
        let mut state = self.hub.lock();
        if self.codes > options.qr_codes {
            state.show_code(self.connection, None);
            return state.push(self.connection, json!({"type": "idle"}));
        }
        let code = format!("2@{}", random_text(48));
        state.show_code(self.connection, Some(code.clone()));
        state.push(self.connection, json!({"type": "code", "ref": code}));
        drop(state);
        let life = if self.codes == 1 { options.qr_first } else { options.qr_next };
        self.timer = Some(ctx.run_later(life, |socket, ctx| {
            let waiting = {
                let state = socket.hub.lock();
                state.connections.get(&socket.connection).is_some_and(|one| one.stranger.is_some())
            };
            if waiting {
                socket.next_code(ctx);
            }
        }));
    }

    fn knock(&mut self, device: String, identity: String, counter: u64, ctx: &mut ws::WebsocketContext<Self>) {
        let state = self.hub.lock();
        let Some(known) = state.network.devices.get(&device) else {
            tracing::warn!(device, "a page says that it is a device that nobody knows");
            return state.push(self.connection, json!({"type": "unlinked"}));
        };
        if state.dropped.get(&known.number).is_some_and(|until| *until > instant_now()) {
            drop(state);
            return ctx.stop();
        }
        let nonce = random_text(32);
        state.push(self.connection, json!({"type": "challenge", "nonce": nonce}));
        drop(state);
        self.knock = Some(Knock { device, identity, nonce, counter });
    }

    fn admit(&mut self, signature: &str) {
        let Some(Knock { device, identity, nonce, counter }) = self.knock.take() else { return };
        let mut state = self.hub.lock();
        let Some(known) = state.network.devices.get(&device) else { return };
        if !signed(&known.identity, &nonce, signature) {
            let same_key = known.identity == identity;
            tracing::warn!(device, same_key, counter, "a page could not prove that it is this device");
            return state.push(self.connection, json!({"type": "unlinked"}));
        }
        if counter < known.stored && !known.rolled_back {
            state.apply(&Change::RolledBack { device: device.clone() });
        }
        let number = state.network.devices.get(&device).map(|one| one.number.clone()).unwrap_or_default();
        let rival: Vec<_> = state
            .connections
            .iter()
            .filter(|(id, one)| one.device.as_deref() == Some(&device) && **id != self.connection)
            .map(|(id, _)| *id)
            .collect();
        for connection in rival {
            state.push(connection, json!({"type": "conflict"}));
        }
        if let Some(connection) = state.connections.get_mut(&self.connection) {
            connection.device = Some(device.clone());
            connection.stranger = None;
        }
        let (name, lid) = state.face(&number);
        let ground = state.ground(&number);
        let told = json!({"type": "welcome", "number": number, "lid": lid, "name": name, "ground": ground});
        state.push(self.connection, told);
        state.flush(self.connection, &device, true);
        state.push(self.connection, json!({"type": "caught_up"}));
    }

    fn send(&self, ask: u64, to: &str, letter: Letter) {
        let mut state = self.hub.lock();
        let Some(device) = self.device(&state) else { return };
        let from = self.own(&state).unwrap_or_default();
        let error = if to.ends_with("@g.us") { "ERROR_UNKNOWN" } else { "not_on_whatsapp" };
        let Some(to) = state.network.receiver(&from, to) else {
            return state.push(self.connection, json!({"type": "answer", "ask": ask, "error": error}));
        };
        let at = unix_now();
        state.push(self.connection, json!({"type": "answer", "ask": ask, "at": at}));
        let letter = Letter { from, to, at, device: Some(device), ..letter };
        let receivers = state.network.reached(&letter);
        let is_new = state.send(letter.clone());
        drop(state);
        if is_new {
            self.hub.answer(&letter, &receivers);
        }
    }

    /// Digits of the page's account.
    fn own(&self, state: &super::hub::State) -> Option<String> {
        self.device(state).and_then(|device| Some(state.network.devices.get(&device)?.number.clone()))
    }

    fn device(&self, state: &super::hub::State) -> Option<String> {
        state.connections.get(&self.connection)?.device.clone()
    }

    fn hear(&mut self, message: FromPage, ctx: &mut ws::WebsocketContext<Self>) {
        if self.hub.lock().connections.get(&self.connection).is_some_and(|one| one.dead) {
            return;
        }
        match message {
            FromPage::Hello { device: Some(device), identity, counter } => self.knock(device, identity, counter, ctx),
            FromPage::Hello { identity, device: None, .. } => {
                self.hub.lock().introduce(self.connection, identity);
                self.next_code(ctx);
            }
            FromPage::Proof { signature } => self.admit(&signature),
            FromPage::Refresh => {
                if let Some(timer) = self.timer.take() {
                    ctx.cancel_future(timer);
                }
                self.codes = 0;
                self.next_code(ctx);
            }
            FromPage::PairingCode { phone } => {
                let code = random_code();
                let mut state = self.hub.lock();
                let stranger = state.connections.get_mut(&self.connection).and_then(|one| one.stranger.as_mut());
                if let Some(stranger) = stranger {
                    stranger.pairing = Some((code.clone(), phone, instant_now() + PAIRING_CODE_LIFE));
                }
                state.push(self.connection, json!({"type": "pairing_code", "code": code}));
            }
            FromPage::Exists { ask, id } => {
                let state = self.hub.lock();
                let number = state.network.number_of(&id);
                let (lid, id) = number
                    .map(|number| (state.face(&number).1, number))
                    .map_or((None, None), |(lid, number)| (Some(lid), Some(number)));
                state.push(self.connection, json!({"type": "answer", "ask": ask, "number": id, "lid": lid}));
            }
            FromPage::Send { ask, id, to, kind, text, data } => {
                let (from, at, device) = (String::new(), 0, None);
                self.send(ask, &to, Letter { id, from, to: String::new(), kind, text, data, at, device });
            }
            FromPage::Stored { place } => {
                let mut state = self.hub.lock();
                if let Some(device) = self.device(&state) {
                    state.apply(&Change::Stored { device, upto: place });
                }
            }
            FromPage::Seen { chat } => self.with_other(&chat, |state, own, other| state.read(own, other)),
            FromPage::Presence { chat, state: word } => {
                self.with_other(&chat, |state, own, other| state.presence(own, other, &word));
            }
            FromPage::Group { ask, id, mut change } => {
                let mut state = self.hub.lock();
                let Some(own) = self.own(&state) else { return };
                state.by_number(&mut change);
                if let GroupChange::Made { invite, .. } | GroupChange::Invite { invite } = &mut change {
                    *invite = random_text(22);
                }
                let joined = match &change {
                    GroupChange::Join { invite } => {
                        state.network.groups.iter().find(|(_, group)| group.invite == *invite)
                    }
                    _ => None,
                };
                let joined = joined.map(|(id, _)| id.clone());
                let id = joined.or(id).unwrap_or_else(|| state.new_group());
                let done = state.regroup(&id, &own, change);
                let error = (!done).then_some("refused");
                state.push(self.connection, json!({"type": "answer", "ask": ask, "id": id, "error": error}));
            }
            FromPage::Channel { ask, id, mut change } => {
                let mut state = self.hub.lock();
                let Some(own) = self.own(&state) else { return };
                if let ChannelChange::Made { invite, .. } = &mut change {
                    *invite = random_text(22);
                }
                let id = state.rechannel(id, &own, change);
                let error = id.is_none().then_some("refused");
                let channels = state.channels(&own, |one, _| Some(one) == id.as_deref());
                state
                    .push(self.connection, json!({"type": "answer", "ask": ask, "channels": channels, "error": error}));
            }
            FromPage::Channels { ask, id, text } => {
                let state = self.hub.lock();
                let Some(own) = self.own(&state) else { return };
                let text = text.to_lowercase();
                let found = state.channels(&own, |one, channel| match &id {
                    Some(id) => one == id,
                    None => format!("{} {}", channel.name, channel.description).to_lowercase().contains(&text),
                });
                state.push(self.connection, json!({"type": "answer", "ask": ask, "channels": found}));
            }
            FromPage::Invited { ask, invite } => {
                let state = self.hub.lock();
                let found = state.network.groups.iter().find(|(_, group)| group.invite == invite);
                let group = found.map(|(id, group)| group.shape(id, |number| state.address(number)));
                state.push(self.connection, json!({"type": "answer", "ask": ask, "group": group}));
            }
            FromPage::InviteOf { ask, id } => {
                let state = self.hub.lock();
                let own = self.own(&state).unwrap_or_default();
                let group = state.network.groups.get(&id).filter(|group| group.is_admin(&own));
                let invite = group.map(|group| group.invite.clone());
                state.push(self.connection, json!({"type": "answer", "ask": ask, "invite": invite}));
            }
            FromPage::AboutOf { ask, id } => {
                let state = self.hub.lock();
                let phone = state.network.number_of(&id).and_then(|number| state.network.phones.get(&number));
                let about = phone.and_then(|phone| phone.kept.get("about"));
                state.push(self.connection, json!({"type": "answer", "ask": ask, "about": about}));
            }
            FromPage::PictureOf { ask, id } => {
                let state = self.hub.lock();
                let phone = state.network.number_of(&id).and_then(|number| state.network.phones.get(&number));
                let own = phone.and_then(|phone| phone.kept.get("picture").cloned());
                let group = state.network.groups.get(&id).and_then(|group| group.picture.clone());
                let picture = own.or_else(|| group.map(serde_json::Value::String));
                state.push(self.connection, json!({"type": "answer", "ask": ask, "picture": picture}));
            }
            FromPage::Keep { key, value } => {
                let mut state = self.hub.lock();
                if let Some(own) = self.own(&state) {
                    state.keep(&own, &key, value);
                }
            }
            FromPage::Watch { chat } => {
                let state = self.hub.lock();
                for other in self.own(&state).map(|own| state.network.others(&own, &chat)).unwrap_or_default() {
                    if let Some(number) = state.network.number_of(&other) {
                        let who = state.address(&number);
                        let told = json!({"type": "presence", "chat": chat, "who": who, "state": "available", "seen": unix_now()});
                        state.push(self.connection, told);
                    }
                }
            }
            FromPage::Reject { call } => {
                let mut state = self.hub.lock();
                if let Some(own) = self.own(&state) {
                    state.call(&call, "", &own, "rejected", false);
                }
            }
            FromPage::Logout => {
                let mut state = self.hub.lock();
                if let Some(device) = self.device(&state) {
                    state.unlink(&device);
                }
            }
        }
    }

    fn with_other(&self, chat: &str, act: impl FnOnce(&mut super::hub::State, &str, &str)) {
        let mut state = self.hub.lock();
        let Some(own) = self.own(&state) else { return };
        if let Some(other) = state.network.receiver(&own, chat) {
            act(&mut state, &own, &other);
        }
    }
}

impl Actor for PageSocket {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.connection = self.hub.lock().connect(ctx.address().recipient());
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let mut state = self.hub.lock();
        if let Some(gone) = state.connections.remove(&self.connection) {
            state.rotated.extend(gone.stranger.and_then(|stranger| stranger.current));
        }
    }
}

impl Handler<Push> for PageSocket {
    type Result = ();

    fn handle(&mut self, push: Push, ctx: &mut Self::Context) {
        if push.close {
            ctx.stop();
        } else if let Some(late) = push.late {
            ctx.run_later(late, move |_, ctx| ctx.text(push.text));
        } else {
            ctx.text(push.text);
        }
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for PageSocket {
    fn handle(&mut self, item: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        match item {
            Ok(ws::Message::Text(text)) => match serde_json::from_str(&text) {
                Ok(message) => self.hear(message, ctx),
                Err(error) => tracing::warn!(%error, "the page says something strange"),
            },
            Ok(ws::Message::Ping(data)) => ctx.pong(&data),
            Ok(ws::Message::Close(_)) | Err(_) => ctx.stop(),
            Ok(_) => {}
        }
    }
}

fn signed(identity: &str, nonce: &str, signature: &str) -> bool {
    let key = hex::decode(identity).ok().and_then(|key| VerifyingKey::from_sec1_bytes(&key).ok());
    let signature = hex::decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    key.zip(signature).is_some_and(|(key, signature)| key.verify(nonce.as_bytes(), &signature).is_ok())
}

pub(super) fn random_text(length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push_str(&uuid::Uuid::new_v4().simple().to_string());
    }
    text.truncate(length);
    text
}

/// Eight letters and digits, without those that look alike.
fn random_code() -> String {
    const LETTERS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTVWXYZ";
    let bytes = uuid::Uuid::new_v4().into_bytes();
    bytes.iter().take(8).filter_map(|byte| LETTERS.get(usize::from(byte % 32)).copied().map(char::from)).collect()
}
