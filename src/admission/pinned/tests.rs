//! Pinned pods land on the nodes that they could land on before and that can run them, whatever they required before.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::decision::{Assessment, GroupVerdict, Joint};
use crate::domain::inventory::Inventory;
use crate::domain::node::Node;
use crate::domain::pinning::pinning;
use crate::domain::placement;
use crate::domain::pod::PodSpec;

/// Platforms of nodes: os, arch, windows build.
const PLATFORMS: [(&str, &str, &str); 7] = [
    ("linux", "amd64", ""),
    ("linux", "arm64", ""),
    ("linux", "s390x", ""),
    ("windows", "amd64", "10.0.14393"),
    ("windows", "amd64", "10.0.17763"),
    ("windows", "amd64", "10.0.20348"),
    ("windows", "arm64", "10.0.20348"),
];

fn node(number: usize, platform: usize) -> Node {
    let (os, arch, build) = PLATFORMS[platform];
    let mut labels = json!({"kubernetes.io/os": os, "kubernetes.io/arch": arch, "zone": format!("z{}", number % 3),
        "number": number.to_string()});
    if !build.is_empty() {
        labels["node.kubernetes.io/windows-build"] = build.into();
    }
    let node = json!({
        "metadata": {"name": format!("node-{number}"), "labels": labels},
        "status": {"nodeInfo": {"operatingSystem": os, "architecture": arch, "kernelVersion": format!("{build}.1"),
            "containerRuntimeVersion": "containerd://2.2.0"}},
    });
    serde_json::from_value(node).unwrap()
}

fn expressions() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        Just(json!({"key": "zone", "operator": "In", "values": ["z0", "z1"]})),
        Just(json!({"key": "zone", "operator": "NotIn", "values": ["z0"]})),
        Just(json!({"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]})),
        Just(json!({"key": "kubernetes.io/arch", "operator": "NotIn", "values": ["s390x"]})),
        Just(json!({"key": "number", "operator": "Gt", "values": ["3"]})),
        Just(json!({"key": "gpu", "operator": "DoesNotExist"})),
        Just(json!({"key": "gpu", "operator": "Nonsense"})),
    ];
    proptest::collection::vec(one, 0..3).prop_map(Value::from)
}

fn term() -> impl Strategy<Value = Value> {
    let field = json!([{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]);
    prop_oneof![
        4 => expressions().prop_map(|expressions| json!({"matchExpressions": expressions})),
        1 => expressions().prop_map(move |expressions| json!({"matchExpressions": expressions, "matchFields": field})),
        1 => Just(json!({})),
        1 => Just(json!({"matchExpressions": null})),
    ]
}

fn spec() -> impl Strategy<Value = Value> {
    let terms = proptest::option::of(proptest::collection::vec(term(), 0..4));
    let selector = prop_oneof![
        4 => Just(Value::Null),
        1 => Just(json!({})),
        1 => Just(json!({"zone": "z1"})),
        1 => Just(json!({"kubernetes.io/os": "windows"})),
    ];
    (terms, selector).prop_map(|(terms, selector)| {
        let mut spec = json!({"containers": [], "nodeSelector": selector, "affinity": {"podAffinity": {"kept": 1}}});
        if let Some(terms) = terms {
            spec["affinity"]["nodeAffinity"] = json!({"preferredDuringSchedulingIgnoredDuringExecution": ["kept"],
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        }
        spec
    })
}

fn candidates(spec: &Value, nodes: &[Node]) -> BTreeSet<usize> {
    let spec = PodSpec::deserialize(spec).unwrap();
    let may = |node: &Node| {
        let platform = crate::domain::node::NodePlatform::with_overrides(node, &[]);
        placement::exclusions(&spec, node, &platform, &[]).is_empty()
    };
    let numbers = nodes.iter().enumerate().filter(|(_, node)| may(node));
    numbers.map(|(number, _)| number).collect()
}

/// What the verdicts would be if exactly these platforms could run the pod.
fn assessment(spec: &Value, nodes: &[Node], able: &BTreeSet<usize>) -> Assessment<'static> {
    let mut inventory = Inventory::default();
    nodes.iter().for_each(|node| inventory.apply(node.clone()));
    let groups = inventory.groups(&PodSpec::deserialize(spec).unwrap());
    let verdict = |group: crate::domain::inventory::NodeGroup| {
        let is_able = able.iter().any(|at| {
            let (os, arch, build) = PLATFORMS[*at];
            let version = group.platform.windows.map(|version| version.to_string());
            group.platform.os == os
                && group.platform.architecture == arch
                && version.unwrap_or_default() == build
        });
        GroupVerdict {
            group,
            images: Vec::new(),
            joint: if is_able {
                Joint::Runs
            } else {
                Joint::CannotRun
            },
            excluded: Vec::new(),
        }
    };
    Assessment {
        images: Vec::new(),
        groups: groups.into_iter().map(verdict).collect(),
        implied: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_nodes_of_a_pinned_pod_are_those_of_before_that_can_run_it(
        spec in spec(),
        platforms in proptest::collection::vec(0..PLATFORMS.len(), 1..12),
        able in proptest::collection::btree_set(0..PLATFORMS.len(), 1..6),
    ) {
        let nodes: Vec<Node> = platforms.iter().enumerate().map(|(number, at)| node(number, *at)).collect();
        let before = candidates(&spec, &nodes);
        let right: BTreeSet<usize> = before.iter().copied().filter(|number| able.contains(&platforms[*number])).collect();
        let found = pinning(&assessment(&spec, &nodes, &able));
        // These labels tell every platform from every other, so what may land wrong can be pinned.
        prop_assert_eq!(found.is_some(), !right.is_empty() && right != before);
        let Some(found) = found else { return Ok(()) };

        let mut pinned = spec.clone();
        pin_spec(&mut pinned, &found);
        prop_assert_eq!(candidates(&pinned, &nodes), right, "{} as {}", found, pinned);
        prop_assert!(pinning(&assessment(&pinned, &nodes, &able)).is_none(), "once is enough");
        prop_assert_eq!(&pinned["affinity"]["podAffinity"], &spec["affinity"]["podAffinity"]);
        let preferred = "/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
        prop_assert_eq!(pinned.pointer(preferred), spec.pointer(preferred));
        let patch = json_patch::diff(&spec, &pinned);
        let mut patched = spec.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        prop_assert_eq!(patched, pinned);
    }
}
