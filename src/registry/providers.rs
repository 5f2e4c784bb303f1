//! Credential providers: the programs that the kubelet asks for registry credentials, by the kubelet's own config file
//! (`kubelet.config.k8s.io/v1 CredentialProviderConfig`, `credentialprovider.kubelet.k8s.io/v1`). This is how the
//! clouds' registries are reached.
//!
//! Leaves out providers that want tokens of service accounts (`tokenAttributes`): they are reported and not asked.

mod config;
mod exec;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::config::Provider;
use self::exec::{CacheKeyType, Failure, ask};
use super::keychain::Keychain;
use super::location::Target;
use crate::domain::reference::Reference;

/// An answer is used for as long at least, even if the provider wants it used once: a review is no pull.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(30);
/// An answer is used for as long at most where its provider fails when it is asked again.
const LONGEST_SPARE: Duration = Duration::from_secs(24 * 3600);
/// How long a failure is not told again.
const QUIET: Duration = Duration::from_secs(3600);
/// How long a provider that failed is not asked again for the same image.
const LIFETIME_OF_FAILURE: Duration = Duration::from_secs(10);
/// Most programs that run at the same time: pod authors choose for how many images they are asked.
const MAX_RUNS: usize = 4;
/// Most answers kept.
const MAX_KEPT: u64 = 4096;

/// The providers of a config file; cheap to clone.
#[derive(Clone)]
pub struct CredentialProviders {
    inner: Arc<Inner>,
}

struct Inner {
    providers: Vec<Provider>,
    /// By provider and image, also while the provider runs.
    by_image: moka::future::Cache<(usize, String), Kept>,
    /// By provider and registry, or `""` for all images.
    shared: moka::sync::Cache<(usize, String), Kept>,
    /// The last answer by provider and image, for when it fails.
    spare: moka::sync::Cache<(usize, String), Keychain>,
    told: moka::sync::Cache<(usize, Failure), ()>,
    runs: Semaphore,
    /// The config file's text and the folder of the programs.
    source: (String, PathBuf),
}

/// Whether they were read from the same text.
impl PartialEq for CredentialProviders {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source == other.inner.source
    }
}

impl std::fmt::Debug for CredentialProviders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialProviders({})", self.inner.providers.len())
    }
}

#[derive(Clone)]
struct Kept {
    keychain: Keychain,
    lifetime: Duration,
}

/// Lets each answer expire by its own lifetime.
struct ByLifetime;

impl moka::Expiry<(usize, String), Kept> for ByLifetime {
    fn expire_after_create(
        &self,
        _: &(usize, String),
        kept: &Kept,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(kept.lifetime)
    }
}

impl CredentialProviders {
    /// Reads a config file; the programs are those of `folder`. A provider that cannot be used is left out and named
    /// in the second value, one sentence each.
    #[must_use]
    pub fn load(config: &Path, folder: &Path) -> (Self, Vec<String>) {
        let text = std::fs::read_to_string(config);
        let (providers, mistakes) = match &text {
            Ok(text) => config::parse(text, folder),
            Err(error) => (Vec::new(), vec![format!("cannot be read: {error}")]),
        };
        let named = mistakes
            .iter()
            .map(|mistake| format!("{}: {mistake}", config.display()));
        let inner = Inner {
            providers,
            by_image: moka::future::Cache::builder()
                .max_capacity(MAX_KEPT)
                .expire_after(ByLifetime)
                .build(),
            shared: moka::sync::Cache::builder()
                .max_capacity(MAX_KEPT)
                .expire_after(ByLifetime)
                .build(),
            spare: moka::sync::Cache::builder()
                .max_capacity(MAX_KEPT)
                .time_to_live(LONGEST_SPARE)
                .build(),
            told: moka::sync::Cache::builder().time_to_live(QUIET).build(),
            runs: Semaphore::new(MAX_RUNS),
            source: (text.unwrap_or_default(), folder.to_owned()),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        (this, named.collect())
    }

    /// What the providers give for an image: one ring, to follow a pod's own secrets. A provider that fails, or is not
    /// done by the deadline, gives nothing; the next caller has what it said.
    pub async fn keychain(&self, reference: &Reference, deadline: Instant) -> Keychain {
        let image = reference.name().to_owned();
        let asked = self
            .asked_for(&image)
            .map(|at| timeout_at(deadline, self.of(at, reference.registry(), &image)));
        let given = futures::future::join_all(asked).await;
        let mut given = given.into_iter().flatten();
        let first = given.next().unwrap_or_default();
        given.fold(first, |keychain, more| keychain.merge(&more))
    }

    /// Whether any of them is asked for an image, whatever it then gives.
    pub(super) fn are_asked_for(&self, reference: &Reference) -> bool {
        self.asked_for(reference.name()).next().is_some()
    }

    fn asked_for(&self, image: &str) -> impl Iterator<Item = usize> {
        let target = Target::parse(image);
        let providers = self.inner.providers.iter().enumerate();
        providers
            .filter(move |(_, provider)| {
                let is_for = |target| provider.patterns.iter().any(|p| p.matches(target));
                target.as_ref().is_some_and(is_for)
            })
            .map(|(at, _)| at)
    }

    async fn of(&self, at: usize, registry: &str, image: &str) -> Keychain {
        if let Some(kept) = self.inner.shared(at, registry) {
            return kept.keychain;
        }
        let inner = Arc::clone(&self.inner);
        let key = (at, image.to_owned());
        let registry = registry.to_owned();
        // The program goes on when its caller has gone.
        let run = tokio::spawn(async move {
            let image = key.1.clone();
            let load = inner.run(at, &registry, &image);
            let entry = inner.by_image.entry(key).or_insert_with(load).await;
            entry.into_value().keychain
        });
        run.await.unwrap_or_default()
    }
}

impl Inner {
    async fn run(&self, at: usize, registry: &str, image: &str) -> Kept {
        let provider = &self.providers[at];
        let _run = self.runs.acquire().await;
        // Who waited for a turn may find that the one before was told for all.
        if let Some(kept) = self.shared(at, registry) {
            return kept;
        }
        let spare = (at, image.to_owned());
        let answer = match ask(provider, image).await {
            Ok(answer) => answer,
            Err(failure) => {
                self.report(at, failure);
                return Kept {
                    keychain: self.spare.get(&spare).unwrap_or_default(),
                    lifetime: LIFETIME_OF_FAILURE,
                };
            }
        };
        let lifetime = answer.lifetime.unwrap_or(provider.default_lifetime);
        let kept = Kept {
            keychain: Keychain::of_provider(&provider.name, answer.logins),
            lifetime: lifetime.max(SHORTEST_LIFETIME),
        };
        self.spare.insert(spare, kept.keychain.clone());
        let shared = match answer.cache_key_type {
            CacheKeyType::Image => None,
            CacheKeyType::Registry => Some(registry),
            CacheKeyType::Global => Some(""),
        };
        if let Some(key) = shared {
            self.shared.insert((at, key.to_owned()), kept.clone());
        }
        kept
    }

    /// What holds for all images of a registry, or for all.
    fn shared(&self, at: usize, registry: &str) -> Option<Kept> {
        let mut keys = [registry, ""].into_iter();
        keys.find_map(|key| self.shared.get(&(at, key.to_owned())))
    }

    fn report(&self, at: usize, failure: Failure) {
        if !self.told.contains_key(&(at, failure)) {
            let provider = &*self.providers[at].name;
            tracing::warn!(provider, %failure, "credential provider gives nothing");
            self.told.insert((at, failure), ());
        }
    }
}

#[cfg(test)]
mod tests;
