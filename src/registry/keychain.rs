//! `Keychain`: which credentials the kubelet would try for an image, and in which order
//! (`pkg/credentialprovider/keyring.go`).
//!
//! Leaves out where the secrets come from, and sending them: that is `cluster` and `session`.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use sha2::{Digest as _, Sha256};

pub use super::docker_config::KeychainError;
use super::docker_config::parse_docker_config;

/// Docker Hub's credentials are traditionally filed under this host.
const DEFAULT_REGISTRY_KEY: &str = "index.docker.io";

/// Credentials in the order in which they are tried; cheap to clone.
///
/// A keychain is made of rings. Within a ring the more specific location comes first; rings follow each other, as the
/// kubelet's own credentials follow a pod's.
#[derive(Clone, Default)]
pub struct Keychain {
    rings: Arc<[Vec<Entry>]>,
}

#[derive(Clone)]
struct Entry {
    location: Location,
    credential: Arc<Credential>,
}

/// Where a credential is for: `*.example.com:5000/team`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Location(Box<str>);

/// A user name and a password. Never printed.
pub(super) struct Credential {
    username: Box<str>,
    password: Box<str>,
    identity: Identity,
}

/// What tells credentials apart in cache keys.
pub(super) type Identity = [u8; 32];

impl Keychain {
    /// No credentials at all.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads the content of a pull secret: `.dockerconfigjson` or the older `.dockercfg`.
    ///
    /// # Errors
    /// Says what is wrong with the secret, without repeating any of it.
    pub fn from_docker_config_json(bytes: &[u8]) -> Result<Self, KeychainError> {
        let mut ring: Vec<Entry> = parse_docker_config(bytes)?
            .into_iter()
            .map(|(location, username, password)| Entry {
                location: Location::parse(&location),
                credential: Arc::new(Credential::new(&username, &password)),
            })
            .collect();
        sort(&mut ring);
        Ok(Self {
            rings: [ring].into(),
        })
    }

    /// Puts the secrets of one pod together: locations are then ordered over both, and this keychain's credentials
    /// come first where both have the same one.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let length = self.rings.len().max(other.rings.len());
        let ring = |keychain: &Self, i: usize| keychain.rings.get(i).cloned().unwrap_or_default();
        let merged = (0..length).map(|i| {
            let mut both = ring(self, i);
            both.extend(ring(other, i));
            sort(&mut both);
            both
        });
        Self {
            rings: merged.collect(),
        }
    }

    /// This keychain's credentials first, then those of `fallback`, whatever their locations: a cluster-wide default
    /// after the pod's own secrets.
    #[must_use]
    pub fn followed_by(&self, fallback: &Self) -> Self {
        Self {
            rings: self
                .rings
                .iter()
                .chain(fallback.rings.iter())
                .cloned()
                .collect(),
        }
    }

    /// The credentials for `registry/repository`, without tag or digest, each once.
    pub(super) fn matching(&self, name: &str) -> Vec<Arc<Credential>> {
        let mut found: Vec<Arc<Credential>> = Vec::new();
        for credential in self.rings.iter().flat_map(|ring| matching_in(ring, name)) {
            if !found
                .iter()
                .any(|known| known.identity == credential.identity)
            {
                found.push(Arc::clone(credential));
            }
        }
        found
    }
}

/// Says how many, never what.
impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials: usize = self.rings.iter().map(Vec::len).sum();
        write!(f, "Keychain({credentials} credentials)")
    }
}

/// Reverse order of the locations, so that `quay.io/team` comes before `quay.io`. Stable: equal ones stay in order.
fn sort(ring: &mut [Entry]) {
    ring.sort_by(|a, b| b.location.cmp(&a.location));
}

fn matching_in<'a>(ring: &'a [Entry], name: &str) -> Vec<&'a Arc<Credential>> {
    let of = |fits: &dyn Fn(&Location) -> bool| -> Vec<&'a Arc<Credential>> {
        ring.iter()
            .filter(|entry| fits(&entry.location))
            .map(|entry| &entry.credential)
            .collect()
    };
    let found = of(&|location| location.matches(name));
    if found.is_empty() && is_default_registry(name) {
        return of(&|location| &*location.0 == DEFAULT_REGISTRY_KEY);
    }
    found
}

/// `isDefaultRegistryMatch`: the image is Docker Hub's.
fn is_default_registry(name: &str) -> bool {
    match name.split_once('/') {
        None => !name.is_empty(),
        Some(("", _)) => false,
        Some(("docker.io" | "index.docker.io", _)) => true,
        Some((first, _)) => !first.contains(['.', ':']),
    }
}

impl Location {
    /// Drops the scheme and the API version, as in `https://index.docker.io/v1/`.
    fn parse(text: &str) -> Self {
        let text = text
            .strip_prefix("https://")
            .or(text.strip_prefix("http://"))
            .unwrap_or(text);
        let text = text.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = split_path(text);
        let versioned = path.starts_with("/v1/") || path.starts_with("/v2/");
        let path = if versioned { &path[3..] } else { path };
        let path = if path == "/" { "" } else { path };
        Self(format!("{host}{path}").into())
    }

    /// `URLsMatch`: equal ports, a glob for each label of the host, a prefix of the path.
    fn matches(&self, name: &str) -> bool {
        let (glob_host, glob_path) = split_path(&self.0);
        let (host, path) = split_path(name);
        let (glob_host, glob_port) = split_port(glob_host);
        let (host, port) = split_port(host);
        let labels = || glob_host.split('.').zip(host.split('.'));
        glob_port == port
            && glob_host.split('.').count() == host.split('.').count()
            && path.starts_with(glob_path)
            && labels().all(|(glob, label)| matches_glob(glob, label))
    }
}

fn split_path(text: &str) -> (&str, &str) {
    text.split_at(text.find('/').unwrap_or(text.len()))
}

fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port),
        _ => (host, ""),
    }
}

/// `*` stands for any run of characters within one label.
fn matches_glob(glob: &str, label: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else {
        return glob == label;
    };
    let Some(mut label) = label.strip_prefix(start) else {
        return false;
    };
    let mut pieces = rest.split('*').collect::<Vec<_>>();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match label.find(piece) {
            Some(at) => label = &label[at + piece.len()..],
            None => return false,
        }
    }
    label.ends_with(end)
}

impl Credential {
    fn new(username: &str, password: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(username.len().to_le_bytes());
        hash.update(username);
        hash.update(password);
        Self {
            username: username.into(),
            password: password.into(),
            identity: hash.finalize().into(),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The `Authorization` header of the Basic scheme.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let encoded = STANDARD.encode(format!("{}:{}", self.username, self.password));
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// One identity for a list of credentials in their order; `None` for the empty list.
pub(super) fn identity_of<'a>(
    credentials: impl IntoIterator<Item = &'a Arc<Credential>>,
) -> Option<Identity> {
    let mut hash = None::<Sha256>;
    for credential in credentials {
        hash.get_or_insert_default().update(credential.identity);
    }
    hash.map(|hash| hash.finalize().into())
}

#[cfg(test)]
mod tests;
