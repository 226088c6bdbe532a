//! Around every request: its id, which the client gets back and every error carries, what is counted of it, and what a body
//! that nobody can read is told.

use crate::auth::Door;
use crate::auth::audit::Auditor;
use crate::connections::Crowded;
use crate::error::{ApiError, Code, REQUEST_ID};
use crate::live::gate::Conn;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use actix_cors::Cors;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::JsonPayloadError::{ContentType, Overflow, OverflowKnownLength, Payload as Broken};
use actix_web::error::PayloadError;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError as _, web};
use futures_util::{StreamExt as _, stream};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use wardroom_actors::domain::ids::TenantId;

/// Bad input, in the words of whoever could not read it.
#[must_use]
pub fn bad_input(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid(error.to_string())
}

/// A body that did not come whole.
#[must_use]
pub fn broken(error: &PayloadError) -> ApiError {
    match error {
        PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            ApiError::new("too_slow", "The body came too slowly")
        }
        error => bad_input(error),
    }
}

/// Bodies in JSON of at most so many bytes.
#[must_use]
pub fn bodies(limit: usize) -> web::JsonConfig {
    web::JsonConfig::default().limit(limit).error_handler(move |error, _| {
        match error {
            Overflow { .. } | OverflowKnownLength { .. } => {
                ApiError::new("payload_too_large", format!("The body may have {limit} bytes"))
            }
            ContentType => ApiError::new("unsupported_media_type", "The body must be application/json"),
            Broken(error) => broken(&error),
            other => bad_input(&other),
        }
        .into()
    })
}

/// What somebody hears on a connection too many.
fn crowded() -> HttpResponse {
    let error = ApiError::new("too_many_requests", "Too many connections from this address").retry(1);
    let mut answer = error.error_response();
    answer.head_mut().set_connection_type(ConnectionType::Close);
    answer
}

/// Bytes a second that a body has to come at, on the whole.
const SLOWEST: u64 = 16 << 10;
/// How long any body may take.
const SHORT: Duration = Duration::from_secs(30);

/// How long a body may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the next part of it.
    pub stall: Duration,
    /// Bytes of one whose length is not told.
    pub most: u64,
}

/// A body without a told length that is being read.
struct Chunked {
    /// All of it was read.
    whole: Arc<AtomicBool>,
    stall: Duration,
    connection: Weak<TcpStream>,
}

impl Patience {
    /// Gives up a body that comes too slowly: whoever sends many of those would keep connections for nothing.
    fn bound(self, request: ServiceRequest) -> (ServiceRequest, Option<Chunked>) {
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        // No handler reads a body of these, and a socket's frames look like one.
        if matches!(*request.method(), Method::GET | Method::HEAD) && !is_chunked {
            return (request, None);
        }
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let deadline = SHORT + Duration::from_secs(length.unwrap_or(self.most).min(self.most) / SLOWEST);
        let connection = request.request().conn_data::<Conn>().map(|conn| Arc::downgrade(&conn.0));
        let (request, body) = request.into_parts();
        let whole = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&whole);
        let state = Some((body, Box::pin(tokio::time::sleep(deadline))));
        let parts = stream::unfold(state, move |state| {
            let ended = Arc::clone(&ended);
            async move {
                let (mut body, mut deadline) = state?;
                let part = tokio::select! {
                    biased;
                    () = &mut deadline => Err(()),
                    part = tokio::time::timeout(self.stall, body.next()) => part.map_err(drop),
                };
                match part {
                    Ok(Some(part)) => Some((part, Some((body, deadline)))),
                    Ok(None) => {
                        ended.store(true, Ordering::Release);
                        None
                    }
                    Err(()) => Some((Err(PayloadError::Io(io::ErrorKind::TimedOut.into())), None)),
                }
            }
        });
        let chunked = Chunked { whole, stall: self.stall, connection: connection.unwrap_or_default() };
        let request = ServiceRequest::from_parts(request, Payload::Stream { payload: Box::pin(parts) });
        (request, is_chunked.then_some(chunked))
    }
}

impl Chunked {
    /// The answer is there. What is left of the body would be waited for without end: actix closes by itself only where a length
    /// was told.
    fn answered<B>(self, response: &mut ServiceResponse<B>) {
        if self.whole.load(Ordering::Acquire) {
            return;
        }
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        actix_web::rt::spawn(async move {
            tokio::time::sleep(self.stall).await;
            if let Some(connection) = self.connection.upgrade() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
    }
}

/// What every answer says that does not say it otherwise: it is no page, it may not stand in one, and nobody keeps it.
pub const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// Looks whether these are origins as browsers write them.
///
/// # Errors
/// The one that is none.
pub fn sound_origins(origins: &[String]) -> Result<(), String> {
    let is_origin = |text: &str| reqwest::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text);
    origins.iter().find(|origin| !is_origin(origin)).map_or(Ok(()), |bad| Err(bad.clone()))
}

/// Lets scripts of these origins' pages use the API with a key. A cookie never counts there.
pub fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "PUT", "DELETE"])
        .allowed_headers([
            "authorization",
            "x-api-key",
            "content-type",
            "accept",
            "idempotency-key",
            "prefer",
            "last-event-id",
            "range",
        ])
        .expose_headers(["x-request-id", "retry-after", "content-range"])
        .max_age(600);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// The middleware.
///
/// # Errors
/// Those of what it stands around.
pub async fn around<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    static HEADER: OnceLock<HeaderName> = OnceLock::new();
    let name = HEADER.get_or_init(|| HeaderName::from_static("x-request-id")).clone();
    let id = format!("req_{}", uuid::Uuid::now_v7().simple());
    let heard = id.clone();
    let metrics = request.app_data::<web::Data<Metrics>>().cloned();
    let pulse = request.app_data::<web::Data<Pulse>>().cloned();
    let is_crowded = request.request().conn_data::<Crowded>().is_some();
    let auditor = request.app_data::<web::Data<Auditor>>().filter(|_| !is_crowded).cloned();
    let begun = pulse.as_ref().map(|pulse| pulse.now());
    let tls = request.app_data::<web::Data<Door>>().is_some_and(|door| door.tls);
    let patience = request.app_data::<Patience>().copied();
    let (request, chunked) = match patience {
        Some(patience) => patience.bound(request),
        None => (request, None),
    };
    let path = request.path().to_owned();
    let method = request.method().clone();
    let reads = matches!(method, Method::GET | Method::HEAD);
    let answering = async move {
        match is_crowded {
            true => Ok(request.into_response(crowded())),
            false => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        }
    };
    let answering = REQUEST_ID.scope(id.clone(), answering);
    let answering = async move {
        let answered = answering.await;
        if let (Ok(answered), Some(auditor)) = (&answered, auditor) {
            auditor.hear(answered, &heard).await;
        }
        answered
    };
    // What changes something is done and recorded, also when whoever asked does not wait for the answer.
    let answered = match reads {
        true => answering.await,
        false => actix_web::rt::spawn(answering).await.unwrap_or_else(|_| Err(ApiError::new("internal", "").into())),
    };
    answered.map(|mut response| {
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(name, value);
        }
        for (name, value) in HEADERS {
            if !response.headers().contains_key(&name) {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
        }
        if tls {
            response
                .headers_mut()
                .insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
        }
        let status = response.status().as_u16();
        let code = response.response().extensions().get::<Code>().copied();
        if let Some(chunked) = chunked {
            chunked.answered(&mut response);
        }
        if let Some(metrics) = metrics {
            metrics.request(status);
            if let Some(code) = code.filter(|code| code.is_refusal()) {
                metrics.refused(code.0);
            }
        }
        // The guard left it there.
        let tenant = response.request().extensions().get::<TenantId>().copied();
        if let (Some(pulse), Some(begun), Some(tenant)) = (pulse, begun, tenant) {
            pulse.request(tenant, begun);
        }
        tracing::debug!(request_id = id, %method, path, status, "request");
        response
    })
}
