//! A token server as registries' own are: signs what a user may do, by the scope that is asked for.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use serde_json::json;

use crate::registry::basic;
use crate::support::certificates::TestCa;
use crate::support::registry::{Answer, FakeRegistry, Received};

pub(in crate::registry) struct TokenServer {
    server: FakeRegistry,
    signer: Arc<Signer>,
    /// PEM of the certificate that registries know its signatures by.
    pub(super) certificate: String,
}

struct Signer {
    key: KeyPair,
    certificate: String,
}

impl TokenServer {
    pub(super) async fn start(ca: &TestCa) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(Vec::new())
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let signer = Arc::new(Signer {
            key,
            certificate: STANDARD.encode(certificate.der()),
        });
        let of_server = Arc::clone(&signer);
        let server =
            FakeRegistry::start_tls(&ca.server, move |request| answer(&of_server, request)).await;
        Self {
            server,
            signer,
            certificate: certificate.pem(),
        }
    }

    pub(super) fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// The header of someone who may do everything with a repository.
    pub(super) fn owner(&self, repository: &str) -> String {
        format!(
            "Bearer {}",
            self.signer.sign(repository, &["pull", "push", "delete"])
        )
    }
}

fn answer(signer: &Signer, request: &Received) -> Answer {
    let query = url::form_urlencoded::parse(request.query.as_bytes());
    let scope = query
        .into_iter()
        .find(|(name, _)| name == "scope")
        .map(|(_, scope)| scope);
    let scope = scope.unwrap_or_default();
    let repository = scope.split(':').nth(1).unwrap_or_default();
    let actions: &[&str] = match &request.authorization {
        Some(sent) if *sent == basic("good") => &["pull"],
        Some(_) => return Answer::new(401),
        None if repository.starts_with("open/") => &["pull"],
        None => &[],
    };
    Answer::json(json!({"token": signer.sign(repository, actions), "expires_in": 300}).to_string())
}

impl Signer {
    /// A JSON web token, ES256.
    fn sign(&self, repository: &str, actions: &[&str]) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let access = json!([{"type": "repository", "name": repository, "actions": actions}]);
        let claims = json!({
            "iss": "tests", "sub": "someone", "aud": "tests", "jti": "1",
            "iat": now, "nbf": now - 60, "exp": now + 300,
            "access": if actions.is_empty() { json!([]) } else { access },
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = raw_signature(&self.key.sign(text.as_bytes()).unwrap());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The two numbers of a DER signature of P-256, 32 bytes each.
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut raw = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let digits = &number[number.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - digits.len()));
        raw.extend(digits);
        rest = &rest[2 + length..];
    }
    raw
}
