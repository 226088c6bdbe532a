//! The dashboard's files and its sign-in.

use crate::auth::access::{Credentials, about, secret};
use crate::auth::audit::Actor;
use crate::auth::{Caller, Door};
use crate::error::ApiError;
use crate::live::socket::Sockets;
use crate::store::Store;
use crate::store::repo::stays::Staying;
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;
use serde::Deserialize;
use std::borrow::Cow;
use wardroom_actors::ports::PortError;

#[derive(RustEmbed)]
#[folder = "src/dashboard/static"]
struct Files;

/// One of them.
#[must_use]
pub fn file(name: &str) -> Option<Cow<'static, [u8]>> {
    Files::get(name).map(|file| file.data)
}

/// The plots, which others keep; empty where `deploy/setup.sh` had not installed them when this was built.
const PLOTS: &[(&str, &[u8])] = &[
    ("uplot.js", include_bytes!(concat!(env!("OUT_DIR"), "/uPlot.iife.min.js"))),
    ("uplot.css", include_bytes!(concat!(env!("OUT_DIR"), "/uPlot.min.css"))),
];

/// How long a stay lasts.
const STAY_MS: i64 = 12 * 3600 * 1000;

/// `GET /` and `GET /dashboard/{file}`
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().get("file").filter(|name| !name.is_empty()).unwrap_or("index.html");
    let plots = PLOTS.iter().find(|(known, text)| *known == name && !text.is_empty()).map(|(_, text)| text.to_vec());
    let file = Files::get(name).map(|file| file.data.into_owned()).or(plots);
    let file = file.ok_or_else(|| ApiError::new("not_found", "There is no such page"))?;
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml; charset=utf-8",
        _ => "application/octet-stream",
    };
    const POLICY: &str = "default-src 'none'; object-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; \
                          connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file))
}

/// The body of a sign-in: what a person shows, or a key.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum SignIn {
    /// A key.
    Key {
        /// Its secret.
        key: String,
    },
    /// A person.
    Person(Credentials),
}

/// `POST /dashboard/sign-in`: exchanges an API key, or an address and a password, for a cookie that scripts cannot read.
///
/// # Errors
/// 401 for who is not let in, 429 where too many of them came from.
pub async fn sign_in(
    request: HttpRequest,
    door: web::Data<Door>,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
    body: web::Json<SignIn>,
) -> Result<HttpResponse, ApiError> {
    let who = match &*body {
        SignIn::Key { key } => {
            let unknown = |error: ApiError| match error.code() {
                "unauthorized" => ApiError::new("unauthorized", "This key is not known here"),
                _ => error,
            };
            let holder = door.holder(&store, &request, key).await.map_err(unknown)?;
            if door.demands_of(&holder) {
                return Err(ApiError::new(
                    "unauthorized",
                    "A second factor is needed here: sign in with an e-mail address",
                ));
            }
            request.extensions_mut().insert(Actor::from(holder));
            Staying::Key(holder)
        }
        SignIn::Person(shown) => Staying::Person(Box::new(door.access.admit(&door, &store, &request, shown).await?)),
    };
    // Whoever was signed in in this browser has left.
    if let Some(cookie) = request.cookie(door.cookie())
        && let Some(before) = store.signed_in(cookie.value()).await?
        && let Some(stay) = before.stay
    {
        store.end_stay(before, stay).await?;
        sockets.forget_stay(stay);
    }
    let (token, refused) = match &who {
        Staying::Key(_) => (secret(""), "This key's user has a second factor: sign in with the e-mail address"),
        Staying::Person(_) => (secret(""), "E-mail address, password or code is wrong"),
    };
    let is_person = matches!(who, Staying::Person(_));
    let begun = store.stay(who, &token, about(&door, &request), STAY_MS).await;
    begun.map_err(|error| match error {
        PortError::Conflict => ApiError::new("unauthorized", refused),
        other => other.into(),
    })?;
    // A key is told of itself, a person by the stay; where that cannot be read they have said who they are.
    if is_person && let Ok(Some(holder)) = store.signed_in(&token).await {
        request.extensions_mut().insert(Actor::from(holder));
    }
    Ok(HttpResponse::NoContent().cookie(cookie(&door, token, STAY_MS)).finish())
}

/// `POST /dashboard/sign-out`
///
/// # Errors
/// 401 when nobody is signed in.
pub async fn sign_out(
    caller: Caller,
    door: web::Data<Door>,
    store: web::Data<Store>,
    sockets: web::Data<Sockets>,
) -> Result<HttpResponse, ApiError> {
    if let Some(stay) = caller.0.stay {
        store.end_stay(caller.0, stay).await?;
        sockets.forget_stay(stay);
    }
    Ok(HttpResponse::NoContent().cookie(cookie(&door, String::new(), 0)).finish())
}

fn cookie(door: &Door, value: String, for_ms: i64) -> Cookie<'static> {
    Cookie::build(door.cookie(), value)
        .path("/")
        .secure(door.tls)
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(time::Duration::milliseconds(for_ms))
        .finish()
}
