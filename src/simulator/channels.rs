//! Channels of the fake network: whose they are, and who follows them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Digits of who made it.
    pub owner: String,
    /// With this others find it.
    pub invite: String,
    /// Unix seconds.
    pub created: i64,
    /// Digits of those who follow it.
    pub followers: BTreeSet<String>,
}

/// What somebody does with a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum ChannelChange {
    /// It is made.
    Made {
        /// Its name.
        name: String,
        /// What it is about.
        description: String,
        /// With this others find it.
        #[serde(default)]
        invite: String,
    },
    /// Somebody follows it, or does not any more.
    Follow {
        /// Follow or leave.
        on: bool,
    },
    /// It ends.
    Ended,
}

impl Channel {
    /// What somebody is in it, in the page's words.
    #[must_use]
    pub fn role(&self, number: &str) -> &'static str {
        match () {
            () if self.owner == number => "owner",
            () if self.followers.contains(number) => "subscriber",
            () => "guest",
        }
    }

    /// Whether somebody may do that. The network refuses everybody else.
    #[must_use]
    pub fn allows(&self, by: &str, change: &ChannelChange) -> bool {
        match change {
            ChannelChange::Made { .. } => false,
            ChannelChange::Follow { .. } => self.owner != by,
            ChannelChange::Ended => self.owner == by,
        }
    }

    /// As a page of somebody's sees it.
    #[must_use]
    pub fn shape(&self, id: &str, number: &str) -> Value {
        json!({
            "id": id, "name": self.name, "description": self.description, "inviteCode": self.invite,
            "creationTime": self.created, "membershipType": self.role(number), "size": self.followers.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_ends_a_channel_and_everybody_else_may_follow_it() {
        let channel = Channel {
            name: "News".into(),
            description: String::new(),
            owner: "1".into(),
            invite: "code".into(),
            created: 5,
            followers: BTreeSet::from(["2".to_owned()]),
        };
        assert_eq!(["1", "2", "3"].map(|number| channel.role(number)), ["owner", "subscriber", "guest"]);
        assert!(channel.allows("1", &ChannelChange::Ended) && !channel.allows("2", &ChannelChange::Ended));
        assert!(!channel.allows("1", &ChannelChange::Follow { on: true }));
        assert!(channel.allows("3", &ChannelChange::Follow { on: true }));
    }
}
