//! Nodes by label.

use std::collections::BTreeMap;

use ahash::HashMap;

use crate::domain::placement::{Requirement, matches_requirement};
use crate::domain::text::Text;

use super::nodes::{Nodes, Selected};

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

    fn with_value(&self, key: &str, value: &str) -> Option<&Nodes> {
        self.keys.get(key)?.values.get(value)
    }

    /// Leaves the nodes that carry the label with that value.
    pub(super) fn keep_value(&self, key: &str, value: &str, selected: &mut Selected) {
        match self.with_value(key, value) {
            Some(nodes) => nodes.keep_in(selected),
            None => selected.clear(),
        }
    }

    /// Leaves the nodes that satisfy a requirement on a label.
    pub(super) fn keep(&self, key: &str, requirement: Requirement<'_>, selected: &mut Selected) {
        let index = self.keys.get(key);
        let values = |values: &[Text<'_>]| -> Vec<&Nodes> {
            let known = values
                .iter()
                .filter_map(|value| index?.values.get(&**value));
            known.collect()
        };
        match requirement {
            Requirement::In(wanted) => keep_any(&values(wanted), selected),
            Requirement::NotIn(unwanted) => values(unwanted)
                .into_iter()
                .for_each(|nodes| nodes.take_from(selected)),
            Requirement::Exists => match index {
                Some(index) => index.present.keep_in(selected),
                None => selected.clear(),
            },
            Requirement::DoesNotExist => {
                if let Some(index) = index {
                    index.present.take_from(selected);
                }
            }
            Requirement::Gt(_) | Requirement::Lt(_) => {
                let values = index.into_iter().flat_map(|index| &index.values);
                let fitting: Vec<&Nodes> = values
                    .filter(|(value, _)| matches_requirement(requirement, Some(value)))
                    .map(|(_, nodes)| nodes)
                    .collect();
                keep_any(&fitting, selected);
            }
        }
    }
}

/// Leaves the nodes of any of the sets.
fn keep_any(sets: &[&Nodes], selected: &mut Selected) {
    match sets {
        [] => selected.clear(),
        [nodes] => nodes.keep_in(selected),
        [first, others @ ..] => {
            let mut any = first.to_selected();
            others.iter().for_each(|nodes| nodes.add_to(&mut any));
            selected.intersect_with(&any);
        }
    }
}
