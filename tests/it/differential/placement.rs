//! Which nodes are candidates for a pod: the scheduler's rules, and the kubelet's for a pod that is bound.

use std::collections::BTreeMap;

use platform_gate::domain::inventory::{Inventory, NodeRules};
use platform_gate::domain::node::{Node, NodePlatform, Taint};
use platform_gate::domain::placement::{Exclusion, exclusions, is_passing};
use platform_gate::domain::pod::Pod;
use serde_json::{Value, json};

use super::cluster;
use super::json::smaller;
use super::random::Random;
use super::trial::{Trial, run};

/// Nodes for each pod.
const NODES: usize = 8;

/// A pod and the nodes of its cluster.
#[derive(Debug, Clone)]
struct Placed {
    pod: Value,
    nodes: Vec<Value>,
}

/// 32,000 pairs of pod and node.
#[test]
#[ignore = "needs the oracle: tests/differential/build"]
fn candidates_of_pods() {
    let counts = run(
        "candidates of pods, of 8 nodes each",
        4_000,
        |random: &mut Random| {
            let nodes = (0..NODES)
                .map(|number| cluster::node(random, number))
                .collect();
            Placed {
                pod: cluster::pod(random),
                nodes,
            }
        },
    );
    counts.have(&[("all", 200), ("some", 1_000), ("none", 500)]);
}

/// The inventory against the rule asked of every node, while nodes come, change, grow up and go. Its index has nothing
/// of the rule's code but the comparison of single values.
#[test]
fn the_inventory_answers_as_every_node_would() {
    let mut random = Random::new(7);
    let agents = NodeRules::default().agent_taints;
    let mut inventory = Inventory::default();
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let mut now = 1_700_000_000;
    inventory.advance(now);
    let mut found_some = 0;
    for step in 0..2_500 {
        match random.below(10) {
            0..5 => {
                let number = random.below(260);
                let mut node: Node =
                    serde_json::from_value(cluster::node(&mut random, number)).unwrap();
                if random.percent(20) {
                    let made = time::OffsetDateTime::from_unix_timestamp(now).unwrap();
                    let made = made.format(&time::format_description::well_known::Rfc3339);
                    node.metadata.creation_timestamp = Some(made.unwrap());
                }
                inventory.apply(node.clone());
                nodes.insert(node.metadata.name.clone(), node);
            }
            5..7 => {
                let name = format!("node-{}", random.below(260));
                inventory.remove(&name);
                nodes.remove(&name);
            }
            7 => {
                now += i64::try_from(random.below(400)).unwrap();
                inventory.advance(now);
            }
            _ => {}
        }
        let mut pod = cluster::pod(&mut random);
        if random.percent(10) {
            pod["spec"]["os"] = json!({ "name": "linux" });
        }
        let text = pod.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        let mut want: BTreeMap<NodePlatform, BTreeMap<String, u64>> = BTreeMap::new();
        for node in nodes.values() {
            let is_young = node.metadata.created().is_some_and(|made| made + 600 > now);
            let taints: Vec<Taint> = node.spec.taints.clone();
            let lasting = |taint: &Taint| !is_young && !is_passing(taint, &agents);
            let taints: Vec<Taint> = taints.into_iter().filter(lasting).collect();
            let platform = NodePlatform::of(node);
            let first = exclusions(&pod.spec, node, &platform, &taints)
                .into_iter()
                .next();
            let counts = want.entry(platform).or_default();
            *counts.entry(word(first.as_ref())).or_default() += 1;
        }
        let mut got: BTreeMap<NodePlatform, BTreeMap<String, u64>> = BTreeMap::new();
        for group in inventory.groups(&pod.spec) {
            let counts = got.entry((*group.platform).clone()).or_default();
            if group.candidates > 0 {
                counts.insert(word(None), group.candidates);
            }
            for (exclusion, nodes) in inventory.exclusions(&pod.spec, &group) {
                *counts.entry(word(Some(&exclusion))).or_default() += nodes;
            }
            found_some += u64::from(group.candidates > 0 && group.candidates < group.nodes);
        }
        assert_eq!(inventory.len(), nodes.len() as u64);
        // Of many tainted nodes only some are asked which taint it is, so that sum is no exact one.
        for counts in got.values_mut().chain(want.values_mut()) {
            if counts.get("taint").is_some_and(|nodes| *nodes > 32) {
                counts.insert("taint".to_owned(), u64::MAX);
            }
        }
        assert_eq!(got, want, "at step {step}: {text}");
    }
    assert!(
        found_some > 400,
        "only {found_some} groups had some candidates"
    );
}

/// What a node is to a pod: the first rule that keeps the pod away, all taints being alike.
fn word(exclusion: Option<&Exclusion>) -> String {
    match exclusion {
        None => "candidate".to_owned(),
        Some(Exclusion::Taint(_)) => "taint".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// What keeps a pod off a node, in the oracle's words.
fn why(found: &[Exclusion]) -> Vec<&'static str> {
    let has = |fits: fn(&Exclusion) -> bool| found.iter().any(fits);
    let affinity =
        |found: &Exclusion| matches!(found, Exclusion::NodeSelector | Exclusion::NodeAffinity);
    [
        ("nodeName", has(|found| *found == Exclusion::NodeName)),
        ("affinity", has(affinity)),
        ("taint", has(|found| matches!(found, Exclusion::Taint(_)))),
    ]
    .into_iter()
    .filter_map(|(word, applies)| applies.then_some(word))
    .collect()
}

impl Trial for Placed {
    const MODE: &'static str = "placement";

    fn questions(&self) -> Vec<Value> {
        self.nodes
            .iter()
            .map(|node| json!({ "pod": self.pod, "node": node }))
            .collect()
    }

    fn compare(&self, answers: &[Value]) -> Result<String, String> {
        let text = self.pod.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        // Taints of agents count, as the oracle knows none of them.
        let mut inventory = Inventory::new(NodeRules {
            agent_taints: Vec::new(),
            ..NodeRules::default()
        });
        let mut candidates = 0;
        for (node, answer) in self.nodes.iter().zip(answers) {
            let node: Node = serde_json::from_value(node.clone()).unwrap();
            let lasting: Vec<Taint> = node
                .spec
                .taints
                .iter()
                .filter(|taint| !is_passing(taint, &[]))
                .cloned()
                .collect();
            let found = exclusions(&pod.spec, &node, &NodePlatform::of(&node), &lasting);
            let said: Vec<&str> = answer["why"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if why(&found) != said || found.is_empty() != (answer["candidate"] == true) {
                return Err(format!(
                    "on {}: we say {found:?}, the oracle {answer}",
                    node.metadata.name
                ));
            }
            candidates += u64::from(found.is_empty());
            inventory.apply(node);
        }
        let indexed: u64 = inventory
            .groups(&pod.spec)
            .iter()
            .map(|group| group.candidates)
            .sum();
        if indexed != candidates && inventory.len() == self.nodes.len() as u64 {
            return Err(format!(
                "the inventory finds {indexed} candidates, the oracle {candidates}"
            ));
        }
        let of_all = if candidates == inventory.len() {
            "all"
        } else {
            "some"
        };
        Ok(if candidates == 0 { "none" } else { of_all }.to_owned())
    }

    fn smaller(&self) -> Vec<Self> {
        let with_pod = |pod| Self {
            pod,
            ..self.clone()
        };
        let mut all: Vec<Self> = smaller(&self.pod).into_iter().map(with_pod).collect();
        for (position, node) in self.nodes.iter().enumerate() {
            let mut fewer = self.clone();
            fewer.nodes.remove(position);
            all.push(fewer);
            all.extend(smaller(node).into_iter().map(|node| {
                let mut changed = self.clone();
                changed.nodes[position] = node;
                changed
            }));
        }
        all
    }

    fn show(&self) -> Value {
        json!({ "pod": self.pod, "nodes": self.nodes })
    }
}
