//! Phones that act by themselves: who says what when, and what they answer. With it a bot is tested from end to end.

use super::hub::{Hub, unix_now};
use super::network::{Change, Letter, STATUS, is_group};
use super::server::new_id;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Longest wait of a step or an answer, in milliseconds: a day.
const LONGEST_MS: u64 = 86_400_000;

/// A script, as its TOML file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Phones that are there from the beginning.
    #[serde(default)]
    phone: Vec<Phone>,
    /// What they say by themselves, one after the other.
    #[serde(default)]
    say: Vec<Say>,
    /// What they answer.
    #[serde(default)]
    answer: Vec<Answer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phone {
    number: String,
    #[serde(default)]
    name: Option<String>,
    /// Its messages arrive from its hidden id.
    #[serde(default)]
    lid: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    /// After the step before it; the first waits until the receiver is linked, too.
    #[serde(default)]
    after_ms: u64,
    from: String,
    to: String,
    text: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// Which phone answers.
    phone: String,
    /// To texts that have this in them, in whatever case; to all where nothing is said.
    #[serde(default)]
    contains: String,
    /// `{text}` stands for what was said.
    text: String,
    #[serde(default)]
    after_ms: u64,
}

impl Script {
    /// Reads a script and looks whether it can be played.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let script: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let known = |number: &String| script.phone.iter().any(|phone| phone.number == *number);
        for phone in &script.phone {
            let digits = phone.number.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || !(5..=15).contains(&phone.number.len()) {
                return Err(format!("phone {}: a number has 5 to 15 digits", phone.number));
            }
        }
        let speakers = script.say.iter().map(|say| &say.from).chain(script.answer.iter().map(|answer| &answer.phone));
        if let Some(stranger) = speakers.into_iter().find(|number| !known(number)) {
            return Err(format!("{stranger} speaks, and is none of the phones"));
        }
        let waits = script.say.iter().map(|say| say.after_ms).chain(script.answer.iter().map(|one| one.after_ms));
        if waits.into_iter().any(|wait| wait > LONGEST_MS) {
            return Err(format!("after_ms is at most {LONGEST_MS}"));
        }
        Ok(script)
    }

    /// What a phone answers to a text; the first rule that fits.
    fn answer_of(&self, phone: &str, text: &str) -> Option<(Duration, String)> {
        let said = text.to_lowercase();
        let fits = |one: &&Answer| one.phone == phone && said.contains(&one.contains.to_lowercase());
        let answer = self.answer.iter().find(fits)?;
        Some((Duration::from_millis(answer.after_ms), answer.text.replace("{text}", text)))
    }

    /// What follows from a message that a linked page sent. Phones do not answer phones: two rules could talk for ever. Nor do
    /// they answer status updates.
    pub(super) fn answers(&self, letter: &Letter, receivers: &[String]) -> Vec<(Duration, Letter)> {
        if letter.device.is_none() || letter.kind != "chat" || letter.to == STATUS {
            return vec![];
        }
        let to = |phone: &String| if letter.to == *phone { letter.from.clone() } else { letter.to.clone() };
        let answer = |phone: &String| {
            let (after, text) = self.answer_of(phone, &letter.text)?;
            Some((after, said(phone, &to(phone), text)))
        };
        receivers.iter().filter_map(answer).collect()
    }

    /// Makes the phones.
    pub(super) fn set_up(&self, hub: &Hub) {
        let mut state = hub.lock();
        for Phone { number, name, lid } in &self.phone {
            if !state.network.phones.contains_key(number) {
                let name = name.clone().unwrap_or_else(|| number.clone());
                state.apply(&Change::PhoneAdded { number: number.clone(), name, hidden: *lid });
            }
        }
    }

    /// Says what there is to be said.
    pub(super) async fn play(self, hub: Hub) {
        for Say { after_ms, from, to, text } in self.say {
            let is_linked = || {
                let state = hub.lock();
                // Groups and the script's own phones are always there.
                let there = is_group(&to) || self.phone.iter().any(|phone| phone.number == to);
                there || state.network.number_of(&to).is_some_and(|number| !state.online(&[number]).is_empty())
            };
            while !is_linked() {
                actix_web::rt::time::sleep(Duration::from_millis(100)).await;
            }
            actix_web::rt::time::sleep(Duration::from_millis(after_ms)).await;
            let mut state = hub.lock();
            match state.network.receiver(&from, &to) {
                Some(to) => drop(state.send(said(&from, &to, text))),
                None => tracing::warn!(from, to, "the script's phone does not reach this"),
            }
        }
    }
}

fn said(from: &str, to: &str, text: String) -> Letter {
    let (kind, data) = ("chat".to_owned(), Value::Null);
    Letter { id: new_id(), from: from.to_owned(), to: to.to_owned(), kind, text, data, at: unix_now(), device: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"
        [[phone]]
        number = "491700002"
        [[answer]]
        phone = "491700002"
        contains = "Price"
        text = "You said: {text}"
        after_ms = 50
        [[answer]]
        phone = "491700002"
        text = "What?"
    "#;

    fn letter(text: &str, device: Option<&str>) -> Letter {
        Letter { device: device.map(str::to_owned), ..said("1", "491700002", text.to_owned()) }
    }

    #[test]
    fn the_first_rule_that_fits_answers_pages_and_nobody_else() {
        let script = Script::read(SCRIPT).unwrap();
        let to = ["491700002".to_owned()];
        let answers = |letter: &Letter| script.answers(letter, &to);
        let found = answers(&letter("the price?", Some("1:1")));
        assert_eq!((found[0].0, found[0].1.text.as_str()), (Duration::from_millis(50), "You said: the price?"));
        assert_eq!((found[0].1.from.as_str(), found[0].1.to.as_str()), ("491700002", "1"));
        assert_eq!(answers(&letter("hello", Some("1:1")))[0].1.text, "What?");
        assert!(answers(&letter("the price?", None)).is_empty());
        assert!(script.answers(&letter("x", Some("1:1")), &["5".to_owned()]).is_empty());
    }

    #[test]
    fn a_script_that_cannot_be_played_is_refused_with_a_sentence() {
        for (text, sentence) in [
            ("[[phone]]\nnumber = \"12\"", "5 to 15 digits"),
            ("[[say]]\nfrom = \"491700002\"\nto = \"1\"\ntext = \"x\"", "none of the phones"),
            ("[[phone]]\nnumber = \"491700002\"\ncolour = 1", "unknown field"),
        ] {
            let error = Script::read(text).unwrap_err();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
