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
use super::docker_config::{
    IDENTITY_TOKEN, LoginEntry, parse_docker_config, parse_docker_login, parse_dockercfg,
};
use super::location::{Pattern, Target, key_of};
use crate::domain::reference::Reference;

/// Docker Hub's credentials are traditionally filed under this host.
const DEFAULT_REGISTRY_KEY: &str = "index.docker.io";

/// Credentials in the order in which they are tried; cheap to clone.
///
/// A keychain is made of rings. Within a ring the more specific location comes first; rings follow each other, as the
/// kubelet's own credentials follow a pod's.
#[derive(Clone, Default)]
pub struct Keychain {
    rings: Arc<[Arc<[Entry]>]>,
}

#[derive(Clone)]
struct Entry {
    /// Where the credential is for: `*.example.com:5000/team`.
    location: Box<str>,
    /// `None` for a location that no image is at.
    pattern: Option<Pattern>,
    credential: Arc<Credential>,
}

/// A credential that would be tried for an image. Its `Debug` form says nothing.
pub struct Candidate<'a>(&'a Credential);

/// A user name and a password, or an identity token in the password's place. Never printed.
pub(super) struct Credential {
    is_identity_token: bool,
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

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.is_empty())
    }

    /// Reads the content of a pull secret of type `kubernetes.io/dockerconfigjson`, or docker's `config.json`.
    ///
    /// # Errors
    /// Says what is wrong with it, without repeating any of it.
    pub fn from_docker_config_json(bytes: &[u8]) -> Result<Self, KeychainError> {
        parse_docker_config(bytes).map(Self::of_logins)
    }

    /// Reads docker's `config.json` as docker does: identity tokens count, which the kubelet passes over.
    ///
    /// # Errors
    /// As [`Keychain::from_docker_config_json`].
    pub fn from_docker_login(bytes: &[u8]) -> Result<Self, KeychainError> {
        let logins = parse_docker_login(bytes)?;
        Ok(Self::of_ring(logins, |_, username, password| Credential {
            is_identity_token: username == IDENTITY_TOKEN,
            ..Credential::new(username, password)
        }))
    }

    /// Reads the content of a pull secret of the older type `kubernetes.io/dockercfg`.
    ///
    /// # Errors
    /// As [`Keychain::from_docker_config_json`].
    pub fn from_dockercfg(bytes: &[u8]) -> Result<Self, KeychainError> {
        parse_dockercfg(bytes).map(Self::of_logins)
    }

    /// One ring. A location that is no URL is passed over, as the kubelet does.
    pub(super) fn of_logins(logins: Vec<LoginEntry>) -> Self {
        Self::of_ring(logins, |_, username, password| {
            Credential::new(username, password)
        })
    }

    /// One ring of what a program gives, for whoever asks. Its passwords change by the hour and are one identity all the
    /// same, so that what they opened need not be fetched anew with each of them.
    pub(super) fn of_provider(provider: &str, logins: Vec<LoginEntry>) -> Self {
        Self::of_ring(logins, |location, username, password| {
            let mut hash = Sha256::new();
            for part in ["credential provider", provider, location] {
                hash.update(part.len().to_le_bytes());
                hash.update(part);
            }
            Credential {
                identity: hash.finalize().into(),
                ..Credential::new(username, password)
            }
        })
    }

    fn of_ring(
        logins: Vec<LoginEntry>,
        credential: impl Fn(&str, &str, &str) -> Credential,
    ) -> Self {
        let entry = |(location, username, password): LoginEntry| {
            let location = key_of(&location)?;
            Some(Entry {
                pattern: Pattern::parse(&location),
                credential: Arc::new(credential(&location, &username, &password)),
                location: location.into(),
            })
        };
        let mut ring: Vec<Entry> = logins.into_iter().filter_map(entry).collect();
        sort(&mut ring);
        Self {
            rings: [ring.into()].into(),
        }
    }

    /// Puts the secrets of one pod together: locations are then ordered over both, and this keychain's credentials
    /// come first where both have the same one.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let length = self.rings.len().max(other.rings.len());
        let ring = |keychain: &Self, i: usize| match keychain.rings.get(i) {
            Some(ring) => ring.to_vec(),
            None => Vec::new(),
        };
        let merged = (0..length).map(|i| {
            let mut both = ring(self, i);
            both.extend(ring(other, i));
            sort(&mut both);
            both.into()
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

    /// The credentials that the kubelet's keyring gives for an image, in its order: some may be there twice, or empty.
    pub fn candidates(&self, reference: &Reference) -> impl Iterator<Item = Candidate<'_>> {
        let name = reference.name();
        let rings = self.rings.iter();
        rings
            .flat_map(move |ring| matching_in(ring, name))
            .map(|credential| Candidate(credential))
    }

    /// The credentials for `registry/repository`, without tag or digest, each once. An empty one is the anonymous
    /// caller, who is tried last in any case.
    pub(super) fn matching(&self, name: &str) -> Vec<Arc<Credential>> {
        let mut found: Vec<Arc<Credential>> = Vec::new();
        for credential in self.rings.iter().flat_map(|ring| matching_in(ring, name)) {
            let is_known = found
                .iter()
                .any(|known| known.identity == credential.identity);
            if !is_known && !credential.is_empty() {
                found.push(Arc::clone(credential));
            }
        }
        found
    }
}

impl<'a> Candidate<'a> {
    /// The user name.
    #[must_use]
    pub fn username(&self) -> &'a str {
        &self.0.username
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &'a str {
        &self.0.password
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Candidate")
    }
}

/// Whether the same is tried for each image.
impl PartialEq for Keychain {
    fn eq(&self, other: &Self) -> bool {
        let of = |keychain: &Self| -> Vec<Vec<(Box<str>, Identity)>> {
            let entry = |entry: &Entry| (entry.location.clone(), entry.credential.identity);
            let rings = keychain.rings.iter();
            rings.map(|ring| ring.iter().map(entry).collect()).collect()
        };
        of(self) == of(other)
    }
}

/// Says how many, never what.
impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials: usize = self.rings.iter().map(|ring| ring.len()).sum();
        write!(f, "Keychain({credentials} credentials)")
    }
}

/// Reverse order of the locations, so that `quay.io/team` comes before `quay.io`. Stable: equal ones stay in order.
fn sort(ring: &mut [Entry]) {
    ring.sort_by(|a, b| b.location.cmp(&a.location));
}

fn matching_in<'a>(ring: &'a [Entry], name: &str) -> Vec<&'a Arc<Credential>> {
    let of = |fits: &dyn Fn(&Entry) -> bool| -> Vec<&'a Arc<Credential>> {
        let fitting = ring.iter().filter(|entry| fits(entry));
        fitting.map(|entry| &entry.credential).collect()
    };
    let found = match Target::parse(name) {
        Some(target) => of(&|entry| {
            let pattern = entry.pattern.as_ref();
            pattern.is_some_and(|pattern| pattern.matches(&target))
        }),
        None => Vec::new(),
    };
    if found.is_empty() && is_default_registry(name) {
        return of(&|entry| &*entry.location == DEFAULT_REGISTRY_KEY);
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

impl Credential {
    fn new(username: &str, password: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(username.len().to_le_bytes());
        hash.update(username);
        hash.update(password);
        Self {
            is_identity_token: false,
            username: username.into(),
            password: password.into(),
            identity: hash.finalize().into(),
        }
    }

    fn is_empty(&self) -> bool {
        self.username.is_empty() && self.password.is_empty()
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// What a token server takes in exchange for tokens, by POST.
    pub(super) fn identity_token(&self) -> Option<&str> {
        self.is_identity_token.then_some(&*self.password)
    }

    /// The `Authorization` header of the Basic scheme; none for an identity token, which is for token servers alone.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        if self.is_identity_token {
            return None;
        }
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
