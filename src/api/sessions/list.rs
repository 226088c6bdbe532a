//! `GET /api/sessions`

use crate::api::Api;
use crate::api::shape::session_body;
use crate::auth::Caller;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;
use wardroom_actors::domain::session::Status;

/// Which sessions.
#[derive(Deserialize, IntoParams)]
pub struct Which {
    /// Also those that are STOPPED. `True` is as good as `true`.
    #[param(example = "true")]
    all: Option<String>,
}

/// The sessions that the key reaches, by name.
#[utoipa::path(get, path = "/api/sessions", tag = "sessions", params(Which),
    responses((status = 200, description = "Sessions")))]
pub async fn list(caller: Caller, api: web::Data<Api>, which: web::Query<Which>) -> HttpResponse {
    let all = which.all.as_deref().is_some_and(|all| all.eq_ignore_ascii_case("true"));
    let sessions = api.handle.sessions(caller.0.tenant);
    let own = sessions.iter().filter(|seen| caller.0.reaches(seen.spec.user, seen.spec.id));
    let shown = own.filter(|seen| all || seen.view.status != Status::Stopped);
    HttpResponse::Ok().json(shown.map(|seen| session_body(seen, &caller.0)).collect::<Vec<_>>())
}
