//! Whom a session's events are told: WAHA's `config.webhooks`.

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// Names a webhook of a session by its URL, so that what waits for it stays with it when others are added or removed. Only among
/// webhooks of one URL the place counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(u64);

impl HookId {
    /// The `place`-th webhook of this URL. 64-bit FNV-1a, because the id is stored and must not change between releases.
    fn of(url: &str, place: usize) -> Self {
        let bytes = url.bytes().chain(u64::try_from(place).unwrap_or(u64::MAX).to_be_bytes());
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for HookId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// One webhook.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// Where events are posted to.
    pub url: String,
    /// Names of events; `*` = all, and so does no list. Unknown names are no error, as in WAHA.
    pub events: Option<Vec<String>>,
    /// Signs what is posted.
    pub hmac: Option<Hmac>,
    /// When an answer is not 2xx.
    #[serde(default, deserialize_with = "or_default")]
    pub retries: Retries,
    /// Sent along.
    #[serde(default, deserialize_with = "or_default")]
    pub custom_headers: Vec<Header>,
    /// It is the operator's, for all sessions: users are not shown where it leads.
    #[serde(skip)]
    pub global: bool,
}

impl Hook {
    fn wants(&self, name: &str) -> bool {
        let listed = |events: &Vec<String>| events.iter().any(|wanted| wanted == name || wanted == "*");
        self.events.as_ref().is_none_or(listed)
    }
}

/// `null` means the same as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// WAHA's `hmac`.
#[derive(Clone, Deserialize)]
pub struct Hmac {
    /// The secret; none = not signed.
    pub key: Option<String>,
}

/// One of WAHA's `customHeaders`.
#[derive(Clone, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// How delays between tries grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Growth {
    /// 2, 2, 2, 2
    #[default]
    Constant,
    /// 2, 4, 6, 8
    Linear,
    /// 2, 4, 8, 16, each up to a fifth longer or shorter
    Exponential,
}

/// WAHA's `retries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// How delays grow.
    pub policy: Growth,
    /// The first delay, in seconds.
    pub delay_seconds: u32,
    /// Tries after the first.
    pub attempts: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { policy: Growth::Constant, delay_seconds: 2, attempts: 15 }
    }
}

/// No try waits longer.
const LONGEST_MS: u64 = 3600 * 1000;

impl Retries {
    /// Milliseconds before try number `failed` + 1, after `failed` tries that were answered badly; `None` when it is given up.
    /// `chance` is between 0 and 1.
    #[must_use]
    pub fn delay_ms(&self, failed: u32, chance: f64) -> Option<u64> {
        if failed > self.attempts {
            return None;
        }
        let first = u64::from(self.delay_seconds) * 1000;
        let delay = match self.policy {
            Growth::Constant => first,
            Growth::Linear => first.saturating_mul(u64::from(failed)),
            Growth::Exponential => {
                let plain = first.saturating_mul(1 << failed.saturating_sub(1).min(20)).min(LONGEST_MS);
                // A fifth of an hour in milliseconds is far below what a double counts exactly.
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let jittered = (plain as f64 * (0.8 + 0.4 * chance)) as u64;
                jittered
            }
        };
        Some(delay.min(LONGEST_MS))
    }
}

/// The webhooks of a session.
#[derive(Clone, Default)]
pub struct Hooks(Vec<(HookId, Hook)>);

impl Hooks {
    /// Those of a session's config.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_config(config: &serde_json::Value) -> Result<Self, String> {
        let listed = config.get("webhooks").cloned().unwrap_or_default();
        let listed: Option<Vec<Hook>> =
            serde_json::from_value(listed).map_err(|error| format!("config.webhooks: {error}"))?;
        let mut hooks = Self::default();
        for hook in listed.unwrap_or_default() {
            hooks.add(hook);
        }
        Ok(hooks)
    }

    /// One more.
    pub fn add(&mut self, hook: Hook) {
        let place = self.0.iter().filter(|(_, other)| other.url == hook.url).count();
        self.0.push((HookId::of(&hook.url, place), hook));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(HookId, Hook)> {
        self.0.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: HookId) -> Option<&Hook> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, hook)| hook)
    }

    /// Who wants to be told of an event, under which of its names.
    #[must_use]
    pub fn told(&self, names: &[&'static str]) -> Vec<(HookId, &'static str)> {
        let told = |(id, hook): &(HookId, Hook)| {
            names.iter().filter(|name| hook.wants(name)).map(|name| (*id, *name)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_is_read_as_waha_clients_write_it() {
        let config = json!({"webhooks": [
            {"url": "http://n8n:5678/hook", "events": ["message", "unheard.of"], "hmac": null, "retries": null, "customHeaders": null},
            {"url": "http://n8n:5678/hook", "events": ["*"], "hmac": {"key": "secret"},
             "retries": {"policy": "exponential", "delaySeconds": 3, "attempts": 4},
             "customHeaders": [{"name": "X-My-Custom-Header", "value": "Value"}]},
        ]});
        let hooks = Hooks::of_config(&config).unwrap();
        let [(first, plain), (second, full)] = hooks.0.as_slice() else { panic!("two webhooks") };
        assert_ne!(first, second, "the same URL twice is two webhooks");
        assert_eq!((plain.retries, full.retries.attempts), (Retries::default(), 4));
        assert_eq!(first.to_string().parse::<HookId>().unwrap(), *first);
        assert_eq!(first.to_string(), "29f75eb767dea61d", "ids are stored: they must not change");
        assert!(Hooks::of_config(&json!({"webhooks": null})).unwrap().0.is_empty());
        for bad in [json!({"webhooks": [{}]}), json!({"webhooks": 7}), json!({"webhooks": [{"url": "x", "events": 7}]})]
        {
            assert!(Hooks::of_config(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn delays_grow_as_their_policy_says() {
        let of = |policy| {
            let retries = Retries { policy, delay_seconds: 2, attempts: 4 };
            (1..=5).map(|failed| retries.delay_ms(failed, 0.5)).collect::<Vec<_>>()
        };
        let some = |all: [u64; 4]| all.map(Some).into_iter().chain([None]).collect::<Vec<_>>();
        assert_eq!(of(Growth::Constant), some([2000, 2000, 2000, 2000]));
        assert_eq!(of(Growth::Linear), some([2000, 4000, 6000, 8000]));
        assert_eq!(of(Growth::Exponential), some([2000, 4000, 8000, 16_000]));
        let eager = Retries { policy: Growth::Exponential, delay_seconds: u32::MAX, attempts: u32::MAX };
        assert_eq!(eager.delay_ms(u32::MAX, 1.0), Some(LONGEST_MS));
    }
}
