//! One event on its way to one webhook: what is posted, how it is signed, what the answer means.

use crate::egress::{Clients, Egress, Failure, Refused};
use hmac::{Hmac, Mac};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use sha2::{Sha256, Sha512};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::domain::webhook::Hook;

/// So much of an answer is read, so that its connection can be used again; a longer one costs the connection.
const ANSWER_BYTES: usize = 64 << 10;

/// What a receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx.
    Taken,
    /// Anything else, or what must not be posted at all.
    Refused(Refusal),
    /// Nothing: it could not be reached, or did not answer in time.
    Away(&'static str),
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word.
    pub code: String,
    /// Milliseconds that the next try has to wait.
    pub wait_ms: u64,
    /// The receiver said so, and not our own rules.
    pub by_receiver: bool,
}

/// Before a URL that our own rules refuse is looked at again, in milliseconds: nothing but the operator can help.
const RULES_MS: u64 = 2000;
/// How long a tenant's receivers that cannot be trusted are not told of again, in milliseconds.
const TOLD_MS: i64 = 600_000;

/// Posts.
pub struct Poster {
    http: Clients,
    /// When the log was told last of a tenant's receivers that cannot be trusted.
    told: Mutex<HashMap<Option<TenantId>, i64>>,
}

impl Poster {
    /// One that waits so long for an answer.
    ///
    /// # Errors
    /// When the system has no certificates to trust.
    pub fn new(egress: Arc<Egress>, timeout: Duration) -> reqwest::Result<Self> {
        let like = || {
            Client::builder()
                .user_agent(concat!("Wardroom/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .connect_timeout(timeout.min(Duration::from_secs(5)))
                .timeout(timeout)
        };
        Ok(Self { http: Clients::new(egress, like)?, told: Mutex::default() })
    }

    /// Posts once, to a tenant's webhook or the operator's own.
    pub async fn post(&self, whose: Option<TenantId>, hook: &Hook, body: String, unix_ms: i64) -> Answer {
        let (url, client) = match self.http.url(whose.filter(|_| !hook.global), &hook.url) {
            Ok(asked) => asked,
            Err(refused) => return refusal(&refused),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let request = client.post(url).headers(headers(hook, &body, unix_ms)).body(body);
        match request.send().await {
            Ok(response) => said(response).await,
            Err(error) => self.away(whose, &host, &Failure::from(&error), unix_ms),
        }
    }

    fn away(&self, whose: Option<TenantId>, host: &str, failure: &Failure, unix_ms: i64) -> Answer {
        match failure {
            Failure::Refused(refused) => refusal(refused),
            Failure::Tls(error) => {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.get(&whose).is_none_or(|last| unix_ms.saturating_sub(*last) >= TOLD_MS) {
                    told.insert(whose, unix_ms);
                    let tenant = whose.map(tracing::field::display);
                    tracing::warn!(tenant, host, %error, "a webhook's host cannot be trusted");
                }
                Answer::Away("tls")
            }
            Failure::Timeout => Answer::Away("timeout"),
            Failure::Unreachable | Failure::Broken => Answer::Away("unreachable"),
        }
    }
}

/// The config's own headers first: they replace none of ours.
fn headers(hook: &Hook, body: &str, unix_ms: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for header in &hook.custom_headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_str(&header.value))
        {
            headers.append(name, value);
        }
    }
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", "application/json".to_owned());
    set("x-webhook-request-id", uuid::Uuid::now_v7().simple().to_string());
    set("x-webhook-timestamp", unix_ms.to_string());
    if let Some(key) = hook.hmac.as_ref().and_then(|hmac| hmac.key.as_deref()) {
        set("x-webhook-hmac", waha_signature(key, body));
        set("x-webhook-hmac-algorithm", "sha512".to_owned());
        set("x-wardroom-signature", dated_signature(key, body, unix_ms));
    }
    headers
}

/// WAHA's: hex of the HMAC-SHA512 of the body. It does not cover the time, so it does not tell a replay.
#[must_use]
pub fn waha_signature(key: &str, body: &str) -> String {
    // An HMAC takes a key of any length.
    Hmac::<Sha512>::new_from_slice(key.as_bytes())
        .map(|mac| hex::encode(mac.chain_update(body).finalize().into_bytes()))
        .unwrap_or_default()
}

/// Wardroom's: `t=<milliseconds>,v1=<hex of the HMAC-SHA256 of "<milliseconds>.<body>">`. A receiver that refuses old times
/// cannot be played an old event again.
#[must_use]
pub fn dated_signature(key: &str, body: &str, unix_ms: i64) -> String {
    let signed = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map(|mac| mac.chain_update(format!("{unix_ms}.")).chain_update(body).finalize().into_bytes())
        .map(hex::encode);
    format!("t={unix_ms},v1={}", signed.unwrap_or_default())
}

async fn said(mut response: Response) -> Answer {
    let status = response.status();
    let wait_ms = wait_ms(response.headers().get(RETRY_AFTER));
    let mut read = 0;
    while read < ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read += chunk.len();
    }
    if status.is_success() {
        return Answer::Taken;
    }
    Answer::Refused(Refusal { code: format!("http_{}", status.as_u16()), wait_ms, by_receiver: true })
}

/// How long a receiver wants to be left alone; an hour at most, and not at all when that cannot be read.
fn wait_ms(said: Option<&HeaderValue>) -> u64 {
    let seconds = said.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    seconds.unwrap_or_default().min(3600) * 1000
}

fn refusal(refused: &Refused) -> Answer {
    let code = match refused {
        Refused::NotHttp(_) => "bad_url",
        Refused::Private(_) | Refused::Port(..) | Refused::Outside(_) | Refused::Host(_) => "egress_refused",
    };
    Answer::Refused(Refusal { code: code.to_owned(), wait_ms: RULES_MS, by_receiver: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_to_be_left_alone_is_read_or_refused(said in proptest::collection::vec(b' '..=255, 0..30), seconds: u64) {
            let wait = |said: &[u8]| HeaderValue::from_bytes(said).map_or(0, |said| wait_ms(Some(&said)));
            prop_assert!(wait(&said) <= 3_600_000);
            prop_assert_eq!(wait(seconds.to_string().as_bytes()), seconds.min(3600) * 1000);
        }
    }

    #[test]
    fn signatures_are_those_that_receivers_compute() {
        let body = r#"{"event":"message","session":"default","engine":"WEBJS"}"#;
        assert_eq!(
            waha_signature("my-secret-key", body),
            "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8\
             097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89"
        );
        // openssl dgst -sha256 -hmac my-secret-key over "1700000000000." and the body.
        let dated = dated_signature("my-secret-key", body, 1_700_000_000_000);
        assert_eq!(dated, "t=1700000000000,v1=406c47546facf6d3dc96a17bc95cea299ec123d16170922335fee92428b3e890");
    }

    #[test]
    fn a_config_cannot_replace_our_headers() {
        let hook = serde_json::json!({"url": "http://x/", "hmac": {"key": "k"}, "customHeaders": [
            {"name": "X-Webhook-Hmac", "value": "forged"}, {"name": "X-Mine", "value": "yes"}, {"name": "no good", "value": "x"}]});
        let headers = headers(&serde_json::from_value(hook).unwrap(), "{}", 1);
        assert_eq!((headers["x-webhook-hmac"].len(), headers.get_all("x-webhook-hmac").iter().count()), (128, 1));
        assert!(headers["x-mine"] == "yes" && headers["content-type"] == "application/json");
    }
}
