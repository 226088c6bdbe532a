//! `GET /health` and `GET /api/health/detailed`

use super::Api;
use crate::auth::Caller;
use crate::health::{Check, State};
use actix_web::{HttpResponse, web};
use serde_json::json;

/// How the node is, part by part: `healthy`, `degraded` or `unhealthy` (503). Of the sessions, those of the caller's tenant.
#[utoipa::path(get, path = "/api/health/detailed", tag = "supervision",
    responses((status = 200, description = "Healthy or degraded"), (status = 503, description = "Unhealthy")))]
pub async fn detailed(caller: Caller, api: web::Data<Api>) -> HttpResponse {
    let (state, checks) = api.health.look(caller.0.tenant).await;
    let checks: serde_json::Map<_, _> = checks
        .iter()
        .map(|check| (check.name.to_owned(), json!({"status": check.state.word(), "detail": check.detail})))
        .collect();
    let mut answer = if state == State::Unhealthy { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() };
    answer.json(json!({"status": state.word(), "checks": checks}))
}

/// The same for whoever watches WAHA: what is up stands in `info`, what is down in `error`, both in `details`.
#[utoipa::path(get, path = "/health", tag = "supervision",
    responses((status = 200, description = "Works"), (status = 503, description = "Does not work")))]
pub async fn health(caller: Caller, api: web::Data<Api>) -> HttpResponse {
    let (state, checks) = api.health.look(caller.0.tenant).await;
    let is_down = |check: &Check| check.state == State::Unhealthy;
    let told = |wanted: &dyn Fn(&Check) -> bool| -> serde_json::Map<_, _> {
        let word = |check: &Check| if is_down(check) { "down" } else { "up" };
        let wanted = checks.iter().filter(|check| wanted(check));
        wanted.map(|check| (check.name.to_owned(), json!({"status": word(check), "detail": check.detail}))).collect()
    };
    let (mut answer, status) = if state == State::Unhealthy {
        (HttpResponse::ServiceUnavailable(), "error")
    } else {
        (HttpResponse::Ok(), "ok")
    };
    let (info, error) = (told(&|check| !is_down(check)), told(&is_down));
    answer.json(json!({"status": status, "info": info, "error": error, "details": told(&|_| true)}))
}
