//! The inventory: every node of the cluster, indexed by what pods can ask for, so that finding a pod's candidates
//! does not grow with the number of nodes. It must answer as [`super::placement::exclusions`] would node by node.
//!
//! Leaves out where nodes come from (`cluster`, files) and what follows from them (`decision`).

mod index;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::node::{Node, NodeOverride, NodePlatform, Taint};
use super::placement::{self, Exclusion};
use super::pod::{NodeSelectorTerm, PodSpec};

use index::{LabelIndex, TaintIndex};

/// A set of nodes by their number in the inventory.
type Nodes = RoaringBitmap;

/// Every known node. Nodes come and go one at a time; nothing is rebuilt.
#[derive(Debug, Default)]
pub struct Inventory {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_name: HashMap<String, u32>,
    all: Nodes,
    labels: LabelIndex,
    taints: TaintIndex,
    platforms: Vec<PlatformNodes>,
    rules: NodeRules,
}

#[derive(Debug)]
struct Slot {
    node: Node,
    taints: Vec<Taint>,
    platform: Arc<NodePlatform>,
}

#[derive(Debug)]
struct PlatformNodes {
    platform: Arc<NodePlatform>,
    nodes: Nodes,
}

/// What an operator says of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRules {
    /// Keys of taints that agents put on nodes while they start or before they go; ignored like those of node
    /// conditions.
    pub agent_taints: Vec<String>,
    /// Corrections of what nodes report.
    pub overrides: Vec<NodeOverride>,
}

impl Default for NodeRules {
    fn default() -> Self {
        let agent_taints = placement::AGENT_TAINTS.map(str::to_owned).to_vec();
        Self {
            agent_taints,
            overrides: Vec::new(),
        }
    }
}

/// Nodes of one platform: the unit that is judged, since its nodes give every image the same verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeGroup {
    /// What the nodes are.
    pub platform: Arc<NodePlatform>,
    /// How many of them the pod may land on.
    pub candidates: u64,
    /// How many there are in all.
    pub nodes: u64,
}

impl Inventory {
    /// An empty inventory.
    #[must_use]
    pub fn new(rules: NodeRules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Forgets all nodes and takes these.
    pub fn replace_all(&mut self, nodes: Vec<Node>) {
        *self = Self::new(std::mem::take(&mut self.rules));
        nodes.into_iter().for_each(|node| self.apply(node));
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.all.len()
    }

    /// Whether no node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a node, or replaces the one of that name.
    pub fn apply(&mut self, node: Node) {
        self.remove(&node.metadata.name);
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than four billion nodes")
        });
        let platform = self.intern(
            NodePlatform::with_overrides(&node, &self.rules.overrides),
            id,
        );
        let passing = |taint: &Taint| placement::is_passing(taint, &self.rules.agent_taints);
        let taints: Vec<Taint> = node
            .spec
            .taints
            .iter()
            .filter(|taint| !passing(taint))
            .cloned()
            .collect();
        self.all.insert(id);
        self.by_name.insert(node.metadata.name.clone(), id);
        self.labels.insert(&node.metadata.labels, id);
        self.taints.insert(&taints, id);
        self.slots[id as usize] = Some(Slot {
            node,
            taints,
            platform,
        });
    }

    /// Removes a node; one that is not known is no trouble.
    pub fn remove(&mut self, name: &str) {
        let Some(id) = self.by_name.remove(name) else {
            return;
        };
        let Some(slot) = self.slots[id as usize].take() else {
            return;
        };
        self.all.remove(id);
        self.labels.remove(&slot.node.metadata.labels, id);
        self.taints.remove(&slot.taints, id);
        for group in &mut self.platforms {
            group.nodes.remove(id);
        }
        self.platforms.retain(|group| !group.nodes.is_empty());
        self.free.push(id);
    }

    fn intern(&mut self, platform: NodePlatform, id: u32) -> Arc<NodePlatform> {
        if let Some(group) = self
            .platforms
            .iter_mut()
            .find(|group| *group.platform == platform)
        {
            group.nodes.insert(id);
            return Arc::clone(&group.platform);
        }
        let platform = Arc::new(platform);
        self.platforms.push(PlatformNodes {
            platform: Arc::clone(&platform),
            nodes: Nodes::from_iter([id]),
        });
        platform
    }

    /// Every group of nodes, with the pod's candidates counted. Ordered by platform, so that answers are stable.
    #[must_use]
    pub fn groups(&self, pod: &PodSpec<'_>) -> Vec<NodeGroup> {
        let candidates = self.candidates(pod);
        let group = |group: &PlatformNodes| NodeGroup {
            platform: Arc::clone(&group.platform),
            candidates: group.nodes.intersection_len(&candidates),
            nodes: group.nodes.len(),
        };
        let mut groups: Vec<NodeGroup> = self.platforms.iter().map(group).collect();
        groups.sort_by(|a, b| a.platform.cmp(&b.platform));
        groups
    }

    /// Why the nodes of a platform that are no candidates are none: each reason with the number of nodes that it
    /// keeps away, the most frequent first. Asks every such node, so it is for messages only.
    #[must_use]
    pub fn exclusions(
        &self,
        pod: &PodSpec<'_>,
        platform: &NodePlatform,
    ) -> Vec<(Exclusion, usize)> {
        let mut counts: HashMap<Exclusion, usize> = HashMap::new();
        let slots = self
            .slots
            .iter()
            .flatten()
            .filter(|slot| *slot.platform == *platform);
        for slot in slots {
            let found = placement::exclusions(pod, &slot.node, &slot.platform, &slot.taints);
            if let Some(first) = found.into_iter().next() {
                *counts.entry(first).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// Whether a node of that name is known.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn candidates(&self, pod: &PodSpec<'_>) -> Nodes {
        if !pod.node_name.is_empty() {
            return self.bound_candidate(pod);
        }
        let mut nodes = self.taints.tolerated(&pod.tolerations, &self.all);
        for (key, value) in &pod.node_selector {
            nodes &= self.labels.with_value(key, value);
        }
        if let Some(required) = &pod
            .affinity
            .node_affinity
            .required_during_scheduling_ignored_during_execution
        {
            let mut matching = Nodes::new();
            for term in &required.node_selector_terms {
                matching |= self.matching(term);
            }
            nodes &= matching;
        }
        for group in self
            .platforms
            .iter()
            .filter(|group| placement::is_other_os(pod, &group.platform))
        {
            nodes -= &group.nodes;
        }
        nodes
    }

    fn bound_candidate(&self, pod: &PodSpec<'_>) -> Nodes {
        let id = self.by_name.get(&*pod.node_name);
        let slot = id.and_then(|id| Some((id, self.slots[*id as usize].as_ref()?)));
        let candidate = slot.filter(|(_, slot)| {
            placement::exclusions(pod, &slot.node, &slot.platform, &slot.taints).is_empty()
        });
        candidate.map(|(id, _)| *id).into_iter().collect()
    }

    fn matching(&self, term: &NodeSelectorTerm<'_>) -> Nodes {
        if placement::is_empty(term) {
            return Nodes::new();
        }
        let mut nodes = self.all.clone();
        for requirement in &term.match_expressions {
            match placement::Requirement::parse(requirement) {
                Some(parsed) => nodes &= self.labels.matching(&requirement.key, parsed, &self.all),
                None => return Nodes::new(),
            }
        }
        for requirement in &term.match_fields {
            nodes &= self.matching_field(requirement);
        }
        nodes
    }

    /// Fields have one name, `metadata.name`, and one value, so the common `In` is a look-up.
    fn matching_field(&self, requirement: &super::pod::NodeSelectorRequirement<'_>) -> Nodes {
        if let (true, [value]) = (
            &*requirement.operator == "In",
            requirement.values.as_slice(),
        ) {
            let named = self.by_name.get(&**value).copied();
            return named
                .filter(|_| &*requirement.key == "metadata.name")
                .into_iter()
                .collect();
        }
        let names = self
            .by_name
            .iter()
            .filter(|(name, _)| placement::field_matches(requirement, name));
        names.map(|(_, id)| *id).collect()
    }
}
