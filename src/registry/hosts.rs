//! What is special about one registry: its mirrors, and how it and they are spoken to.
//!
//! Leaves out the files that say so: those are `hosts_toml` and `registries_conf`, and the settings are `config`'s.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::egress::Scheme;

/// What is special about one registry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSettings {
    /// Asked before the registry itself, in order.
    pub mirrors: Vec<Mirror>,
    /// The registry itself is never asked.
    pub mirrors_only: bool,
    /// Nothing is asked at all.
    pub blocked: bool,
    /// How the registry itself is spoken to.
    pub connection: Connection,
    /// Speak plain HTTP to this host.
    pub plain_http: bool,
    /// Hosts, as `host[:port]`, whose token server this registry may send callers to, besides its own host and the
    /// pairs that are publicly known.
    pub token_hosts: Vec<String>,
}

impl HostSettings {
    /// These, and where they say nothing the other's. Mirrors count as a whole.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (mirrors, mirrors_only) = match self.mirrors.is_empty() {
            true => (other.mirrors, other.mirrors_only),
            false => (self.mirrors, self.mirrors_only),
        };
        Self {
            mirrors,
            mirrors_only,
            blocked: self.blocked || other.blocked,
            connection: self.connection.or(other.connection),
            plain_http: self.plain_http || other.plain_http,
            token_hosts: match self.token_hosts.is_empty() {
                true => other.token_hosts,
                false => self.token_hosts,
            },
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.plain_http {
            Scheme::PlainHttp
        } else {
            Scheme::Https
        }
    }
}

/// A place that has the images of a registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Base URL. `/v2/` is appended to its path, unless `is_api_root`.
    pub url: Url,
    /// The URL's path is that of the API itself (`override_path` of containerd).
    pub is_api_root: bool,
    /// Where the images have another name there; `None` where they have the same.
    pub location: Option<Location>,
    /// Asked for tags.
    pub serves_tags: bool,
    /// Asked for digests.
    pub serves_digests: bool,
    /// Told by `?ns=` which registry is meant, as containerd does.
    pub sends_namespace: bool,
    /// How it is spoken to.
    pub connection: Connection,
}

/// What takes the place of a registry's prefix in an image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The host, `host[:port]`, that credentials are filed under.
    pub host: String,
    /// The beginning of the repository's name; may be empty.
    pub path: String,
}

/// A mirror that serves everything, as containerd's are.
impl From<Url> for Mirror {
    fn from(url: Url) -> Self {
        Self {
            url,
            is_api_root: false,
            location: None,
            serves_tags: true,
            serves_digests: true,
            sends_namespace: true,
            connection: Connection::default(),
        }
    }
}

/// How one host is spoken to, and no other. Its `Debug` form shows no key and no header.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// PEM certificates of further CAs.
    pub ca_pem: Option<Vec<u8>>,
    /// PEM of a client certificate and its key.
    pub identity_pem: Option<Vec<u8>>,
    /// Its certificate is not checked.
    pub skip_verify: bool,
    /// Further headers of each request.
    pub headers: HeaderMap,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("ca", &self.ca_pem.is_some())
            .field("identity", &self.identity_pem.is_some())
            .field("skip_verify", &self.skip_verify)
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl Connection {
    /// A header that is never logged; `None` where the name or the value is none of HTTP.
    #[must_use]
    pub fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }

    /// These, and where they say nothing the other's.
    fn or(self, other: Self) -> Self {
        Self {
            ca_pem: self.ca_pem.or(other.ca_pem),
            identity_pem: self.identity_pem.or(other.identity_pem),
            skip_verify: self.skip_verify || other.skip_verify,
            headers: match self.headers.is_empty() {
                true => other.headers,
                false => self.headers,
            },
        }
    }

    /// Whether it needs an HTTP client of its own.
    pub(super) fn is_special(&self) -> bool {
        self.ca_pem.is_some() || self.identity_pem.is_some() || self.skip_verify
    }

    /// Both together, for a host that is named twice.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.ca_pem = match (self.ca_pem, other.ca_pem) {
            (Some(mut pem), Some(more)) if pem != more => {
                pem.push(b'\n');
                pem.extend(more);
                Some(pem)
            }
            (pem, more) => pem.or(more),
        };
        self.identity_pem = self.identity_pem.or(other.identity_pem);
        self.skip_verify |= other.skip_verify;
        self
    }
}
