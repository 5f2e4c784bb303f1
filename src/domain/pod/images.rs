//! The images of a pod, wherever it names them.

use super::{Container, PodSpec};
use crate::domain::verdict::Isolation;

/// What carries an image in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodImage<'a> {
    /// Name of the container or volume.
    pub name: &'a str,
    /// Where the reference stands, such as `spec.initContainers[0].image`.
    pub kind: ImageField,
    /// Position in its list.
    pub position: usize,
    /// The image reference as written.
    pub image: &'a str,
    /// Whether the kubelet never pulls it.
    pub never_pulled: bool,
    /// Whether the container shares the Windows host.
    pub host_process: bool,
}

/// The four lists of a pod that name images (OPERATIONS A10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageField {
    /// `spec.initContainers`.
    InitContainer,
    /// `spec.containers`.
    Container,
    /// `spec.ephemeralContainers`.
    EphemeralContainer,
    /// `spec.volumes`.
    Volume,
}

impl ImageField {
    /// All of them, for tests.
    pub const ALL: [Self; 4] = [
        Self::InitContainer,
        Self::Container,
        Self::EphemeralContainer,
        Self::Volume,
    ];
}

impl PodImage<'_> {
    /// The path of the field, such as `spec.containers[0].image`.
    #[must_use]
    pub fn field(&self) -> String {
        let at = self.position;
        match self.kind {
            ImageField::InitContainer => format!("spec.initContainers[{at}].image"),
            ImageField::Container => format!("spec.containers[{at}].image"),
            ImageField::EphemeralContainer => format!("spec.ephemeralContainers[{at}].image"),
            ImageField::Volume => format!("spec.volumes[{at}].image.reference"),
        }
    }

    /// What to call it in a message: `container`, `init container`, `volume`.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self.kind {
            ImageField::InitContainer => "init container",
            ImageField::Container => "container",
            ImageField::EphemeralContainer => "ephemeral container",
            ImageField::Volume => "volume",
        }
    }
}

impl PodSpec<'_> {
    /// Every image of the pod, in the order that the kubelet needs them. Empty references are left out: the API
    /// server accepts them in templates only, where something fills them in later.
    #[must_use]
    pub fn images(&self) -> Vec<PodImage<'_>> {
        let containers = [
            (ImageField::InitContainer, &self.init_containers),
            (ImageField::Container, &self.containers),
            (ImageField::EphemeralContainer, &self.ephemeral_containers),
        ];
        let number = containers.iter().map(|(_, of_kind)| of_kind.len()).sum();
        let mut images = Vec::with_capacity(number);
        for (kind, of_kind) in containers {
            images.extend(self.container_images(kind, of_kind));
        }
        let volumes = self.volumes.iter().enumerate();
        let volumes = volumes.filter(|(_, volume)| !volume.image.reference.is_empty());
        images.extend(volumes.map(|(position, volume)| PodImage {
            name: &volume.name,
            kind: ImageField::Volume,
            position,
            image: &volume.image.reference,
            never_pulled: &*volume.image.pull_policy == "Never",
            host_process: false,
        }));
        images.retain(|image| !image.image.is_empty());
        images
    }

    fn container_images<'s>(
        &'s self,
        kind: ImageField,
        containers: &'s [Container<'_>],
    ) -> impl Iterator<Item = PodImage<'s>> {
        let pod_says = self.security_context.windows_options.host_process;
        let image = move |(position, container): (usize, &'s Container<'_>)| PodImage {
            name: &container.name,
            kind,
            position,
            image: &container.image,
            never_pulled: &*container.image_pull_policy == "Never",
            host_process: container
                .security_context
                .windows_options
                .host_process
                .or(pod_says)
                == Some(true),
        };
        containers.iter().enumerate().map(image)
    }
}

impl PodImage<'_> {
    /// The isolation that the container asks for on Windows; Hyper-V is asked for by RuntimeClass instead.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        if self.host_process {
            Isolation::HostProcess
        } else {
            Isolation::Process
        }
    }
}
