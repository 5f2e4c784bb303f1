//! The decision alone, from a parsed pod to its message, at three sizes of cluster: `cargo bench --bench decision`.
//!
//! Every node has a hostname of its own, a zone, and half of them a taint value of their own, so that nothing is equal by
//! luck. What counts is the ratio of the rows: finding candidates must not grow with the cluster.

use std::sync::Arc;

use divan::{Bencher, black_box};
use platform_gate::domain::decision::{Assessment, Handler, ResolvedImage, decide};
use platform_gate::domain::image::{
    Digest, EntryContent, Image, ImageContent, ImageIndex, IndexEntry,
};
use platform_gate::domain::inventory::Inventory;
use platform_gate::domain::message::describe;
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
    let taints = if at % 8 < 4 {
        json!([])
    } else {
        json!([{"key": "dedicated", "value": format!("team-{at}"), "effect": "NoSchedule"}])
    };
    let node = json!({
        "metadata": {"name": format!("node-{at}"), "labels": {
            "kubernetes.io/os": os, "kubernetes.io/arch": arch, "kubernetes.io/hostname": format!("node-{at}"),
            "topology.kubernetes.io/zone": format!("zone-{}", at % 3), "agentpool": format!("pool-{}", at % 20),
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

const POD: &str = r#"{"containers":[{"name":"a","image":"a"},{"name":"b","image":"b"},{"name":"c","image":"c"}],
    "nodeSelector":{"kubernetes.io/os":"linux"},
    "tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},
                   {"key":"dedicated","operator":"Equal","value":"team-7","effect":"NoSchedule"}],
    "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
        {"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["zone-0","zone-1"]},
                             {"key":"agentpool","operator":"NotIn","values":["pool-9"]}]}]}}}}"#;

/// Candidates, verdicts on three images, decision.
#[divan::bench(args = NODES)]
fn three_images(bencher: Bencher<'_, '_>, nodes: usize) {
    let (inventory, image, policy) = (inventory(nodes), image(), Policy::default());
    let pod: PodSpec<'_> = serde_json::from_str(POD).expect("a pod");
    bencher.bench_local(|| {
        let groups = inventory.groups(black_box(&pod));
        let resolve = |named| ResolvedImage {
            image: named,
            answer: Ok(Arc::clone(&image)),
        };
        let images = pod.images().into_iter().map(resolve).collect();
        let assessment = Assessment::new(images, groups, Handler::default());
        let decision = decide(&policy, &assessment, None);
        describe(&assessment, &decision)
    });
}

/// The candidates alone.
#[divan::bench(args = NODES)]
fn candidates(bencher: Bencher<'_, '_>, nodes: usize) {
    let inventory = inventory(nodes);
    let pod: PodSpec<'_> = serde_json::from_str(POD).expect("a pod");
    bencher.bench_local(|| inventory.groups(black_box(&pod)));
}

/// A kubelet's report: one node replaced.
#[divan::bench(args = NODES)]
fn one_node_changes(bencher: Bencher<'_, '_>, nodes: usize) {
    let mut inventory = inventory(nodes);
    bencher.bench_local(|| inventory.apply(node(7)));
}
