//! Who is connected to the network, and the log of its changes on disk.

use super::Options;
use super::channels::ChannelChange;
use super::groups::GroupChange;
use super::network::{Change, Letter, Network, STATUS, is_group, is_shared};
use super::socket::Push;
use actix::Recipient;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A page that is not a device yet.
pub(super) struct Stranger {
    /// Its public key.
    pub identity: String,
    /// The code that it shows.
    pub current: Option<String>,
    /// Place among all codes shown, for "the newest".
    pub shown: u64,
    /// Pairing code and the number it is for.
    pub pairing: Option<(String, String, Instant)>,
}

/// One socket.
pub(super) struct Connection {
    pub to: Recipient<Push>,
    pub stranger: Option<Stranger>,
    pub device: Option<String>,
    /// Open, and nothing goes through it in either direction.
    pub dead: bool,
}

/// Everything that changes.
pub(super) struct State {
    pub network: Network,
    log: File,
    pub connections: HashMap<u64, Connection>,
    next_connection: u64,
    codes_shown: u64,
    /// Codes that were shown and are no longer valid.
    pub rotated: Vec<String>,
    /// Numbers whose sockets are refused until then.
    pub dropped: HashMap<String, Instant>,
    /// Numbers whose messages are late, and by how much.
    pub slow: HashMap<String, (Instant, Duration)>,
}

/// The hub. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hub {
    state: Arc<Mutex<State>>,
    pub options: Arc<Options>,
}

/// Why a phone cannot link a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkError {
    NoPhone,
    NoCode,
    Rotated,
}

impl Hub {
    /// Reads the log and goes on where it ends. A last line that was cut off by a kill is dropped.
    pub fn open(options: Options) -> std::io::Result<Self> {
        std::fs::create_dir_all(&options.data_dir)?;
        let path = options.data_dir.join("network.jsonl");
        let mut network = Network::default();
        let mut sound = 0;
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                let Ok(change) = serde_json::from_slice::<Change>(&line) else { break };
                network.apply(&change);
                sound += line.len() as u64 + 1;
            }
        }
        let log = File::options().create(true).append(true).open(&path)?;
        if log.metadata()?.len() > sound {
            log.set_len(sound)?;
        }
        let state = State {
            network,
            log,
            connections: HashMap::new(),
            next_connection: 0,
            codes_shown: 0,
            rotated: vec![],
            dropped: HashMap::new(),
            slow: HashMap::new(),
        };
        Ok(Self { state: Arc::new(Mutex::new(state)), options: Arc::new(options) })
    }

    /// Has phones answer by their script.
    pub fn answer(&self, letter: &Letter, receivers: &[String]) {
        for (after, answer) in self.options.script.answers(letter, receivers) {
            let hub = self.clone();
            actix_web::rt::spawn(async move {
                actix_web::rt::time::sleep(after).await;
                hub.lock().send(answer);
            });
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes the change down, then makes it.
    pub fn apply(&mut self, change: &Change) {
        let line = serde_json::to_string(change).unwrap_or_default();
        if let Err(error) = writeln!(self.log, "{line}") {
            tracing::error!(%error, "the simulator cannot write its log");
        }
        self.network.apply(change);
    }

    pub fn connect(&mut self, to: Recipient<Push>) -> u64 {
        self.next_connection += 1;
        self.connections.insert(self.next_connection, Connection { to, stranger: None, device: None, dead: false });
        self.next_connection
    }

    /// A page without a link asks for codes.
    pub fn introduce(&mut self, connection: u64, identity: String) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.stranger = Some(Stranger { identity, current: None, shown: 0, pairing: None });
        }
    }

    /// The next code of a page; `None` ends its codes.
    pub fn show_code(&mut self, connection: u64, code: Option<String>) {
        self.codes_shown += 1;
        let shown = self.codes_shown;
        let stranger = self.connections.get_mut(&connection).and_then(|one| one.stranger.as_mut());
        if let Some(stranger) = stranger {
            let old = std::mem::replace(&mut stranger.current, code);
            stranger.shown = shown;
            self.rotated.extend(old);
            let surplus = self.rotated.len().saturating_sub(1000);
            self.rotated.drain(..surplus);
        }
    }

    /// A phone scans the text of a code, or whatever code was shown last (`newest`).
    pub fn scan(&mut self, number: &str, text: &str) -> Result<(), LinkError> {
        if !self.network.phones.contains_key(number) {
            return Err(LinkError::NoPhone);
        }
        let strangers = self.connections.iter().filter_map(|(id, one)| Some((*id, one.stranger.as_ref()?)));
        let found = if text == "newest" {
            strangers.filter(|(_, one)| one.current.is_some()).max_by_key(|(_, one)| one.shown).map(|(id, _)| id)
        } else {
            let code = text.split(',').next().unwrap_or_default();
            strangers.filter(|(_, one)| one.current.as_deref() == Some(code)).map(|(id, _)| id).next()
        };
        match found {
            Some(connection) => {
                self.link(connection, number);
                Ok(())
            }
            None if text == "newest" => Err(LinkError::NoCode),
            None => Err(LinkError::Rotated),
        }
    }

    /// A phone types a pairing code.
    pub fn pair(&mut self, number: &str, code: &str) -> Result<(), LinkError> {
        if !self.network.phones.contains_key(number) {
            return Err(LinkError::NoPhone);
        }
        let code = code.replace('-', "").to_uppercase();
        let found = self.connections.iter().find_map(|(id, one)| {
            let (wanted, whose, until) = one.stranger.as_ref()?.pairing.as_ref()?;
            (*wanted == code && whose == number).then_some((*id, *until))
        });
        match found {
            None => Err(LinkError::NoCode),
            Some((_, until)) if until < instant_now() => Err(LinkError::Rotated),
            Some((connection, _)) => {
                self.link(connection, number);
                Ok(())
            }
        }
    }

    fn link(&mut self, connection: u64, number: &str) {
        let device = self.network.next_device(number);
        let Some(stranger) = self.connections.get_mut(&connection).and_then(|one| one.stranger.take()) else { return };
        self.rotated.extend(stranger.current);
        let (identity, past) = (stranger.identity, super::network::PAST);
        self.apply(&Change::Linked { device: device.clone(), number: number.to_owned(), identity, past });
        let (name, lid) = self.face(number);
        self.push(connection, json!({"type": "linked", "device": device, "number": number, "lid": lid, "name": name}));
    }

    /// Name and hidden id of a phone.
    pub fn face(&self, number: &str) -> (String, String) {
        self.network.phones.get(number).map(|phone| (phone.name.clone(), phone.lid.clone())).unwrap_or_default()
    }

    /// A message enters the network; answers whether it was new to its receiver.
    pub fn send(&mut self, letter: Letter) -> bool {
        if self.network.has_seen(&letter.from, &letter.to, &letter.id) {
            self.apply(&Change::Repeated { id: letter.id, to: letter.to });
            return false;
        }
        let (from, to) = (letter.from.clone(), letter.to.clone());
        let (id, device) = (letter.id.clone(), letter.device.clone());
        let is_message = letter.target().is_none();
        let reached = self.network.reached(&letter);
        self.apply(&Change::Sent(letter));
        let everybody: Vec<_> = reached.iter().cloned().chain([from.clone()]).collect();
        for (connection, name) in self.online(&everybody) {
            if device.as_ref() != Some(&name) {
                self.flush(connection, &name, false);
            }
        }
        if is_message {
            for other in reached {
                self.receipts(&from, &to, &other, std::slice::from_ref(&id), 2);
            }
        }
        true
    }

    /// Somebody read: their messages get ack 3.
    pub fn read(&mut self, number: &str, other: &str) {
        let mut of: HashMap<String, Vec<String>> = HashMap::new();
        for (id, sender) in self.network.unread(number, other) {
            of.entry(sender).or_default().push(id);
        }
        if !of.is_empty() {
            self.apply(&Change::Read { number: number.to_owned(), other: other.to_owned() });
        }
        let chat = if is_shared(other) { other } else { number };
        for (sender, ids) in of {
            self.receipts(&sender, chat, number, &ids, 3);
        }
    }

    /// Digits where a page wrote addresses; who is not on the network stays as written, and is refused.
    pub fn by_number(&self, change: &mut GroupChange) {
        for one in change.people_mut() {
            if let Some(number) = self.network.number_of(one) {
                *one = number;
            }
        }
    }

    /// An id for a group.
    pub fn new_group(&self) -> String {
        format!("12036{:013}@g.us", self.network.groups.len() + 1)
    }

    /// Somebody does something to a group; false when the network refuses.
    pub fn regroup(&mut self, id: &str, by: &str, change: GroupChange) -> bool {
        let known = change.people().iter().all(|number| self.network.phones.contains_key(number));
        let made = matches!(change, GroupChange::Made { .. });
        let allowed = self.network.groups.get(id).map_or(made, |group| group.allows(by, &change));
        if !known || !allowed {
            return false;
        }
        let before = self.network.others("", id);
        let (word, at) = (change.word(), unix_now());
        let people: Vec<_> = change.people().iter().map(|number| self.address(number)).collect();
        self.apply(&Change::Group { id: id.to_owned(), by: by.to_owned(), at, change });
        let Some(group) = self.network.groups.get(id) else { return false };
        // Those who are sent away hear of it, too.
        let everybody: Vec<_> = group.members.keys().cloned().chain(before).collect();
        let shape = group.shape(id, |number| self.address(number));
        let told =
            json!({"type": "group", "group": shape, "what": word, "by": self.address(by), "people": people, "at": at});
        for (connection, _) in self.online(&everybody) {
            self.push(connection, told.clone());
        }
        true
    }

    /// Somebody does something with a channel; `None` when the network refuses, else its id.
    pub fn rechannel(&mut self, id: Option<String>, by: &str, change: ChannelChange) -> Option<String> {
        let number = || uuid::Uuid::new_v4().as_u128() % 10_u128.pow(13);
        let id = id.unwrap_or_else(|| format!("12036{:013}@newsletter", number()));
        let made = matches!(change, ChannelChange::Made { .. });
        let allowed = self.network.channels.get(&id).map_or(made, |channel| channel.allows(by, &change));
        if !allowed {
            return None;
        }
        let before = self.network.channels.get(&id);
        let followers = before.into_iter().flat_map(|channel| channel.followers.iter().chain([&channel.owner]));
        let concerned: Vec<_> = followers.cloned().chain([by.to_owned()]).collect();
        self.apply(&Change::Channel { id: id.clone(), by: by.to_owned(), at: unix_now(), change });
        for (connection, device) in self.online(&concerned) {
            let number = self.network.devices.get(&device).map(|one| one.number.as_str()).unwrap_or_default();
            let shape = self.network.channels.get(&id).map(|channel| channel.shape(&id, number));
            self.push(connection, json!({"type": "channel", "id": id, "channel": shape}));
        }
        Some(id)
    }

    /// Channels for which this holds, as the pages of a number see them.
    pub fn channels(&self, number: &str, test: impl Fn(&str, &super::channels::Channel) -> bool) -> Vec<Value> {
        let found = self.network.channels.iter().filter(|(id, channel)| test(id, channel));
        found.map(|(id, channel)| channel.shape(id, number)).collect()
    }

    /// An account keeps something for all its devices; the others hear of it.
    pub fn keep(&mut self, number: &str, key: &str, value: Value) {
        let told = json!({"type": "kept", "key": key, "value": value});
        self.apply(&Change::Kept { number: number.to_owned(), key: key.to_owned(), value });
        for (connection, _) in self.online(&[number.to_owned()]) {
            self.push(connection, told.clone());
        }
    }

    /// A call begins, is taken, rejected or ended.
    pub fn call(&mut self, id: &str, from: &str, to: &str, state: &str, video: bool) {
        let told = json!({"type": "call", "id": id, "from": self.address(from), "state": state, "video": video, "at": unix_now()});
        let (id, from, state) = (id.to_owned(), from.to_owned(), state.to_owned());
        self.apply(&Change::Call { id, from, to: to.to_owned(), state, video });
        for (connection, _) in self.online(&[to.to_owned()]) {
            self.push(connection, told.clone());
        }
    }

    /// What a device has to know of the account when it comes.
    pub fn ground(&self, number: &str) -> Value {
        let groups = self.network.groups.iter().filter(|(_, group)| group.members.contains_key(number));
        let groups: Vec<_> = groups.map(|(id, group)| group.shape(id, |number| self.address(number))).collect();
        let kept = self.network.phones.get(number).map(|phone| &phone.kept);
        let channels = self.channels(number, |_, channel| channel.role(number) != "guest");
        json!({"groups": groups, "channels": channels, "kept": kept})
    }

    /// Tells the sender's devices how far messages have got.
    fn receipts(&self, sender: &str, chat: &str, who: &str, ids: &[String], ack: i8) {
        let (chat, who) = (self.address(chat), self.address(who));
        for (connection, _) in self.online(&[sender.to_owned()]) {
            self.push(connection, json!({"type": "receipt", "chat": chat, "who": who, "ids": ids, "ack": ack}));
        }
    }

    /// How others see a phone: by its number, or by its hidden id. A group's id is its address.
    pub fn address(&self, number: &str) -> String {
        if is_shared(number) {
            return number.to_owned();
        }
        match self.network.phones.get(number) {
            Some(phone) if phone.hidden => format!("{}@lid", phone.lid),
            _ => format!("{number}@c.us"),
        }
    }

    /// Tells a number's pages that somebody types, or stops.
    pub fn presence(&self, from: &str, to: &str, state: &str) {
        let who = self.address(from);
        let chat = if is_group(to) { to } else { &who };
        let told = json!({"type": "presence", "chat": chat, "who": who, "state": state, "seen": unix_now()});
        for (connection, _) in self.online(&self.network.others(from, to)) {
            self.push(connection, told.clone());
        }
    }

    /// Sends a device what it has not confirmed. `all` = from the beginning, after a reconnect.
    pub fn flush(&self, connection: u64, device: &str, all: bool) {
        let Some(state) = self.network.devices.get(device) else { return };
        let queue: Vec<_> = if all { state.queue.iter().collect() } else { state.queue.back().into_iter().collect() };
        let late = self.slow.get(&state.number).filter(|(until, _)| *until > instant_now()).map(|(_, by)| *by);
        for (place, letter) in queue {
            let own = letter.from == state.number;
            let other = if own && letter.to != STATUS { &letter.to } else { &letter.from };
            let (name, lid) = self.face(other);
            let shared = is_shared(&letter.to);
            let chat = self.address(if shared { &letter.to } else { other });
            let participant = shared.then(|| self.address(&letter.from));
            let message = json!({
                "type": "message", "place": place, "past": *place <= state.past, "id": letter.id, "fromMe": own, "chat": chat,
                "participant": participant, "number": other, "lid": lid, "name": name, "at": letter.at, "kind": letter.kind, "data": letter.data,
                "text": if state.rolled_back { Value::Null } else { Value::from(letter.text.as_str()) },
            });
            self.push_late(connection, message, late);
        }
    }

    /// Connections of these numbers' devices.
    pub fn online(&self, numbers: &[String]) -> Vec<(u64, String)> {
        let of = |device: &String| self.network.devices.get(device).is_some_and(|one| numbers.contains(&one.number));
        let all = self.connections.iter().filter_map(|(id, one)| Some((*id, one.device.clone()?)));
        all.filter(|(_, device)| of(device)).collect()
    }

    /// Removes a device and tells it.
    pub fn unlink(&mut self, device: &str) {
        self.apply(&Change::Unlinked { device: device.to_owned() });
        let connections: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, one)| one.device.as_deref() == Some(device))
            .map(|(id, _)| *id)
            .collect();
        for connection in connections {
            self.push(connection, json!({"type": "unlinked"}));
        }
    }

    pub fn push(&self, connection: u64, message: Value) {
        self.push_late(connection, message, None);
    }

    fn push_late(&self, connection: u64, message: Value, late: Option<Duration>) {
        if let Some(connection) = self.connections.get(&connection).filter(|one| !one.dead) {
            connection.to.do_send(Push { text: message.to_string(), late, close: false });
        }
    }

    /// From now on nothing goes through a connection, and neither side is told.
    pub fn kill(&mut self, connection: u64) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.dead = true;
        }
    }

    /// Cuts a connection.
    pub fn cut(&self, connection: u64) {
        if let Some(connection) = self.connections.get(&connection) {
            connection.to.do_send(Push { text: String::new(), late: None, close: true });
        }
    }
}

/// Unix seconds. The simulator is a world of its own and has its own clock.
#[expect(clippy::disallowed_methods, reason = "the fake network stamps messages as the real one does")]
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

/// See [`unix_now`].
#[expect(clippy::disallowed_methods, reason = "the fake network has a clock of its own")]
pub(super) fn instant_now() -> Instant {
    Instant::now()
}
