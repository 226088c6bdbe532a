//! The operators' listener: whether the server lives and is ready, what it counts, which addresses are shut out, and the tenants. The
//! first two are for probes and have no key; the rest asks for `ops.token` where one is set, and tenants are there only where it is.

pub mod tenants;

use crate::auth::Door;
use crate::auth::audit::Auditor;
use crate::auth::watch::{Block, Origin};
use crate::config::{Config, Environment};
use crate::dashboard;
use crate::egress::Egress;
use crate::error::ApiError;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::quotas::QuotaBook;
use crate::store::Store;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpResponse, ResponseError as _, web};
use reqwest::Url;
use rust_embed::RustEmbed;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// Stands among blocked addresses while people sign in only from where they did before.
pub const SIGN_INS: &str = "sign-ins";
/// Stands before a key, or a stay, in the place of an address, while it is slowed down.
pub const KEY: &str = "key:";

/// Characters of a token that nobody guesses.
const LEAST_TOKEN: usize = 16;
/// By what name the token is remembered where it was shown.
const TOKEN: &str = "ops.token";

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
    /// Tenants.
    pub store: Store,
    /// What they may have.
    pub quotas: Arc<QuotaBook>,
    /// Where they may connect to.
    pub egress: Arc<Egress>,
    /// What has to be shown; empty: nothing.
    pub token: SecretString,
}

/// Refuses what shows everybody what is counted, or lets everybody on the way read along; and a simulator.
///
/// # Errors
/// In production: a listener that can be reached from elsewhere and asks for nothing, or speaks plain HTTP; a database elsewhere whose
/// URL does not say whether it speaks TLS; the simulator.
pub fn sound(config: &Config) -> anyhow::Result<()> {
    let at_home = |listen: &str| {
        listen.parse::<SocketAddr>().map_or(listen.starts_with("localhost:"), |at| at.ip().is_loopback())
    };
    if config.environment != Environment::Production {
        return Ok(());
    }
    let (listen, open) = (&config.ops.listen, config.ops.token.expose_secret().is_empty());
    let short = config.ops.token.expose_secret().len() < LEAST_TOKEN;
    anyhow::ensure!(
        open || !short,
        "ops.token must have {LEAST_TOKEN} characters or more: `openssl rand -hex 32` makes one"
    );
    anyhow::ensure!(at_home(listen) || !open, "ops.listen is {listen}: set ops.token, or choose a loopback address");
    let http = &config.http;
    let tls = !http.tls_chain.as_os_str().is_empty() || http.public_url.starts_with("https://");
    anyhow::ensure!(
        at_home(&http.listen) || tls,
        "http.listen is {}, without TLS: set http.tls_chain and http.tls_key; or http.public_url, to the https:// address of \
         the proxy in front; or choose a loopback address",
        http.listen
    );
    anyhow::ensure!(
        !is_loose(config.database.url.expose_secret()),
        "database.url leads to another machine: say in it what sslmode is to be, ?sslmode=verify-full if you can"
    );
    anyhow::ensure!(!config.simulator.enabled, "simulator.enabled is for development only: its phones are anybody's");
    Ok(())
}

/// Whether a database is on another machine, and its URL leaves open who may read along.
fn is_loose(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let said =
        |names: &[&str]| url.query_pairs().filter(|(name, _)| names.contains(&&**name)).last().map(|(_, said)| said);
    let host = said(&["host", "hostaddr"]).unwrap_or_else(|| url.host_str().unwrap_or_default().into());
    let here =
        host.is_empty() || host == "localhost" || ["/", "%2f", "%2F"].iter().any(|socket| host.starts_with(socket));
    let here = here || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|at| at.is_loopback());
    url.scheme().starts_with("postgres") && !here && said(&["sslmode", "ssl-mode"]).is_none()
}

/// All routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics).wrap(from_fn(guard)))
        .route("/blocks", web::get().to(blocks).wrap(from_fn(guard)))
        .route("/blocks/{address}", web::delete().to(unblock).wrap(from_fn(guard)))
        .route("/", web::get().to(async || page("operators.html", "text/html; charset=utf-8")))
        .route("/operators.js", web::get().to(async || page("operators.js", "text/javascript; charset=utf-8")))
        .route("/style.css", web::get().to(async || page("style.css", "text/css; charset=utf-8")))
        .service(
            web::scope("")
                .wrap(from_fn(manage))
                .wrap(from_fn(guard))
                .route("/tenants", web::get().to(tenants::list))
                .route("/tenants", web::post().to(tenants::create))
                .route("/tenants/{name}", web::put().to(tenants::stand))
                .route("/tenants/{name}", web::delete().to(tenants::remove))
                .route("/tenants/{name}/quota", web::put().to(tenants::quota))
                .route("/tenants/{name}/hosts", web::put().to(tenants::hosts))
                .route("/audit", web::get().to(tenants::audit)),
        );
}

/// Files of the operators' page; it has the looks of the dashboard.
#[derive(RustEmbed)]
#[folder = "src/ops/static"]
struct Files;

fn page(name: &str, kind: &str) -> HttpResponse {
    const POLICY: &str = "default-src 'none'; object-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    let file = Files::get(name).map(|file| file.data).or_else(|| dashboard::file(name));
    match file {
        Some(file) => HttpResponse::Ok()
            .content_type(kind)
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .body(file.into_owned()),
        None => HttpResponse::NotFound().finish(),
    }
}

/// Without a token whoever is on this machine, or whose page an operator has open, would manage tenants.
async fn manage(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let open = request.app_data::<web::Data<Ops>>().is_none_or(|ops| ops.token.expose_secret().is_empty());
    if open {
        let refused = ApiError::new("forbidden", "Tenants are managed here where ops.token is set");
        return Ok(request.into_response(refused.error_response()));
    }
    next.call(request).await
}

async fn guard(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let ops = request.app_data::<web::Data<Ops>>().cloned();
    let token = ops.as_ref().map(|ops| ops.token.expose_secret().to_owned());
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Digests are compared, so that the time tells nothing of the token.
    let same = |token: &str| Sha256::digest(token) == Sha256::digest(shown.unwrap_or_default());
    // On this machine others share the address.
    let at_home = request.peer_addr().is_some_and(|peer| peer.ip().is_loopback());
    let origin = ops.as_ref().and_then(|ops| ops.door.origin(request.request()));
    let origin = origin.filter(|origin| !at_home || *origin != Origin::from(IpAddr::from([127, 0, 0, 1])));
    if let (Some(ops), Some(origin)) = (&ops, origin)
        && let Err(seconds) = ops.door.watch.admits(origin, TOKEN)
    {
        let refused = HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, seconds)).body("too many guesses\n");
        return Ok(request.into_response(refused));
    }
    if token.is_some_and(|token| token.is_empty() || same(&token)) {
        if let (Some(ops), Some(origin), Some(_)) = (&ops, origin, shown) {
            ops.door.watch.succeeded(origin, TOKEN);
        }
        if let Some(ops) = ops.as_ref().filter(|ops| shown.is_some() && !ops.token.expose_secret().is_empty()) {
            ops.auditor.used("ops.token used", ops.door.address(request.request()));
        }
        return next.call(request).await;
    }
    if let (Some(ops), Some(origin), Some(_)) = (&ops, origin, shown) {
        ops.door.watch.failed(origin);
    }
    if let (Some(ops), Some(_)) = (&ops, shown) {
        ops.auditor.note(None, None, "ops.token refused", ops.door.address(request.request()));
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
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(ops.metrics.render(&ops.health))
}

async fn blocks(ops: web::Data<Ops>) -> HttpResponse {
    let shown = |Block { origin, left_s }| json!({"address": origin.to_string(), "secondsLeft": left_s});
    let mut blocks: Vec<_> = ops.door.watch.blocks().into_iter().map(shown).collect();
    if let Some(seconds) = ops.door.watch.stuffed_s() {
        blocks.push(json!({"address": SIGN_INS, "secondsLeft": seconds}));
    }
    let slowed = ops.door.watch.slowed().into_iter();
    blocks.extend(slowed.map(|(key, left_s)| json!({"address": format!("{KEY}{key}"), "secondsLeft": left_s})));
    HttpResponse::Ok().json(blocks)
}

async fn unblock(ops: web::Data<Ops>, address: web::Path<String>) -> HttpResponse {
    if address.as_str() == SIGN_INS {
        if !ops.door.watch.forgive() {
            return HttpResponse::NotFound().body("sign-ins are not shut out\n");
        }
        ops.auditor.note(None, None, "sign-ins let in again", String::new());
        return HttpResponse::NoContent().finish();
    }
    if let Some(key) = address.strip_prefix(KEY) {
        if !Uuid::parse_str(key).is_ok_and(|key| ops.door.watch.hurry(key)) {
            return HttpResponse::NotFound().body("this key is not slowed down\n");
        }
        ops.auditor.note(None, None, "key let call again", String::new());
        return HttpResponse::NoContent().finish();
    }
    match address.parse::<IpAddr>().map(Origin::from) {
        Ok(origin) if ops.door.watch.unblock(origin) => {
            ops.auditor.note(None, None, "address let in again", origin.to_string());
            HttpResponse::NoContent().finish()
        }
        Ok(_) => HttpResponse::NotFound().body("this address is not shut out\n"),
        Err(_) => HttpResponse::BadRequest().body("this is no address\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_elsewhere_says_whether_it_speaks_tls() {
        for url in [
            "",
            "sqlite:///var/lib/wardroom.db",
            "postgres://wardroom@127.0.0.1:5432/wardroom",
            "postgres://wardroom@localhost/wardroom",
            "postgres://wardroom@[::1]/wardroom",
            "postgres://wardroom@%2Frun%2Fpostgresql/wardroom",
            "postgres:///wardroom?host=/run/postgresql",
            "postgres://db/wardroom?sslmode=disable",
            "postgresql://db/wardroom?application_name=x&ssl-mode=verify-full",
        ] {
            assert!(!is_loose(url), "{url}");
        }
        for url in [
            "postgres://wardroom:secret@db.example.com/wardroom",
            "postgresql://10.0.0.1/wardroom?sslrootcert=/ca.pem",
            "postgres://localhost/wardroom?host=db.example.com",
            "postgres://localhost/wardroom?host=localhost&hostaddr=10.0.0.5",
        ] {
            assert!(is_loose(url), "{url}");
        }
    }
}
