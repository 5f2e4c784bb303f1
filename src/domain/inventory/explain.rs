//! Why nodes are left out: for messages and reports, where candidates alone do not tell enough.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::placement::{self, Exclusion};
use crate::domain::pod::PodSpec;

use super::nodes::Selected;
use super::platforms::PlatformNodes;
use super::{Inventory, NodeGroup};

/// Nodes of a platform that are asked which taint keeps the pod away; a message needs the most frequent one only.
const ASKED: usize = 32;

impl Inventory {
    /// Why the nodes of a platform that are no candidates are none: the first rule that keeps each away, with the number
    /// of its nodes, the most frequent first. Which taint it is, is asked of some of the nodes only.
    #[must_use]
    pub fn exclusions(&self, pod: &PodSpec<'_>, of: &NodeGroup) -> Vec<(Exclusion, u64)> {
        if of.open.is_some() {
            return self.open_exclusions(pod, of);
        }
        let is_it = |group: &&PlatformNodes| {
            group.platform == of.platform && group.are_pools == of.are_pools
        };
        let Some(group) = self.platforms.iter().find(is_it) else {
            return Vec::new();
        };
        let mut counts: HashMap<Exclusion, u64> = HashMap::new();
        if pod.node_name.is_empty() {
            self.count_unbound(pod, group, &mut counts);
        } else {
            let bound = self.slot(&pod.node_name);
            let bound = bound.filter(|slot| Arc::ptr_eq(&slot.platform, &group.platform));
            counts.insert(Exclusion::NodeName, group.len - u64::from(bound.is_some()));
            let found = bound.and_then(|slot| slot.exclusions(pod).into_iter().next());
            counts.extend(found.map(|found| (found, 1)));
        }
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    fn count_unbound(
        &self,
        pod: &PodSpec<'_>,
        group: &PlatformNodes,
        counts: &mut HashMap<Exclusion, u64>,
    ) {
        let mut left = self.all.clone();
        let mut gone = group.len;
        let mut rule = |exclusion: Exclusion, left: &Selected| {
            counts.insert(exclusion, gone - group.count(left));
            gone = group.count(left);
        };
        self.keep_selected(pod, &mut left);
        rule(Exclusion::NodeSelector, &left);
        self.keep_required(pod, &mut left);
        rule(Exclusion::NodeAffinity, &left);
        let candidates = self.candidates(pod);
        if placement::is_other_os(pod, &group.platform) {
            counts.insert(Exclusion::PodOs, group.count(&candidates));
        }
        left.difference_with(&candidates);
        let (tainted, asked) = (group.count(&left), group.of(&left).take(ASKED));
        let share = tainted.div_ceil(ASKED as u64).max(1);
        for slot in asked.filter_map(|id| self.slots[id as usize].as_ref()) {
            if let Some(first) = slot.exclusions(pod).into_iter().next() {
                *counts.entry(first).or_default() += share;
            }
        }
    }
}
