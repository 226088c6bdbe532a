//! `POST /api/sessions/{session}/stop`

use crate::api::shape::session_body;
use crate::api::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};

/// Ends the session and keeps its login; answers when its browser is gone. Idempotent.
///
/// # Errors
/// 404 when there is no such session.
#[utoipa::path(post, path = "/api/sessions/{session}/stop", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The session"), (status = 404, description = "No such session")))]
pub async fn stop(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let seen = api.handle.stop(named.holder.tenant, &named.name).await?;
    Ok(HttpResponse::Created().json(session_body(&seen, &named.holder)))
}
