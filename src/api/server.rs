//! What the server tells of itself.

use super::Api;
use crate::auth::Caller;
use crate::frames::environment;
use actix_web::{HttpResponse, web};
use serde_json::json;

/// `GET /ping`: no key needed.
#[utoipa::path(get, path = "/ping", tag = "server", security(()), responses((status = 200, description = "pong")))]
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().json(json!({"message": "pong"}))
}

/// `GET /api/server/version`
#[utoipa::path(get, path = "/api/server/version", tag = "server", responses((status = 200, description = "Version and engine")))]
pub async fn version(_: Caller) -> HttpResponse {
    HttpResponse::Ok().json(environment())
}

/// `GET /api/server/status`: times in milliseconds.
#[utoipa::path(get, path = "/api/server/status", tag = "server", responses((status = 200, description = "Start and uptime")))]
pub async fn status(_: Caller, api: web::Data<Api>) -> HttpResponse {
    let uptime = api.store.unix_ms() - api.started_at_ms;
    HttpResponse::Ok()
        .json(json!({"startTimestamp": api.started_at_ms, "uptime": uptime, "worker": {"id": "wardroom"}}))
}

/// `GET /api/apps`: integrations are programs of their own here, so none is inside.
#[utoipa::path(get, path = "/api/apps", tag = "server", responses((status = 200, description = "None")))]
pub async fn apps(_: Caller) -> HttpResponse {
    HttpResponse::Ok().json(json!([]))
}
