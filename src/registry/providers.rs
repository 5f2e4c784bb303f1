//! Credential providers: the programs that the kubelet asks for registry credentials, by the kubelet's own config file
//! (`kubelet.config.k8s.io/v1 CredentialProviderConfig`, `credentialprovider.kubelet.k8s.io/v1`). This is how the
//! clouds' registries are reached.
//!
//! Leaves out providers that want tokens of service accounts (`tokenAttributes`): they are reported and not asked.

mod config;
mod exec;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::config::Provider;
use self::exec::{CacheKeyType, Failure, ask};
use super::docker_config::LoginEntry;
use super::keychain::Keychain;
use super::location::Target;
use crate::domain::reference::Reference;

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
    runs: Semaphore,
}

#[derive(Clone)]
struct Kept {
    logins: Arc<[LoginEntry]>,
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
        let (providers, mistakes) = match std::fs::read_to_string(config) {
            Ok(text) => config::parse(&text, folder),
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
            runs: Semaphore::new(MAX_RUNS),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        (this, named.collect())
    }

    /// What the providers give for an image: one ring, to follow a pod's own secrets. A provider that fails, or is not
    /// done by the deadline, gives nothing; the next caller has what it said.
    pub async fn keychain(&self, reference: &Reference, deadline: Instant) -> Keychain {
        let image = format!("{}/{}", reference.registry(), reference.repository());
        let Some(target) = Target::parse(&image) else {
            return Keychain::anonymous();
        };
        let providers = self.inner.providers.iter().enumerate();
        let asked = providers
            .filter(|(_, provider)| provider.patterns.iter().any(|p| p.matches(&target)))
            .map(|(at, _)| self.logins(at, reference.registry(), &image));
        let asked = asked.map(|logins| timeout_at(deadline, logins));
        let logins = futures::future::join_all(asked).await;
        let logins = logins.into_iter().flatten().flat_map(|l| l.to_vec());
        Keychain::of_logins(logins.collect())
    }

    async fn logins(&self, at: usize, registry: &str, image: &str) -> Arc<[LoginEntry]> {
        for key in [registry, ""] {
            if let Some(kept) = self.inner.shared.get(&(at, key.to_owned())) {
                return kept.logins;
            }
        }
        let inner = Arc::clone(&self.inner);
        let key = (at, image.to_owned());
        let registry = registry.to_owned();
        // The program goes on when its caller has gone.
        let run = tokio::spawn(async move {
            let image = key.1.clone();
            let load = inner.run(at, &registry, &image);
            let entry = inner.by_image.entry(key).or_insert_with(load).await;
            entry.into_value().logins
        });
        run.await.unwrap_or_default()
    }
}

impl Inner {
    async fn run(&self, at: usize, registry: &str, image: &str) -> Kept {
        let provider = &self.providers[at];
        let _run = self.runs.acquire().await;
        let answer = match ask(provider, image).await {
            Ok(answer) => answer,
            Err(failure) => {
                report(provider, failure);
                return Kept {
                    logins: Arc::default(),
                    lifetime: LIFETIME_OF_FAILURE,
                };
            }
        };
        let kept = Kept {
            logins: answer.logins.into(),
            lifetime: answer.lifetime.unwrap_or(provider.default_lifetime),
        };
        let shared = match answer.cache_key_type {
            CacheKeyType::Image => None,
            CacheKeyType::Registry => Some(registry),
            CacheKeyType::Global => Some(""),
        };
        if let Some(key) = shared.filter(|_| !kept.lifetime.is_zero()) {
            self.shared.insert((at, key.to_owned()), kept.clone());
        }
        kept
    }
}

fn report(provider: &Provider, failure: Failure) {
    let provider = &*provider.name;
    tracing::warn!(provider, %failure, "credential provider gives nothing");
}

#[cfg(test)]
mod tests;
