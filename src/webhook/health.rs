//! `/livez`, `/readyz` and `/metrics`, on a plain listener of their own.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Readiness;
use crate::metrics::Metrics;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes of the plain listener. Liveness depends on nothing: a restart cures no registry and no API server.
pub fn router(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route(
            "/readyz",
            get(move || {
                let missing = readiness.missing();
                std::future::ready(readyz(&missing))
            }),
        )
        .route(
            "/metrics",
            get(move || {
                let text = metrics.to_text();
                std::future::ready(([(header::CONTENT_TYPE, OPENMETRICS)], text))
            }),
        )
}

fn readyz(missing: &[&str]) -> impl IntoResponse + use<> {
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let text = format!("not ready: {}\n", missing.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
