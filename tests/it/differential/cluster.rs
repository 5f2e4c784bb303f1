//! Random pods and nodes that have a lot to do with each other: few labels, few taints, and every odd way to ask for
//! them.

use serde_json::{Map, Value, json};

use super::random::Random;

/// Labels of nodes and what they may be; `-` is the empty value.
const LABELS: [(&str, &str); 7] = [
    ("kubernetes.io/os", "linux linux windows"),
    ("kubernetes.io/arch", "amd64 amd64 arm64"),
    ("node.kubernetes.io/windows-build", "10.0.17763 10.0.20348"),
    ("topology.kubernetes.io/zone", "a b c"),
    ("example.com/pool", "x y -"),
    (
        "cores",
        "4 16 64 -1 007 +4 32Gi 9223372036854775807 9223372036854775808 -",
    ),
    ("spot", "true - false"),
];

/// Keys that no label can have, and long ones that are just right.
const ODD_KEYS: &str = "- bad! -x x- example.com/ /name a/b/c Example.com/x example..com/x example.com/X \
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa absent";
const ODD_VALUES: &str = "- a/b -x x- x_y.z +4 4 0 -5 1e3 0x10 \
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

const TAINTS: &str = "os os dedicated dedicated gpu weight weight node.kubernetes.io/not-ready \
     node.kubernetes.io/unreachable node.kubernetes.io/unschedulable node.kubernetes.io/memory-pressure \
     node.kubernetes.io/disk-pressure node.kubernetes.io/pid-pressure node.kubernetes.io/network-unavailable \
     node.cloudprovider.kubernetes.io/uninitialized node.kubernetes.io/out-of-service node.kubernetes.io/not-ready-2 \
     ToBeDeletedByClusterAutoscaler";
const TAINT_VALUES: &str = "- - windows windows true 1 5 10 -5 007 +5 0 -0 1.5 9223372036854775808";
const EFFECTS: &str = "NoSchedule NoSchedule NoExecute PreferNoSchedule";

/// `node-0`, `node-1`, ...: with labels and taints, or with none where it says nothing.
pub(super) fn node(random: &mut Random, number: usize) -> Value {
    let mut labels = Map::new();
    for (key, values) in LABELS {
        if random.percent(75) {
            labels.insert(key.to_owned(), random.word(values).into());
        }
    }
    let taint = |random: &mut Random| {
        let (key, effect) = (random.word(TAINTS), random.word(EFFECTS));
        match random.percent(70) {
            true => json!({ "key": key, "value": random.word(TAINT_VALUES), "effect": effect }),
            false => json!({ "key": key, "effect": effect }),
        }
    };
    let count = random.below(4).saturating_sub(1);
    let taints: Vec<Value> = (0..count).map(|_| taint(random)).collect();
    let mut node = json!({
        "metadata": { "name": format!("node-{number}"), "labels": labels },
        "spec": { "taints": taints, "unschedulable": random.percent(10) },
    });
    if random.percent(5) {
        node["metadata"]["labels"] = Value::Null;
    }
    if random.percent(5) {
        node["spec"]["taints"] = Value::Null;
    }
    node
}

/// A pod with any mix of the rules that place it.
pub(super) fn pod(random: &mut Random) -> Value {
    let mut spec = json!({ "containers": [{ "name": "app", "image": "registry.test/app:1" }] });
    if random.percent(10) {
        spec["nodeName"] = random.word("node-0 node-1 absent -").into();
    }
    if random.percent(35) {
        spec["nodeSelector"] = node_selector(random);
    }
    if random.percent(45) {
        spec["affinity"] = affinity(random);
    }
    if random.percent(70) {
        let count = random.below(5);
        spec["tolerations"] = (0..count).map(|_| toleration(random)).collect();
    }
    json!({ "metadata": { "name": "pod" }, "spec": spec })
}

fn node_selector(random: &mut Random) -> Value {
    if random.percent(10) {
        return if random.percent(50) {
            Value::Null
        } else {
            json!({})
        };
    }
    let mut selector = Map::new();
    for _ in 0..=random.below(2) {
        let (key, values) = LABELS[random.below(LABELS.len())];
        selector.insert(key.to_owned(), random.word(values).into());
    }
    if random.percent(5) {
        selector.insert(random.word(ODD_KEYS), random.word(ODD_VALUES).into());
    }
    selector.into()
}

fn affinity(random: &mut Random) -> Value {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    match random.below(30) {
        0 => return Value::Null,
        1 => return json!({ "nodeAffinity": null }),
        2 => return json!({ "nodeAffinity": { required: null } }),
        3 => return json!({ "nodeAffinity": { required: { "nodeSelectorTerms": null } } }),
        4 => return json!({ "nodeAffinity": { required: { "nodeSelectorTerms": [] } } }),
        5 => return json!({ "nodeAffinity": { required: {} } }),
        _ => {}
    }
    let terms: Vec<Value> = (0..=random.below(3)).map(|_| term(random)).collect();
    json!({ "nodeAffinity": { required: { "nodeSelectorTerms": terms } } })
}

fn term(random: &mut Random) -> Value {
    let mut term = json!({});
    let expressions = random.below(10);
    if expressions > 1 {
        let all = (0..expressions.div_ceil(4))
            .map(|_| requirement(random))
            .collect();
        term["matchExpressions"] = all;
    } else if expressions == 1 {
        term["matchExpressions"] = if random.percent(50) {
            Value::Null
        } else {
            json!([])
        };
    }
    if random.percent(15) {
        term["matchFields"] = (0..=random.below(2)).map(|_| field(random)).collect();
    }
    term
}

fn requirement(random: &mut Random) -> Value {
    let (usual, values) = LABELS[random.below(LABELS.len())];
    let mut key = usual.to_owned();
    let operator = random.word("In In In NotIn NotIn Exists DoesNotExist Gt Lt Gt Lt in Near -");
    if matches!(&*operator, "Gt" | "Lt") && random.percent(85) {
        key = "cores".to_owned();
    }
    if random.percent(5) {
        key = random.word(ODD_KEYS);
    }
    let usual = match &*operator {
        "Exists" | "DoesNotExist" => 0,
        "Gt" | "Lt" => 1,
        _ => 1 + random.below(2),
    };
    let count = if random.percent(90) {
        usual
    } else {
        random.below(3)
    };
    let value = |random: &mut Random| match (&*operator, random.below(12)) {
        ("Gt" | "Lt", 0..9) => {
            random.word("4 5 16 -1 0 007 9223372036854775807 9223372036854775808 -")
        }
        (_, 0) => random.word(ODD_VALUES),
        _ => random.word(values),
    };
    let values: Vec<String> = (0..count).map(|_| value(random)).collect();
    match count {
        0 if random.percent(50) => json!({ "key": key, "operator": operator }),
        0 => json!({ "key": key, "operator": operator, "values": null }),
        _ => json!({ "key": key, "operator": operator, "values": values }),
    }
}

fn field(random: &mut Random) -> Value {
    let count = if random.percent(85) {
        1
    } else {
        random.below(3)
    };
    let values: Vec<String> = (0..count)
        .map(|_| random.word("node-0 node-1 node-2 absent -"))
        .collect();
    json!({
        "key": random.word("metadata.name metadata.name metadata.name metadata.name metadata.namespace -"),
        "operator": random.word("In In In NotIn NotIn Exists DoesNotExist Gt -"),
        "values": values,
    })
}

fn toleration(random: &mut Random) -> Value {
    let mut toleration = json!({});
    let words = [
        (
            "key",
            90,
            "os os dedicated dedicated gpu gpu weight weight node.kubernetes.io/out-of-service -",
        ),
        (
            "operator",
            75,
            "Exists Exists Exists Equal Equal Gt Lt Near -",
        ),
        ("value", 60, TAINT_VALUES),
        ("effect", 40, "NoSchedule NoExecute PreferNoSchedule -"),
    ];
    for (field, chance, words) in words {
        if random.percent(chance) {
            toleration[field] = random.word(words).into();
        }
    }
    if random.percent(10) {
        toleration["tolerationSeconds"] = json!(300);
    }
    toleration
}
