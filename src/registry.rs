//! The registry client: what an image offers, as the node's runtime would find it.
//!
//! Any pod author chooses whom it talks to, so every request passes the egress guard, every answer is bounded and
//! checked against its digest, and credentials stay with the registry they are for. Leaves out the verdict, and where
//! secrets and settings come from.
//!
//! In reading order: a `lookup` asks the `endpoint`s of a reference, each in a `session` over the `transport`; `pull`
//! reads the `manifest`s into an `Image`, which the `cache` keeps.

mod breaker;
mod cache;
mod challenge;
mod clients;
mod cooldown;
mod digest;
mod docker_config;
mod egress;
mod endpoint;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod glob;
mod hosts;
mod hosts_toml;
mod keychain;
mod known;
mod limits;
mod location;
mod lookup;
mod manifest;
mod measure;
mod operator;
mod providers;
mod proxy;
mod pull;
mod registries_conf;
mod routes;
mod session;
mod settings;
mod shares;
mod tags;
mod token;
mod transport;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;
use url::Url;

use self::cache::Key;
use self::egress::{Authority, Guard, Scheme, authority};
use self::endpoint::{check_mirrors, upstream_url};
pub use self::hosts::{Connection, HostSettings, Location, Mirror};
pub use self::hosts_toml::{HostFiles, load_hosts_folder};
pub use self::keychain::{Candidate, Keychain, KeychainError};
use self::known::Known;
pub use self::limits::Caller;
use self::lookup::Lookups;
use self::measure::CacheResult;
pub use self::operator::OperatorCredentials;
pub use self::providers::CredentialProviders;
pub use self::proxy::{Proxies, ProxyError};
pub use self::registries_conf::load_registries_conf;
use self::routes::host_of;
use self::session::Wire;
pub use self::settings::{EgressPolicy, RegistryError, RegistrySettings};
pub use self::tags::Tags;
use self::transport::Transport;
use crate::domain::image::Image;
use crate::domain::lookup::LookupFailure;
use crate::domain::reference::Reference;
use crate::trace;
pub use reqwest::header::HeaderMap;

/// All registries, with what is known of them; cheap to clone.
///
/// The process must have installed a rustls provider before one is made.
#[derive(Clone)]
pub struct Registry {
    lookups: Arc<ArcSwap<Lookups>>,
}

impl Registry {
    /// Builds the client.
    ///
    /// # Errors
    /// Names the setting that cannot work.
    pub fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        let known = Known::new(&settings);
        let lookups = build(settings, known)?;
        Ok(Self {
            lookups: Arc::new(ArcSwap::from_pointee(lookups)),
        })
    }

    /// Goes on with other settings: look-ups that begin from now on follow them, those under way end as they began.
    ///
    /// What is known stays: answers, tokens, hosts that do not answer, and the networks that
    /// [`Registry::deny_networks`] gave. Failures are forgotten, since the new settings may be their cure. The bounds on
    /// look-ups and on the cache stay those of the first settings.
    ///
    /// # Errors
    /// Names the setting that cannot work; the former settings then stay.
    pub async fn reconfigure(&self, mut settings: RegistrySettings) -> Result<(), RegistryError> {
        let before = self.lookups.load_full();
        settings.credentials.keep(&before.credentials);
        let known = before.known.clone();
        let lookups = build(settings, known.clone())?;
        self.lookups.store(Arc::new(lookups));
        known.cache.forget_failures();
        Ok(())
    }

    /// Makes the client's numbers part of a `prometheus_client` registry: requests, durations and open circuits by
    /// registry, what the cache holds and does, and what the egress guard blocked.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        let known = self.lookups.load().known.clone();
        known.measures.clone().register(registry, Arc::new(known));
    }

    /// Replaces the networks that [`EgressPolicy::Cluster`] blocks, as nodes and services come and go.
    pub fn deny_networks(&self, networks: Vec<IpNet>) {
        let lookups = self.lookups.load();
        lookups.known.denied.store(Arc::new(networks));
    }

    /// What an image offers: everything that a verdict needs, from the cache or from its registry.
    ///
    /// A tag's answer of the last minutes is given at once, while the registry is asked whether the tag has moved.
    ///
    /// `caller` is a keychain, or a [`Caller`] whose namespace has its share of look-ups and of the cache. At the
    /// deadline an older answer is given if there is one; what is under way goes on for the next caller.
    ///
    /// # Errors
    /// The reason why it cannot be told. The registry's own words are in none of them.
    pub async fn fetch_image(
        &self,
        reference: &Reference,
        caller: impl Into<Caller<'_>>,
        deadline: Instant,
    ) -> Result<Arc<Image>, LookupFailure> {
        let asked = AtomicBool::default();
        self.fetch_image_noting(reference, caller, deadline, &asked)
            .await
    }

    /// The same, with `asked` set where it was not known before and a registry had to be asked.
    ///
    /// # Errors
    /// As [`Self::fetch_image`].
    pub async fn fetch_image_noting(
        &self,
        reference: &Reference,
        caller: impl Into<Caller<'_>>,
        deadline: Instant,
        asked: &AtomicBool,
    ) -> Result<Arc<Image>, LookupFailure> {
        let caller = caller.into();
        let remembered = self.remembered(caller, Instant::now()).image(reference);
        if let Some(known) = remembered {
            return known;
        }
        let span = tracing::info_span!(target: trace::TARGET, "look-up", cache = Empty, error.type = Empty);
        // Boxed: the reviews of pods whose images are known carry no room for it.
        let found = Box::pin(self.look_up(reference, caller, deadline, asked));
        let found = found.instrument(span.clone()).await;
        if let Err(failure) = &found {
            span.record("error.type", failure.code());
        }
        found
    }

    /// What is kept and still counts at `now`, for this caller.
    #[must_use]
    pub fn remembered<'k>(&self, caller: Caller<'k>, now: Instant) -> Remembered<'k> {
        let lookups = self.lookups.load();
        Remembered {
            is_enough: caller.keychain.is_empty() && !lookups.credentials.are_any(),
            lookups,
            keychain: caller.keychain,
            now,
        }
    }

    async fn look_up(
        &self,
        reference: &Reference,
        caller: Caller<'_>,
        deadline: Instant,
        asked: &AtomicBool,
    ) -> Result<Arc<Image>, LookupFailure> {
        let lookups = self.lookups.load_full();
        let credentials = &lookups.credentials;
        let all = credentials
            .after(caller.keychain, reference, deadline)
            .await;
        let keychain = all.as_ref().unwrap_or(caller.keychain);
        let caller = Caller { keychain, ..caller };
        let key = Key::from(lookups.asked(reference, caller.keychain)?);
        let mut kept = lookups.kept(&key.asked());
        if let Some(fresh) = kept.take_if(|kept| kept.is_fresh()) {
            return lookups.known.hit(fresh);
        }
        let measures = &lookups.known.measures;
        if let Some(image) = lookups.revalidating(&key, kept.as_ref(), caller) {
            measures.cache(CacheResult::Stale);
            trace::record("cache", "stale");
            return Ok(image);
        }
        measures.cache(CacheResult::Miss);
        trace::record("cache", "miss");
        asked.store(true, Ordering::Relaxed);
        let older = kept.and_then(|kept| kept.outcome.ok());
        lookups.wait(&key, older, caller, deadline).await
    }
}

/// What is known at a moment without asking anybody.
pub struct Remembered<'k> {
    lookups: arc_swap::Guard<Arc<Lookups>>,
    /// Credentials make no difference.
    is_enough: bool,
    keychain: &'k Keychain,
    now: Instant,
}

impl Remembered<'_> {
    /// What an image is: of nearly every image of nearly every review. `None` is for [`Registry::fetch_image`] to find
    /// out.
    #[must_use]
    pub fn image(&self, reference: &Reference) -> Option<Result<Arc<Image>, LookupFailure>> {
        if !self.is_enough {
            return None;
        }
        let lookups = &self.lookups;
        let asked = lookups.asked(reference, self.keychain).ok()?;
        let kept = lookups.kept(&asked);
        let kept = kept.filter(|kept| kept.is_fresh_at(self.now))?;
        let failure = kept.outcome.as_ref().err().map(|failure| failure.code());
        let span = tracing::info_span!(target: trace::TARGET, "look-up", cache = Empty, error.type = failure);
        Some(span.in_scope(|| lookups.known.hit(kept)))
    }
}

/// How many entries a manifest has, and `None` where it does not read; for measuring what reading it takes.
#[doc(hidden)]
#[must_use]
pub fn manifest_entries(content_type: Option<&str>, bytes: &[u8]) -> Option<usize> {
    let document = manifest::parse_document(content_type, bytes).ok()?;
    Some(match document.body {
        manifest::Body::Index(entries) => entries.len(),
        _ => 1,
    })
}

/// What follows from the settings, beside what is known.
fn build(settings: RegistrySettings, known: Known) -> Result<Lookups, RegistryError> {
    let mut named = HashMap::new();
    let mut connections = HashMap::new();
    for (prefix, host) in &settings.hosts {
        check_mirrors(prefix, host)?;
        for mirror in &host.mirrors {
            note_named(&mut named, &mirror.url);
            note_connection(&mut connections, prefix, &mirror.url, &mirror.connection);
        }
        if let Some(name) = host_of(prefix) {
            let upstream = upstream_url(name, host.scheme())
                .ok_or_else(|| RegistryError::Host(prefix.clone()))?;
            note_named(&mut named, &upstream);
            note_connection(&mut connections, prefix, &upstream, &host.connection);
        }
    }
    let names = named.keys().map(|host| (host.clone(), label_of(host)));
    let names = names.collect();
    let guard = Guard::new(&settings.egress, named, settings.proxies.clone(), &known);
    let transport = Transport::new(guard, &settings, &connections, &known)?;
    let of = |(name, host): (&String, &HostSettings)| (name.clone(), host.token_hosts.clone());
    let token_hosts = settings.hosts.iter().map(of).collect();
    known.measures.set_names(names);
    let wire = Wire::new(transport, token_hosts, &known);
    Ok(Lookups::new(wire, settings, known))
}

/// Adds a URL of the settings to the hosts that the guard lets pass; plain HTTP said once counts.
fn note_named(named: &mut HashMap<Authority, Scheme>, url: &Url) {
    let Some(authority) = authority(url) else {
        return;
    };
    if url.scheme() == "http" {
        named.insert(authority, Scheme::PlainHttp);
    } else {
        named.entry(authority).or_insert(Scheme::Https);
    }
}

/// Adds what is special about a host's connections; said twice both count.
fn note_connection(
    connections: &mut HashMap<Authority, (String, Connection)>,
    prefix: &str,
    url: &Url,
    connection: &Connection,
) {
    let Some(authority) = authority(url).filter(|_| connection.is_special()) else {
        return;
    };
    let known = connections.remove(&authority).unwrap_or_default();
    let joined = (prefix.to_owned(), known.1.join(connection.clone()));
    connections.insert(authority, joined);
}

/// A host as metrics name it: Docker Hub by the name that people know, and the port only where it is not HTTPS's.
fn label_of((host, port): &Authority) -> Arc<str> {
    match (host.as_str(), port) {
        ("registry-1.docker.io", 443) => "docker.io".into(),
        (host, 443) => host.into(),
        (host, port) => format!("{host}:{port}").into(),
    }
}
