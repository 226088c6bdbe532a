//! The operators' listener: whether the server lives and is ready, what it counts, and which addresses are shut out. The first
//! two are for probes and have no key; the rest asks for `ops.token` where one is set.

use crate::auth::Door;
use crate::auth::audit::Auditor;
use crate::auth::watch::{Block, Origin};
use crate::config::{Config, Environment};
use crate::health::Health;
use crate::metrics::Metrics;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpResponse, web};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What it tells of.
pub struct Ops {
    /// How the node is.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether requests are taken.
    pub ready: Arc<AtomicBool>,
    /// Who is shut out.
    pub door: web::Data<Door>,
    /// Who records what operators do.
    pub auditor: Arc<Auditor>,
    /// What has to be shown; empty: nothing.
    pub token: SecretString,
}

/// Refuses a listener that shows everybody what is counted.
///
/// # Errors
/// In production, when it can be reached from elsewhere and asks for nothing.
pub fn sound(config: &Config) -> anyhow::Result<()> {
    let listen = &config.ops.listen;
    let at_home = listen.parse::<SocketAddr>().map_or(listen.starts_with("localhost:"), |at| at.ip().is_loopback());
    let open = config.environment == Environment::Production && config.ops.token.expose_secret().is_empty();
    anyhow::ensure!(at_home || !open, "ops.listen is {listen}: set ops.token, or choose a loopback address");
    Ok(())
}

/// All routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics).wrap(from_fn(guard)))
        .route("/blocks", web::get().to(blocks).wrap(from_fn(guard)))
        .route("/blocks/{address}", web::delete().to(unblock).wrap(from_fn(guard)));
}

async fn guard(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let token = request.app_data::<web::Data<Ops>>().map(|ops| ops.token.expose_secret().to_owned());
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Digests are compared, so that the time tells nothing of the token.
    let same = |token: &str| Sha256::digest(token) == Sha256::digest(shown.unwrap_or_default());
    if token.is_some_and(|token| token.is_empty() || same(&token)) {
        return next.call(request).await;
    }
    let refused =
        HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).body("ops.token is needed\n");
    Ok(request.into_response(refused))
}

async fn alive(ops: web::Data<Ops>) -> HttpResponse {
    match ops.health.is_alive() {
        true => HttpResponse::Ok().body("ok\n"),
        false => HttpResponse::ServiceUnavailable().body("a thread of actors is stuck\n"),
    }
}

async fn ready(ops: web::Data<Ops>) -> HttpResponse {
    match ops.ready.load(Ordering::Acquire) {
        true => HttpResponse::Ok().body("ready\n"),
        false => HttpResponse::ServiceUnavailable().body("not ready\n"),
    }
}

async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(ops.metrics.render(&ops.health))
}

async fn blocks(ops: web::Data<Ops>) -> HttpResponse {
    let shown = |Block { origin, left_s }| json!({"address": origin.to_string(), "secondsLeft": left_s});
    HttpResponse::Ok().json(ops.door.watch.blocks().into_iter().map(shown).collect::<Vec<_>>())
}

async fn unblock(ops: web::Data<Ops>, address: web::Path<String>) -> HttpResponse {
    match address.parse::<IpAddr>().map(Origin::from) {
        Ok(origin) if ops.door.watch.unblock(origin) => {
            ops.auditor.note(None, None, "address let in again", origin.to_string());
            HttpResponse::NoContent().finish()
        }
        Ok(_) => HttpResponse::NotFound().body("this address is not shut out\n"),
        Err(_) => HttpResponse::BadRequest().body("this is no address\n"),
    }
}
