//! The guard: who calls, for which tenant, and whether they may. A handler gets a [`Caller`], whose key has what the route
//! needs; there is no other way to a tenant.

mod need;

use crate::error::ApiError;
use crate::store::Store;
use crate::store::repo::identity::KeyHolder;
use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use need::Need;
use std::future::Future;
use std::pin::Pin;

/// Name of the cookie that carries a stay on the dashboard.
pub const COOKIE: &str = "wardroom_sign_in";

/// Somebody whose key is known.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub KeyHolder);

/// Somebody who may read the key from the query: WAHA clients need that where they cannot set a header.
#[derive(Clone, Copy, Debug)]
pub struct QueryCaller(pub KeyHolder);

type Found<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request, false).await.map(Self) })
    }
}

impl FromRequest for QueryCaller {
    type Error = ApiError;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request, true).await.map(Self) })
    }
}

async fn authenticate(request: &HttpRequest, query: bool) -> Result<KeyHolder, ApiError> {
    let unauthorized = || ApiError::new("unauthorized", "Unauthorized");
    let store = request.app_data::<web::Data<Store>>().ok_or_else(unauthorized)?;
    let from_header = request.headers().get("x-api-key").map(|key| key.to_str().unwrap_or_default().to_owned());
    let from_query = || {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
        pairs.into_inner().into_iter().find(|(name, _)| name == "x-api-key").map(|(_, key)| key)
    };
    let key = from_header.or_else(|| if query { from_query() } else { None });
    let holder = match (key, request.cookie(COOKIE)) {
        (Some(key), _) => store.key_holder(&key).await?,
        (None, Some(cookie)) => {
            own_page(request)?;
            store.signed_in(cookie.value()).await?
        }
        (None, None) => None,
    };
    let holder = holder.ok_or_else(unauthorized)?;
    request.extensions_mut().insert(holder.tenant);
    let need = Need::of(request.method(), request.match_pattern().as_deref().unwrap_or_default());
    if need.is_met_by(&holder) { Ok(holder) } else { Err(ApiError::new("forbidden", "This key may not do that")) }
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
