//! The kernel with a fake engine and a clock that is moved by hand.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says that something is wrong by panicking")]

mod house;

use actix::prelude::*;
use house::{House, eventually, supervision};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::ids::{SessionName, TenantId};
use wardroom_actors::domain::login::QrCode;
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::signal::Effect;
use wardroom_actors::handle::Refusal;
use wardroom_actors::ports::engine::Report;
use wardroom_actors::supervise::{self, Exit, Lifeline};
use wardroom_actors::testing::{Script, SharedClock};

#[actix_rt::test]
async fn a_session_goes_from_qr_code_to_working_and_tells_of_each_step() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    house.started(1).await;
    let qr = QrCode { text: "2@x,a,b,c,1".into(), number: 1, expires_at_ms: 1 };
    house.tell(&seen, Script::Say(Report::Qr(qr)));
    house.is("one", Status::ScanQrCode).await;
    house.work(&seen).await;
    let statuses = || -> Vec<_> {
        let events = house.sink.0.lock().unwrap();
        let changes = events.iter().filter_map(|event| match &event.kind {
            EventKind::Status(change) => Some(change.status).filter(|_| event.seq.is_some()),
            _ => None,
        });
        changes.collect()
    };
    eventually(|| statuses() == [Status::Starting, Status::ScanQrCode, Status::Working]).await;
    let events = house.sink.0.lock().unwrap();
    assert!(!format!("{events:?}").contains("2@x"), "the code itself is in no event: {events:?}");
}

#[actix_rt::test]
async fn a_panicking_driver_is_restarted_after_backoff() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    house.started(1).await;
    house.work(&seen).await;
    house.tell(&seen, Script::Panic("a bug"));
    house.is("one", Status::Starting).await;
    assert_eq!(house.engine.alive.load(Ordering::SeqCst), 0);
    let view = house.handle.session(house.tenant, &seen.spec.name).unwrap().view;
    assert_eq!(view.exit, Some(ExitReason::Panicked { detail: "a bug".into() }));
    house.clock.0.advance(1000);
    house.started(2).await;
    house.work(&seen).await;
}

#[actix_rt::test]
async fn more_failures_than_allowed_open_the_breaker_and_a_restart_by_hand_closes_it() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    for start in 1..=6 {
        house.started(start).await;
        house.tell(&seen, Script::Exit(ExitReason::Hung));
        if start < 6 {
            eventually(|| {
                house.clock.0.advance(400);
                house.engine.started.load(Ordering::SeqCst) > start
            })
            .await;
        }
    }
    house.is("one", Status::Failed).await;
    let failed =
        house.sink.0.lock().unwrap().iter().any(|event| matches!(event.kind, EventKind::ConnectionFailed { .. }));
    assert!(failed, "it is told that Wardroom goes on slowly");
    house.handle.restart(house.tenant, &seen.spec.name).await.unwrap();
    house.started(7).await;
    house.work(&seen).await;
}

#[actix_rt::test]
async fn a_probe_that_is_not_connected_in_time_is_ended_and_counts_as_failed() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    for start in 1..=6 {
        house.started(start).await;
        house.tell(&seen, Script::Exit(ExitReason::Hung));
        if start < 6 {
            eventually(|| {
                house.clock.0.advance(400);
                house.engine.started.load(Ordering::SeqCst) > start
            })
            .await;
        }
    }
    house.is("one", Status::Failed).await;
    house.clock.0.advance(60_000);
    house.started(7).await;
    house.is("one", Status::Starting).await;
    house.clock.0.advance(90_000);
    house.is("one", Status::Failed).await;
    let exit = house.handle.session(house.tenant, &seen.spec.name).unwrap().view.exit;
    assert!(matches!(exit, Some(ExitReason::TimedOut { .. })), "{exit:?}");
    assert_eq!(house.engine.alive.load(Ordering::SeqCst), 0);
}

#[actix_rt::test]
async fn a_session_that_is_told_to_wait_waits_so_long() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    house.started(1).await;
    house.tell(&seen, Script::Exit(ExitReason::Throttled { for_ms: 30_000 }));
    eventually(|| {
        let view = house.handle.session(house.tenant, &seen.spec.name).unwrap().view;
        view.retry_at_ms == Some(1_700_000_030_000)
    })
    .await;
    house.clock.0.advance(29_999);
    tokio::task::yield_now().await;
    assert_eq!(house.engine.started.load(Ordering::SeqCst), 1);
    house.clock.0.advance(1);
    house.started(2).await;
}

#[actix_rt::test]
async fn a_permanent_exit_parks_and_gives_its_slot_back() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    house.started(1).await;
    assert_eq!(house.handle.workers(), 1);
    house.tell(&seen, Script::Exit(ExitReason::Banned));
    house.is("one", Status::Failed).await;
    eventually(|| house.handle.workers() == 0).await;
    house.clock.0.advance(3_600_000);
    actix_rt::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(house.engine.started.load(Ordering::SeqCst), 1, "nobody tries again");
}

#[actix_rt::test]
async fn limits_are_refused_before_anything_is_created() {
    let house = House::open();
    for name in ["a", "b", "c"] {
        house.create(name).await.unwrap();
    }
    assert!(matches!(house.create("d").await, Err(Refusal::Limit(_))), "the node has three workers");
    assert_eq!(house.handle.sessions(house.tenant).len(), 3);
    assert_eq!(house.create("a").await.unwrap_err(), house.create("b").await.unwrap_err());
    let stranger = house.handle.session(TenantId::generate(), &SessionName::parse("a").unwrap());
    assert_eq!(stranger.unwrap_err(), Refusal::NotFound);
}

#[actix_rt::test]
async fn a_stop_is_served_while_starting_and_while_waiting() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    house.started(1).await;
    house.handle.stop(house.tenant, &seen.spec.name).await.unwrap();
    house.is("one", Status::Stopped).await;
    assert_eq!(house.engine.alive.load(Ordering::SeqCst), 0);
    house.handle.start(house.tenant, &seen.spec.name).await.unwrap();
    house.started(2).await;
    house.tell(&seen, Script::Exit(ExitReason::Hung));
    eventually(|| house.engine.alive.load(Ordering::SeqCst) == 0).await;
    house.handle.stop(house.tenant, &seen.spec.name).await.unwrap();
    house.clock.0.advance(600_000);
    actix_rt::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(house.engine.started.load(Ordering::SeqCst), 2, "a stopped session stays stopped");
    house.handle.remove(house.tenant, &seen.spec.name).await.unwrap();
    assert!(house.handle.sessions(house.tenant).is_empty());
}

#[actix_rt::test]
async fn signals_reach_the_agent_in_order_and_poison_is_set_aside() {
    let house = House::open();
    let seen = house.create("one").await.unwrap();
    house.started(1).await;
    house.hear(&seen, "first").await;
    house.hear(&seen, "poison").await;
    house.hear(&seen, "second").await;
    house.hear(&seen, "second").await;
    eventually(|| {
        // Restarts of the chat wait on the manual clock.
        house.clock.0.advance(50);
        house.memory.effects().len() == 2
    })
    .await;
    let texts: Vec<_> = house.memory.effects();
    let expected = ["re: first", "re: second"].map(|text| Effect::Send { text: text.into() });
    assert_eq!(texts, expected);
}

// ---- supervise ---------------------------------------------------------------------------------------------------

#[derive(Message)]
#[rtype(result = "usize")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Hit(Kind);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Handler,
    Spawned,
    Stop,
    End,
}

/// An actor that fails wherever it is told to.
struct Fragile {
    lifeline: Lifeline,
    handled: usize,
    starts: Arc<AtomicUsize>,
    panic_in_stopped: bool,
    continue_in_stopping: bool,
    panic_in_restarting: usize,
}

impl Actor for Fragile {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.starts.fetch_add(1, Ordering::SeqCst);
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        if self.continue_in_stopping { Running::Continue } else { Running::Stop }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        assert!(!self.panic_in_stopped, "in stopped");
    }
}

impl Supervised for Fragile {
    fn restarting(&mut self, _: &mut Context<Self>) {
        if self.panic_in_restarting > 0 {
            self.panic_in_restarting -= 1;
            panic!("in restarting");
        }
    }
}

impl Handler<Count> for Fragile {
    type Result = usize;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> usize {
        self.handled += 1;
        self.handled
    }
}

impl Handler<Hit> for Fragile {
    type Result = ();

    fn handle(&mut self, Hit(kind): Hit, ctx: &mut Context<Self>) {
        match kind {
            Kind::Handler => panic!("in a handler"),
            Kind::Spawned => {
                ctx.spawn(async { panic!("in a spawned future") }.into_actor(self));
            }
            Kind::Stop => ctx.stop(),
            Kind::End => {
                self.lifeline.end();
                ctx.stop();
            }
        }
    }
}

struct Watched {
    addr: Addr<Fragile>,
    clock: SharedClock,
    exits: Arc<Mutex<Vec<Exit>>>,
    starts: Arc<AtomicUsize>,
}

fn watched(change: impl FnOnce(&mut Fragile) + Send + 'static) -> Watched {
    let (clock, exits, starts) = (SharedClock::default(), Arc::default(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&starts);
    let mut change = Some(change);
    let addr = supervise::start(&Arbiter::new().handle(), "fragile", supervision(&clock, &exits), move |lifeline| {
        let mut actor = Fragile {
            lifeline,
            handled: 0,
            starts: Arc::clone(&counted),
            panic_in_stopped: false,
            continue_in_stopping: false,
            panic_in_restarting: 0,
        };
        if let Some(change) = change.take() {
            change(&mut actor);
        }
        actor
    });
    Watched { addr, clock, exits, starts }
}

impl Watched {
    async fn answers(&self) {
        let answer = self.addr.send(Count);
        let moving = async {
            loop {
                self.clock.0.advance(20);
                actix_rt::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            answer = answer => assert!(answer.is_ok()),
            () = moving => {}
        }
    }
}

#[actix_rt::test]
async fn a_panic_keeps_the_address_and_what_was_queued_behind_it() {
    for kind in [Kind::Handler, Kind::Spawned, Kind::Stop] {
        let fragile = watched(|_| {});
        fragile.addr.do_send(Hit(kind));
        fragile.answers().await;
        eventually(|| fragile.exits.lock().unwrap().len() == 1).await;
        assert_eq!(fragile.starts.load(Ordering::SeqCst), 2);
    }
}

#[actix_rt::test]
async fn what_would_abort_the_process_is_an_ordinary_restart() {
    let fragile = watched(|actor| actor.continue_in_stopping = true);
    fragile.addr.do_send(Hit(Kind::Spawned));
    fragile.answers().await;
    let fragile = watched(|actor| actor.panic_in_stopped = true);
    fragile.addr.do_send(Hit(Kind::Handler));
    fragile.addr.do_send(Hit(Kind::Handler));
    fragile.answers().await;
    let fragile = watched(|actor| actor.panic_in_restarting = 2);
    fragile.addr.do_send(Hit(Kind::Handler));
    fragile.answers().await;
    assert_eq!(fragile.exits.lock().unwrap().len(), 3, "each panic in restarting() counts");
    assert_eq!(fragile.starts.load(Ordering::SeqCst), 2, "started() never sees a state that was not rebuilt");
}

#[actix_rt::test]
async fn a_factory_that_panics_is_asked_again_and_the_mailbox_waits() {
    let built = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&built);
    let fragile = watched(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        panic!("in the factory");
    });
    fragile.answers().await;
    assert_eq!(built.load(Ordering::SeqCst), 1);
    assert_eq!(*fragile.exits.lock().unwrap(), [Exit::Panicked("in the factory".into())]);
    assert_eq!(fragile.starts.load(Ordering::SeqCst), 1);
}

#[actix_rt::test]
async fn restarts_in_a_row_wait_longer_and_longer() {
    let fragile = watched(|_| {});
    for _ in 0..3 {
        fragile.addr.do_send(Hit(Kind::Handler));
    }
    eventually(|| fragile.exits.lock().unwrap().len() == 2).await;
    actix_rt::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(fragile.exits.lock().unwrap().len(), 2, "the second restart waits for the clock");
    fragile.clock.0.advance(10);
    eventually(|| fragile.exits.lock().unwrap().len() == 3).await;
}

#[actix_rt::test]
async fn an_intended_end_is_the_end() {
    let fragile = watched(|_| {});
    fragile.addr.do_send(Hit(Kind::End));
    eventually(|| !fragile.addr.connected()).await;
    assert_eq!(fragile.starts.load(Ordering::SeqCst), 1);
}
