//! A registry on loopback that serves four published manifest lists, byte for byte, and nothing else.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

const MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Repository, tag and document.
const IMAGES: [(&str, &str, &[u8]); 4] = [
    (
        "library/hello-world",
        "nanoserver",
        include_bytes!("../../../tests/data/images/hello-world-nanoserver.json"),
    ),
    (
        "library/hello-world",
        "nanoserver-sac2016",
        include_bytes!("../../../tests/data/images/hello-world-nanoserver-sac2016.json"),
    ),
    (
        "library/centos",
        "7",
        include_bytes!("../../../tests/data/images/centos-7.json"),
    ),
    (
        "library/centos",
        "6.6",
        include_bytes!("../../../tests/data/images/centos-6.6.json"),
    ),
];

/// Starts the registry; it ends with the process.
pub(super) async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(super::LOOPBACK).await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/v2/{*path}", get(manifest));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// `GET /v2/<repository>/manifests/<tag>`; axum answers HEAD by the same.
async fn manifest(Path(path): Path<String>) -> Response {
    let found = path
        .split_once("/manifests/")
        .and_then(|(repository, tag)| {
            IMAGES
                .iter()
                .find(|image| image.0 == repository && image.1 == tag)
        });
    match found {
        Some((_, _, document)) => {
            ([(header::CONTENT_TYPE, MANIFEST_LIST)], *document).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
