//! A CA of the test's own, and a server certificate that it signed.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Makes ring the process's provider, as `main` does.
pub(crate) fn install_provider() {
    // A second call finds it installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A CA and the settings of a server that it vouches for: for loopback and the evil hosts of the tests.
pub(crate) struct TestCa {
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) server: Arc<ServerConfig>,
    /// The same for a server that lets in nobody without a certificate of this CA.
    pub(crate) strict_server: Arc<ServerConfig>,
    /// PEM of a certificate that this CA vouches for, and its key.
    pub(crate) identity: String,
    /// The server with a certificate of this CA whose time is over, and one for another name.
    pub(crate) expired_server: Arc<ServerConfig>,
    pub(crate) misnamed_server: Arc<ServerConfig>,
}

impl TestCa {
    pub(crate) fn new() -> Self {
        install_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names = [
            "127.0.0.1",
            "localhost",
            "evil.test",
            "both.test",
            "rebind.test",
        ];
        let names = names.map(str::to_owned).to_vec();
        let key = KeyPair::generate().unwrap();
        let of_names = CertificateParams::new(names).unwrap();
        let mut expired = of_names.clone();
        (expired.not_before, expired.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let of_others = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
        let [expired_server, misnamed_server] = [expired, of_others].map(|params| {
            let leaf = params.signed_by(&key, &ca).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder().with_no_client_auth();
            Arc::new(
                config
                    .with_single_cert(vec![leaf.der().clone()], key)
                    .unwrap(),
            )
        });
        let leaf = of_names.signed_by(&key, &ca).unwrap();
        let identity = format!("{}{}", leaf.pem(), key.serialize_pem());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = vec![leaf.der().clone()];
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        let strict_server = ServerConfig::builder()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        Self {
            pem: ca.pem(),
            der: ca.der().clone(),
            server: Arc::new(server),
            strict_server: Arc::new(strict_server),
            identity,
            expired_server,
            misnamed_server,
        }
    }
}
