//! `POST /api/sessions/{session}/logout`

use crate::api::shape::session_body;
use crate::api::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};

/// Unlinks the account and removes its login; the session starts again if it was running.
///
/// # Errors
/// 404 when there is no such session.
#[utoipa::path(post, path = "/api/sessions/{session}/logout", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The session"), (status = 404, description = "No such session")))]
pub async fn logout(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let seen = api.handle.logout(named.holder.tenant, &named.name).await?;
    Ok(HttpResponse::Created().json(session_body(&seen, &named.holder)))
}
