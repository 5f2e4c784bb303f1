//! One HTTP exchange: the egress guard on every hop, redirects, time and size limits, and what a failure is called.
//!
//! Leaves out who the caller is (`session`) and what the bytes mean (`manifest`).

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;

use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use url::Url;

use super::cooldown::Cooldowns;
use super::egress::{Authority, BlockedAddress, Guard, GuardedResolver, Trust, authority};
use super::settings::{RegistryError, RegistrySettings};
use crate::domain::lookup::LookupFailure;

/// Most redirects followed for one request.
const MAX_REDIRECTS: usize = 3;
/// Most bytes read of an error's body, for nothing but its OCI error code.
const MAX_ERROR_BODY: usize = 16 << 10;

pub(super) struct Transport {
    guard: Arc<Guard>,
    cooldowns: Cooldowns,
    unnamed: Client,
    named: Client,
    /// Hosts with CAs of their own.
    by_host: HashMap<Authority, Client>,
}

pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'a str,
    pub(super) authorization: Option<HeaderValue>,
}

impl Transport {
    pub(super) fn new(
        guard: Guard,
        settings: &RegistrySettings,
        host_roots: HashMap<Authority, (String, Vec<u8>)>,
    ) -> Result<Self, RegistryError> {
        let guard = Arc::new(guard);
        let roots = root_certificates(&settings.roots)?;
        let build = |trust, roots| build_client(&guard, trust, settings, roots);
        let mut by_host = HashMap::new();
        for (authority, (host, pem)) in host_roots {
            let mut roots = roots.clone();
            roots.extend(parse_ca(&host, &pem)?);
            by_host.insert(authority, build(Trust::Named, roots)?);
        }
        Ok(Self {
            unnamed: build(Trust::Unnamed, roots.clone())?,
            named: build(Trust::Named, roots)?,
            by_host,
            cooldowns: Cooldowns::new(),
            guard,
        })
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends a GET or HEAD and follows its redirects. The answer may have any status.
    pub(super) async fn send(&self, mut request: Request<'_>) -> Result<Response, LookupFailure> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_once(&request).await?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            let next = location.and_then(|l| request.url.join(l).ok());
            let next = next.ok_or(LookupFailure::Malformed)?;
            if request.url.scheme() == "https" && next.scheme() != "https" {
                return Err(LookupFailure::Blocked);
            }
            if request.url.origin() != next.origin() {
                request.authorization = None;
            }
            request.url = next;
        }
        Err(LookupFailure::Blocked)
    }

    async fn send_once(&self, request: &Request<'_>) -> Result<Response, LookupFailure> {
        let trust = self.guard.check_url(&request.url)?;
        let host = authority(&request.url).ok_or(LookupFailure::Blocked)?;
        self.cooldowns.check(&host)?;
        let client = match trust {
            Trust::Named => self.by_host.get(&host).unwrap_or(&self.named),
            Trust::Unnamed => &self.unnamed,
        };
        let mut call = client
            .request(request.method.clone(), request.url.clone())
            .header(ACCEPT, request.accept);
        if let Some(authorization) = &request.authorization {
            call = call.header(AUTHORIZATION, authorization.clone());
        }
        let answer = call.send().await.map_err(|error| classify(&error))?;
        self.cooldowns
            .note(&host, answer.status(), answer.headers());
        Ok(answer)
    }
}

/// Reads a body of at most `limit` bytes. What a header says of its length is not believed.
pub(super) async fn read_body(
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, LookupFailure> {
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
    let body = read_body(response, MAX_ERROR_BODY)
        .await
        .unwrap_or_default();
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

fn build_client(
    guard: &Arc<Guard>,
    trust: Trust,
    settings: &RegistrySettings,
    roots: Vec<reqwest::Certificate>,
) -> Result<Client, RegistryError> {
    let resolver = GuardedResolver {
        guard: Arc::clone(guard),
        trust,
    };
    Client::builder()
        .user_agent(concat!("platform-gate/", env!("CARGO_PKG_VERSION")))
        .tls_certs_only(roots)
        .dns_resolver(resolver)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(settings.connect_timeout)
        .build()
        .map_err(RegistryError::Client)
}

fn root_certificates(
    roots: &[CertificateDer<'static>],
) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    roots
        .iter()
        .map(|root| reqwest::Certificate::from_der(root).map_err(RegistryError::Client))
        .collect()
}

fn parse_ca(host: &str, pem: &[u8]) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    let unusable = |source| RegistryError::Ca {
        host: host.to_owned(),
        source,
    };
    match reqwest::Certificate::from_pem_bundle(pem) {
        Ok(roots) if roots.is_empty() => Err(unusable(None)),
        Ok(roots) => Ok(roots),
        Err(error) => Err(unusable(Some(error))),
    }
}
