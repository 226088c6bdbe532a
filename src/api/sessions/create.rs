//! `POST /api/sessions`

use crate::api::Api;
use crate::api::shape::{read_config, session_body};
use crate::api::users::{MOST, too_many};
use crate::auth::Caller;
use crate::auth::audit::made;
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use wardroom_actors::domain::ids::SessionName;
use wardroom_actors::domain::spec::EngineName;
use wardroom_actors::ports::store::NewSession;

/// A session to create.
#[derive(Deserialize, ToSchema)]
pub struct CreateSession {
    /// 1 to 54 characters; made up when absent.
    #[schema(example = "default")]
    pub(in crate::api) name: Option<String>,
    /// Start at once, and at every start of the server.
    #[serde(default = "yes")]
    pub(in crate::api) start: bool,
    /// WAHA's config; `network` is `whatsapp` or `simulator`.
    #[schema(value_type = Option<Object>, example = json!({"network": "simulator", "metadata": {"user.id": "7"}}))]
    pub(in crate::api) config: Option<Value>,
    /// Whose quota and data key it uses; admin keys only. Created on first use.
    #[schema(example = "owner")]
    pub(in crate::api) user: Option<String>,
}

fn yes() -> bool {
    true
}

/// Creates a session, and starts it unless `start` is false.
///
/// # Errors
/// 422 when the name is taken, reserved, or the user's quota is used up; 503 when the node is full.
#[utoipa::path(post, path = "/api/sessions", tag = "sessions", request_body = CreateSession, responses(
    (status = 201, description = "The session"), (status = 400, description = "Bad input"),
    (status = 422, description = "Name taken or reserved, quota used up"), (status = 503, description = "Node full")))]
pub async fn create(
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<CreateSession>,
) -> Result<HttpResponse, ApiError> {
    let CreateSession { name, start, config, user } = body.into_inner();
    let name = name.unwrap_or_else(|| format!("session_{}", uuid::Uuid::new_v4().simple()));
    let name = SessionName::parse(&name).map_err(|bad| ApiError::invalid(format!("name: {bad}")))?;
    if api.reserved.contains(name.as_str()) {
        return Err(ApiError::new(
            "reserved_name",
            format!("{name} is a word of the API and cannot be a session's name"),
        ));
    }
    let config = config.unwrap_or_else(|| json!({}));
    let network = read_config(&config)?;
    let user = match user {
        None => caller.0.user,
        Some(_) if !caller.0.is_admin => {
            return Err(ApiError::new("forbidden", "Only admin keys may create sessions for another user"));
        }
        Some(name) => {
            if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
                return Err(ApiError::invalid("user must have 1 to 64 characters"));
            }
            if api.store.count_people(caller.0.tenant).await? >= MOST
                && api.store.people(caller.0.tenant).await?.iter().all(|one| one.name != name)
            {
                return Err(too_many());
            }
            api.store.user_named(caller.0.tenant, &name).await?
        }
    };
    let new = NewSession {
        tenant: caller.0.tenant,
        user,
        name,
        engine: EngineName::Web,
        network,
        config: config.to_string(),
        desired_running: start,
    };
    let seen = api.handle.create(new).await?;
    Ok(made(HttpResponse::Created().json(session_body(&seen, &caller.0)), seen.spec.id.0))
}
