//! The client of the API server, with limits on how long it waits.

use std::time::Duration;

use hyper::header::{HeaderValue, USER_AGENT};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

use super::again::asking_again;
use super::traffic::{Freshness, MarkTraffic};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a watch lasts, shorter than load balancers keep silent flows.
const READ_TIMEOUT: Duration = Duration::from_secs(230);
const OUR_NAME: &str = concat!("platform-gate/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither in a pod nor with a kubeconfig.
    #[error(
        "found no cluster to talk to: {0}; set KUBECONFIG, run in a pod with a service account token, \
         or give --nodes FILE to do without a cluster"
    )]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The kubeconfig does not have the context, or cannot be read.
    #[error("the context {0:?} of the kubeconfig cannot be used: {1}")]
    Context(String, #[source] KubeconfigError),
    /// The configuration does not make a client.
    #[error("the configuration of the cluster cannot be used: {0}")]
    Unusable(#[source] kube::Error),
}

/// A client for the cluster of the kubeconfig, or of the pod that this runs in, which notes what the watch on nodes
/// brings in `freshness`.
///
/// # Errors
/// When there is no cluster to talk to, or its certificates do not parse. Nothing is sent yet.
pub async fn connect(freshness: &Freshness) -> Result<Client, ConnectError> {
    let config = Config::infer().await?;
    client_for(config, freshness).map_err(ConnectError::Unusable)
}

/// As [`connect`], for a context of the kubeconfig instead of the current one.
///
/// # Errors
/// As [`connect`], and when there is no such context.
pub async fn connect_to(
    context: Option<&str>,
    freshness: &Freshness,
) -> Result<Client, ConnectError> {
    let Some(context) = context else {
        return connect(freshness).await;
    };
    let options = KubeConfigOptions {
        context: Some(context.to_owned()),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_kubeconfig(&options).await;
    let config = config.map_err(|error| ConnectError::Context(context.to_owned(), error))?;
    client_for(config, freshness).map_err(ConnectError::Unusable)
}

/// A client for the cluster of `config`.
///
/// # Errors
/// When the certificates in `config` do not parse.
pub fn client_for(mut config: Config, freshness: &Freshness) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // The limit is for an answer, not for the time that the connection lay idle before.
    config.reset_reader_on_write = true;
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static(OUR_NAME)));
    let default_namespace = config.default_namespace.clone();
    let builder = ClientBuilder::try_from(config)?;
    let client = builder.with_layer(&MarkTraffic::new(freshness)).build();
    Ok(asking_again(client, default_namespace))
}
