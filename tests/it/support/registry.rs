//! A scripted registry on loopback: answers each request by a function, and records what it was asked.
//!
//! Leaves out documents to serve: that is [`super::site`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream::{self, StreamExt};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

/// Serves until it is dropped.
pub(crate) struct FakeRegistry {
    address: SocketAddr,
    scheme: &'static str,
    received: Arc<Mutex<Vec<Received>>>,
    server: tokio::task::JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) accept: String,
    /// `x-test`, a header that the settings of a host add.
    pub(crate) extra: Option<String>,
    /// The names of all its headers, in order.
    pub(crate) headers: Vec<String>,
    /// What a POST brought.
    pub(crate) body: String,
    host: String,
    scheme: &'static str,
}

impl Received {
    /// The base URL that the request was sent to.
    pub(crate) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }
}

/// What to say to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Content,
    company: Option<Arc<Barrier>>,
    delay: Duration,
}

#[derive(Debug, Clone)]
enum Content {
    Whole(Bytes),
    /// This many bytes, made as they are read.
    Long(usize),
    /// Nothing more, ever.
    Stalled,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::Whole(Bytes::new()),
            company: None,
            delay: Duration::ZERO,
        }
    }

    /// Sent when as many answers are due as the barrier waits for.
    pub(crate) fn together(mut self, company: &Arc<Barrier>) -> Self {
        self.company = Some(Arc::clone(company));
        self
    }

    /// An answer that is sent so much later.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Content::Whole(body.into());
        self
    }

    /// A body of this many spaces.
    pub(crate) fn long_body(mut self, length: usize) -> Self {
        self.body = Content::Long(length);
        self
    }

    /// Headers, and then nothing.
    pub(crate) fn stalled_body(mut self) -> Self {
        self.body = Content::Stalled;
        self
    }

    pub(crate) fn json(text: impl Into<String>) -> Self {
        Self::new(200)
            .header("content-type", "application/json")
            .body(text.into())
    }

    /// 401 with these challenges, one header each.
    pub(crate) fn challenge(values: &[&str]) -> Self {
        values.iter().fold(Self::new(401), |answer, value| {
            answer.header("www-authenticate", *value)
        })
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::new(307).header("location", location)
    }

    fn into_response(self) -> Response<Body> {
        const PIECE: usize = 64 << 10;
        let body = match self.body {
            Content::Whole(bytes) => Body::from(bytes),
            Content::Long(length) => {
                let piece = |_| Ok::<_, Infallible>(Bytes::from(vec![b' '; PIECE]));
                Body::from_stream(stream::iter(0..length / PIECE).map(piece))
            }
            Content::Stalled => Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()),
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap()
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

impl FakeRegistry {
    pub(crate) async fn start(
        script: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, Arc::new(script)).await
    }

    pub(crate) async fn start_tls(
        tls: &Arc<ServerConfig>,
        script: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(Arc::clone(tls)), Arc::new(script)).await
    }

    /// As `start_tls`, at this address.
    pub(crate) async fn start_tls_at(
        address: &str,
        tls: &Arc<ServerConfig>,
        script: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self::serve_at(listener, Some(Arc::clone(tls)), Arc::new(script))
    }

    async fn start_with(tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve_at(listener, tls, script)
    }

    fn serve_at(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        script: Arc<Script>,
    ) -> Self {
        super::certificates::install_provider();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let log = Arc::clone(&received);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                match tls.clone().map(TlsAcceptor::from) {
                    None => connections.spawn(serve(stream, scheme, script, log)),
                    Some(acceptor) => connections.spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, scheme, script, log).await;
                        }
                    }),
                };
            }
        });
        Self {
            address,
            scheme,
            received,
            server,
        }
    }

    /// `127.0.0.1:PORT`, for references and the settings.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What was asked so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What was asked so far, as `GET /v2/app/manifests/1`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |r: &Received| format!("{} {}", r.method, r.path);
        self.received.lock().unwrap().iter().map(line).collect()
    }

    /// The `Authorization` headers that arrived.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.received()
            .into_iter()
            .filter_map(|r| r.authorization)
            .collect()
    }

    /// Forgets what was asked so far.
    pub(crate) fn forget(&self) {
        self.received.lock().unwrap().clear();
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve<S>(
    stream: S,
    scheme: &'static str,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Received>>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut received = Received {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            authorization: header("authorization"),
            accept: header("accept").unwrap_or_default(),
            extra: header("x-test"),
            headers: request.headers().keys().map(ToString::to_string).collect(),
            body: String::new(),
            host: header("host").unwrap_or_default(),
            scheme,
        };
        let (log, script) = (Arc::clone(&log), Arc::clone(&script));
        async move {
            let body = axum::body::to_bytes(Body::new(request.into_body()), 64 << 10).await;
            received.body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
            log.lock().unwrap().push(received.clone());
            let answer = script(&received);
            if let Some(company) = &answer.company {
                company.wait().await;
            }
            #[allow(clippy::disallowed_methods, reason = "the delay of a far registry")]
            tokio::time::sleep(answer.delay).await;
            Ok::<_, Infallible>(answer.into_response())
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // A client that goes away is no concern of the test.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
