//! `/api/{session}/profile` and `/calls`: the account as others see it, and who calls it.

use super::asking::{act_named, ask_named};
use super::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking;

/// Longest name in bytes; the network takes 25 characters.
const NAME: usize = 100;
/// Longest text about oneself in bytes; the network takes 139 characters.
const ABOUT: usize = 556;
/// Longest id of a call.
const CALL: usize = 200;

/// A name.
#[derive(Deserialize, ToSchema)]
pub struct NewName {
    /// The new one.
    #[schema(example = "My Name")]
    name: String,
}

/// A text about oneself.
#[derive(Deserialize, ToSchema)]
pub struct NewAbout {
    /// The new one.
    #[schema(example = "At work")]
    status: String,
}

/// A call.
#[derive(Deserialize, ToSchema)]
pub struct Call {
    /// Its id, as `call.received` tells.
    #[schema(example = "ABCDEF1234567890")]
    id: String,
}

/// The account as others see it.
///
/// # Errors
/// 404, 422 when the session is not WORKING.
#[utoipa::path(get, path = "/api/{session}/profile", tag = "profile", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "`id`, `name`, `picture`"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn get(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let profile = ask_named(&api, &named, asking::profile()).await?;
    Ok(HttpResponse::Ok().json(json!({"id": profile.id, "name": profile.name, "picture": profile.picture})))
}

/// Changes the account's name.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING.
#[utoipa::path(put, path = "/api/{session}/profile/name", tag = "profile", request_body = NewName,
    params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn name(named: Named, api: web::Data<Api>, body: web::Json<NewName>) -> Result<HttpResponse, ApiError> {
    let name = body.into_inner().name;
    if name.is_empty() || name.len() > NAME {
        return Err(ApiError::invalid(format!("name must have 1 to {NAME} bytes")));
    }
    act_named(&api, &named, Action::Name { name }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Changes what the account says of itself.
///
/// # Errors
/// As for the name.
#[utoipa::path(put, path = "/api/{session}/profile/status", tag = "profile", request_body = NewAbout,
    params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn about(named: Named, api: web::Data<Api>, body: web::Json<NewAbout>) -> Result<HttpResponse, ApiError> {
    let text = body.into_inner().status;
    if text.len() > ABOUT {
        return Err(ApiError::invalid(format!("status must have at most {ABOUT} bytes")));
    }
    act_named(&api, &named, Action::About { text }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Refuses a call.
///
/// # Errors
/// 400, 404 when there is no such session or call, 422 when the session is not WORKING.
#[utoipa::path(post, path = "/api/{session}/calls/reject", tag = "profile", request_body = Call,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "Done"), (status = 404, description = "No such session or call"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn reject(named: Named, api: web::Data<Api>, body: web::Json<Call>) -> Result<HttpResponse, ApiError> {
    let call = body.into_inner().id;
    if call.is_empty() || call.len() > CALL {
        return Err(ApiError::invalid("id is not a call's id"));
    }
    act_named(&api, &named, Action::RejectCall { call }).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}
