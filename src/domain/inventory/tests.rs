//! The inventory against the rule asked node by node: the recorded placements, and pods drawn at random.

use serde::Deserialize;

use super::*;
use crate::domain::pod::Pod;

#[derive(Deserialize)]
struct Case<'a> {
    id: String,
    #[serde(borrow)]
    pod: Pod<'a>,
    node: Node,
    candidate: bool,
    why: Option<String>,
}

fn cases() -> impl Iterator<Item = Case<'static>> {
    let lines = include_str!("../../../tests/data/placement-vectors.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap())
}

/// The words of the vectors for our exclusions.
fn reasons(found: &[Exclusion]) -> String {
    let word = |exclusion: &Exclusion| match exclusion {
        Exclusion::Taint(taint) => format!("taint:{}", taint.effect),
        other => other.to_string(),
    };
    let mut words: Vec<String> = found.iter().map(word).collect();
    words.dedup();
    words.join(",")
}

#[test]
fn other_rules_see_the_nodes_that_are_held() {
    let node = |name: &str| -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "labels": {"pool": "edge"}},
            "spec": {"taints": [{"key": "agent", "effect": "NoSchedule"}]},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64"}},
        }))
        .unwrap()
    };
    let held = |inventory: &Inventory| {
        let groups = inventory.groups(&PodSpec::default()).into_iter();
        let told = groups.map(|group| {
            let emulates = group.platform.emulates.join(" ");
            format!(
                "{} pools:{} emulates:{emulates}",
                group.candidates, group.are_pools
            )
        });
        told.collect::<Vec<_>>()
    };
    let rules = |agent: &str, emulates: &str, pools: &[&str]| NodeRules {
        agent_taints: vec![agent.to_owned()],
        overrides: vec![NodeOverride {
            match_labels: [("pool".to_owned(), "edge".to_owned())].into(),
            emulates: vec![emulates.to_owned()],
            ..NodeOverride::default()
        }],
        pools: pools.iter().map(|name| node(name)).collect(),
        ..Default::default()
    };
    let mut inventory = Inventory::new(rules("other", "arm64", &["pool:a"]));
    inventory.apply(node("n"));
    assert_eq!(
        held(&inventory),
        [
            "0 pools:false emulates:arm64",
            "0 pools:true emulates:arm64"
        ]
    );
    inventory.set_rules(rules("agent", "s390x", &["pool:b", "pool:c"]));
    assert_eq!(
        held(&inventory),
        [
            "1 pools:false emulates:s390x",
            "2 pools:true emulates:s390x"
        ]
    );
    inventory.set_rules(rules("agent", "s390x", &[]));
    assert_eq!(held(&inventory), ["1 pools:false emulates:s390x"]);
    inventory.remove("n");
    assert!(inventory.is_empty());
}

#[test]
fn recorded_placements() {
    let mut wrong = Vec::new();
    for case in cases() {
        let mut inventory = Inventory::default();
        inventory.apply(case.node.clone());
        let candidates = inventory.candidates(&case.pod.spec).count_ones(..) == 1;
        let slot = inventory.slots[0].as_ref().unwrap();
        let why = reasons(&placement::exclusions(
            &case.pod.spec,
            &slot.node,
            &slot.platform,
            &slot.taints,
        ));
        if candidates != case.candidate || why != case.why.clone().unwrap_or_default() {
            wrong.push(format!(
                "{}: candidate {candidates} because of {why:?}, recorded {:?}",
                case.id, case.why
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// All recorded nodes in one inventory, each pod asked against all of them: the index and the rule must agree, also
/// after nodes left and came back.
#[test]
fn the_index_answers_as_every_node_would() {
    let mut inventory = Inventory::default();
    let nodes: Vec<Node> = cases().map(|case| case.node).collect();
    for node in nodes.iter().chain(nodes.iter().take(100)) {
        inventory.apply(node.clone());
    }
    for node in nodes.iter().step_by(3) {
        inventory.remove(&node.metadata.name);
    }
    for node in nodes.iter().step_by(6) {
        inventory.apply(node.clone());
    }
    for case in cases() {
        let spec = &case.pod.spec;
        let indexed = inventory.candidates(spec);
        for (id, slot) in inventory.slots.iter().enumerate() {
            let Some(slot) = slot else { continue };
            let rule =
                placement::exclusions(spec, &slot.node, &slot.platform, slot.taints()).is_empty();
            assert_eq!(
                indexed.contains(id),
                rule,
                "{} on {}",
                case.id,
                slot.node.metadata.name
            );
        }
    }
}

/// The API server refuses fields other than `metadata.name`; the scheduler's code takes them for empty.
#[test]
fn fields_that_nodes_lack_are_empty() {
    let mut inventory = Inventory::default();
    inventory.apply(Node {
        metadata: serde_json::from_str(r#"{"name":"a"}"#).unwrap(),
        ..Node::default()
    });
    for (key, value, want) in [
        ("metadata.name", "a", 1),
        ("metadata.name", "", 0),
        ("metadata.namespace", "", 1),
        ("metadata.namespace", "a", 0),
    ] {
        let json = format!(
            r#"{{"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[
                {{"matchFields":[{{"key":"{key}","operator":"In","values":["{value}"]}}]}}]}}}}}}}}"#
        );
        let pod: PodSpec<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(
            inventory.candidates(&pod).count_ones(..),
            want,
            "{key} In {value:?}"
        );
    }
}

#[test]
fn groups_count_nodes_and_candidates() {
    let node = |name: &str, os: &str, pool: &str| -> Node {
        let info = format!(
            r#"{{"operatingSystem":"{os}","architecture":"amd64","kernelVersion":"10.0.17763.1"}}"#
        );
        let json = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"pool":"{pool}"}}}},"status":{{"nodeInfo":{info}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    let mut inventory = Inventory::default();
    for (name, os, pool) in [
        ("a", "linux", "x"),
        ("b", "linux", "y"),
        ("c", "windows", "x"),
    ] {
        inventory.apply(node(name, os, pool));
    }
    let pod: PodSpec<'_> = serde_json::from_str(r#"{"nodeSelector":{"pool":"x"}}"#).unwrap();
    let counts = |inventory: &Inventory| -> Vec<_> {
        inventory
            .groups(&pod)
            .iter()
            .map(|g| (g.platform.describe(), g.candidates, g.nodes))
            .collect()
    };
    let linux = ("linux/amd64".to_owned(), 1, 2);
    assert_eq!(
        counts(&inventory),
        [linux.clone(), ("windows/amd64 10.0.17763".to_owned(), 1, 1)]
    );
    inventory.remove("c");
    inventory.remove("never seen");
    assert_eq!(counts(&inventory), [linux]);
    let excluded = inventory.exclusions(&pod, &inventory.groups(&pod)[0]);
    assert_eq!(excluded, [(Exclusion::NodeSelector, 1)]);
}

#[test]
fn taints_of_a_young_node_count_when_it_has_grown_up() {
    let json = r#"{"metadata":{"name":"new","creationTimestamp":"2026-03-06T15:00:00Z"},"spec":{"taints":[
        {"key":"agent","effect":"NoSchedule"}]},"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"amd64"}}}"#;
    let node: Node = serde_json::from_str(json).unwrap();
    let created = node.metadata.created().unwrap();
    let mut inventory = Inventory::default();
    let candidates = |inventory: &Inventory| inventory.groups(&PodSpec::default())[0].candidates;
    inventory.apply(node.clone());
    assert_eq!(
        (candidates(&inventory), inventory.next_change()),
        (0, None),
        "without a clock no node is young"
    );
    inventory.advance(created + 10);
    inventory.apply(node.clone());
    assert_eq!(
        (candidates(&inventory), inventory.next_change()),
        (1, Some(created + 600))
    );
    inventory.advance(created + 600);
    assert_eq!((candidates(&inventory), inventory.next_change()), (0, None));
    inventory.remove("new");
    inventory.advance(created + 10);
    inventory.apply(node);
    inventory.remove("new");
    assert_eq!((inventory.len(), inventory.next_change()), (0, None));
}

#[test]
fn what_lasts_is_placed_by_the_taints_that_young_nodes_will_keep() {
    let node = |name: &str, taints: &str| -> Node {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"pool":"x"}},"creationTimestamp":"2026-03-06T15:00:00Z"}},"spec":{{"taints":{taints}}},
                "status":{{"nodeInfo":{{"operatingSystem":"linux","architecture":"amd64"}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    let tainted = node("tainted", r#"[{"key":"windows","effect":"NoSchedule"}]"#);
    let created = tainted.metadata.created().unwrap();
    let mut inventory = Inventory::default();
    inventory.advance(created + 10);
    inventory.apply(node("plain", "[]"));
    inventory.apply(tainted);
    let pod = |json: &'static str| -> PodSpec<'static> { serde_json::from_str(json).unwrap() };
    let (free, tolerant, elsewhere) = (
        pod("{}"),
        pod(r#"{"tolerations":[{"key":"windows","operator":"Exists"}]}"#),
        pod(r#"{"nodeSelector":{"pool":"y"}}"#),
    );
    let counts = |groups: Option<Vec<NodeGroup>>| groups.map(|groups| groups[0].candidates);
    assert_eq!(counts(Some(inventory.groups(&free))), Some(2));
    assert_eq!(counts(inventory.groups_grown(&free)), Some(1));
    assert_eq!(
        counts(inventory.groups_grown(&tolerant)),
        None,
        "no difference"
    );
    assert_eq!(
        counts(inventory.groups_grown(&elsewhere)),
        None,
        "never there"
    );
    inventory.advance(created + 600);
    assert_eq!(counts(Some(inventory.groups(&free))), Some(1));
    assert_eq!(counts(inventory.groups_grown(&free)), None, "grown up");
}

#[test]
fn spec_os_narrows_what_it_does_not_steer() {
    let node = |name: &str, os: &str| -> Node {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}"}},"status":{{"nodeInfo":{{"operatingSystem":"{os}","architecture":"amd64"}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    let mut inventory = Inventory::default();
    inventory.replace_all(vec![node("a", "linux"), node("b", "windows")]);
    let pod: PodSpec<'_> = serde_json::from_str(r#"{"os":{"name":"linux"}}"#).unwrap();
    let groups = inventory.groups(&pod);
    let counts: Vec<_> = groups
        .iter()
        .map(|group| (group.candidates, group.refused_by_os))
        .collect();
    assert_eq!(counts, [(1, 0), (0, 1)]);
}

#[test]
fn declared_pools_count_beside_nodes_and_outlive_them() {
    let node = |name: &str| -> Node {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}"}},"status":{{"nodeInfo":{{"operatingSystem":"linux","architecture":"amd64"}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    let rules = NodeRules {
        pools: vec![node("big")],
        ..NodeRules::default()
    };
    let mut inventory = Inventory::new(rules);
    inventory.replace_all(vec![node("a"), node("b")]);
    let groups = |inventory: &Inventory| -> Vec<_> {
        inventory
            .groups(&PodSpec::default())
            .iter()
            .map(|group| (group.are_pools, group.nodes))
            .collect()
    };
    assert_eq!(groups(&inventory), [(false, 2), (true, 1)]);
    inventory.replace_all(Vec::new());
    assert_eq!(groups(&inventory), [(true, 1)]);
}
