//! A CA of the test's own, and a server certificate that it signed.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Makes ring the process's provider, as `main` does.
pub(crate) fn install_provider() {
    // A second call finds it installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A CA and the settings of a server for `127.0.0.1` and `localhost` that it vouches for.
pub(crate) struct TestCa {
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) server: Arc<ServerConfig>,
}

impl TestCa {
    pub(crate) fn new() -> Self {
        install_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Self {
            pem: ca.pem(),
            der: ca.der().clone(),
            server: Arc::new(server),
        }
    }
}
