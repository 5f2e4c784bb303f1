//! Random nodes of every platform, and random pods that ask for them in every way that the API server takes.

use serde_json::{Map, Value, json};

use super::random::Random;
use crate::cluster::simulated_nodes::manifest_of;

pub(super) const NODES: usize = 60;
pub(super) const PODS: usize = 500;

/// What the objects of the trial are told by.
pub(super) const LABEL: &str = "trial=placement";

/// Operating system, architecture and kernel.
const PLATFORMS: [(&str, &str, &str); 10] = [
    ("windows", "amd64", "10.0.14393.2551"),
    ("windows", "amd64", "10.0.17763.5458"),
    ("windows", "amd64", "10.0.20348.2402"),
    ("windows", "amd64", "10.0.26100.2314"),
    ("linux", "amd64", "6.8.0"),
    ("linux", "arm64", "6.8.0"),
    ("linux", "arm", "6.1.0"),
    ("linux", "s390x", "6.8.0"),
    ("linux", "ppc64le", "6.8.0"),
    ("linux", "riscv64", "6.8.0"),
];

/// Labels that pods ask for, and what they may be; `-` is the empty value.
const LABELS: [(&str, &str); 6] = [
    ("kubernetes.io/os", "linux linux windows"),
    (
        "kubernetes.io/arch",
        "amd64 amd64 arm64 arm s390x ppc64le riscv64 mips",
    ),
    (
        "node.kubernetes.io/windows-build",
        "10.0.14393 10.0.17763 10.0.20348 10.0.26100 10.0.1",
    ),
    ("topology.kubernetes.io/zone", "a b c"),
    ("example.com/pool", "x y -"),
    ("cores", "4 16 64"),
];

pub(super) fn nodes(random: &mut Random) -> String {
    let items: Vec<Value> = (0..NODES).map(|number| node(random, number)).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn node(random: &mut Random, number: usize) -> Value {
    let (os, architecture, kernel) = PLATFORMS[number % PLATFORMS.len()];
    let name = format!("place-{number}");
    let mut labels = json!({
        "trial": "placement", "kubernetes.io/hostname": name, "kubernetes.io/os": os, "kubernetes.io/arch": architecture,
    });
    if let Some((build, _)) = kernel.rsplit_once('.').filter(|_| os == "windows") {
        labels["node.kubernetes.io/windows-build"] = build.into();
    }
    for (key, values) in &LABELS[3..] {
        if random.percent(75) {
            labels[*key] = random.word(values).into();
        }
    }
    let mut taints = Vec::new();
    if os == "windows" && random.percent(40) {
        taints.push(json!({"key": "os", "value": "windows", "effect": "NoSchedule"}));
    }
    if random.percent(30) {
        let effect = random.word("NoSchedule NoExecute PreferNoSchedule");
        taints.push(json!({"key": "dedicated", "value": random.word("x y -"), "effect": effect}));
    }
    if random.percent(10) {
        taints.push(json!({"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}));
    }
    let mut node = manifest_of(&name, (os, architecture, kernel), &labels, &taints);
    node["spec"]["unschedulable"] = random.percent(10).into();
    node
}

/// RuntimeClasses with scheduling rules, by name.
pub(super) fn classes() -> Vec<(String, Value)> {
    let toleration =
        json!({"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"});
    let windows =
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}, "tolerations": [toleration]});
    let any = json!({"tolerations": [{"key": "dedicated", "operator": "Exists"}]});
    [("place-windows", windows), ("place-dedicated", any)]
        .map(|(name, scheduling)| {
            (
                name.to_owned(),
                json!({"handler": "runc", "scheduling": scheduling}),
            )
        })
        .into()
}

pub(super) fn runtime_classes() -> String {
    let object = |(name, class): (String, Value)| {
        let metadata = json!({"name": name, "labels": {"trial": "placement"}});
        json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": metadata,
            "handler": class["handler"], "scheduling": class["scheduling"],
        })
    };
    let items: Vec<Value> = classes().into_iter().map(object).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Pods as somebody writes them. All of them ask for nodes of the trial.
pub(super) fn pods(random: &mut Random, namespace: &str, image: &str) -> Vec<Value> {
    let pod = |number: usize| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("pod-{number:03}"), "namespace": namespace},
            "spec": spec(random, image),
        })
    };
    (0..PODS).map(pod).collect()
}

fn spec(random: &mut Random, image: &str) -> Value {
    let mut selector = Map::new();
    selector.insert("trial".to_owned(), "placement".into());
    if random.percent(30) {
        let (key, values) = LABELS[random.below(LABELS.len())];
        selector.insert(key.to_owned(), random.word(values).into());
    }
    let mut spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
        "containers": [{"name": "app", "image": image}],
    });
    if random.percent(15) {
        let class = random.word("place-windows place-dedicated");
        // The API server refuses a pod whose selector says otherwise than its class.
        if class == "place-windows" {
            selector.remove("kubernetes.io/os");
        }
        spec["runtimeClassName"] = class.into();
    }
    spec["nodeSelector"] = selector.into();
    if random.percent(60) {
        let terms: Vec<Value> = (0..=random.below(3)).map(|_| term(random)).collect();
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        spec["affinity"] = json!({"nodeAffinity": {required: {"nodeSelectorTerms": terms}}});
    }
    if random.percent(60) {
        let count = random.below(4);
        spec["tolerations"] = (0..count).map(|_| toleration(random)).collect();
    }
    spec
}

fn term(random: &mut Random) -> Value {
    let mut term = json!({});
    // Now and then a term is empty, and matches nothing.
    let expressions: Vec<Value> = (0..random.below(4)).map(|_| requirement(random)).collect();
    if !expressions.is_empty() {
        term["matchExpressions"] = expressions.into();
    }
    if random.percent(12) {
        let name = format!("place-{}", random.below(NODES + 4));
        let operator = random.word("In NotIn");
        term["matchFields"] =
            json!([{"key": "metadata.name", "operator": operator, "values": [name]}]);
    }
    term
}

fn requirement(random: &mut Random) -> Value {
    let operator = random.word("In In In NotIn NotIn Exists DoesNotExist Gt Lt");
    let (key, values) = match &*operator {
        "Gt" | "Lt" => ("cores", "0 4 15 64"),
        _ => LABELS[random.below(LABELS.len())],
    };
    let count = match &*operator {
        "Exists" | "DoesNotExist" => return json!({"key": key, "operator": operator}),
        "Gt" | "Lt" => 1,
        _ => 1 + random.below(2),
    };
    let values: Vec<String> = (0..count).map(|_| random.word(values)).collect();
    json!({"key": key, "operator": operator, "values": values})
}

fn toleration(random: &mut Random) -> Value {
    let key = random.word("os os dedicated dedicated gpu -");
    let operator = if key.is_empty() {
        "Exists".to_owned()
    } else {
        random.word("Exists Equal")
    };
    let mut toleration = json!({"key": key, "operator": operator});
    if operator == "Equal" {
        toleration["value"] = random.word("windows x y -").into();
    }
    if random.percent(50) || (key.is_empty() && random.percent(80)) {
        toleration["effect"] = random
            .word("NoSchedule NoSchedule NoExecute PreferNoSchedule")
            .into();
    }
    toleration
}
