//! A webhook on loopback and a client that shows every byte it is answered with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use platform_gate::admission::{Answer, ReviewError, parse_review, write_response};
use platform_gate::certificate::{self, Issued};
use platform_gate::webhook::{Addresses, Deadline, Options, Readiness, Server, Shared};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that clients call; the certificates are issued for it.
pub(crate) const NAME: &str = "gate.shop.svc";

/// A running webhook.
pub(crate) struct Gate {
    pub(crate) addresses: Addresses,
    pub(crate) issued: Issued,
    pub(crate) shared: Shared,
    pub(crate) shutdown: oneshot::Sender<()>,
    pub(crate) running: JoinHandle<()>,
}

/// What a caller shows.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Settings under which tests do not wait.
pub(crate) fn options() -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        metrics_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        drain_delay: Duration::ZERO,
        ..Options::default()
    }
}

pub(crate) fn issue() -> Issued {
    certificate::issue(&[NAME.to_owned()], SystemTime::now()).unwrap()
}

/// Starts a webhook that answers by `review`, with a certificate and ready.
pub(crate) async fn start<F, Fut>(options: Options, review: F) -> Gate
where
    F: Fn(Bytes, Deadline) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
{
    start_shared(options, review, shared()).await
}

/// What a webhook and its review function share.
pub(crate) fn shared() -> Shared {
    Shared {
        readiness: Readiness::waiting_for(&["nodes"]),
        ..Shared::default()
    }
}

/// The same with what the review function has a part of.
pub(crate) async fn start_shared<F, Fut>(options: Options, review: F, shared: Shared) -> Gate
where
    F: Fn(Bytes, Deadline) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
{
    let issued = issue();
    shared.certificate.replace(&issued.leaf).unwrap();
    let server = Server::bind(options).await.unwrap();
    let addresses = server.addresses();
    let (shutdown, stopped) = oneshot::channel();
    let review = move |_, body, deadline| review(body, deadline);
    let run = server.run(review, shared.clone(), async {
        let _ = stopped.await;
    });
    Gate {
        addresses,
        issued,
        shared,
        shutdown,
        running: tokio::spawn(async { run.await.unwrap() }),
    }
}

/// Allows what is named `fine`, denies the rest.
pub(crate) async fn by_name(body: Bytes, _: Deadline) -> Result<Vec<u8>, ReviewError> {
    let request = parse_review::<serde::de::IgnoredAny>(&body)?;
    let allowed = &*request.uid == "uid-of-fine";
    let answer = Answer {
        allowed,
        message: "no matching manifest for windows/amd64".into(),
        ..Answer::default()
    };
    Ok(write_response(&request.uid, answer))
}

/// The body of a review of a pod.
pub(crate) fn review_of(name: &str) -> Vec<u8> {
    serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": format!("uid-of-{name}"), "name": name, "operation": "CREATE", "object": {}},
    })
    .to_string()
    .into_bytes()
}

impl Gate {
    /// A TLS connection that trusts the webhook's first CA.
    pub(crate) async fn connect(&self) -> Client<TlsStream<TcpStream>> {
        self.connect_trusting(&self.issued).await.unwrap()
    }

    pub(crate) async fn connect_trusting(
        &self,
        issued: &Issued,
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        self.connect_with(issued, None, rustls::DEFAULT_VERSIONS)
            .await
    }

    /// A TLS connection of one of `versions` that shows a certificate when it is asked for one.
    pub(crate) async fn connect_as(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        self.connect_with(&self.issued, identity, versions).await
    }

    async fn connect_with(
        &self,
        issued: &Issued,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(issued.ca.certificate.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(it) => config
                .with_client_auth_cert(it.chain.clone(), it.key.clone_key())
                .unwrap(),
        };
        let stream = TcpStream::connect(self.addresses.webhook).await?;
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        Ok(Client { stream })
    }

    /// Asks the plain listener.
    pub(crate) async fn health(&self, path: &str) -> Reply {
        let stream = TcpStream::connect(self.addresses.health).await.unwrap();
        Client { stream }.send("GET", path, &[]).await.unwrap()
    }

    pub(crate) fn shut_down(self) -> JoinHandle<()> {
        self.shutdown.send(()).unwrap();
        self.running
    }
}

/// One connection that speaks HTTP/1.1.
pub(crate) struct Client<S> {
    stream: S,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The `response` of the review that the body is.
    pub(crate) fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let mut review: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].take()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn review(&mut self, body: &[u8]) -> Reply {
        self.send("POST", "/validate?timeout=5s", body)
            .await
            .unwrap()
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> std::io::Result<Reply> {
        self.start(method, path, body).await?;
        self.reply().await
    }

    /// Writes the request and leaves the answer for [`Self::reply`].
    pub(crate) async fn start(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> std::io::Result<()> {
        self.announce(method, path, body.len()).await?;
        // A server that has seen enough may stop reading; its answer is what counts.
        let _ = self.stream.write_all(body).await;
        let _ = self.stream.flush().await;
        Ok(())
    }

    /// Writes the request but for its body.
    pub(crate) async fn announce(
        &mut self,
        method: &str,
        path: &str,
        length: usize,
    ) -> std::io::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {NAME}\r\nauthorization: Bearer unexpected\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.flush().await
    }

    pub(crate) async fn reply(&mut self) -> std::io::Result<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    /// Whether the server has closed the connection, awaited.
    pub(crate) async fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
    }
}
