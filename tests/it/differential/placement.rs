//! Which nodes are candidates for a pod: the scheduler's rules, and the kubelet's for a pod that is bound.

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
