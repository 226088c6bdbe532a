//! When the files of messages are brought into the store.

use serde::Deserialize;
use serde_json::Value;

/// `media` of a session's config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Fetching {
    /// When; the server's default, if it is not said.
    pub fetch: Option<When>,
    /// Which are fetched at once: `image`, `audio/ogg`, …; empty = all.
    pub mimetypes: Vec<String>,
}

/// When a file is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// As soon as its message is there.
    AtOnce,
    /// When somebody asks for it.
    Lazily,
}

impl Fetching {
    /// What a session's config says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_config(config: &Value) -> Result<Self, String> {
        match config.get("media") {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(media) => Self::deserialize(media).map_err(|_| {
                "config.media has `fetch` (\"at_once\" or \"lazily\") and `mimetypes` (a list)".to_owned()
            }),
        }
    }

    /// Whether a file of this kind is fetched at once.
    #[must_use]
    pub fn at_once(&self, mimetype: &str, default: When) -> bool {
        let kind = mimetype.split(';').next().unwrap_or_default().trim();
        let is = |wanted: &String| kind == wanted || kind.split('/').next() == Some(wanted.as_str());
        self.fetch.unwrap_or(default) == When::AtOnce && (self.mimetypes.is_empty() || self.mimetypes.iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_says_what_is_fetched_and_when() {
        let of = |config: Value| Fetching::of_config(&config).unwrap();
        assert!(of(json!({})).at_once("image/png", When::AtOnce));
        assert!(!of(json!({"media": null})).at_once("image/png", When::Lazily));
        let some = of(json!({"media": {"fetch": "at_once", "mimetypes": ["audio", "image/png"]}}));
        assert!(some.at_once("audio/ogg; codecs=opus", When::Lazily) && some.at_once("image/png", When::Lazily));
        assert!(!some.at_once("image/jpeg", When::Lazily));
        assert!(Fetching::of_config(&json!({"media": {"fetch": "soon"}})).is_err());
    }
}
