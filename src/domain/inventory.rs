//! The inventory: every node of the cluster, indexed by what pods can ask for, so that finding a pod's candidates
//! does not grow with the number of nodes. It must answer as [`super::placement::exclusions`] would node by node.
//!
//! Leaves out where nodes come from (`cluster`, files) and what follows from them (`decision`).

mod index;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
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
    /// Nodes whose taints do not count yet, by the time when they will.
    young: BTreeSet<(i64, u32)>,
    /// The time as last told, in seconds since 1970; `None` where nodes are no longer young, as in a file.
    now: Option<i64>,
    rules: NodeRules,
}

/// How long all taints of a new node count as passing, in seconds: agents of all kinds put some while it starts.
const YOUNG: i64 = 600;
/// Nodes of a platform that are asked why they are no candidates; a message needs the most frequent reason only.
const ASKED: usize = 200;

#[derive(Debug)]
struct Slot {
    node: Node,
    taints: Vec<Taint>,
    is_young: bool,
    platform: Arc<NodePlatform>,
}

impl Slot {
    /// The taints that count now.
    fn taints(&self) -> &[Taint] {
        if self.is_young { &[] } else { &self.taints }
    }
}

#[derive(Debug)]
struct PlatformNodes {
    platform: Arc<NodePlatform>,
    are_pools: bool,
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
    /// Pools that an autoscaler may grow from nothing: each as the Node that would join.
    pub pools: Vec<Node>,
}

impl Default for NodeRules {
    fn default() -> Self {
        let agent_taints = placement::AGENT_TAINTS.map(str::to_owned).to_vec();
        Self {
            agent_taints,
            overrides: Vec::new(),
            pools: Vec::new(),
        }
    }
}

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
}

impl Inventory {
    /// An inventory of no nodes, declared pools apart.
    #[must_use]
    pub fn new(rules: NodeRules) -> Self {
        let pools = rules.pools.clone();
        let mut inventory = Self {
            rules,
            ..Self::default()
        };
        pools
            .into_iter()
            .for_each(|pool| inventory.insert(pool, true));
        inventory
    }

    /// Forgets all nodes and takes these.
    pub fn replace_all(&mut self, nodes: Vec<Node>) {
        let now = self.now;
        *self = Self {
            now,
            ..Self::new(std::mem::take(&mut self.rules))
        };
        nodes.into_iter().for_each(|node| self.apply(node));
    }

    /// Takes other rules: every node is seen anew, and the pools are those of the rules.
    pub fn set_rules(&mut self, rules: NodeRules) {
        let pools = self.platforms.iter().filter(|group| group.are_pools);
        for id in pools.flat_map(|group| &group.nodes) {
            self.slots[id as usize] = None;
        }
        let slots = std::mem::take(&mut self.slots);
        self.rules = rules;
        self.replace_all(slots.into_iter().flatten().map(|slot| slot.node).collect());
    }

    /// How many nodes and declared pools there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.all.len()
    }

    /// Whether no node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells the time, in seconds since 1970: nodes grow up. Until it is told, no node is young.
    pub fn advance(&mut self, now: i64) {
        self.now = Some(now);
        while let Some((until, id)) = self
            .young
            .first()
            .copied()
            .filter(|(until, _)| *until <= now)
        {
            self.young.remove(&(until, id));
            if let Some(slot) = self.slots[id as usize].as_mut() {
                slot.is_young = false;
                self.taints.insert(&slot.taints, id);
            }
        }
    }

    /// When a node grows up next.
    #[must_use]
    pub fn next_change(&self) -> Option<i64> {
        self.young.first().map(|(until, _)| *until)
    }

    /// Adds a node, or replaces the one of that name.
    pub fn apply(&mut self, node: Node) {
        self.remove(&node.metadata.name);
        self.insert(node, false);
    }

    fn insert(&mut self, node: Node, is_pool: bool) {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than four billion nodes")
        });
        let platform = self.intern(
            NodePlatform::with_overrides(&node, &self.rules.overrides),
            is_pool,
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
        let young_until = self
            .young_until(&node)
            .inspect(|until| _ = self.young.insert((*until, id)));
        if young_until.is_none() {
            self.taints.insert(&taints, id);
        }
        self.slots[id as usize] = Some(Slot {
            node,
            taints,
            is_young: young_until.is_some(),
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
        self.taints.remove(slot.taints(), id);
        self.young.retain(|(_, young)| *young != id);
        for group in &mut self.platforms {
            group.nodes.remove(id);
        }
        self.platforms.retain(|group| !group.nodes.is_empty());
        self.free.push(id);
    }

    fn young_until(&self, node: &Node) -> Option<i64> {
        let until = node.metadata.created()? + YOUNG;
        self.now.filter(|now| until > *now).map(|_| until)
    }

    fn intern(&mut self, platform: NodePlatform, are_pools: bool, id: u32) -> Arc<NodePlatform> {
        let same = |group: &&mut PlatformNodes| {
            *group.platform == platform && group.are_pools == are_pools
        };
        if let Some(group) = self.platforms.iter_mut().find(same) {
            group.nodes.insert(id);
            return Arc::clone(&group.platform);
        }
        let platform = Arc::new(platform);
        let nodes = Nodes::from_iter([id]);
        self.platforms.push(PlatformNodes {
            platform: Arc::clone(&platform),
            are_pools,
            nodes,
        });
        platform
    }

    /// Every group of nodes, with the pod's candidates counted. Ordered by platform, so that answers are stable.
    #[must_use]
    pub fn groups(&self, pod: &PodSpec<'_>) -> Vec<NodeGroup> {
        let candidates = self.candidates(pod);
        let group = |group: &PlatformNodes| {
            let count = group.nodes.intersection_len(&candidates);
            let refused = !candidates.is_empty() && placement::is_other_os(pod, &group.platform);
            NodeGroup {
                platform: Arc::clone(&group.platform),
                are_pools: group.are_pools,
                candidates: if refused { 0 } else { count },
                nodes: group.nodes.len(),
                refused_by_os: if refused { count } else { 0 },
            }
        };
        let mut groups: Vec<NodeGroup> = self.platforms.iter().map(group).collect();
        groups.sort_by(|a, b| (&a.platform, a.are_pools).cmp(&(&b.platform, b.are_pools)));
        groups
    }

    /// Why the nodes of a platform that are no candidates are none: each reason with the number of nodes that it
    /// keeps away, the most frequent first. It asks some of the nodes one by one, so it is for messages only.
    #[must_use]
    pub fn exclusions(&self, pod: &PodSpec<'_>, of: &NodeGroup) -> Vec<(Exclusion, usize)> {
        let is_it = |group: &&PlatformNodes| {
            group.platform == of.platform && group.are_pools == of.are_pools
        };
        let Some(group) = self.platforms.iter().find(is_it) else {
            return Vec::new();
        };
        let mut counts: HashMap<Exclusion, usize> = HashMap::new();
        let ids = &group.nodes - self.candidates(pod);
        for slot in ids
            .iter()
            .take(ASKED)
            .filter_map(|id| self.slots[id as usize].as_ref())
        {
            let found = placement::exclusions(pod, &slot.node, &slot.platform, slot.taints());
            if let Some(first) = found.into_iter().next() {
                *counts.entry(first).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// Operating system, architecture and number of the nodes of each platform, declared pools apart.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let nodes = self.platforms.iter().filter(|group| !group.are_pools);
        nodes.map(|group| {
            (
                group.platform.os.as_str(),
                group.platform.architecture.as_str(),
                group.nodes.len(),
            )
        })
    }

    /// Whether a node of that name is known.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The nodes that the scheduler may bind the pod to: it does not know of `spec.os`.
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
        nodes
    }

    fn bound_candidate(&self, pod: &PodSpec<'_>) -> Nodes {
        let id = self.by_name.get(&*pod.node_name);
        let slot = id.and_then(|id| Some((id, self.slots[*id as usize].as_ref()?)));
        let candidate = slot.filter(|(_, slot)| {
            placement::exclusions(pod, &slot.node, &slot.platform, slot.taints()).is_empty()
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

    /// The only field that nodes have is `metadata.name`, and the common `In` of it is a look-up.
    fn matching_field(&self, requirement: &super::pod::NodeSelectorRequirement<'_>) -> Nodes {
        if let ("metadata.name", "In", [value]) = (
            &*requirement.key,
            &*requirement.operator,
            requirement.values.as_slice(),
        ) {
            return self.by_name.get(&**value).copied().into_iter().collect();
        }
        let names = self
            .by_name
            .iter()
            .filter(|(name, _)| placement::field_matches(requirement, name));
        names.map(|(_, id)| *id).collect()
    }
}
