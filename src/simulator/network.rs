//! The state of the fake network: phones, linked devices, messages. Changes are events; the state is what follows from them.

use super::channels::{Channel, ChannelChange};
use super::groups::{Group, GroupChange};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// A change. The log of all changes is what the simulator keeps on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// A phone was bought.
    PhoneAdded {
        /// Digits.
        number: String,
        /// What others see.
        name: String,
        /// Its messages arrive from its hidden id (`@lid`).
        hidden: bool,
    },
    /// A page became a device of a phone.
    Linked {
        /// The device.
        device: String,
        /// Whose.
        number: String,
        /// Its public key, SEC1, hex.
        identity: String,
        /// At most so many messages of the phone's past are given to it.
        #[serde(default)]
        past: usize,
    },
    /// A device was removed.
    Unlinked {
        /// The device.
        device: String,
    },
    /// A message was accepted by the network.
    Sent(Letter),
    /// A message came again with an id that the receiver has seen.
    Repeated {
        /// The id.
        id: String,
        /// Digits of the receiver.
        to: String,
    },
    /// A device has stored what it got up to a place.
    Stored {
        /// The device.
        device: String,
        /// The place.
        upto: u64,
    },
    /// A person read a chat.
    Read {
        /// Digits of the reader.
        number: String,
        /// Digits of the other side.
        other: String,
    },
    /// A device came back with less than it had confirmed.
    RolledBack {
        /// The device.
        device: String,
    },
    /// Somebody made a group, or changed one.
    Group {
        /// `…@g.us`.
        id: String,
        /// Digits of who did it.
        by: String,
        /// Unix seconds.
        at: i64,
        /// What.
        change: GroupChange,
    },
    /// Somebody made a channel, follows one, or ended one.
    Channel {
        /// `…@newsletter`.
        id: String,
        /// Digits of who did it.
        by: String,
        /// Unix seconds.
        at: i64,
        /// What.
        change: ChannelChange,
    },
    /// An account keeps something at the network for all its devices: labels, whom it blocks, ….
    Kept {
        /// Digits of the account.
        number: String,
        /// Under which name.
        key: String,
        /// What; null removes it.
        value: Value,
    },
    /// Somebody calls, or a call ends.
    Call {
        /// Its id.
        id: String,
        /// Digits of who calls.
        from: String,
        /// Digits of who is called.
        to: String,
        /// `ringing`, `rejected` or `ended`.
        state: String,
        /// With pictures.
        video: bool,
    },
}

/// Where status updates stand.
pub const STATUS: &str = "status@broadcast";

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Bare id.
    pub id: String,
    /// Digits of the sender.
    pub from: String,
    /// Digits of the receiver, or the id of a group.
    pub to: String,
    /// What it is: `chat` for text, `location`, `vcard`, …; or what it does to the message that `data.target` names
    /// (`reaction`, `edit`, `revoke`, `vote`, `pin`).
    #[serde(default = "chat")]
    pub kind: String,
    /// The text.
    pub text: String,
    /// What it carries beside the text, in the page's own words.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Unix seconds.
    pub at: i64,
    /// The device that sent it; none for a phone.
    #[serde(default)]
    pub device: Option<String>,
}

/// Messages that a page is given when it is linked.
pub const PAST: usize = 200;

fn chat() -> String {
    "chat".to_owned()
}

impl Letter {
    /// The bare id of the message that it changes, if it changes one.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        let changes = ["reaction", "edit", "revoke", "vote", "pin"].contains(&self.kind.as_str());
        self.data.get("target").and_then(Value::as_str).filter(|_| changes)
    }
}

/// A message as a phone shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Place in this phone.
    pub seq: u64,
    /// Bare id.
    pub id: String,
    /// The chat: `digits@c.us` of the other side, or the id of a group.
    pub chat: String,
    /// Sender.
    pub from: String,
    /// Receiver.
    pub to: String,
    /// What it is; `revoked` once it was taken back.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    pub text: String,
    /// What it carries beside the text.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Reactions by number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<String, String>,
    /// Choices in a poll, by number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub votes: BTreeMap<String, Value>,
    /// It is not the first text.
    pub edited: bool,
    /// It is pinned in its chat.
    pub pinned: bool,
    /// Unix seconds.
    pub timestamp: i64,
    /// 1 at the network, 2 at the other phone, 3 read.
    pub ack: i8,
}

impl Shown {
    /// What a letter about it changes.
    fn change(&mut self, letter: &Letter) {
        let own = self.from.strip_suffix("@c.us") == Some(&letter.from);
        match letter.kind.as_str() {
            "reaction" if letter.text.is_empty() => drop(self.reactions.remove(&letter.from)),
            "reaction" => drop(self.reactions.insert(letter.from.clone(), letter.text.clone())),
            "edit" if own => (self.text, self.edited) = (letter.text.clone(), true),
            "revoke" if own => (self.kind, self.text, self.data) = ("revoked".into(), String::new(), Value::Null),
            "vote" => {
                let options = letter.data.get("options").cloned().unwrap_or_default();
                self.votes.insert(letter.from.clone(), options);
            }
            "pin" => self.pinned = letter.data.get("on") == Some(&Value::Bool(true)),
            _ => {}
        }
    }
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    /// What others see.
    pub name: String,
    /// Digits of its hidden id.
    pub lid: String,
    /// Its messages arrive from the hidden id.
    pub hidden: bool,
    /// What it shows.
    pub messages: Vec<Shown>,
    /// What the account keeps for all its devices.
    pub kept: BTreeMap<String, Value>,
    /// Calls to it, with their states, the newest last.
    pub calls: Vec<(String, String)>,
    seen: HashSet<String>,
}

/// A linked page.
#[derive(Debug)]
pub struct Device {
    /// Whose.
    pub number: String,
    /// Its public key.
    pub identity: String,
    /// What it has not confirmed yet, with places.
    pub queue: VecDeque<(u64, Letter)>,
    /// Up to this place it is what was said before it was linked.
    pub past: u64,
    /// Last place given out.
    pub last: u64,
    /// Last place confirmed.
    pub stored: u64,
    /// It lost state: nothing that it gets can be read.
    pub rolled_back: bool,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Network {
    /// By number.
    pub phones: BTreeMap<String, Phone>,
    /// By device id.
    pub devices: BTreeMap<String, Device>,
    /// By id.
    pub groups: BTreeMap<String, Group>,
    /// By id.
    pub channels: BTreeMap<String, Channel>,
    /// Ids that came again, with their receivers.
    pub repeats: Vec<(String, String)>,
    links: u64,
}

impl Network {
    /// What follows from a change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PhoneAdded { number, name, hidden } => {
                let phone = Phone {
                    name: name.clone(),
                    lid: hidden_id(number),
                    hidden: *hidden,
                    messages: vec![],
                    kept: BTreeMap::new(),
                    calls: vec![],
                    seen: HashSet::new(),
                };
                self.phones.entry(number.clone()).or_insert(phone);
            }
            Change::Linked { device, number, identity, past } => {
                self.links += 1;
                let queue = self.past(number, *past);
                let past = u64::try_from(queue.len()).unwrap_or(u64::MAX);
                let device_state = Device {
                    number: number.clone(),
                    identity: identity.clone(),
                    queue,
                    past,
                    last: past,
                    stored: 0,
                    rolled_back: false,
                };
                self.devices.insert(device.clone(), device_state);
            }
            Change::Unlinked { device } => drop(self.devices.remove(device)),
            Change::Sent(letter) => self.deliver(letter),
            Change::Repeated { id, to } => self.repeats.push((id.clone(), to.clone())),
            Change::Stored { device, upto } => {
                if let Some(device) = self.devices.get_mut(device) {
                    device.stored = device.stored.max(*upto);
                    device.queue.retain(|(place, _)| place > upto);
                }
            }
            Change::Read { number, other } => self.read(number, other),
            Change::RolledBack { device } => {
                if let Some(device) = self.devices.get_mut(device) {
                    device.rolled_back = true;
                }
            }
            Change::Group { id, by, at, change: GroupChange::Made { subject, people, invite } } => {
                self.groups.insert(id.clone(), Group::made(by, *at, subject, people, invite));
            }
            Change::Group { id, by, change, .. } => {
                if let Some(group) = self.groups.get_mut(id) {
                    group.apply(by, change);
                }
            }
            Change::Channel { id, by, at, change } => self.channel(id, by, *at, change),
            Change::Kept { number, key, value } => {
                if let Some(phone) = self.phones.get_mut(number) {
                    match value {
                        Value::Null => drop(phone.kept.remove(key)),
                        value => drop(phone.kept.insert(key.clone(), value.clone())),
                    }
                }
            }
            Change::Call { id, to, state, .. } => {
                if let Some(phone) = self.phones.get_mut(to) {
                    phone.calls.retain(|(known, _)| known != id);
                    phone.calls.push((id.clone(), state.clone()));
                }
            }
        }
    }

    fn channel(&mut self, id: &str, by: &str, at: i64, change: &ChannelChange) {
        match change {
            ChannelChange::Made { name, description, invite } => {
                let channel = Channel {
                    name: name.clone(),
                    description: description.clone(),
                    owner: by.to_owned(),
                    invite: invite.clone(),
                    created: at,
                    followers: BTreeSet::new(),
                };
                self.channels.insert(id.to_owned(), channel);
            }
            ChannelChange::Follow { on } => {
                if let Some(channel) = self.channels.get_mut(id) {
                    match on {
                        true => drop(channel.followers.insert(by.to_owned())),
                        false => drop(channel.followers.remove(by)),
                    }
                }
            }
            ChannelChange::Ended => drop(self.channels.remove(id)),
        }
    }

    /// Whether this id went from one to the other before.
    #[must_use]
    pub fn has_seen(&self, from: &str, to: &str, id: &str) -> bool {
        // In a group everybody who was there has seen it.
        let number = if is_shared(to) { from } else { to };
        self.phones.get(number).is_some_and(|phone| phone.seen.contains(id))
    }

    /// To whom a message of somebody may go: digits or the id of a group.
    #[must_use]
    pub fn receiver(&self, from: &str, id: &str) -> Option<String> {
        if is_group(id) {
            return self.groups.get(id).filter(|group| group.hears(from)).map(|_| id.to_owned());
        }
        if id == STATUS { Some(id.to_owned()) } else { self.number_of(id) }
    }

    /// Digits of those whom a letter reaches beside its sender: of a status update those for whom it is meant, or everybody.
    #[must_use]
    pub fn reached(&self, letter: &Letter) -> Vec<String> {
        if letter.to != STATUS {
            return self.others(&letter.from, &letter.to);
        }
        let audience = letter.data.get("audience").and_then(Value::as_array);
        // Somebody may be named by number and by hidden id.
        let of = |ids: &Vec<Value>| ids.iter().filter_map(|id| self.number_of(id.as_str()?)).collect();
        let mut reached: BTreeSet<_> = audience.map_or_else(|| self.phones.keys().cloned().collect(), of);
        reached.remove(&letter.from);
        reached.into_iter().collect()
    }

    /// Digits of those whom a chat reaches beside somebody: the other side, or the members of a group.
    #[must_use]
    pub fn others(&self, number: &str, chat: &str) -> Vec<String> {
        match self.groups.get(chat) {
            Some(group) => group.members.keys().filter(|one| *one != number).cloned().collect(),
            None => vec![chat.to_owned()],
        }
    }

    /// The id of the next device.
    #[must_use]
    pub fn next_device(&self, number: &str) -> String {
        format!("{number}:{}", self.links + 1)
    }

    /// The number behind `digits@c.us`, `digits@lid` or plain digits.
    #[must_use]
    pub fn number_of(&self, id: &str) -> Option<String> {
        let (user, server) = id.split_once('@').unwrap_or((id, "c.us"));
        match server {
            "lid" => self.phones.iter().find(|(_, phone)| phone.lid == user).map(|(number, _)| number.clone()),
            _ => self.phones.contains_key(user).then(|| user.to_owned()),
        }
    }

    /// What a page that is linked now gets of a phone's past, with places.
    fn past(&self, number: &str, most: usize) -> VecDeque<(u64, Letter)> {
        let shown = self.phones.get(number).map(|phone| phone.messages.as_slice()).unwrap_or_default();
        let bare = |id: &str| id.strip_suffix("@c.us").unwrap_or(id).to_owned();
        let kept: Vec<_> = shown.iter().filter(|one| one.to != STATUS && one.kind != "revoked").collect();
        let newest = kept.get(kept.len().saturating_sub(most)..).unwrap_or_default();
        let letter = |one: &&Shown| Letter {
            id: one.id.clone(),
            from: bare(&one.from),
            to: bare(&one.to),
            kind: one.kind.clone(),
            text: one.text.clone(),
            data: one.data.clone(),
            at: one.timestamp,
            device: None,
        };
        (1..).zip(newest.iter().map(letter)).collect()
    }

    fn deliver(&mut self, letter: &Letter) {
        let (from, to) = (letter.from.clone(), letter.to.clone());
        let others = self.reached(letter);
        for other in &others {
            self.show(other, if is_shared(&to) { &to } else { &from }, letter);
        }
        if from != to {
            self.show(&from, &to, letter);
        }
        for (id, device) in &mut self.devices {
            let concerned = others.contains(&device.number) || device.number == from;
            if concerned && letter.device.as_ref() != Some(id) {
                device.last += 1;
                device.queue.push_back((device.last, letter.clone()));
            }
        }
    }

    fn show(&mut self, number: &str, other: &str, letter: &Letter) {
        let Some(phone) = self.phones.get_mut(number) else { return };
        phone.seen.insert(letter.id.clone());
        if let Some(target) = letter.target() {
            phone.messages.iter_mut().filter(|one| one.id == target).for_each(|one| one.change(letter));
            return;
        }
        phone.messages.push(Shown {
            seq: u64::try_from(phone.messages.len()).unwrap_or(u64::MAX) + 1,
            id: letter.id.clone(),
            chat: address(other),
            from: address(&letter.from),
            to: address(&letter.to),
            kind: letter.kind.clone(),
            text: letter.text.clone(),
            data: letter.data.clone(),
            reactions: BTreeMap::new(),
            votes: BTreeMap::new(),
            edited: false,
            pinned: false,
            timestamp: letter.at,
            // A phone is always reachable, so what the network has is delivered at once.
            ack: 2,
        });
    }

    fn read(&mut self, number: &str, other: &str) {
        let reader = address(number);
        let (ids, senders): (HashSet<_>, Vec<_>) = self.unread(number, other).into_iter().unzip();
        let mut everybody = self.others(number, other);
        everybody.push(number.to_owned());
        everybody.extend(senders.into_iter().filter(|_| other == STATUS));
        for one in everybody {
            let Some(phone) = self.phones.get_mut(&one) else { continue };
            let read = phone.messages.iter_mut().filter(|one| ids.contains(&one.id) && one.from != reader);
            read.for_each(|one| one.ack = 3);
        }
    }

    /// Ids of a chat's messages that `number` has not read, with the digits of their senders.
    #[must_use]
    pub fn unread(&self, number: &str, other: &str) -> Vec<(String, String)> {
        let (reader, chat) = (address(number), address(other));
        let messages = self.phones.get(number).map(|phone| phone.messages.as_slice()).unwrap_or_default();
        let unread = messages.iter().filter(|one| one.chat == chat && one.from != reader && one.ack < 3);
        unread.map(|one| (one.id.clone(), one.from.trim_end_matches("@c.us").to_owned())).collect()
    }
}

/// Whether an id names a group.
#[must_use]
pub fn is_group(id: &str) -> bool {
    id.ends_with("@g.us")
}

/// Whether a message there goes to many.
#[must_use]
pub fn is_shared(id: &str) -> bool {
    is_group(id) || id == STATUS
}

fn address(of: &str) -> String {
    if is_shared(of) { of.to_owned() } else { format!("{of}@c.us") }
}

/// The digits of a phone's hidden id: its number's mirror image behind a prefix no number has.
fn hidden_id(number: &str) -> String {
    format!("99000{}", number.chars().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str, from: &str, to: &str, device: Option<&str>) -> Change {
        let device = device.map(str::to_owned);
        let (kind, text, data) = ("chat".into(), "t".into(), Value::Null);
        Change::Sent(Letter { id: id.into(), from: from.into(), to: to.into(), kind, text, data, at: 1, device })
    }

    fn two_phones() -> Network {
        let mut network = Network::default();
        for number in ["1", "2"] {
            network.apply(&Change::PhoneAdded { number: number.into(), name: "n".into(), hidden: false });
        }
        network.apply(&Change::Linked { device: "1:1".into(), number: "1".into(), identity: "k".into(), past: 0 });
        network
    }

    #[test]
    fn what_a_device_has_stored_is_never_sent_again() {
        let mut network = two_phones();
        network.apply(&letter("a", "2", "1", None));
        network.apply(&letter("b", "2", "1", None));
        network.apply(&Change::Stored { device: "1:1".into(), upto: 1 });
        let queue: Vec<_> = network.devices["1:1"].queue.iter().map(|(_, letter)| letter.id.as_str()).collect();
        assert_eq!(queue, ["b"]);
    }

    #[test]
    fn a_device_does_not_get_its_own_message_but_the_phones_show_it() {
        let mut network = two_phones();
        network.apply(&letter("a", "1", "2", Some("1:1")));
        assert!(network.devices["1:1"].queue.is_empty());
        assert_eq!(network.phones["1"].messages.len(), 1);
        assert_eq!(network.phones["2"].messages.len(), 1);
        assert!(network.has_seen("1", "2", "a"));
    }

    #[test]
    fn a_status_update_reaches_those_for_whom_it_is_meant() {
        let mut network = two_phones();
        network.apply(&Change::PhoneAdded { number: "3".into(), name: "n".into(), hidden: false });
        let Change::Sent(one) = letter("a", "2", STATUS, None) else { unreachable!() };
        let meant = Letter { data: serde_json::json!({"audience": ["1@c.us"]}), ..one.clone() };
        network.apply(&Change::Sent(meant));
        assert_eq!(network.phones["1"].messages[0].chat, STATUS);
        assert!(network.phones["3"].messages.is_empty() && network.devices["1:1"].queue.len() == 1);
        network.apply(&Change::Sent(Letter { id: "b".into(), ..one }));
        assert_eq!(network.phones["3"].messages[0].id, "b");
        network.apply(&Change::Read { number: "1".into(), other: STATUS.into() });
        assert_eq!(network.phones["2"].messages.iter().map(|one| one.ack).collect::<Vec<_>>(), [3, 3]);
    }

    #[test]
    fn only_the_author_edits_or_takes_back() {
        let mut network = two_phones();
        network.apply(&letter("a", "2", "1", None));
        let change = |from: &str, kind: &str| {
            let to = if from == "1" { "2" } else { "1" };
            let Change::Sent(one) = letter("x", from, to, None) else { unreachable!() };
            Change::Sent(Letter { kind: kind.into(), data: serde_json::json!({"target": "a"}), ..one })
        };
        for kind in ["edit", "revoke"] {
            network.apply(&change("1", kind));
        }
        assert_eq!(
            (network.phones["1"].messages[0].kind.as_str(), network.phones["1"].messages[0].edited),
            ("chat", false)
        );
        network.apply(&change("1", "reaction"));
        assert_eq!(network.phones["1"].messages[0].reactions["1"], "t");
        network.apply(&change("2", "revoke"));
        assert_eq!(network.phones["1"].messages.len(), 1);
        assert_eq!(network.phones["1"].messages[0].kind, "revoked");
    }

    #[test]
    fn reading_raises_the_ack_on_both_sides_for_messages_of_the_other_only() {
        let mut network = two_phones();
        network.apply(&letter("a", "2", "1", None));
        network.apply(&letter("b", "1", "2", None));
        network.apply(&Change::Read { number: "1".into(), other: "2".into() });
        let acks = |number: &str| network.phones[number].messages.iter().map(|one| one.ack).collect::<Vec<_>>();
        assert_eq!((acks("1"), acks("2")), (vec![3, 2], vec![3, 2]));
    }
}
