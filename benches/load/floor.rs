//! The floors: servers of the same TLS and HTTP libraries and settings that answer yes. The lean one reads what a gate
//! cannot do without (`lean`), the bare one no more than the uid and the images, on hyper alone. What platform-gate takes
//! beyond the lean one is platform-gate's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use axum::body::Body;
use clap::ValueEnum;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use platform_gate::certificate;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::lean;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    Lean,
    Bare,
}

/// Serves until the process is killed.
#[expect(clippy::print_stderr, reason = "its log says where it listens")]
pub(crate) fn serve(floor: Floor) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        eprintln!(r#"{{"message":"listening","webhook":"{address}"}}"#);
        let acceptor = TlsAcceptor::from(tls()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            match floor {
                Floor::Lean => {
                    let service = TowerToHyperService::new(lean::router());
                    tokio::spawn(connection(acceptor, stream, service))
                }
                Floor::Bare => tokio::spawn(connection(acceptor, stream, service_fn(answer))),
            };
        }
    })
}

fn tls() -> Result<Arc<ServerConfig>> {
    let now = SystemTime::now();
    let issued = certificate::issue(&["127.0.0.1".to_owned()], now)?;
    let (key, _) = certificate::certified_key(&issued.leaf, now)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

async fn connection<S>(acceptor: TlsAcceptor, stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send + 'static,
{
    // Whoever goes away is no concern of the floor.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let builder = auto::Builder::new(TokioExecutor::new());
    let builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let body = axum::body::to_bytes(Body::new(request.into_body()), 8 << 20).await;
    let body = body.unwrap_or_default();
    let Ok(review) = serde_json::from_slice::<Review<'_>>(&body) else {
        let refused = Response::builder().status(400).body(Body::empty());
        return Ok(refused.unwrap_or_default());
    };
    let Object { spec } = review.request.object;
    let containers = spec.containers.iter().chain(&spec.init_containers);
    let images: usize = containers.map(|container| container.image.len()).sum();
    let answer = answer_to(review.request.uid, images);
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(answer.into()).unwrap_or_default())
}

pub(crate) fn answer_to(uid: &str, images: usize) -> String {
    let allowed = images > 0;
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":{allowed}}}}}"#
    )
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Asked<'a>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    uid: &'a str,
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    containers: Vec<Container<'a>>,
    #[serde(borrow, default)]
    init_containers: Vec<Container<'a>>,
}

#[derive(Deserialize)]
struct Container<'a> {
    image: &'a str,
}
