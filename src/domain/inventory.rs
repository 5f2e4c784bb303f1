//! The inventory: every node of the cluster, indexed by what pods can ask for, so that finding a pod's candidates
//! does not grow with the number of nodes. It must answer as [`super::placement::exclusions`] would node by node.
//!
//! Leaves out where nodes come from (`cluster`, files) and what follows from them (`decision`).

mod explain;
mod group;
mod grown;
mod labels;
mod nodes;
mod open;
mod platforms;
mod taints;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::HashMap;

use super::autoscaler::{Autoscalers, OpenPool};
use super::implied::implied_platforms;
use super::node::{Node, NodeOverride, NodePlatform, Taint};
use super::placement::{self, Exclusion};
use super::pod::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

pub use group::NodeGroup;
use labels::LabelIndex;
use nodes::Selected;
use platforms::{PlatformNodes, Platforms};
use taints::TaintIndex;

/// Every known node. Nodes come and go one at a time; nothing is rebuilt.
#[derive(Debug, Default)]
pub struct Inventory {
    slots: Vec<Option<Slot>>,
    by_name: HashMap<String, u32>,
    all: Selected,
    labels: LabelIndex,
    taints: TaintIndex,
    platforms: Platforms,
    /// Nodes whose taints do not count yet, by the time when they will.
    young: BTreeSet<(i64, u32)>,
    /// The time as last told, in seconds since 1970; `None` where nodes are no longer young, as in a file.
    now: Option<i64>,
    rules: NodeRules,
    /// What autoscalers may add; `None` where that has not been read.
    open_pools: Option<Vec<OpenPool>>,
    /// How often anything has changed that decides.
    revision: u64,
}

/// How long all taints of a new node count as passing, in seconds: agents of all kinds put some while it starts.
const YOUNG: i64 = 600;
#[derive(Debug)]
struct Slot {
    node: Node,
    taints: Vec<Taint>,
    is_young: bool,
    is_pool: bool,
    platform: Arc<NodePlatform>,
}

impl Slot {
    /// The taints that count now.
    fn taints(&self) -> &[Taint] {
        if self.is_young { &[] } else { &self.taints }
    }

    /// Every rule of the pod that keeps it off the node.
    fn exclusions(&self, pod: &PodSpec<'_>) -> Vec<Exclusion> {
        placement::exclusions(pod, &self.node, &self.platform, self.taints())
    }
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
    /// Autoscalers whose pools are read from their objects.
    pub autoscalers: Autoscalers,
}

impl Default for NodeRules {
    fn default() -> Self {
        let agent_taints = placement::AGENT_TAINTS.map(str::to_owned).to_vec();
        Self {
            agent_taints,
            overrides: Vec::new(),
            pools: Vec::new(),
            autoscalers: Autoscalers::default(),
        }
    }
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
            open_pools: self.open_pools.take(),
            revision: self.revision + 1,
            ..Self::new(std::mem::take(&mut self.rules))
        };
        nodes.into_iter().for_each(|node| self.apply(node));
    }

    /// Takes other rules: every node is seen anew, and the pools are those of the rules.
    pub fn set_rules(&mut self, rules: NodeRules) {
        if rules.autoscalers != self.rules.autoscalers {
            self.open_pools = None;
        }
        let slots = std::mem::take(&mut self.slots).into_iter().flatten();
        let nodes = slots.filter(|slot| !slot.is_pool).map(|slot| slot.node);
        self.rules = rules;
        self.replace_all(nodes.collect());
    }

    /// Whose pools are to be read.
    #[must_use]
    pub fn autoscalers(&self) -> Autoscalers {
        self.rules.autoscalers
    }

    /// Takes the pools that autoscalers may grow now; `None` where nobody can tell.
    pub fn set_open_pools(&mut self, pools: Option<Vec<OpenPool>>) {
        self.open_pools = pools;
        self.revision += 1;
    }

    /// Whether the pools that the rules ask for have been read. Without them a pod that runs nowhere may have a place.
    #[must_use]
    pub fn knows_open_pools(&self) -> bool {
        self.open_pools.is_some() || self.rules.autoscalers == Autoscalers::default()
    }

    fn open_pools(&self) -> &[OpenPool] {
        self.open_pools.as_deref().unwrap_or_default()
    }

    /// A higher number once an answer may be another than before.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many nodes and declared pools there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.platforms.iter().map(|group| group.len).sum()
    }

    /// Whether no node is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.platforms.is_empty()
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
            self.revision += 1;
            if let Some(slot) = self.slots[id as usize].as_mut() {
                self.taints.remove(slot.taints(), id);
                slot.is_young = false;
                self.taints.insert(slot.taints(), id);
            }
        }
    }

    /// When a node grows up next.
    #[must_use]
    pub fn next_change(&self) -> Option<i64> {
        self.young.first().map(|(until, _)| *until)
    }

    /// Adds a node, or replaces the one of that name. Kubelets report every few minutes, and nearly always what is known.
    pub fn apply(&mut self, node: Node) {
        let known = self.by_name.get(&node.metadata.name);
        let known = known.and_then(|id| self.slots[*id as usize].as_ref());
        let is_young = self.young_until(&node).is_some();
        if known.is_some_and(|slot| slot.node == node && slot.is_young == is_young) {
            return;
        }
        self.remove(&node.metadata.name);
        self.insert(node, false);
    }

    fn insert(&mut self, node: Node, is_pool: bool) {
        self.revision += 1;
        let platform = NodePlatform::with_overrides(&node, &self.rules.overrides);
        let (platform, id) = self.platforms.add(platform, is_pool);
        self.slots.resize_with(self.platforms.end(), || None);
        self.all.grow(self.platforms.end());
        let passing = |taint: &Taint| placement::is_passing(taint, &self.rules.agent_taints);
        let lasting = node.spec.taints.iter().filter(|taint| !passing(taint));
        let taints: Vec<Taint> = lasting.cloned().collect();
        let young_until = self.young_until(&node);
        self.young.extend(young_until.map(|until| (until, id)));
        self.all.insert(id as usize);
        self.by_name.insert(node.metadata.name.clone(), id);
        self.labels.insert(&node.metadata.labels, id);
        let slot = Slot {
            node,
            taints,
            is_young: young_until.is_some(),
            is_pool,
            platform,
        };
        self.taints.insert(slot.taints(), id);
        self.slots[id as usize] = Some(slot);
    }

    /// Removes a node; one that is not known is no trouble.
    pub fn remove(&mut self, name: &str) {
        let Some(id) = self.by_name.remove(name) else {
            return;
        };
        self.revision += 1;
        let Some(slot) = self.slots[id as usize].take() else {
            return;
        };
        self.all.set(id as usize, false);
        self.labels.remove(&slot.node.metadata.labels, id);
        self.taints.remove(slot.taints(), id);
        if slot.is_young {
            self.young.retain(|(_, young)| *young != id);
        }
        self.platforms.remove(&slot.platform, id);
    }

    fn young_until(&self, node: &Node) -> Option<i64> {
        let until = node.metadata.created()? + YOUNG;
        self.now.filter(|now| until > *now).map(|_| until)
    }

    /// Every group of nodes, with the pod's candidates counted. Ordered by platform, so that answers are stable.
    #[must_use]
    pub fn groups(&self, pod: &PodSpec<'_>) -> Vec<NodeGroup> {
        self.groups_of(pod, &self.candidates(pod))
    }

    fn groups_of(&self, pod: &PodSpec<'_>, candidates: &Selected) -> Vec<NodeGroup> {
        let group = |group: &PlatformNodes| {
            let count = group.count(candidates);
            let refused = placement::is_other_os(pod, &group.platform);
            NodeGroup {
                platform: Arc::clone(&group.platform),
                are_pools: group.are_pools,
                candidates: if refused { 0 } else { count },
                nodes: group.len,
                refused_by_os: if refused { count } else { 0 },
                open: None,
            }
        };
        let mut groups: Vec<NodeGroup> = self.platforms.iter().map(group).collect();
        let open = self.open_groups(pod);
        if !open.is_empty() {
            groups.extend(open);
            groups.sort_by(|a, b| a.order().cmp(&b.order()));
        }
        groups
    }

    /// Operating system, architecture and number of the nodes of each platform, declared pools apart.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let nodes = self.platforms.iter().filter(|group| !group.are_pools);
        nodes.map(|group| {
            (
                group.platform.os.as_str(),
                group.platform.architecture.as_str(),
                group.len,
            )
        })
    }

    /// Whether a node of that name is known.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The platforms that the pod pins and that no node and no declared pool has, each as a group of no nodes.
    #[must_use]
    pub fn implied(&self, pod: &PodSpec<'_>) -> Vec<NodeGroup> {
        let open = self.open_pools().iter().map(|pool| &pool.platform);
        let known = self.platforms.iter().map(|group| &*group.platform);
        let known: Vec<_> = known.chain(open).collect();
        let group = |platform| NodeGroup {
            platform: Arc::new(platform),
            are_pools: false,
            candidates: 0,
            nodes: 0,
            refused_by_os: 0,
            open: None,
        };
        implied_platforms(pod, &known)
            .into_iter()
            .map(group)
            .collect()
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots[*self.by_name.get(name)? as usize].as_ref()
    }

    /// The nodes that the scheduler may bind the pod to: it does not know of `spec.os`.
    fn candidates(&self, pod: &PodSpec<'_>) -> Selected {
        if !pod.node_name.is_empty() {
            return self.bound_candidate(pod);
        }
        let mut selected = self.taints.tolerated(&pod.tolerations, &self.all);
        self.keep_selected(pod, &mut selected);
        self.keep_required(pod, &mut selected);
        selected
    }

    /// Leaves the nodes that the nodeSelector asks for.
    fn keep_selected(&self, pod: &PodSpec<'_>, selected: &mut Selected) {
        for (key, value) in &pod.node_selector {
            self.labels.keep_value(key, value, selected);
        }
    }

    /// Leaves the nodes that the required node affinity asks for.
    fn keep_required(&self, pod: &PodSpec<'_>, selected: &mut Selected) {
        let affinity = &pod.affinity.node_affinity;
        let Some(required) = &affinity.required_during_scheduling_ignored_during_execution else {
            return;
        };
        match required.node_selector_terms.as_slice() {
            [term] => self.keep_term(term, selected),
            terms => {
                let mut any = Selected::with_capacity(selected.len());
                for term in terms {
                    let mut of_term = selected.clone();
                    self.keep_term(term, &mut of_term);
                    any.union_with(&of_term);
                }
                *selected = any;
            }
        }
    }

    fn keep_term(&self, term: &NodeSelectorTerm<'_>, selected: &mut Selected) {
        if placement::is_empty(term) {
            return selected.clear();
        }
        for requirement in &term.match_expressions {
            match placement::Requirement::parse(requirement) {
                Some(parsed) => self.labels.keep(&requirement.key, parsed, selected),
                None => return selected.clear(),
            }
        }
        for requirement in &term.match_fields {
            self.keep_field(requirement, selected);
        }
    }

    /// The only field that nodes have is `metadata.name`; any other is empty on all of them.
    fn keep_field(&self, requirement: &NodeSelectorRequirement<'_>, selected: &mut Selected) {
        if &*requirement.key != "metadata.name" {
            if !placement::field_matches(requirement, "") {
                selected.clear();
            }
            return;
        }
        let named = |value: &str| self.by_name.get(value).map(|id| *id as usize);
        match (&*requirement.operator, requirement.values.as_slice()) {
            ("In", [value]) => {
                let kept = named(value).filter(|id| selected.contains(*id));
                selected.clear();
                kept.into_iter().for_each(|id| selected.insert(id));
            }
            ("NotIn", [value]) => {
                named(value)
                    .into_iter()
                    .for_each(|id| selected.set(id, false));
            }
            _ => selected.clear(),
        }
    }

    fn bound_candidate(&self, pod: &PodSpec<'_>) -> Selected {
        let mut selected = Selected::with_capacity(self.all.len());
        let id = self.by_name.get(&*pod.node_name).copied();
        let slot = self.slot(&pod.node_name);
        // Whether its kubelet refuses the pod's `spec.os` is looked at where groups are counted.
        let is_candidate = slot.is_some_and(|slot| {
            let found = slot.exclusions(pod);
            found.iter().all(|found| *found == Exclusion::PodOs)
        });
        id.filter(|_| is_candidate)
            .into_iter()
            .for_each(|id| selected.insert(id as usize));
        selected
    }
}
