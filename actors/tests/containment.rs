//! A panic at every moment that the four actors have, one message in flight each: nothing is lost or doubled, no second driver
//! is started, and the neighbour notices nothing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says that something is wrong by panicking, and where it stands"
)]

mod house;

use house::{House, account, eventually};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::event::{EventKind, Step};
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::signal::Effect;
use wardroom_actors::failpoint;
use wardroom_actors::handle::{Refusal, Seen};
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::engine::{Command, CommandError, Report};
use wardroom_actors::testing::Script;

/// Moments of all four actors. `started` and `restarting` are passed again only after another panic.
const MOMENTS: &[&str] = &[
    "session.control",
    "session.report",
    "session.exited",
    "session.spawn",
    "session.spawned",
    "session.wake",
    "session.ask",
    "chat.nudge",
    "chat.pulled",
    "chat.committed",
    "chat.spawned",
    "chat.commit_answered",
    "registry.create",
    "registry.created",
    "registry.wake",
    "registry.remove",
    "registry.removed",
    "browser_pool.reserve",
    "browser_pool.lease",
];

/// What a client does that is told "not now": ask again.
fn not_now<T>(answer: &Result<T, Refusal>) -> bool {
    matches!(
        answer,
        Err(Refusal::Busy | Refusal::Store(PortError::Unavailable) | Refusal::Command(CommandError::NoAnswer))
    )
}

macro_rules! patiently {
    ($ask:expr) => {
        loop {
            let answer = $ask;
            if !not_now(&answer) {
                break answer;
            }
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
}

impl House {
    /// Lets the driver say that it is ready, as often as it takes.
    async fn connects(&self, seen: &Seen) {
        let name = &seen.spec.name;
        eventually(|| {
            let view = self.handle.session(self.tenant, name).unwrap().view;
            view.status == Status::Working || {
                self.engine.tell(seen.spec.id, Script::Say(Report::Ready(account())));
                false
            }
        })
        .await;
    }

    async fn answers(&self, text: &str) {
        let wanted = Effect::Send { text: format!("re: {text}") };
        eventually(|| self.memory.effects().contains(&wanted)).await;
    }
}

/// Everything that can happen to a session, in its order.
async fn a_life(house: &House) {
    let seen = match patiently!(house.create("one").await) {
        Ok(seen) => seen,
        // Stored by the first try, whose answer was lost; then the table has it as well, at the latest in a moment.
        Err(Refusal::Exists) => {
            let name = wardroom_actors::domain::ids::SessionName::parse("one").unwrap();
            eventually(|| house.handle.session(house.tenant, &name).is_ok()).await;
            house.handle.session(house.tenant, &name).unwrap()
        }
        Err(other) => panic!("{other:?}"),
    };
    let name = &seen.spec.name;
    house.connects(&seen).await;
    house.hear(&seen, "first").await;
    house.hear(&seen, "second").await;
    house.answers("second").await;
    let before = house.handle.session(house.tenant, name).unwrap().view.incarnation;
    house.tell(&seen, Script::Exit(ExitReason::Hung));
    eventually(|| house.handle.session(house.tenant, name).unwrap().view.incarnation > before).await;
    house.connects(&seen).await;
    let chat = || ChatId::parse("1@c.us").unwrap();
    patiently!(
        house
            .handle
            .ask(house.tenant, name, |answer| Command::Act { action: Action::Seen { chat: chat() }, answer })
            .await
    )
    .unwrap();
    patiently!(house.handle.stop(house.tenant, name).await).unwrap();
    house.is("one", Status::Stopped).await;
    patiently!(house.handle.start(house.tenant, name).await).unwrap();
    house.connects(&seen).await;
    house.hear(&seen, "third").await;
    house.answers("third").await;
    patiently!(house.handle.remove(house.tenant, name).await).unwrap();
    eventually(|| house.handle.sessions(house.tenant).len() == 1).await;
}

/// The panics that are meant say nothing.
fn quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"a bug") {
            usual(panic);
        }
    }));
}

async fn breaks_at(moments: &[&'static str]) {
    println!("{moments:?}");
    let house = House::open();
    house.engine.leasing.store(true, Ordering::SeqCst);
    let clock = house.clock.clone();
    let ticking = actix_rt::spawn(async move {
        loop {
            clock.0.advance(5);
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let neighbour = house.create("neighbour").await.unwrap();
    house.connects(&neighbour).await;
    for moment in moments {
        failpoint::arm(moment, 1, Arc::new(|| panic!("a bug")));
    }
    a_life(&house).await;
    eventually(failpoint::all_happened).await;
    house.hear(&neighbour, "still there").await;
    house.answers("still there").await;
    let view = house.handle.session(house.tenant, &neighbour.spec.name).unwrap().view;
    assert_eq!((view.status, view.incarnation.0), (Status::Working, 1), "the neighbour noticed {moments:?}");
    let expected = ["first", "second", "third", "still there"].map(|text| Effect::Send { text: format!("re: {text}") });
    assert_eq!(house.memory.effects(), expected, "{moments:?}");
    assert_eq!(house.engine.doubled.load(Ordering::SeqCst), 0, "a second driver after {moments:?}");
    let told =
        house.sink.0.lock().unwrap().iter().any(
            |event| matches!(&event.kind, EventKind::Supervised(Step::ActorPanicked { detail }) if detail == "a bug"),
        );
    // What happens to the session last is told by nobody: it is gone.
    assert!(told || !moments[0].starts_with("session."), "nobody told of {moments:?}");
    eventually(|| house.engine.alive.load(Ordering::SeqCst) == 1).await;
    eventually(|| house.handle.census().iter().map(|(_, count)| count).sum::<usize>() == 1).await;
    ticking.abort();
}

/// What is armed is the whole process's, so one test breaks everything, one after the other.
#[actix_rt::test]
async fn a_panic_at_any_moment_loses_nothing_and_is_nobody_elses_trouble() {
    quiet();
    let hook = |moment: &'static str| (moment.split_once('.').unwrap().0, moment);
    for moment in MOMENTS {
        breaks_at(&[moment]).await;
        let (actor, _) = hook(moment);
        let moments = |next: &str| -> &'static str { Box::leak(format!("{actor}.{next}").into_boxed_str()) };
        breaks_at(&[moment, moments("restarting")]).await;
        if *moment != "registry.created" {
            breaks_at(&[moment, moments("restarting"), moments("restarting")]).await;
        }
    }
}

#[actix_rt::test]
async fn a_panic_in_started_is_a_restart_like_any_other() {
    quiet();
    for actor in ["session", "chat", "registry", "browser_pool"] {
        let moment: &'static str = Box::leak(format!("{actor}.started").into_boxed_str());
        let house = House::open_after(|| failpoint::arm(moment, 1, Arc::new(|| panic!("a bug"))));
        let seen = patiently!(house.create("one").await).unwrap();
        house.started(1).await;
        house.work(&seen).await;
        house.hear(&seen, "first").await;
        house.answers("first").await;
        assert!(failpoint::all_happened(), "{moment}");
        assert_eq!(house.engine.doubled.load(Ordering::SeqCst), 0);
    }
}
