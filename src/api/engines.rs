//! `GET /api/engines`: what each engine can do.

use super::waha::{Is, table};
use crate::auth::Caller;
use actix_web::HttpResponse;
use serde_json::json;
use std::collections::BTreeMap;

/// What the engines can do, by WAHA's paths. What one cannot is answered with 422 `not_implemented_by_engine`.
///
/// # Errors
/// None.
#[utoipa::path(get, path = "/api/engines", tag = "server",
    responses((status = 200, description = "Engines, with the paths that they `offer`, and those that they `lack` with the reason")))]
pub async fn list(_: Caller) -> HttpResponse {
    let offer: Vec<_> = table().iter().filter(|row| row.is != Is::Absent).map(|row| row.call.as_str()).collect();
    let absent = table().iter().filter(|row| row.is == Is::Absent);
    let lack: BTreeMap<_, _> = absent.map(|row| (row.call.as_str(), row.note.as_str())).collect();
    HttpResponse::Ok().json(json!([{"name": "web", "waha": "WEBJS", "offer": offer, "lack": lack}]))
}
