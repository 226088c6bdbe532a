//! The guard: who calls, for which tenant, and whether they may. It stands before every route ([`guard`]); a handler gets a
//! [`Caller`], whose key has what the route needs; there is no other way to a tenant.

pub mod address;
mod need;
pub mod watch;

use crate::egress::is_private;
use crate::error::ApiError;
use crate::store::Store;
use crate::store::repo::identity::KeyHolder;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use address::Proxies;
use need::Need;
use std::future::{Ready, ready};
use std::sync::{Arc, Once};
use watch::{Origin, Watch};

/// Name of the cookie that carries a stay on the dashboard, over TLS and without. A browser takes the first only from this very
/// host, over TLS.
const COOKIES: [&str; 2] = ["__Host-wardroom_sign_in", "wardroom_sign_in"];

/// Somebody whose key is known, and may do what the route does. Where no guard stood, there is nobody.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub KeyHolder);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<KeyHolder>().copied().map(Self).ok_or_else(unauthorized))
    }
}

fn unauthorized() -> ApiError {
    ApiError::new("unauthorized", "Unauthorized")
}

/// Stands before every route: nothing of a request's body is read before it is known who asks, and that they may.
///
/// # Errors
/// Those of the route.
pub async fn guard(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let need = Need::of(request.method(), request.match_pattern().as_deref().unwrap_or_default());
    if need == Need::Nobody {
        return next.call(request).await;
    }
    let key = match authenticate(request.request(), need).await {
        Ok(holder) => holder.key,
        Err(error) => return Ok(request.into_response(error.error_response())),
    };
    let door = request.app_data::<web::Data<Door>>().cloned();
    let answered = next.call(request).await?;
    if let Some(door) = door
        && REFUSED.contains(&answered.status().as_u16())
    {
        door.watch.refused(key);
    }
    Ok(answered)
}

/// Answers that tell a caller that it does something wrong.
const REFUSED: [u16; 3] = [400, 403, 404];

/// What stands at the door.
pub struct Door {
    /// Who fails too often.
    pub watch: Arc<Watch>,
    /// Whose word of where a request comes from is believed.
    pub proxies: Proxies,
    /// Browsers come over TLS, to this server or to a proxy in front of it.
    pub tls: bool,
}

impl Door {
    /// Name of the cookie that carries a stay on the dashboard.
    #[must_use]
    pub fn cookie(&self) -> &'static str {
        let [over_tls, plain] = COOKIES;
        if self.tls { over_tls } else { plain }
    }

    /// Where a request comes from; `None` when nobody knows: a proxy of the operator's own network that is not listed.
    fn origin(&self, request: &HttpRequest) -> Option<Origin> {
        let peer = request.peer_addr()?.ip();
        let forwarded: Vec<_> = request.headers().get_all("x-forwarded-for").map(HeaderValue::as_bytes).collect();
        let forwarded: Vec<_> = forwarded.into_iter().map(String::from_utf8_lossy).collect();
        let client = self.proxies.client(peer, forwarded.iter().map(AsRef::as_ref));
        if !forwarded.is_empty() && client == peer.to_canonical() && is_private(client) {
            static TOLD: Once = Once::new();
            TOLD.call_once(
                || tracing::warn!(%client, "a proxy that guard.trusted_proxies does not list: nobody is shut out"),
            );
            return None;
        }
        Some(client.into())
    }

    /// Finds out whose a key is. An address from which keys are guessed is not answered any more.
    ///
    /// # Errors
    /// 401, 429; or the database's.
    pub async fn holder(&self, store: &Store, request: &HttpRequest, key: &str) -> Result<KeyHolder, ApiError> {
        let Some(origin) = self.origin(request) else {
            return store.key_holder(key).await?.ok_or_else(unauthorized);
        };
        self.watch.admits(origin, key).map_err(|left_s| {
            ApiError::new("too_many_failures", "Too many wrong keys came from this address").retry(left_s.into())
        })?;
        let holder = store.key_holder(key).await?;
        match holder {
            Some(_) => self.watch.succeeded(origin, key),
            None => self.watch.failed(origin),
        }
        holder.ok_or_else(unauthorized)
    }
}

/// Leaves in the request who asks.
async fn authenticate(request: &HttpRequest, need: Need) -> Result<KeyHolder, ApiError> {
    let store = request.app_data::<web::Data<Store>>().ok_or_else(unauthorized)?;
    let door = request.app_data::<web::Data<Door>>().ok_or_else(unauthorized)?;
    let from_header = request.headers().get("x-api-key").map(|key| key.to_str().unwrap_or_default().to_owned());
    let from_query = || {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
        pairs.into_inner().into_iter().find(|(name, _)| name == "x-api-key").map(|(_, key)| key)
    };
    let query = need::takes_key_from_query(request.match_pattern().as_deref().unwrap_or_default());
    let key = from_header.or_else(|| if query { from_query() } else { None });
    let holder = match (key, request.cookie(door.cookie())) {
        (Some(key), _) => door.holder(store, request, &key).await?,
        (None, Some(cookie)) => {
            own_page(request)?;
            store.signed_in(cookie.value()).await?.ok_or_else(unauthorized)?
        }
        (None, None) => return Err(unauthorized()),
    };
    request.extensions_mut().insert(holder.tenant);
    if !door.watch.lets_call(holder.key) {
        return Err(
            ApiError::new("too_many_refusals", "Too many calls of this key were refused: one a second").retry(1)
        );
    }
    if !need.is_met_by(&holder) {
        door.watch.refused(holder.key);
        return Err(ApiError::new("forbidden", "This key may not do that"));
    }
    request.extensions_mut().insert(holder);
    Ok(holder)
}

/// A cookie counts only for what our own page asks: another site can send it along, but not hide where it comes from.
fn own_page(request: &HttpRequest) -> Result<(), ApiError> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let upgrade = text(header::UPGRADE).is_some();
    if request.method() == Method::GET && !upgrade {
        return Ok(());
    }
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    if origin == Some(host) {
        Ok(())
    } else {
        Err(ApiError::new("forbidden", "A sign-in counts only for requests of the dashboard itself"))
    }
}
