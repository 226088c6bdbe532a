//! The database goes away under load: requests are told to come back, nothing accepted is lost, and all is well again by itself.

use super::link;
use crate::house::{Answer, House, until};
use crate::postgres::Postgres;
use crate::referee::{Player, Verdict, judge};
use crate::report::progress;
use crate::traffic::{Plan, Traffic};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What a run brought.
pub struct Outage {
    /// Requests that were refused with 429 or 503 meanwhile.
    pub refused: usize,
    /// What the referee found.
    pub verdict: Verdict,
}

const SETTINGS: [(&str, &str); 1] = [("WARDROOM__POOL__WARM_SPARES", "0")];

/// Asks until it is refused, and checks how. A full disk takes a while to show: SQLite's log is used again from its beginning, and
/// needs no new space before its checkpoint does.
async fn refusal(house: &House, player: &Player) {
    until("a request is refused", Duration::from_secs(90), || async {
        let body = json!({"session": player.session, "chatId": format!("{}@c.us", player.other), "text": "a probe"});
        let url = format!("http://127.0.0.1:{}/api/sendText", house.http);
        let request =
            reqwest::Client::new().post(url).header("x-api-key", &player.key).header("prefer", "respond-async");
        let answer = Answer::of(request.json(&body).send().await.unwrap()).await;
        if answer.status != 503 {
            return None;
        }
        assert_eq!(answer.refused(503), "unavailable");
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        Some(())
    })
    .await;
}

async fn under_traffic<F: Future<Output = ()>>(
    house: &House,
    players: &[Player],
    per_second: f64,
    trouble: impl FnOnce() -> F,
) -> Outage {
    let plan = Plan { players: players.to_vec(), per_second, name: "store".to_owned() };
    let traffic = Traffic::start(house, plan);
    tokio::time::sleep(Duration::from_secs(2)).await;
    trouble().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let outcome = traffic.stop().await;
    for player in players {
        until("the session is WORKING", Duration::from_secs(60), || async {
            (house.status_as(&player.key, &player.session).await == "WORKING").then_some(())
        })
        .await;
    }
    let verdict = judge(house, players, &outcome.sent, Duration::from_secs(60)).await;
    Outage { refused: outcome.refused, verdict }
}

/// PostgreSQL is stopped and started again.
pub async fn postgres_restarts() -> Outage {
    let mut postgres = Postgres::start().await;
    let url = postgres.url();
    let mut house = House::with(&[SETTINGS[0], ("WARDROOM__DATABASE__URL", &url)], &[]).await;
    house.listen().await;
    let players = link(&house, 2).await;
    progress("PostgreSQL is stopped for three seconds");
    under_traffic(&house, &players, 20.0, || async {
        postgres.stop();
        refusal(&house, &players[0]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        postgres.start_again().await;
    })
    .await
}

/// Another process holds SQLite's write lock.
pub async fn sqlite_is_locked() -> Outage {
    use sea_orm::{ConnectionTrait, Database};
    let mut house = House::with(&SETTINGS, &[]).await;
    house.listen().await;
    let players = link(&house, 2).await;
    progress("SQLite is locked by another process for eleven seconds");
    under_traffic(&house, &players, 20.0, || async {
        let url = format!("sqlite://{}", house.data().join("wardroom.db").display());
        let other = Box::pin(Database::connect(url)).await.unwrap();
        until("the lock is ours", Duration::from_secs(20), || async {
            other.execute_unprepared("BEGIN IMMEDIATE").await.ok()
        })
        .await;
        refusal(&house, &players[0]).await;
        // What came while the first request waited is tried together, for five seconds.
        tokio::time::sleep(Duration::from_secs(6)).await;
        other.execute_unprepared("ROLLBACK").await.unwrap();
        let _ = other.close().await;
    })
    .await
}

/// A small file system that is filled to the last byte.
pub async fn disk_is_full() -> Option<Outage> {
    let mount = Mount::tmpfs("96m")?;
    let database = format!("sqlite://{}", mount.path.join("wardroom.db").display());
    let mut house = House::with(&[SETTINGS[0], ("WARDROOM__DATABASE__URL", &database)], &[]).await;
    house.listen().await;
    let players = link(&house, 2).await;
    progress("the database's disk is full for three seconds");
    let result = under_traffic(&house, &players, 60.0, || async {
        let ballast = mount.path.join("ballast");
        let filling = tokio::spawn(keep_full(ballast.clone()));
        refusal(&house, &players[0]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        filling.abort();
        let _ = filling.await;
        std::fs::remove_file(&ballast).unwrap();
    })
    .await;
    drop(house);
    Some(result)
}

/// SQLite gives space back when it starts its log anew; that is taken as well.
async fn keep_full(path: PathBuf) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    loop {
        for size in [1 << 20, 1 << 12] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A mounted file system, unmounted when dropped. Mounting takes root.
struct Mount {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Mount {
    fn tmpfs(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let options = format!("size={size},mode=0711");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { path, _dir: dir })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
