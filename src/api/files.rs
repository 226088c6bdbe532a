//! `GET /api/files/{id}.{ext}`: the file of a message.

use super::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use actix_web::body::SizedStream;
use actix_web::http::header::HeaderValue;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use std::ops::Range;
use std::time::Duration;
use wardroom_actors::domain::ids::FileId;
use wardroom_actors::domain::message::Media;
use wardroom_actors::domain::session::Status;
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::engine::Command;
use wardroom_actors::ports::files::PIECE;

/// How long a file may take that has to be fetched first.
const FETCH: Duration = Duration::from_secs(300);

/// The file of a message. One that is not here yet is fetched first, which needs its session to be WORKING.
///
/// # Errors
/// 404 when there is no such message or its file is gone, 416 for a range that it does not have, 422 when the session is not
/// WORKING, 502 when it is not the file that its sender promised.
#[utoipa::path(get, path = "/api/files/{file}", tag = "chatting", params(
    ("file" = String, Path, description = "The message's id, a dot, and the end of a file's name", example = "false_11111111111@c.us_AAAA.jpg"),
    ("Range" = Option<String>, Header, example = "bytes=0-1023", description = "`bytes=0-1023`: a part of it")),
    responses((status = 200, description = "The file"), (status = 206, description = "A part of it"),
    (status = 404, description = "No such message, or its file is gone"), (status = 416, description = "It has no such part"),
    (status = 422, description = "It has to be fetched, and the session is not WORKING"),
    (status = 502, description = "It is not the file that its sender promised")))]
pub async fn get(
    request: HttpRequest,
    caller: Caller,
    api: web::Data<Api>,
    file: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let sessions = api.handle.sessions(caller.0.tenant);
    let specs =
        sessions.into_iter().map(|seen| seen.spec).filter(|spec| caller.0.reaches(spec.user, spec.id)).collect();
    // An id has dots of its own, and a client may have cut off the end.
    let ids = [file.rsplit_once('.').map(|(id, _)| id), Some(file.as_str())].into_iter().flatten();
    let found = api.store.carrier(specs, ids.map(str::to_owned).collect()).await?;
    let (spec, message) = found.ok_or_else(gone)?;
    let media = message.parts.media.as_ref().ok_or_else(gone)?;
    let file = of_message(&api, &spec, &message.id).await?;
    let size = api.store.file_size(spec.key(), file).await?.ok_or_else(gone)?;
    answer(&request, api, spec, (file, size), media)
}

fn gone() -> ApiError {
    ApiError::new("file_not_found", "File not found or no longer available")
}

/// The file of a message; fetched, if it is not here yet.
pub(super) async fn of_message(api: &Api, spec: &SessionSpec, message: &str) -> Result<FileId, ApiError> {
    if let Some(file) = api.files.attached(spec, message).await? {
        return Ok(file);
    }
    api.expect(spec.tenant, &spec.name, Status::Working).await?;
    let id = message.to_owned();
    api.handle.ask_within(FETCH, spec.tenant, &spec.name, |answer| Command::Fetch { message: id, answer }).await?;
    api.files.attached(spec, message).await?.ok_or_else(gone)
}

/// It is somebody's: nothing on the way, and no browser, keeps it.
const KEPT: (header::HeaderName, &str) = (header::CACHE_CONTROL, "private, no-store");

fn answer(
    request: &HttpRequest,
    api: web::Data<Api>,
    spec: SessionSpec,
    (file, size): (FileId, u64),
    media: &Media,
) -> Result<HttpResponse, ApiError> {
    let tag = format!("\"{file}\"");
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&tag)) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).insert_header(KEPT).finish());
    }
    let same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let wanted = text(header::RANGE).filter(|_| same).and_then(|range| part(range, size));
    let (status, range) = match wanted {
        None => (StatusCode::OK, 0..size),
        Some(Ok(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Err(())) => {
            let nothing = HttpResponse::RangeNotSatisfiable()
                .insert_header((header::CONTENT_RANGE, format!("bytes */{size}")))
                .insert_header(KEPT)
                .finish();
            return Ok(nothing);
        }
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_TYPE, kind_of(media)))
        .insert_header((header::ETAG, tag))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header(KEPT)
        .insert_header((header::CONTENT_DISPOSITION, disposition(media)))
        // Somebody else wrote it: whatever it is, it runs nothing here.
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
        ));
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last) = (range.start, range.end - 1);
        response.insert_header((header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}")));
    }
    let length = range.end - range.start;
    let pieces = stream::try_unfold(range, move |range| {
        let (api, spec) = (api.clone(), spec.clone());
        async move {
            if range.start >= range.end {
                return Ok::<_, PortError>(None);
            }
            let piece = api.files.piece(&spec, file, range.start / PIECE as u64).await?;
            let from = usize::try_from(range.start % PIECE as u64).map_err(|_| PortError::Corrupt)?;
            let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let bytes: web::Bytes = piece.get(from..).unwrap_or_default().iter().take(most).copied().collect();
            if bytes.is_empty() {
                return Err(PortError::Corrupt);
            }
            let next = range.start + bytes.len() as u64..range.end;
            Ok(Some((bytes, next)))
        }
    });
    Ok(response.body(SizedStream::new(length, pieces)))
}

/// Its kind, as far as a header can carry what the sender says. A text whose encoding nobody tells is read as UTF-8.
fn kind_of(media: &Media) -> HeaderValue {
    let said = media.mimetype.to_ascii_lowercase();
    let kind = said.split(';').next().unwrap_or_default().trim();
    let is_text = kind.starts_with("text/") || kind.ends_with("+xml") || kind.ends_with("/xml");
    let charset = if is_text && !said.contains("charset=") { "; charset=utf-8" } else { "" };
    let said = HeaderValue::from_str(&format!("{}{charset}", media.mimetype));
    said.unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

/// The part that a `Range` header asks for; `None` when it is to be ignored (RFC 9110, 14.2), an error when there is none such.
fn part(header: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (first.trim(), last.trim()) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

/// Pictures, sounds and films may be shown where they are; everything else is for saving.
fn disposition(media: &Media) -> String {
    let kind = media.mimetype.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let shown = ["image/", "audio/", "video/"].iter().any(|start| kind.starts_with(start)) && kind != "image/svg+xml";
    let how = if shown { "inline" } else { "attachment" };
    let name = media.filename.as_deref().filter(|name| !name.is_empty()).unwrap_or("file");
    // RFC 8187: every byte that could mean something is written as a number.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let encoded: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("{how}; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_name_of_a_file_is_said_whole_or_refused(mimetype in "(image/png|text/html|[ -~]{0,20});?.{0,20}", filename in ".{0,60}") {
            let media = Media { mimetype, filename: Some(filename.clone()), size: None };
            let _ = kind_of(&media);
            let said = disposition(&media);
            let (how, name) = said.split_once("; filename*=UTF-8''").unwrap();
            prop_assert!(["inline", "attachment"].contains(&how), "{}", how);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%.-_".contains(&byte)), "{}", name);
            let read = percent_encoding::percent_decode_str(name).decode_utf8().unwrap();
            prop_assert_eq!(&*read, if filename.is_empty() { "file" } else { &filename });
        }

        #[test]
        fn a_range_is_read_or_refused(header in "bytes= ?[0-9]{0,21} ?-[0-9]{0,21}|.{0,60}", size in 0_u64..1000) {
            if let Some(Ok(part)) = part(&header, size) {
                prop_assert!(part.start < part.end && part.end <= size, "{:?}", part);
            }
        }
    }

    #[test]
    fn a_range_is_a_part_or_nothing_or_ignored() {
        assert_eq!(part("bytes=0-9", 100), Some(Ok(0..10)));
        assert_eq!(part("bytes=90-", 100), Some(Ok(90..100)));
        assert_eq!(part("bytes=-5", 100), Some(Ok(95..100)));
        assert_eq!(part("bytes=-500", 100), Some(Ok(0..100)));
        assert_eq!(part("bytes=50-500", 100), Some(Ok(50..100)));
        assert_eq!(part("bytes=100-", 100), Some(Err(())));
        for ignored in ["bytes=a-b", "items=0-1", "bytes=1", "bytes=0-1,5-6", "bytes=5-2"] {
            assert_eq!(part(ignored, 100), None, "{ignored}");
        }
    }

    #[test]
    fn only_what_can_do_no_harm_is_shown_in_place() {
        let of = |mimetype: &str, name: &str| {
            disposition(&Media { mimetype: mimetype.into(), filename: Some(name.into()), size: None })
        };
        assert_eq!(of("image/png", "a b\"\r\n.png"), "inline; filename*=UTF-8''a%20b%22%0D%0A.png");
        assert!(
            of("image/SVG+xml ;x", "x").starts_with("attachment") && of("text/html", "x").starts_with("attachment")
        );
        assert_eq!(of("image/png", ""), "inline; filename*=UTF-8''file");
    }

    #[test]
    fn a_text_tells_its_encoding() {
        for (said, sent) in [
            ("text/plain", "text/plain; charset=utf-8"),
            ("Text/HTML; a=b", "Text/HTML; a=b; charset=utf-8"),
            ("text/csv; Charset=iso-8859-1", "text/csv; Charset=iso-8859-1"),
            ("image/svg+xml", "image/svg+xml; charset=utf-8"),
            ("application/xml", "application/xml; charset=utf-8"),
            ("image/png", "image/png"),
            ("audio/ogg; codecs=opus", "audio/ogg; codecs=opus"),
            ("a\r\nb", "application/octet-stream"),
        ] {
            assert_eq!(kind_of(&Media { mimetype: said.into(), filename: None, size: None }), sent, "{said}");
        }
    }
}
