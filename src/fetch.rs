//! Files that users name by URL.

use crate::egress::{Clients, Egress, Failure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, redirect};
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::domain::ids::TenantId;

/// Why a file could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Our own rules.
    #[error("{0}")]
    Refused(String),
    /// Its host does not answer, or not as it should.
    #[error("the file's host {0}")]
    Failed(String),
}

/// Fetches.
pub struct Fetcher {
    http: Clients,
}

impl Fetcher {
    /// One that gives a file up which takes longer.
    ///
    /// # Errors
    /// When the system has no certificates to trust.
    pub fn new(egress: Arc<Egress>, timeout: Duration) -> reqwest::Result<Self> {
        let like = || {
            Client::builder()
                .user_agent(concat!("Wardroom/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .no_proxy()
                // A connection that is kept may be closed by its host just when the next file is asked for.
                .pool_max_idle_per_host(0)
                .connect_timeout(timeout.min(Duration::from_secs(5)))
                .read_timeout(timeout.min(Duration::from_secs(30)))
                .timeout(timeout)
        };
        Ok(Self { http: Clients::new(egress, like)? })
    }

    /// Begins to fetch what a tenant's URL names; the body is still to come.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn open(&self, tenant: TenantId, url: &str) -> Result<Opened, FetchError> {
        let asked = self.http.url(Some(tenant), url);
        let (url, client) = asked.map_err(|refused| FetchError::Refused(refused.to_string()))?;
        let response = client.get(url).send().await.map_err(|error| failed(&error))?;
        if response.status().is_redirection() {
            return Err(FetchError::Failed("redirects: name the URL that it leads to".to_owned()));
        }
        if !response.status().is_success() {
            return Err(FetchError::Failed(format!("answered {}", response.status().as_u16())));
        }
        Ok(Opened(response))
    }
}

/// A file that is on its way.
pub struct Opened(Response);

impl Opened {
    /// Its kind, as its host calls it.
    #[must_use]
    pub fn mimetype(&self) -> Option<String> {
        self.0.headers().get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
    }

    /// The end of its path.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let name = self.0.url().path_segments()?.next_back()?;
        let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, FetchError> {
        self.0.chunk().await.map_err(|error| failed(&error))
    }
}

fn failed(error: &reqwest::Error) -> FetchError {
    match Failure::from(error) {
        Failure::Refused(refused) => FetchError::Refused(refused.to_string()),
        failure => FetchError::Failed(failure.to_string()),
    }
}
