//! kill -9 of the server at chosen moments, under traffic: after each restart every linked session is WORKING without a scan, no
//! browser is left over, and at the end the referee finds nothing.

use super::{link, link_one};
use crate::house::{House, KEY, until};
use crate::referee::{Player, Sent, Verdict, judge};
use crate::report::progress;
use crate::traffic::{Plan, Traffic};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::time::{Duration, Instant};

/// A stretch of a message's or a login's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A phone has scanned; the server is taking it in.
    Linking,
    /// Linked a moment ago.
    JustLinked,
    /// A login is being copied.
    Snapshot,
    /// A message is on its way from the page into the journal.
    PageToCommit,
    /// A message is in the journal; its agent has not answered.
    CommitToAgent,
    /// A text was accepted; the page does not have it.
    OutboxToPage,
    /// The page has sent a text; the outbox does not know.
    PageToMark,
    /// The server is starting.
    Boot,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Linking,
        Self::JustLinked,
        Self::Snapshot,
        Self::PageToCommit,
        Self::CommitToAgent,
        Self::OutboxToPage,
        Self::PageToMark,
        Self::Boot,
    ];

    /// The named moments of this phase.
    fn moments(self) -> &'static [&'static str] {
        match self {
            Self::Linking => &["driver.leased", "link.seen", "link.copied", "link.stored"],
            Self::JustLinked => &[],
            Self::Snapshot => &["snapshot.staged", "snapshot.written", "snapshot.swapped"],
            Self::PageToCommit => &["page.taken", "journal.commit"],
            Self::CommitToAgent => &["journal.committed", "agent.commit"],
            Self::OutboxToPage => &["outbox.committed", "outbox.to_page"],
            Self::PageToMark => &["page.sent", "outbox.to_mark"],
            Self::Boot => &["boot.adopted", "boot.restored"],
        }
    }
}

/// A house that is killed again and again.
pub struct Kills {
    house: House,
    players: Vec<Player>,
    sent: Vec<Sent>,
    rng: StdRng,
    /// Kills so far.
    pub done: usize,
    /// Sessions that the phone had taken in and the server had not, so that their phone had to scan again.
    pub scanned_again: usize,
}

impl Kills {
    /// Two linked sessions. The same seed draws the same moments.
    pub async fn begin(seed: u64) -> Self {
        let settings = [
            ("WARDROOM__QUOTAS__USER__SESSIONS", "1000"),
            ("WARDROOM__POOL__WARM_SPARES", "0"),
            ("WARDROOM__BROWSER__SNAPSHOT_EVERY_S", "5"),
        ];
        let mut house = House::with(&settings, &[]).await;
        house.listen().await;
        let players = link(&house, 2).await;
        Self { house, players, sent: vec![], rng: StdRng::seed_from_u64(seed), done: 0, scanned_again: 0 }
    }

    /// One kill in this phase, and the way back.
    pub async fn kill(&mut self, phase: Phase) {
        let moments = phase.moments();
        let moment = (!moments.is_empty()).then(|| moments[self.rng.random_range(0..moments.len())]);
        // Logins and snapshots pass their moments once or twice a start, messages often.
        let most = if matches!(phase, Phase::Linking | Phase::Snapshot | Phase::Boot) { 1 } else { 10 };
        let nth = self.rng.random_range(1..=most);
        let number = self.done;
        progress(&format!("kill {number}: {phase:?} {} {nth}", moment.unwrap_or("by the clock")));
        if phase != Phase::Linking {
            self.house.kill();
            self.house.failpoint = moment.map(|moment| format!("kill:{moment}@{nth}"));
        }
        let newcomer = if matches!(phase, Phase::Linking | Phase::JustLinked) {
            Some(self.kill_a_newcomer(phase, moment).await)
        } else {
            self.kill_under_traffic().await;
            None
        };
        self.done += 1;
        self.house.failpoint = None;
        self.house.open().await;
        let linked: Vec<_> = self.players.iter().map(|player| player.session.clone()).collect();
        for session in &linked {
            self.house.is(session, "WORKING").await;
        }
        if let Some(newcomer) = newcomer {
            self.send_off(&newcomer).await;
        }
        let house = &self.house;
        until("no browser is left over", Duration::from_secs(20), || async {
            (house.browsers().len() == linked.len()).then_some(())
        })
        .await;
    }

    /// The server starts, works under traffic, and ends itself at the armed moment.
    async fn kill_under_traffic(&mut self) {
        let started = self.house.try_open().await;
        if !started {
            return;
        }
        let name = format!("k{}", self.done);
        let traffic =
            Traffic::start(&self.house, Plan { players: self.players.clone(), per_second: 20.0, name: name.clone() });
        let begun = Instant::now();
        while !self.house.ended() {
            assert!(begun.elapsed() < Duration::from_secs(40), "the moment {:?} never came", self.house.failpoint);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.sent.extend(traffic.stop().await.sent);
    }

    /// A session is linked, and the server dies meanwhile or a moment later.
    async fn kill_a_newcomer(&mut self, phase: Phase, moment: Option<&str>) -> Player {
        let n = 1000 + self.done;
        if phase == Phase::JustLinked {
            self.house.open().await;
            let player = link_one(&self.house, n).await;
            let delay = Duration::from_millis(self.rng.random_range(0..5000));
            tokio::time::sleep(delay).await;
            self.house.kill();
            return player;
        }
        // The others are up already: the next passage is the newcomer's.
        self.house.kill();
        let others = if moment == Some("driver.leased") { self.players.len() } else { 0 };
        self.house.failpoint = moment.map(|moment| format!("kill:{moment}@{}", others + 1));
        self.house.open().await;
        let player = Player {
            key: KEY.to_owned(),
            session: format!("s{n}"),
            number: format!("4917000{n:04}"),
            other: format!("4917999{n:04}"),
        };
        self.house.network.phone(&player.number, "Newcomer").await;
        self.house.network.phone(&player.other, "Customer").await;
        for known in self.players.clone() {
            self.house.is(&known.session, "WORKING").await;
        }
        self.house.create(&player.session).await;
        if moment != Some("driver.leased") {
            let qr = self.house.qr(&player.session).await;
            let scan = format!("/api/phones/{}/scan", player.number);
            self.house.network.ask("POST", &scan, Some(json!({"qr": qr}))).await.ok();
        }
        let begun = Instant::now();
        while !self.house.ended() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the moment {moment:?} never came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        player
    }

    /// The newcomer works, with a new scan only where the server had never said that it was linked; then it goes.
    async fn send_off(&mut self, newcomer: &Player) {
        let house = &self.house;
        let status = until("the newcomer is somewhere", Duration::from_secs(30), || async {
            let status = house.status_as(KEY, &newcomer.session).await;
            ["WORKING", "SCAN_QR_CODE"].contains(&status.as_str()).then_some(status)
        })
        .await;
        if status == "SCAN_QR_CODE" {
            self.scanned_again += 1;
            let qr = house.qr(&newcomer.session).await;
            let scan = format!("/api/phones/{}/scan", newcomer.number);
            house.network.ask("POST", &scan, Some(json!({"qr": qr}))).await.ok();
            house.is(&newcomer.session, "WORKING").await;
        }
        let text = format!("welcome {}", newcomer.session);
        house.network.send(&newcomer.other, &newcomer.number, &text).await;
        until("the newcomer hears", Duration::from_secs(20), || async {
            let heard = house.messages(&newcomer.session, &format!("{}@c.us", newcomer.other)).await;
            heard.iter().any(|one| one["body"] == text.as_str()).then_some(())
        })
        .await;
        house.ask("DELETE", &format!("/api/sessions/{}", newcomer.session), None).await.ok();
    }

    /// Counts everything that was sent in all lives of the server.
    pub async fn judge(&self) -> Verdict {
        judge(&self.house, &self.players, &self.sent, Duration::from_secs(60)).await
    }

    /// Messages that were sent.
    pub fn messages(&self) -> usize {
        self.sent.len()
    }
}
