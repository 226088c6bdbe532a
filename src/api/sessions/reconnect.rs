//! `POST /api/sessions/{session}/reconnect`

use crate::api::shape::session_body;
use crate::api::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};

/// The same as restart, under the name that some clients know.
///
/// # Errors
/// 404 when there is no such session; 503 when the node is full.
#[utoipa::path(post, path = "/api/sessions/{session}/reconnect", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The session"), (status = 404, description = "No such session")))]
pub async fn reconnect(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let seen = api.handle.restart(named.holder.tenant, &named.name).await?;
    Ok(HttpResponse::Created().json(session_body(&seen, &named.holder)))
}
