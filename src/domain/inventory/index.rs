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

/// Nodes by the set of taints that keep pods away. Most clusters have a handful of such sets.
#[derive(Debug, Default)]
pub(super) struct TaintIndex {
    sets: HashMap<Vec<Taint>, Nodes>,
    tainted: Nodes,
    /// The sets that hold a key, to ask only those that a toleration can concern.
    by_key: HashMap<String, HashSet<Vec<Taint>>>,
}

impl TaintIndex {
    pub(super) fn insert(&mut self, taints: &[Taint], id: u32) {
        let set = repelling(taints);
        if set.is_empty() {
            return;
        }
        self.tainted.insert(id);
        for taint in &set {
            self.by_key
                .entry(taint.key.clone())
                .or_default()
                .insert(set.clone());
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
        if !nodes.is_empty() {
            return;
        }
        self.sets.remove(&set);
        for taint in &set {
            if let Some(sets) = self.by_key.get_mut(&taint.key) {
                sets.remove(&set);
                if sets.is_empty() {
                    self.by_key.remove(&taint.key);
                }
            }
        }
    }

    /// The nodes of `all` whose taints are all tolerated.
    pub(super) fn tolerated(&self, tolerations: &[Toleration<'_>], all: &Nodes) -> Nodes {
        let mut nodes = all - &self.tainted;
        let mut accept = |set: &Vec<Taint>| {
            if set.iter().all(|taint| tolerates(tolerations, taint)) {
                nodes |= &self.sets[set];
            }
        };
        if tolerations
            .iter()
            .any(|toleration| toleration.key.is_empty())
        {
            self.sets.keys().for_each(accept);
        } else {
            let concerned = tolerations
                .iter()
                .filter_map(|toleration| self.by_key.get(&*toleration.key));
            concerned.flatten().for_each(&mut accept);
        }
        nodes
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
