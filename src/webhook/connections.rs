//! Accepting connections, keeping them within limits, and letting them go without losing a call.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::callers::Entrance;
use super::idle::Activity;
use super::read_ahead::ReadAhead;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// API servers keep idle connections for 90 s. Closing first, in the moment of their next request, loses that call.
/// A header that never ends is idle too; what slow ones can hold is bounded by the number of connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(150);
/// HTTP/2 has no idle limit: peers that are gone are found by pinging them.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to leave the system alone after it could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is spoken below HTTP.
#[derive(Clone)]
pub(super) enum Protocol {
    Plain,
    Tls(Arc<Entrance>),
}

/// A listener that is being served.
pub(super) struct Listener {
    draining: Arc<AtomicBool>,
    stop_accepting: oneshot::Sender<()>,
    accepting: JoinHandle<GracefulShutdown>,
}

impl Listener {
    /// Serves `app` on every connection of `listener`, `limit` at once.
    pub(super) fn start(
        listener: TcpListener,
        protocol: Protocol,
        app: Router,
        limit: usize,
    ) -> Self {
        let draining = Arc::new(AtomicBool::new(false));
        let (stop_accepting, stopped) = oneshot::channel();
        let acceptor = Acceptor {
            protocol,
            app,
            draining: Arc::clone(&draining),
            slots: Arc::new(Semaphore::new(limit)),
            graceful: GracefulShutdown::new(),
        };
        Self {
            draining,
            stop_accepting,
            accepting: tokio::spawn(acceptor.accept_until(listener, stopped)),
        }
    }

    /// From now on every answer closes its connection, so that clients open their next one elsewhere.
    pub(super) fn close_after_each_answer(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Accepts no more, closes what is idle and waits for what is being answered, `grace` at most.
    pub(super) async fn finish(self, grace: Duration) {
        self.close_after_each_answer();
        // Fails only when the task has ended, which is what it asks for.
        let _ = self.stop_accepting.send(());
        let Ok(graceful) = self.accepting.await else {
            return;
        };
        let open = graceful.count();
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                open,
                "connections were still being answered at the end of the grace period"
            );
        }
    }
}

struct Acceptor {
    protocol: Protocol,
    app: Router,
    draining: Arc<AtomicBool>,
    slots: Arc<Semaphore>,
    graceful: GracefulShutdown,
}

impl Acceptor {
    async fn accept_until(
        self,
        listener: TcpListener,
        mut stopped: oneshot::Receiver<()>,
    ) -> GracefulShutdown {
        loop {
            let accepted = tokio::select! {
                // Also when the server is dropped.
                _ = &mut stopped => return self.graceful,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.spawn(stream),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn spawn(&self, stream: TcpStream) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            tracing::warn!("too many connections: closing a new one");
            return;
        };
        let connection = Connection {
            app: self.app.clone(),
            draining: Arc::clone(&self.draining),
            watcher: self.graceful.watcher(),
            _slot: slot,
        };
        tokio::spawn(connection.serve(stream, self.protocol.clone()));
    }
}

/// Errors of one connection pass; a lack of descriptors or memory takes a moment.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections at the moment");
    #[expect(
        clippy::disallowed_methods,
        reason = "the system does not tell when it has descriptors again"
    )]
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

struct Connection {
    app: Router,
    draining: Arc<AtomicBool>,
    watcher: Watcher,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream, protocol: Protocol) {
        // Answers are one write each: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        match protocol {
            Protocol::Plain => self.serve_http(stream, false).await,
            Protocol::Tls(entrance) => {
                let stream = ReadAhead::new(stream);
                match timeout(HANDSHAKE_TIMEOUT, entrance.accept(stream)).await {
                    Ok(Ok((stream, refusal))) => {
                        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        let connection = match refusal {
                            None => self,
                            Some(refusing) => self.refused(refusing),
                        };
                        connection.serve_http(stream, http2).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
    }

    /// Whatever is asked is answered by `refusing`, and a connection of HTTP/1.1, which API servers speak to webhooks, closed,
    /// so that a change of whom we answer counts at the next attempt.
    fn refused(self, refusing: Router) -> Self {
        Self {
            app: refusing,
            draining: Arc::new(AtomicBool::new(true)),
            ..self
        }
    }

    /// The version is known from the handshake, so that no time is spent on finding it out from the first bytes.
    async fn serve_http<S>(self, stream: S, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let draining = self.draining;
        let app = TowerToHyperService::new(self.app);
        let activity = Arc::new(Activity::default());
        let asked = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let answering = asked.begin();
            let close = request.version() <= Version::HTTP_11;
            let answer = app.call(request);
            let draining = Arc::clone(&draining);
            async move {
                let answer = answer.await;
                drop(answering);
                let close = close && draining.load(Ordering::Relaxed);
                if close { answer.map(closing) } else { answer }
            }
        });
        let builder = builder(http2);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let idle = async {
            match http2 {
                true => pending().await,
                false => activity.idle(IDLE_TIMEOUT).await,
            }
        };
        tokio::select! {
            biased;
            ended = self.watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            },
            () = idle => tracing::debug!("a connection was idle and is closed"),
        }
    }
}

fn closing(mut answer: Response<Body>) -> Response<Body> {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

fn builder(http2: bool) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    // Its own limit, for which it would set a timer with every request.
    builder.http1().header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn idle_connections_outlive_those_of_an_api_server() {
        assert!(IDLE_TIMEOUT >= Duration::from_secs(120));
    }

    fn connection(app: Router, graceful: &GracefulShutdown) -> Connection {
        Connection {
            app,
            draining: Arc::default(),
            watcher: graceful.watcher(),
            _slot: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_it_was_idle_and_not_while_it_is_asked() {
        let app = Router::new().route("/", get(|| async { "yes" }));
        let (mut client, server) = duplex(4096);
        let graceful = GracefulShutdown::new();
        let serving = tokio::spawn(connection(app, &graceful).serve_http(server, false));
        let mut answer = [0; 4096];
        for _ in 0..5 {
            tokio::time::advance(IDLE_TIMEOUT * 9 / 10).await;
            let request = b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n";
            client.write_all(request).await.unwrap();
            let read = client.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        let last = Instant::now();
        let closed = timeout(3 * IDLE_TIMEOUT, client.read(&mut answer)).await;
        assert_eq!(closed.unwrap().unwrap(), 0);
        assert!((IDLE_TIMEOUT..=2 * IDLE_TIMEOUT).contains(&last.elapsed()));
        serving.await.unwrap();
    }
}
