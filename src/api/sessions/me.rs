//! `GET /api/sessions/{session}/me`

use crate::api::Named;
use crate::api::shape::account_body;
use actix_web::HttpResponse;

/// The linked account, or `null`.
#[utoipa::path(get, path = "/api/sessions/{session}/me", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Account or null"), (status = 404, description = "No such session")))]
pub async fn me(named: Named) -> HttpResponse {
    HttpResponse::Ok().json(named.seen.view.account.as_ref().map(account_body))
}
