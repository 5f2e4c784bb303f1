//! What a pod's images are: what is known is taken at once, and registries are asked for the rest, all at a time.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;

use super::{Gate, Terms};
use crate::domain::decision::ResolvedImage;
use crate::domain::image::Image;
use crate::domain::lookup::LookupFailure;
use crate::domain::pod::PodImage;
use crate::domain::reference::Reference;
use crate::domain::verdict::Doubt;
use crate::registry::{Caller, Remembered};

/// What a registry says of an image, or why that is not known.
type Answer = Result<Arc<Image>, Doubt>;

impl Gate {
    /// What the images are: as far as that is known at once, and the others by asking their registries, all at a time.
    pub(super) async fn resolve<'a>(
        &self,
        images: Vec<PodImage<'a>>,
        terms: Terms<'_>,
    ) -> Vec<ResolvedImage<'a>> {
        let (mut resolved, unknown) = self.remember(images, terms.caller);
        if !unknown.is_empty() {
            let asked = unknown.into_iter().map(|(at, reference)| async move {
                (at, self.ask_registry(&reference, terms).await)
            });
            // Boxed: the reviews of pods whose images are known carry no room for it.
            for (at, answer) in Box::pin(join_all(asked)).await {
                resolved[at].answer = answer;
            }
        }
        resolved
    }

    /// What is known of the images without asking anybody, and the positions of the others.
    fn remember<'a>(
        &self,
        images: Vec<PodImage<'a>>,
        caller: Caller<'_>,
    ) -> (Vec<ResolvedImage<'a>>, Vec<(usize, Reference)>) {
        let remembered = self.registry.remembered(caller, Instant::now());
        let mut unknown = Vec::new();
        let mut resolved: Vec<ResolvedImage<'a>> = Vec::with_capacity(images.len());
        for image in images {
            let answer = known_image(&remembered, &image).unwrap_or_else(|reference| {
                unknown.push((resolved.len(), reference));
                Err(Doubt::Lookup(LookupFailure::Internal))
            });
            resolved.push(ResolvedImage { image, answer });
        }
        (resolved, unknown)
    }

    async fn ask_registry(&self, reference: &Reference, terms: Terms<'_>) -> Answer {
        let found =
            self.registry
                .fetch_image_noting(reference, terms.caller, terms.deadline, terms.asked);
        found.await.map_err(Doubt::Lookup)
    }
}

/// What is known of an image without asking anybody, or what to ask for.
fn known_image(remembered: &Remembered<'_>, image: &PodImage<'_>) -> Result<Answer, Reference> {
    match to_look_up(image) {
        Err(doubt) => Ok(Err(doubt)),
        Ok(reference) => match remembered.image(&reference) {
            Some(known) => Ok(known.map_err(Doubt::Lookup)),
            None => Err(reference),
        },
    }
}

/// What an image is looked up by, or why it is not.
pub(super) fn to_look_up(image: &PodImage<'_>) -> Result<Reference, Doubt> {
    if image.never_pulled {
        return Err(Doubt::PullNever);
    }
    Reference::parse(image.image).map_err(|_| Doubt::Lookup(LookupFailure::InvalidReference))
}
