//! What all images are: each is asked for once, whoever runs it, many at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::workloads::Workload;
use crate::cli::progress::Progress;
use crate::cluster::pull_secrets::PullSecrets;
use crate::domain::image::Image;
use crate::domain::lookup::LookupFailure;
use crate::domain::pod::PodSpec;
use crate::domain::reference::Reference;
use crate::registry::{Keychain, Registry};
use crate::report::scan::ScannedImage;

/// Images asked for at once, which is what the client allows at one host.
const AT_ONCE: usize = 32;

/// With whose credentials: namespace, pull secrets and ServiceAccount. All the same where nobody's are read.
type Access = (String, Vec<String>, String);

/// What is known of every image.
pub(super) struct Images {
    known: HashMap<(usize, Reference), Result<Arc<Image>, LookupFailure>>,
    accesses: HashMap<Access, usize>,
    with_secrets: bool,
}

/// How images are asked for.
pub(super) struct Source<'a> {
    pub(super) registry: &'a Registry,
    /// The user's own credentials.
    pub(super) keychain: Keychain,
    /// Those of pods.
    pub(super) secrets: Option<PullSecrets>,
    pub(super) timeout: Duration,
}

impl Source<'_> {
    /// Asks for all images of these workloads.
    pub(super) async fn resolve(&self, workloads: &[Workload]) -> Images {
        let mut images = Images {
            known: HashMap::new(),
            accesses: HashMap::new(),
            with_secrets: self.secrets.is_some(),
        };
        let mut wanted: BTreeMap<(usize, String), Reference> = BTreeMap::new();
        for workload in workloads {
            for spec in &workload.variants {
                let next = images.accesses.len();
                let access = images.access(&workload.namespace, spec);
                let access = *images.accesses.entry(access).or_insert(next);
                let pulled = spec
                    .images()
                    .into_iter()
                    .filter(|image| !image.never_pulled);
                for reference in pulled.filter_map(|image| Reference::parse(image.image).ok()) {
                    wanted.insert((access, reference.to_string()), reference);
                }
            }
        }
        let keychains = self.keychains(&images.accesses).await;
        let progress = Progress::new("images looked up", wanted.len());
        let fetch = |((access, _), reference): ((usize, String), Reference)| {
            let keychain = keychains.get(&access).unwrap_or(&self.keychain);
            async move {
                let deadline = Instant::now() + self.timeout;
                let answer = self
                    .registry
                    .fetch_image(&reference, keychain, deadline)
                    .await;
                ((access, reference), answer)
            }
        };
        let mut answers = futures::stream::iter(wanted)
            .map(fetch)
            .buffer_unordered(AT_ONCE);
        while let Some((key, answer)) = answers.next().await {
            images.known.insert(key, answer);
            progress.show(images.known.len());
        }
        images
    }

    /// The credentials of pods, the user's own after them.
    async fn keychains(&self, accesses: &HashMap<Access, usize>) -> HashMap<usize, Keychain> {
        let Some(secrets) = &self.secrets else {
            return HashMap::new();
        };
        let read = |(access, at): (&Access, &usize)| {
            let ((namespace, names, account), at) = (access.clone(), *at);
            async move {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let deadline = Instant::now() + self.timeout;
                let own = secrets
                    .keychain(&namespace, &names, &account, deadline)
                    .await;
                (at, own.followed_by(&self.keychain))
            }
        };
        let reads: Vec<_> = accesses.iter().map(read).collect();
        futures::stream::iter(reads)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }
}

impl Images {
    fn access(&self, namespace: &str, spec: &PodSpec<'_>) -> Access {
        if !self.with_secrets {
            return Access::default();
        }
        let names = spec
            .image_pull_secrets
            .iter()
            .map(|secret| secret.name.to_string());
        (
            namespace.to_owned(),
            names.collect(),
            spec.service_account_name.to_string(),
        )
    }

    /// What is known of an image of a pod.
    pub(super) fn known(
        &self,
        namespace: &str,
        spec: &PodSpec<'_>,
        reference: &Reference,
    ) -> Result<Arc<Image>, LookupFailure> {
        let access = self.accesses.get(&self.access(namespace, spec));
        let found = access.and_then(|access| self.known.get(&(*access, reference.clone())));
        // Whatever was not asked for is not known.
        found.cloned().unwrap_or(Err(LookupFailure::Internal))
    }

    /// All of them by name. One that is told differently to different pods is what the luckiest was told.
    pub(super) fn report(&self) -> Vec<ScannedImage> {
        let mut images: BTreeMap<String, ScannedImage> = BTreeMap::new();
        for ((_, reference), answer) in &self.known {
            let image = reference.to_string();
            let scanned = match answer {
                Ok(found) => ScannedImage {
                    image: image.clone(),
                    platforms: found
                        .offered()
                        .into_iter()
                        .map(ToString::to_string)
                        .collect(),
                    error: None,
                },
                Err(failure) => ScannedImage {
                    image: image.clone(),
                    platforms: Vec::new(),
                    error: Some(failure.explain()),
                },
            };
            let known = images.entry(image).or_insert_with(|| scanned.clone());
            if known.error.is_some() {
                *known = scanned;
            }
        }
        images.into_values().collect()
    }

    /// Whether a registry left something open.
    pub(super) fn any_unknown(&self) -> bool {
        self.known.values().any(Result::is_err)
    }
}
