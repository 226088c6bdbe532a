//! Pictures of the account and of its groups are set and removed.

use super::asking::act_named;
use super::groups::group_id;
use super::sending_files::{body_of, fetch_failed, too_large};
use super::{Api, Named};
use crate::error::ApiError;
use actix_web::{HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use wardroom_actors::domain::action::{Action, Image};
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::ids::TenantId;

/// Longest picture in bytes; the page makes it smaller anyway.
const MOST: u64 = 5 << 20;

/// A picture.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"file": {"url": "https://example.com/picture.jpg"}}))]
pub struct NewPicture {
    /// JPEG, PNG or WebP.
    file: PictureFile,
}

/// Where the picture is, or the picture itself. Its kind is seen from its bytes.
#[derive(Deserialize, ToSchema)]
pub struct PictureFile {
    /// Where it is.
    url: Option<String>,
    /// In base64.
    data: Option<String>,
}

macro_rules! routes {
    ($path:literal, $of:literal, ($($param:tt)*), $set:ident, $remove:ident, |$named:ident, $parts:ident: $Parts:ty| $group:expr) => {
        #[doc = concat!("Sets the picture of ", $of, ".")]
        ///
        /// # Errors
        /// 400 when it is no picture, 404, 413 when it is too long, 422 when the session is not WORKING, the file cannot be fetched or
        /// the network refuses.
        #[utoipa::path(put, path = $path, tag = "profile", request_body = NewPicture, params($($param)*), responses(
            (status = 200, description = "Done"), (status = 400, description = "No picture"),
            (status = 404, description = "No such session or group"), (status = 413, description = "The file is too long"),
            (status = 422, description = "Not WORKING, not fetched, or refused")))]
        pub async fn $set(
            $named: Named,
            api: web::Data<Api>,
            $parts: web::Path<$Parts>,
            body: web::Payload,
        ) -> Result<HttpResponse, ApiError> {
            let group = $group;
            let image = read(&api, $named.holder.tenant, body).await?;
            put(&api, &$named, group, Some(image)).await
        }

        #[doc = concat!("Removes the picture of ", $of, ".")]
        ///
        /// # Errors
        /// 404, 422 when the session is not WORKING or the network refuses.
        #[utoipa::path(delete, path = $path, tag = "profile", params($($param)*), responses(
            (status = 200, description = "Done"), (status = 404, description = "No such session or group"),
            (status = 422, description = "Not WORKING, or refused")))]
        pub async fn $remove(
            $named: Named,
            api: web::Data<Api>,
            $parts: web::Path<$Parts>,
        ) -> Result<HttpResponse, ApiError> {
            let group = $group;
            put(&api, &$named, group, None).await
        }
    };
}

routes!(
    "/api/{session}/profile/picture",
    "the account",
    (("session" = String, Path, example = "default")),
    set_own,
    remove_own,
    |named, _parts: String| None
);
routes!(
    "/api/{session}/groups/{group}/picture",
    "a group",
    (("session" = String, Path, example = "default"), ("group" = String, Path, example = "12312312312133@g.us")),
    set_of_group,
    remove_of_group,
    |named, parts: (String, String)| Some(group_id(&parts.1)?)
);

async fn put(
    api: &web::Data<Api>,
    named: &Named,
    group: Option<ChatId>,
    image: Option<Image>,
) -> Result<HttpResponse, ApiError> {
    act_named(api, named, Action::Picture { group, image }).await?;
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

async fn read(api: &Api, tenant: TenantId, body: web::Payload) -> Result<Image, ApiError> {
    let (_turn, body) = body_of(api, body, MOST).await?;
    let NewPicture { file } = serde_json::from_slice(&body).map_err(|error| ApiError::invalid(error.to_string()))?;
    let bytes = match file {
        PictureFile { url: None, data: Some(data) } => {
            let text = data.split_once("base64,").map_or(data.as_str(), |(_, text)| text);
            STANDARD.decode(text.trim()).map_err(|_| ApiError::invalid("file.data is not base64"))?
        }
        PictureFile { url: Some(url), data: None } => {
            let (mut opened, mut bytes) = (api.fetcher.open(tenant, &url).await.map_err(fetch_failed)?, vec![]);
            while let Some(more) = opened.next().await.map_err(fetch_failed)? {
                bytes.extend_from_slice(&more);
                if bytes.len() as u64 > MOST {
                    return Err(too_large(MOST));
                }
            }
            bytes
        }
        PictureFile { .. } => return Err(ApiError::invalid("file must have a url, or data in base64")),
    };
    if bytes.len() as u64 > MOST {
        return Err(too_large(MOST));
    }
    let mimetype = kind(&bytes).ok_or_else(|| ApiError::invalid("file must be a JPEG, PNG or WebP"))?;
    Ok(Image { mimetype, data: STANDARD.encode(bytes) })
}

/// What the first bytes say.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STARTS: &[&[u8]] = &[b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP", b"<svg", b""];

    proptest! {
        #[test]
        fn a_picture_is_of_its_kind_or_refused(
            start in proptest::sample::select(STARTS),
            rest in proptest::collection::vec(any::<u8>(), 0..30), length in 0..12_usize,
        ) {
            let bytes = [start, &rest].concat();
            let whole = kind(&bytes);
            prop_assert!(start.is_empty() || whole.is_some() == (start.len() > 2 && start[0] != b'<'), "{:?}", whole);
            let cut = kind(&bytes[..length.min(bytes.len())]);
            prop_assert!(cut.is_none() || cut == whole);
        }
    }
}
