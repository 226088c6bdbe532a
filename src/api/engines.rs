//! `GET /api/engines`: what each engine can do.

use actix_web::HttpResponse;
use serde_json::json;
use std::collections::BTreeMap;
use wardroom_actors::domain::spec::EngineName;

/// What the engines can do. What one cannot is answered with 422 `not_implemented_by_engine`.
///
/// # Errors
/// None.
#[utoipa::path(get, path = "/api/engines", tag = "server", responses((status = 200, description = "Engines with what they can do and cannot")))]
pub async fn list() -> HttpResponse {
    let cannot = |engine: EngineName| engine.cannot().iter().copied().collect::<BTreeMap<_, _>>();
    let engines = EngineName::ALL
        .map(|engine| json!({"name": engine, "waha": engine.waha(), "can": engine.can(), "cannot": cannot(engine)}));
    HttpResponse::Ok().json(engines)
}
