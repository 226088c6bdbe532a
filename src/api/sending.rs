//! Messages that leave: `/api/sendText`, `/api/sendLocation`, `/api/sendContactVcard`, `/api/sendPoll`,
//! `/api/forwardMessage`. Files: [`super::sending_files`].
//!
//! A message is accepted into the outbox first; from then on it leaves once, whatever fails. A request that is made again
//! under the same `Idempotency-Key`, or with the same `id`, is answered and not done again, for as long as the outbox keeps
//! what left.

use super::shape::message_body;
use super::{Api, Named, chat_id, default_session, files};
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use utoipa::ToSchema;
use wardroom_actors::domain::draft::{Card, Content, Draft, EVERYBODY, Shown};
use wardroom_actors::domain::ids::message_id;
use wardroom_actors::domain::message::{Ack, Message, Parts, Place, Poll};
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::store::{Delivery, Outgoing, Wanted};

/// How long a send waits for the network.
const SENT: Duration = Duration::from_secs(5);
/// Longest `Idempotency-Key` in bytes.
const KEY: usize = 255;
/// Visiting cards in one message, and bytes of one.
const CARDS: usize = 100;
const CARD: usize = 16 * 1024;
/// Longest message id that is looked for.
const ID: usize = 200;
/// People that one text mentions, or that see one status update.
const PEOPLE: usize = 1024;
/// Longest title of a place in bytes.
const TITLE: usize = 1024;
/// Characters of a poll's question and of one of its answers, and answers, as on the network.
const QUESTION: usize = 255;
const OPTION: usize = 100;
const OPTIONS: std::ops::RangeInclusive<usize> = 2..=12;

/// Where a message goes, and what it answers.
#[derive(Deserialize, ToSchema)]
pub struct To {
    /// The session's name.
    #[serde(default = "default_session")]
    #[schema(example = "default")]
    pub(super) session: String,
    /// A number or an id.
    #[serde(rename = "chatId")]
    #[schema(example = "12132132130@c.us")]
    pub(super) chat_id: String,
    /// The message that this one answers.
    #[serde(alias = "replyTo")]
    #[schema(example = "false_11111111111@c.us_AAAAAAAAAAAAAAAAAAAA")]
    pub(super) reply_to: Option<String>,
    /// The id that the message gets, from `GET /api/{session}/new-message-id`.
    #[schema(example = "3EB0123456789ABCDEF012")]
    pub(super) id: Option<String>,
}

impl To {
    /// The caller gave the message or the request a name.
    pub(super) fn is_named(&self, request: &HttpRequest) -> bool {
        self.id.is_some() || request.headers().contains_key("idempotency-key")
    }

    /// The message's id, and the name under which it is known again: the caller's id, the `Idempotency-Key`, or the id that is
    /// chosen now.
    pub(super) fn names(&self, request: &HttpRequest) -> Result<(String, String), ApiError> {
        if let Some(id) = self.id.as_deref() {
            // A full id is accepted, too.
            let bare = id.split('_').nth(2).unwrap_or(id);
            if !(8..=64).contains(&bare.len()) || !bare.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(ApiError::invalid("id must have 8 to 64 letters and digits"));
            }
            return Ok((bare.to_owned(), format!("id:{bare}")));
        }
        let message_id = message_id();
        let dedupe = match request.headers().get("idempotency-key") {
            None => format!("id:{message_id}"),
            Some(key) => {
                if key.is_empty() || key.len() > KEY {
                    return Err(ApiError::invalid(format!("Idempotency-Key must have 1 to {KEY} bytes")));
                }
                // The key may say something about the caller's customers.
                format!("request:{}", hex::encode(Sha256::digest(key.as_bytes())))
            }
        };
        Ok((message_id, dedupe))
    }
}

/// A text for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendText {
    #[serde(flatten)]
    to: To,
    /// The text.
    #[schema(example = "Hi there!")]
    text: String,
    /// Ids of those who are mentioned; the text names each as `@<number>`. `["all"]` in a group means everybody.
    #[schema(example = json!(["12132132130@c.us"]))]
    mentions: Option<Vec<String>>,
    /// Whether WhatsApp may look up what a link leads to. Off, unless it is asked for.
    #[serde(rename = "linkPreview")]
    #[schema(example = false)]
    link_preview: Option<bool>,
}

/// A place for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendLocation {
    #[serde(flatten)]
    to: To,
    /// Degrees north.
    #[schema(example = 38.8937255)]
    latitude: f64,
    /// Degrees east.
    #[schema(example = -77.0969763)]
    longitude: f64,
    /// The place's name.
    #[schema(example = "Our office")]
    title: Option<String>,
}

/// Visiting cards for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendContacts {
    #[serde(flatten)]
    to: To,
    /// At least one.
    contacts: Vec<Contact>,
}

/// A visiting card, or what one is made from.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Contact {
    /// A finished card.
    Finished {
        /// vCard 3.0.
        #[schema(
            example = "BEGIN:VCARD\nVERSION:3.0\nFN:Jane Doe\nTEL;type=CELL;type=VOICE;waid=911111111111:+91 11111 11111\nEND:VCARD"
        )]
        vcard: String,
    },
    /// Its parts.
    #[serde(rename_all = "camelCase")]
    Parts {
        /// The name.
        #[schema(example = "Jane Doe")]
        full_name: String,
        /// For whom she works.
        #[schema(example = "Company Name")]
        organization: Option<String>,
        /// The number as it is shown.
        #[schema(example = "+91 11111 11111")]
        phone_number: String,
        /// The number as WhatsApp knows it: digits only.
        #[schema(example = "911111111111")]
        whatsapp_id: Option<String>,
    },
}

/// A copy for a chat.
#[derive(Deserialize, ToSchema)]
pub struct Forward {
    #[serde(flatten)]
    to: To,
    /// The message to copy.
    #[serde(rename = "messageId")]
    #[schema(example = "false_11111111111@c.us_AAAAAAAAAAAAAAAAAAAA")]
    message_id: String,
}

/// A poll for a chat.
#[derive(Deserialize, ToSchema)]
pub struct SendPoll {
    #[serde(flatten)]
    to: To,
    /// The poll.
    poll: PollBody,
}

/// A question with answers to choose from.
#[derive(Deserialize, ToSchema)]
pub struct PollBody {
    /// The question.
    #[schema(example = "How are you?")]
    name: String,
    /// 2 to 12 different answers.
    #[schema(example = json!(["Awesome!", "Good!", "Not bad!"]))]
    options: Vec<String>,
    /// More than one may be chosen.
    #[serde(default, rename = "multipleAnswers")]
    #[schema(example = false)]
    multiple_answers: bool,
}

/// Sends a text. It is accepted into the outbox first, then this waits up to 5 s for the network (ack ≥ 1); a text that
/// takes longer is answered with ack 0 and sent all the same. `Prefer: respond-async` answers at once.
///
/// # Errors
/// 400 for bad input, 404, 422 when the session is not WORKING or the number is not on WhatsApp.
#[utoipa::path(post, path = "/api/sendText", tag = "chatting", request_body = SendText,
    params(("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "Names the request: made again, it is answered and not done again"),
        ("Prefer" = Option<String>, Header, example = "respond-async", description = "`respond-async` answers as soon as the message is accepted")),
    responses((status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session, or no message that `reply_to` names"),
    (status = 422, description = "Not WORKING, not on WhatsApp, or the key was used for another message"),
    (status = 429, description = "Too many messages wait")))]
pub async fn send_text(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendText>,
) -> Result<HttpResponse, ApiError> {
    let SendText { to, text, mentions, link_preview } = body.into_inner();
    if text.is_empty() || text.len() > api.text_bytes {
        return Err(ApiError::invalid(format!("text must have 1 to {} bytes", api.text_bytes)));
    }
    let mentions = mentioned(mentions)?;
    send(&request, caller, &api, to, Content::Text { text, mentions, preview: link_preview.unwrap_or(false) }).await
}

/// Sends a place.
///
/// # Errors
/// As for a text.
#[utoipa::path(post, path = "/api/sendLocation", tag = "chatting", request_body = SendLocation, params(
    ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"), ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")), responses(
    (status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session"), (status = 422, description = "As for a text"),
    (status = 429, description = "Too many messages wait")))]
pub async fn send_location(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendLocation>,
) -> Result<HttpResponse, ApiError> {
    let SendLocation { to, latitude, longitude, title } = body.into_inner();
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return Err(ApiError::invalid("latitude must be −90 to 90, longitude −180 to 180"));
    }
    let title = title.unwrap_or_default();
    if title.len() > TITLE {
        return Err(ApiError::invalid(format!("title may have {TITLE} bytes")));
    }
    send(&request, caller, &api, to, Content::Location { latitude, longitude, title }).await
}

/// Sends visiting cards.
///
/// # Errors
/// As for a text.
#[utoipa::path(post, path = "/api/sendContactVcard", tag = "chatting", request_body = SendContacts, params(
    ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"), ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")), responses(
    (status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session"), (status = 422, description = "As for a text"),
    (status = 429, description = "Too many messages wait")))]
pub async fn send_contacts(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendContacts>,
) -> Result<HttpResponse, ApiError> {
    let SendContacts { to, contacts } = body.into_inner();
    if contacts.is_empty() || contacts.len() > CARDS {
        return Err(ApiError::invalid(format!("contacts must have 1 to {CARDS} cards")));
    }
    let cards = contacts.into_iter().map(card).collect::<Result<_, _>>()?;
    send(&request, caller, &api, to, Content::Contacts { cards }).await
}

/// Sends a poll.
///
/// # Errors
/// As for a text.
#[utoipa::path(post, path = "/api/sendPoll", tag = "chatting", request_body = SendPoll, params(
    ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"), ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")), responses(
    (status = 201, description = "The message"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session"), (status = 422, description = "As for a text"),
    (status = 429, description = "Too many messages wait")))]
pub async fn send_poll(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<SendPoll>,
) -> Result<HttpResponse, ApiError> {
    let SendPoll { to, poll: PollBody { name, options, multiple_answers } } = body.into_inner();
    let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
    if !fits(&name, QUESTION) {
        return Err(ApiError::invalid(format!("poll.name must have 1 to {QUESTION} characters")));
    }
    let different: std::collections::HashSet<_> = options.iter().collect();
    if !OPTIONS.contains(&options.len()) || different.len() < options.len() {
        let (least, most) = (OPTIONS.start(), OPTIONS.end());
        return Err(ApiError::invalid(format!("poll.options must be {least} to {most} different answers")));
    }
    if !options.iter().all(|option| fits(option, OPTION)) {
        return Err(ApiError::invalid(format!("each of poll.options must have 1 to {OPTION} characters")));
    }
    send(&request, caller, &api, to, Content::Poll { name, options, multiple: multiple_answers }).await
}

/// Sends a copy of a message to a chat. Texts, files, places and visiting cards can be copied.
///
/// # Errors
/// As for a text; 404 when there is no such message.
#[utoipa::path(post, path = "/api/forwardMessage", tag = "chatting", request_body = Forward, params(
    ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"), ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")), responses(
    (status = 201, description = "The copy"), (status = 400, description = "Bad input"),
    (status = 404, description = "No such session or message"), (status = 422, description = "As for a text"),
    (status = 429, description = "Too many messages wait")))]
pub async fn forward(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    body: web::Json<Forward>,
) -> Result<HttpResponse, ApiError> {
    let Forward { to, message_id } = body.into_inner();
    if message_id.is_empty() || message_id.len() > ID {
        return Err(ApiError::invalid("messageId is not a message id"));
    }
    chat_id(&to.chat_id)?;
    let (_, seen) = api.session(caller.0, &to.session)?;
    let said = to.is_named(&request).then(|| hex::encode(Sha256::digest(format!("forward {message_id}"))));
    let before = match &said {
        Some(said) => api.store.file_before(&seen.spec, to.names(&request)?.1, said.clone()).await?,
        None => None,
    };
    let content = match before {
        Some(before) => before,
        None => copy_of(&api, &seen.spec, message_id, said).await?,
    };
    send(&request, caller, &api, to, content).await
}

/// What a copy of a message says. A file is sent anew; the page copies everything else.
async fn copy_of(api: &Api, spec: &SessionSpec, id: String, said: Option<String>) -> Result<Content, ApiError> {
    let Some(message) = api.store.message(spec, &id).await? else { return Ok(Content::Forward { message: id }) };
    let Some(media) = message.parts.media else { return Ok(Content::Forward { message: id }) };
    let shown = match message.kind.as_str() {
        "image" => Shown::Image,
        "video" | "gif" => Shown::Video,
        "ptt" => Shown::Voice,
        "ptv" => Shown::Note,
        _ => Shown::Document,
    };
    let file = files::of_message(api, spec, &message.id).await?;
    Ok(Content::File { file, media, shown, caption: message.body, mentions: vec![], audience: vec![], said })
}

/// Ids of people; the word for all of a group stays as it is.
pub(super) fn mentioned(ids: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let mut ids = ids.unwrap_or_default();
    let all = ids.len();
    ids.retain(|id| id != EVERYBODY);
    let everybody = ids.len() < all;
    let mut people = people("mentions", ids)?;
    people.extend(everybody.then(|| EVERYBODY.to_owned()));
    Ok(people)
}

/// Ids of people, in a field of this name.
pub(super) fn people(field: &str, ids: Vec<String>) -> Result<Vec<String>, ApiError> {
    if ids.len() > PEOPLE {
        return Err(ApiError::invalid(format!("{field} may have {PEOPLE} ids")));
    }
    let person = |id: &String| {
        let id = chat_id(id)?.to_string();
        let is_one = id.ends_with("@c.us") || id.ends_with("@lid");
        if is_one { Ok(id) } else { Err(ApiError::invalid(format!("{field} must be people: @c.us or @lid"))) }
    };
    ids.iter().map(person).collect()
}

/// A card, checked or made.
fn card(contact: Contact) -> Result<Card, ApiError> {
    let card = match contact {
        Contact::Finished { vcard } => {
            let name = vcard.lines().find_map(|line| line.trim_end().strip_prefix("FN:")).unwrap_or_default();
            Card { name: name.to_owned(), vcard }
        }
        Contact::Parts { full_name, organization, phone_number, whatsapp_id } => {
            let waid = whatsapp_id.unwrap_or_default();
            if !waid.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(ApiError::invalid("contacts: a whatsappId has digits only"));
            }
            let waid = if waid.is_empty() { String::new() } else { format!(";waid={waid}") };
            let organization = organization.map_or_else(String::new, |name| format!("ORG:{};\n", escaped(&name)));
            let (name, number) = (escaped(&full_name), escaped(&phone_number));
            let vcard = format!(
                "BEGIN:VCARD\nVERSION:3.0\nFN:{name}\n{organization}TEL;type=CELL;type=VOICE{waid}:{number}\nEND:VCARD"
            );
            Card { name: full_name, vcard }
        }
    };
    let sound = card.vcard.trim_start().starts_with("BEGIN:VCARD") && card.vcard.trim_end().ends_with("END:VCARD");
    if !sound || card.vcard.len() > CARD {
        return Err(ApiError::invalid(format!(
            "contacts: a vcard begins with BEGIN:VCARD, ends with END:VCARD and has at most {CARD} bytes"
        )));
    }
    Ok(card)
}

/// A value as RFC 6350 (3.4) wants it.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        match char {
            '\\' | ',' | ';' => escaped.extend(['\\', char]),
            '\n' => escaped.push_str("\\n"),
            '\r' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// What is to be sent.
fn wanted(request: &HttpRequest, to: &To, content: Content) -> Result<Wanted, ApiError> {
    let chat = chat_id(&to.chat_id)?;
    let reply_to = to.reply_to.clone().filter(|id| !id.is_empty());
    if reply_to.as_ref().is_some_and(|id| id.len() > ID) {
        return Err(ApiError::invalid("reply_to is not a message id"));
    }
    let (message_id, dedupe) = to.names(request)?;
    Ok(Wanted { chat, draft: Draft { content, reply_to }, message_id, dedupe })
}

pub(super) async fn send(
    request: &HttpRequest,
    caller: Caller,
    api: &Api,
    to: To,
    content: Content,
) -> Result<HttpResponse, ApiError> {
    let wanted = wanted(request, &to, content)?;
    let (name, seen) = api.session(caller.0, &to.session)?;
    if !(to.is_named(request) && api.store.wanted_before(&seen.spec, &wanted).await?) {
        api.expect(caller.0.tenant, &name, Status::Working).await?;
    }
    let (accepted, delivered) = api.handle.send(caller.0.tenant, &name, &wanted).await?;
    let prefer = request.headers().get("prefer").and_then(|prefer| prefer.to_str().ok()).unwrap_or_default();
    let wait = if prefer.contains("respond-async") { Duration::ZERO } else { SENT };
    let outgoing = &accepted.outgoing;
    let message = match accepted.ended {
        Some(Delivery::Failed { code }) => return Err(failed(&code)),
        Some(Delivery::Sent { id }) => {
            let stored = api.store.message(&seen.spec, &id).await?;
            stored.unwrap_or_else(|| Message { id, ..unheard(api, outgoing, Ack::Server) })
        }
        None => match tokio::time::timeout(wait, delivered).await {
            Ok(Ok(Ok(message))) => message,
            Ok(Ok(Err(code))) => return Err(failed(&code)),
            // It goes on in the background, across restarts.
            _ => unheard(api, outgoing, Ack::Pending),
        },
    };
    Ok(HttpResponse::Created().json(message_body(&message, seen.view.account.as_ref())))
}

fn failed(code: &str) -> ApiError {
    match code {
        "not_on_whatsapp" => ApiError::new("not_on_whatsapp", "The number is not on WhatsApp"),
        "id_taken" => ApiError::new("idempotency_key_reused", "This id was used for another message"),
        "message_not_found" => ApiError::new("message_not_found", "There is no such message"),
        "file_not_found" => ApiError::new("file_not_found", "The message's file is gone"),
        _ => ApiError::new("refused_by_network", "WhatsApp refused the message"),
    }
}

/// A message as it stands before the network has said anything of it.
fn unheard(api: &Api, outgoing: &Outgoing, ack: Ack) -> Message {
    let Outgoing { chat, message_id, draft, .. } = outgoing;
    let mut parts = Box::<Parts>::default();
    match &draft.content {
        Content::Text { .. } | Content::Forward { .. } | Content::Status { .. } | Content::Event { .. } => {}
        Content::Location { latitude, longitude, title } => {
            let description = Some(title.clone()).filter(|title| !title.is_empty());
            parts.location =
                Some(Place { latitude: latitude.to_string(), longitude: longitude.to_string(), description });
        }
        Content::Contacts { cards } => parts.cards = cards.iter().map(|card| card.vcard.clone()).collect(),
        Content::Poll { options, multiple, .. } => {
            parts.poll = Some(Poll { options: options.clone(), multiple: *multiple });
        }
        Content::File { media, .. } => parts.media = Some(media.clone()),
    }
    Message {
        id: format!("true_{chat}_{message_id}"),
        chat: chat.to_string(),
        chat_alias: None,
        from_me: true,
        participant: None,
        push_name: None,
        kind: draft.kind().to_owned(),
        body: draft.body().to_owned(),
        timestamp: api.store.unix_ms() / 1000,
        ack,
        via_api: true,
        parts,
    }
}

/// An id that the caller may give to a message, to be sure that a request made again sends nothing twice.
///
/// # Errors
/// 404.
#[utoipa::path(get, path = "/api/{session}/new-message-id", tag = "chatting",
    params(("session" = String, Path, example = "default")),
    responses((status = 200, description = "An id"), (status = 404, description = "No such session")))]
pub async fn new_message_id(_: Named) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(json!({"id": message_id()})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    /// What a value of a card says.
    fn read(value: &str) -> String {
        let (mut said, mut chars) = (String::new(), value.chars());
        while let Some(char) = chars.next() {
            said.extend(match char {
                '\\' => chars.next().map(|char| if char == 'n' { '\n' } else { char }),
                char => Some(char),
            });
        }
        said
    }

    proptest! {
        #[test]
        fn a_card_is_made_or_refused(name in "([\r\n\\\\;,:]|.){0,40}", number in "\\+?[0-9 ;:\n]{0,20}", id in "[0-9]{0,15}|.{0,5}", text in "([\r\n]|.){0,40}") {
            let parts = json!({"fullName": name, "phoneNumber": number, "whatsappId": id, "organization": name});
            let made = card(serde_json::from_value(parts).unwrap());
            prop_assert_eq!(made.is_ok(), id.bytes().all(|byte| byte.is_ascii_digit()));
            if let Ok(made) = made {
                let lines: Vec<_> = made.vcard.split('\n').collect();
                prop_assert_eq!(lines.len(), 6, "nothing is put in between");
                prop_assert_eq!(read(lines[2].strip_prefix("FN:").unwrap()), name.replace('\r', ""));
            }
            for text in [format!("BEGIN:VCARD\n{text}\nEND:VCARD"), text] {
                if let Ok(card) = card(serde_json::from_value(json!({"vcard": text})).unwrap()) {
                    prop_assert_eq!(card.vcard, text, "it is sent as it is");
                }
            }
        }

        #[test]
        fn a_name_of_a_message_is_read_or_refused(id in "(true|false)_[0-9]{0,5}@c.us_[A-Za-z0-9_]{0,70}|.{0,80}", key in "[ -~]{0,300}") {
            let to = |id: Option<&str>| serde_json::from_value::<To>(json!({"chatId": "1", "id": id})).unwrap();
            let plain = TestRequest::default().to_http_request();
            if let Ok((bare, name)) = to(Some(&id)).names(&plain) {
                prop_assert!((8..=64).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert!(id.contains(&bare) && name == format!("id:{bare}"), "{}", name);
                prop_assert!(to(Some(&bare)).names(&plain).is_ok_and(|again| again == (bare, name)), "it is one name");
            }
            let keyed = TestRequest::default().insert_header(("idempotency-key", key.as_str())).to_http_request();
            let [first, second] = [0, 1].map(|_| to(None).names(&keyed).ok());
            prop_assert_eq!(first.is_some(), (1..=KEY).contains(&key.len()));
            if let (Some(first), Some(second)) = (first, second) {
                prop_assert!(first.0 != second.0 && first.1 == second.1, "the key is the name");
            }
        }
    }
}
