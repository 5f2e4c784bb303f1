//! The platforms that there are, and the numbers of their nodes.

use std::sync::Arc;

use crate::domain::node::NodePlatform;

use super::nodes::Selected;

/// Numbers are given out in blocks, each to one platform: what one word of a set says is of one platform, and counting
/// the candidates of all platforms is one pass.
const BLOCK: u32 = usize::BITS;

/// Every platform that has a node.
#[derive(Debug, Default)]
pub(super) struct Platforms {
    /// In the order of the platforms, so that answers are stable.
    groups: Vec<PlatformNodes>,
    /// Blocks of numbers that no platform holds any more, and the first that none has held.
    free_blocks: Vec<u32>,
    next_block: u32,
}

#[derive(Debug)]
pub(super) struct PlatformNodes {
    pub(super) platform: Arc<NodePlatform>,
    pub(super) are_pools: bool,
    /// The blocks whose numbers its nodes have.
    blocks: Vec<u32>,
    /// Numbers of them that no node has.
    free: Vec<u32>,
    pub(super) len: u64,
}

impl PlatformNodes {
    /// How many of the selected nodes are of the platform.
    pub(super) fn count(&self, selected: &Selected) -> u64 {
        let words = selected.as_slice();
        let of_blocks = self.blocks.iter().map(|block| words.get(*block as usize));
        // Most words of a large cluster are empty by now, and not every processor of ours counts bits by itself.
        let some = of_blocks.flatten().filter(|word| **word != 0);
        some.map(|word| u64::from(word.count_ones())).sum()
    }

    /// The numbers of the selected nodes that are of the platform.
    pub(super) fn of<'a>(&'a self, selected: &'a Selected) -> impl Iterator<Item = u32> + 'a {
        let numbers = self
            .blocks
            .iter()
            .flat_map(|block| block * BLOCK..(block + 1) * BLOCK);
        numbers.filter(|id| selected.contains(*id as usize))
    }
}

impl Platforms {
    pub(super) fn iter(&self) -> impl Iterator<Item = &PlatformNodes> {
        self.groups.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// All numbers that were ever given out are below this one.
    pub(super) fn end(&self) -> usize {
        (self.next_block * BLOCK) as usize
    }

    /// Gives a new node of a platform its number.
    pub(super) fn add(
        &mut self,
        platform: NodePlatform,
        are_pools: bool,
    ) -> (Arc<NodePlatform>, u32) {
        let wanted = (&platform, are_pools);
        let order = |group: &PlatformNodes| (&*group.platform, group.are_pools).cmp(&wanted);
        let at = self.groups.binary_search_by(order).unwrap_or_else(|at| {
            let group = PlatformNodes {
                platform: Arc::new(platform),
                are_pools,
                blocks: Vec::new(),
                free: Vec::new(),
                len: 0,
            };
            self.groups.insert(at, group);
            at
        });
        let group = &mut self.groups[at];
        let id = group.free.pop().unwrap_or_else(|| {
            let block = self.free_blocks.pop().unwrap_or(self.next_block);
            self.next_block = self.next_block.max(block + 1);
            let first = block * BLOCK;
            group.blocks.push(block);
            group.free = (first + 1..first + BLOCK).rev().collect();
            first
        });
        group.len += 1;
        (Arc::clone(&group.platform), id)
    }

    /// Takes the number of a node that has gone.
    pub(super) fn remove(&mut self, platform: &Arc<NodePlatform>, id: u32) {
        let of_platform = |group: &PlatformNodes| Arc::ptr_eq(&group.platform, platform);
        let Some(at) = self.groups.iter().position(of_platform) else {
            return;
        };
        let group = &mut self.groups[at];
        group.len -= 1;
        group.free.push(id);
        if group.len == 0 {
            self.free_blocks.extend(self.groups.remove(at).blocks);
        }
    }
}
