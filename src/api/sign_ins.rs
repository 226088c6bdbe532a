//! People's stays: `/api/auth`. A person shows who they are and gets two tokens: one for ten minutes that calls the API, and one that
//! is good once, to renew the stay.

use super::shape::qr_png;
use crate::auth::access::{Access, Credentials, TICKET_MS, about};
use crate::auth::audit::{Actor, Auditor};
use crate::auth::{Caller, Door};
use crate::error::ApiError;
use crate::live::socket::Sockets;
use crate::store::Store;
use crate::store::repo::identity::Holder;
use crate::store::repo::stays::{Renewal, Renewed};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use wardroom_actors::ports::PortError;

/// How long a stay by tokens lasts, in milliseconds: 30 days.
const STAY_MS: i64 = 30 * 24 * 3600 * 1000;

/// A token that renews a stay.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refresh {
    /// As the last answer had it; it is good once.
    #[schema(example = "wrr_AZqg…")]
    refresh_token: String,
}

/// A password that somebody chooses with an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// As the admin got it.
    #[schema(example = "wri_5f0c…")]
    invitation: String,
    /// 12 characters or more, and not easy to guess.
    #[schema(example = "four blue chairs in the rain")]
    password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The one that is good now.
    #[schema(example = "four blue chairs in the rain")]
    current: String,
    /// 12 characters or more, and not easy to guess.
    #[schema(example = "a lamp beside the harbour wall")]
    new: String,
    /// A code of the second factor, if there is one.
    #[schema(example = "123456")]
    code: Option<String>,
}

/// A second factor that begins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The password that is good now.
    #[schema(example = "four blue chairs in the rain")]
    password: String,
    /// The secret that the authenticator was given.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// What it shows now.
    #[schema(example = "123456")]
    code: String,
}

/// A second factor that ends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// The password that is good now.
    #[schema(example = "four blue chairs in the rain")]
    password: String,
    /// A code of the authenticator, or one on paper.
    #[schema(example = "123456")]
    code: String,
}

fn tokens(access: &Access, renewed: &Renewed, now_ms: i64) -> Result<HttpResponse, ApiError> {
    let token = access.tokens.make(&renewed.holder).ok_or_else(|| ApiError::new("internal", ""))?;
    Ok(HttpResponse::Ok().json(json!({
        "accessToken": token, "tokenType": "Bearer", "expiresIn": access.tokens.life_s, "refreshToken": renewed.token,
        "refreshExpiresIn": (renewed.expires_ms - now_ms) / 1000,
    })))
}

/// Signs a person in. The answer's `accessToken` is for `Authorization: Bearer`, for ten minutes.
///
/// # Errors
/// 401 for a wrong address, password or code, all alike; 401 `second_factor_needed` where the code is missing; 429 when it was tried
/// too often.
#[utoipa::path(post, path = "/api/auth/token", tag = "auth", operation_id = "token", request_body = Credentials, security(()),
    responses((status = 200, description = "Tokens"), (status = 400, description = "No such body"),
        (status = 401, description = "Not let in"), (status = 429, description = "Tried too often"),
        (status = 503, description = "Too many sign in at once")))]
pub async fn sign_in(
    request: HttpRequest,
    door: web::Data<Door>,
    store: web::Data<Store>,
    body: web::Json<Credentials>,
) -> Result<HttpResponse, ApiError> {
    let login = door.access.admit(&door, &store, &request, &body).await?;
    let renewed = store.stay_by_tokens(login, about(&door, &request), STAY_MS).await.map_err(changed)?;
    request.extensions_mut().insert(Actor::from(renewed.holder));
    tokens(&door.access, &renewed, store.unix_ms())
}

/// Renews a stay: two new tokens for one. Shown twice, a refresh token ends its stay, because somebody has a copy.
///
/// # Errors
/// 401.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", operation_id = "refresh", request_body = Refresh, security(()),
    responses((status = 200, description = "Tokens"), (status = 400, description = "No such body"),
        (status = 401, description = "Not good, or not any more"),
        (status = 429, description = "Too many wrong ones came from this address")))]
pub async fn refresh(
    request: HttpRequest,
    door: web::Data<Door>,
    store: web::Data<Store>,
    auditor: web::Data<Auditor>,
    body: web::Json<Refresh>,
) -> Result<HttpResponse, ApiError> {
    door.admits(&request)?;
    match store.renew(&body.refresh_token).await? {
        Renewal::Done(renewed) => {
            request.extensions_mut().insert(Actor::from(renewed.holder));
            tokens(&door.access, &renewed, store.unix_ms())
        }
        Renewal::Reused(tenant, user) => {
            door.watch.count("token_reuse", "high", || format!("user {user} of tenant {tenant}"));
            auditor.note(Some(tenant), Some(user), "refresh token shown twice", door.address(&request));
            tracing::warn!(%tenant, %user, "a refresh token was shown twice: this sign-in has ended");
            Err(ApiError::new("unauthorized", "Unauthorized"))
        }
        Renewal::Unknown => {
            door.failed(&request);
            Err(ApiError::new("unauthorized", "Unauthorized"))
        }
    }
}

/// Who is not who they were when they were looked at is nobody.
fn changed(error: PortError) -> ApiError {
    match error {
        PortError::Conflict => ApiError::new("unauthorized", "E-mail address, password or code is wrong"),
        other => other.into(),
    }
}

async fn end(store: &Store, sockets: &Sockets, holder: Holder, stay: Uuid) -> Result<bool, ApiError> {
    let ended = store.end_stay(holder, stay).await?;
    if ended {
        sockets.forget_stay(stay);
    }
    Ok(ended)
}

/// Ends the stay in which it is asked; its tokens are not good any more, and its sockets are closed.
///
/// # Errors
/// 401, 403 for a key.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", operation_id = "logout",
    responses((status = 204, description = "It has ended"), (status = 403, description = "A key is no person")))]
pub async fn sign_out(
    caller: Caller,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
) -> Result<HttpResponse, ApiError> {
    if let Some(stay) = caller.0.stay {
        end(&store, &sockets, caller.0, stay).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The person's stays, the latest first, with where they began.
///
/// # Errors
/// 401, 403 for a key.
#[utoipa::path(get, path = "/api/auth/sign-ins", tag = "auth", operation_id = "sign_ins",
    responses((status = 200, description = "Stays"), (status = 403, description = "A key is no person")))]
pub async fn list(caller: Caller, store: web::Data<Store>) -> Result<HttpResponse, ApiError> {
    let stays = store.stays(caller.0.tenant, caller.0.user).await?;
    let shown = stays.iter().map(|stay| {
        json!({
            "id": stay.id, "kind": if stay.is_by_tokens { "tokens" } else { "dashboard" },
            "isCurrent": caller.0.stay == Some(stay.id), "address": stay.about.address, "agent": stay.about.agent,
            "createdAt": stay.created_ms, "usedAt": stay.used_ms, "expiresAt": stay.expires_ms,
        })
    });
    Ok(HttpResponse::Ok().json(shown.collect::<Vec<Value>>()))
}

/// Ends one of the person's stays.
///
/// # Errors
/// 404 for one that is not theirs.
#[utoipa::path(delete, path = "/api/auth/sign-ins/{id}", tag = "auth", operation_id = "end_sign_in",
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 204, description = "It has ended"), (status = 403, description = "A key is no person"),
    (status = 404, description = "No such stay")))]
pub async fn end_one(
    caller: Caller,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let none = || ApiError::new("not_found", "There is no such stay");
    let stay = Uuid::parse_str(&id).map_err(|_| none())?;
    if end(&store, &sockets, caller.0, stay).await? { Ok(HttpResponse::NoContent().finish()) } else { Err(none()) }
}

/// Ends all of the person's stays, this one too, and those that their keys began on the dashboard.
///
/// # Errors
/// 401, 403 for a key.
#[utoipa::path(delete, path = "/api/auth/sign-ins", tag = "auth", operation_id = "end_sign_ins",
    responses((status = 204, description = "They have ended"), (status = 403, description = "A key is no person")))]
pub async fn end_all(
    caller: Caller,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
) -> Result<HttpResponse, ApiError> {
    store.end_all_stays(caller.0.tenant, caller.0.user, None).await?;
    sockets.forget_person(caller.0.tenant, caller.0.user);
    Ok(HttpResponse::NoContent().finish())
}

/// Who asks, and what they may do.
///
/// # Errors
/// 401.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", operation_id = "me",
    responses((status = 200, description = "Who"), (status = 401, description = "Nobody")))]
pub async fn me(caller: Caller, store: web::Data<Store>) -> Result<HttpResponse, ApiError> {
    let holder = caller.0;
    let person = store.person_of(holder.tenant, holder.user).await?;
    let tenant = store.tenant_name(holder.tenant).await?;
    let of_person = |value: Option<Value>| value.filter(|_| holder.role.is_some()).unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "tenant": tenant, "user": person.as_ref().map(|person| person.name.as_str()),
        "role": holder.role, "isAdmin": holder.is_admin,
        "actions": if holder.is_admin { Value::Null } else { json!(holder.actions) },
        "email": of_person(person.as_ref().map(|person| json!(person.email))),
        "secondFactor": of_person(person.as_ref().map(|person| json!(person.has_second_factor))),
    })))
}

/// Takes an invitation up: the person chooses a password. An invitation is good once.
///
/// # Errors
/// 400 for a password that is too easy to guess, 401 for an invitation that is not good (any more).
#[utoipa::path(post, path = "/api/auth/invitation", tag = "auth", operation_id = "accept", request_body = Acceptance, security(()),
    responses((status = 204, description = "The password is chosen"), (status = 400, description = "Too easy to guess"),
        (status = 401, description = "No such invitation"), (status = 429, description = "Tried too often"),
        (status = 503, description = "Too many sign in at once")))]
pub async fn accept(
    request: HttpRequest,
    door: web::Data<Door>,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
    body: web::Json<Acceptance>,
) -> Result<HttpResponse, ApiError> {
    let none = || ApiError::new("unauthorized", "This invitation is not good, or not any more");
    door.may_try(&request)?;
    let login = store.invited(&body.invitation).await?.filter(|login| login.is_welcome);
    let Some(login) = login else {
        door.failed(&request);
        return Err(none());
    };
    request.extensions_mut().insert(Actor::from(&login));
    let hash = door.access.chosen(&login, &body.password).await?;
    if !store.accept_invitation(&body.invitation, &login, &hash).await? {
        return Err(none());
    }
    sockets.forget_person(login.tenant, login.user);
    Ok(HttpResponse::NoContent().finish())
}

/// Another password; all other stays of the person end.
///
/// # Errors
/// 400 for one that is too easy to guess, 401 for a wrong current one.
#[utoipa::path(post, path = "/api/auth/password", tag = "auth", operation_id = "password", request_body = NewPassword, responses(
    (status = 204, description = "It is good from now on"), (status = 400, description = "Too easy to guess"),
    (status = 401, description = "The current one is wrong"), (status = 403, description = "A key is no person"),
    (status = 429, description = "Tried too often"), (status = 503, description = "Too many sign in at once")))]
pub async fn password(
    caller: Caller,
    door: web::Data<Door>,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
    body: web::Json<NewPassword>,
) -> Result<HttpResponse, ApiError> {
    let login = door.access.again(&store, caller.0, &body.current, body.code.as_deref()).await?;
    let hash = door.access.chosen(&login, &body.new).await?;
    if !store.set_password(&login, &hash, caller.0.stay).await? {
        return Err(ApiError::new("unauthorized", "The password was changed meanwhile"));
    }
    sockets.look_again(&store).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A secret for an authenticator, in base 32, as the link that authenticators read, and as the picture of it that they scan. Nothing is kept of it yet.
///
/// # Errors
/// 401, 403 for a key.
#[utoipa::path(get, path = "/api/auth/second-factor", tag = "auth", operation_id = "offer_second_factor",
    responses((status = 200, description = "A secret"), (status = 403, description = "A key is no person")))]
pub async fn offer(caller: Caller, store: web::Data<Store>) -> Result<HttpResponse, ApiError> {
    let person = store.person_of(caller.0.tenant, caller.0.user).await?;
    let email = person.and_then(|person| person.email).unwrap_or_default();
    let (secret, url) =
        crate::auth::second_factor::offer(&email).ok_or_else(|| ApiError::new("internal", "no secret"))?;
    let picture = format!("data:image/png;base64,{}", STANDARD.encode(qr_png(&url)?));
    Ok(HttpResponse::Ok().json(json!({"secret": secret, "url": url, "qr": picture})))
}

/// Whoever got in before somebody changed how they get in does not stay.
async fn end_others(caller: Caller, store: &Store, sockets: &Sockets) {
    let ended = store.end_all_stays(caller.0.tenant, caller.0.user, caller.0.stay).await;
    // The change is made, and its answer has what is shown only now.
    if let Err(error) = ended.and(sockets.look_again(store).await) {
        tracing::warn!(%error, user = %caller.0.user, "other stays of a person were not ended with a change of their second factor");
    }
}

/// From now on the person needs a code to sign in, and has left wherever else they were signed in. The answer has codes for paper,
/// each good once, shown only now.
///
/// # Errors
/// 400 for a code that the secret does not give, 401 for a wrong password, 422 when there is a second factor already.
#[utoipa::path(post, path = "/api/auth/second-factor/begin", tag = "auth", operation_id = "begin_second_factor", request_body = Begin,
    responses((status = 200, description = "Codes for paper"), (status = 400, description = "A wrong code"),
    (status = 401, description = "A wrong password"), (status = 403, description = "A key is no person"),
    (status = 422, description = "There is one already"), (status = 429, description = "Tried too often"),
    (status = 503, description = "Too many sign in at once")))]
pub async fn begin(
    caller: Caller,
    door: web::Data<Door>,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
    body: web::Json<Begin>,
) -> Result<HttpResponse, ApiError> {
    let login = door.access.again(&store, caller.0, &body.password, Some(&body.code)).await?;
    let codes = door.access.begin_second_factor(&store, &login, &body.secret, &body.code).await?;
    end_others(caller, &store, &sockets).await;
    Ok(HttpResponse::Ok().json(json!({"recoveryCodes": codes})))
}

/// From now on the password is enough. Wherever else the person was signed in, they have left.
///
/// # Errors
/// 401 for a wrong password or code.
#[utoipa::path(post, path = "/api/auth/second-factor/remove", tag = "auth", operation_id = "remove_second_factor", request_body = Remove,
    responses((status = 204, description = "It is gone"), (status = 401, description = "A wrong password or code"),
    (status = 403, description = "A key is no person"), (status = 429, description = "Tried too often"),
    (status = 503, description = "Too many sign in at once")))]
pub async fn remove(
    caller: Caller,
    door: web::Data<Door>,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
    body: web::Json<Remove>,
) -> Result<HttpResponse, ApiError> {
    door.access.again(&store, caller.0, &body.password, Some(&body.code)).await?;
    let Some(login) = store.login_by_id(caller.0.tenant, caller.0.user).await? else {
        return Err(ApiError::new("unauthorized", "Unauthorized"));
    };
    if !store.set_second_factor(&login, None).await? {
        return Err(ApiError::new("unavailable", "A code was used at the same time").retry(1));
    }
    end_others(caller, &store, &sockets).await;
    Ok(HttpResponse::NoContent().finish())
}

/// A ticket that opens one WebSocket, `/ws?ticket=…`, within half a minute: for pages that must not show a key in an address.
///
/// # Errors
/// 401, 403 for who may not read.
#[utoipa::path(post, path = "/api/auth/ticket", tag = "auth", operation_id = "ticket",
    responses((status = 201, description = "A ticket"), (status = 403, description = "It may not read"),
        (status = 429, description = "Too many of its own are out"), (status = 503, description = "Too many are out")))]
pub async fn ticket(caller: Caller, door: web::Data<Door>) -> Result<HttpResponse, ApiError> {
    let ticket = door.access.ticket(caller.0)?;
    Ok(HttpResponse::Created().json(json!({"ticket": ticket, "expiresIn": TICKET_MS / 1000})))
}
