//! The dashboard's files and its sign-in.

use crate::auth::{Caller, Door};
use crate::error::ApiError;
use crate::store::Store;
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;
use serde::Deserialize;

#[derive(RustEmbed)]
#[folder = "src/dashboard/static"]
struct Files;

/// The plots, which others keep; empty where `deploy/setup.sh` had not installed them when this was built.
const PLOTS: &[(&str, &[u8])] = &[
    ("uplot.js", include_bytes!(concat!(env!("OUT_DIR"), "/uPlot.iife.min.js"))),
    ("uplot.css", include_bytes!(concat!(env!("OUT_DIR"), "/uPlot.min.css"))),
];

/// How long a stay lasts.
const STAY_MS: i64 = 12 * 3600 * 1000;

/// `GET /` and `GET /dashboard/{file}`
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().get("file").filter(|name| !name.is_empty()).unwrap_or("index.html");
    let plots = PLOTS.iter().find(|(known, text)| *known == name && !text.is_empty()).map(|(_, text)| text.to_vec());
    let file = Files::get(name).map(|file| file.data.into_owned()).or(plots);
    let file = file.ok_or_else(|| ApiError::new("not_found", "There is no such page"))?;
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; \
                          connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file))
}

/// The body of a sign-in.
#[derive(Deserialize)]
pub struct SignIn {
    key: String,
}

/// `POST /dashboard/sign-in`: exchanges an API key for a cookie that scripts cannot read.
///
/// # Errors
/// 401 for an unknown key, 429 where too many of them came from.
pub async fn sign_in(
    request: HttpRequest,
    door: web::Data<Door>,
    store: web::Data<Store>,
    body: web::Json<SignIn>,
) -> Result<HttpResponse, ApiError> {
    let unknown = |error: ApiError| match error.code() {
        "unauthorized" => ApiError::new("unauthorized", "This key is not known here"),
        _ => error,
    };
    let holder = door.holder(&store, &request, &body.key).await.map_err(unknown)?;
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    store.sign_in(holder, &token, STAY_MS).await?;
    Ok(HttpResponse::NoContent().cookie(cookie(&door, token, STAY_MS)).finish())
}

/// `POST /dashboard/sign-out`
///
/// # Errors
/// 401 when nobody is signed in.
pub async fn sign_out(
    request: HttpRequest,
    caller: Caller,
    door: web::Data<Door>,
    store: web::Data<Store>,
) -> Result<HttpResponse, ApiError> {
    if let Some(token) = request.cookie(door.cookie()) {
        store.sign_out(caller.0, token.value()).await?;
    }
    Ok(HttpResponse::NoContent().cookie(cookie(&door, String::new(), 0)).finish())
}

fn cookie(door: &Door, value: String, for_ms: i64) -> Cookie<'static> {
    Cookie::build(door.cookie(), value)
        .path("/")
        .secure(door.tls)
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(time::Duration::milliseconds(for_ms))
        .finish()
}
