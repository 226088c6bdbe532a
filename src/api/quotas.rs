//! What users may have, and what they have of it: `/api/quotas` shows it, `/api/users/{id}/quota` changes it, for admins. What the
//! tenant may have with all of its users is the operator's to say (`wardroom quotas set`).

use super::Api;
use super::users::{above, find};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::store::repo::quotas::{Given, MOST};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::ids::{TenantId, UserId};

/// Whose.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Another user's than the caller's, by id; for admins.
    #[param(example = "01990000-0000-7000-8000-000000000000")]
    user: Option<String>,
}

/// What a user may have. What is left out or null is the default again; 0 = any number, as far as the tenant may have it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewQuota {
    /// Sessions.
    #[schema(example = 10)]
    sessions: Option<u64>,
    /// Messages that are accepted in a minute, by each node.
    #[schema(example = 600)]
    messages_per_minute: Option<u64>,
    /// Bytes of files.
    #[schema(example = 10_737_418_240_u64)]
    storage_bytes: Option<u64>,
    /// Webhooks in the configs of sessions.
    #[schema(example = 50)]
    webhooks: Option<u64>,
}

impl NewQuota {
    /// As it is kept.
    ///
    /// # Errors
    /// 400 for what is no limit.
    pub fn given(self) -> Result<Given, ApiError> {
        let Self { sessions, messages_per_minute, storage_bytes, webhooks } = self;
        let given = Given { sessions, messages_per_minute, storage_bytes, webhooks };
        let all = [sessions, messages_per_minute, storage_bytes, webhooks];
        let known = all.into_iter().flatten().all(|limit| limit <= MOST);
        if known { Ok(given) } else { Err(ApiError::invalid(format!("a limit may be {MOST}"))) }
    }
}

async fn of_user(api: &Api, tenant: TenantId, user: UserId) -> Result<Value, ApiError> {
    let mut seen = api.quotas.seen(&api.store, tenant, Some(user)).await?;
    if let Some(fields) = seen.as_object_mut() {
        fields.insert("id".to_owned(), json!(user.0));
    }
    Ok(seen)
}

/// What a user may have and has, and the tenant with all of its users. `limit` is null where any number may be had; `isDefault` says that
/// nobody changed it. A key that does not reach the whole tenant is not shown what the tenant has.
///
/// # Errors
/// 403 for another user's without an admin key or role, 404 for an unknown user.
#[utoipa::path(get, path = "/api/quotas", tag = "quotas", operation_id = "quotas", params(Asked), responses(
    (status = 200, description = "Both"), (status = 403, description = "Another user's, and not an admin"),
    (status = 404, description = "No such user")))]
pub async fn get(caller: Caller, api: web::Data<Api>, asked: web::Query<Asked>) -> Result<HttpResponse, ApiError> {
    let tenant = caller.0.tenant;
    let user = match &asked.user {
        None => caller.0.user,
        Some(_) if !caller.0.is_admin => {
            return Err(ApiError::new("forbidden", "Only an admin sees what others have"));
        }
        Some(id) => find(&api, caller, id).await?.id,
    };
    let whole = if caller.0.reaches_all() { api.quotas.seen(&api.store, tenant, None).await? } else { Value::Null };
    Ok(HttpResponse::Ok().json(json!({"user": of_user(&api, tenant, user).await?, "tenant": whole})))
}

/// Changes what a user may have. What they have already stays.
///
/// # Errors
/// 400 for what is no limit, 403 for an owner who is no owner's to change, 404 for an unknown user.
#[utoipa::path(put, path = "/api/users/{id}/quota", tag = "users", operation_id = "set_quota", request_body = NewQuota,
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 200, description = "What they may have and have"), (status = 400, description = "No such limit"),
    (status = 403, description = "Not an admin"), (status = 404, description = "No such user")))]
pub async fn set(
    caller: Caller,
    api: web::Data<Api>,
    id: web::Path<String>,
    body: web::Json<NewQuota>,
) -> Result<HttpResponse, ApiError> {
    let given = body.into_inner().given()?;
    let known = find(&api, caller, &id).await?;
    above(&api, caller, known.role).await?;
    if !api.store.give_quota(caller.0.tenant, Some(known.id), given).await? {
        return Err(ApiError::new("not_found", "There is no such user"));
    }
    api.quotas.read(&api.store).await?;
    Ok(HttpResponse::Ok().json(of_user(&api, caller.0.tenant, known.id).await?))
}
