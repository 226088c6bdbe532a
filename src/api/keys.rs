//! API keys: `/api/keys`, for admins. A secret is shown when it is made, and never again.

use super::{Api, users};
use crate::auth::Caller;
use crate::auth::audit::made;
use crate::error::ApiError;
use crate::live::socket::Sockets;
use crate::store::repo::identity::Actions;
use crate::store::repo::keys::{Key, KeyKind, KeyWish};
use crate::vault::Kek;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use wardroom_actors::domain::ids::UserId;

/// Keys of a tenant, those that sessions derive included.
const MOST: usize = 5000;
/// Longest overlap of a rotation, in seconds.
const OVERLAP_S: u32 = 30 * 24 * 3600;

/// What a key is and may do.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyBody {
    /// Reaches all sessions and everything else of the tenant, and is bound to none.
    #[serde(default)]
    #[schema(example = false)]
    is_admin: bool,
    /// The only session that it reaches; a key without one reaches all of its user's.
    #[schema(example = "default")]
    session: Option<String>,
    /// It is good at all.
    #[serde(default = "yes")]
    #[schema(example = true)]
    is_active: bool,
    /// What it may do to its sessions: `read`, `send`, `control`, `setting`, `app`, `delete`; what is not named is not allowed.
    /// Missing: all but `delete`.
    #[schema(value_type = Option<Object>, example = json!({"read": true, "send": true, "delete": false}))]
    actions: Option<Actions>,
}

fn yes() -> bool {
    true
}

/// A session.
#[derive(Deserialize, ToSchema)]
pub struct OfSession {
    /// Its name.
    #[schema(example = "default")]
    session: String,
}

/// How a key's secret is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// So long the secret before is good, too, in seconds.
    #[serde(default)]
    #[schema(example = 3600)]
    overlap_seconds: u32,
}

/// WAHA's key object. What Wardroom adds: `lastUsedAt` and `oldKeyUntil`, Unix milliseconds.
fn body(api: &Api, caller: Caller, key: &Key, secret: Option<&str>) -> Value {
    let sessions = api.handle.sessions(caller.0.tenant);
    let session = key.wish.session.and_then(|id| sessions.iter().find(|seen| seen.spec.id == id));
    let session = session.map(|seen| seen.spec.name.as_str());
    let id = match key.kind {
        KeyKind::Plain => format!("key_id_{}", key.id.simple()),
        kind => format!("key_id_{}_{}", kind.name(), session.unwrap_or_default()),
    };
    json!({
        "id": id, "key": secret, "isActive": key.wish.is_active, "isAdmin": key.wish.is_admin, "session": session,
        "actions": if key.wish.is_admin { Value::Null } else { json!(key.wish.actions) },
        "lastUsedAt": key.used_ms, "oldKeyUntil": key.old_until_ms,
    })
}

fn secret() -> String {
    format!("key_{}", Kek::generate().get(..40).unwrap_or_default())
}

fn missing() -> ApiError {
    ApiError::new("not_found", "There is no such key")
}

/// A key by the id that a client sent.
async fn find(api: &Api, caller: Caller, id: &str) -> Result<Key, ApiError> {
    let keys = api.store.keys(caller.0.tenant).await?;
    let plain = id.strip_prefix("key_id_").and_then(|id| Uuid::parse_str(id).ok());
    let found = keys.into_iter().find(|key| match key.kind {
        KeyKind::Plain => Some(key.id) == plain,
        _ => body(api, caller, key, None).get("id").and_then(Value::as_str) == Some(id),
    });
    found.ok_or_else(missing)
}

/// What the body says, and whose the key is.
fn wish(api: &Api, caller: Caller, body: KeyBody) -> Result<(KeyWish, UserId), ApiError> {
    if body.is_admin && body.session.is_some() {
        return Err(ApiError::invalid("an admin key is not bound to a session: leave out isAdmin or session"));
    }
    let spec = body.session.map(|name| api.session(caller.0, &name)).transpose()?.map(|(_, seen)| seen.spec);
    let wish = KeyWish {
        is_admin: body.is_admin,
        session: spec.as_ref().map(|spec| spec.id),
        is_active: body.is_active,
        actions: body.actions.unwrap_or_default(),
    };
    Ok((wish, spec.map_or(caller.0.user, |spec| spec.user)))
}

/// The tenant's keys; their secrets are not kept.
///
/// # Errors
/// 403 without an admin key.
#[utoipa::path(get, path = "/api/keys", tag = "keys",
    responses((status = 200, description = "Keys"), (status = 403, description = "Not an admin")))]
pub async fn list(caller: Caller, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let keys = api.store.keys(caller.0.tenant).await?;
    Ok(HttpResponse::Ok().json(keys.iter().map(|key| self::body(&api, caller, key, None)).collect::<Vec<_>>()))
}

/// Makes a key. Its secret is in this answer only.
///
/// # Errors
/// 403 without an admin key, 404 for an unknown session.
#[utoipa::path(post, path = "/api/keys", tag = "keys", request_body = KeyBody, responses(
    (status = 201, description = "The key with its secret"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such session")))]
pub async fn create(caller: Caller, api: web::Data<Api>, body: web::Json<KeyBody>) -> Result<HttpResponse, ApiError> {
    let (wish, user) = wish(&api, caller, body.into_inner())?;
    if api.store.keys(caller.0.tenant).await?.len() >= MOST {
        return Err(ApiError::new("quota_keys", format!("A tenant may have {MOST} keys")));
    }
    let secret = secret();
    let key = api.store.create_key(caller.0.tenant, user, &secret, wish).await?;
    Ok(made(HttpResponse::Created().json(self::body(&api, caller, &key, Some(&secret))), key.id))
}

/// Changes what a key may do: the body replaces all that was said before. It cannot be done to the key that asks.
///
/// # Errors
/// 403 without an admin key, 404 for an unknown key or session, 422 for one's own key or one that follows from a session.
#[utoipa::path(put, path = "/api/keys/{id}", tag = "keys", request_body = KeyBody,
    params(("id" = String, Path, example = "key_id_01990000000070008000000000000000")), responses(
    (status = 200, description = "The key"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such key or session"), (status = 422, description = "It cannot be changed")))]
pub async fn update(
    caller: Caller,
    api: web::Data<Api>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
    body: web::Json<KeyBody>,
) -> Result<HttpResponse, ApiError> {
    let known = find(&api, caller, &id).await?;
    changeable(caller, &known)?;
    of_equal(&api, caller, &known).await?;
    let (wish, user) = wish(&api, caller, body.into_inner())?;
    // A key that stays unbound stays its user's; one that becomes an admin's is whose who makes it one.
    let stays = wish.session.is_none() && (known.wish.is_admin || !wish.is_admin);
    let user = if stays { known.user } else { user };
    let key = api.store.change_key(caller.0.tenant, known.id, user, wish).await?.ok_or_else(missing)?;
    sockets.forget(known.id);
    Ok(HttpResponse::Ok().json(self::body(&api, caller, &key, None)))
}

fn changeable(caller: Caller, key: &Key) -> Result<(), ApiError> {
    if key.id == caller.0.key {
        return Err(ApiError::new("own_key", "A key cannot change or remove itself: use another admin key"));
    }
    if key.kind != KeyKind::Plain {
        return Err(ApiError::new("own_key", "A session's media or control key can only be removed and made again"));
    }
    Ok(())
}

/// An owner's admin key is as good as the owner: only owners have to do with it.
async fn of_equal(api: &Api, caller: Caller, key: &Key) -> Result<(), ApiError> {
    let person = api.store.person_of(caller.0.tenant, key.user).await?;
    match person.filter(|_| key.wish.is_admin) {
        Some(person) => users::above(api, caller, person.role).await,
        None => Ok(()),
    }
}

/// Removes a key; whoever signed in with it is signed out.
///
/// # Errors
/// 403 without an admin key, 404 for an unknown key, 422 for one's own.
#[utoipa::path(delete, path = "/api/keys/{id}", tag = "keys",
    params(("id" = String, Path, example = "key_id_01990000000070008000000000000000")), responses(
    (status = 200, description = "It is gone"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such key"), (status = 422, description = "One's own key")))]
pub async fn delete(
    caller: Caller,
    api: web::Data<Api>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let known = find(&api, caller, &id).await?;
    if known.kind == KeyKind::Plain {
        changeable(caller, &known)?;
    }
    of_equal(&api, caller, &known).await?;
    if api.store.delete_key(caller.0.tenant, known.id).await? {
        sockets.forget(known.id);
        Ok(HttpResponse::Ok().finish())
    } else {
        Err(missing())
    }
}

/// A new secret for a key. With `overlapSeconds` the one before is good for so long, too.
///
/// # Errors
/// 403 without an admin key, 404 for an unknown key, 422 for one that follows from a session.
#[utoipa::path(post, path = "/api/keys/{id}/rotate", tag = "keys", request_body = Rotation,
    params(("id" = String, Path, example = "key_id_01990000000070008000000000000000")), responses(
    (status = 201, description = "The key with its new secret"), (status = 400, description = "Too long"),
    (status = 403, description = "Not an admin"), (status = 404, description = "No such key"),
    (status = 422, description = "It cannot be changed")))]
pub async fn rotate(
    caller: Caller,
    api: web::Data<Api>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
    body: web::Json<Rotation>,
) -> Result<HttpResponse, ApiError> {
    if body.overlap_seconds > OVERLAP_S {
        return Err(ApiError::invalid(format!("overlapSeconds may be {OVERLAP_S}")));
    }
    let known = find(&api, caller, &id).await?;
    if known.kind != KeyKind::Plain {
        changeable(caller, &known)?;
    }
    of_equal(&api, caller, &known).await?;
    let (secret, overlap) = (secret(), i64::from(body.overlap_seconds) * 1000);
    let key = api.store.rotate_key(caller.0.tenant, known.id, &secret, overlap).await?.ok_or_else(missing)?;
    sockets.forget(known.id);
    Ok(HttpResponse::Created().json(self::body(&api, caller, &key, Some(&secret))))
}

async fn derived(caller: Caller, api: &Api, session: &str, kind: KeyKind) -> Result<HttpResponse, ApiError> {
    let (_, seen) = api
        .session(caller.0, session)
        .map_err(|_| ApiError::new("no_session_for_key", format!("There is no session {session:?}")))?;
    let (key, secret) = api.store.derived_key(&seen.spec, kind).await?;
    Ok(HttpResponse::Created().json(body(api, caller, &key, Some(&secret))))
}

/// The key that may fetch the files of a session, and nothing else. Asked again, it is the same.
///
/// # Errors
/// 403 without an admin key, 422 for an unknown session.
#[utoipa::path(post, path = "/api/keys/media", tag = "keys", request_body = OfSession, responses(
    (status = 201, description = "The key with its secret"), (status = 403, description = "Not an admin"),
    (status = 422, description = "No such session")))]
pub async fn media(caller: Caller, api: web::Data<Api>, body: web::Json<OfSession>) -> Result<HttpResponse, ApiError> {
    derived(caller, &api, &body.session, KeyKind::Media).await
}

/// The key that may see the QR code and the screen of a session, start and stop it. Asked again, it is the same.
///
/// # Errors
/// 403 without an admin key, 422 for an unknown session.
#[utoipa::path(post, path = "/api/keys/control", tag = "keys", request_body = OfSession, responses(
    (status = 201, description = "The key with its secret"), (status = 403, description = "Not an admin"),
    (status = 422, description = "No such session")))]
pub async fn control(
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<OfSession>,
) -> Result<HttpResponse, ApiError> {
    derived(caller, &api, &body.session, KeyKind::Control).await
}
