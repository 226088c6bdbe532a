//! `/api/{session}/media/convert`: files in WhatsApp's formats.

use super::sending_files::{FileBody, ReadFile, Source, bad_body, body_of, held, not_converted};
use super::{Api, Named};
use crate::error::ApiError;
use crate::ffmpeg::{Held, Target};
use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use std::io::Read as _;
use wardroom_actors::domain::ids::TenantId;

/// Makes a voice message of a recording, where the server has ffmpeg. `Accept: application/json` answers with base64, anything
/// else with the bytes.
///
/// # Errors
/// 400, 404, 413, 422 when it cannot be converted.
#[utoipa::path(post, path = "/api/{session}/media/convert/voice", tag = "media", request_body = FileBody,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The voice message"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 413, description = "The file is too long"),
        (status = 422, description = "It cannot be converted")))]
pub async fn voice(
    request: HttpRequest,
    named: Named,
    api: web::Data<Api>,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    convert(&request, &api, named.holder.tenant, body, Target::Voice).await
}

/// Makes a film that WhatsApp shows, where the server has ffmpeg.
///
/// # Errors
/// As for a voice message.
#[utoipa::path(post, path = "/api/{session}/media/convert/video", tag = "media", request_body = FileBody,
    params(("session" = String, Path, example = "default")),
    responses((status = 201, description = "The film"), (status = 400, description = "Bad input"),
        (status = 404, description = "No such session"), (status = 413, description = "The file is too long"),
        (status = 422, description = "It cannot be converted")))]
pub async fn video(
    request: HttpRequest,
    named: Named,
    api: web::Data<Api>,
    body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    convert(&request, &api, named.holder.tenant, body, Target::Film).await
}

async fn convert(
    request: &HttpRequest,
    api: &Api,
    tenant: TenantId,
    body: web::Payload,
    target: Target,
) -> Result<HttpResponse, ApiError> {
    let held = {
        let (_turn, body) = body_of(api, body, api.file_bytes).await?;
        let file: ReadFile<'_> = serde_json::from_slice(&body).map_err(bad_body)?;
        held(api, Source::of(api, tenant, file.url, file.data).await?).await?
    };
    let made = api.converter.convert(target, held).await.map_err(not_converted)?;
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut answer = HttpResponse::Created();
    if accept.contains("application/json") {
        let head = format!("{{\"mimetype\":\"{}\",\"data\":\"", target.mimetype());
        let data = pieces(made).map_ok(|piece| web::Bytes::from(STANDARD.encode(piece)));
        let parts = stream::iter([Ok(head.into())]).chain(data).chain(stream::iter([Ok(web::Bytes::from("\"}"))]));
        return Ok(answer.content_type("application/json").streaming(parts));
    }
    answer.insert_header((header::CONTENT_TYPE, target.mimetype()));
    Ok(answer.body(SizedStream::new(made.size(), pieces(made))))
}

/// All of it; each piece but the last can be written in base64 without padding.
fn pieces(made: Held) -> impl Stream<Item = std::io::Result<web::Bytes>> {
    stream::try_unfold(made, |mut made| async move {
        let mut piece = vec![];
        made.by_ref().take(3 << 18).read_to_end(&mut piece)?;
        Ok((!piece.is_empty()).then(|| (piece.into(), made)))
    })
}
