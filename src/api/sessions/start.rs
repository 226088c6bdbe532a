//! `POST /api/sessions/{session}/start`

use crate::api::shape::session_body;
use crate::api::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};

/// Wants the session to run, now and after every start of the server. Idempotent.
///
/// # Errors
/// 404 when there is no such session; 503 when the node is full.
#[utoipa::path(post, path = "/api/sessions/{session}/start", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The session"), (status = 404, description = "No such session")))]
pub async fn start(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let seen = api.handle.start(named.holder.tenant, &named.name).await?;
    Ok(HttpResponse::Created().json(session_body(&seen, &named.holder)))
}
