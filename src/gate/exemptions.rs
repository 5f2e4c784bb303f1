//! What the operator takes out of the judgement, and what the label of a namespace changes: found here, counted and
//! audited by `review`.

use tokio::time::Instant;

use super::Gate;
use crate::cluster::namespaces::Namespaces;
use crate::domain::exemption::{Exemption, ExemptionKind, Exemptions};
use crate::domain::pod::PodImage;
use crate::domain::policy::{ENFORCEMENT_LABEL, NamespaceAction};

impl Gate {
    /// Lets the label of a namespace set the enforcement action of its pods.
    #[must_use]
    pub fn with_namespaces(mut self, namespaces: Namespaces) -> Self {
        self.namespaces = Some(namespaces);
        self
    }

    /// Why nothing in a namespace is judged, if so: by the settings or by its label.
    pub async fn exempt_namespace(&self, name: &str, deadline: Instant) -> Option<Exemption> {
        let by_settings = self.rules.load().exempt.of_namespace(name);
        if by_settings.is_some() {
            return by_settings;
        }
        let label = self.label(Some(name), deadline).await;
        label
            .filter(|action| *action == NamespaceAction::Off)
            .map(by_label)
    }

    /// What the label of a namespace asks for.
    pub(super) async fn label(
        &self,
        namespace: Option<&str>,
        deadline: Instant,
    ) -> Option<NamespaceAction> {
        let namespaces = self.namespaces.as_ref()?;
        namespaces.action(namespace?, deadline).await
    }
}

/// The images that are judged, and what exempts the others.
pub(super) fn part<'a>(
    exempt: &Exemptions,
    images: Vec<PodImage<'a>>,
) -> (Vec<PodImage<'a>>, Vec<Exemption>) {
    let mut exemptions = Vec::new();
    if !exempt.any_images() {
        return (images, exemptions);
    }
    let judged = images.into_iter().filter(|image| {
        let exemption = exempt.of_image(image);
        let is_judged = exemption.is_none();
        exemptions.extend(exemption);
        is_judged
    });
    (judged.collect(), exemptions)
}

/// What the label of the pod's namespace does for it.
pub(super) fn by_label(action: NamespaceAction) -> Exemption {
    Exemption {
        kind: ExemptionKind::NamespaceLabel,
        what: format!(
            "the namespace by its label {ENFORCEMENT_LABEL}={}",
            action.as_str()
        ),
    }
}
