//! Something breaks at a named moment under traffic, and the server goes on: a panic, a slow journal, a jump of the wall clock.

use super::link;
use crate::house::House;
use crate::referee::{Player, Sent, Verdict, judge};
use crate::report::progress;
use crate::traffic::{Plan, Traffic};
use std::time::Duration;

/// Moments at which anything may panic, with the number of drivers that this may end.
pub const PANICS: [(&str, u64); 21] = [
    ("registry.wake", 0),
    ("session.report", 0),
    ("session.spawn", 0),
    ("chat.nudge", 0),
    ("chat.handle", 0),
    ("chat.spawned", 0),
    ("chat.committed", 0),
    ("browser_pool.lease", 1),
    ("journal.commit", 1),
    ("journal.committed", 1),
    ("agent.commit", 0),
    ("agent.committed", 0),
    ("driver.leased", 1),
    ("driver.pulled", 1),
    ("page.taken", 1),
    ("outbox.to_page", 1),
    ("outbox.to_mark", 1),
    ("webhook.heard", 0),
    ("webhook.turn", 0),
    ("webhook.posted", 0),
    ("webhook.settle", 0),
];

/// Two linked sessions whose server is broken again and again.
pub struct Moments {
    house: House,
    players: Vec<Player>,
    sent: Vec<Sent>,
    rounds: usize,
}

impl Moments {
    pub async fn begin() -> Self {
        let settings = [("WARDROOM__QUOTAS__USER__SESSIONS", "20"), ("WARDROOM__POOL__WARM_SPARES", "0")];
        let mut house = House::with(&settings, &[]).await;
        house.listen().await;
        let players = link(&house, 2).await;
        Self { house, players, sent: vec![], rounds: 0 }
    }

    /// Starts the server with this armed and lets it work under traffic for so long; answers how many drivers were started more
    /// than one for each session.
    async fn work(&mut self, failpoint: String, time: Duration) -> u64 {
        self.house.kill();
        let before = self.house.log().len();
        self.house.failpoint = Some(failpoint.clone());
        self.house.open().await;
        for player in &self.players {
            self.house.is(&player.session, "WORKING").await;
        }
        self.rounds += 1;
        let plan = Plan { players: self.players.clone(), per_second: 20.0, name: format!("m{}", self.rounds) };
        let traffic = Traffic::start(&self.house, plan);
        tokio::time::sleep(time).await;
        self.sent.extend(traffic.stop().await.sent);
        for player in &self.players {
            self.house.is(&player.session, "WORKING").await;
        }
        if failpoint.starts_with("panic:") {
            assert!(self.house.log()[before..].contains("a failpoint panics"), "{failpoint} never came");
        }
        let mut started = 0;
        for player in &self.players {
            let branch = self.house.branch(&player.key, &player.session).await;
            let timeline = branch["timeline"].as_array().unwrap().clone();
            started += timeline.iter().filter(|one| one["step"] == "started").count();
        }
        assert_eq!(self.house.browsers().len(), self.players.len(), "{failpoint}: a second browser");
        u64::try_from(started - self.players.len()).unwrap()
    }

    /// A panic at a moment.
    pub async fn panic(&mut self, moment: &str, drivers: u64) {
        progress(&format!("panic at {moment}"));
        let ended = self.work(format!("panic:{moment}@1"), Duration::from_secs(3)).await;
        assert!(ended <= drivers, "{moment}: {ended} drivers ended");
    }

    /// Each commit of the journal takes so long.
    pub async fn slow_journal(&mut self, each: Duration) {
        progress(&format!("each commit of the journal takes {each:?}"));
        let ended = self.work(format!("slow:journal.commit@{}", each.as_millis()), Duration::from_secs(10)).await;
        assert_eq!(ended, 0, "a slow journal ended drivers");
    }

    /// The wall clock jumps.
    pub async fn clock_jump(&mut self, hours: i64) {
        progress(&format!("the wall clock jumps by {hours} hours"));
        let ended = self.work(format!("jump:page.taken@{}", hours * 3_600_000), Duration::from_secs(5)).await;
        assert_eq!(ended, 0, "a jump of the clock ended drivers");
    }

    /// Counts everything that was sent.
    pub async fn judge(&self) -> Verdict {
        judge(&self.house, &self.players, &self.sent, Duration::from_secs(60)).await
    }
}
