//! A tenant's people: `/api/users`, for admins. An admin invites somebody by name and address; the answer has the invitation, which
//! the admin passes on, and with which the person chooses a password.

use super::Api;
use crate::auth::Caller;
use crate::auth::access::secret;
use crate::auth::audit::made;
use crate::error::ApiError;
use crate::live::socket::Sockets;
use crate::store::repo::invitations::{Guest, Invited};
use crate::store::repo::people::{Change, Changed, Person, Role, Standing, is_user_name, normal_email};
use crate::store::repo::shredding::Shredded;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use wardroom_actors::domain::ids::UserId;

/// Users of a tenant.
pub(super) const MOST: u64 = 5000;
/// How long an invitation is good, in milliseconds: three days.
pub const INVITATION_MS: i64 = 3 * 24 * 3600 * 1000;

/// Somebody who is invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Unique in the tenant: letters, digits, `.`, `_`, `-`. A user who had only keys so far gets an address.
    #[schema(example = "anna")]
    name: String,
    /// With which they sign in; unique in the server.
    #[schema(example = "anna@example.com")]
    email: String,
    /// What they may do. Only an owner makes owners.
    #[schema(value_type = String, example = "operator")]
    role: Role,
}

/// What changes of somebody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Another role. Who is no admin any more has no admin keys that are good.
    #[schema(value_type = Option<String>, example = "viewer")]
    role: Option<Role>,
    /// `suspended` ends all their stays and switches their keys off, `active` lets them in again.
    #[schema(value_type = Option<String>, example = "suspended")]
    status: Option<Standing>,
}

fn body(person: &Person) -> Value {
    json!({
        "id": person.id.0, "name": person.name, "email": person.email, "role": person.role,
        "status": person.standing, "hasPassword": person.has_password, "secondFactor": person.has_second_factor,
        "createdAt": person.created_ms,
    })
}

fn invited(person: &Person, token: &str, now_ms: i64) -> Value {
    let mut body = body(person);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("invitation".into(), json!(token));
        fields.insert("invitationExpiresAt".into(), json!(now_ms.saturating_add(INVITATION_MS)));
    }
    body
}

pub(super) fn too_many() -> ApiError {
    ApiError::new("quota_users", format!("A tenant may have {MOST} users"))
}

fn missing() -> ApiError {
    ApiError::new("not_found", "There is no such user")
}

/// Somebody of the caller's tenant.
pub(super) async fn find(api: &Api, caller: Caller, id: &str) -> Result<Person, ApiError> {
    let id = Uuid::parse_str(id).map_err(|_| missing())?;
    api.store.person_of(caller.0.tenant, UserId(id)).await?.ok_or_else(missing)
}

/// Whether the caller has to do with people of that role: with owners only owners have. A key counts as its user.
pub(super) async fn above(api: &Api, caller: Caller, role: Role) -> Result<(), ApiError> {
    let own = match caller.0.role {
        Some(role) => Some(role),
        None => api.store.person_of(caller.0.tenant, caller.0.user).await?.map(|person| person.role),
    };
    if role != Role::Owner || own == Some(Role::Owner) {
        Ok(())
    } else {
        Err(ApiError::new("forbidden", "Only an owner has to do with owners"))
    }
}

/// The tenant's users, those who only have keys too.
///
/// # Errors
/// 403 without an admin key or role.
#[utoipa::path(get, path = "/api/users", tag = "users",
    responses((status = 200, description = "Users"), (status = 403, description = "Not an admin")))]
pub async fn list(caller: Caller, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let people = api.store.people(caller.0.tenant).await?;
    Ok(HttpResponse::Ok().json(people.iter().map(body).collect::<Vec<_>>()))
}

/// Invites somebody. The invitation is in this answer only, and good for three days.
///
/// # Errors
/// 400 for what is no name or address, 403 for an owner who is no owner's guest, 422 for a name or an address that is taken.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = NewUser, responses(
    (status = 201, description = "The user with their invitation"), (status = 400, description = "No name or address"),
    (status = 403, description = "Not an admin"), (status = 422, description = "Taken, or too many")))]
pub async fn invite(caller: Caller, api: web::Data<Api>, body: web::Json<NewUser>) -> Result<HttpResponse, ApiError> {
    let NewUser { name, email, role } = body.into_inner();
    if !is_user_name(&name) {
        return Err(ApiError::invalid(
            "name must have 1 to 64 of: letters, digits, . _ -, and begin with one of the first two",
        ));
    }
    let email = normal_email(&email).ok_or_else(|| ApiError::invalid("email must be an address"))?;
    above(&api, caller, role).await?;
    let people = api.store.people(caller.0.tenant).await?;
    if let Some(known) = people.iter().find(|person| person.name == name) {
        // Who has keys gets an address, and with it the role: not by somebody below them.
        above(&api, caller, known.role).await?;
        if known.id == caller.0.user && known.role != role {
            return Err(own_self());
        }
    }
    if api.store.count_people(caller.0.tenant).await? >= MOST {
        return Err(too_many());
    }
    let token = secret("wri_");
    match api.store.invite(caller.0.tenant, Guest { name, email, role }, &token, INVITATION_MS).await? {
        Invited::Person(person) => {
            let answer = HttpResponse::Created().json(invited(&person, &token, api.store.unix_ms()));
            Ok(made(answer, person.id.0))
        }
        Invited::NameTaken => Err(ApiError::new("name_taken", "Somebody of this tenant has this name")),
        Invited::EmailTaken => Err(ApiError::new("email_taken", "This address cannot be used")),
    }
}

fn own_self() -> ApiError {
    ApiError::new("own_self", "Nobody changes their own role or shuts themselves out: another admin does")
}

/// Somebody else of the caller's tenant, with whom the caller has to do.
async fn other(api: &Api, caller: Caller, id: &str) -> Result<Person, ApiError> {
    let known = find(api, caller, id).await?;
    above(api, caller, known.role).await?;
    if known.id == caller.0.user { Err(own_self()) } else { Ok(known) }
}

fn last_owner() -> ApiError {
    ApiError::new("last_owner", "A tenant needs an owner: make another one first")
}

/// Changes somebody's role, or shuts them out, or lets them in again. It cannot be done to oneself, so that an owner stays.
///
/// # Errors
/// 403 for an owner who is no owner's to change, 404 for an unknown user, 422 for oneself.
#[utoipa::path(put, path = "/api/users/{id}", tag = "users", request_body = UserChange,
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 200, description = "The user"), (status = 400, description = "No such change"),
    (status = 403, description = "Not an admin"), (status = 404, description = "No such user"),
    (status = 422, description = "Oneself")))]
pub async fn update(
    caller: Caller,
    api: web::Data<Api>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
    body: web::Json<UserChange>,
) -> Result<HttpResponse, ApiError> {
    let known = find(&api, caller, &id).await?;
    above(&api, caller, known.role).await?;
    above(&api, caller, body.role.unwrap_or(known.role)).await?;
    if known.id == caller.0.user {
        return Err(own_self());
    }
    let change = Change { was: known.role, role: body.role, standing: body.status };
    let person = match api.store.change_person(caller.0.tenant, known.id, change).await? {
        Changed::Person(person) => person,
        Changed::LastOwner => return Err(last_owner()),
        Changed::Nobody => return Err(missing()),
    };
    look_again(&api, &sockets).await;
    Ok(HttpResponse::Ok().json(self::body(&person)))
}

/// Deletes somebody: their data key is destroyed at once, so that nothing of theirs opens any more but from backups made before; their
/// stays end, their keys are gone, and their sessions are logged out and removed within seconds. It cannot be undone, and not
/// be done to oneself.
///
/// # Errors
/// 403 for an owner who is no owner's to delete, 404 for an unknown user, 422 for oneself.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "users", operation_id = "delete_user",
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 204, description = "Gone"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such user"), (status = 422, description = "Oneself")))]
pub async fn remove(
    caller: Caller,
    api: web::Data<Api>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let known = other(&api, caller, &id).await?;
    match api.store.shred_person(caller.0.tenant, known.id, known.role).await? {
        Shredded::Done => {}
        Shredded::LastOwner => return Err(last_owner()),
        Shredded::Nobody => return Err(missing()),
    }
    look_again(&api, &sockets).await;
    Ok(HttpResponse::NoContent().finish())
}

/// Closes what whoever was shut out has open, at once.
async fn look_again(api: &Api, sockets: &Sockets) {
    if let Err(error) = sockets.look_again(&api.store).await {
        tracing::warn!(%error, "open sockets are looked at a little later");
    }
}

/// Invites somebody again, who lost their password or the first invitation: both are replaced when the invitation is taken up. A second
/// factor stays.
///
/// # Errors
/// 403 for an owner who is no owner's to invite, 404 for an unknown user, 422 for one who has no address, and for oneself: who has
/// a password changes it with that.
#[utoipa::path(post, path = "/api/users/{id}/invitation", tag = "users", operation_id = "invite_again",
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 201, description = "The user with their invitation"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such user"), (status = 422, description = "They have no address")))]
pub async fn invite_again(
    caller: Caller,
    api: web::Data<Api>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let known = other(&api, caller, &id).await?;
    let token = secret("wri_");
    if api.store.invite_again(caller.0.tenant, known.id, &token, INVITATION_MS).await? {
        Ok(HttpResponse::Created().json(invited(&known, &token, api.store.unix_ms())))
    } else {
        Err(ApiError::new("no_email", "This user has no address: invite them by name"))
    }
}

/// Takes an invitation back that was not taken up: the address is free for somebody else.
///
/// # Errors
/// 403 for an owner who is no owner's to invite, 404 for an unknown user, or one who has chosen a password.
#[utoipa::path(delete, path = "/api/users/{id}/invitation", tag = "users", operation_id = "withdraw",
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 204, description = "It is not good any more"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such invitation")))]
pub async fn withdraw(caller: Caller, api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let known = find(&api, caller, &id).await?;
    above(&api, caller, known.role).await?;
    match api.store.withdraw_invitation(caller.0.tenant, known.id).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiError::new("not_found", "There is no invitation of this user")),
    }
}

/// Takes the second factor off somebody who lost it and the codes on paper; their stays end. An admin makes sure first that it is they
/// who ask.
///
/// # Errors
/// 403 for an owner's by somebody who is none, 404 for an unknown user, or one without a second factor, 422 for one's own: who has it
/// removes it with that.
#[utoipa::path(delete, path = "/api/users/{id}/second-factor", tag = "users", operation_id = "take_second_factor",
    params(("id" = String, Path, example = "01990000-0000-7000-8000-000000000000")), responses(
    (status = 204, description = "They have none"), (status = 403, description = "Not an admin"),
    (status = 404, description = "No such second factor"), (status = 422, description = "One's own")))]
pub async fn take_second_factor(
    caller: Caller,
    api: web::Data<Api>,
    sockets: web::Data<Sockets>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let known = other(&api, caller, &id).await?;
    if !api.store.take_second_factor(caller.0.tenant, known.id).await? {
        return Err(ApiError::new("not_found", "This user has no second factor"));
    }
    look_again(&api, &sockets).await;
    Ok(HttpResponse::NoContent().finish())
}
