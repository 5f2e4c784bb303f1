//! Whom the webhook answers: anybody who connects, or only who shows a client certificate of a CA, under one of some
//! names if so wished.
//!
//! Decided once a connection, after its handshake: reviews cost nothing more, and who is not answered is told so, with
//! 401 and before a body is read. Leaves out where CA and names come from.

use std::future::ready;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::http::StatusCode;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::server_config;
use super::{CertStore, ServeError, Shared};
use crate::certificate;
use crate::metrics::Metrics;

/// Whom the webhook answers. Clones share it; a change counts from the next connection on.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    trusted: Arc<ArcSwapOption<Trusted>>,
}

impl Callers {
    /// Answers only who is trusted from now on; `None` is anybody.
    pub fn replace(&self, trusted: Option<Trusted>) {
        self.trusted.store(trusted.map(Arc::new));
    }
}

/// Callers with a client certificate.
#[derive(Debug)]
pub struct Trusted {
    tls: Arc<ServerConfig>,
    names: Vec<String>,
}

impl Trusted {
    /// Those whose certificate a CA of `ca_bundle` (PEM) signed, with one of `names` as common or alternative name; with
    /// no names, all of them. Handshakes present the certificate of `own`.
    ///
    /// # Errors
    /// When the bundle does not parse.
    pub fn new(ca_bundle: &str, names: Vec<String>, own: &CertStore) -> Result<Self, ServeError> {
        let verifier = certificate::client_verifier(ca_bundle)?;
        let tls = server_config(own, verifier)?;
        Ok(Self { tls, names })
    }

    /// Why a caller is not answered that showed these certificates, its own first.
    fn refusal(&self, shown: Option<&[CertificateDer<'_>]>) -> Option<Refusal> {
        let Some(own) = shown.and_then(<[_]>::first) else {
            return Some(Refusal::NoCertificate);
        };
        if self.names.is_empty() {
            return None;
        }
        // One that the handshake let pass does parse.
        let shown = certificate::names(own).unwrap_or_default();
        let is_named = shown.iter().any(|name| self.names.contains(name));
        (!is_named).then_some(Refusal::Name(shown))
    }
}

/// Why a caller is not answered.
#[derive(Debug, Clone)]
enum Refusal {
    NoCertificate,
    /// The names that its certificate has.
    Name(Vec<String>),
}

impl Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Name(_) => "name",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoCertificate => "platform-gate answers callers with a client certificate, and you showed none: the API \
                                    server is given one by the kubeconfig of its AdmissionConfiguration\n"
                .to_owned(),
            Self::Name(shown) => {
                format!("your client certificate is for {shown:?}, and none of that is in callers.names\n")
            }
        }
    }

    /// Answers every request with it.
    fn into_router(self, metrics: Arc<Metrics>) -> Router {
        match &self {
            // Whoever can connect could fill the log.
            Self::NoCertificate => tracing::debug!("a caller without a certificate is refused"),
            Self::Name(shown) => tracing::warn!(
                ?shown,
                "a caller is refused: its certificate has none of callers.names"
            ),
        }
        Router::new().fallback(move || {
            metrics.caller_refused(self.reason());
            ready((StatusCode::UNAUTHORIZED, self.message()))
        })
    }
}

/// Where connections come in: their handshake, and whether they are let in.
pub(super) struct Entrance {
    for_anybody: Arc<ServerConfig>,
    callers: Callers,
    metrics: Arc<Metrics>,
}

impl Entrance {
    pub(super) fn new(shared: &Shared) -> Result<Self, rustls::Error> {
        let unasked = WebPkiClientVerifier::no_client_auth();
        Ok(Self {
            for_anybody: server_config(&shared.certificate, unasked)?,
            callers: shared.callers.clone(),
            metrics: Arc::clone(&shared.metrics),
        })
    }

    /// Shakes hands. What comes with the stream answers a caller that is not let in.
    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<(TlsStream<S>, Option<Router>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Held from here on, so that a change in between is none for this connection.
        let trusted = self.callers.trusted.load_full();
        let tls = trusted.as_ref().map_or(&self.for_anybody, |it| &it.tls);
        let acceptor = TlsAcceptor::from(Arc::clone(tls));
        let stream = acceptor.accept(stream).await;
        let stream = stream.inspect_err(|error| self.count_untrusted(error))?;
        let shown = stream.get_ref().1.peer_certificates();
        let refusal = trusted.and_then(|trusted| trusted.refusal(shown));
        let refusing = refusal.map(|it| it.into_router(Arc::clone(&self.metrics)));
        Ok((stream, refusing))
    }

    /// A certificate of another CA, or one that is over, is none to shake hands with.
    fn count_untrusted(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|it| it.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(_)) = tls {
            self.metrics.caller_refused("untrusted");
        }
    }
}
