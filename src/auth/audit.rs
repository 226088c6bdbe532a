//! What is recorded of requests, after their outcome: everything that changes something, who is let in and who is refused, and that
//! keys are used.
//!
//! What changes something is recorded before it is answered. What comes often (messages that are sent, refusals) is recorded when it
//! comes for the first time, and then counted: one record a minute says how often. Session names, chats and addresses are personal.

use super::{Door, Holder, need};
use crate::error::Code;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::repo::audit::{Edge, Fact};
use crate::store::repo::own::SERVER;
use crate::store::repo::people::Login;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::http::header::USER_AGENT;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::clock::Clock;

/// Records that wait.
const QUEUE: usize = 10_000;
/// Records that are written at once.
const GROUP: usize = 500;
/// How long records wait for others, if nobody waits for them.
const LINGER: Duration = Duration::from_millis(100);
/// How long a database that did not take them is left alone.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an answer waits for its record, and the end of the server for the last of them.
const WAIT: Duration = Duration::from_secs(1);
const CLOSE: Duration = Duration::from_secs(3);
/// How long something is counted before it is said how often it came, in milliseconds; of callers whom nobody knows; and how long a
/// key that is used from one address is not told of again.
const COUNTED_MS: u64 = 60_000;
const NOBODY_MS: u64 = 600_000;
const USED_MS: u64 = 24 * 3600 * 1000;
/// Things of one tenant that are counted; of what else comes the address is not told. Of callers whom nobody knows they are fewer.
const MOST: usize = 1_000;
const MOST_OF_NOBODY: usize = 200;
/// How often the ends of chains are told.
const TOLD: Duration = Duration::from_secs(60);
/// Characters that are kept of what a client calls itself, and of each part of a path.
const SHOWN: usize = 200;

/// Something that an operator did; over HTTP from an address.
///
/// # Errors
/// The database's.
pub async fn told(
    store: &Store,
    tenant: Option<TenantId>,
    what: &str,
    about: Option<Uuid>,
    address: Option<&str>,
) -> Result<(), PortError> {
    let record = json!({"what": what, "by": "operator", "about": about}).to_string();
    let personal = address.map(|address| ("address".to_owned(), address.into())).into_iter().collect();
    store.audit(vec![Fact { tenant, user: None, at_ms: store.unix_ms(), record, personal }]).await
}

/// Who did something; left in the request by whoever finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    tenant: TenantId,
    user: UserId,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Key(Uuid),
    Stay(Uuid),
    /// Somebody said who they are, and has not shown it.
    Claim,
    Nobody,
}

impl From<Holder> for Actor {
    fn from(holder: Holder) -> Self {
        let by = holder.stay.map_or(By::Key(holder.key), By::Stay);
        Self { tenant: holder.tenant, user: holder.user, by }
    }
}

impl From<&Login> for Actor {
    fn from(login: &Login) -> Self {
        Self { tenant: login.tenant, user: login.user, by: By::Claim }
    }
}

/// What somebody showed that was right; left in the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Shown(pub &'static [&'static str]);

/// What a request made; left with its response.
#[derive(Clone, Copy)]
struct Made(Uuid);

/// Says what a request made.
#[must_use]
pub fn made(mut response: HttpResponse, id: Uuid) -> HttpResponse {
    response.extensions_mut().insert(Made(id));
    response
}

/// What is said of everything that is recorded.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct What {
    what: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    by: By,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Shown>,
}

impl What {
    /// Something that no request did.
    fn done(what: &str, user: Option<UserId>) -> Self {
        Self {
            what: what.to_owned(),
            status: 0,
            code: None,
            by: By::Nobody,
            user: user.map(|user| user.0),
            shown: None,
        }
    }
}

/// Something that comes often.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Often {
    what: What,
    address: String,
    /// Whom else it is about.
    about: String,
}

impl From<(What, String)> for Often {
    fn from((what, address): (What, String)) -> Self {
        Self { what, address, about: String::new() }
    }
}

struct Count {
    /// How often it came since it was last told of.
    untold: u64,
    until: u64,
}

/// By whose chain it stands in, so that nobody's many things are another one's loss.
type Counts = Mutex<HashMap<Option<TenantId>, HashMap<Often, Count>>>;

struct Job {
    fact: Fact,
    done: Option<oneshot::Sender<()>>,
}

enum Asked {
    Record(Box<Job>),
    Close(oneshot::Sender<()>),
}

/// Who records.
pub struct Auditor {
    queue: mpsc::Sender<Asked>,
    often: Counts,
    /// From where keys are used.
    uses: Counts,
    closing: Arc<AtomicBool>,
    store: Store,
    /// The ends of chains that were told of.
    ends: Mutex<HashMap<TenantId, i64>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Auditor {
    /// Begins to record.
    #[must_use]
    pub fn start(store: Store, clock: Arc<dyn Clock>, metrics: Arc<Metrics>, io: &tokio::runtime::Handle) -> Arc<Self> {
        let (queue, asked) = mpsc::channel(QUEUE);
        let auditor = Arc::new(Self {
            queue,
            often: Counts::default(),
            uses: Counts::default(),
            closing: Arc::default(),
            store: store.clone(),
            ends: Mutex::default(),
            clock,
            metrics: Arc::clone(&metrics),
        });
        io.spawn(write(store, metrics, asked, Arc::clone(&auditor.closing)));
        let counts = Arc::downgrade(&auditor);
        io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            while let Some(auditor) = counts.upgrade() {
                auditor.tell(false);
                drop(auditor);
                second.tick().await;
            }
        });
        let ends = Arc::downgrade(&auditor);
        io.spawn(async move {
            let mut minute = tokio::time::interval(TOLD);
            while let Some(auditor) = ends.upgrade() {
                auditor.tell_ends();
                drop(auditor);
                minute.tick().await;
            }
        });
        auditor
    }

    /// Where chains end that have grown: copies that leave the machine.
    fn tell_ends(&self) {
        let mut told = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, Edge { seq, hash }) in self.store.grown_chains(&mut told) {
            tracing::info!(%tenant, seq, hash = hex::encode(hash), "audit checkpoint");
        }
    }

    /// Records what is left, if the database takes it soon.
    pub async fn close(&self) {
        self.tell(true);
        self.closing.store(true, Ordering::Release);
        let (done, closed) = oneshot::channel();
        let closing = async {
            self.queue.send(Asked::Close(done)).await.map_err(drop)?;
            closed.await.map_err(drop)
        };
        if !matches!(tokio::time::timeout(CLOSE, closing).await, Ok(Ok(()))) {
            tracing::error!("not everything that was done is recorded");
        }
        self.tell_ends();
    }

    /// Records something; answers when it stands.
    async fn record(&self, fact: Fact) {
        let (done, stands) = oneshot::channel();
        let asked = Asked::Record(Box::new(Job { fact, done: Some(done) }));
        match tokio::time::timeout(WAIT, self.queue.send(asked)).await {
            Ok(Ok(())) => {
                if !matches!(tokio::time::timeout(WAIT, stands).await, Ok(Ok(()))) {
                    tracing::warn!("what was done is answered before it is recorded");
                }
            }
            _ => self.metrics.audit_lost(1),
        }
    }

    fn post(&self, fact: Fact) {
        if self.queue.try_send(Asked::Record(Box::new(Job { fact, done: None }))).is_err() {
            self.metrics.audit_lost(1);
        }
    }

    /// Something that comes often, this time in that request.
    fn count(&self, counts: &Counts, tenant: Option<TenantId>, mut one: Often, window_ms: u64, request: Option<&str>) {
        let now = self.clock.now();
        let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let often = all.entry(tenant).or_default();
        let most = if tenant.is_some() { MOST } else { MOST_OF_NOBODY };
        if often.len() >= most && !often.contains_key(&one) {
            one.address.clear();
            one.about.clear();
        }
        match often.get_mut(&one) {
            Some(count) => count.untold += 1,
            None => {
                let fact = self.fact(tenant, &one, 1, request);
                often.insert(one, Count { untold: 0, until: now.saturating_add(window_ms) });
                drop(all);
                self.post(fact);
            }
        }
    }

    /// Tells how often things came whose time is over.
    fn tell(&self, all: bool) {
        let now = self.clock.now();
        let over = |counts: &Counts| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let mut over = vec![];
            for (tenant, often) in counts.iter_mut() {
                let ended = often.extract_if(|_, count| all || count.until <= now);
                over.extend(ended.map(|(one, count)| (*tenant, one, count.untold)));
            }
            counts.retain(|_, often| !often.is_empty());
            over
        };
        for (tenant, one, untold) in over(&self.often).into_iter().filter(|(_, _, untold)| *untold > 0) {
            self.post(self.fact(tenant, &one, untold, None));
        }
        // That a key is used is not counted.
        over(&self.uses);
    }

    fn fact(&self, tenant: Option<TenantId>, one: &Often, times: u64, request: Option<&str>) -> Fact {
        let mut record = json!(one.what);
        if let Some(fields) = record.as_object_mut() {
            fields.extend(request.map(|id| ("request".to_owned(), id.into())));
            fields.extend((times > 1).then(|| ("times".to_owned(), times.into())));
        }
        let mut personal = Map::new();
        for (name, text) in [("address", &one.address), ("about", &one.about)] {
            if !text.is_empty() {
                personal.insert(name.to_owned(), text.as_str().into());
            }
        }
        let (user, at_ms) = (one.what.user.map(UserId), self.clock.unix_ms());
        Fact { tenant, user, at_ms, record: record.to_string(), personal }
    }

    /// Something that no request did: the tenant's, or the server's own.
    pub fn note(&self, tenant: Option<TenantId>, user: Option<UserId>, what: &str, address: String) {
        self.count(&self.often, tenant, (What::done(what, user), address).into(), COUNTED_MS, None);
    }

    /// Something that operators hear of. It is counted apart from callers whom nobody knows: an attack does not hide it.
    pub fn alerted(&self, what: &str, about: String) {
        let one = Often { what: What::done(what, None), address: String::new(), about };
        self.count(&self.often, Some(SERVER.0), one, COUNTED_MS, None);
    }

    /// Something that opens the server was shown there, and was right; told once a day.
    pub fn used(&self, what: &str, address: String) {
        self.count(&self.uses, None, (What::done(what, None), address).into(), USED_MS, None);
    }

    /// A request was answered, and is about to be told so.
    pub async fn hear(&self, answered: &ServiceResponse<BoxBody>, request_id: &str) {
        let (request, status) = (answered.request(), answered.status().as_u16());
        let Some(pattern) = request.match_pattern() else { return };
        let actor = request.extensions().get::<Actor>().copied();
        let code = answered.response().extensions().get::<Code>().map(|code| code.0);
        let address = request.app_data::<web::Data<Door>>().map(|door| door.network(request)).unwrap_or_default();
        let Some(actor) = actor else {
            // What nobody did is told of where somebody was refused; which path it was is whatever they made up.
            if matches!(status, 401 | 403 | 429) {
                let what = What { status, code, ..What::done(REFUSED, None) };
                self.count(&self.often, None, (what, address).into(), NOBODY_MS, Some(request_id));
            }
            return;
        };
        let (verb, reads) = match *request.method() {
            Method::GET | Method::HEAD | Method::OPTIONS => (request.method().as_str(), true),
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => (request.method().as_str(), false),
            // Whoever calls may call it anything.
            _ => ("OTHER", false),
        };
        let (tenant, user) = (Some(actor.tenant), Some(actor.user));
        let shown = request.extensions().get::<Shown>().copied();
        let (what, user_id) = (format!("{verb} {pattern}"), Some(actor.user.0));
        let what = What { what, status, code, by: actor.by, user: user_id, shown };
        if status >= 400 || status == 101 || (!reads && need::comes_often(&pattern)) {
            self.count(&self.often, tenant, (what, address).into(), COUNTED_MS, Some(request_id));
        } else if reads {
            let what = What { what: USED.to_owned(), status: 0, code: None, ..what };
            self.count(&self.uses, tenant, (what, address).into(), USED_MS, Some(request_id));
        } else {
            let made = answered.response().extensions().get::<Made>().map(|made| made.0);
            let mut record = json!(what);
            if let Some(fields) = record.as_object_mut() {
                fields.insert("request".to_owned(), request_id.into());
                if let Some(made) = made {
                    fields.insert("made".to_owned(), json!(made));
                }
            }
            let (record, personal) = (record.to_string(), personal(request, address));
            self.record(Fact { tenant, user, at_ms: self.clock.unix_ms(), record, personal }).await;
        }
    }
}

/// What is said when a key, or a stay, is used from an address for the first time of a day.
const USED: &str = "used";
/// What is said of callers whom nobody knows.
const REFUSED: &str = "refused";

/// What of a request tells of somebody.
fn personal(request: &HttpRequest, address: String) -> Map<String, Value> {
    let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let short = |text: &str| Value::from(text.chars().filter(|c| !c.is_control()).take(SHOWN).collect::<String>());
    let path: Map<_, _> = request.match_info().iter().map(|(name, value)| (name.to_owned(), short(value))).collect();
    let mut personal = Map::new();
    personal.insert("address".to_owned(), address.into());
    if !agent.is_empty() {
        personal.insert("agent".to_owned(), short(agent));
    }
    if !path.is_empty() {
        personal.insert("path".to_owned(), path.into());
    }
    personal
}

/// Writes in groups what comes; what does not get in is tried again.
async fn write(store: Store, metrics: Arc<Metrics>, mut asked: mpsc::Receiver<Asked>, closing: Arc<AtomicBool>) {
    let mut closed = None;
    while closed.is_none() {
        let Some(first) = asked.recv().await else { return };
        let mut group = vec![];
        let mut next = Some(first);
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        while let Some(one) = next.take() {
            match one {
                Asked::Record(job) => {
                    let is_awaited = job.done.is_some();
                    group.push(*job);
                    next = if group.len() >= GROUP {
                        None
                    } else if is_awaited {
                        asked.try_recv().ok()
                    } else {
                        tokio::select! {
                            one = asked.recv() => one,
                            () = &mut linger => None,
                        }
                    };
                }
                Asked::Close(done) => closed = Some(done),
            }
        }
        let (facts, done): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.fact, job.done)).unzip();
        if stand(&store, &facts, &closing).await {
            metrics.audited(facts.len() as u64);
            for done in done.into_iter().flatten() {
                let _ = done.send(());
            }
        } else {
            metrics.audit_lost(facts.len() as u64);
        }
    }
    if let Some(closed) = closed {
        let _ = closed.send(());
    }
}

/// Whether facts are recorded; a database that is away is waited for, but not by a server that ends.
async fn stand(store: &Store, facts: &[Fact], closing: &AtomicBool) -> bool {
    loop {
        let error = match store.audit(facts.to_vec()).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        tracing::warn!(%error, records = facts.len(), "what was done is not recorded yet");
        if error != PortError::Unavailable || closing.load(Ordering::Acquire) {
            return false;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;
    use wardroom_actors::testing::SharedClock;

    struct Ground {
        auditor: Arc<Auditor>,
        store: Store,
        clock: Arc<SharedClock>,
    }

    async fn ground() -> Ground {
        let clock = Arc::new(SharedClock::default());
        let store = testing::store(Arc::clone(&clock) as _).await;
        let (same, metrics) = (Arc::clone(&clock), Arc::new(Metrics::new().unwrap()));
        let auditor = Auditor::start(store.clone(), same, metrics, &tokio::runtime::Handle::current());
        Ground { auditor, store, clock }
    }

    fn refused(tenant: Option<(TenantId, UserId)>, address: &str) -> (Option<TenantId>, Often) {
        let (by, user) = match tenant {
            Some((_, user)) => (By::Key(user.0), Some(user.0)),
            None => (By::Nobody, None),
        };
        let what = What { what: "GET /api/keys".to_owned(), status: 403, code: None, by, user, shown: None };
        (tenant.map(|tenant| tenant.0), (what, address.to_owned()).into())
    }

    fn tells(link: &crate::store::repo::audit::Link, address: &str) -> bool {
        matches!(&link.personal, crate::store::repo::audit::Personal::Open(text) if text.contains(address))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_often_is_told_once_and_counted() {
        let Ground { auditor, store, clock } = ground().await;
        let tenant = store.create_tenant("t").await.unwrap().unwrap();
        let user = store.user_named(tenant, "owner").await.unwrap();
        let again = || {
            let (tenant, one) = refused(Some((tenant, user)), "203.0.113.7");
            auditor.count(&auditor.often, tenant, one, COUNTED_MS, Some("req_1"));
        };
        (0..50).for_each(|_| again());
        clock.0.advance(COUNTED_MS);
        auditor.tell(false);
        again();
        auditor.close().await;
        let links = store.audited(tenant, None, 10).await.unwrap();
        let times: Vec<_> = links.iter().map(|link| link.record.contains("\"times\":49")).collect();
        assert_eq!(times, [false, true, false], "{links:?}");
        assert!(links.iter().all(|link| tells(link, "203.0.113.7")));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_pushes_others_out() {
        let Ground { auditor, store, clock: _ } = ground().await;
        let (loud, quiet) = (store.create_tenant("loud").await.unwrap(), store.create_tenant("quiet").await.unwrap());
        let owner = async |tenant: TenantId| (tenant, store.user_named(tenant, "owner").await.unwrap());
        let (loud, quiet) = (owner(loud.unwrap()).await, owner(quiet.unwrap()).await);
        for n in 0..MOST + 500 {
            for who in [Some(loud), None] {
                let (tenant, one) = refused(who, &format!("address {n}."));
                auditor.count(&auditor.often, tenant, one, COUNTED_MS, Some("req_1"));
            }
        }
        let (tenant, one) = refused(Some(quiet), "203.0.113.7");
        auditor.count(&auditor.often, tenant, one, COUNTED_MS, Some("req_1"));
        auditor.close().await;
        let links = store.audited(loud.0, None, 5_000).await.unwrap();
        assert_eq!(links.len(), MOST + 2, "those, one without an address, and how often that came");
        assert!(links[0].record.contains("\"times\":499") && links[0].record.contains(&loud.1.to_string()));
        let own = store.audited(crate::store::repo::own::SERVER.0, None, 5_000).await.unwrap();
        assert_eq!(own.len(), MOST_OF_NOBODY + 2);
        assert!(tells(&store.audited(quiet.0, None, 2).await.unwrap()[0], "203.0.113.7"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_ends_although_its_database_is_away() {
        let Ground { auditor, store, clock: _ } = ground().await;
        store.close().await;
        let (tenant, one) = refused(None, "203.0.113.7");
        auditor.count(&auditor.often, tenant, one, COUNTED_MS, Some("req_1"));
        tokio::time::timeout(CLOSE + WAIT, auditor.close()).await.unwrap();
    }
}
