//! Nodes by what they are tainted with.
//!
//! Nodes that have the same keys and effects are of one shape, whatever the values: a taint may carry a value of its own
//! on every node. A toleration then asks few shapes, and of each the values that it names.

use ahash::{HashMap, HashSet};

use crate::domain::node::Taint;
use crate::domain::placement::{covers, tolerates};
use crate::domain::pod::Toleration;

use super::nodes::{Nodes, Selected};

/// What keeps pods off nodes.
#[derive(Debug, Default)]
pub(super) struct TaintIndex {
    untainted: Selected,
    shapes: HashMap<Shape, ShapeNodes>,
    by_key: HashMap<String, HashSet<Shape>>,
    /// Each shape under one of its keys only, the rarest: where many nodes have a common taint and one of their own, a pod
    /// that tolerates the common one does not meet them all.
    by_rarest: HashMap<String, HashSet<Shape>>,
    /// Nodes all of whose taints have the same effect.
    only_no_schedule: Nodes,
    only_no_execute: Nodes,
    /// Nodes with two values for a key and effect, which the API server refuses and a file may have.
    odd: HashMap<u32, Vec<Taint>>,
}

/// The effects that keep pods away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Effect {
    NoExecute,
    NoSchedule,
}

/// Keys and effects in order, each once.
type Shape = Vec<(String, Effect)>;

#[derive(Debug, Default)]
struct ShapeNodes {
    nodes: Nodes,
    rarest: String,
    /// By the value of each taint, in the order of the shape.
    values: Vec<HashMap<String, Nodes>>,
}

impl TaintIndex {
    pub(super) fn insert(&mut self, taints: &[Taint], id: u32) {
        self.untainted.grow(id as usize + 1);
        let Some((shape, values)) = shape_of(taints) else {
            self.odd.insert(id, taints.to_vec());
            return;
        };
        if shape.is_empty() {
            return self.untainted.insert(id as usize);
        }
        if let Some(only) = self.only(&shape) {
            only.insert(id);
        }
        if !self.shapes.contains_key(&shape) {
            self.learn(&shape);
        }
        let of_shape = self.shapes.entry(shape).or_default();
        of_shape.nodes.insert(id);
        of_shape.values.resize_with(values.len(), HashMap::default);
        for (by_value, value) in of_shape.values.iter_mut().zip(values) {
            by_value.entry(value).or_default().insert(id);
        }
    }

    pub(super) fn remove(&mut self, taints: &[Taint], id: u32) {
        let Some((shape, values)) = shape_of(taints) else {
            self.odd.remove(&id);
            return;
        };
        if shape.is_empty() {
            return self.untainted.set(id as usize, false);
        }
        if let Some(only) = self.only(&shape) {
            only.remove(id);
        }
        let Some(of_shape) = self.shapes.get_mut(&shape) else {
            return;
        };
        of_shape.nodes.remove(id);
        for (by_value, value) in of_shape.values.iter_mut().zip(values) {
            if let Some(nodes) = by_value.get_mut(&value) {
                nodes.remove(id);
                if nodes.is_empty() {
                    by_value.remove(&value);
                }
            }
        }
        if of_shape.nodes.is_empty() {
            self.forget(&shape);
        }
    }

    fn learn(&mut self, shape: &Shape) {
        let shapes_of = |(key, _): &&(String, Effect)| self.by_key.get(key).map_or(0, HashSet::len);
        let rarest = shape.iter().min_by_key(shapes_of);
        let rarest = rarest.map_or_else(String::new, |(key, _)| key.clone());
        for (key, _) in shape {
            file(&mut self.by_key, key, shape);
        }
        file(&mut self.by_rarest, &rarest, shape);
        self.shapes.insert(
            shape.clone(),
            ShapeNodes {
                rarest,
                ..ShapeNodes::default()
            },
        );
    }

    fn forget(&mut self, shape: &Shape) {
        if let Some(known) = self.shapes.remove(shape) {
            unfile(&mut self.by_rarest, &known.rarest, shape);
        }
        for (key, _) in shape {
            unfile(&mut self.by_key, key, shape);
        }
    }

    /// The nodes whose taints have all the effect that all those of the shape have, if they do.
    fn only(&mut self, shape: &Shape) -> Option<&mut Nodes> {
        let (_, first) = shape.first()?;
        let uniform = shape.iter().all(|(_, effect)| effect == first);
        uniform.then_some(match first {
            Effect::NoSchedule => &mut self.only_no_schedule,
            Effect::NoExecute => &mut self.only_no_execute,
        })
    }

    /// The nodes of `all` whose taints are all tolerated.
    pub(super) fn tolerated(&self, tolerations: &[Toleration<'_>], all: &Selected) -> Selected {
        let pod = Tolerant::new(tolerations);
        if pod.every_no_schedule && pod.every_no_execute {
            return all.clone();
        }
        let mut selected = self.untainted.clone();
        if pod.every_no_schedule {
            self.only_no_schedule.add_to(&mut selected);
        }
        if pod.every_no_execute {
            self.only_no_execute.add_to(&mut selected);
        }
        if pod.names_no_key {
            for (shape, nodes) in &self.shapes {
                pod.add_tolerated(shape, nodes, &mut selected);
            }
        }
        // All taints of a shape must be tolerated, each by its key or by its effect: one key is enough to find it by. An
        // effect that is tolerated whatever the key leaves open which one.
        let by_effect = pod.every_no_schedule || pod.every_no_execute;
        let shapes = if by_effect {
            &self.by_key
        } else {
            &self.by_rarest
        };
        for toleration in tolerations {
            for shape in shapes.get(&*toleration.key).into_iter().flatten() {
                if !by_effect || pod.first_open_key(shape) == Some(&*toleration.key) {
                    pod.add_tolerated(shape, &self.shapes[shape], &mut selected);
                }
            }
        }
        for (id, taints) in &self.odd {
            if repelling(taints).all(|taint| tolerates(tolerations, taint)) {
                selected.grow(*id as usize + 1);
                selected.insert(*id as usize);
            }
        }
        selected
    }
}

fn file(shapes: &mut HashMap<String, HashSet<Shape>>, key: &str, shape: &Shape) {
    let of_key = shapes.entry(key.to_owned()).or_default();
    of_key.insert(shape.clone());
}

fn unfile(shapes: &mut HashMap<String, HashSet<Shape>>, key: &str, shape: &Shape) {
    if let Some(of_key) = shapes.get_mut(key) {
        of_key.remove(shape);
        if of_key.is_empty() {
            shapes.remove(key);
        }
    }
}

/// What a pod tolerates.
struct Tolerant<'a> {
    tolerations: &'a [Toleration<'a>],
    /// Tolerates every taint of the effect.
    every_no_schedule: bool,
    every_no_execute: bool,
    /// Tolerates a value whatever the key, which the API server refuses and a file may have.
    names_no_key: bool,
}

impl<'a> Tolerant<'a> {
    fn new(tolerations: &'a [Toleration<'a>]) -> Self {
        let nameless = || {
            tolerations
                .iter()
                .filter(|toleration| toleration.key.is_empty())
        };
        let every = |effect: Effect| {
            nameless().any(|toleration| {
                &*toleration.operator == "Exists" && effect.is_meant_by(&toleration.effect)
            })
        };
        Self {
            tolerations,
            every_no_schedule: every(Effect::NoSchedule),
            every_no_execute: every(Effect::NoExecute),
            names_no_key: nameless().any(|toleration| &*toleration.operator != "Exists"),
        }
    }

    fn tolerates_every(&self, effect: Effect) -> bool {
        match effect {
            Effect::NoSchedule => self.every_no_schedule,
            Effect::NoExecute => self.every_no_execute,
        }
    }

    /// The first key of a shape that not every pod with such tolerations tolerates.
    fn first_open_key<'s>(&self, shape: &'s Shape) -> Option<&'s str> {
        let mut open = shape
            .iter()
            .filter(|(_, effect)| !self.tolerates_every(*effect));
        open.next().map(|(key, _)| key.as_str())
    }

    /// Adds the nodes of a shape whose taints are all tolerated.
    fn add_tolerated(&self, shape: &Shape, nodes: &ShapeNodes, selected: &mut Selected) {
        let mut choices: Vec<Vec<&Nodes>> = Vec::new();
        for ((key, effect), values) in shape.iter().zip(&nodes.values) {
            match self.choice(key, *effect, values) {
                Choice::Every => {}
                Choice::Of(sets) if sets.is_empty() => return,
                Choice::Of(sets) => choices.push(sets),
            }
        }
        let Some((last, others)) = choices.split_last() else {
            return nodes.nodes.add_to(selected);
        };
        if others.is_empty() {
            return last.iter().for_each(|set| set.add_to(selected));
        }
        let any = |sets: &[&Nodes]| {
            let mut any = Selected::with_capacity(selected.len());
            sets.iter().for_each(|set| set.add_to(&mut any));
            any
        };
        let mut both = any(last);
        for sets in others {
            both.intersect_with(&any(sets));
        }
        selected.union_with(&both);
    }

    /// Which values of a taint are tolerated.
    fn choice<'s>(
        &self,
        key: &str,
        effect: Effect,
        values: &'s HashMap<String, Nodes>,
    ) -> Choice<'s> {
        if self.tolerates_every(effect) {
            return Choice::Every;
        }
        let mut sets = Vec::new();
        for toleration in self.tolerations {
            let is_key = toleration.key.is_empty() || *toleration.key == *key;
            if !is_key || !effect.is_meant_by(&toleration.effect) {
                continue;
            }
            match &*toleration.operator {
                "Exists" => return Choice::Every,
                "" | "Equal" => sets.extend(values.get(&*toleration.value)),
                _ => {
                    let fitting = values.iter().filter(|(value, _)| {
                        let taint = Taint {
                            key: key.to_owned(),
                            value: (*value).clone(),
                            effect: effect.name().to_owned(),
                        };
                        covers(toleration, &taint)
                    });
                    sets.extend(fitting.map(|(_, nodes)| nodes));
                }
            }
        }
        Choice::Of(sets)
    }
}

enum Choice<'s> {
    Every,
    Of(Vec<&'s Nodes>),
}

impl Effect {
    fn of(taint: &Taint) -> Option<Self> {
        match taint.effect.as_str() {
            "NoSchedule" => Some(Self::NoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }

    /// Whether a toleration of that effect is one of this; the empty one is of every effect.
    fn is_meant_by(self, effect: &str) -> bool {
        effect.is_empty() || effect == self.name()
    }
}

fn repelling(taints: &[Taint]) -> impl Iterator<Item = &Taint> {
    taints.iter().filter(|taint| Effect::of(taint).is_some())
}

/// The shape of a node's taints, and their values in its order; `None` where a key and effect has two values.
fn shape_of(taints: &[Taint]) -> Option<(Shape, Vec<String>)> {
    let parts = |taint: &Taint| {
        let kind = (taint.key.clone(), Effect::of(taint)?);
        Some((kind, taint.value.clone()))
    };
    let mut parts: Vec<_> = taints.iter().filter_map(parts).collect();
    parts.sort();
    parts.dedup();
    let is_odd = parts.windows(2).any(|pair| pair[0].0 == pair[1].0);
    (!is_odd).then(|| parts.into_iter().unzip())
}
