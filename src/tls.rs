//! Certificates of the HTTP listener. When their files change they are read again, and connections that begin from then on get
//! the new ones; files that cannot be read change nothing.

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// Files are looked at so often.
const EVERY: Duration = Duration::from_secs(2);

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// When the files were written that it was read from.
    written: Option<[SystemTime; 2]>,
}

fn written(chain: &Path, key: &Path) -> Option<[SystemTime; 2]> {
    let at = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    Some([at(chain)?, at(key)?])
}

impl Certificates {
    /// Reads a chain and its key from files in PEM.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn open(chain: PathBuf, key: PathBuf) -> anyhow::Result<Arc<Self>> {
        let written = written(&chain, &key);
        let current = RwLock::new(Arc::new(read(&chain, &key)?));
        Ok(Arc::new(Self { chain, key, current, written }))
    }

    /// What a listener needs.
    #[must_use]
    pub fn config(self: &Arc<Self>) -> ServerConfig {
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::clone(self) as _)
    }

    /// Follows the files for ever.
    pub async fn follow(self: Arc<Self>) {
        // Those that were taken, and those that could not be: tried again, for their owner or mode may be mended, but told of once.
        let (mut taken, mut bad) = (self.written, None);
        let mut turn = tokio::time::interval(EVERY);
        loop {
            turn.tick().await;
            let now = written(&self.chain, &self.key);
            if now.is_none() || now == taken {
                continue;
            }
            match read(&self.chain, &self.key) {
                Ok(fresh) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    taken = now;
                    tracing::info!(chain = %self.chain.display(), "took a new certificate");
                }
                Err(error) if bad != now => {
                    bad = now;
                    tracing::error!("the certificate stays as it was: {error:#}");
                }
                Err(_) => {}
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(chain: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let of = |path: &Path| path.display().to_string();
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.with_context(|| of(chain))?;
    anyhow::ensure!(!certificates.is_empty(), "{} has no certificate", of(chain));
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| of(key))?;
    let provider = CryptoProvider::get_default().context("no TLS provider")?;
    CertifiedKey::from_der(certificates, private, provider)
        .with_context(|| format!("{} and {} do not belong together", of(chain), of(key)))
}
