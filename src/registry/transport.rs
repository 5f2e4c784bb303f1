//! One HTTP exchange: the egress guard on every hop, redirects, time and size limits, and what a failure is called.
//!
//! Leaves out who the caller is (`session`) and what the bytes mean (`manifest`).

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use tokio::time::{Instant, timeout};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use url::Url;

use super::breaker::{Breakers, State, Strike};
use super::clients::Clients;
use super::cooldown::Cooldowns;
use super::egress::{Authority, BlockedAddress, Guard, Trust, authority};
use super::hosts::Connection;
use super::known::Known;
use super::measure::{Measures, Rule};
use super::settings::{RegistryError, RegistrySettings};
use crate::domain::lookup::LookupFailure;
use crate::trace;

/// Most redirects followed for one request.
const MAX_REDIRECTS: usize = 3;
/// Most bytes read of an error's body, for nothing but its OCI error code.
const MAX_ERROR_BODY: usize = 16 << 10;
/// Longest wait for the headers of one answer, its connection included. Longer than any review waits, since a registry
/// that fetches an image from another one first is slow once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const FORM: &str = "application/x-www-form-urlencoded";

/// Longest wait for the whole of a body: half of what an image may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for an error's body, whose status tells enough.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Transport {
    guard: Arc<Guard>,
    cooldowns: Arc<Cooldowns>,
    breakers: Arc<Breakers>,
    measures: Measures,
    clients: Clients,
}

pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Sent as the body of a POST, which follows no redirect: it has secrets.
    pub(super) form: Option<String>,
    pub(super) accept: &'a str,
    pub(super) authorization: Option<HeaderValue>,
    /// Further headers, for this host alone.
    pub(super) headers: HeaderMap,
    /// How far the host that leads here is trusted: the settings, until a redirect of a host that they do not name.
    pub(super) led_by: Trust,
}

impl Transport {
    pub(super) fn new(
        guard: Guard,
        settings: &RegistrySettings,
        connections: &HashMap<Authority, (String, Connection)>,
        known: &Known,
    ) -> Result<Self, RegistryError> {
        let guard = Arc::new(guard);
        Ok(Self {
            clients: Clients::new(&guard, settings, connections)?,
            cooldowns: Arc::clone(&known.cooldowns),
            breakers: Arc::clone(&known.breakers),
            measures: known.measures.clone(),
            guard,
        })
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends a request and follows its redirects, a POST's excepted. The answer may have any status.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<'_>,
    ) -> Result<Response, LookupFailure> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_once(&request).await?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            if request.form.is_some() {
                return Err(self.guard.block(Rule::Redirect));
            }
            let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            let next = location.and_then(|l| request.url.join(l).ok());
            let next = next.ok_or(LookupFailure::Malformed)?;
            if request.url.scheme() == "https" && next.scheme() != "https" {
                return Err(self.guard.block(Rule::Redirect));
            }
            if request.url.origin() != next.origin() {
                request.authorization = None;
                request.headers.clear();
            }
            request.led_by = self.guard.trust_after(request.led_by, &request.url);
            request.url = next;
        }
        Err(self.guard.block(Rule::Redirect))
    }

    async fn send_once(self: &Arc<Self>, request: &Request<'_>) -> Result<Response, LookupFailure> {
        self.guard.check_url(&request.url, request.led_by)?;
        let host = authority(&request.url).ok_or(LookupFailure::Blocked)?;
        self.cooldowns.check(&host)?;
        match self.breakers.check(&host) {
            State::In => {}
            State::Out(failure) => return Err(failure),
            State::Probe(failure) => {
                self.probe(request, host);
                return Err(failure);
            }
        }
        let answer = self.exchange(request).await;
        match &answer {
            Ok(answer) => {
                self.cooldowns
                    .note(&host, answer.status(), answer.headers());
                let has_body = request.method != Method::HEAD && answer.status().is_success();
                if answer.status().is_server_error() {
                    self.note_failure(&host, Strike::Answer, LookupFailure::Unreachable);
                } else if !has_body {
                    self.breakers.succeeded(&host);
                }
            }
            Err(Broken { failure, strike }) => {
                if let Some(strike) = strike {
                    self.note_failure(&host, *strike, *failure);
                }
            }
        }
        answer.map_err(|broken| broken.failure)
    }

    /// Reads the body of a success. A host counts as one that answers only when that ends.
    pub(super) async fn read_body(
        &self,
        response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, LookupFailure> {
        let host = authority(response.url());
        let body = match timeout(BODY_TIMEOUT, read_body(response, limit)).await {
            Ok(body) => body,
            Err(_) => Err(LookupFailure::Timeout),
        };
        if let Some(host) = host {
            match &body {
                Ok(_) | Err(LookupFailure::TooLarge) => self.breakers.succeeded(&host),
                Err(LookupFailure::Timeout) => {
                    self.note_failure(&host, Strike::Body, LookupFailure::Timeout);
                }
                Err(_) => {}
            }
        }
        body
    }

    fn note_failure(&self, host: &Authority, strike: Strike, failure: LookupFailure) {
        if self.breakers.failed(host, strike, failure) {
            let (host, reason) = (self.measures.name_of(host), failure.code());
            tracing::info!(%host, reason, "registry does not answer; it is left alone");
        }
    }

    /// Finds out in the background whether a host is back: any answer will do that is no error of its own.
    fn probe(self: &Arc<Self>, request: &Request<'_>, host: Authority) {
        let (this, mut url) = (Arc::clone(self), request.url.clone());
        let led_by = request.led_by;
        url.set_path("/v2/");
        url.set_query(None);
        tokio::spawn(async move {
            let request = Request {
                method: Method::HEAD,
                url,
                form: None,
                accept: "*/*",
                authorization: None,
                headers: HeaderMap::new(),
                led_by,
            };
            match this.exchange(&request).await {
                Ok(answer) if !answer.status().is_server_error() => {
                    let host_name = this.measures.name_of(&host);
                    tracing::info!(host = %host_name, "registry answers again");
                    this.breakers.succeeded(&host);
                }
                Ok(_) => this
                    .breakers
                    .probe_failed(&host, LookupFailure::Unreachable),
                Err(broken) => this.breakers.probe_failed(&host, broken.failure),
            }
        });
    }

    /// One request and the headers of its answer, the guard applied.
    async fn exchange(&self, request: &Request<'_>) -> Result<Response, Broken> {
        let span = self.span_of(request);
        let answer = self.exchange_now(request).instrument(span.clone()).await;
        match &answer {
            Ok(answer) => span.record("http.response.status_code", answer.status().as_u16()),
            Err(broken) => span.record("error.type", broken.failure.code()),
        };
        answer
    }

    /// Says of the URL as much as logs and metrics do: a host that the settings name.
    fn span_of(&self, request: &Request<'_>) -> Span {
        let span = tracing::info_span!(
            target: trace::TARGET,
            "registry request",
            otel.kind = "client",
            http.request.method = request.method.as_str(),
            server.address = Empty,
            http.response.status_code = Empty,
            error.type = Empty,
        );
        if let Some(host) = authority(&request.url).filter(|_| !span.is_disabled()) {
            span.record("server.address", &*self.measures.name_of(&host));
        }
        span
    }

    async fn exchange_now(&self, request: &Request<'_>) -> Result<Response, Broken> {
        let blocked = Broken {
            failure: LookupFailure::Blocked,
            strike: None,
        };
        let trust = self.guard.check_url(&request.url, request.led_by);
        let trust = trust.map_err(|_| blocked)?;
        let host = authority(&request.url).ok_or(blocked)?;
        let is_proxied = self.guard.is_proxied(&request.url);
        let client = self.clients.of(&host, trust, is_proxied);
        let mut call = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .header(ACCEPT, request.accept);
        if let Some(form) = &request.form {
            call = call.header(CONTENT_TYPE, FORM).body(form.clone());
        }
        if let Some(authorization) = &request.authorization {
            call = call.header(AUTHORIZATION, authorization.clone());
        }
        let began = Instant::now();
        let answer = match timeout(ANSWER_TIMEOUT, call.send()).await {
            Ok(answer) => answer.map_err(|error| Broken::from(&error)),
            Err(_) => Err(Broken {
                failure: LookupFailure::Timeout,
                strike: Some(Strike::Answer),
            }),
        };
        let outcome = match &answer {
            Ok(answer) => Ok((answer.status(), answer.headers())),
            Err(broken) => Err(broken.failure),
        };
        self.measures
            .exchanged(&host, &request.method, outcome, began.elapsed());
        answer
    }
}

/// An exchange that brought no answer, and what that says of the host.
#[derive(Debug, Clone, Copy)]
struct Broken {
    failure: LookupFailure,
    strike: Option<Strike>,
}

impl From<&reqwest::Error> for Broken {
    fn from(error: &reqwest::Error) -> Self {
        let failure = classify(error);
        let is_silent = matches!(failure, LookupFailure::Unreachable | LookupFailure::Timeout);
        let strike = if error.is_connect() {
            Strike::Connect
        } else {
            Strike::Answer
        };
        Self {
            failure,
            strike: is_silent.then_some(strike),
        }
    }
}

/// Reads a body of at most `limit` bytes. What a header says of its length is not believed.
async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, LookupFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(LookupFailure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an answer that is no success means. Its body is read for the OCI error code alone.
pub(super) async fn failure_of(response: Response) -> LookupFailure {
    let status = response.status();
    let by_status = match status {
        StatusCode::UNAUTHORIZED => LookupFailure::Unauthorized,
        StatusCode::FORBIDDEN => LookupFailure::Forbidden,
        StatusCode::NOT_FOUND | StatusCode::GONE => LookupFailure::NotFound,
        StatusCode::TOO_MANY_REQUESTS => LookupFailure::RateLimited,
        StatusCode::REQUEST_TIMEOUT => LookupFailure::Timeout,
        _ if status.is_server_error() => LookupFailure::Unreachable,
        _ => LookupFailure::Malformed,
    };
    if !status.is_client_error() {
        return by_status;
    }
    let body = timeout(ERROR_BODY_TIMEOUT, read_body(response, MAX_ERROR_BODY)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let envelope: Option<OciEnvelope> = serde_json::from_slice(&body).ok();
    match envelope
        .and_then(|envelope| envelope.errors.into_iter().next())
        .map(|e| e.code)
    {
        Some(OciErrorCode::Toomanyrequests) => LookupFailure::RateLimited,
        Some(
            OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound
            | OciErrorCode::BlobUnknown,
        ) if by_status == LookupFailure::Malformed => LookupFailure::NotFound,
        _ => by_status,
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What a failed exchange is called. The error itself may quote what a server sent and goes no further.
fn classify(error: &reqwest::Error) -> LookupFailure {
    if error.is_timeout() {
        return LookupFailure::Timeout;
    }
    let mut cause = error.source();
    while let Some(current) = cause {
        if current.is::<BlockedAddress>() {
            return LookupFailure::Blocked;
        }
        if current.is::<rustls::Error>() {
            return LookupFailure::Tls;
        }
        // An I/O error's source is the source of what it wraps: the wrapped error itself would be passed over.
        let io = current.downcast_ref::<std::io::Error>();
        cause = match io.and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    LookupFailure::Unreachable
}
