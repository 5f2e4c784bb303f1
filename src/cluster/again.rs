//! Asking the API server again where it closed the connection in the moment of a request.
//!
//! It lets go of a connection that was idle for 90 s, and so do we, so that a request may meet the end of its connection: not often,
//! but a pull secret that is not read for it makes an image unknown. Go's `net/http`, and with it client-go, asks again too.
//! Leaves out answers that ask for patience (429, 503): `kube` heeds those.

use std::error::Error;
use std::io;

use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tower::service_fn;

/// A client that asks again, once, what may be asked twice: a GET whose connection ended before its answer began.
pub(super) fn asking_again(client: Client, default_namespace: String) -> Client {
    let service = service_fn(move |request| {
        let client = client.clone();
        async move { send(&client, request).await }
    });
    Client::new(service, default_namespace)
}

async fn send(client: &Client, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
    let again = again(&request);
    match (client.send(request).await, again) {
        (Err(error), Some(again)) if connection_ended(&error) => {
            tracing::debug!(%error, path = again.uri().path(), "asking the API server again");
            client.send(again).await
        }
        (answer, _) => answer,
    }
}

/// The same request, if it may be sent twice.
fn again(request: &Request<Body>) -> Option<Request<Body>> {
    let is_get = request.method() == Method::GET;
    is_get.then(|| {
        let mut again = Request::new(Body::empty());
        *again.uri_mut() = request.uri().clone();
        again.headers_mut().clone_from(request.headers());
        again.extensions_mut().clone_from(request.extensions());
        again
    })
}

fn connection_ended(error: &kube::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let by_http = error
            .downcast_ref()
            .is_some_and(hyper::Error::is_incomplete_message);
        let by_system = error
            .downcast_ref()
            .is_some_and(|error: &io::Error| matches!(error.kind(), ConnectionReset | BrokenPipe));
        if by_http || by_system {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::api::PostParams;
    use kube::{Api, Config};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::cluster::Freshness;
    use crate::cluster::client::client_for;

    const SECRET: &str = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#;

    /// Reads a request without a body; gives its first line.
    async fn request(connection: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        head.lines().next().unwrap().to_owned()
    }

    async fn answer(connection: &mut TcpStream) {
        let length = SECRET.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(SECRET.as_bytes()).await.unwrap();
    }

    fn secrets_at(listener: &TcpListener) -> Api<Secret> {
        // Fails only when another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = listener.local_addr().unwrap();
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let client = client_for(config, &Freshness::default()).unwrap();
        Api::namespaced(client, "shop")
    }

    /// Answers the first request, closes at the second one, and answers one more on another connection.
    async fn serve() -> (Api<Secret>, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secrets = secrets_at(&listener);
        let serving = tokio::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            let mut asked = vec![request(&mut first).await];
            answer(&mut first).await;
            asked.push(request(&mut first).await);
            drop(first);
            let (mut second, _) = listener.accept().await.unwrap();
            asked.push(request(&mut second).await);
            answer(&mut second).await;
            asked
        });
        (secrets, serving)
    }

    #[tokio::test]
    async fn a_get_is_sent_again_when_its_connection_ends() {
        let (secrets, serving) = serve().await;
        secrets.get("a").await.unwrap();
        secrets.get("b").await.unwrap();
        let asked = serving.await.unwrap();
        assert_eq!(asked[1], "GET /api/v1/namespaces/shop/secrets/b HTTP/1.1");
        assert_eq!(asked[2], asked[1]);
    }

    #[tokio::test]
    async fn what_changes_something_is_not_sent_twice() {
        let (secrets, serving) = serve().await;
        secrets.get("a").await.unwrap();
        let (how, secret) = (PostParams::default(), Secret::default());
        let error = secrets.create(&how, &secret).await.unwrap_err();
        assert!(connection_ended(&error), "{error}");
        secrets.get("b").await.unwrap();
        let asked = serving.await.unwrap();
        assert!(asked[1].starts_with("POST "), "{asked:?}");
        assert!(asked[2].starts_with("GET "), "{asked:?}");
    }

    #[tokio::test]
    async fn a_connection_that_was_refused_has_not_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secrets = secrets_at(&listener);
        drop(listener);
        assert!(!connection_ended(&secrets.get("a").await.unwrap_err()));
    }
}
