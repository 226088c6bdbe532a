//! Groups of the fake network: who is in them, what they say of themselves, and who may change that.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Write, unless only admins may.
    Participant,
    /// Change the group.
    Admin,
    /// Made it.
    Superadmin,
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub subject: String,
    /// What it is for.
    pub description: String,
    /// Hash of its picture, empty when it was removed.
    pub picture: Option<String>,
    /// Digits of who made it.
    pub owner: String,
    /// Unix seconds.
    pub created: i64,
    /// Only admins write.
    pub announce: bool,
    /// Only admins change what it says of itself.
    pub restrict: bool,
    /// With this others can join.
    pub invite: String,
    /// By number.
    pub members: BTreeMap<String, Role>,
}

/// What somebody does to a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum GroupChange {
    /// It is made.
    Made {
        /// Its name.
        subject: String,
        /// Digits of whom it begins with, beside who makes it.
        people: Vec<String>,
        /// With this others can join.
        invite: String,
    },
    /// People come in.
    Add {
        /// Digits.
        people: Vec<String>,
    },
    /// Somebody comes in by the invite.
    Join {
        /// It.
        invite: String,
    },
    /// People go, by themselves or sent away.
    Remove {
        /// Digits.
        people: Vec<String>,
    },
    /// Members become admins.
    Promote {
        /// Digits.
        people: Vec<String>,
    },
    /// Admins become plain members.
    Demote {
        /// Digits.
        people: Vec<String>,
    },
    /// Another name.
    Subject {
        /// It.
        text: String,
    },
    /// Another description.
    Description {
        /// It.
        text: String,
    },
    /// Another picture, or none.
    Picture {
        /// Its hash, or empty.
        picture: String,
    },
    /// Only admins write, or all.
    Announce {
        /// Admins only.
        on: bool,
    },
    /// Only admins change the group, or all.
    Restrict {
        /// Admins only.
        on: bool,
    },
    /// Another invite.
    Invite {
        /// It.
        invite: String,
    },
}

impl GroupChange {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Made { .. } => "made",
            Self::Add { .. } => "add",
            Self::Join { .. } => "join",
            Self::Remove { .. } => "remove",
            Self::Promote { .. } => "promote",
            Self::Demote { .. } => "demote",
            Self::Subject { .. } => "subject",
            Self::Description { .. } => "description",
            Self::Picture { .. } => "picture",
            Self::Announce { .. } => "announce",
            Self::Restrict { .. } => "restrict",
            Self::Invite { .. } => "invite",
        }
    }

    /// Digits of those to whom it happens.
    #[must_use]
    pub fn people(&self) -> &[String] {
        match self {
            Self::Made { people, .. }
            | Self::Add { people }
            | Self::Remove { people }
            | Self::Promote { people }
            | Self::Demote { people } => people,
            _ => &[],
        }
    }

    /// The same, to be written as digits where a page wrote addresses.
    pub fn people_mut(&mut self) -> &mut [String] {
        match self {
            Self::Made { people, .. }
            | Self::Add { people }
            | Self::Remove { people }
            | Self::Promote { people }
            | Self::Demote { people } => people,
            _ => &mut [],
        }
    }
}

impl Group {
    /// A group as it is made.
    #[must_use]
    pub fn made(by: &str, at: i64, subject: &str, people: &[String], invite: &str) -> Self {
        let mut members: BTreeMap<_, _> = people.iter().map(|one| (one.clone(), Role::Participant)).collect();
        members.insert(by.to_owned(), Role::Superadmin);
        Self {
            subject: subject.to_owned(),
            description: String::new(),
            picture: None,
            owner: by.to_owned(),
            created: at,
            announce: false,
            restrict: false,
            invite: invite.to_owned(),
            members,
        }
    }

    /// Whether somebody may do that. The network refuses everybody else.
    #[must_use]
    pub fn allows(&self, by: &str, change: &GroupChange) -> bool {
        let admin = self.is_admin(by);
        match change {
            GroupChange::Made { .. } => false,
            GroupChange::Join { invite } => *invite == self.invite,
            GroupChange::Remove { people } => admin || people.iter().all(|one| one == by),
            GroupChange::Subject { .. } | GroupChange::Description { .. } | GroupChange::Picture { .. } => {
                admin || (!self.restrict && self.members.contains_key(by))
            }
            GroupChange::Add { .. }
            | GroupChange::Promote { .. }
            | GroupChange::Demote { .. }
            | GroupChange::Announce { .. }
            | GroupChange::Restrict { .. }
            | GroupChange::Invite { .. } => admin,
        }
    }

    /// Whether somebody may change it.
    #[must_use]
    pub fn is_admin(&self, number: &str) -> bool {
        self.members.get(number).is_some_and(|role| *role != Role::Participant)
    }

    /// Whether somebody may write into it.
    #[must_use]
    pub fn hears(&self, number: &str) -> bool {
        self.members.contains_key(number) && (!self.announce || self.is_admin(number))
    }

    /// What follows from a change.
    pub fn apply(&mut self, by: &str, change: &GroupChange) {
        match change {
            GroupChange::Made { .. } => {}
            GroupChange::Add { people } => {
                for one in people {
                    self.members.entry(one.clone()).or_insert(Role::Participant);
                }
            }
            GroupChange::Join { .. } => {
                self.members.entry(by.to_owned()).or_insert(Role::Participant);
            }
            GroupChange::Remove { people } => self.members.retain(|number, _| !people.contains(number)),
            GroupChange::Promote { people } => self.set(people, Role::Admin),
            GroupChange::Demote { people } => self.set(people, Role::Participant),
            GroupChange::Subject { text } => self.subject.clone_from(text),
            GroupChange::Description { text } => self.description.clone_from(text),
            GroupChange::Picture { picture } => self.picture = Some(picture.clone()),
            GroupChange::Announce { on } => self.announce = *on,
            GroupChange::Restrict { on } => self.restrict = *on,
            GroupChange::Invite { invite } => self.invite.clone_from(invite),
        }
    }

    fn set(&mut self, people: &[String], role: Role) {
        // Who made it stays what they are.
        let members =
            self.members.iter_mut().filter(|(number, is)| people.contains(number) && **is != Role::Superadmin);
        members.for_each(|(_, is)| *is = role);
    }

    /// As a page sees it; `face` gives a number's address.
    #[must_use]
    pub fn shape(&self, id: &str, face: impl Fn(&str) -> String) -> Value {
        let members = self.members.iter().map(|(number, role)| json!({"id": face(number), "role": role}));
        json!({
            "id": id, "subject": self.subject, "description": self.description, "owner": face(&self.owner),
            "created": self.created, "announce": self.announce, "restrict": self.restrict,
            "members": members.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group::made("1", 5, "Work", &["2".into(), "3".into()], "code")
    }

    #[test]
    fn only_admins_change_who_is_in_it() {
        let mut group = group();
        let add = GroupChange::Add { people: vec!["4".into()] };
        assert!(group.allows("1", &add) && !group.allows("2", &add));
        group.apply("1", &GroupChange::Promote { people: vec!["2".into()] });
        assert!(group.allows("2", &add));
        assert!(group.allows("3", &GroupChange::Remove { people: vec!["3".into()] }), "anybody may go");
        assert!(!group.allows("3", &GroupChange::Remove { people: vec!["2".into()] }));
        group.apply("2", &GroupChange::Demote { people: vec!["1".into()] });
        assert_eq!(group.members["1"], Role::Superadmin);
        assert!(group.allows("9", &GroupChange::Join { invite: "code".into() }));
        assert!(!group.allows("9", &GroupChange::Join { invite: "old".into() }));
    }

    #[test]
    fn a_group_of_announcements_hears_admins_only() {
        let mut group = group();
        assert!(group.hears("2") && !group.hears("4"));
        group.apply("1", &GroupChange::Announce { on: true });
        assert!(group.hears("1") && !group.hears("2"));
        group.apply("1", &GroupChange::Restrict { on: true });
        assert!(!group.allows("2", &GroupChange::Subject { text: "x".into() }));
    }
}
