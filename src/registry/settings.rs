//! The registry client's settings in their valid form, and what can be wrong with them.
//!
//! Leaves out the YAML they are written in: that is `config`.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

use super::hosts::HostSettings;
use super::operator::OperatorCredentials;
use super::proxy::Proxies;

/// What a [`Registry`](super::Registry) needs to know.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Registries that need more than the defaults, by the host as references write it, `docker.io` or
    /// `registry.example:5000`, or by a longer prefix of the image's name, `docker.io/library`; `*.example` stands for
    /// the hosts below one, and `*` for all others. The longest prefix counts. A host named here, or as a mirror, may have an address that [`EgressPolicy::Cluster`]
    /// otherwise blocks, metadata and link-local addresses excepted.
    pub hosts: BTreeMap<String, HostSettings>,
    /// What every caller's credentials are followed by.
    pub credentials: OperatorCredentials,
    /// Where one of these credentials may be tried, not found, unauthorized and forbidden are called not readable: what a
    /// registry tells the operator of images that neither may read is nothing for tenants (OPERATIONS T3).
    pub hides_refusals: bool,
    /// Which addresses may be connected to.
    pub egress: EgressPolicy,
    /// Through which proxies registries are asked.
    pub proxies: Proxies,
    /// The CAs that registries' certificates are checked against, and no others. May be empty.
    pub roots: Vec<CertificateDer<'static>>,
    /// Longest wait for one connection, its TLS handshake included.
    pub connect_timeout: Duration,
    /// Longest time for one image, all its documents included. It outlives the caller's deadline, so that a slow
    /// answer serves the next caller.
    pub pull_timeout: Duration,
    /// How long a tag's answer is used without asking the registry again.
    pub tag_ttl: Duration,
    /// How old a tag's answer may be and still be given at once, while the registry is asked whether the tag has moved.
    pub tag_stale: Duration,
    /// Most bytes of answers kept.
    pub cache_bytes: u64,
    /// As `cache_bytes`, for the answers that one namespace asked for first.
    pub cache_bytes_per_namespace: u64,
    /// Most images looked up at the same time. Who has to wait does so until its deadline.
    pub max_lookups: usize,
    /// As `max_lookups`, at one registry or mirror.
    pub max_lookups_per_host: usize,
    /// As `max_lookups`, for one namespace; less than at one host, so that none can fill a host alone.
    pub max_lookups_per_namespace: usize,
}

impl RegistrySettings {
    /// The defaults: no host named, no credentials, no proxy, no CA, 2 s to connect, 20 s for an image, tags used unasked for 30 s
    /// and for 10 min while being asked for, 32 MiB of answers and 8 MiB of one namespace's, 256 look-ups at a time, 32 at one host and 24 for one namespace.
    #[must_use]
    pub fn new(egress: EgressPolicy) -> Self {
        Self {
            hosts: BTreeMap::new(),
            credentials: OperatorCredentials::default(),
            hides_refusals: false,
            egress,
            proxies: Proxies::default(),
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(2),
            pull_timeout: Duration::from_secs(20),
            tag_ttl: Duration::from_secs(30),
            tag_stale: Duration::from_secs(600),
            cache_bytes: 32 << 20,
            cache_bytes_per_namespace: 8 << 20,
            max_lookups: 256,
            max_lookups_per_host: 32,
            max_lookups_per_namespace: 24,
        }
    }
}

/// Which addresses may be connected to (OPERATIONS, threats 1-5).
#[derive(Debug, Clone)]
pub enum EgressPolicy {
    /// Any pod author chooses the host: loopback, link-local, metadata and the given networks (those of nodes, pods and
    /// services) are blocked, and HTTPS is required, except for hosts named in the settings.
    Cluster {
        /// The cluster's own networks; [`Registry::deny_networks`](super::Registry::deny_networks) replaces them.
        denied: Vec<IpNet>,
    },
    /// The user chooses the host: loopback is allowed, by plain HTTP too. Link-local and metadata stay blocked.
    Cli,
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A key of `hosts` is no host.
    #[error("registry host {0:?} is not host or host:port")]
    Host(String),
    /// A mirror has a scheme other than the two.
    #[error("mirror {mirror:?} of {host:?} must begin with https:// or http:// and have a host")]
    Mirror {
        /// The registry it is a mirror of.
        host: String,
        /// The URL.
        mirror: String,
    },
    /// A CA file holds no certificate, or one that cannot be read.
    #[error("the CA of registry {host:?} cannot be used: give PEM certificates")]
    Ca {
        /// The registry whose CA it is.
        host: String,
        /// What is wrong with it.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// A client certificate cannot be used.
    #[error(
        "the client certificate of registry {host:?} cannot be used: give PEM of the certificate and its key"
    )]
    Identity {
        /// The registry that it is for.
        host: String,
        /// What is wrong with it.
        #[source]
        source: reqwest::Error,
    },
    /// The HTTP client cannot be built.
    #[error("the registry client cannot be built")]
    Client(#[source] reqwest::Error),
}
