//! The certificate that is presented, exchangeable while serving, and the TLS settings around it.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::{self, CertificateError, Pair, Validity};

/// The certificate in use. Clones share it; a new one counts from the next handshake on.
#[derive(Debug, Clone, Default)]
pub struct CertStore {
    current: Arc<ArcSwapOption<Current>>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl CertStore {
    /// Puts a new pair in use; a bad one is refused and what was in use stays.
    ///
    /// # Errors
    /// When the pair does not parse, does not go together, or has expired.
    pub fn replace(&self, pair: &Pair) -> Result<Validity, CertificateError> {
        let (key, validity) = certificate::certified_key(pair, SystemTime::now())?;
        self.current.store(Some(Arc::new(Current {
            key: Arc::new(key),
            validity,
        })));
        Ok(validity)
    }

    /// The validity of the certificate in use; `None` while there is none.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.current.load().as_ref().map(|current| current.validity)
    }
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        current.as_ref().map(|current| Arc::clone(&current.key))
    }
}

/// TLS 1.2 and 1.3 with the certificate of `store`, HTTP/2 and HTTP/1.1 offered.
pub(super) fn server_config(
    store: &CertStore,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(store.clone()));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // API servers keep no sessions, so tickets would be made for nobody.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pair_is_refused_and_the_old_one_stays() {
        let store = CertStore::default();
        assert!(store.validity().is_none());
        let names = ["gate.shop.svc".to_owned()];
        let now = SystemTime::now();
        let one = certificate::issue(&names, now).unwrap().leaf;
        let two = certificate::issue(&names, now).unwrap().leaf;
        store.replace(&one).unwrap();
        let before = store.current.load_full().unwrap();

        let mixed = Pair {
            certificate: two.certificate.clone(),
            key: one.key.clone(),
        };
        assert!(matches!(
            store.replace(&mixed),
            Err(CertificateError::Mismatch(_))
        ));
        assert!(Arc::ptr_eq(&before, &store.current.load_full().unwrap()));

        store.replace(&two).unwrap();
        assert!(!Arc::ptr_eq(&before, &store.current.load_full().unwrap()));
    }
}
