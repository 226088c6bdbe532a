//! One session's life in one browser: find or restore its profile, load the page, link or come back, then keep up with it
//! until something ends it. Whatever the reason, the browser is proven gone before its directory is touched.

use super::Shared;
use super::attachments::{self, fetch_at_once};
use super::convert::{Heard, PageEvent, PageState, Stage};
use super::copies::{copy_storage, keep_copies};
use super::ending::Ending;
use super::health::{self, patiently};
use super::lease::{Leased, lease};
use super::obey::obey;
use super::page::{PageError, PageLink, js};
use super::pump;
use dashmap::DashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::domain::ids::{Incarnation, WorkerId};
use wardroom_actors::domain::ignoring::Ignored;
use wardroom_actors::domain::login::{Account, QrCode};
use wardroom_actors::domain::message::Message;
use wardroom_actors::domain::session::StopMode;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::domain::webhook::Hooks;
use wardroom_actors::failpoint;
use wardroom_actors::ports::engine::{DriverContext, Report, Reported};
use wardroom_actors::ports::journal::{Entry, Journal};
use wardroom_actors::ports::store::{OutboxStore, SessionStore};
use wardroom_actors::ports::worker::{Worker, WorkerLauncher as _};

/// How long the page may hold a pull back. It is the heartbeat; [`patiently`] says when a page without one hangs.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Events taken from the page at once: the credit.
const CREDIT: usize = 200;
/// How long the network may be away before the driver gives up and lets the policy decide.
const OFFLINE: Duration = Duration::from_secs(30);
/// Files that are fetched at the same time.
const FETCHED_AT_ONCE: usize = 2;
/// Questions at the same time.
const ASKED_AT_ONCE: usize = 8;
/// Messages before the newest recorded one that are looked at again after a restart; repeats are dropped by their keys.
const OVERLAP_S: i64 = 3600;

/// What the tasks of one driver share.
pub(super) struct Live {
    pub page: PageLink,
    pub outbox: Arc<dyn OutboxStore>,
    pub outbox_ready: Arc<Notify>,
    pub shared: Arc<Shared>,
    spec: Mutex<SessionSpec>,
    /// Chats of which nothing is heard.
    ignored: Ignored,
    incarnation: Incarnation,
    reports: mpsc::Sender<Reported>,
    journal: Arc<dyn Journal>,
    sessions: Arc<dyn SessionStore>,
    hooks: Arc<Hooks>,
    ready: watch::Sender<bool>,
    /// Ids of texts that were sent over the API lately.
    sent: Mutex<VecDeque<String>>,
    /// Messages whose files are to be fetched.
    pub wanted: mpsc::Sender<String>,
    /// Files go through the page a few at a time.
    pub fetching: Semaphore,
    /// Questions that the page works on at once.
    pub asking: Semaphore,
    /// Messages whose files are being fetched.
    pub fetches: DashMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// Names for files that are being read out of the page.
    pub handles: AtomicU64,
    pub worker: Arc<dyn Worker>,
    /// The profile was made from a snapshot for this run.
    restored: bool,
    /// The profile that this one replaces once the session is ready.
    instead_of: Option<WorkerId>,
    /// The session was ready: the profile is sound.
    pub settled: AtomicBool,
    /// The page shows a code although an account is linked: what it has on disk is not worth keeping.
    pub login_lost: AtomicBool,
    /// When a message or a command last went through, by the clock's milliseconds.
    pub touched: AtomicU64,
    /// The end has begun: no copy of the login is begun any more.
    pub ending: AtomicBool,
}

impl Live {
    pub fn spec(&self) -> SessionSpec {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Ends when the session is linked and connected.
    pub async fn ready(&self) {
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Whether the page answers and says that it is connected, just now.
    pub async fn stands(&self) -> bool {
        let state = self.page.ask::<PageState>("__wardroom.state()").await;
        state.is_ok_and(|state| state.stage == Stage::Ready)
    }

    pub async fn report(&self, report: Report) {
        let _ = self.reports.send(Reported { incarnation: self.incarnation, report }).await;
    }

    /// Something goes through: this is no quiet moment.
    pub fn touch(&self) {
        self.touched.store(self.shared.clock.now(), Ordering::Release);
    }

    pub fn remember_sent(&self, id: &str) {
        self.touch();
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push_back(id.to_owned());
        if sent.len() > 1000 {
            sent.pop_front();
        }
    }

    fn was_sent(&self, id: &str) -> bool {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|one| one == id)
    }

    /// An event that cannot be read is passed over: one odd message must not stop all that follow.
    fn hear(&self, event: serde_json::Value) -> (u64, Option<Heard>) {
        let seq = event.get("seq").and_then(serde_json::Value::as_u64).unwrap_or_default();
        match serde_json::from_value::<PageEvent>(event) {
            Ok(event) => {
                let linked_at = self.spec().linked_at.unwrap_or(i64::MAX);
                let heard = event.heard(linked_at, |id| self.was_sent(id));
                (seq, heard.filter(|heard| self.listens(&heard.kind)))
            }
            Err(error) => {
                tracing::warn!(session = %self.spec().id, %error, "an event of the page is passed over");
                (seq, None)
            }
        }
    }

    /// What the account itself did is known, wherever it was.
    fn listens(&self, kind: &EventKind) -> bool {
        let own = match kind {
            EventKind::Ack(ack) => ack.from_me,
            EventKind::Change(change) => change.from_me,
            _ => false,
        };
        own || !kind.chat().is_some_and(|chat| self.ignored.covers(chat))
    }

    fn entry(&self, heard: Heard) -> Entry {
        let spec = self.spec();
        let beside = matches!(heard.kind, EventKind::Notice(_));
        Entry {
            key: spec.key(),
            user: spec.user,
            session: spec.name,
            epoch: spec.link_epoch,
            dedupe: heard.dedupe,
            told: if beside { self.hooks.told(heard.kind.names()) } else { vec![] },
            kind: heard.kind,
        }
    }

    /// Commits events; false when the store did not.
    async fn commit(&self, events: Vec<Heard>) -> bool {
        let carrying = |heard: &Heard| match &heard.kind {
            EventKind::Message(message) if message.parts.media.is_some() => Some(message.clone()),
            _ => None,
        };
        let carriers: Vec<_> = events.iter().filter_map(carrying).collect();
        let entries: Vec<_> = events.into_iter().map(|heard| self.entry(heard)).collect();
        let stored = entries.is_empty() || self.journal.append(entries).await.is_ok();
        if stored {
            carriers.iter().for_each(|message| self.want_file(message));
        }
        stored
    }

    /// Records a text that just left; `None` when the store did not.
    pub async fn record_own(&self, event: PageEvent) -> Option<Message> {
        let heard = event.heard(i64::MIN, |_| true)?;
        let EventKind::Message(message) = heard.kind.clone() else { return None };
        self.commit(vec![heard]).await.then_some(message)
    }
}

/// The engine's `run`.
pub(super) async fn run(shared: Arc<Shared>, mut context: DriverContext) -> ExitReason {
    let mut stop = context.stop.clone();
    let lock = shared.lock_of(context.spec.id).lock_owned().await;
    let Some(url) = shared.url(context.spec.network) else {
        let detail = "no simulator is configured: set simulator.enabled or simulator.url".to_owned();
        return ExitReason::LaunchFailed { detail };
    };
    let leased = match lease(&shared, &context, lock).await {
        Ok(leased) => leased,
        Err(detail) => {
            let reason = ExitReason::LaunchFailed { detail };
            shared.started(context.spec.id, false, &reason);
            return reason;
        }
    };
    let worker = Arc::clone(&leased.worker);
    shared.launcher.serve(context.spec.id, Arc::clone(&worker));
    failpoint::pass("driver.leased");
    let known = match leased.instead_of {
        Some(_) => Ok(()),
        None => context.sessions.set_worker(&context.spec, Some(worker.id())).await,
    };
    let (live, reason) = if known.is_err() {
        (None, ExitReason::StoreUnavailable)
    } else {
        let started = async {
            let page = prepare(&shared, &context.spec, &worker).await?;
            page.load(&url).await.map(|()| page)
        };
        let page = tokio::select! {
            page = started => page.map_err(exit_of),
            how = worker.exited() => Err(ExitReason::Crashed { detail: how }),
            _ = stop.wait_for(Option::is_some) => Err(ExitReason::Stopped),
        };
        match page {
            Ok(page) => drive(&shared, page, &leased, &mut context, &mut stop).await,
            Err(reason) => (None, reason),
        }
    };
    let mode = *stop.borrow();
    let settled = live.as_ref().is_some_and(|live| live.settled.load(Ordering::Acquire));
    shared.started(context.spec.id, settled, &reason);
    let instead_of = leased.instead_of.filter(|_| !settled);
    let ending =
        Ending { shared: &shared, before: &context.spec, live: live.as_deref(), worker: &worker, mode, instead_of };
    let reason = ending.end(reason, &*context.sessions).await;
    shared.launcher.forget(context.spec.id);
    reason
}

fn exit_of(error: PageError) -> ExitReason {
    match error {
        PageError::TimedOut => ExitReason::TimedOut { detail: error.to_string() },
        PageError::Gone => ExitReason::Crashed { detail: error.to_string() },
        PageError::Threw(_) | PageError::Strange => ExitReason::Disconnected { detail: error.to_string() },
    }
}

/// Opens a page and puts everything into it that has to run before its own scripts.
async fn prepare(shared: &Shared, spec: &SessionSpec, worker: &Arc<dyn Worker>) -> Result<PageLink, PageError> {
    let page = PageLink::open(worker.endpoint()).await?;
    let bundle = tokio::fs::read_to_string(&shared.options.wa_js).await.map_err(|error| {
        tracing::error!(path = %shared.options.wa_js.display(), %error, "the wa-js bundle cannot be read");
        PageError::Threw("the wa-js bundle cannot be read".to_owned())
    })?;
    // No analytics, no previews by third parties; both are on by default.
    let settings =
        "window.WPPConfig = { disableGoogleAnalytics: true, linkPreviewApiServers: [], sendStatusToDevice: false };";
    page.inject(settings.to_owned()).await?;
    if let Some(storage) = shared.snapshots.storage(spec) {
        page.inject(restore_storage(&storage)).await?;
    }
    page.inject(bundle).await?;
    page.inject(include_str!("people.js").to_owned()).await?;
    page.inject(include_str!("bridge.js").to_owned()).await?;
    Ok(page)
}

/// Puts back keys that Chromium had not written yet when it was killed. Only once: what the page removes stays removed.
fn restore_storage(json: &str) -> String {
    format!(
        "if (location.protocol.startsWith('http') && !sessionStorage.getItem('wardroom-restored')) {{
           sessionStorage.setItem('wardroom-restored', '1');
           for (const [key, value] of Object.entries(JSON.parse({})))
             if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
         }}",
        js(json)
    )
}

/// Everything between a loaded page and the end.
async fn drive(
    shared: &Arc<Shared>,
    page: PageLink,
    leased: &Leased,
    context: &mut DriverContext,
    stop: &mut watch::Receiver<Option<StopMode>>,
) -> (Option<Arc<Live>>, ExitReason) {
    let (wanted, to_fetch) = mpsc::channel(attachments::WAITING);
    let config = serde_json::from_str(&context.spec.config).unwrap_or_default();
    let live = Arc::new(Live {
        page,
        outbox: Arc::clone(&context.outbox),
        outbox_ready: Arc::clone(&context.outbox_ready),
        shared: Arc::clone(shared),
        spec: Mutex::new(context.spec.clone()),
        ignored: Ignored::of_config(&config).unwrap_or_default(),
        incarnation: context.incarnation,
        reports: context.reports.clone(),
        journal: Arc::clone(&context.journal),
        sessions: Arc::clone(&context.sessions),
        hooks: Arc::clone(&context.hooks),
        ready: watch::Sender::new(false),
        sent: Mutex::default(),
        wanted,
        fetching: Semaphore::new(FETCHED_AT_ONCE),
        asking: Semaphore::new(ASKED_AT_ONCE),
        fetches: DashMap::new(),
        handles: AtomicU64::new(1),
        worker: Arc::clone(&leased.worker),
        restored: leased.restored,
        instead_of: leased.instead_of,
        settled: AtomicBool::new(false),
        login_lost: AtomicBool::new(false),
        touched: AtomicU64::new(shared.clock.now()),
        ending: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(Arc::clone(&live)));
    tasks.spawn(pump::run(Arc::clone(&live)));
    tasks.spawn(keep_copies(Arc::clone(&live)));
    tasks.spawn(fetch_at_once(Arc::clone(&live), to_fetch));
    tasks.spawn(health::probe(Arc::clone(&live)));
    tasks.spawn(health::watch(Arc::clone(&live)));
    let mut commands = JoinSet::new();
    let reason = loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => break match ended {
                Ok(reason) => reason,
                Err(error) => match error.try_into_panic() {
                    // Passed on to whoever watches the driver: it cleans up and counts it.
                    Ok(payload) => std::panic::resume_unwind(payload),
                    Err(_) => ExitReason::Crashed { detail: "a task of the driver was cancelled".to_owned() },
                },
            },
            Some(command) = context.commands.recv() => {
                live.touch();
                commands.spawn(obey(Arc::clone(&live), command));
            }
            Some(_) = commands.join_next() => {}
            how = leased.worker.exited() => break ExitReason::Crashed { detail: how },
            how = live.page.ended() => break ExitReason::Crashed { detail: how.to_owned() },
            _ = stop.wait_for(Option::is_some) => break ExitReason::Stopped,
        }
    };
    tasks.shutdown().await;
    commands.shutdown().await;
    (Some(live), reason)
}

#[derive(serde::Deserialize)]
struct Pulled {
    events: Vec<serde_json::Value>,
    state: PageState,
}

/// Where the login stands, as the driver sees it.
struct Follow {
    live: Arc<Live>,
    done: u64,
    before: Option<PageState>,
    codes: u32,
    code: Option<String>,
    /// This page's store was walked.
    caught_up: bool,
    /// When the page has to know where it stands, or the network has to be back.
    deadline: Option<u64>,
}

/// Keeps up with the page: pulls with credit, commits, and only then lets the page forget.
async fn follow(live: Arc<Live>) -> ExitReason {
    let started = live.shared.clock.now();
    let limit = u64::try_from(live.shared.options.ready_timeout.as_millis()).unwrap_or(u64::MAX);
    let deadline = Some(started.saturating_add(limit));
    let mut follow = Follow { live, done: 0, before: None, codes: 0, code: None, caught_up: false, deadline };
    loop {
        if let Err(reason) = follow.pull().await {
            return reason;
        }
    }
}

impl Follow {
    async fn pull(&mut self) -> Result<(), ExitReason> {
        let before = self.before.as_ref().and_then(|state| serde_json::to_string(state).ok()).unwrap_or_default();
        let call = format!(
            "typeof __wardroom === 'undefined' ? null : __wardroom.pull({}, {CREDIT}, {}, {})",
            self.done,
            HEARTBEAT.as_millis(),
            js(before)
        );
        let answer = self.live.page.call::<Option<Pulled>>(&call, Duration::MAX);
        let pulled = match patiently(&self.live, answer).await.ok_or(ExitReason::Hung)? {
            Ok(Some(pulled)) => pulled,
            // Between two documents; the deadline bounds it.
            Ok(None) | Err(PageError::Threw(_)) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                (self.done, self.before, self.caught_up) = (0, None, false);
                return self.check_deadline();
            }
            Err(error) => return Err(exit_of(error)),
        };
        failpoint::pass("driver.pulled");
        if self.before.as_ref() != Some(&pulled.state) || pulled.state.overflow {
            self.stand(&pulled.state).await?;
            self.before = Some(pulled.state);
        }
        // What came before this page's listeners were there is only in its store; until that was walked, the queue waits, or
        // later messages would be recorded before earlier ones.
        if self.caught_up {
            self.take(pulled.events).await?;
        }
        self.check_deadline()
    }

    /// Commits what happened; the page hears of it with the next pull.
    async fn take(&mut self, events: Vec<serde_json::Value>) -> Result<(), ExitReason> {
        let mut heard = vec![];
        let mut done = self.done;
        for event in events {
            let (seq, event) = self.live.hear(event);
            done = done.max(seq);
            heard.extend(event);
        }
        if !heard.is_empty() {
            self.live.touch();
            failpoint::pass("page.taken");
        }
        let any = !heard.is_empty();
        if !self.live.commit(heard).await {
            // The page still has them; a store that stays away ends the driver when the page's queue would overflow.
            tokio::time::sleep(Duration::from_millis(500)).await;
            return Ok(());
        }
        if any {
            failpoint::pass("page.committed");
        }
        self.done = done;
        Ok(())
    }

    /// Says what there was to come back with.
    async fn tell_lost(&self) {
        let here = self.live.page.ask::<usize>("Object.keys(localStorage).length").await.ok();
        let copy = self.live.shared.snapshots.storage(&self.live.spec());
        let copied =
            copy.and_then(|json| Some(serde_json::from_str::<serde_json::Value>(&json).ok()?.as_object()?.len()));
        tracing::warn!(session = %self.live.spec().id, here, copied, "the profile has lost its login; keys of localStorage");
    }

    async fn stand(&mut self, state: &PageState) -> Result<(), ExitReason> {
        if let Some(reason) = state.stage.exit() {
            return Err(reason);
        }
        if state.stage != Stage::Ready && self.live.ready.send_replace(false) {
            // It was connected: it has to be again before long.
            self.live.report(Report::Connecting).await;
            self.set_deadline(OFFLINE);
        }
        match state.stage {
            Stage::Login if self.live.spec().account.is_some() && !self.live.restored => {
                // The page has forgotten the login that the store knows of. The snapshot may still have it.
                self.live.login_lost.store(true, Ordering::Release);
                self.tell_lost().await;
                if self.live.shared.snapshots.exists(&self.live.spec()) {
                    return Err(ExitReason::Crashed { detail: "the profile has lost its login".to_owned() });
                }
                self.show_code(state.code.clone()).await
            }
            Stage::Login => {
                self.live.login_lost.store(self.live.spec().account.is_some(), Ordering::Release);
                self.show_code(state.code.clone()).await
            }
            Stage::Syncing | Stage::Ready => {
                if let Some(account) = state.account.clone() {
                    self.linked(account.into()).await?;
                }
                if state.stage == Stage::Ready { self.catch_up().await } else { Ok(()) }
            }
            _ => {
                if self.deadline.is_none() {
                    self.set_deadline(OFFLINE);
                }
                Ok(())
            }
        }
    }

    async fn show_code(&mut self, code: Option<String>) -> Result<(), ExitReason> {
        let Some(text) = code.filter(|code| self.code.as_ref() != Some(code)) else { return Ok(()) };
        self.codes += 1;
        let rotation = self.live.shared.options.rotation;
        let life = rotation.lifetime_ms(self.codes).ok_or(ExitReason::LoginExpired)?;
        self.code = Some(text.clone());
        let expires_at_ms = self.live.shared.clock.unix_ms().saturating_add_unsigned(life);
        self.live.report(Report::Qr(QrCode { text, number: self.codes, expires_at_ms })).await;
        // A page that forgets to rotate must not keep a person waiting in front of a dead code.
        self.set_deadline(Duration::from_millis(life) + Duration::from_secs(15));
        Ok(())
    }

    /// An account that the store does not know yet: a new link epoch. What a kill must not take away is on disk before
    /// anybody hears of it.
    async fn linked(&mut self, account: Account) -> Result<(), ExitReason> {
        let spec = self.live.spec();
        if spec.account.as_ref().is_some_and(|known| known.id == account.id) {
            return Ok(());
        }
        failpoint::pass("link.seen");
        copy_storage(&self.live, &mut None).await;
        failpoint::pass("link.copied");
        let at = self.live.shared.clock.unix_ms() / 1000;
        let epoch = self.live.sessions.linked(&spec, &account, at).await.map_err(|_| ExitReason::StoreUnavailable)?;
        {
            let mut spec = self.live.spec.lock().unwrap_or_else(PoisonError::into_inner);
            (spec.link_epoch, spec.linked_at, spec.account) = (epoch, Some(at), Some(account.clone()));
        }
        failpoint::pass("link.stored");
        self.live.report(Report::Linked(account)).await;
        Ok(())
    }

    /// After every connect: what the page has and the journal lacks, then the session is ready.
    async fn catch_up(&mut self) -> Result<(), ExitReason> {
        let spec = self.live.spec();
        let Some(account) = spec.account.clone() else { return Ok(()) };
        let newest = self.live.sessions.watermark(spec.key(), spec.link_epoch).await;
        let newest = newest.map_err(|_| ExitReason::StoreUnavailable)?;
        let linked_at = spec.linked_at.unwrap_or_default();
        let from = newest.map_or(linked_at, |newest| (newest - OVERLAP_S).max(linked_at));
        // What retention has removed is not brought back.
        let kept = i64::try_from(self.live.shared.options.keep.as_secs()).unwrap_or(i64::MAX);
        let from = from.max(self.live.shared.clock.unix_ms() / 1000 - kept);
        let mut skip = Some(0_u64);
        while let Some(at) = skip {
            let call = format!("__wardroom.since({from}, {at}, {CREDIT})");
            let walked = self.live.page.call::<Walked>(&call, Duration::from_secs(30)).await.map_err(exit_of)?;
            let heard: Vec<_> = walked.events.into_iter().filter_map(|event| self.live.hear(event).1).collect();
            let acks: Vec<_> = heard.iter().filter_map(ack_of).collect();
            if !self.live.commit(heard.into_iter().chain(acks).collect()).await {
                return Err(ExitReason::StoreUnavailable);
            }
            skip = walked.next;
        }
        self.settle().await?;
        (self.deadline, self.caught_up) = (None, true);
        self.live.ready.send_replace(true);
        self.live.report(Report::Ready(account)).await;
        Ok(())
    }

    /// The profile has got the session ready: one that it stands in for is not needed any more.
    async fn settle(&self) -> Result<(), ExitReason> {
        let live = &self.live;
        if !live.settled.load(Ordering::Acquire)
            && let Some(damaged) = live.instead_of
        {
            let known = live.sessions.set_worker(&live.spec(), Some(live.worker.id())).await;
            known.map_err(|_| ExitReason::StoreUnavailable)?;
            live.shared.launcher.remove_profile(damaged).await;
        }
        live.settled.store(true, Ordering::Release);
        Ok(())
    }

    fn set_deadline(&mut self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.deadline = Some(self.live.shared.clock.now().saturating_add(after));
    }

    fn check_deadline(&self) -> Result<(), ExitReason> {
        if self.deadline.is_none_or(|at| self.live.shared.clock.now() < at) {
            return Ok(());
        }
        Err(match self.before.as_ref().map(|state| state.stage) {
            Some(Stage::Login) => ExitReason::LoginExpired,
            Some(Stage::Offline) => ExitReason::Disconnected { detail: "the network did not come back".to_owned() },
            _ => ExitReason::TimedOut { detail: "the page did not become ready".to_owned() },
        })
    }
}

#[derive(serde::Deserialize)]
struct Walked {
    events: Vec<serde_json::Value>,
    next: Option<u64>,
}

/// What happened to an own message while nobody listened.
fn ack_of(heard: &Heard) -> Option<Heard> {
    let EventKind::Message(message) = &heard.kind else { return None };
    if !message.from_me || i8::from(message.ack) < 1 {
        return None;
    }
    let ack = i8::from(message.ack);
    let event =
        PageEvent::Ack { id: message.id.clone(), chat: message.chat.clone(), from_me: true, participant: None, ack };
    event.heard(i64::MIN, |_| false)
}
