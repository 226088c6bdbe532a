//! Around every request: its id, which the client gets back and every error carries, what is counted of it, and what a body
//! that nobody can read is told.

use crate::auth::Door;
use crate::error::{ApiError, Code, REQUEST_ID};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use actix_cors::Cors;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::JsonPayloadError::{ContentType, Overflow, OverflowKnownLength};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use std::sync::OnceLock;
use wardroom_actors::domain::ids::TenantId;

/// Bad input, in the words of whoever could not read it.
#[must_use]
pub fn bad_input(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid(error.to_string())
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
            other => bad_input(&other),
        }
        .into()
    })
}

/// What every answer says that does not say it otherwise: it is no page, it may not stand in one, and nobody keeps it.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
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
        .allowed_headers(["x-api-key", "content-type", "accept", "idempotency-key", "prefer", "last-event-id", "range"])
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
    let metrics = request.app_data::<web::Data<Metrics>>().cloned();
    let pulse = request.app_data::<web::Data<Pulse>>().cloned();
    let begun = pulse.as_ref().map(|pulse| pulse.now());
    let tls = request.app_data::<web::Data<Door>>().is_some_and(|door| door.tls);
    let path = request.path().to_owned();
    let method = request.method().clone();
    let answered = REQUEST_ID.scope(id.clone(), next.call(request)).await.map(ServiceResponse::map_into_boxed_body);
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
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        let status = response.status().as_u16();
        let code = response.response().extensions().get::<Code>().copied();
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
