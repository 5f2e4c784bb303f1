//! The decision alone, from a parsed pod to its message, at three sizes of cluster and of pod:
//! `cargo bench --bench decision`.
//!
//! Every node has a hostname of its own, every fourth a zone of its own, and half of them a taint of their own: by its
//! value, or by its key too. So nothing is equal by luck, and nothing is remembered from one pod to the next. What counts
//! is the ratio of the rows: finding candidates must not grow with the cluster. docs/performance.md has the numbers.

use std::sync::Arc;

use divan::{Bencher, black_box};
use platform_gate::domain::decision::{Assessment, Handler, ResolvedImage, decide};
use platform_gate::domain::image::{
    Digest, EntryContent, Image, ImageContent, ImageIndex, IndexEntry,
};
use platform_gate::domain::inventory::Inventory;
use platform_gate::domain::message::{Message, describe};
use platform_gate::domain::node::Node;
use platform_gate::domain::pod::PodSpec;
use platform_gate::domain::policy::Policy;
use serde_json::json;

fn main() {
    divan::main();
}

const NODES: [usize; 3] = [15, 1_500, 15_000];

/// Linux on two architectures and Windows of two builds.
fn node(at: usize) -> Node {
    let (os, arch, kernel) = match at % 4 {
        0 => ("windows", "amd64", "10.0.17763.5458"),
        1 => ("windows", "amd64", "10.0.20348.2402"),
        2 => ("linux", "arm64", "6.8.0"),
        _ => ("linux", "amd64", "6.8.0"),
    };
    let dedicated =
        json!({"key": "dedicated", "value": format!("team-{at}"), "effect": "NoSchedule"});
    let own = json!({"key": format!("example.com/node-{at}"), "effect": "NoExecute"});
    let taints = match at % 16 {
        0..8 => json!([]),
        8..12 => json!([dedicated]),
        12..15 => json!([own]),
        _ => json!([dedicated, own]),
    };
    let zone = if at % 4 == 3 {
        format!("zone-of-{at}")
    } else {
        format!("zone-{}", at % 3)
    };
    let node = json!({
        "metadata": {"name": format!("node-{at}"), "labels": {
            "kubernetes.io/os": os, "kubernetes.io/arch": arch, "kubernetes.io/hostname": format!("node-{at}"),
            "topology.kubernetes.io/zone": zone, "agentpool": format!("pool-{}", at % 20),
        }},
        "spec": {"taints": taints},
        "status": {"nodeInfo": {"operatingSystem": os, "architecture": arch, "kernelVersion": kernel,
            "containerRuntimeVersion": "containerd://1.7.27"}},
    });
    serde_json::from_value(node).expect("a node")
}

fn inventory(nodes: usize) -> Inventory {
    let mut inventory = Inventory::default();
    inventory.replace_all((0..nodes).map(node).collect());
    inventory
}

/// An index as official images have it.
fn image() -> Arc<Image> {
    let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).expect("a digest");
    let platforms = "linux/amd64 linux/arm/v5 linux/arm/v7 linux/arm64/v8 linux/386 linux/mips64le linux/ppc64le linux/s390x \
                     windows/amd64:10.0.17763.615 windows/amd64:10.0.20348.2402";
    let entry =
        |text: &str| IndexEntry::new(digest.clone(), text.parse().ok(), EntryContent::Unread);
    let index = ImageIndex {
        manifests: platforms.split_whitespace().map(entry).collect(),
    };
    Arc::new(Image {
        digest: digest.clone(),
        media_type: "index".into(),
        content: ImageContent::Index(index),
    })
}

/// A pod with all the rules that people write, and so many images.
fn pod(images: usize) -> String {
    let containers: Vec<_> = (0..images)
        .map(
            |at| json!({"name": format!("c{at}"), "image": format!("registry.example/app-{at}:1")}),
        )
        .collect();
    let zones = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-0", "zone-1", "zone-of-3"]});
    let pools = json!({"key": "agentpool", "operator": "NotIn", "values": ["pool-9"]});
    json!({
        "containers": containers,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "dedicated", "operator": "Equal", "value": "team-10", "effect": "NoSchedule"},
            {"key": "example.com/node-14", "operator": "Exists"},
        ],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [zones, pools]}]}}},
    })
    .to_string()
}

fn decide_on(
    inventory: &Inventory,
    policy: &Policy,
    image: &Arc<Image>,
    pod: &PodSpec<'_>,
) -> Message {
    let groups = inventory.groups(pod);
    let resolve = |named| ResolvedImage {
        image: named,
        answer: Ok(Arc::clone(image)),
    };
    let images = pod.images().into_iter().map(resolve).collect();
    let assessment = Assessment::new(images, groups, Handler::default());
    let decision = decide(policy, &assessment, None);
    describe(&assessment, &decision)
}

/// Candidates, verdicts, decision, words.
#[divan::bench(args = NODES, consts = [1, 3, 20])]
fn images<const IMAGES: usize>(bencher: Bencher<'_, '_>, nodes: usize) {
    let (inventory, image, policy) = (inventory(nodes), image(), Policy::default());
    let text = pod(IMAGES);
    let pod: PodSpec<'_> = serde_json::from_str(&text).expect("a pod");
    bencher.bench_local(|| decide_on(&inventory, &policy, &image, black_box(&pod)));
}

/// A pod of a DaemonSet: one node by its name, every taint tolerated.
#[divan::bench(args = NODES)]
fn daemon_set_pod(bencher: Bencher<'_, '_>, nodes: usize) {
    let (inventory, image, policy) = (inventory(nodes), image(), Policy::default());
    let text = r#"{"containers":[{"name":"a","image":"a"}],"tolerations":[{"operator":"Exists"}],
        "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
        {"matchFields":[{"key":"metadata.name","operator":"In","values":["node-3"]}]}]}}}}"#;
    let pod: PodSpec<'_> = serde_json::from_str(text).expect("a pod");
    bencher.bench_local(|| decide_on(&inventory, &policy, &image, black_box(&pod)));
}

/// The candidates alone.
#[divan::bench(args = NODES)]
fn candidates(bencher: Bencher<'_, '_>, nodes: usize) {
    let inventory = inventory(nodes);
    let text = pod(1);
    let pod: PodSpec<'_> = serde_json::from_str(&text).expect("a pod");
    bencher.bench_local(|| inventory.groups(black_box(&pod)));
}

/// One node changes: it moves to another pool and back.
#[divan::bench(args = NODES)]
fn one_node_changes(bencher: Bencher<'_, '_>, nodes: usize) {
    let mut inventory = inventory(nodes);
    let known = node(7);
    let mut moved = known.clone();
    moved
        .metadata
        .labels
        .insert("agentpool".to_owned(), "pool-0".to_owned());
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        inventory.apply(if turn % 2 == 0 {
            known.clone()
        } else {
            moved.clone()
        });
    });
}
