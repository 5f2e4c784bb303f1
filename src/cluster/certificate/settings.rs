//! What a keeper is told, and what may go wrong with it.

use std::time::Duration;

use super::MAX_ATTEMPTS;
use crate::certificate::CertificateError;

/// Where the certificate is kept and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the Secret and of the Service.
    pub namespace: String,
    /// The Secret: made by the chart and filled here, or provided by others.
    pub secret: String,
    /// The Service through which the API server calls.
    pub service: String,
    /// The webhook configuration whose `caBundle` is kept.
    pub webhook_configuration: String,
    /// The mutating one, where pods are pinned.
    pub mutating_webhook_configuration: Option<String>,
    /// Who makes the certificate.
    pub mode: Mode,
    /// The Lease that the one writer holds.
    pub lease: String,
    /// The name under which this replica holds it.
    pub identity: String,
}

/// Who makes the certificate and publishes its CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// We do both.
    SelfManaged {
        /// How long a new CA is trusted before it is used, and the old one after.
        overlap: Duration,
    },
    /// Others make it, we publish the CA: this bundle, or the `ca.crt` of the Secret.
    Provided {
        /// PEM; `None` takes the Secret's.
        ca_bundle: Option<String>,
    },
    /// cert-manager does both.
    CertManager,
}

impl Settings {
    /// The names under which the Service is called; the API server uses the first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.service, &self.namespace);
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            service.clone(),
        ]
    }
}

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The Secret has gone, or was never made.
    #[error("Secret {0} does not exist: {1}")]
    NoSecret(String, &'static str),
    /// The Secret lacks what it must have.
    #[error("Secret {0} has no {1}")]
    Incomplete(String, &'static str),
    /// What is stored does not serve, and this replica is not the one to write.
    #[error("Secret {0} holds no certificate that serves: waiting for the replica that writes it")]
    Waiting(String),
    /// Others kept writing the Secret.
    #[error("Secret {0} was changed by others {MAX_ATTEMPTS} times in a row: see who writes it")]
    Contended(String),
    /// The API server refused, or did not answer.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What was answered.
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("the API server took too long")]
    Slow,
    /// Certificates could not be issued, or what is stored was refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}
