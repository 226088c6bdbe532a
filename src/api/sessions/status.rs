//! `GET /api/sessions/{session}/status`

use crate::api::Named;
use actix_web::HttpResponse;
use serde_json::json;
use wardroom_actors::domain::chat::ChatId;

/// Status and phone number, and what a person can do when it has failed.
#[utoipa::path(get, path = "/api/sessions/{session}/status", tag = "sessions", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Status"), (status = 404, description = "No such session")))]
pub async fn status(named: Named) -> HttpResponse {
    let view = &named.seen.view;
    let number = view.account.as_ref().and_then(|account| ChatId::parse(&account.id).ok());
    let statuses: Vec<_> =
        view.history.iter().map(|(status, at)| json!({"status": status.as_str(), "timestamp": at})).collect();
    HttpResponse::Ok().json(json!({
        "status": view.status.as_str(),
        "phoneNumber": number.as_ref().map(ChatId::user),
        "statuses": statuses,
        "incarnation": view.incarnation,
        "desiredRunning": view.desired_running,
        "reason": view.exit.as_ref().map(|exit| exit.code()),
        "userAction": view.exit.as_ref().and_then(|exit| exit.user_action()),
        "retryAt": view.retry_at_ms,
    }))
}
