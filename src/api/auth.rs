//! `/api/{session}/auth`: how an account is linked.

use super::shape::qr_png;
use super::{Api, Named, named};
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::session::Status;
use wardroom_actors::ports::engine::Command;

/// How the code is wanted.
#[derive(Deserialize, IntoParams)]
pub struct Format {
    /// `image` (default) or `raw`.
    #[param(example = "image")]
    format: Option<String>,
}

/// Whether the client asked for JSON rather than for an image.
pub(super) fn wants_json(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').next().is_some_and(|first| first.trim().starts_with("application/json"))
}

/// An image as the client wants it: bytes, or base64 in JSON.
pub(super) fn image(request: &HttpRequest, png: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if wants_json(request) {
        let data = base64::engine::general_purpose::STANDARD.encode(png);
        return response.json(json!({"mimetype": "image/png", "data": data}));
    }
    response.content_type("image/png").body(png)
}

/// `GET /api/{session}/auth/qr`: the code to scan, as PNG, base64 JSON or text.
///
/// # Errors
/// 422 when the session shows no code within 5 s.
#[utoipa::path(get, path = "/api/{session}/auth/qr", tag = "auth", params(("session" = String, Path, example = "default"), Format),
    responses((status = 200, description = "The code"), (status = 404, description = "No such session"),
              (status = 422, description = "The session does not wait for a scan")))]
pub async fn qr(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    format: web::Query<Format>,
) -> Result<HttpResponse, ApiError> {
    let named = named(&request, caller.0)?;
    let tenant = named.holder.tenant;
    let raw = match format.format.as_deref() {
        None | Some("image") => false,
        Some("raw") => true,
        Some(_) => return Err(ApiError::invalid("format must be image or raw")),
    };
    api.expect(tenant, &named.name, Status::ScanQrCode).await?;
    let view = api.handle.session(tenant, &named.name)?.view;
    let Some(code) = view.qr else {
        return Err(ApiError::status(named.name.as_str(), view.status, &[Status::ScanQrCode]));
    };
    if raw {
        let body = json!({"value": code.text});
        return Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body));
    }
    Ok(image(&request, qr_png(&code.text)?))
}

/// For which phone.
#[derive(Deserialize, ToSchema)]
pub struct RequestCode {
    /// International number, digits only.
    #[serde(rename = "phoneNumber")]
    #[schema(example = "12132132130")]
    phone_number: String,
}

/// `POST /api/{session}/auth/request-code`: a code to type on the phone instead of scanning.
///
/// # Errors
/// 400 for a number that cannot be one, 422 when the session does not wait for a login.
#[utoipa::path(post, path = "/api/{session}/auth/request-code", tag = "auth", request_body = RequestCode,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The code"), (status = 422, description = "Not waiting for a login")))]
pub async fn request_code(
    named: Named,
    api: web::Data<Api>,
    body: web::Json<RequestCode>,
) -> Result<HttpResponse, ApiError> {
    let phone = body.into_inner().phone_number;
    let digits = phone.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !(5..=15).contains(&phone.len()) {
        return Err(ApiError::invalid("phoneNumber must have 5 to 15 digits and nothing else"));
    }
    let tenant = named.holder.tenant;
    api.expect(tenant, &named.name, Status::ScanQrCode).await?;
    let code = api.handle.ask(tenant, &named.name, |answer| Command::RequestCode { phone, answer }).await?;
    Ok(HttpResponse::Created().json(json!({"code": code})))
}
