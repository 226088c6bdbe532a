//! Counts nonces, not ids: at the phones, in the API, and at a webhook's receiver. What the simulated
//! phones suppressed as a repeat is counted too.

use crate::house::House;
use crate::receiver::Receiver;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

/// A session under traffic.
#[derive(Clone, Debug)]
pub struct Player {
    /// Its API key.
    pub key: String,
    /// Its name.
    pub session: String,
    /// Digits of its account.
    pub number: String,
    /// Digits of the phone that it talks with.
    pub other: String,
}

/// What became of an attempt to send, as far as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was accepted: it has to arrive exactly once.
    Accepted,
    /// Nobody answered: it may arrive once.
    Unknown,
}

/// What was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Place in the list of players.
    pub player: usize,
    /// Unique text.
    pub nonce: String,
    /// From a phone to the session, else from the API to the phone.
    pub inbound: bool,
    /// What its sender was told.
    pub fate: Fate,
}

/// What the referee found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Accepted messages that were counted.
    pub counted: usize,
    /// Accepted and not there.
    pub lost: Vec<String>,
    /// There more than once.
    pub doubled: Vec<String>,
    /// Messages of which the webhook was not told, or as if they were several.
    pub webhooks: Vec<String>,
    /// Repeats that phones have suppressed: sent again under its id, because the network's answer was lost with a killed page.
    pub suppressed: usize,
}

impl Verdict {
    /// Nothing is lost, nothing is doubled. What phones suppressed is told and not held against anybody: nobody sees it twice.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.webhooks.is_empty()
    }

    /// Ends the run unless it is clean.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let few = |all: &[String]| all.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        write!(
            f,
            "{} accepted messages: {} lost [{}], {} doubled [{}], {} wrong at the webhooks [{}], {} repeats suppressed",
            self.counted,
            self.lost.len(),
            few(&self.lost),
            self.doubled.len(),
            few(&self.doubled),
            self.webhooks.len(),
            few(&self.webhooks),
            self.suppressed
        )
    }
}

/// Counts, once everything has arrived or `patience` is over.
pub async fn judge(house: &House, players: &[Player], sent: &[Sent], patience: Duration) -> Verdict {
    let begun = Instant::now();
    loop {
        let verdict = count(house, players, sent).await;
        let complete = verdict.lost.is_empty() && verdict.webhooks.is_empty();
        if complete || begun.elapsed() > patience {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Texts with how often each is there, and their ids.
type Counts = HashMap<String, Vec<String>>;

fn tally(counts: &mut Counts, text: &Value, id: &Value) {
    if let (Some(text), Some(id)) = (text.as_str(), id.as_str()) {
        counts.entry(text.to_owned()).or_default().push(id.to_owned());
    }
}

async fn count(house: &House, players: &[Player], sent: &[Sent]) -> Verdict {
    let mut verdict = Verdict::default();
    let told = house.receiver.as_ref().map(Receiver::told);
    for (place, player) in players.iter().enumerate() {
        let (mut api, mut phone) = (Counts::new(), Counts::new());
        for message in house.all_messages_as(&player.key, &player.session, &format!("{}@c.us", player.other)).await {
            tally(&mut api, &message["body"], &message["id"]);
        }
        for message in house.network.messages(&player.other).await {
            if message["from"].as_str().is_some_and(|from| from.starts_with(&player.number)) {
                tally(&mut phone, &message["text"], &message["id"]);
            }
        }
        for one in sent.iter().filter(|one| one.player == place) {
            // A message out is counted where it arrives and where it is recorded, one in where it is recorded.
            let ends = if one.inbound { vec![&api] } else { vec![&phone, &api] };
            let seen: Vec<_> = ends.iter().map(|end| end.get(&one.nonce).map_or(0, Vec::len)).collect();
            verdict.counted += usize::from(one.fate == Fate::Accepted);
            if one.fate == Fate::Accepted && seen.contains(&0) {
                verdict.lost.push(format!("{} {}", player.session, one.nonce));
            }
            if seen.iter().any(|count| *count > 1) {
                verdict.doubled.push(format!("{} {}", player.session, one.nonce));
            }
            let ids = api.get(&one.nonce).map(Vec::as_slice).unwrap_or_default();
            // A webhook may be told twice of the same event, but of each message there is one event.
            let events = |id| told.as_ref().and_then(|told| told.get(id)).map_or(0, HashSet::len);
            if told.is_some() && ids.iter().any(|id| events(id) != 1) {
                verdict.webhooks.push(format!("{} {}", player.session, one.nonce));
            }
        }
    }
    verdict.suppressed = house.network.ask("GET", "/api/repeats", None).await.ok().as_array().map_or(0, Vec::len);
    verdict
}
