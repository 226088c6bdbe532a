//! `/api/{session}/groups`.

use super::asking::{Part, act_named, ask_named};
use super::chat_acts::Refresh;
use super::{Api, Named, chat_id};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::action::{Action, Membership};
use wardroom_actors::domain::asking::{self, Group, Member};
use wardroom_actors::domain::chat::ChatId;

/// Longest name of a group in bytes; the network takes 100 characters.
const SUBJECT: usize = 400;
/// Longest description in bytes; the network takes 2,048 characters.
const DESCRIPTION: usize = 8192;
/// People of one request; the network's groups hold 1,024.
const PEOPLE: usize = 1024;
/// Longest invite code or address.
const CODE: usize = 200;

/// Somebody.
#[derive(Deserialize, ToSchema)]
pub struct Somebody {
    /// A number or an id.
    #[schema(example = "12132132130@c.us")]
    id: String,
}

/// A group to be made.
#[derive(Deserialize, ToSchema)]
pub struct NewGroup {
    /// Its name.
    #[schema(example = "Work Group")]
    name: String,
    /// Who shall be in it, beside the account.
    participants: Vec<Somebody>,
}

/// People of a group.
#[derive(Deserialize, ToSchema)]
pub struct People {
    /// Who.
    participants: Vec<Somebody>,
}

/// A code.
#[derive(Deserialize, IntoParams, ToSchema)]
pub struct Code {
    /// An invite code, or the address that carries it.
    #[schema(example = "https://chat.whatsapp.com/AbCdEfGhIjKlMnOpQrStUv")]
    #[param(example = "AbCdEfGhIjKlMnOpQrStUv")]
    code: String,
}

/// A name.
#[derive(Deserialize, ToSchema)]
pub struct NewSubject {
    /// The new one.
    #[schema(example = "Work Group")]
    subject: String,
}

/// What a group is for.
#[derive(Deserialize, ToSchema)]
pub struct NewDescription {
    /// The new text; empty removes it.
    #[schema(example = "All about work")]
    description: String,
}

/// Who may.
#[derive(Deserialize, ToSchema)]
pub struct AdminsOnly {
    /// Only admins, or everybody.
    #[serde(rename = "adminsOnly")]
    #[schema(example = true)]
    admins_only: bool,
}

/// What is left out.
#[derive(Deserialize, IntoParams)]
pub struct Exclude {
    /// `participants`.
    #[param(example = "participants")]
    exclude: Option<String>,
}

fn member(member: &Member) -> Value {
    json!({"id": member.id, "pn": member.pn, "role": member.role})
}

fn shape(group: &Group) -> Value {
    json!({
        "id": group.id, "subject": group.subject, "description": group.description, "owner": group.owner,
        "creation": group.created, "invite": null, "membersCanAddNewMember": group.members_add,
        "membersCanSendMessages": !group.announce, "membersCanEditInfo": !group.restrict,
        "newMembersApprovalRequired": group.approval,
        "participants": group.members.iter().map(member).collect::<Vec<_>>(),
    })
}

pub(super) fn group_id(text: &str) -> Result<ChatId, ApiError> {
    let id = chat_id(&if text.contains('@') { text.to_owned() } else { format!("{text}@g.us") })?;
    if id.is_group() { Ok(id) } else { Err(ApiError::invalid("a group's id ends in @g.us")) }
}

fn people(people: Vec<Somebody>) -> Result<Vec<ChatId>, ApiError> {
    if people.is_empty() || people.len() > PEOPLE {
        return Err(ApiError::invalid(format!("participants must be 1 to {PEOPLE}")));
    }
    let read = |one: Somebody| match chat_id(&one.id)? {
        group if group.is_group() => Err(ApiError::invalid("a group cannot be in a group")),
        person => Ok(person),
    };
    people.into_iter().map(read).collect()
}

fn code(text: &str) -> Result<String, ApiError> {
    let code = text.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default();
    let sound = !code.is_empty() && text.len() <= CODE && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if sound { Ok(code.to_owned()) } else { Err(ApiError::invalid("code is not an invite code")) }
}

fn short(name: &str, text: String, least: usize, most: usize) -> Result<String, ApiError> {
    let fits = (least..=most).contains(&text.len());
    if fits { Ok(text) } else { Err(ApiError::invalid(format!("{name} must have {least} to {most} bytes"))) }
}

/// The account's groups.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING.
#[utoipa::path(get, path = "/api/{session}/groups", tag = "groups",
    params(("session" = String, Path, example = "default"), Part, Exclude),
    responses((status = 200, description = "Groups"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn list(
    named: Named,
    api: web::Data<Api>,
    part: web::Query<Part>,
    exclude: web::Query<Exclude>,
) -> Result<HttpResponse, ApiError> {
    let groups = ask_named(&api, &named, asking::groups()).await?;
    let mut groups = part.of(groups.iter().map(shape).collect(), "id")?;
    if exclude.exclude.as_deref() == Some("participants") {
        groups.iter_mut().filter_map(Value::as_object_mut).for_each(|group| drop(group.remove("participants")));
    }
    Ok(HttpResponse::Ok().json(groups))
}

/// How many there are.
///
/// # Errors
/// As for all groups.
#[utoipa::path(get, path = "/api/{session}/groups/count", tag = "groups", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "`count`"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn count(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let count = ask_named(&api, &named, asking::count_groups()).await?;
    Ok(HttpResponse::Ok().json(json!({"count": count})))
}

/// Makes a group.
///
/// # Errors
/// As for all groups; 422 when the network refuses.
#[utoipa::path(post, path = "/api/{session}/groups", tag = "groups", request_body = NewGroup,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The group"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn create(named: Named, api: web::Data<Api>, body: web::Json<NewGroup>) -> Result<HttpResponse, ApiError> {
    let NewGroup { name, participants } = body.into_inner();
    let question = asking::create_group(short("name", name, 1, SUBJECT)?, people(participants)?);
    Ok(HttpResponse::Created().json(shape(&ask_named(&api, &named, question).await?)))
}

/// The group behind an invite.
///
/// # Errors
/// As for all groups; 404 when there is no such invite.
#[utoipa::path(get, path = "/api/{session}/groups/join-info", tag = "groups",
    params(("session" = String, Path, example = "default"), Code),
    responses((status = 200, description = "The group"), (status = 404, description = "No such session or invite"),
        (status = 422, description = "Not WORKING")))]
pub async fn invited(named: Named, api: web::Data<Api>, query: web::Query<Code>) -> Result<HttpResponse, ApiError> {
    let group = ask_named(&api, &named, asking::invited(code(&query.code)?)).await?;
    Ok(HttpResponse::Ok().json(shape(&group)))
}

/// Joins a group by an invite.
///
/// # Errors
/// As for the group behind an invite.
#[utoipa::path(post, path = "/api/{session}/groups/join", tag = "groups", request_body = Code,
    params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "`id`"), (status = 404, description = "No such session or invite"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn join(named: Named, api: web::Data<Api>, body: web::Json<Code>) -> Result<HttpResponse, ApiError> {
    let joined = ask_named(&api, &named, asking::join_group(code(&body.code)?)).await?;
    Ok(HttpResponse::Ok().json(json!({"id": joined.id, "pendingApproval": joined.pending})))
}

/// WAHA reads groups from a store that can lag behind; here they are read from the page, so there is nothing to refresh.
///
/// # Errors
/// As for all groups.
#[utoipa::path(post, path = "/api/{session}/groups/refresh", tag = "groups", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn refresh(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    ask_named(&api, &named, asking::count_groups()).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

async fn one(api: &web::Data<Api>, named: &Named, id: &str) -> Result<Group, ApiError> {
    ask_named(api, named, asking::group(group_id(id)?)).await
}

/// One group.
///
/// # Errors
/// As for all groups; 404 when the account is in no such group.
#[utoipa::path(get, path = "/api/{session}/groups/{group}", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "The group"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING")))]
pub async fn get(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(shape(&one(&api, &named, &path.1).await?)))
}

/// Address of its picture.
///
/// # Errors
/// As for one group.
#[utoipa::path(get, path = "/api/{session}/groups/{group}/picture", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us"), Refresh),
    responses((status = 200, description = "`url`, null where none is shown"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING")))]
pub async fn picture(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    asked: web::Query<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let url = ask_named(&api, &named, asking::picture(group_id(&path.1)?, asked.refresh)).await?;
    Ok(HttpResponse::Ok().json(json!({"url": url})))
}

/// Who is in it.
///
/// # Errors
/// As for one group.
#[utoipa::path(get, path = "/api/{session}/groups/{group}/participants", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "Members with their roles"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING")))]
pub async fn members(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let group = one(&api, &named, &path.1).await?;
    Ok(HttpResponse::Ok().json(group.members.iter().map(member).collect::<Vec<_>>()))
}

/// The same.
///
/// # Errors
/// As for one group.
#[utoipa::path(get, path = "/api/{session}/groups/{group}/participants/v2", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "Members with their roles"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING")))]
pub async fn members_v2(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    members(named, api, path).await
}

async fn change(
    api: &web::Data<Api>,
    named: &Named,
    id: &str,
    body: People,
    change: Membership,
) -> Result<HttpResponse, ApiError> {
    let people = people(body.participants)?;
    act_named(api, named, Action::Members { group: group_id(id)?, change, people }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

macro_rules! changes {
    ($($name:ident, $path:literal, $change:ident, $says:literal;)*) => { $(
        #[doc = $says]
        ///
        /// # Errors
        /// As for one group; 422 when the network refuses, because the account is no admin for instance.
        #[utoipa::path(post, path = $path, tag = "groups", request_body = People,
            params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
            responses((status = 200, description = "Done"), (status = 400, description = "Bad input"),
                (status = 404, description = "No such session or group"), (status = 422, description = "Not WORKING, or refused")))]
        pub async fn $name(
            named: Named,
            api: web::Data<Api>,
            path: web::Path<(String, String)>,
            body: web::Json<People>,
        ) -> Result<HttpResponse, ApiError> {
            change(&api, &named, &path.1, body.into_inner(), Membership::$change).await
        }
    )* };
}

changes! {
    add, "/api/{session}/groups/{group}/participants/add", Add, "Brings people in.";
    remove, "/api/{session}/groups/{group}/participants/remove", Remove, "Sends people away.";
    promote, "/api/{session}/groups/{group}/admin/promote", Promote, "Makes members admins.";
    demote, "/api/{session}/groups/{group}/admin/demote", Demote, "Makes admins plain members.";
}

/// Leaves a group.
///
/// # Errors
/// As for one group.
#[utoipa::path(post, path = "/api/{session}/groups/{group}/leave", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn leave(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Leave { group: group_id(&path.1)? }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Leaves a group, where it stands, and removes its chat from the account's devices.
///
/// # Errors
/// As for one group.
#[utoipa::path(delete, path = "/api/{session}/groups/{group}", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn delete(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let group = group_id(&path.1)?;
    act_named(&api, &named, Action::Leave { group: group.clone() }).await?;
    act_named(&api, &named, Action::Delete { chat: group }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// Changes the name.
///
/// # Errors
/// As for bringing people in.
#[utoipa::path(put, path = "/api/{session}/groups/{group}/subject", tag = "groups", request_body = NewSubject,
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "`true`"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or group"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn subject(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<NewSubject>,
) -> Result<HttpResponse, ApiError> {
    let text = short("subject", body.into_inner().subject, 1, SUBJECT)?;
    act_named(&api, &named, Action::Subject { group: group_id(&path.1)?, text }).await?;
    Ok(HttpResponse::Ok().json(true))
}

/// Changes what it is for.
///
/// # Errors
/// As for bringing people in.
#[utoipa::path(put, path = "/api/{session}/groups/{group}/description", tag = "groups", request_body = NewDescription,
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "`true`"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session or group"), (status = 422, description = "Not WORKING, or refused")))]
pub async fn description(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<NewDescription>,
) -> Result<HttpResponse, ApiError> {
    let text = short("description", body.into_inner().description, 0, DESCRIPTION)?;
    act_named(&api, &named, Action::Description { group: group_id(&path.1)?, text }).await?;
    Ok(HttpResponse::Ok().json(true))
}

/// Whether only admins change what the group says of itself.
///
/// # Errors
/// As for one group.
#[utoipa::path(get, path = "/api/{session}/groups/{group}/settings/security/info-admin-only", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "`adminsOnly`"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING")))]
pub async fn restricted(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(json!({"adminsOnly": one(&api, &named, &path.1).await?.restrict})))
}

/// Lets only admins change what the group says of itself, or everybody.
///
/// # Errors
/// As for bringing people in.
#[utoipa::path(put, path = "/api/{session}/groups/{group}/settings/security/info-admin-only", tag = "groups",
    request_body = AdminsOnly,
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "`true`"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn restrict(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<AdminsOnly>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Restrict { group: group_id(&path.1)?, on: body.admins_only }).await?;
    Ok(HttpResponse::Ok().json(true))
}

/// Whether only admins write.
///
/// # Errors
/// As for one group.
#[utoipa::path(get, path = "/api/{session}/groups/{group}/settings/security/messages-admin-only", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "`adminsOnly`"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING")))]
pub async fn announces(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(json!({"adminsOnly": one(&api, &named, &path.1).await?.announce})))
}

/// Lets only admins write, or everybody.
///
/// # Errors
/// As for bringing people in.
#[utoipa::path(put, path = "/api/{session}/groups/{group}/settings/security/messages-admin-only", tag = "groups",
    request_body = AdminsOnly,
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "`true`"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn announce(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<AdminsOnly>,
) -> Result<HttpResponse, ApiError> {
    act_named(&api, &named, Action::Announce { group: group_id(&path.1)?, on: body.admins_only }).await?;
    Ok(HttpResponse::Ok().json(true))
}

/// The code with which others can join.
///
/// # Errors
/// As for bringing people in.
#[utoipa::path(get, path = "/api/{session}/groups/{group}/invite-code", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "The code"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn invite_code(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(ask_named(&api, &named, asking::invite_code(group_id(&path.1)?)).await?))
}

/// Makes the code invalid.
///
/// # Errors
/// As for bringing people in.
#[utoipa::path(post, path = "/api/{session}/groups/{group}/invite-code/revoke", tag = "groups",
    params(("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    responses((status = 200, description = "The new code"), (status = 404, description = "No such session or group"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn revoke_invite(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(ask_named(&api, &named, asking::revoke_invite(group_id(&path.1)?)).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_invite_code_is_read_or_refused(text in "(https://chat.whatsapp.com/)?[A-Za-z0-9]{0,24}(\\?[a-z=]{0,5})?|.{0,80}") {
            if let Ok(read) = code(&text) {
                prop_assert!(!read.is_empty() && text.contains(&read) && read.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert!(code(&read).is_ok_and(|again| again == read), "it is one code");
            }
        }
    }

    #[test]
    fn codes_come_bare_or_in_an_address() {
        let bare = "AbCdEfGhIjKlMnOpQrStUv";
        for text in
            [bare, &format!("https://chat.whatsapp.com/{bare}"), &format!("https://chat.whatsapp.com/{bare}?mode=r")]
        {
            assert_eq!(code(text).unwrap(), bare);
        }
        for bad in ["", "https://chat.whatsapp.com/", "a b", "a\"b", &"a".repeat(201)] {
            assert!(code(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_are_named_with_or_without_their_server() {
        assert_eq!(group_id("123-456").unwrap().as_str(), "123-456@g.us");
        assert_eq!(group_id("123@g.us").unwrap().as_str(), "123@g.us");
        assert!(group_id("123@c.us").is_err());
    }
}
