//! What can be done to messages and chats that are there.

use super::chat::ChatId;
use serde::Serialize;

/// Something that an engine is asked to do at once. It is answered when it is done, and is not repeated.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Marks a chat as read.
    Seen {
        /// The chat.
        chat: ChatId,
    },
    /// Shows or hides "typing…".
    Typing {
        /// The chat.
        chat: ChatId,
        /// Start or stop.
        on: bool,
    },
    /// Sets or removes the account's reaction.
    React {
        /// The message.
        message: String,
        /// An emoji; empty removes the reaction.
        reaction: String,
    },
    /// Stars a message, or takes the star away.
    Star {
        /// The message.
        message: String,
        /// Set or remove.
        on: bool,
    },
    /// Replaces the text of an own message.
    Edit {
        /// The message.
        message: String,
        /// The new text.
        text: String,
    },
    /// Takes an own message back, for everybody.
    Revoke {
        /// The message.
        message: String,
    },
    /// Pins a message in its chat.
    Pin {
        /// The message.
        message: String,
        /// For so many seconds: a day, a week or 30 days.
        seconds: u32,
    },
    /// Unpins it.
    Unpin {
        /// The message.
        message: String,
    },
    /// Votes in a poll; the whole choice, which replaces an earlier one.
    Vote {
        /// The poll.
        message: String,
        /// What is chosen, in the poll's own words.
        options: Vec<String>,
    },
    /// Puts a chat away, or brings it back.
    Archive {
        /// The chat.
        chat: ChatId,
        /// Away or back.
        on: bool,
    },
    /// Marks a chat as unread.
    Unread {
        /// The chat.
        chat: ChatId,
    },
    /// Removes a chat's messages on the account's devices.
    Clear {
        /// The chat.
        chat: ChatId,
    },
    /// Removes a chat on the account's devices.
    Delete {
        /// The chat.
        chat: ChatId,
    },
    /// Shows "recording…".
    Recording {
        /// The chat.
        chat: ChatId,
    },
    /// Shows the account as online, or not.
    Available {
        /// Online or not.
        on: bool,
    },
    /// Lets nothing of somebody through any more, or again.
    Block {
        /// Who.
        contact: ChatId,
        /// Block or unblock.
        on: bool,
    },
    /// Writes somebody into the account's address book.
    Save {
        /// Who.
        contact: ChatId,
        /// First name.
        first: String,
        /// Last name.
        last: String,
    },
    /// Changes the account's name.
    Name {
        /// The new one.
        name: String,
    },
    /// Changes what the account says of itself.
    About {
        /// The new text.
        text: String,
    },
    /// Sets or removes the picture of the account or of a group.
    Picture {
        /// The group; `None` means the account.
        group: Option<ChatId>,
        /// The picture; `None` removes the one that is there.
        image: Option<Image>,
    },
    /// Refuses a call.
    RejectCall {
        /// The call.
        call: String,
    },
    /// Changes who is in a group, or what they may do.
    Members {
        /// The group.
        group: ChatId,
        /// What happens to them.
        change: Membership,
        /// To whom.
        people: Vec<ChatId>,
    },
    /// Leaves a group.
    Leave {
        /// The group.
        group: ChatId,
    },
    /// Changes a group's name.
    Subject {
        /// The group.
        group: ChatId,
        /// The new name.
        text: String,
    },
    /// Changes what a group is for.
    Description {
        /// The group.
        group: ChatId,
        /// The new text.
        text: String,
    },
    /// Only admins write, or all.
    Announce {
        /// The group.
        group: ChatId,
        /// Admins only.
        on: bool,
    },
    /// Only admins change the group's name, text and picture, or all.
    Restrict {
        /// The group.
        group: ChatId,
        /// Admins only.
        on: bool,
    },
    /// Changes a label.
    EditLabel {
        /// The label.
        label: String,
        /// Its new name.
        name: String,
        /// Its new place in the palette.
        color: u8,
    },
    /// Removes a label, from all chats too.
    DeleteLabel {
        /// The label.
        label: String,
    },
    /// Gives a chat these labels and no others.
    Label {
        /// The chat.
        chat: ChatId,
        /// All that it shall have.
        labels: Vec<String>,
    },
    /// Follows a channel, or does not any more.
    Follow {
        /// The channel.
        channel: ChatId,
        /// Follow or leave.
        on: bool,
    },
    /// Has the account's devices keep quiet about a channel, or not any more.
    Mute {
        /// The channel.
        channel: ChatId,
        /// Quiet or not.
        on: bool,
    },
    /// Ends an own channel.
    DeleteChannel {
        /// The channel.
        channel: ChatId,
    },
}

/// A picture.
#[derive(Clone, PartialEq, Serialize)]
pub struct Image {
    /// `image/jpeg` and the like.
    pub mimetype: &'static str,
    /// Its bytes in base64.
    pub data: String,
}

/// What happens to members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// They come in.
    Add,
    /// They go.
    Remove,
    /// They become admins.
    Promote,
    /// They are admins no more.
    Demote,
}

impl std::fmt::Debug for Action {
    /// Never texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Seen { .. } => "Seen",
            Self::Typing { .. } => "Typing",
            Self::React { .. } => "React",
            Self::Star { .. } => "Star",
            Self::Edit { .. } => "Edit",
            Self::Revoke { .. } => "Revoke",
            Self::Pin { .. } => "Pin",
            Self::Unpin { .. } => "Unpin",
            Self::Vote { .. } => "Vote",
            Self::Archive { .. } => "Archive",
            Self::Unread { .. } => "Unread",
            Self::Clear { .. } => "Clear",
            Self::Delete { .. } => "Delete",
            Self::Recording { .. } => "Recording",
            Self::Available { .. } => "Available",
            Self::Block { .. } => "Block",
            Self::Save { .. } => "Save",
            Self::Name { .. } => "Name",
            Self::About { .. } => "About",
            Self::Picture { .. } => "Picture",
            Self::RejectCall { .. } => "RejectCall",
            Self::Members { .. } => "Members",
            Self::Leave { .. } => "Leave",
            Self::Subject { .. } => "Subject",
            Self::Description { .. } => "Description",
            Self::Announce { .. } => "Announce",
            Self::Restrict { .. } => "Restrict",
            Self::EditLabel { .. } => "EditLabel",
            Self::DeleteLabel { .. } => "DeleteLabel",
            Self::Label { .. } => "Label",
            Self::Follow { .. } => "Follow",
            Self::Mute { .. } => "Mute",
            Self::DeleteChannel { .. } => "DeleteChannel",
        })
    }
}
