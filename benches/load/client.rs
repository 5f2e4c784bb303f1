//! The API server's side: connections over TLS that are kept open, and on each one review after the other.
//!
//! HTTP/1.1 is written by hand, so that the client takes less of the machine than the servers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::{Body, Bytes};
use hyper::Request;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// API servers keep so many idle connections to a webhook.
const CONNECTIONS: usize = 25;
/// With HTTP/2 a few connections carry many calls at once.
const CONNECTIONS_OF_2: usize = 3;
const STREAMS: usize = 16;
/// Where a review asks whether a pod may be.
pub(crate) const VALIDATE: &str = "/validate?timeout=10s";
/// Where it asks what is to be added to it.
pub(crate) const MUTATE: &str = "/mutate?timeout=10s";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Open connections to one server.
pub(crate) struct Client {
    callers: Vec<Caller>,
    path: &'static str,
}

/// What came of some reviews.
pub(crate) struct Sample {
    /// Shortest first.
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time within which this part of the reviews was answered, in milliseconds.
    pub(crate) fn within(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = ((self.latencies.len() as f64 * part).ceil() as usize).clamp(1, last + 1) - 1;
        self.latencies
            .get(at)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

impl Client {
    pub(crate) async fn connect(address: &str, protocol: Protocol) -> Result<Self> {
        let mut callers = Vec::new();
        match protocol {
            Protocol::Http1 => {
                for _ in 0..CONNECTIONS {
                    let stream = connect(address, protocol).await?;
                    callers.push(Caller::Http1(Box::new(Http1::new(stream))));
                }
            }
            Protocol::Http2 => {
                for _ in 0..CONNECTIONS_OF_2 {
                    let stream = TokioIo::new(connect(address, protocol).await?);
                    let (sender, connection) =
                        http2::handshake(TokioExecutor::new(), stream).await?;
                    tokio::spawn(connection);
                    callers.extend((0..STREAMS).map(|_| Caller::Http2(sender.clone())));
                }
            }
        }
        Ok(Self {
            callers,
            path: VALIDATE,
        })
    }

    /// The same, asking something else.
    pub(crate) fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// Sends these reviews in turn, so many in all, and so many a second or as fast as they are answered.
    pub(crate) async fn run(
        &mut self,
        bodies: &[Bytes],
        reviews: usize,
        per_second: Option<f64>,
    ) -> Result<Sample> {
        let next = Arc::new(AtomicUsize::new(0));
        let bodies: Arc<[Bytes]> = bodies.into();
        let began = Instant::now();
        // Waking a client that sleeps costs the server that it waits for, and only the slower one.
        let awake = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let path = self.path;
        let mut tasks = JoinSet::new();
        for mut caller in self.callers.drain(..) {
            let (next, bodies) = (Arc::clone(&next), Arc::clone(&bodies));
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= reviews {
                        return anyhow::Ok((caller, latencies));
                    }
                    let sent = match per_second {
                        Some(rate) => {
                            turn(began + Duration::from_secs_f64(number as f64 / rate)).await
                        }
                        None => Instant::now(),
                    };
                    caller.call(path, &bodies[number % bodies.len()]).await?;
                    latencies.push(sent.elapsed());
                }
            });
        }
        let mut latencies = Vec::with_capacity(reviews);
        while let Some(task) = tasks.join_next().await {
            let (caller, of_caller) = task??;
            self.callers.push(caller);
            latencies.extend(of_caller);
        }
        let elapsed = began.elapsed();
        awake.abort();
        latencies.sort();
        Ok(Sample { latencies, elapsed })
    }
}

/// Waits until a review is due. A review that is late because those before it were slow counts from when it was due.
async fn turn(due: Instant) -> Instant {
    if Instant::now() >= due {
        return due;
    }
    // Timers are no finer than a millisecond; the core is the client's own.
    if let Some(early) = due.checked_sub(Duration::from_millis(2)) {
        tokio::time::sleep_until(early.into()).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
    Instant::now()
}

enum Caller {
    Http1(Box<Http1>),
    Http2(SendRequest<Body>),
}

impl Caller {
    async fn call(&mut self, path: &str, body: &Bytes) -> Result<()> {
        let answer = match self {
            Self::Http1(connection) => connection.call(path, body).await?,
            Self::Http2(sender) => call_http2(sender, path, body).await?,
        };
        let allowed = br#""allowed":true"#;
        let is_allowed = answer.windows(allowed.len()).any(|part| part == allowed);
        ensure!(
            is_allowed,
            "not admitted: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }
}

async fn call_http2(sender: &mut SendRequest<Body>, path: &str, body: &Bytes) -> Result<Bytes> {
    let request = Request::post(format!("https://localhost{path}"))
        .header("content-type", "application/json")
        .body(Body::from(body.clone()))?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == 200, "{}", response.status());
    Ok(axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await?)
}

struct Http1 {
    stream: TlsStream<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Http1 {
    fn new(stream: TlsStream<TcpStream>) -> Self {
        Self {
            stream,
            request: Vec::new(),
            buffer: Vec::new(),
        }
    }

    async fn call(&mut self, path: &str, body: &[u8]) -> Result<Bytes> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: kube-apiserver-admission\r\n\
             content-type: application/json\r\naccept: application/json, */*\r\ncontent-length: {length}\r\n\r\n"
        );
        self.request.clear();
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the server closed the connection");
            if let Some((from, to)) = body_of(&self.buffer)?
                && self.buffer.len() >= to
            {
                return Ok(Bytes::copy_from_slice(&self.buffer[from..to]));
            }
        }
    }
}

/// Where the body of an answer begins and ends, once its head is there.
fn body_of(answer: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .context("no content-length")?;
    Ok(Some((end + 4, end + 4 + length.parse::<usize>()?)))
}

async fn connect(address: &str, protocol: Protocol) -> Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let name = match protocol {
        Protocol::Http1 => "http/1.1",
        Protocol::Http2 => "h2",
    };
    config.alpn_protocols = vec![name.into()];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let host = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config))
        .connect(host, stream)
        .await?)
}

/// Both servers make their own certificates, which nobody vouches for.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
