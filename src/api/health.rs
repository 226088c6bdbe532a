//! `GET /api/health/detailed`

use super::Api;
use crate::auth::Caller;
use crate::health::State;
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
