//! Which chats a session does not listen to.

use super::chat::ChatId;
use serde::Deserialize;
use serde_json::Value;

/// `ignore` of a session's config: of such chats nothing is heard or stored. Writing to them stays possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ignored {
    /// Status updates.
    pub status: bool,
    /// Groups.
    pub groups: bool,
    /// Channels.
    pub channels: bool,
    /// Broadcast lists, which status updates are not.
    pub broadcast: bool,
}

impl Ignored {
    /// What a session's config says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_config(config: &Value) -> Result<Self, String> {
        match config.get("ignore") {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(ignore) => Self::deserialize(ignore).map_err(|_| {
                "config.ignore has `status`, `groups`, `channels` and `broadcast`, each true or false".to_owned()
            }),
        }
    }

    /// Whether nothing of this chat is to be heard.
    #[must_use]
    pub fn covers(self, chat: &str) -> bool {
        match chat.split_once('@').unwrap_or_default().1 {
            "g.us" => self.groups,
            "newsletter" => self.channels,
            "broadcast" => {
                if chat == ChatId::STATUS {
                    self.status
                } else {
                    self.broadcast
                }
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_names_kinds_of_chats() {
        let chats = ["1@c.us", "1@lid", "1@g.us", "1@newsletter", "1@broadcast", ChatId::STATUS];
        let covered = |ignore: Value| {
            let ignored = Ignored::of_config(&json!({"ignore": ignore})).unwrap();
            chats.into_iter().filter(|chat| ignored.covers(chat)).collect::<Vec<_>>()
        };
        assert!(covered(Value::Null).is_empty() && covered(json!({"groups": false})).is_empty());
        assert_eq!(covered(json!({"groups": true, "channels": true})), ["1@g.us", "1@newsletter"]);
        assert_eq!(covered(json!({"status": true})), [ChatId::STATUS]);
        assert_eq!(covered(json!({"broadcast": true})), ["1@broadcast"]);
        assert!(Ignored::of_config(&json!({"ignore": {"groups": "yes"}})).is_err());
    }
}
