//! The guard: who calls, for which tenant, and whether they may. It stands before every route ([`guard`]); a handler gets a
//! [`Caller`], whose key has what the route needs; there is no other way to a tenant.

pub mod access;
pub mod address;
pub mod alarm;
pub mod audit;
pub mod leaked;
pub mod limits;
mod need;
pub mod password;
pub mod second_factor;
pub mod token;
pub mod watch;

use crate::config::Whose;
use crate::egress::is_private;
use crate::error::ApiError;
use crate::store::Store;
use crate::store::repo::identity::Holder;
use access::Access;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use address::Proxies;
use audit::Actor;
use need::Need;
pub use need::needs;
use std::borrow::Cow;
use std::future::{Ready, ready};
use std::sync::{Arc, Once};
use token::Bad;
use watch::{Origin, Watch};

/// Name of the cookie that carries a stay on the dashboard, over TLS and without. A browser takes the first only from this very
/// host, over TLS.
const COOKIES: [&str; 2] = ["__Host-wardroom_sign_in", "wardroom_sign_in"];

/// Somebody whose key is known, and may do what the route does. Where no guard stood, there is nobody.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub Holder);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Holder>().copied().map(Self).ok_or_else(unauthorized))
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
    if let Err(error) = seldom_called(&request) {
        return Ok(request.into_response(error.error_response()));
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

/// Refuses an address that calls too often, before it is looked who it is.
fn seldom_called(request: &ServiceRequest) -> Result<(), ApiError> {
    let door = request.app_data::<web::Data<Door>>().ok_or_else(unauthorized)?;
    let origin = door.origin(request.request());
    origin.map_or(Ok(()), |origin| door.access.limits.calls_from(origin).map_err(too_often))
}

fn too_often(seconds: u64) -> ApiError {
    ApiError::new("too_many_requests", "Too many calls").retry(seconds)
}

/// Answers that tell a caller that it does something wrong.
const REFUSED: [u16; 3] = [400, 403, 404];

fn shut_out(left_s: u32) -> ApiError {
    ApiError::new("too_many_failures", "Too many wrong keys came from this address").retry(left_s.into())
}

/// What stands at the door.
pub struct Door {
    /// Who fails too often.
    pub watch: Arc<Watch>,
    /// Who lets people in.
    pub access: Access,
    /// Whose word of where a request comes from is believed.
    pub proxies: Proxies,
    /// Origins of other pages that may use the API.
    pub origins: Vec<String>,
    /// Of whom a second factor is demanded.
    pub second_factor_of: Whose,
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

    /// Whether a second factor is demanded of somebody who signs in.
    #[must_use]
    pub fn demands_of(&self, holder: &Holder) -> bool {
        match self.second_factor_of {
            Whose::Nobody => false,
            Whose::Admins => holder.is_admin,
            Whose::Everybody => true,
        }
    }

    /// From which address a request comes.
    #[must_use]
    pub fn address(&self, request: &HttpRequest) -> String {
        let Some(peer) = request.peer_addr() else { return String::new() };
        let forwarded = forwarded(request);
        self.proxies.client(peer.ip(), forwarded.iter().map(AsRef::as_ref)).to_string()
    }

    /// From which address a request comes, or of IPv6 from which network: whoever has one of its addresses has them all.
    fn network(&self, request: &HttpRequest) -> String {
        let Some(peer) = request.peer_addr() else { return String::new() };
        let forwarded = forwarded(request);
        Origin::from(self.proxies.client(peer.ip(), forwarded.iter().map(AsRef::as_ref))).to_string()
    }

    /// Where a request comes from; `None` when nobody knows: a proxy of the operator's own network that is not listed.
    pub(crate) fn origin(&self, request: &HttpRequest) -> Option<Origin> {
        let peer = request.peer_addr()?.ip();
        let forwarded = forwarded(request);
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

    /// Whether anybody is heard from there.
    ///
    /// # Errors
    /// 429.
    pub fn admits(&self, request: &HttpRequest) -> Result<(), ApiError> {
        self.origin(request).map_or(Ok(()), |origin| self.watch.admits(origin, "").map_err(shut_out))
    }

    /// Whether somebody whom nobody knows yet may try something.
    ///
    /// # Errors
    /// 429.
    pub fn may_try(&self, request: &HttpRequest) -> Result<(), ApiError> {
        self.admits(request)?;
        self.seldom(request).map_err(|seconds| ApiError::new("too_many_requests", "Too many tries").retry(seconds))
    }

    /// Counts a try; seconds until the next where it is one too many. Behind a proxy that is not listed are many.
    fn seldom(&self, request: &HttpRequest) -> Result<(), u64> {
        let Some(peer) = request.peer_addr() else { return Ok(()) };
        match self.origin(request) {
            Some(origin) => self.access.limits.from(origin),
            None => self.access.limits.from_many(peer.ip()),
        }
    }

    /// They were wrong.
    pub fn failed(&self, request: &HttpRequest) {
        if let Some(origin) = self.origin(request) {
            self.watch.failed(origin);
        }
    }

    fn bad_token(&self, bad: Bad) -> ApiError {
        match bad {
            // Clients renew what has expired, so they are told.
            Bad::Expired => {
                self.watch.count("token_expired", "low", String::new);
                ApiError::new("token_expired", "The token has expired: renew it with POST /api/auth/refresh")
            }
            Bad::Invalid => {
                self.watch.count("token_invalid", "medium", String::new);
                unauthorized()
            }
        }
    }

    /// Finds out whose a key is. An address from which keys are guessed is not answered any more.
    ///
    /// # Errors
    /// 401, 429; or the database's.
    pub async fn holder(&self, store: &Store, request: &HttpRequest, key: &str) -> Result<Holder, ApiError> {
        let Some(origin) = self.origin(request) else {
            return store.key_holder(key).await?.ok_or_else(unauthorized);
        };
        self.watch.admits(origin, key).map_err(shut_out)?;
        let holder = store.key_holder(key).await?;
        match holder {
            Some(_) => self.watch.succeeded(origin, key),
            None => self.watch.failed(origin),
        }
        holder.ok_or_else(unauthorized)
    }
}

/// The token of an `Authorization` header; other schemes are a proxy's.
fn bearer(shown: &str) -> Option<&str> {
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

fn forwarded(request: &HttpRequest) -> Vec<Cow<'_, str>> {
    request.headers().get_all("x-forwarded-for").map(HeaderValue::as_bytes).map(String::from_utf8_lossy).collect()
}

/// Leaves in the request who asks.
async fn authenticate(request: &HttpRequest, need: Need) -> Result<Holder, ApiError> {
    let store = request.app_data::<web::Data<Store>>().ok_or_else(unauthorized)?;
    let door = request.app_data::<web::Data<Door>>().ok_or_else(unauthorized)?;
    let header =
        |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default().to_owned());
    let from_query = |name: &str| {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
        pairs.into_inner().into_iter().find(|(known, _)| known == name).map(|(_, key)| key)
    };
    let pattern = request.match_pattern().unwrap_or_default();
    let query = need::takes_key_from_query(&pattern);
    let key = header("x-api-key").or_else(|| if query { from_query("x-api-key") } else { None });
    let ticket = if pattern == "/ws" { from_query("ticket") } else { None };
    if pattern == "/ws" && header(header::ORIGIN.as_str()).is_some_and(|origin| !door.origins.contains(&origin)) {
        own_page(request)?;
    }
    let holder = if let Some(key) = key {
        door.holder(store, request, &key).await?
    } else if let Some(token) = header(header::AUTHORIZATION.as_str()).as_deref().and_then(bearer) {
        let said = door.access.tokens.read(token).map_err(|bad| door.bad_token(bad))?;
        store.stays_on(said.tenant, said.stay).await?.ok_or_else(unauthorized)?
    } else if let Some(ticket) = ticket {
        let holder = door.access.take(&ticket).ok_or_else(unauthorized)?;
        store.lasting(vec![holder]).await?.pop().ok_or_else(unauthorized)?
    } else if let Some(cookie) = request.cookie(door.cookie()) {
        own_page(request)?;
        store.signed_in(cookie.value()).await?.ok_or_else(unauthorized)?
    } else {
        return Err(unauthorized());
    };
    request.extensions_mut().insert(holder.tenant);
    request.extensions_mut().insert(Actor::from(holder));
    if !door.watch.lets_call(holder.key) {
        return Err(
            ApiError::new("too_many_refusals", "Too many calls of this key were refused: one a second").retry(1)
        );
    }
    door.access.limits.calls(&holder, request.method(), &pattern).map_err(too_often)?;
    if !need.is_met_by(&holder) {
        door.watch.refused(holder.key);
        return Err(ApiError::new("forbidden", "This key may not do that"));
    }
    let of_oneself = need == Need::Person || matches!(&*pattern, "/api/auth/me" | "/dashboard/sign-out");
    if holder.stay.is_some() && !holder.has_second_factor && !of_oneself && door.demands_of(&holder) {
        return Err(ApiError::new("second_factor_required", "A second factor is demanded of you: set one up"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;
    use reqwest::Url;

    proptest! {
        #[test]
        fn a_bearer_s_token_is_read_or_refused(shown in "(Bearer|bearer|Basic) {0,3}[!-~]{0,20}|\\PC{0,40}") {
            if let Some(token) = bearer(&shown) {
                prop_assert!(shown.to_lowercase().starts_with("bearer ") && shown.ends_with(token) && !token.starts_with(' '));
            }
        }

        #[test]
        fn an_origin_is_the_own_page_s_or_refused(
            origin in "https?://wardroom\\.example(:80)?|https?://[a-z@:/#?-]{0,12}wardroom\\.example[.:/]?[a-z0-9]{0,4}|[ -~]{0,30}",
        ) {
            let of = |origin: &str| {
                let request = TestRequest::post().insert_header((header::HOST, "wardroom.example"));
                own_page(&request.insert_header((header::ORIGIN, origin)).to_http_request()).is_ok()
            };
            prop_assert!(of("https://wardroom.example"));
            if of(&origin) {
                let url = Url::parse(&origin).unwrap();
                prop_assert_eq!((url.host_str(), url.port()), (Some("wardroom.example"), None));
            }
        }
    }
}
