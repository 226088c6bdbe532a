//! Certificates of the HTTP listener. When their files change they are read again, and connections that begin from then on get
//! the new ones; files that cannot be read change nothing.

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// Files are looked at so often.
const EVERY: Duration = Duration::from_secs(10);

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads a chain and its key from files in PEM.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn open(chain: PathBuf, key: PathBuf) -> anyhow::Result<Arc<Self>> {
        let current = RwLock::new(Arc::new(read(&chain, &key)?));
        Ok(Arc::new(Self { chain, key, current }))
    }

    /// What a listener needs.
    #[must_use]
    pub fn config(self: &Arc<Self>) -> ServerConfig {
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::clone(self) as _)
    }

    fn changed(&self) -> Option<[SystemTime; 2]> {
        let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        Some([changed(&self.chain)?, changed(&self.key)?])
    }

    /// Follows the files for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.changed();
        let mut turn = tokio::time::interval(EVERY);
        loop {
            turn.tick().await;
            let now = self.changed();
            if now.is_none() || now == seen {
                continue;
            }
            seen = now;
            match read(&self.chain, &self.key) {
                Ok(fresh) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    tracing::info!(chain = %self.chain.display(), "took a new certificate");
                }
                Err(error) => tracing::error!("the certificate stays as it was: {error:#}"),
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(chain: &PathBuf, key: &PathBuf) -> anyhow::Result<CertifiedKey> {
    let of = |path: &PathBuf| path.display().to_string();
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.with_context(|| of(chain))?;
    anyhow::ensure!(!certificates.is_empty(), "{} has no certificate", of(chain));
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| of(key))?;
    let provider = CryptoProvider::get_default().context("no TLS provider")?;
    CertifiedKey::from_der(certificates, private, provider)
        .with_context(|| format!("{} and {} do not belong together", of(chain), of(key)))
}
