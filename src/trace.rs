//! Traces by OTLP over HTTP: spans of reviews, look-ups and the requests that they cost, as parts of the API server's trace.
//!
//! Off unless OpenTelemetry's own variables name a receiver; sampling, headers and the name of the service are set by those
//! variables too. Leaves out what a span is about: whoever does the work opens it under [`TARGET`].

use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::Value;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use url::Url;

/// The target of every span. Logs leave it out.
pub const TARGET: &str = "platform_gate_trace";

/// The variables that name the receiver; the first is for traces alone, and complete.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// Longest wait, at the end of the process, for what was not sent yet.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Why there can be no traces, although they are asked for.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The receiver's address is none.
    #[error(
        "{variable} is {value:?}, which is no address of an OTLP receiver: write it as http://HOST:4318, or unset it"
    )]
    Endpoint {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// The exporter refused its settings.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Sends finished spans in the background; those that it cannot keep up with are dropped.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// As the environment asks for; nothing where it names no receiver.
    ///
    /// # Errors
    /// The receiver's address is no URL.
    pub fn from_env() -> Result<Option<Self>, TraceError> {
        let named = ENDPOINTS.into_iter().find_map(|variable| {
            let value = std::env::var(variable).ok()?;
            (!value.is_empty()).then_some((variable, value))
        });
        let Some((variable, value)) = named else {
            return Ok(None);
        };
        let parsed = Url::parse(&value).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Err(TraceError::Endpoint { variable, value });
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .build()?;
        let mut resource = Resource::builder();
        if std::env::var_os(SERVICE_NAME).is_none() {
            resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
        }
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Some(Self(provider)))
    }

    /// What takes the spans of this program to the receiver.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends what is left; to be called where it may block. A receiver that does not take it is no failure of ours.
    pub fn finish(self) {
        let _ = self.0.shutdown_with_timeout(LAST_SPANS);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// Adds to the span under way, where anybody takes spans: else looking for it is spared.
#[inline]
pub fn record(field: &'static str, value: impl Value) {
    if tracing::span_enabled!(target: TARGET, Level::INFO) {
        Span::current().record(field, value);
    }
}

/// Makes a span that was not entered yet a part of the trace that a request's `traceparent` names, if it does.
pub fn join(span: &Span, headers: &HeaderMap) {
    if !span.is_disabled() {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        // Fails for a span that was entered, or that no layer of ours sees.
        let _ = span.set_parent(context);
    }
}

/// Makes a span that outlives the current one a part of its trace all the same. It has to be opened with `parent: None`: a
/// child keeps its parent from ending.
pub fn follow(span: &Span) {
    if !span.is_disabled() {
        let _ = span.set_parent(Span::current().context());
    }
}
