//! Files on the fake network: kept under their SHA-256, for ever.

use super::hub::{Hub, unix_now};
use super::network::Letter;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::PathBuf;

/// Longest file, as on the real network.
const MOST: usize = 2 << 30;

fn place(hub: &Hub, name: &str) -> PathBuf {
    hub.options.data_dir.join("media").join(name)
}

/// Keeps a body; answers its hash and length.
async fn keep(hub: &Hub, mut body: web::Payload) -> Result<(String, usize), HttpResponse> {
    let failed = |error: std::io::Error| HttpResponse::InternalServerError().json(json!({"error": error.to_string()}));
    let dir = hub.options.data_dir.join("media");
    std::fs::create_dir_all(&dir).map_err(failed)?;
    let mut file = tempfile_in(&dir).map_err(failed)?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    while let Some(bytes) = body.next().await {
        let Ok(bytes) = bytes else {
            return Err(HttpResponse::BadRequest().json(json!({"error": "the body broke off"})));
        };
        size += bytes.len();
        if size > MOST {
            return Err(HttpResponse::PayloadTooLarge().json(json!({"error": "the file is too long"})));
        }
        digest.update(&bytes);
        file.1.write_all(&bytes).map_err(failed)?;
    }
    let hash = hex::encode(digest.finalize());
    std::fs::rename(&file.0, dir.join(&hash)).map_err(failed)?;
    Ok((hash, size))
}

fn tempfile_in(dir: &std::path::Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    let path = dir.join(format!("{}.part", uuid::Uuid::new_v4()));
    let file = std::fs::File::create_new(&path)?;
    Ok((path, file))
}

/// A page uploads.
pub(super) async fn put(hub: web::Data<Hub>, body: web::Payload) -> HttpResponse {
    match keep(&hub, body).await {
        Ok((hash, size)) => HttpResponse::Ok().json(json!({"hash": hash, "size": size})),
        Err(refused) => refused,
    }
}

/// A page or a phone downloads.
pub(super) async fn get(hub: web::Data<Hub>, hash: web::Path<String>) -> HttpResponse {
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = if is_hash { place(&hub, &hash) } else { PathBuf::new() };
    match tokio::task::spawn_blocking(move || std::fs::read(path)).await {
        Ok(Ok(bytes)) => HttpResponse::Ok()
            .content_type("application/octet-stream")
            .insert_header(("content-security-policy", "sandbox"))
            .body(bytes),
        _ => HttpResponse::NotFound().json(json!({"error": "there is no such file"})),
    }
}

#[derive(Deserialize)]
pub(super) struct FromPhone {
    to: String,
    kind: String,
    #[serde(default)]
    text: String,
    filename: Option<String>,
}

/// A phone sends a file: the request's body, its kind in `Content-Type`.
pub(super) async fn send(
    hub: web::Data<Hub>,
    number: web::Path<String>,
    about: web::Query<FromPhone>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let FromPhone { to, kind, text, filename } = about.into_inner();
    let receiver = {
        let network = &hub.lock().network;
        network.phones.contains_key(number.as_str()).then(|| network.receiver(&number, &to)).flatten()
    };
    let Some(to) = receiver else {
        return HttpResponse::NotFound()
            .json(json!({"error": "there is no such phone, or the receiver does not hear it"}));
    };
    let mimetype = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mimetype = mimetype.unwrap_or("application/octet-stream").to_owned();
    let (filehash, size) = match keep(&hub, body).await {
        Ok(kept) => kept,
        Err(refused) => return refused,
    };
    let data = json!({"mimetype": mimetype, "filename": filename, "size": size, "filehash": filehash});
    let id = super::server::new_id();
    let from = number.into_inner();
    hub.lock().send(Letter { id: id.clone(), from, to, kind, text, data, at: unix_now(), device: None });
    HttpResponse::Created().json(json!({"id": id}))
}
