//! `DELETE /api/sessions/{session}`

use crate::api::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpResponse, web};

/// Stops, logs out and removes the session; its rows, files and processes are gone when this answers. Idempotent.
///
/// # Errors
/// 503 when it goes on in the background.
#[utoipa::path(delete, path = "/api/sessions/{session}", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "It is gone")))]
pub async fn delete(caller: Caller, api: web::Data<Api>, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    if let Ok((name, _)) = api.session(caller.0, &name) {
        api.handle.remove(caller.0.tenant, &name).await?;
    }
    Ok(HttpResponse::Ok().finish())
}
