//! The lean v1 Pod: its images and what places it. Everything else of the object is skipped unread, and text is
//! borrowed from the request where JSON allows it.
//!
//! Leaves out matching it against nodes (`placement`).

mod images;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::text::Text;

pub use images::{ImageField, PodImage};

/// Text by text, such as labels.
pub type TextMap<'a> = BTreeMap<Text<'a>, Text<'a>>;

/// A v1 Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pod<'a> {
    /// Name and owner.
    #[serde(borrow, deserialize_with = "or_default")]
    pub metadata: PodMetadata<'a>,
    /// What runs, and where it may.
    #[serde(borrow, deserialize_with = "or_default")]
    pub spec: PodSpec<'a>,
}

/// The part of a Pod's metadata that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodMetadata<'a> {
    /// The pod's name; empty where the API server is to make one.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What the API server makes a name from.
    #[serde(borrow)]
    pub generate_name: Text<'a>,
    /// The namespace.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Whether the pod carries the annotation of a mirror pod, the API's image of a static pod.
    #[serde(rename = "annotations", deserialize_with = "has_mirror_annotation")]
    pub is_mirror: bool,
    /// Who made the pod.
    #[serde(borrow, deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

/// A v1 OwnerReference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    /// Its API version, such as `apps/v1`.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// `ReplicaSet`, `DaemonSet`, `Job`.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Its uid.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Whether it is the managing controller.
    #[serde(deserialize_with = "or_default")]
    pub controller: bool,
}

/// The part of a PodSpec that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec<'a> {
    /// Containers.
    #[serde(borrow, deserialize_with = "or_default")]
    pub containers: Vec<Container<'a>>,
    /// Init containers, sidecars among them.
    #[serde(borrow, deserialize_with = "or_default")]
    pub init_containers: Vec<Container<'a>>,
    /// Ephemeral containers.
    #[serde(borrow, deserialize_with = "or_default")]
    pub ephemeral_containers: Vec<Container<'a>>,
    /// Volumes, of which image volumes count.
    #[serde(borrow, deserialize_with = "or_default")]
    pub volumes: Vec<Volume<'a>>,
    /// The node that the pod is bound to.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// Labels that a node must carry.
    #[serde(borrow, deserialize_with = "or_default")]
    pub node_selector: TextMap<'a>,
    /// Affinity, of which the required node affinity counts.
    #[serde(borrow, deserialize_with = "or_default")]
    pub affinity: Affinity<'a>,
    /// Taints that the pod tolerates.
    #[serde(borrow, deserialize_with = "or_default")]
    pub tolerations: Vec<Toleration<'a>>,
    /// The operating system that the pod's author states.
    #[serde(borrow, deserialize_with = "or_default")]
    pub os: PodOs<'a>,
    /// RuntimeClass.
    #[serde(borrow)]
    pub runtime_class_name: Text<'a>,
    /// Of which `windowsOptions.hostProcess` counts.
    #[serde(deserialize_with = "or_default")]
    pub security_context: SecurityContext,
    /// Secrets with registry credentials.
    #[serde(borrow, deserialize_with = "or_default")]
    pub image_pull_secrets: Vec<LocalObjectReference<'a>>,
    /// Whose pull secrets count too.
    #[serde(borrow)]
    pub service_account_name: Text<'a>,
}

/// A container of any of the three kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container<'a> {
    /// The container's name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The image reference as written.
    #[serde(borrow)]
    pub image: Text<'a>,
    /// `Always`, `IfNotPresent` or `Never`.
    #[serde(borrow)]
    pub image_pull_policy: Text<'a>,
    /// Of which `windowsOptions.hostProcess` counts.
    #[serde(deserialize_with = "or_default")]
    pub security_context: SecurityContext,
}

/// A volume, if it is an image volume (KEP-4639).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Volume<'a> {
    /// The volume's name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The image; absent in other volumes.
    #[serde(borrow, deserialize_with = "or_default")]
    pub image: ImageVolume<'a>,
}

/// The image of an image volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImageVolume<'a> {
    /// The image reference as written.
    #[serde(borrow)]
    pub reference: Text<'a>,
    /// `Always`, `IfNotPresent` or `Never`.
    #[serde(borrow)]
    pub pull_policy: Text<'a>,
}

/// v1 Affinity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Affinity<'a> {
    /// Node affinity; pod affinity is not read.
    #[serde(borrow, deserialize_with = "or_default")]
    pub node_affinity: NodeAffinity<'a>,
}

/// v1 NodeAffinity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeAffinity<'a> {
    /// The required terms. `None` where there is no requirement; no terms at all match no node.
    #[serde(borrow)]
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector<'a>>,
}

/// v1 NodeSelector: terms that are ORed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSelector<'a> {
    /// The terms.
    #[serde(borrow, deserialize_with = "or_default")]
    pub node_selector_terms: Vec<NodeSelectorTerm<'a>>,
}

/// v1 NodeSelectorTerm: requirements that are ANDed. A term without any matches no node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSelectorTerm<'a> {
    /// Requirements on labels.
    #[serde(borrow, deserialize_with = "or_default")]
    pub match_expressions: Vec<NodeSelectorRequirement<'a>>,
    /// Requirements on fields; `metadata.name` is the only one there is.
    #[serde(borrow, deserialize_with = "or_default")]
    pub match_fields: Vec<NodeSelectorRequirement<'a>>,
}

/// v1 NodeSelectorRequirement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSelectorRequirement<'a> {
    /// Label key or field.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    #[serde(borrow)]
    pub operator: Text<'a>,
    /// Values.
    #[serde(borrow, deserialize_with = "or_default")]
    pub values: Vec<Text<'a>>,
}

/// v1 Toleration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Toleration<'a> {
    /// The taint's key; empty with `Exists` tolerates every key.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// `Equal` (also when empty), `Exists`, `Lt` or `Gt`.
    #[serde(borrow)]
    pub operator: Text<'a>,
    /// The taint's value.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// The taint's effect; empty tolerates every effect.
    #[serde(borrow)]
    pub effect: Text<'a>,
}

/// v1 PodOS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodOs<'a> {
    /// `linux` or `windows`.
    #[serde(borrow)]
    pub name: Text<'a>,
}

/// The part of a security context that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityContext {
    /// Windows options.
    #[serde(deserialize_with = "or_default")]
    pub windows_options: WindowsOptions,
}

/// v1 WindowsSecurityContextOptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WindowsOptions {
    /// Whether the container shares the host; absent in a container means what the pod says.
    pub host_process: Option<bool>,
}

/// v1 LocalObjectReference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LocalObjectReference<'a> {
    /// The object's name.
    #[serde(borrow)]
    pub name: Text<'a>,
}

impl Toleration<'_> {
    /// The same, independent of the request.
    #[must_use]
    pub fn into_owned(self) -> Toleration<'static> {
        Toleration {
            key: self.key.into_owned(),
            operator: self.operator.into_owned(),
            value: self.value.into_owned(),
            effect: self.effect.into_owned(),
        }
    }
}

impl Pod<'_> {
    /// Whether a DaemonSet made the pod.
    #[must_use]
    pub fn is_of_daemon_set(&self) -> bool {
        let controller = self.metadata.controller();
        controller.is_some_and(|owner| &*owner.kind == "DaemonSet")
    }
}

impl<'a> PodMetadata<'a> {
    /// The controller that made the object; there is one at most.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

impl<'a> PodSpec<'a> {
    /// Whether a verdict on it could be another than on `old`: its images, or what places it.
    #[must_use]
    pub fn differs_from(&self, old: &Self) -> bool {
        let same_place = self.node_name == old.node_name
            && self.node_selector == old.node_selector
            && self.affinity == old.affinity
            && self.tolerations == old.tolerations
            && self.os == old.os
            && self.runtime_class_name == old.runtime_class_name;
        !same_place || self.images() != old.images()
    }

    /// The same without the terms that name a node, as a DaemonSet's controller adds them: what its template says of
    /// placement, or less.
    #[must_use]
    pub fn without_node_name(&self) -> Self {
        let mut spec = self.clone();
        spec.node_name = Text::default();
        let required = &mut spec
            .affinity
            .node_affinity
            .required_during_scheduling_ignored_during_execution;
        if let Some(selector) = required {
            for term in &mut selector.node_selector_terms {
                term.match_fields.clear();
            }
            if selector
                .node_selector_terms
                .iter()
                .any(|term| term.match_expressions.is_empty())
            {
                *required = None;
            }
        }
        spec
    }
}

pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Looks for one key and skips the rest of the annotations, which are often the largest part of a pod.
fn has_mirror_annotation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Annotations;

    impl<'de> Visitor<'de> for Annotations {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of annotations")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<bool, M::Error> {
            let mut found = false;
            while let Some(key) = map.next_key::<Text<'de>>()? {
                found |= &*key == MIRROR_ANNOTATION;
                map.next_value::<IgnoredAny>()?;
            }
            Ok(found)
        }

        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
    }

    deserializer.deserialize_any(Annotations)
}

#[cfg(test)]
mod tests;
