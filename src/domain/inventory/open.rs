//! Pools of autoscalers among the groups. They are few, so each is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::autoscaler::{Fit, Fits};
use crate::domain::node::NodePlatform;
use crate::domain::placement::Exclusion;
use crate::domain::pod::PodSpec;

use super::{Inventory, NodeGroup};

impl Inventory {
    /// The pools by platform, with those counted that the pod may land on.
    pub(super) fn open_groups(&self, pod: &PodSpec<'_>) -> Vec<NodeGroup> {
        let mut platforms: BTreeMap<&NodePlatform, (u64, Fits)> = BTreeMap::new();
        for pool in self.open_pools() {
            let (pools, fits) = platforms.entry(&pool.platform).or_default();
            *pools += 1;
            match pool.fit(pod, &self.rules.agent_taints) {
                Ok(Fit::Surely) => fits.surely += 1,
                Ok(Fit::Perhaps) => fits.perhaps += 1,
                Err(_) => {}
            }
        }
        let group = |(platform, (nodes, fits)): (&NodePlatform, (u64, Fits))| NodeGroup {
            platform: Arc::new(platform.clone()),
            are_pools: true,
            candidates: 0,
            nodes,
            refused_by_os: 0,
            open: Some(fits),
        };
        platforms.into_iter().map(group).collect()
    }

    pub(super) fn open_exclusions(
        &self,
        pod: &PodSpec<'_>,
        of: &NodeGroup,
    ) -> Vec<(Exclusion, u64)> {
        let mut counts: BTreeMap<Exclusion, u64> = BTreeMap::new();
        let pools = self.open_pools().iter();
        for pool in pools.filter(|pool| pool.platform == *of.platform) {
            let why = match pool.fit(pod, &self.rules.agent_taints) {
                Err(exclusion) => exclusion,
                Ok(_) if of.candidates == 0 => Exclusion::UnknownLabel,
                Ok(_) => continue,
            };
            *counts.entry(why).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }
}
