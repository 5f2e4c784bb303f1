//! `NodeGroup`: the nodes of one platform, as a pod finds them.

use std::sync::Arc;

use crate::domain::autoscaler::Fits;
use crate::domain::node::NodePlatform;

/// Nodes of one platform: the unit that is judged, since its nodes give every image the same verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeGroup {
    /// What the nodes are.
    pub platform: Arc<NodePlatform>,
    /// Whether these are declared pools instead of nodes.
    pub are_pools: bool,
    /// How many of them the pod may land on.
    pub candidates: u64,
    /// How many there are in all.
    pub nodes: u64,
    /// How many would be candidates if `spec.os` counted for the scheduler: it may bind the pod to them, and their
    /// kubelets refuse it.
    pub refused_by_os: u64,
    /// Of pools that an autoscaler may grow, how many the pod may land on; they count as candidates by their verdict.
    pub open: Option<Fits>,
}

impl NodeGroup {
    /// Where it stands among others, so that answers are stable.
    pub(in crate::domain) fn order(&self) -> (&NodePlatform, bool, bool) {
        (&self.platform, self.are_pools, self.open.is_some())
    }

    /// Whether the pod may land on a node of it, or on one that an autoscaler may add.
    #[must_use]
    pub fn may_land(&self) -> bool {
        let open = self.open.unwrap_or_default();
        self.candidates + open.surely + open.perhaps > 0
    }

    /// Whether a verdict on it may decide: the pod may land there, or is refused there.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.may_land() || self.refused_by_os > 0
    }
}
