//! What a running session is asked about its account and about people and groups, and what it answers. A question may do
//! something, too, as long as something comes back; what only succeeds or fails is an action.

use super::chat::ChatId;
use super::message::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// A question, and the shape of its answer.
pub struct Ask<T> {
    /// What is asked.
    pub question: Question,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Ask<T> {
    fn new(question: Question) -> Self {
        Self { question, answer: PhantomData }
    }

    /// Reads an answer; `None` when it has another shape.
    #[must_use]
    pub fn read(answer: serde_json::Value) -> Option<T> {
        serde_json::from_value(answer).ok()
    }
}

/// What can be asked. Made by the functions below, which say what comes back.
#[derive(Clone, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the functions below explain them")]
pub enum Question {
    Contacts,
    Contact { contact: ChatId },
    OnNetwork { contact: ChatId },
    About { contact: ChatId },
    Picture { contact: ChatId, refresh: bool },
    Aliases,
    AliasOf { contact: ChatId },
    Profile,
    Presences,
    Presence { chat: ChatId },
    Chats,
    ReadUp { chat: ChatId, most: u32, since: i64 },
    Earlier { chat: ChatId, before: Option<String>, count: u64 },
    Groups,
    CountGroups,
    Group { group: ChatId },
    Invited { code: String },
    InviteCode { group: ChatId },
    RevokeInvite { group: ChatId },
    CreateGroup { subject: String, participants: Vec<ChatId> },
    JoinGroup { code: String },
    Labels,
    LabelsOf { chat: ChatId },
    Labelled { label: String },
    CreateLabel { name: String, color: Option<u8> },
    Channels,
    Channel { channel: String },
    CreateChannel { name: String, description: Option<String> },
    SearchChannels { text: String, categories: Vec<String>, limit: u32, after: Option<String> },
}

impl std::fmt::Debug for Question {
    /// Never names or numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

/// Everybody whom the account's address book or its chats know.
#[must_use]
pub fn contacts() -> Ask<Vec<Contact>> {
    Ask::new(Question::Contacts)
}

/// One of them, or what is known of a stranger.
#[must_use]
pub fn contact(contact: ChatId) -> Ask<Contact> {
    Ask::new(Question::Contact { contact })
}

/// The id under which the network knows a number; `None` when it does not.
#[must_use]
pub fn on_network(contact: ChatId) -> Ask<Option<ChatId>> {
    Ask::new(Question::OnNetwork { contact })
}

/// What somebody says of themselves, where they show it.
#[must_use]
pub fn about(contact: ChatId) -> Ask<Option<String>> {
    Ask::new(Question::About { contact })
}

/// Address of a picture of a person or a group, where it is shown; `refresh` past what the page remembers.
#[must_use]
pub fn picture(contact: ChatId, refresh: bool) -> Ask<Option<String>> {
    Ask::new(Question::Picture { contact, refresh })
}

/// All pairs of number and hidden id that are known.
#[must_use]
pub fn aliases() -> Ask<Vec<Alias>> {
    Ask::new(Question::Aliases)
}

/// The other name of a person, given either.
#[must_use]
pub fn alias_of(contact: ChatId) -> Ask<Alias> {
    Ask::new(Question::AliasOf { contact })
}

/// The account as others see it.
#[must_use]
pub fn profile() -> Ask<Profile> {
    Ask::new(Question::Profile)
}

/// Who is there, of all chats that were asked about.
#[must_use]
pub fn presences() -> Ask<Vec<Presence>> {
    Ask::new(Question::Presences)
}

/// Who is there in a chat. From then on the network tells of changes.
#[must_use]
pub fn presence(chat: ChatId) -> Ask<Presence> {
    Ask::new(Question::Presence { chat })
}

/// All chats with people and groups that the engine itself has: also those in which nothing was said since the linking.
#[must_use]
pub fn chats() -> Ask<Vec<Known>> {
    Ask::new(Question::Chats)
}

/// Marks a chat as read; the ids of the messages that were unread, at most `most`, not older than `since` (Unix seconds).
#[must_use]
pub fn read_up(chat: ChatId, most: u32, since: i64) -> Ask<Vec<String>> {
    Ask::new(Question::ReadUp { chat, most, since })
}

/// What the engine itself has of a chat before a message, or its newest: also what was said before the account was linked.
#[must_use]
pub fn earlier(chat: ChatId, before: Option<String>, count: u64) -> Ask<Earlier> {
    Ask::new(Question::Earlier { chat, before, count })
}

/// The account's groups.
#[must_use]
pub fn groups() -> Ask<Vec<Group>> {
    Ask::new(Question::Groups)
}

/// How many there are.
#[must_use]
pub fn count_groups() -> Ask<u64> {
    Ask::new(Question::CountGroups)
}

/// One of them.
#[must_use]
pub fn group(group: ChatId) -> Ask<Group> {
    Ask::new(Question::Group { group })
}

/// The group behind an invite code, joined or not.
#[must_use]
pub fn invited(code: String) -> Ask<Group> {
    Ask::new(Question::Invited { code })
}

/// The code with which others can join.
#[must_use]
pub fn invite_code(group: ChatId) -> Ask<String> {
    Ask::new(Question::InviteCode { group })
}

/// Makes the code invalid; the new one.
#[must_use]
pub fn revoke_invite(group: ChatId) -> Ask<String> {
    Ask::new(Question::RevokeInvite { group })
}

/// Makes a group.
#[must_use]
pub fn create_group(subject: String, participants: Vec<ChatId>) -> Ask<Group> {
    Ask::new(Question::CreateGroup { subject, participants })
}

/// Joins a group, or asks its admins for that.
#[must_use]
pub fn join_group(code: String) -> Ask<Joined> {
    Ask::new(Question::JoinGroup { code })
}

/// The labels of a business account.
#[must_use]
pub fn labels() -> Ask<Vec<Label>> {
    Ask::new(Question::Labels)
}

/// Those that a chat has.
#[must_use]
pub fn labels_of(chat: ChatId) -> Ask<Vec<Label>> {
    Ask::new(Question::LabelsOf { chat })
}

/// The chats that have a label.
#[must_use]
pub fn labelled(label: String) -> Ask<Vec<ChatId>> {
    Ask::new(Question::Labelled { label })
}

/// Makes a label; without a color the network takes the next one.
#[must_use]
pub fn create_label(name: String, color: Option<u8>) -> Ask<Label> {
    Ask::new(Question::CreateLabel { name, color })
}

/// The channels that the account has or follows.
#[must_use]
pub fn channels() -> Ask<Vec<Channel>> {
    Ask::new(Question::Channels)
}

/// One channel, by its id, or by the code of its invite where the account knows it.
#[must_use]
pub fn channel(channel: String) -> Ask<Channel> {
    Ask::new(Question::Channel { channel })
}

/// Makes a channel.
#[must_use]
pub fn create_channel(name: String, description: Option<String>) -> Ask<Channel> {
    Ask::new(Question::CreateChannel { name, description })
}

/// Looks for channels in the network's directory, at most `limit`, behind the place where an earlier answer ended.
#[must_use]
pub fn search_channels(text: String, categories: Vec<String>, limit: u32, after: Option<String>) -> Ask<FoundChannels> {
    Ask::new(Question::SearchChannels { text, categories, limit, after })
}

/// Somebody.
#[derive(Clone, Debug, Deserialize)]
pub struct Contact {
    /// Their id.
    pub id: ChatId,
    /// As the account's address book calls them.
    pub name: Option<String>,
    /// As they call themselves.
    pub pushname: Option<String>,
    /// The first part of the name.
    pub short_name: Option<String>,
    /// The account itself.
    pub is_me: bool,
    /// Known to the network.
    pub on_network: bool,
    /// In the account's address book.
    pub saved: bool,
    /// May not write to the account.
    pub blocked: bool,
}

/// Two names of one person.
#[derive(Clone, Debug, Deserialize)]
pub struct Alias {
    /// The hidden id.
    pub lid: Option<ChatId>,
    /// The number.
    pub pn: Option<ChatId>,
}

/// The account as others see it.
#[derive(Clone, Debug, Deserialize)]
pub struct Profile {
    /// Its id.
    pub id: ChatId,
    /// Its name.
    pub name: String,
    /// Address of its picture.
    pub picture: Option<String>,
}

/// Who is there in a chat.
#[derive(Clone, Debug, Deserialize)]
pub struct Presence {
    /// The chat.
    pub chat: ChatId,
    /// The other side, or the members of a group that were heard of.
    pub people: Vec<Person>,
}

/// Somebody in a chat.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// Who.
    pub id: ChatId,
    /// `online`, `offline`, `typing`, `recording` or `paused`.
    pub state: String,
    /// Unix seconds, where the network tells.
    pub last_seen: Option<i64>,
}

/// A chat that the engine has.
#[derive(Clone, Deserialize)]
pub struct Known {
    /// Its id: the number, where that is known.
    pub id: ChatId,
    /// Its other id.
    pub alias: Option<ChatId>,
    /// The other side's name, where known.
    pub name: Option<String>,
    /// Unix seconds of what was last said in it; 0 where nothing was.
    pub at: i64,
}

/// A piece of a chat's past.
#[derive(Clone, Deserialize)]
pub struct Earlier {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// Before which to go on; `None` at the chat's beginning.
    pub oldest: Option<String>,
}

/// A group that was joined.
#[derive(Clone, Debug, Deserialize)]
pub struct Joined {
    /// The group.
    pub id: ChatId,
    /// Its admins have to agree first.
    pub pending: bool,
}

/// A group.
#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: ChatId,
    /// Its name.
    pub subject: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who made it.
    pub owner: Option<ChatId>,
    /// Unix seconds.
    pub created: Option<i64>,
    /// Only admins write.
    pub announce: bool,
    /// Only admins change what it says of itself.
    pub restrict: bool,
    /// Everybody brings others in.
    pub members_add: bool,
    /// Admins decide who comes in.
    pub approval: bool,
    /// Who is in it, where known.
    pub members: Vec<Member>,
}

/// Somebody in a group.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Who.
    pub id: ChatId,
    /// Their number, where the id hides it.
    pub pn: Option<ChatId>,
    /// What they may do.
    pub role: Role,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Not in it any more.
    Left,
    /// Read and, unless only admins may, write.
    Participant,
    /// Change the group.
    Admin,
    /// Made it.
    Superadmin,
}

/// A channel.
#[derive(Clone, Debug, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: ChatId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// The code with which others find it.
    pub invite: Option<String>,
    /// The network knows whose it is.
    pub verified: bool,
    /// What the account is in it.
    pub role: ChannelRole,
    /// How many follow it, where that is told.
    pub followers: Option<u64>,
}

/// What an account is in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelRole {
    /// Made it.
    Owner,
    /// Writes in it.
    Admin,
    /// Follows it.
    Subscriber,
    /// Nothing.
    Guest,
}

/// Channels that were found.
#[derive(Clone, Debug, Deserialize)]
pub struct FoundChannels {
    /// They.
    pub channels: Vec<Channel>,
    /// Where they end.
    pub end: Option<String>,
    /// There are more.
    pub more: bool,
}

/// A label.
#[derive(Clone, Debug, Deserialize)]
pub struct Label {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Place in the network's palette.
    pub color: u8,
}
