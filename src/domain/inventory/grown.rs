//! The groups of nodes as they will be once young nodes have grown up, when their taints count.
//!
//! For what lasts: a template is there tomorrow, when a pool of tainted nodes that joins today keeps its pods off.

use super::{Inventory, NodeGroup, Slot};
use crate::domain::node::Taint;
use crate::domain::placement;
use crate::domain::pod::PodSpec;

impl Inventory {
    /// As [`Self::groups`], with the taints that young nodes carry now; `None` where they make no difference.
    #[must_use]
    pub fn groups_grown(&self, pod: &PodSpec<'_>) -> Option<Vec<NodeGroup>> {
        let excludes = |slot: &Slot, taints: &[Taint]| {
            !placement::exclusions(pod, &slot.node, &slot.platform, taints).is_empty()
        };
        let grows_off = |slot: &Slot| !excludes(slot, &[]) && excludes(slot, &slot.taints);
        let mut candidates = self.candidates(pod);
        let mut differs = false;
        for (_, id) in &self.young {
            let id = *id as usize;
            if self.slots[id].as_ref().is_some_and(grows_off) {
                candidates.remove(id);
                differs = true;
            }
        }
        differs.then(|| self.groups_of(pod, &candidates))
    }
}
