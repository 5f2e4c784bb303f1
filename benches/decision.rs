//! The decision alone, from a parsed pod to its message, at three sizes of cluster and of pod:
//! `cargo bench --bench decision`.
//!
//! Every node has a hostname of its own, every fourth a zone of its own, and half of them a taint of their own: by its
//! value, or by its key too. So nothing is equal by luck, and nothing is remembered from one pod to the next. What counts
//! is the ratio of the rows: finding candidates must not grow with the cluster. docs/performance.md has the numbers.

#[path = "common/recorded.rs"]
mod recorded;
#[path = "common/spread.rs"]
mod spread;
#[path = "common/table.rs"]
mod table;

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
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

use table::Table;

const NODES: [usize; 3] = [15, 1_500, 15_000];
const IMAGES: [usize; 3] = [1, 3, 20];

/// The floor of each row is the same decision on 15 nodes; that of 15 nodes is reading the pod.
fn main() -> Result<()> {
    let mut table = Table::new("decision")?;
    for images in IMAGES {
        rows(&mut table, &format!("{images} images"), &pod(images))?;
    }
    rows(&mut table, "pod of a DaemonSet", DAEMON_SET_POD)?;
    let text = pod(1);
    let pod: PodSpec<'_> = serde_json::from_str(&text)?;
    let few = inventory(NODES[0]);
    for nodes in NODES {
        let inventory = inventory(nodes);
        let floor = || few.groups(black_box(&pod));
        let name = format!("candidates, {nodes} nodes");
        table.row(&name, floor, || inventory.groups(black_box(&pod)));
    }
    for nodes in NODES {
        one_node_changes(&mut table, nodes);
    }
    table.conclude()
}

fn rows(table: &mut Table, name: &str, text: &str) -> Result<()> {
    let (image, policy, few) = (image(), Policy::default(), inventory(NODES[0]));
    let pod: PodSpec<'_> = serde_json::from_str(text)?;
    let of_few = || decide_on(&few, &policy, &image, black_box(&pod));
    let read = || serde_json::from_str::<PodSpec<'_>>(black_box(text)).is_ok();
    for nodes in NODES {
        let inventory = inventory(nodes);
        let work = || decide_on(&inventory, &policy, &image, black_box(&pod));
        let name = format!("{name}, {nodes} nodes");
        if nodes == NODES[0] {
            table.row(&name, read, work);
        } else {
            table.row(&name, of_few, work);
        }
    }
    Ok(())
}

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

/// A pod of a DaemonSet: one node by its name, every taint tolerated.
const DAEMON_SET_POD: &str = r#"{"containers":[{"name":"a","image":"a"}],"tolerations":[{"operator":"Exists"}],
    "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
    {"matchFields":[{"key":"metadata.name","operator":"In","values":["node-3"]}]}]}}}}"#;

/// One node changes: it moves to another pool and back. Beside the same among 15.
fn one_node_changes(table: &mut Table, nodes: usize) {
    let known = node(7);
    let mut moved = known.clone();
    moved
        .metadata
        .labels
        .insert("agentpool".to_owned(), "pool-0".to_owned());
    let turning = |nodes: usize| {
        let (mut inventory, mut turn) = (inventory(nodes), 0);
        let states = [known.clone(), moved.clone()];
        move || {
            turn += 1;
            inventory.apply(states[turn % 2].clone());
        }
    };
    table.row(
        &format!("a node changes, {nodes} nodes"),
        turning(NODES[0]),
        turning(nodes),
    );
}
