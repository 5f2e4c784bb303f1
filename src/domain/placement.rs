//! Placement: whether the static rules of a pod let it run on a node, as the scheduler and the kubelet decide it.
//!
//! Resources, spread and pod affinity are never looked at. Finding the nodes without asking each one is
//! `inventory`'s; this is the rule it must agree with.

mod selector;
mod taints;

use std::fmt;

use super::node::{Node, NodePlatform, Taint};
use super::pod::PodSpec;

pub use selector::{Requirement, field_matches, is_empty, matches_requirement, terms_match};
pub use taints::{AGENT_TAINTS, covers, is_passing, tolerates};

/// Why a node is no candidate for a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exclusion {
    /// The pod is bound to another node.
    NodeName,
    /// The nodeSelector asks for a label that the node does not carry.
    NodeSelector,
    /// No term of the required node affinity matches.
    NodeAffinity,
    /// The pod does not tolerate a taint.
    Taint(Taint),
    /// `spec.os.name` is another operating system: the scheduler ignores it and the kubelet refuses the pod.
    PodOs,
    /// A pool of an autoscaler, of which nobody knows all labels.
    UnknownLabel,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeName => f.write_str("nodeName"),
            Self::NodeSelector => f.write_str("nodeSelector"),
            Self::NodeAffinity => f.write_str("nodeAffinity"),
            Self::Taint(taint) => write!(f, "taint {taint}"),
            Self::PodOs => f.write_str("spec.os"),
            Self::UnknownLabel => f.write_str("labels that are not known"),
        }
    }
}

/// Every static rule of the pod that keeps it off the node; none means that the node is a candidate. `taints` are
/// the node's without those that pass by themselves ([`is_passing`]).
///
/// A pod with `spec.nodeName` never meets the scheduler: its kubelet enforces nodeSelector, affinity and
/// `NoExecute`, but not `NoSchedule`.
#[must_use]
pub fn exclusions(
    pod: &PodSpec<'_>,
    node: &Node,
    platform: &NodePlatform,
    taints: &[Taint],
) -> Vec<Exclusion> {
    let bound = !pod.node_name.is_empty();
    let labels = &node.metadata.labels;
    let mut found = Vec::new();
    if bound && *pod.node_name != *node.metadata.name {
        found.push(Exclusion::NodeName);
    }
    if !pod
        .node_selector
        .iter()
        .all(|(key, value)| labels.get(&**key).is_some_and(|label| **label == **value))
    {
        found.push(Exclusion::NodeSelector);
    }
    if let Some(required) = &pod
        .affinity
        .node_affinity
        .required_during_scheduling_ignored_during_execution
        && !terms_match(&required.node_selector_terms, &node.metadata.name, labels)
    {
        found.push(Exclusion::NodeAffinity);
    }
    let untolerated =
        |taint: &&Taint| taints::repels(taint, bound) && !tolerates(&pod.tolerations, taint);
    found.extend(
        taints
            .iter()
            .filter(untolerated)
            .cloned()
            .map(Exclusion::Taint),
    );
    if is_other_os(pod, platform) {
        found.push(Exclusion::PodOs);
    }
    found
}

/// Whether `spec.os.name` names another operating system than the node's.
#[must_use]
pub fn is_other_os(pod: &PodSpec<'_>, platform: &NodePlatform) -> bool {
    !pod.os.name.is_empty() && !platform.os.is_empty() && *pod.os.name != *platform.os
}
