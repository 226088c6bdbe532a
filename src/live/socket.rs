//! `/ws`: events as they happen, with filters and resumption. Built with actix-web-actors; the watchdog is in [`super::gate`].

use super::gate::{Conn, Dress, Filter, Frame, Gate, Line};
use crate::api::shape::qr_png;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::frames::{self, Face};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::repo::identity::{Action, Holder};
use actix::prelude::*;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use base64::Engine as _;
use dashmap::DashMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use wardroom_actors::domain::event::Event;
use wardroom_actors::domain::ids::{SessionName, TenantId, UserId};
use wardroom_actors::handle::Handle;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::journal::EventSink;

const PING_EVERY: Duration = Duration::from_secs(10);

/// All open sockets.
pub struct Sockets {
    gates: DashMap<u64, Arc<Gate>>,
    next: AtomicU64,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Set once the kernel runs; events carry faces that it knows.
    handle: OnceLock<Handle>,
    per_tenant: usize,
}

impl Sockets {
    /// No sockets yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>, per_tenant: usize) -> Self {
        let (gates, next, handle) = (DashMap::new(), AtomicU64::new(0), OnceLock::new());
        Self { gates, next, clock, metrics, handle, per_tenant }
    }

    /// From now on frames tell whose they are.
    pub fn connect(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    /// Cuts off clients that do not read or are gone; to be called every second.
    pub fn watch(&self) {
        let now = self.clock.now();
        for gate in self.gates.iter() {
            if let Some(cause) = gate.overdue(now) {
                self.metrics.evicted(cause);
                gate.evict();
            }
        }
    }

    fn of_tenant(&self, tenant: TenantId) -> usize {
        self.gates.iter().filter(|gate| gate.filter.holder.tenant == tenant).count()
    }

    /// A client is here: it hears what is new, after what it missed.
    pub(super) fn enter(
        self: &Arc<Self>,
        store: &Store,
        (filter, since, conn): Asked,
        line: (Line, Dress),
    ) -> (u64, Arc<Gate>) {
        let id = self.next.fetch_add(1, Ordering::AcqRel);
        let gate = Arc::new(Gate::new(filter, line, conn, self.clock.now(), since.is_some()));
        self.gates.insert(id, Arc::clone(&gate));
        self.metrics.socket(1);
        if let Some(after) = since {
            let (sockets, reader, gate) = (Arc::clone(self), store.clone(), Arc::clone(&gate));
            store.spawn(async move { sockets.replay(reader, gate, after).await });
        }
        (id, gate)
    }

    /// It is gone.
    pub(super) fn leave(&self, id: u64, gate: &Gate) {
        gate.evict();
        self.gates.remove(&id);
        self.metrics.socket(-1);
    }

    /// Closes what was opened with a key: it may do something else now, or nothing.
    pub fn forget(&self, key: uuid::Uuid) {
        self.gates.iter().filter(|gate| gate.filter.holder.key == key).for_each(|gate| gate.evict());
    }

    /// Closes what was opened in a stay.
    pub fn forget_stay(&self, stay: uuid::Uuid) {
        self.gates.iter().filter(|gate| gate.filter.holder.stay == Some(stay)).for_each(|gate| gate.evict());
    }

    /// Closes what a person has opened.
    pub fn forget_person(&self, tenant: TenantId, user: UserId) {
        let theirs = |holder: &Holder| holder.role.is_some() && (holder.tenant, holder.user) == (tenant, user);
        self.gates.iter().filter(|gate| theirs(&gate.filter.holder)).for_each(|gate| gate.evict());
    }

    /// Closes what was opened by those who may not do any more what they might then; to be called twice a second. Another process
    /// may have changed that.
    ///
    /// # Errors
    /// The database's; then nothing is closed.
    pub async fn look_again(&self, store: &Store) -> Result<(), PortError> {
        let held: HashSet<Holder> = self.gates.iter().map(|gate| gate.filter.holder).collect();
        if held.is_empty() {
            return Ok(());
        }
        let lasting: HashSet<Holder> = store.lasting(held.iter().copied().collect()).await?.into_iter().collect();
        let gone: HashSet<Holder> = held.difference(&lasting).copied().collect();
        if !gone.is_empty() {
            store.forget_keys();
        }
        self.gates.iter().filter(|gate| gone.contains(&gate.filter.holder)).for_each(|gate| gate.evict());
        Ok(())
    }

    /// The clock that gates count by.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// What a client asks for, if there is room for it.
    ///
    /// # Errors
    /// 400, 429.
    pub(super) fn admit(&self, request: &HttpRequest, holder: Holder) -> Result<Asked, ApiError> {
        let (filter, since) = parameters(request, holder)?;
        if self.of_tenant(holder.tenant) >= self.per_tenant {
            return Err(ApiError::new("too_many_requests", "This tenant has too many open sockets"));
        }
        let conn = request.conn_data::<Conn>().map(|conn| Arc::downgrade(&conn.0)).unwrap_or_default();
        Ok((filter, since, conn))
    }

    /// Sends an event to one socket, if it wants it and has not seen it.
    fn deliver(&self, gate: &Gate, event: &Event) {
        if event.seq.is_some_and(|seq| seq <= gate.last.load(Ordering::Acquire)) {
            return;
        }
        let Some(handle) = self.handle.get() else { return };
        // Another session may have the name by now.
        let seen = handle.session(event.key.tenant, &event.session).ok();
        let seen = seen.filter(|seen| seen.spec.id == event.key.session);
        let holder = gate.filter.holder;
        let reached = seen.as_ref().is_some_and(|seen| holder.reaches(seen.spec.user, seen.spec.id));
        if !reached && !holder.reaches_all() {
            return;
        }
        let face = seen.as_ref().map(Face::of).unwrap_or_default();
        let mut out = frames::frames(event, &face);
        if frames::shows_qr(event)
            && holder.may(Action::Control)
            && gate.filter.wants(&event.session, frames::QR)
            && let Some(qr) = seen.as_ref().and_then(|seen| seen.view.qr.as_ref())
            && let Ok(png) = qr_png(&qr.text)
        {
            let image = base64::engine::general_purpose::STANDARD.encode(png);
            out.push((frames::QR, frames::qr_frame(event, &face, qr, &image)));
        }
        for (name, frame) in out {
            if gate.filter.wants(&event.session, name)
                && let Err(cause) = gate.offer((gate.dress)(name, event.seq, frame), self.clock.now())
            {
                if cause != "gone" {
                    self.metrics.evicted(cause);
                }
                return;
            }
        }
        if let Some(seq) = event.seq {
            gate.last.store(seq, Ordering::Release);
        }
    }

    /// Waits until the client has read most of what it was sent.
    async fn room(&self, gate: &Gate) {
        while !gate.keeps_up() && !gate.is_gone() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads what a socket missed, as fast as its client does, then lets it go live.
    async fn replay(&self, store: Store, gate: Arc<Gate>, mut after: i64) {
        const PAGE: u64 = 100;
        gate.last.store(after, Ordering::Release);
        let pruned = store.pruned_upto().await.unwrap_or_default();
        if pruned > after {
            let frame = (gate.dress)("gap", Some(pruned), frames::gap_frame(pruned));
            let _ = gate.offer(frame, self.clock.now());
        }
        while !gate.is_gone() {
            let Ok(events) = store.events_after(gate.filter.holder.tenant, after, PAGE).await else { break };
            for event in &events {
                self.room(&gate).await;
                self.deliver(&gate, event);
                after = event.seq.unwrap_or(after);
            }
            if events.is_empty() {
                while let Some(event) = gate.release() {
                    self.room(&gate).await;
                    self.deliver(&gate, &event);
                }
                return;
            }
        }
        gate.evict();
    }
}

impl EventSink for Sockets {
    fn publish(&self, event: Event) {
        let event = Arc::new(event);
        for gate in self.gates.iter() {
            if gate.filter.holder.tenant == event.key.tenant && !gate.hold(&event) {
                self.deliver(&gate, &event);
            }
        }
    }
}

/// What a client asked for: which events, after which place, over which connection.
pub(super) type Asked = (Filter, Option<i64>, Weak<std::net::TcpStream>);

struct PushSocket {
    sockets: Arc<Sockets>,
    store: Store,
    filter: Filter,
    since: Option<i64>,
    conn: Weak<std::net::TcpStream>,
    gate: Option<(u64, Arc<Gate>)>,
}

impl Actor for PushSocket {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let recipient = ctx.address().recipient();
        let line: Line = Box::new(move |frame| recipient.do_send(frame));
        let asked = (self.filter.clone(), self.since, Weak::clone(&self.conn));
        self.gate = Some(self.sockets.enter(&self.store, asked, (line, |_, _, frame| frame)));
        ctx.run_interval(PING_EVERY, |_, ctx| ctx.ping(b""));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some((id, gate)) = self.gate.take() {
            self.sockets.leave(id, &gate);
        }
    }
}

impl Handler<Frame> for PushSocket {
    type Result = ();

    fn handle(&mut self, Frame(text): Frame, ctx: &mut Self::Context) {
        if let Some((_, gate)) = &self.gate {
            gate.handled(text.len(), self.sockets.clock.now());
        }
        ctx.text(text);
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for PushSocket {
    fn handle(&mut self, item: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        if let Some((_, gate)) = &self.gate {
            gate.heard_from(self.sockets.clock.now());
        }
        match item {
            Ok(ws::Message::Ping(data)) => ctx.pong(&data),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            // Clients have nothing to say here; what they say is not kept.
            Ok(_) => {}
            Err(_) => ctx.stop(),
        }
    }
}

/// `GET /ws`
///
/// # Errors
/// 401 without a key, 400 for parameters that make no sense, 429 when the tenant has too many sockets.
pub async fn open(
    request: HttpRequest,
    stream: web::Payload,
    caller: Caller,
    sockets: web::Data<Sockets>,
    store: web::Data<Store>,
) -> actix_web::Result<HttpResponse> {
    let (filter, since, conn) = sockets.admit(&request, caller.0)?;
    let socket =
        PushSocket { sockets: sockets.into_inner(), store: Store::clone(&store), filter, since, conn, gate: None };
    ws::start(socket, &request, stream)
}

fn cursor(text: &str) -> Result<i64, ApiError> {
    frames::read_cursor(text).ok_or_else(|| ApiError::invalid("since must be a cursor that an event carried"))
}

fn parameters(request: &HttpRequest, holder: Holder) -> Result<(Filter, Option<i64>), ApiError> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| ApiError::invalid(error.to_string()))?
        .into_inner();
    let (mut session, mut names, mut since) = (None, HashSet::new(), None);
    for (key, value) in pairs {
        match key.as_str() {
            "session" if value == "*" => session = None,
            "session" => session = Some(SessionName::parse(&value).map_err(|bad| ApiError::invalid(bad.to_string()))?),
            "events" => {
                names.extend(value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()))
            }
            "since" => since = Some(cursor(&value)?),
            _ => {}
        }
    }
    // What a browser says by itself when it comes back to a stream.
    if let Some(last) = request.headers().get("last-event-id") {
        since = Some(cursor(last.to_str().unwrap_or_default())?);
    }
    if let Some(unknown) = names.iter().find(|name| *name != "*" && !frames::NAMES.contains(&name.as_str())) {
        return Err(ApiError::invalid(format!("events must not contain {unknown:?}: there is no such event")));
    }
    let everything = names.is_empty() || names.contains("*");
    let extra: HashSet<_> =
        names.iter().filter(|name| *name == frames::QR || *name == "engine.event").cloned().collect();
    // `*` together with a secret by name means everything and that secret.
    let names = match (everything, extra.is_empty()) {
        (true, true) => None,
        (true, false) => {
            let plain = frames::NAMES.iter().filter(|name| **name != frames::QR && **name != "engine.event");
            Some(plain.map(|name| (*name).to_owned()).chain(extra).collect())
        }
        (false, _) => Some(names),
    };
    Ok((Filter { holder, session, names }, since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::repo::identity::Actions;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_socket_wants_is_read_or_refused(
            query in "((session|events|since|x)=(\\*|message|session\\.status|auth\\.qr|j[0-9a-f]{1,16}|[a-zA-Z0-9.,*%_-]{0,20})&){0,4}|[a-z=&%+0-9]{0,60}",
            last in proptest::option::of("j[0-9a-f]{1,16}|[ -~]{0,30}"),
        ) {
            let mut request = TestRequest::with_uri(&format!("/ws?{query}"));
            if let Some(last) = &last {
                request = request.insert_header(("last-event-id", last.as_str()));
            }
            let holder = Holder {
                key: uuid::Uuid::nil(),
                stay: None,
                role: None,
                has_second_factor: false,
                tenant: TenantId::generate(),
                user: UserId::generate(),
                is_admin: false,
                session: None,
                actions: Actions::NONE,
                files: false,
            };
            if let Ok((filter, since)) = parameters(&request.to_http_request(), holder) {
                let known = |name: &String| frames::NAMES.contains(&name.as_str());
                prop_assert!(filter.names.as_ref().is_none_or(|names| !names.is_empty() && names.iter().all(known)));
                let tells = |name| filter.names.as_ref().is_some_and(|names| names.contains(name));
                prop_assert!(!tells(frames::QR) || query.contains(frames::QR), "only to who names it");
                if let Some(last) = &last {
                    prop_assert!(since.is_some() && since == frames::read_cursor(last), "a cursor that was given out");
                }
            }
        }
    }
}
