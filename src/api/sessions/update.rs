//! `PUT /api/sessions/{session}`

use crate::api::shape::{read_config, session_body};
use crate::api::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// What replaces the config. A `name` is ignored, as in WAHA.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"config": {"network": "simulator"}}))]
pub struct UpdateSession {
    /// The whole new config.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
}

/// Replaces the whole config; a session that is not STOPPED is restarted with it.
///
/// # Errors
/// 404 when there is no such session, 400 for a config of the wrong shape.
#[utoipa::path(put, path = "/api/sessions/{session}", tag = "sessions", params(("session" = String, Path, example = "default")),
    request_body = UpdateSession,
    responses((status = 200, description = "The session"), (status = 404, description = "No such session")))]
pub async fn update(
    named: Named,
    api: web::Data<Api>,
    body: web::Json<UpdateSession>,
) -> Result<HttpResponse, ApiError> {
    let config = body.into_inner().config.unwrap_or_else(|| json!({}));
    let network = read_config(&config)?;
    let seen = api.handle.configure(named.holder.tenant, &named.name, network, config.to_string()).await?;
    Ok(HttpResponse::Ok().json(session_body(&seen, &named.holder)))
}
