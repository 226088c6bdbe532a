//! `GET /api/screenshot`

use super::Api;
use super::auth::image;
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;
use wardroom_actors::ports::engine::Command;

/// Of which session.
#[derive(Deserialize, IntoParams)]
pub struct Which {
    /// The session's name.
    #[param(example = "default")]
    session: Option<String>,
}

/// What the session's browser shows.
///
/// # Errors
/// 404 when there is no such session, 422 when it is not running.
#[utoipa::path(get, path = "/api/screenshot", operation_id = "screenshot", tag = "sessions", params(Which),
    responses((status = 200, description = "The image"), (status = 404, description = "No such session")))]
pub async fn get(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    which: web::Query<Which>,
) -> Result<HttpResponse, ApiError> {
    let name = which.into_inner().session.unwrap_or_else(|| "default".to_owned());
    let (name, _) = api.session(caller.0, &name)?;
    let png = api.handle.ask(caller.0.tenant, &name, |answer| Command::Screenshot { answer }).await?;
    Ok(image(&request, png))
}
