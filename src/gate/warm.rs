//! Warm-up: looking up the images of pods that run already, so that their successors need no registry.
//!
//! Nobody waits for it, so it is slow on purpose: a few look-ups at a time, and a pause after each. Leaves out listing the
//! pods, which is `cluster`'s.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep};

use super::Gate;
use crate::domain::pod::Pod;
use crate::domain::reference::Reference;
use crate::registry::Caller;

/// Look-ups under way, and how long each of them keeps its place afterwards: some 20 a second at most.
const AT_ONCE: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for an image.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Most images; who runs more has the rest looked up when it is asked for.
const MAX_IMAGES: usize = 10_000;

impl Gate {
    /// Looks up the images of these pods with the credentials that they have, each once for a namespace and its
    /// secrets. Says how many there were, and of how many it is known what they are.
    pub async fn warm_up(&self, pods: &[Pod<'_>]) -> (usize, usize) {
        let mut seen = BTreeSet::new();
        let mut wanted = Vec::new();
        for (at, pod) in pods.iter().enumerate() {
            let (namespace, spec) = (&*pod.metadata.namespace, &pod.spec);
            if self.own_namespace.as_deref() == Some(namespace) {
                continue;
            }
            let secrets = spec.image_pull_secrets.iter().map(|secret| &*secret.name);
            let secrets: Vec<&str> = secrets.collect();
            let images = spec.images().into_iter().filter(|i| !i.never_pulled);
            for image in images {
                let Ok(reference) = Reference::parse(image.image) else {
                    continue;
                };
                let account = &*spec.service_account_name;
                if seen.insert((image.image, namespace, secrets.clone(), account)) {
                    wanted.push((reference, at));
                }
            }
        }
        wanted.truncate(MAX_IMAGES);
        let count = wanted.len();
        let found = futures::stream::iter(wanted)
            .map(|(reference, at)| self.look_up(reference, &pods[at]))
            .buffer_unordered(AT_ONCE)
            .filter(|is_known| std::future::ready(*is_known));
        (count, found.count().await)
    }

    async fn look_up(&self, reference: Reference, pod: &Pod<'_>) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        let namespace = &*pod.metadata.namespace;
        let keychain = self.keychain(namespace, &pod.spec, deadline).await;
        let caller = Caller {
            keychain: &keychain,
            namespace: Some(namespace),
            in_background: true,
        };
        let found = self.registry.fetch_image(&reference, caller, deadline);
        let is_known = found.await.is_ok();
        #[allow(clippy::disallowed_methods, reason = "the pause is the point")]
        sleep(PAUSE).await;
        is_known
    }
}
