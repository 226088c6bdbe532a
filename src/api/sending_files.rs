//! Files that leave: `/api/sendImage`, `/api/sendFile`, `/api/sendVoice`, `/api/sendVideo`.
//!
//! A file is taken into the store before its message is accepted, as it comes: a base64 text is decoded out of the request's
//! body piece by piece, a URL is passed on as its host sends it.

use super::sending::{To, send};
use super::{Api, chat_id};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::fetch::{FetchError, Opened};
use crate::ffmpeg::{ConvertError, Held, Target};
use actix_web::error::PayloadError;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;
use wardroom_actors::domain::draft::{Content, Shown};
use wardroom_actors::domain::ids::{FileId, TenantId};
use wardroom_actors::domain::message::Media;
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::files::{PIECE, TakeError};

/// Longest caption in bytes, longest name and kind of a file.
const CAPTION: usize = 4096;
const NAME: usize = 255;
/// Bytes of a body that are not the file.
const REST: usize = 64 << 10;
/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(300);
/// Letters of base64 that are decoded at once: a multiple of four.
const LETTERS: usize = 64 << 10;

/// A file with what belongs to it. A client gives `url` or `data`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "tells the document what the body is; it is read in pieces")]
pub struct FileBody {
    /// Its kind. Missing: as the host of `url` calls it.
    #[schema(example = "image/jpeg")]
    mimetype: Option<String>,
    /// Its name. Missing: the end of `url`.
    #[schema(example = "picture.jpg")]
    filename: Option<String>,
    /// Where it is.
    #[schema(example = "https://example.com/picture.jpg")]
    url: Option<String>,
    /// The file itself in base64.
    data: Option<String>,
}

/// A file for a chat.
#[derive(ToSchema)]
#[expect(dead_code, reason = "tells the document what the body is; it is read in pieces")]
pub struct SendFile {
    #[schema(inline)]
    #[serde(flatten)]
    to: To,
    /// The file.
    file: FileBody,
    /// A text with it.
    #[schema(example = "Look!")]
    caption: Option<String>,
    /// Ids of those whom the text mentions; it names each as `@<number>`.
    #[schema(example = json!(["12132132130@c.us"]))]
    mentions: Option<Vec<String>>,
    /// A voice message or a film that is not in WhatsApp's format is converted, where the server has ffmpeg.
    #[schema(example = false)]
    convert: Option<bool>,
    /// A film is shown as a short round one.
    #[serde(rename = "asNote")]
    #[schema(example = false)]
    as_note: Option<bool>,
}

/// The same, read without copying the file.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    file: ReadFile<'a>,
    caption: Option<String>,
    mentions: Option<Vec<String>>,
    contacts: Option<Vec<String>>,
    #[serde(default)]
    convert: Option<bool>,
    #[serde(rename = "asNote")]
    as_note: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct ReadFile<'a> {
    mimetype: Option<String>,
    filename: Option<String>,
    pub url: Option<String>,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

macro_rules! route {
    ($(#[$doc:meta])* $name:ident, $path:literal, $shown:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// As for a text; 413 when the file is too long.
        #[utoipa::path(post, path = $path, tag = "chatting", request_body = SendFile, params(
            ("Idempotency-Key" = Option<String>, Header, example = "order-4711", description = "As for a text"), ("Prefer" = Option<String>, Header, example = "respond-async", description = "As for a text")), responses(
            (status = 201, description = "The message"), (status = 400, description = "Bad input"),
            (status = 404, description = "No such session"), (status = 413, description = "The file is too long"),
            (status = 422, description = "As for a text, or the file cannot be fetched or converted"),
            (status = 429, description = "Too many messages wait")))]
        pub async fn $name(
            request: HttpRequest,
            caller: Caller,
            api: web::Data<Api>,
            body: web::Payload,
        ) -> Result<HttpResponse, ApiError> {
            send_file(&request, caller, &api, body, $shown).await
        }
    };
}

route!(
    /// Sends a picture.
    send_image, "/api/sendImage", Shown::Image
);
route!(
    /// Sends a file of any kind.
    send_document, "/api/sendFile", Shown::Document
);
route!(
    /// Sends a voice message: `audio/ogg; codecs=opus`, or what `convert` makes one of.
    send_voice, "/api/sendVoice", Shown::Voice
);
route!(
    /// Sends a film: `video/mp4`, or what `convert` makes one of.
    send_video, "/api/sendVideo", Shown::Video
);

async fn send_file(
    request: &HttpRequest,
    caller: Caller,
    api: &Api,
    body: web::Payload,
    shown: Shown,
) -> Result<HttpResponse, ApiError> {
    let (to, pending) = {
        let (_turn, body) = body_of(api, body, api.file_bytes).await?;
        let to = serde_json::from_slice(&body).map_err(bad_body)?;
        read(request, caller, api, to, &body, shown).await?
    };
    send(request, caller, api, to, pending.content(api).await?).await
}

/// A message whose file may have to be converted: without the body that it came in, which others wait to send.
pub(super) struct Pending {
    spec: SessionSpec,
    file: Taken,
    shown: Shown,
    caption: String,
    mentions: Vec<String>,
    audience: Vec<String>,
    said: Option<String>,
}

enum Taken {
    Stored(FileId, Media),
    Held(Target, Held),
}

impl Pending {
    /// What the message says, with its file taken in.
    pub async fn content(self, api: &Api) -> Result<Content, ApiError> {
        let Self { spec, file, shown, caption, mentions, audience, said } = self;
        let (file, media) = match file {
            Taken::Stored(file, media) => (file, media),
            Taken::Held(target, held) => {
                let mut made = api.converter.convert(target, held).await.map_err(not_converted)?;
                let (mut intake, mut piece) = (api.files.take_in(&spec), vec![0; PIECE]);
                loop {
                    let read = made.read(&mut piece).map_err(|error| not_converted(error.into()))?;
                    let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
                    intake.write(bytes).await.map_err(refused)?;
                }
                // Its name is that of what it was.
                let media = Media { mimetype: target.mimetype().to_owned(), filename: None, size: Some(made.size()) };
                (intake.finish().await.map_err(refused)?, media)
            }
        };
        Ok(Content::File { file, media, shown, caption, mentions, audience, said })
    }
}

pub(super) fn bad_body(error: serde_json::Error) -> ApiError {
    ApiError::invalid(error.to_string())
}

/// A body with a file of at most so many bytes in base64. So many bodies are in memory at once, and whoever sends one slowly must
/// not keep the others out.
pub(super) async fn body_of(
    api: &Api,
    body: web::Payload,
    most: u64,
) -> Result<(SemaphorePermit<'_>, web::Bytes), ApiError> {
    let turn = api.uploads.acquire().await.map_err(|_| ApiError::new("unavailable", "The server is stopping"))?;
    let limit = usize::try_from(most).unwrap_or(usize::MAX).saturating_mul(4) / 3 + REST;
    let body = tokio::time::timeout(BODY, body.to_bytes_limited(limit)).await;
    let body = body.map_err(|_| ApiError::invalid("the body takes too long"))?;
    let broken = |error: actix_web::Error| match error.as_error::<PayloadError>() {
        Some(error) => crate::requests::broken(error),
        None => ApiError::invalid(error.to_string()),
    };
    let body = body.map_err(|_| too_large(most))?.map_err(broken)?;
    Ok((turn, body))
}

/// What a body says. Its file is taken in, or held in memory to be converted.
pub(super) async fn read(
    request: &HttpRequest,
    caller: Caller,
    api: &Api,
    to: To,
    body: &[u8],
    shown: Shown,
) -> Result<(To, Pending), ApiError> {
    let read: Read<'_> = serde_json::from_slice(body).map_err(bad_body)?;
    let caption = read.caption.unwrap_or_default();
    if caption.len() > CAPTION {
        return Err(ApiError::invalid(format!("caption may have {CAPTION} bytes")));
    }
    let mentions = super::sending::mentioned(read.mentions)?;
    let audience = super::sending::people("contacts", read.contacts.unwrap_or_default())?;
    chat_id(&to.chat_id)?;
    let (name, seen) = api.session(caller.0, &to.session)?;
    // A repeated request is answered whatever the session does.
    if !to.is_named(request) {
        api.expect(caller.0.tenant, &name, Status::Working).await?;
    }
    let shown = if shown == Shown::Video && read.as_note == Some(true) { Shown::Note } else { shown };
    let convert = read.convert == Some(true);
    let said = (to.is_named(request) && (convert || read.file.url.is_some())).then(|| digest(&read.file, convert));
    let before = match &said {
        Some(said) => api.store.file_before(&seen.spec, to.names(request)?.1, said.clone()).await?,
        None => None,
    };
    let file = match before {
        Some(Content::File { file, media, .. }) => Taken::Stored(file, media),
        _ => {
            // What the body has in it may be here already, under its name or at all: that is seen when it is taken in.
            let (tenant, user, is_new) = (seen.spec.tenant, seen.spec.user, convert || read.file.url.is_some());
            if is_new || !to.is_named(request) {
                api.quotas.may_send(tenant, user)?;
            }
            if is_new {
                api.quotas.may_store(&api.store, tenant, user).await?;
            }
            take(api, &seen.spec, read.file, shown, convert).await?
        }
    };
    Ok((to, Pending { spec: seen.spec, file, shown, caption, mentions, audience, said }))
}

/// Stands for what a request says of a file. A host may send another file the next time, and a conversion is never twice the same.
fn digest(file: &ReadFile<'_>, convert: bool) -> String {
    let given = [&file.mimetype, &file.filename, &file.url].map(|one| one.as_deref().unwrap_or_default());
    let mut digest = Sha256::new();
    for part in given.into_iter().chain([file.data.map_or("", RawValue::get)]) {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.update([u8::from(convert)]);
    hex::encode(digest.finalize())
}

/// What has to be made of a file. What the network would show as broken is refused here.
fn made_of(shown: Shown, mimetype: &str, convert: bool) -> Result<Option<Target>, ApiError> {
    let kind = mimetype.split(';').next().unwrap_or_default().trim();
    let (fits, target) = match shown {
        Shown::Image => (kind.starts_with("image/"), None),
        Shown::Voice => (kind.starts_with("audio/"), Some(Target::Voice)),
        Shown::Video | Shown::Note => (kind.starts_with("video/"), Some(Target::Film)),
        Shown::Document => (true, None),
    };
    match target.filter(|_| convert) {
        Some(target) => Ok(Some(target)),
        None if fits => Ok(None),
        None => Err(ApiError::invalid(format!("file.mimetype {kind} is not of this kind"))),
    }
}

pub(super) fn too_large(limit: u64) -> ApiError {
    ApiError::new("payload_too_large", TakeError::TooLarge { limit }.to_string())
}

fn refused(error: TakeError) -> ApiError {
    match error {
        TakeError::TooLarge { limit } => too_large(limit),
        TakeError::Quota(exceeded) => exceeded.into(),
        TakeError::Store(error) => error.into(),
    }
}

pub(super) fn fetch_failed(error: FetchError) -> ApiError {
    match error {
        FetchError::Refused(text) => ApiError::invalid(format!("file.url: {text}")),
        FetchError::Failed(_) => ApiError::new("file_not_fetched", error.to_string()),
    }
}

/// Where a file comes from.
pub(super) enum Source<'a> {
    Text(&'a RawValue),
    Host(Opened),
}

impl<'a> Source<'a> {
    pub async fn of(
        api: &Api,
        tenant: TenantId,
        url: Option<String>,
        data: Option<&'a RawValue>,
    ) -> Result<Self, ApiError> {
        match (url, data) {
            (None, Some(data)) => Ok(Self::Text(data)),
            (Some(url), None) => Ok(Self::Host(api.fetcher.open(tenant, &url).await.map_err(fetch_failed)?)),
            _ => Err(ApiError::invalid("file must have a url, or data in base64")),
        }
    }

    /// Moves all of it; answers how many bytes it was.
    async fn pour(self, mut write: impl AsyncFnMut(&[u8]) -> Result<(), TakeError>) -> Result<u64, ApiError> {
        let mut size = 0;
        let mut moved = async |bytes: &[u8]| {
            size += bytes.len() as u64;
            write(bytes).await.map_err(refused)
        };
        match self {
            Self::Text(data) => decode(data.get(), moved).await?,
            Self::Host(mut opened) => {
                while let Some(bytes) = opened.next().await.map_err(fetch_failed)? {
                    moved(&bytes).await?;
                }
            }
        }
        if size == 0 { Err(ApiError::invalid("file is empty")) } else { Ok(size) }
    }
}

pub(super) fn not_converted(error: ConvertError) -> ApiError {
    match error {
        ConvertError::Busy => ApiError::new("unavailable", error.to_string()).retry(30),
        ConvertError::Failed(_) => {
            tracing::warn!(%error, "a file could not be converted");
            ApiError::new("unavailable", "Nothing can be converted just now").retry(30)
        }
        ConvertError::Absent | ConvertError::Unreadable(_) | ConvertError::TooMuch => {
            ApiError::new("not_convertible", error.to_string())
        }
    }
}

/// A file in memory, to be converted.
pub(super) async fn held(api: &Api, source: Source<'_>) -> Result<Held, ApiError> {
    if !api.converter.is_there() {
        return Err(not_converted(ConvertError::Absent));
    }
    let mut held = api.converter.hold().map_err(not_converted)?;
    source.pour(async |bytes: &[u8]| held.write(bytes)).await?;
    Ok(held)
}

/// Takes the file in, or holds it to be converted.
async fn take(
    api: &Api,
    spec: &SessionSpec,
    body: ReadFile<'_>,
    shown: Shown,
    convert: bool,
) -> Result<Taken, ApiError> {
    let source = Source::of(api, spec.tenant, body.url, body.data).await?;
    let (mimetype, filename) = match &source {
        Source::Text(_) => (None, None),
        Source::Host(opened) => (opened.mimetype(), opened.name()),
    };
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    // What its host says is used where it makes sense; what the caller says has to.
    let mimetype = given(body.mimetype).or(mimetype.filter(|said| is_kind(said)));
    let mimetype = mimetype.unwrap_or_else(|| "application/octet-stream".to_owned());
    let filename = given(body.filename).or(filename.filter(|said| is_name(said)));
    if !is_kind(&mimetype) || filename.as_ref().is_some_and(|name| !is_name(name)) {
        return Err(ApiError::invalid(format!(
            "file.mimetype is a kind like image/png, file.filename has at most {NAME} bytes"
        )));
    }
    if let Some(target) = made_of(shown, &mimetype, convert)? {
        return Ok(Taken::Held(target, held(api, source).await?));
    }
    let mut intake = api.files.take_in(spec);
    let size = source.pour(async |bytes: &[u8]| intake.write(bytes).await).await?;
    let file = intake.finish().await.map_err(refused)?;
    Ok(Taken::Stored(file, Media { mimetype, filename, size: Some(size) }))
}

/// A kind and its parameters, as a header can carry them.
fn is_kind(text: &str) -> bool {
    let kind = text.split(';').next().unwrap_or_default();
    text.len() <= NAME && kind.split('/').count() == 2 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME && !text.chars().any(char::is_control)
}

/// Decodes a JSON text of base64, as it stands in the body, piece by piece. A data URL and line breaks are accepted.
async fn decode(raw: &str, mut write: impl AsyncFnMut(&[u8]) -> Result<(), ApiError>) -> Result<(), ApiError> {
    let bad = || ApiError::invalid("file.data is not base64");
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).ok_or_else(bad)?;
    let text = text.split_once("base64,").map_or(text, |(_, data)| data);
    let mut letters = Vec::with_capacity(LETTERS);
    let mut source = text.bytes();
    loop {
        while letters.len() < LETTERS
            && let Some(byte) = source.next()
        {
            match byte {
                // How JSON may write a slash or a line break, and whatever else a client's library is careful about.
                b'\\' => match source.next() {
                    Some(b'/') => letters.push(b'/'),
                    Some(b'n' | b'r') => {}
                    Some(b'u') => {
                        let digits: Vec<u8> = source.by_ref().take(4).collect();
                        let code = std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
                        letters.push(code.ok_or_else(bad)?);
                    }
                    _ => return Err(bad()),
                },
                byte => letters.push(byte),
            }
        }
        if letters.is_empty() {
            return Ok(());
        }
        write(&STANDARD.decode(&letters).map_err(|_| bad())?).await?;
        letters.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    fn decoded(raw: &str) -> Option<Vec<u8>> {
        let mut all = vec![];
        let write = async |bytes: &[u8]| {
            all.extend_from_slice(bytes);
            Ok(())
        };
        // Nothing in it waits.
        decode(raw, write).now_or_never().unwrap().ok().map(|()| all)
    }

    proptest! {
        #[test]
        fn a_file_in_base64_is_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), raw in ".{0,200}") {
            let text = STANDARD.encode(&bytes);
            let lines = format!("data:image/png;base64,{}", text.replace('/', "\\/").replace('A', "A\\r\\n"));
            let careful = text.replace('+', "\\u002b").replace('=', "\\u003D");
            for text in [&text, &lines, &careful] {
                let read = decoded(&format!("\"{text}\""));
                prop_assert_eq!(read.as_ref(), Some(&bytes));
            }
            let _ = (decoded(&raw), decoded(&format!("\"{raw}\"")), decoded(&format!("\"{raw}{text}\"")));
        }
    }
}
