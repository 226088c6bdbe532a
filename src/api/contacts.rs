//! `/api/contacts` and `/api/{session}/lids`: people, as the account knows them.

use super::asking::{Part, act_named, ask, ask_named};
use super::{Api, Named, acting, chat_id, default_session};
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::action::Action;
use wardroom_actors::domain::asking::{self, Alias, Contact};
use wardroom_actors::domain::chat::ChatId;

/// Longest name that is written into an address book.
const NAME: usize = 200;

/// Of which session.
#[derive(Deserialize, IntoParams)]
pub struct InSession {
    /// The session's name.
    #[serde(default = "default_session")]
    #[param(example = "default")]
    session: String,
}

/// Whom.
#[derive(Deserialize, IntoParams)]
pub struct Whom {
    /// The session's name.
    #[serde(default = "default_session")]
    #[param(example = "default")]
    session: String,
    /// A number or an id.
    #[serde(rename = "contactId")]
    #[param(rename = "contactId", example = "12132132130@c.us")]
    contact_id: String,
    /// Of a picture: past what the page remembers.
    #[serde(default)]
    #[param(example = false)]
    refresh: bool,
}

/// Which number.
#[derive(Deserialize, IntoParams)]
pub struct Which {
    /// The session's name.
    #[serde(default = "default_session")]
    #[param(example = "default")]
    session: String,
    /// An international number.
    #[param(example = "12132132130")]
    phone: String,
}

/// Whom to block or to let through again.
#[derive(Deserialize, ToSchema)]
pub struct ToBlock {
    /// The session's name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    session: String,
    /// A number or an id.
    #[serde(rename = "contactId")]
    #[schema(example = "12132132130@c.us")]
    contact_id: String,
}

/// How somebody is called in the account's address book.
#[derive(Deserialize, ToSchema)]
pub struct Called {
    /// First name.
    #[serde(rename = "firstName")]
    #[schema(example = "John")]
    first: String,
    /// Last name.
    #[serde(rename = "lastName", default)]
    #[schema(example = "Doe")]
    last: String,
}

fn shape(contact: &Contact) -> Value {
    let number = (!contact.id.is_hidden() && !contact.id.is_group()).then(|| contact.id.user());
    json!({
        "id": contact.id, "number": number, "name": contact.name, "pushname": contact.pushname,
        "shortName": contact.short_name, "isMe": contact.is_me, "isGroup": contact.id.is_group(),
        "isWAContact": contact.on_network, "isMyContact": contact.saved, "isBlocked": contact.blocked,
    })
}

fn person(text: &str) -> Result<ChatId, ApiError> {
    let id = chat_id(text)?;
    let is_person = id.is_hidden() || id.as_str().ends_with("@c.us");
    if is_person { Ok(id) } else { Err(ApiError::invalid("a person's id ends in @c.us or @lid")) }
}

fn shape_of_alias(alias: &Alias) -> Value {
    json!({"lid": alias.lid, "pn": alias.pn})
}

async fn of<T: serde::de::DeserializeOwned>(
    api: &Api,
    caller: Caller,
    session: &str,
    question: asking::Ask<T>,
) -> Result<T, ApiError> {
    let (name, _) = api.session(caller.0, session)?;
    ask(api, caller.0.tenant, &name, question).await
}

/// Everybody whom the account knows.
///
/// # Errors
/// 400, 404, 422 when the session is not WORKING.
#[utoipa::path(get, path = "/api/contacts/all", tag = "contacts", params(InSession, Part), responses(
    (status = 200, description = "Contacts"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING")))]
pub async fn all(
    caller: Caller,
    api: web::Data<Api>,
    query: web::Query<InSession>,
    part: web::Query<Part>,
) -> Result<HttpResponse, ApiError> {
    let contacts = of(&api, caller, &query.session, asking::contacts()).await?;
    Ok(HttpResponse::Ok().json(part.of(contacts.iter().map(shape).collect(), "id")?))
}

/// Somebody, known or not.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/contacts", tag = "contacts", params(Whom), responses(
    (status = 200, description = "What is known of them"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING")))]
pub async fn get(caller: Caller, api: web::Data<Api>, query: web::Query<Whom>) -> Result<HttpResponse, ApiError> {
    let found = of(&api, caller, &query.session, asking::contact(chat_id(&query.contact_id)?)).await?;
    Ok(HttpResponse::Ok().json(shape(&found)))
}

/// Whether a number is on the network, and under which id.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/contacts/check-exists", tag = "contacts", params(Which), responses(
    (status = 200, description = "`numberExists`, and `chatId` where it does"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING")))]
pub async fn exists(caller: Caller, api: web::Data<Api>, query: web::Query<Which>) -> Result<HttpResponse, ApiError> {
    // A plus sign that nobody encoded arrives as a space.
    let phone = query.phone.trim().trim_start_matches('+');
    let found = of(&api, caller, &query.session, asking::on_network(chat_id(phone)?)).await?;
    Ok(HttpResponse::Ok().json(match found {
        Some(id) => json!({"numberExists": true, "chatId": id}),
        None => json!({"numberExists": false}),
    }))
}

/// What somebody says of themselves.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/contacts/about", tag = "contacts", params(Whom), responses(
    (status = 200, description = "`about`, or null where it is not shown"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING")))]
pub async fn about(caller: Caller, api: web::Data<Api>, query: web::Query<Whom>) -> Result<HttpResponse, ApiError> {
    let about = of(&api, caller, &query.session, asking::about(chat_id(&query.contact_id)?)).await?;
    Ok(HttpResponse::Ok().json(json!({"about": about})))
}

/// Address of somebody's picture.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/contacts/profile-picture", tag = "contacts", params(Whom), responses(
    (status = 200, description = "`profilePictureURL`, or null where none is shown"),
    (status = 404, description = "No such session"), (status = 422, description = "Not WORKING")))]
pub async fn picture(caller: Caller, api: web::Data<Api>, query: web::Query<Whom>) -> Result<HttpResponse, ApiError> {
    let url = of(&api, caller, &query.session, asking::picture(chat_id(&query.contact_id)?, query.refresh)).await?;
    Ok(HttpResponse::Ok().json(json!({"profilePictureURL": url})))
}

async fn set_blocked(api: &Api, caller: Caller, body: ToBlock, on: bool) -> Result<HttpResponse, ApiError> {
    let action = Action::Block { contact: person(&body.contact_id)?, on };
    acting::act(api, caller, &body.session, action).await?;
    Ok(HttpResponse::Created().json(json!({"success": true})))
}

/// Lets nothing of somebody through any more.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(post, path = "/api/contacts/block", tag = "contacts", request_body = ToBlock, responses(
    (status = 201, description = "Done"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING, or refused")))]
pub async fn block(caller: Caller, api: web::Data<Api>, body: web::Json<ToBlock>) -> Result<HttpResponse, ApiError> {
    set_blocked(&api, caller, body.into_inner(), true).await
}

/// Lets somebody through again.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(post, path = "/api/contacts/unblock", tag = "contacts", request_body = ToBlock, responses(
    (status = 201, description = "Done"), (status = 404, description = "No such session"),
    (status = 422, description = "Not WORKING, or refused")))]
pub async fn unblock(caller: Caller, api: web::Data<Api>, body: web::Json<ToBlock>) -> Result<HttpResponse, ApiError> {
    set_blocked(&api, caller, body.into_inner(), false).await
}

/// Somebody, known or not.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/{session}/contacts/{chat}", tag = "contacts",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "What is known of them"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn in_session(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let found = ask_named(&api, &named, asking::contact(chat_id(&path.1)?)).await?;
    Ok(HttpResponse::Ok().json(shape(&found)))
}

/// Writes somebody into the account's address book.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(put, path = "/api/{session}/contacts/{chat}", tag = "contacts", request_body = Called,
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us")),
    responses((status = 200, description = "Done"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING, or refused")))]
pub async fn save(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    body: web::Json<Called>,
) -> Result<HttpResponse, ApiError> {
    let Called { first, last } = body.into_inner();
    if first.is_empty() || first.len() > NAME || last.len() > NAME {
        return Err(ApiError::invalid(format!("firstName must have 1 to {NAME} bytes, lastName at most as many")));
    }
    act_named(&api, &named, Action::Save { contact: person(&path.1)?, first, last }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

/// All pairs of hidden id and number that are known.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/{session}/lids", tag = "contacts", params(("session" = String, Path, example = "default"), Part),
    responses((status = 200, description = "Pairs"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn lids(named: Named, api: web::Data<Api>, part: web::Query<Part>) -> Result<HttpResponse, ApiError> {
    let pairs = ask_named(&api, &named, asking::aliases()).await?;
    Ok(HttpResponse::Ok().json(part.of(pairs.iter().map(shape_of_alias).collect(), "lid")?))
}

/// How many there are.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/{session}/lids/count", tag = "contacts", params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "`count`"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn count_lids(named: Named, api: web::Data<Api>) -> Result<HttpResponse, ApiError> {
    let pairs = ask_named(&api, &named, asking::aliases()).await?;
    Ok(HttpResponse::Ok().json(json!({"count": pairs.len()})))
}

async fn other_name(api: &web::Data<Api>, named: &Named, id: ChatId) -> Result<HttpResponse, ApiError> {
    let pair = ask_named(api, named, asking::alias_of(id)).await?;
    Ok(HttpResponse::Ok().json(shape_of_alias(&pair)))
}

/// The number behind a hidden id; null where it is not known.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/{session}/lids/{lid}", tag = "contacts",
    params(("session" = String, Path, example = "default"), ("lid" = String, Path, example = "123123@lid")),
    responses((status = 200, description = "The pair"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn by_lid(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let text = if path.1.contains('@') { path.1.clone() } else { format!("{}@lid", path.1) };
    let lid = chat_id(&text)?;
    if !lid.is_hidden() {
        return Err(ApiError::invalid("a hidden id ends in @lid"));
    }
    other_name(&api, &named, lid).await
}

/// The hidden id of a number; null where it is not known.
///
/// # Errors
/// As for all contacts.
#[utoipa::path(get, path = "/api/{session}/lids/pn/{phone}", tag = "contacts",
    params(("session" = String, Path, example = "default"), ("phone" = String, Path, example = "12132132130")),
    responses((status = 200, description = "The pair"), (status = 404, description = "No such session"),
        (status = 422, description = "Not WORKING")))]
pub async fn by_number(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    other_name(&api, &named, chat_id(&path.1)?).await
}
