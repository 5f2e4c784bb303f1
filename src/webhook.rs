//! The HTTPS server that the API server calls, and the plain one for probes and metrics.
//!
//! Owns sockets, TLS, time limits and the drain. What a review comes to is the caller's function from bytes to bytes;
//! where certificates come from is the caller's too.

mod callers;
mod connections;
mod deadline;
mod health;
mod idle;
mod read_ahead;
mod readiness;
mod review;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::net::TcpListener;

use crate::admission::ReviewError;
use crate::certificate::CertificateError;
use crate::metrics::Metrics;

pub use callers::{Callers, Trusted};
pub use deadline::{Deadline, parse_go_duration};
pub use health::router as health_router;
pub use readiness::Readiness;
pub use review::{MAX_BODY_BYTES, ReviewPath, router};
pub use tls::CertStore;

use callers::Entrance;
use connections::{Listener, Protocol};

/// Where to listen and how long to wait.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the webhook itself (HTTPS).
    pub listen: SocketAddr,
    /// Address of probes and metrics (plain HTTP).
    pub metrics_listen: SocketAddr,
    /// How long to go on serving after shutdown has begun, since API servers keep using the connections they have
    /// until they have seen the endpoint go.
    pub drain_delay: Duration,
    /// How long requests may take to finish after that.
    pub drain_grace: Duration,
    /// Connections held at once; one more is closed at once, since a late answer is worse than none.
    pub max_connections: usize,
    /// Reviews worked on at once; the review function is told of one more that it is to answer at once.
    pub max_in_flight: usize,
    /// The most time a review gets, however long the API server would wait.
    pub max_review: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            metrics_listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            drain_delay: Duration::from_secs(10),
            drain_grace: Duration::from_secs(15),
            max_connections: 4096,
            max_in_flight: 1024,
            max_review: Duration::from_secs(10),
        }
    }
}

/// What the server reads while it runs and its owner changes: the certificate, whom it answers, readiness, metrics.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// The certificate that is presented; handshakes fail while there is none.
    pub certificate: CertStore,
    /// Whom the webhook answers; anybody unless told otherwise.
    pub callers: Callers,
    /// What `/readyz` answers.
    pub readiness: Readiness,
    /// What `/metrics` answers.
    pub metrics: Arc<Metrics>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not ours to take.
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS library refused its own settings.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// What is to vouch for callers cannot.
    #[error(transparent)]
    Callers(#[from] CertificateError),
}

/// A server that is bound and does not answer yet.
#[derive(Debug)]
pub struct Server {
    options: Options,
    https: TcpListener,
    health: TcpListener,
    addresses: Addresses,
}

/// Where a bound server listens, with the ports that the system chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The webhook itself (HTTPS).
    pub webhook: SocketAddr,
    /// Probes and metrics (plain HTTP).
    pub health: SocketAddr,
}

impl Server {
    /// Takes both addresses.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn bind(options: Options) -> Result<Self, ServeError> {
        let (https, webhook) = bind(options.listen, "--listen").await?;
        let (health, health_address) = bind(options.metrics_listen, "--metrics-listen").await?;
        Ok(Self {
            options,
            https,
            health,
            addresses: Addresses {
                webhook,
                health: health_address,
            },
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Answers reviews by `review` until `shutdown` completes, then drains and returns.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub async fn run<F, Fut>(
        self,
        review: F,
        shared: Shared,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        F: Fn(ReviewPath, Bytes, Deadline) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
    {
        let entrance = Entrance::new(&shared)?;
        let app = router(review, &self.options, Arc::clone(&shared.metrics));
        let limit = self.options.max_connections;
        let webhook = Listener::start(self.https, Protocol::Tls(Arc::new(entrance)), app, limit);
        let probes = health_router(shared.readiness.clone(), shared.metrics);
        let health = Listener::start(self.health, Protocol::Plain, probes, limit);

        shutdown.await;
        tracing::info!(delay = ?self.options.drain_delay, "shutting down: no longer ready, serving on for the delay");
        shared.readiness.lost("draining");
        webhook.close_after_each_answer();
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing tells when every API server has seen us go"
        )]
        tokio::time::sleep(self.options.drain_delay).await;
        webhook.finish(self.options.drain_grace).await;
        health.finish(Duration::from_secs(1)).await;
        Ok(())
    }
}

async fn bind(
    address: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind {
        address,
        flag,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
