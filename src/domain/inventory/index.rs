//! The indexes of the inventory: nodes by label, nodes by what they are tainted with.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::node::Taint;
use crate::domain::placement::{Requirement, matches_requirement, tolerates};
use crate::domain::pod::Toleration;

use super::Nodes;

/// Nodes by label key and value.
#[derive(Debug, Default)]
pub(super) struct LabelIndex {
    keys: HashMap<String, KeyIndex>,
}

#[derive(Debug, Default)]
struct KeyIndex {
    present: Nodes,
    values: HashMap<String, Nodes>,
}

impl LabelIndex {
    pub(super) fn insert(&mut self, labels: &BTreeMap<String, String>, id: u32) {
        for (key, value) in labels {
            let index = self.keys.entry(key.clone()).or_default();
            index.present.insert(id);
            index.values.entry(value.clone()).or_default().insert(id);
        }
    }

    pub(super) fn remove(&mut self, labels: &BTreeMap<String, String>, id: u32) {
        for (key, value) in labels {
            let Some(index) = self.keys.get_mut(key) else {
                continue;
            };
            index.present.remove(id);
            if let Some(nodes) = index.values.get_mut(value) {
                nodes.remove(id);
                if nodes.is_empty() {
                    index.values.remove(value);
                }
            }
            if index.present.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    pub(super) fn with_value(&self, key: &str, value: &str) -> Nodes {
        self.keys
            .get(key)
            .and_then(|index| index.values.get(value))
            .cloned()
            .unwrap_or_default()
    }

    /// The nodes of `all` that satisfy a requirement on a label.
    pub(super) fn matching(&self, key: &str, requirement: Requirement<'_>, all: &Nodes) -> Nodes {
        let present = self.keys.get(key).map(|index| &index.present);
        let one_of = |values: &[crate::domain::text::Text<'_>]| {
            values.iter().fold(Nodes::new(), |nodes, value| {
                nodes | self.with_value(key, value)
            })
        };
        match requirement {
            Requirement::In(values) => one_of(values),
            Requirement::NotIn(values) => all - one_of(values),
            Requirement::Exists => present.cloned().unwrap_or_default(),
            Requirement::DoesNotExist => {
                present.map_or_else(|| all.clone(), |present| all - present)
            }
            Requirement::Gt(_) | Requirement::Lt(_) => {
                let values = self
                    .keys
                    .get(key)
                    .into_iter()
                    .flat_map(|index| &index.values);
                let fitting =
                    values.filter(|(value, _)| matches_requirement(requirement, Some(value)));
                fitting.fold(Nodes::new(), |nodes, (_, more)| nodes | more)
            }
        }
    }
}

/// Nodes by the set of taints that keep pods away. Most clusters have a handful of such sets, but a taint may also carry
/// a value of its own on every node.
#[derive(Debug, Default)]
pub(super) struct TaintIndex {
    sets: HashMap<TaintSet, Nodes>,
    tainted: Nodes,
    by_key: HashMap<String, KeyTaints>,
}

/// The taints of a node in a fixed order.
type TaintSet = Vec<Taint>;

/// The sets that hold a key, so that a toleration asks only those that it can concern.
#[derive(Debug, Default)]
struct KeyTaints {
    /// By the value that they give the key.
    by_value: HashMap<String, HashSet<TaintSet>>,
    /// Nodes that have no other taint, by its effect: `Exists` tolerates them all at once.
    alone: HashMap<String, Nodes>,
    /// Sets that hold other taints too.
    among_others: HashSet<TaintSet>,
}

impl TaintIndex {
    pub(super) fn insert(&mut self, taints: &[Taint], id: u32) {
        let set = repelling(taints);
        if set.is_empty() {
            return;
        }
        self.tainted.insert(id);
        for taint in &set {
            let of_key = self.by_key.entry(taint.key.clone()).or_default();
            of_key
                .by_value
                .entry(taint.value.clone())
                .or_default()
                .insert(set.clone());
            if set.len() == 1 {
                of_key
                    .alone
                    .entry(taint.effect.clone())
                    .or_default()
                    .insert(id);
            } else {
                of_key.among_others.insert(set.clone());
            }
        }
        self.sets.entry(set).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, taints: &[Taint], id: u32) {
        self.tainted.remove(id);
        let set = repelling(taints);
        let Some(nodes) = self.sets.get_mut(&set) else {
            return;
        };
        nodes.remove(id);
        let is_last = nodes.is_empty();
        if is_last {
            self.sets.remove(&set);
        }
        for taint in &set {
            self.remove_of_key(taint, &set, is_last, id);
        }
    }

    fn remove_of_key(&mut self, taint: &Taint, set: &TaintSet, is_last: bool, id: u32) {
        let Some(of_key) = self.by_key.get_mut(&taint.key) else {
            return;
        };
        if let Some(alone) = of_key
            .alone
            .get_mut(&taint.effect)
            .filter(|_| set.len() == 1)
        {
            alone.remove(id);
        }
        if !is_last {
            return;
        }
        of_key.among_others.remove(set);
        if let Some(sets) = of_key.by_value.get_mut(&taint.value) {
            sets.remove(set);
            if sets.is_empty() {
                of_key.by_value.remove(&taint.value);
            }
        }
        if of_key.by_value.is_empty() {
            self.by_key.remove(&taint.key);
        }
    }

    /// The nodes of `all` whose taints are all tolerated.
    pub(super) fn tolerated(&self, tolerations: &[Toleration<'_>], all: &Nodes) -> Nodes {
        let mut nodes = all - &self.tainted;
        for toleration in tolerations {
            match (&*toleration.key, &*toleration.operator) {
                ("", "Exists") if toleration.effect.is_empty() => return all.clone(),
                ("", _) => self.accept(self.sets.keys(), tolerations, &mut nodes),
                (key, _) => {
                    if let Some(of_key) = self.by_key.get(key) {
                        self.tolerate_key(of_key, toleration, tolerations, &mut nodes);
                    }
                }
            }
        }
        nodes
    }

    fn tolerate_key(
        &self,
        of_key: &KeyTaints,
        toleration: &Toleration<'_>,
        all: &[Toleration<'_>],
        nodes: &mut Nodes,
    ) {
        match &*toleration.operator {
            "Exists" => {
                let covers =
                    |effect: &str| toleration.effect.is_empty() || *toleration.effect == *effect;
                for (_, alone) in of_key.alone.iter().filter(|(effect, _)| covers(effect)) {
                    *nodes |= alone;
                }
                self.accept(of_key.among_others.iter(), all, nodes);
            }
            "" | "Equal" => self.accept(
                of_key
                    .by_value
                    .get(&*toleration.value)
                    .into_iter()
                    .flatten(),
                all,
                nodes,
            ),
            _ => self.accept(of_key.by_value.values().flatten(), all, nodes),
        }
    }

    /// Adds the nodes of those sets that are tolerated as a whole.
    fn accept<'s>(
        &self,
        sets: impl Iterator<Item = &'s TaintSet>,
        tolerations: &[Toleration<'_>],
        nodes: &mut Nodes,
    ) {
        for set in sets.filter(|set| set.iter().all(|taint| tolerates(tolerations, taint))) {
            *nodes |= &self.sets[set];
        }
    }
}

/// The taints that keep pods off a node, in a fixed order.
fn repelling(taints: &[Taint]) -> Vec<Taint> {
    let repels = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let mut set: Vec<Taint> = taints.iter().filter(repels).cloned().collect();
    set.sort();
    set.dedup();
    set
}
