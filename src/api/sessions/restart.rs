//! `POST /api/sessions/{session}/restart`

use crate::api::shape::session_body;
use crate::api::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};

/// Ends the session and starts it again; forgets all failures.
///
/// # Errors
/// 404 when there is no such session; 503 when the node is full.
#[utoipa::path(post, path = "/api/sessions/{session}/restart", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The session"), (status = 404, description = "No such session")))]
pub async fn restart(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let seen = api.handle.restart(named.holder.tenant, &named.name).await?;
    Ok(HttpResponse::Created().json(session_body(&seen, &named.holder)))
}
