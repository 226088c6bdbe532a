//! `/api/{session}/chats`: reading. Answers come from the journal, so they are there while the session is not; only chats in
//! which nothing was said since the linking, and the past, where it is asked for, come from the page.

use super::asking::ask_named;
use super::shape::message_body;
use super::{Api, Named, chat_id};
use crate::error::ApiError;
use crate::frames::{cursor, read_cursor};
use crate::store::repo::chats::{ChatRow, Page};
use actix_web::{HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Reverse;
use utoipa::{IntoParams, ToSchema};
use wardroom_actors::domain::asking::{self, Earlier, Known, earlier};
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::ignoring::Ignored;
use wardroom_actors::domain::message::{Ack, Message};
use wardroom_actors::domain::session::Status;

/// Longest page.
const MOST: u64 = 1000;
/// Chats of one overview: each asks for its last message.
const OVERVIEW: u64 = 100;
/// Cursors into the past begin with it.
const PAST: char = 'h';
/// Messages of the past that the page is asked for at once.
const EARLIER: u64 = 200;
/// Ids of one overview.
const IDS: usize = 1000;

/// Which page of the chats.
#[derive(Deserialize, IntoParams)]
pub struct ChatsPage {
    /// At most so many, 1 to 1000.
    #[param(example = 100)]
    limit: Option<u64>,
    /// After skipping so many.
    #[param(example = 0)]
    offset: Option<u64>,
}

/// Which of a chat's messages.
#[derive(Deserialize, IntoParams)]
pub struct MessagesPage {
    /// At most so many, 1 to 1000.
    #[param(example = 10)]
    limit: Option<u64>,
    /// After skipping so many.
    #[param(example = 0)]
    offset: Option<u64>,
    /// `desc` (newest first, default) or `asc`.
    #[serde(rename = "sortOrder")]
    #[param(rename = "sortOrder", example = "desc")]
    sort_order: Option<String>,
    /// What the answer before this one had in its header `X-Next-Cursor`. Unlike an offset it does not slip when a message comes.
    #[param(example = "j1a")]
    cursor: Option<String>,
    /// Unix seconds: not older.
    #[serde(rename = "filter.timestamp.gte")]
    #[param(rename = "filter.timestamp.gte", example = 1700000000)]
    from: Option<i64>,
    /// Unix seconds: not newer.
    #[serde(rename = "filter.timestamp.lte")]
    #[param(rename = "filter.timestamp.lte", example = 1800000000)]
    to: Option<i64>,
    /// `true`: own ones; `false`: others'.
    #[serde(rename = "filter.fromMe")]
    #[param(rename = "filter.fromMe", example = "false")]
    from_me: Option<String>,
    /// `ERROR`, `PENDING`, `SERVER`, `DEVICE`, `READ` or `PLAYED`.
    #[serde(rename = "filter.ack")]
    #[param(rename = "filter.ack", example = "READ")]
    ack: Option<String>,
    /// `true`: behind what was recorded come the messages that the page has from before, such as those from before the linking;
    /// without their files. Of one chat, the newest first and without filters; the session has to be WORKING.
    #[param(example = "false")]
    history: Option<String>,
}

/// Where a page begins.
enum Place {
    /// Among what was recorded.
    Recorded(Page),
    /// Behind this message of the page's.
    Past(String),
}

impl MessagesPage {
    fn with_past(&self) -> bool {
        matches!(self.history.as_deref(), Some("true" | "True"))
    }

    /// Where the page begins.
    fn place(&self, of_one_chat: bool) -> Result<Place, ApiError> {
        flag("history", self.history.as_deref())?;
        let filters = [self.from.is_some(), self.to.is_some(), self.from_me.is_some(), self.ack.is_some()];
        let desc = self.sort_order.as_deref().is_none_or(|order| order == "desc");
        let plain = of_one_chat && desc && self.offset.unwrap_or_default() == 0 && !filters.contains(&true);
        if self.with_past() && !plain {
            return Err(ApiError::invalid(
                "history is of one chat, the newest first, without filters; `cursor` leads on",
            ));
        }
        match self.cursor.as_deref().filter(|_| self.with_past()).and_then(|cursor| cursor.strip_prefix(PAST)) {
            None => self.read().map(Place::Recorded),
            Some(behind) => {
                let behind = URL_SAFE_NO_PAD.decode(behind).ok().and_then(|id| String::from_utf8(id).ok());
                let behind = behind.filter(|id| !id.is_empty());
                behind.map(Place::Past).ok_or_else(|| ApiError::invalid("cursor must be one that an answer carried"))
            }
        }
    }

    fn read(&self) -> Result<Page, ApiError> {
        let ascending = match self.sort_order.as_deref() {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(_) => return Err(ApiError::invalid("sortOrder must be asc or desc")),
        };
        let from_me = flag("filter.fromMe", self.from_me.as_deref())?;
        let bad_ack = || ApiError::invalid("filter.ack must be ERROR, PENDING, SERVER, DEVICE, READ or PLAYED");
        let named = |name: &str| Ack::ALL.into_iter().find(|ack| ack.name() == name).ok_or_else(bad_ack);
        let bad_cursor = || ApiError::invalid("cursor must be one that an answer carried");
        let behind = |text: &str| read_cursor(text).ok_or_else(bad_cursor);
        Ok(Page {
            limit: limit(self.limit, 10)?,
            offset: offset(self.offset)?,
            ascending,
            behind: self.cursor.as_deref().map(behind).transpose()?,
            from: self.from,
            to: self.to,
            from_me,
            ack: self.ack.as_deref().map(named).transpose()?,
        })
    }
}

fn flag(name: &str, asked: Option<&str>) -> Result<Option<bool>, ApiError> {
    match asked {
        None => Ok(None),
        Some("true" | "True") => Ok(Some(true)),
        Some("false" | "False") => Ok(Some(false)),
        Some(_) => Err(ApiError::invalid(format!("{name} must be true or false"))),
    }
}

fn limit(asked: Option<u64>, default: u64) -> Result<u64, ApiError> {
    match asked.unwrap_or(default) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(ApiError::invalid(format!("limit must be 1 to {MOST}"))),
    }
}

fn offset(asked: Option<u64>) -> Result<u64, ApiError> {
    match asked.unwrap_or_default() {
        offset if i64::try_from(offset).is_ok() => Ok(offset),
        _ => Err(ApiError::invalid("offset is too large")),
    }
}

/// The session's chats, the latest first: those in which something was said since the linking, and behind them, while the
/// session is WORKING, those that only the page has.
///
/// # Errors
/// 404 when there is no such session.
#[utoipa::path(get, path = "/api/{session}/chats", tag = "chats", params(("session" = String, Path, example = "default"), ChatsPage),
    responses((status = 200, description = "Chats"), (status = 404, description = "No such session")))]
pub async fn list(named: Named, api: web::Data<Api>, page: web::Query<ChatsPage>) -> Result<HttpResponse, ApiError> {
    let (limit, offset) = (limit(page.limit, 100)?, offset(page.offset)?);
    let chats = all_chats(&named, &api, (limit, offset), &[]).await?;
    let body = chats
        .iter()
        .map(|chat| json!({"id": chat.id, "name": chat.name, "conversationTimestamp": chat.last_at / 1000}));
    Ok(HttpResponse::Ok().json(body.collect::<Vec<_>>()))
}

async fn all_chats(
    named: &Named,
    api: &web::Data<Api>,
    (limit, offset): (u64, u64),
    only: &[ChatId],
) -> Result<Vec<ChatRow>, ApiError> {
    let spec = &named.seen.spec;
    let mut chats = api.store.chats(spec, limit, offset, only).await?;
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(chats.len());
    if room == 0 || named.seen.view.status != Status::Working {
        return Ok(chats);
    }
    // A page that does not answer leaves those that are recorded.
    let Ok(mut known) = ask_named(api, named, asking::chats()).await else { return Ok(chats) };
    let config = serde_json::from_str(&spec.config).unwrap_or_default();
    let ignored = Ignored::of_config(&config).unwrap_or_default();
    let names = |one: &Known| [Some(one.id.clone()), one.alias.clone()].into_iter().flatten();
    known.retain(|one| !ignored.covers(one.id.as_str()));
    known.retain(|one| only.is_empty() || names(one).any(|name| only.contains(&name)));
    let aliases = known.iter().flat_map(names).map(|name| name.to_string()).collect();
    let (all, recorded) = api.store.recorded_chats(spec, only, aliases).await?;
    known.retain(|one| !names(one).any(|name| recorded.contains(name.as_str())));
    known.sort_by_key(|one| Reverse(one.at));
    let behind = usize::try_from(offset.saturating_sub(all)).unwrap_or(usize::MAX);
    let row = |one: Known| ChatRow { id: one.id.to_string(), name: one.name, last_at: one.at.saturating_mul(1000) };
    chats.extend(known.into_iter().skip(behind).take(room).map(row));
    Ok(chats)
}

/// Which chats of an overview.
#[derive(Default, Deserialize, ToSchema)]
pub struct OverviewBody {
    /// Which part.
    #[serde(default)]
    pagination: Pagination,
    /// Which of all.
    #[serde(default)]
    filter: Only,
}

/// Which part of a list.
#[derive(Default, Deserialize, ToSchema)]
pub struct Pagination {
    /// At most so many, 1 to 100.
    #[schema(example = 20)]
    limit: Option<u64>,
    /// After skipping so many.
    #[schema(example = 0)]
    offset: Option<u64>,
}

/// Which chats.
#[derive(Default, Deserialize, ToSchema)]
pub struct Only {
    /// These; none means all.
    #[serde(default)]
    #[schema(example = json!(["12132132130@c.us"]))]
    ids: Vec<String>,
}

/// Chats with their last messages. `ids` may be repeated and names the chats that are wanted.
///
/// # Errors
/// 404 when there is no such session.
#[utoipa::path(get, path = "/api/{session}/chats/overview", tag = "chats",
    params(("session" = String, Path, example = "default"), ChatsPage, ("ids" = Option<Vec<String>>, Query, example = json!(["12132132130@c.us"]))),
    responses((status = 200, description = "Chats, the latest first"), (status = 404, description = "No such session")))]
pub async fn overview(
    named: Named,
    api: web::Data<Api>,
    page: web::Query<ChatsPage>,
    every: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let ids = every.into_inner().into_iter().filter(|(name, _)| name == "ids").map(|(_, id)| id).collect();
    let pagination = Pagination { limit: page.limit, offset: page.offset };
    let body = overview_of(&named, &api, OverviewBody { pagination, filter: Only { ids } }).await?;
    Ok(HttpResponse::Ok().json(body))
}

/// The same, for more ids than fit into a URL.
///
/// # Errors
/// 404 when there is no such session.
#[utoipa::path(post, path = "/api/{session}/chats/overview", tag = "chats", request_body = OverviewBody,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "Chats, the latest first"), (status = 404, description = "No such session")))]
pub async fn overview_by_body(
    named: Named,
    api: web::Data<Api>,
    body: web::Json<OverviewBody>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Created().json(overview_of(&named, &api, body.into_inner()).await?))
}

async fn overview_of(named: &Named, api: &web::Data<Api>, asked: OverviewBody) -> Result<Vec<Value>, ApiError> {
    let OverviewBody { pagination, filter } = asked;
    let limit = limit(Some(pagination.limit.unwrap_or(20).min(OVERVIEW)), 20)?;
    if filter.ids.len() > IDS {
        return Err(ApiError::invalid(format!("ids must be at most {IDS}")));
    }
    let only = filter.ids.iter().map(|id| chat_id(id)).collect::<Result<Vec<_>, _>>()?;
    let chats = all_chats(named, api, (limit, offset(pagination.offset)?), &only).await?;
    let account = named.seen.view.account.as_ref();
    let mut body = Vec::with_capacity(chats.len());
    let mut asks = named.seen.view.status == Status::Working;
    for chat in chats {
        let newest = Page { limit: 1, ..Page::default() };
        let last = api.store.messages(&named.seen.spec, Some(&chat.id), newest).await?.pop();
        let last = match last {
            Some((_, message)) => Some(message_body(&message, account)),
            None if asks => {
                let last = last_of_page(named, api, &chat.id).await;
                // A page that does not answer is not asked for the other chats, too.
                asks = last.is_ok();
                last.ok().flatten()
            }
            None => None,
        };
        body.push(json!({"id": chat.id, "name": chat.name, "picture": null, "lastMessage": last, "_chat": {}}));
    }
    Ok(body)
}

/// The last message that the page has of a chat in which nothing was recorded.
async fn last_of_page(named: &Named, api: &web::Data<Api>, chat: &str) -> Result<Option<Value>, ApiError> {
    // The very last may be a note of the network's, which is no message.
    let past = ask_named(api, named, earlier(chat_id(chat)?, None, 10)).await?;
    Ok(past.messages.last().map(|message| of_page(message, named)))
}

/// A message as the page has it: only what was recorded has its file behind a link.
fn of_page(message: &Message, named: &Named) -> Value {
    let mut body = message_body(message, named.seen.view.account.as_ref());
    if let Some(fields) = body.as_object_mut() {
        fields.insert("media".into(), Value::Null);
    }
    body
}

/// The messages of a chat, as they stand now; `all` instead of an id means every chat.
///
/// # Errors
/// 400 for an id that no chat can have, 404 when there is no such session.
#[utoipa::path(get, path = "/api/{session}/chats/{chat}/messages", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"), MessagesPage),
    responses((status = 200, description = "Messages; the header `X-Next-Cursor` leads to those that follow"),
        (status = 400, description = "Bad parameters"), (status = 404, description = "No such session"),
        (status = 422, description = "With `history`: not WORKING")))]
pub async fn messages(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    page: web::Query<MessagesPage>,
) -> Result<HttpResponse, ApiError> {
    let chat = if path.1 == "all" { None } else { Some(chat_id(&path.1)?) };
    let wanted = limit(page.limit, 10)?;
    let (mut body, mut next, behind) = match page.place(chat.is_some())? {
        Place::Recorded(page) => {
            let (body, next) = recorded(&named, &api, chat.as_ref(), page).await?;
            (body, next, None)
        }
        Place::Past(behind) => (vec![], None, Some(behind)),
    };
    if let (Some(chat), None, true) = (&chat, &next, page.with_past()) {
        let (more, behind) = past(&named, &api, chat, behind, wanted - count(&body)).await?;
        body.extend(more);
        next = behind;
    }
    let mut response = HttpResponse::Ok();
    if let Some(next) = next {
        response.insert_header(("x-next-cursor", next));
    }
    Ok(response.json(body))
}

/// What was recorded, and the cursor behind it where there may be more.
async fn recorded(
    named: &Named,
    api: &Api,
    chat: Option<&ChatId>,
    page: Page,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let wanted = page.limit;
    let messages = api.store.messages(&named.seen.spec, chat.map(ChatId::as_str), page).await?;
    let account = named.seen.view.account.as_ref();
    let body: Vec<_> = messages.iter().map(|(_, message)| message_body(message, account)).collect();
    let last = messages.last().filter(|_| count(&body) == wanted);
    Ok((body, last.map(|(place, _)| cursor(*place))))
}

/// What the page has behind a message, or before all that was recorded since the linking.
async fn past(
    named: &Named,
    api: &web::Data<Api>,
    chat: &ChatId,
    behind: Option<String>,
    most: u64,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let spec = &named.seen.spec;
    let config = serde_json::from_str(&spec.config).unwrap_or_default();
    if Ignored::of_config(&config).is_ok_and(|ignored| ignored.covers(chat.as_str())) {
        return Ok((vec![], None));
    }
    let ask = |before| ask_named(api, named, earlier(chat.clone(), before, most.min(EARLIER)));
    let Earlier { messages, oldest } = match behind {
        Some(behind) => ask(Some(behind)).await?,
        None => {
            let first = Page { limit: 1, ascending: true, from: spec.linked_at, ..Page::default() };
            let first = api.store.messages(spec, Some(chat.as_str()), first).await?.pop();
            match ask(first.map(|(_, message)| message.id)).await {
                // It was taken back, and has another id in the page; what is recorded is left out below.
                Err(error) if error.code() == "message_not_found" => ask(None).await?,
                answer => answer?,
            }
        }
    };
    let mut body = vec![];
    for message in messages.iter().rev() {
        // Of an earlier link, or beside the one from which the page went back.
        if api.store.message(spec, &message.id).await?.is_none() {
            body.push(of_page(message, named));
        }
    }
    Ok((body, oldest.map(|oldest| format!("{PAST}{}", URL_SAFE_NO_PAD.encode(oldest)))))
}

fn count(body: &[Value]) -> u64 {
    body.len().try_into().unwrap_or(u64::MAX)
}

/// One message, as it stands now.
///
/// # Errors
/// 404 when there is no such session or message.
#[utoipa::path(get, path = "/api/{session}/chats/{chat}/messages/{message}", tag = "chats",
    params(("session" = String, Path, example = "default"), ("chat" = String, Path, example = "12132132130@c.us"),
        ("message" = String, Path, example = "true_12132132130@c.us_AAAAAAAAAAAAAAAAAAAA")),
    responses((status = 200, description = "The message"), (status = 404, description = "No such session or message")))]
pub async fn message(
    named: Named,
    api: web::Data<Api>,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    chat_id(&path.1)?;
    let found = api.store.message(&named.seen.spec, &path.2).await?;
    let found = found.ok_or_else(|| ApiError::new("message_not_found", "there is no such message"))?;
    Ok(HttpResponse::Ok().json(message_body(&found, named.seen.view.account.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_among_messages_is_read_or_refused(
            query in "((limit|offset|sortOrder|cursor|history|filter\\.(timestamp\\.[gl]te|fromMe|ack))\
                      =(true|asc|desc|READ|h[a-zA-Z0-9_=-]{0,20}|[0-9]{0,20}|[a-zA-Z0-9%:_=-]{0,20})&){0,6}\
                     |history=true&cursor=h[A-Za-z0-9_-]{0,12}(&limit=[0-9]{1,3})?",
            of_one_chat in any::<bool>(),
        ) {
            if let Ok(page) = web::Query::<MessagesPage>::from_query(&query) {
                match page.place(of_one_chat) {
                    Ok(Place::Recorded(place)) => {
                        prop_assert!(limit(Some(place.limit), 1).is_ok() && offset(Some(place.offset)).is_ok());
                    }
                    Ok(Place::Past(behind)) => prop_assert!(of_one_chat && !behind.is_empty()),
                    Err(bad) => prop_assert_eq!(bad.code(), "bad_request"),
                }
            }
        }
    }
}
