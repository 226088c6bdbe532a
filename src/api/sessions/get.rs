//! `GET /api/sessions/{session}`

use crate::api::Named;
use crate::api::shape::session_body;
use actix_web::HttpResponse;

/// One session.
#[utoipa::path(get, path = "/api/sessions/{session}", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "The session"), (status = 404, description = "No such session")))]
pub async fn get(named: Named) -> HttpResponse {
    HttpResponse::Ok().json(session_body(&named.seen, &named.holder))
}
