//! `GET /api/events`: the events of the WebSocket as server-sent events, for clients that have nothing but HTTP. The gate is
//! the same: a client that does not read is cut off.

use super::gate::{Frame, Gate};
use super::socket::Sockets;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::frames;
use crate::store::Store;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::Stream;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Interval;

/// A line without meaning keeps proxies from closing a connection on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One client.
struct Told {
    sockets: Arc<Sockets>,
    gate: (u64, Arc<Gate>),
    frames: mpsc::UnboundedReceiver<Frame>,
    alive: Interval,
}

impl Stream for Told {
    type Item = Result<Bytes, Infallible>;

    /// Is called only while the connection takes more.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = self.sockets.now();
        self.gate.1.heard_from(now);
        if let Poll::Ready(frame) = self.frames.poll_recv(context) {
            return Poll::Ready(frame.map(|Frame(text)| {
                self.gate.1.handled(text.len(), now);
                Ok(text.into_bytes())
            }));
        }
        self.alive.poll_tick(context).map(|_| Some(Ok(Bytes::from_static(b":\n\n"))))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.sockets.leave(self.gate.0, &self.gate.1);
    }
}

/// An event as a browser's `EventSource` reads it. JSON has no line breaks.
fn dress(name: &str, seq: Option<i64>, frame: String) -> String {
    let id = seq.map(|seq| format!("id: {}\n", frames::cursor(seq))).unwrap_or_default();
    format!("{id}event: {name}\ndata: {frame}\n\n")
}

/// Events as they happen. `session` and `events` choose, as on the WebSocket; `Last-Event-ID` (or `since`) brings what was
/// missed after that event first.
///
/// # Errors
/// 400 for parameters that make no sense, 401 without a key, 429 when the tenant has too many open sockets and streams.
#[utoipa::path(get, path = "/api/events", tag = "events",
    params(("session" = Option<String>, Query, description = "A name, or `*`", example = "default"),
        ("events" = Option<String>, Query, description = "Names, separated by commas", example = "message,session.status"),
        ("since" = Option<String>, Query, description = "The `cursor` of an event", example = "j1a"),
        ("Last-Event-ID" = Option<String>, Header, example = "j4711", description = "The same, as browsers send it")),
    responses((status = 200, description = "A stream of events", content_type = "text/event-stream"),
        (status = 400, description = "Bad parameters"), (status = 429, description = "Too many open sockets")))]
pub async fn open(
    request: HttpRequest,
    caller: Caller,
    sockets: web::Data<Sockets>,
    store: web::Data<Store>,
) -> Result<HttpResponse, ApiError> {
    let asked = sockets.admit(&request, caller.0)?;
    let (tell, frames) = mpsc::unbounded_channel();
    let line = Box::new(move |frame| drop(tell.send(frame)));
    let sockets = sockets.into_inner();
    let gate = sockets.enter(&store, asked, (line, dress));
    let alive = tokio::time::interval(KEEP_ALIVE);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(Told { sockets, gate, frames, alive }))
}
