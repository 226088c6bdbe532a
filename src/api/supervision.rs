//! `GET /api/supervision`: who runs under whom, how each is, and what happened to it.

use super::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::pulse::Pulse;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use wardroom_actors::domain::event::Step;
use wardroom_actors::domain::exit::ExitReason;
use wardroom_actors::handle::Supervised;

/// Node → tenant → sessions. Times are Unix milliseconds, durations milliseconds, memory bytes, CPU cores.
///
/// # Errors
/// 503 when the store does not answer.
#[utoipa::path(get, path = "/api/supervision", tag = "supervision",
    responses((status = 200, description = "The tree, as far as the key reaches"), (status = 503, description = "Try again")))]
pub async fn tree(caller: Caller, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let holder = caller.0;
    let tenant = api.store.tenant_name(holder.tenant).await?;
    let queues = api.store.queues(holder.tenant).await?;
    let with_queue = |one: &Supervised| {
        let mut session = branch(one);
        if let Some(object) = session.as_object_mut() {
            let waiting = queues.get(&one.spec.id).copied().unwrap_or_default();
            object.insert("outbox".into(), json!({"waiting": waiting}));
        }
        session
    };
    let all = api.handle.supervision(holder.tenant);
    let sessions: Vec<_> =
        all.iter().filter(|one| holder.reaches(one.spec.user, one.spec.id)).map(with_queue).collect();
    let arbiters: Vec<_> =
        api.handle.lateness().iter().map(|late| json!({"delayMs": late.now_ms, "worstMs": late.worst_ms})).collect();
    let node = json!({
        "startedAt": api.started_at_ms,
        "workers": api.handle.workers(),
        "workerLimit": api.handle.worker_limit(),
        "arbiters": arbiters,
        "tenants": [{"id": holder.tenant, "name": tenant, "sessions": sessions}],
    });
    Ok(HttpResponse::Ok().json(json!({"node": node})))
}

/// The last half hour of the tenant in steps of ten seconds, as columns of the same length: `at` (Unix seconds), messages
/// `received` and `sent` and `requests` per second, and within how many milliseconds half (`p50Ms`) and 99 % (`p99Ms`) of the
/// requests were answered; null where there were none. For admins.
///
/// # Errors
/// 403 for other keys.
#[utoipa::path(get, path = "/api/supervision/pulse", tag = "supervision",
    responses((status = 200, description = "The columns"), (status = 403, description = "Not an admin's key")))]
pub async fn pulse(caller: Caller, pulse: web::Data<Pulse>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(pulse.columns(caller.0.tenant)))
}

/// One session.
pub fn branch(one: &Supervised) -> Value {
    let view = &one.view;
    let worker = one
        .usage
        .map(|usage| json!({"pid": usage.pid, "processes": usage.processes, "memory": usage.memory, "cpu": usage.cpu}));
    json!({
        "name": one.spec.name.as_str(),
        "status": view.status.as_str(),
        "since": view.history.last().map(|(_, at)| at),
        "desiredRunning": view.desired_running,
        "incarnation": view.incarnation,
        "restartsInWindow": one.failures,
        "lastExit": view.exit.as_ref().map(exit_body),
        "breaker": one.breaker.word(),
        "nextAttemptAt": view.retry_at_ms,
        "downForMs": one.down_ms,
        "inbox": {"depth": one.inbox_depth, "waitP99Ms": one.inbox_wait_p99_ms},
        "worker": worker,
        "timeline": one.timeline.iter().map(|(at, step)| step_body(*at, step)).collect::<Vec<_>>(),
    })
}

fn exit_body(exit: &ExitReason) -> Value {
    json!({"reason": exit.code(), "detail": exit.detail(), "userAction": exit.user_action()})
}

/// A step of supervision.
#[must_use]
pub fn step_body(at_ms: i64, step: &Step) -> Value {
    let mut body = match step {
        Step::Started { incarnation, cause } => json!({"incarnation": incarnation, "cause": cause}),
        Step::Connecting => json!({}),
        Step::Ready { recovered } => json!({
            "cause": recovered.as_ref().map(|one| one.cause.as_str()), "recoveryMs": recovered.as_ref().map(|one| one.ms),
        }),
        Step::Ended { exit, next, retry_at_ms } => {
            json!({"reason": exit.code(), "detail": exit.detail(), "next": next, "retryAt": retry_at_ms})
        }
        Step::Breaker { state } => json!({"state": state}),
        Step::ActorPanicked { detail } => json!({"detail": detail}),
    };
    if let Some(object) = body.as_object_mut() {
        object.insert("at".into(), json!(at_ms));
        object.insert("step".into(), json!(step.word()));
    }
    body
}
