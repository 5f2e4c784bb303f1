//! Sets of nodes by their number. What a set costs follows its size: a few nodes are a list, many are bits. A hostname
//! has one node, a zone has thousands, and both are met at the same price.

use fixedbitset::FixedBitSet;

/// The nodes that are left while a pod's rules are applied one by one.
pub(super) type Selected = FixedBitSet;

/// Longest list: beyond it, bits are as quick to apply, and at 15,000 nodes they take 2 KB.
const FEW: usize = 96;

/// A set of nodes, as an index keeps it.
#[derive(Debug, Clone)]
pub(super) enum Nodes {
    /// In ascending order.
    Few(Vec<u32>),
    Many(FixedBitSet, usize),
}

impl Default for Nodes {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Nodes {
    pub(super) fn insert(&mut self, id: u32) {
        match self {
            Self::Few(ids) => {
                if let Err(at) = ids.binary_search(&id) {
                    ids.insert(at, id);
                }
                if ids.len() > FEW {
                    let bits = ids.iter().map(|id| *id as usize).collect();
                    *self = Self::Many(bits, FEW + 1);
                }
            }
            Self::Many(bits, len) => {
                bits.grow(id as usize + 1);
                *len += usize::from(!bits.put(id as usize));
            }
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        match self {
            Self::Few(ids) => {
                if let Ok(at) = ids.binary_search(&id) {
                    ids.remove(at);
                }
            }
            Self::Many(bits, len) => {
                *len -= usize::from(bits.contains(id as usize));
                if bits.contains(id as usize) {
                    bits.remove(id as usize);
                }
                // Not at once, lest a set at the limit changes its form with every node.
                if *len < FEW / 2 {
                    let ids = bits.ones().filter_map(|id| u32::try_from(id).ok());
                    *self = Self::Few(ids.collect());
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(ids) if ids.is_empty())
    }

    /// The set by itself.
    pub(super) fn to_selected(&self) -> Selected {
        match self {
            Self::Few(ids) => {
                let end = ids.last().map_or(0, |id| *id as usize + 1);
                let mut selected = Selected::with_capacity(end);
                self.add_to(&mut selected);
                selected
            }
            Self::Many(bits, _) => bits.clone(),
        }
    }

    /// Adds the set to what is selected.
    pub(super) fn add_to(&self, selected: &mut Selected) {
        match self {
            Self::Few(ids) => {
                for id in ids {
                    selected.grow(*id as usize + 1);
                    selected.insert(*id as usize);
                }
            }
            Self::Many(bits, _) => selected.union_with(bits),
        }
    }

    /// Leaves of what is selected no more than the set.
    pub(super) fn keep_in(&self, selected: &mut Selected) {
        match self {
            Self::Few(ids) => {
                // Every review comes by here: a list on the stack.
                let (mut kept, mut len) = ([0_u32; FEW], 0);
                for id in ids.iter().filter(|id| selected.contains(**id as usize)) {
                    kept[len] = *id;
                    len += 1;
                }
                selected.clear();
                kept[..len]
                    .iter()
                    .for_each(|id| selected.insert(*id as usize));
            }
            Self::Many(bits, _) => selected.intersect_with(bits),
        }
    }

    /// Takes the set out of what is selected.
    pub(super) fn take_from(&self, selected: &mut Selected) {
        match self {
            Self::Few(ids) => {
                for id in ids {
                    if selected.contains(*id as usize) {
                        selected.remove(*id as usize);
                    }
                }
            }
            Self::Many(bits, _) => selected.difference_with(bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn filled(ids: &BTreeSet<u32>) -> Nodes {
        let mut nodes = Nodes::default();
        ids.iter().for_each(|id| nodes.insert(*id));
        nodes
    }

    fn ids(selected: &Selected) -> BTreeSet<u32> {
        selected
            .ones()
            .map(|id| u32::try_from(id).unwrap())
            .collect()
    }

    fn set() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            prop::collection::btree_set(0..400_u32, 0..8),
            prop::collection::btree_set(0..400_u32, 0..300),
        ]
    }

    proptest! {
        /// Whatever form a set has, and had before nodes left it, it does what a set does.
        #[test]
        fn few_or_many_they_are_a_set(all in set(), gone in set(), others in set()) {
            let mut nodes = filled(&all);
            gone.iter().for_each(|id| nodes.remove(*id));
            let left: BTreeSet<u32> = &all - &gone;
            prop_assert_eq!(nodes.is_empty(), left.is_empty());
            prop_assert_eq!(ids(&nodes.to_selected()), left.clone());
            let start: Selected = others.iter().map(|id| *id as usize).collect();
            let apply = |change: fn(&Nodes, &mut Selected)| {
                let mut selected = start.clone();
                change(&nodes, &mut selected);
                ids(&selected)
            };
            prop_assert_eq!(apply(Nodes::add_to), &others | &left);
            prop_assert_eq!(apply(Nodes::keep_in), &others & &left);
            prop_assert_eq!(apply(Nodes::take_from), &others - &left);
        }
    }
}
