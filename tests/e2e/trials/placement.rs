//! Where pods go: the real scheduler against our own candidates, for many random pods on many simulated nodes; and the
//! pods of a DaemonSet, of which one wrong node must not starve the right ones.

mod made;
#[path = "../../it/differential/random.rs"]
mod random;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use platform_gate::domain::node::{Node, NodePlatform, Taint};
use platform_gate::domain::placement::{AGENT_TAINTS, exclusions, is_passing};
use platform_gate::domain::pod::{Pod, PodSpec};
use platform_gate::domain::runtime_class::RuntimeClass;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::Kubectl;
use crate::wait::until;
use made::{NODES, PODS};
use random::Random;

const MINUTE: Duration = Duration::from_secs(60);

/// Fixed, so that a failure can be looked at again.
const SEED: u64 = 20_260_306;

/// The nodes of the trial, gone when it ends: other trials count the nodes that there are.
struct Nodes<'a>(&'a Kubectl);

impl Drop for Nodes<'_> {
    fn drop(&mut self) {
        // Whether this works is no trial's business: the cluster ends soon.
        let _ = self
            .0
            .run(&["delete", "nodes", "-l", made::LABEL, "--wait=true"]);
        let _ = self.0.run(&["delete", "runtimeclasses", "-l", made::LABEL]);
    }
}

/// 500 random pods, 60 nodes of every platform. The scheduler binds a pod to one of our candidates, and where we have none
/// it says that the pod is unschedulable.
pub(crate) fn the_scheduler_binds_to_our_candidates(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("placement")?;
    let audit = "platform-gate.io/enforcement-action=audit";
    kubectl.run(&["label", "namespace", namespace.name(), audit])?;
    let mut random = Random::new(SEED);
    let _nodes = Nodes(kubectl);
    kubectl.apply(&made::nodes(&mut random))?;
    kubectl.apply(&made::runtime_classes())?;
    let nodes = until("the nodes of the trial are Ready", MINUTE, || {
        ready_nodes(kubectl)
    })?;
    let image = format!("{}/test/no-such-image:1", cluster.registry.host());
    let written = made::pods(&mut random, namespace.name(), &image);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": written}).to_string();
    let created = kubectl.output(&["create", "-o", "name", "-f", "-"], &list)?;
    ensure!(
        created.status.success(),
        "{}",
        String::from_utf8_lossy(&created.stderr)
    );
    let pods = kubectl.get(&["pods", "-n", namespace.name()])?;
    let pods = pods["items"].as_array().context("no pods")?;
    ensure!(pods.len() == PODS, "{} pods are there", pods.len());
    let opinions = opinions(pods, &written, &nodes)?;
    until("every pod is bound or unschedulable", MINUTE * 2, || {
        let pods = kubectl.get(&["pods", "-n", namespace.name()])?;
        settled(&pods, &opinions)
    })?;
    let without = opinions.values().filter(|opinion| opinion.ours.is_empty());
    let (without, all) = (without.count(), opinions.len());
    ensure!(
        (PODS / 10..PODS * 9 / 10).contains(&without),
        "{without} of {all} pods have no candidate, which shows little"
    );
    the_gate_says_the_same(cluster, &opinions)
}

/// What we and the scheduler make of a pod, by names of nodes.
struct Opinion {
    /// Our candidates: passing taints do not count.
    ours: Vec<String>,
    /// Those of them that are free of passing taints now, where the scheduler has to bind the pod.
    now: Vec<String>,
}

fn ready_nodes(kubectl: &Kubectl) -> Result<Option<Vec<Node>>> {
    let list = kubectl.get(&["nodes", "-l", made::LABEL])?;
    let items = list["items"].as_array().context("no nodes")?;
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        let mut ready = conditions.filter(|it| it["type"] == "Ready");
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        let mut starting = taints.filter(|taint| taint["key"] == "node.kubernetes.io/not-ready");
        ready.any(|it| it["status"] == "True") && starting.next().is_none()
    };
    if items.iter().filter(is_ready).count() < NODES {
        return Ok(None);
    }
    let read = |node: &Value| Node::deserialize(node).context("a node");
    items.iter().map(read).collect::<Result<_>>().map(Some)
}

/// Our opinion of every pod as the API server has it. A pod as it was written, with the rules of its RuntimeClass given by
/// us, must come to the same.
fn opinions(
    pods: &[Value],
    written: &[Value],
    nodes: &[Node],
) -> Result<BTreeMap<String, Opinion>> {
    let written: HashMap<&str, &Value> = written
        .iter()
        .filter_map(|pod| Some((pod["metadata"]["name"].as_str()?, pod)))
        .collect();
    let classes: HashMap<String, RuntimeClass> = made::classes()
        .into_iter()
        .map(|(name, class)| Ok((name, serde_json::from_value(class)?)))
        .collect::<Result<_>>()?;
    let agents = AGENT_TAINTS.map(str::to_owned);
    let mut opinions = BTreeMap::new();
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().context("a pod's name")?;
        let mut unbound = pod.clone();
        unbound["spec"]["nodeName"] = Value::Null;
        let unbound = Pod::deserialize(&unbound).with_context(|| format!("pod {name}"))?;
        let as_written = Pod::deserialize(written[name])?;
        let class = classes.get(&*as_written.spec.runtime_class_name);
        let admitted = class.map(|class| class.admit(&as_written.spec));
        let admitted = admitted.as_deref().unwrap_or(&as_written.spec);
        let lasting = |taint: &Taint| !is_passing(taint, &agents);
        let opinion = Opinion {
            ours: candidates(&unbound.spec, nodes, lasting),
            now: candidates(&unbound.spec, nodes, |_| true),
        };
        ensure!(
            candidates(admitted, nodes, lasting) == opinion.ours,
            "the RuntimeClass of {name} counts for other nodes before it is merged: {pod}"
        );
        opinions.insert(name.to_owned(), opinion);
    }
    Ok(opinions)
}

fn candidates(spec: &PodSpec<'_>, nodes: &[Node], counts: impl Fn(&Taint) -> bool) -> Vec<String> {
    let is_candidate = |node: &&Node| {
        let taints = node.spec.taints.iter().filter(|taint| counts(taint));
        let taints: Vec<Taint> = taints.cloned().collect();
        exclusions(spec, node, &NodePlatform::of(node), &taints).is_empty()
    };
    let found = nodes.iter().filter(is_candidate);
    found.map(|node| node.metadata.name.clone()).collect()
}

/// Whether the scheduler has an opinion of every pod; an error where it is another than ours.
fn settled(pods: &Value, opinions: &BTreeMap<String, Opinion>) -> Result<Option<()>> {
    let mut waiting = 0;
    for pod in pods["items"].as_array().context("no pods")? {
        let name = pod["metadata"]["name"].as_str().context("a pod's name")?;
        let opinion = opinions.get(name).context("a pod that nobody made")?;
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut scheduled = conditions.filter(|it| it["type"] == "PodScheduled");
        let is_refused =
            scheduled.any(|it| it["status"] == "False" && it["reason"] == "Unschedulable");
        match pod["spec"]["nodeName"].as_str() {
            Some(node) => ensure!(
                opinion.ours.iter().any(|ours| ours == node),
                "the scheduler bound {name} to {node}, and our candidates are {:?}: {pod}",
                opinion.ours
            ),
            // It may have to wait for room, or for a node that it has not heard of yet.
            None if !is_refused || !opinion.now.is_empty() => waiting += 1,
            None => {}
        }
    }
    Ok((waiting == 0).then_some(()))
}

/// What the running gate said of some pods that have no candidate, in the audit log.
fn the_gate_says_the_same(cluster: &Cluster, opinions: &BTreeMap<String, Opinion>) -> Result<()> {
    let without = opinions
        .iter()
        .filter(|(_, opinion)| opinion.now.is_empty());
    let with = opinions
        .iter()
        .filter(|(_, opinion)| !opinion.ours.is_empty());
    let mut silent = 0;
    for (name, _) in without.take(12) {
        let annotations = cluster.audit_annotations("pods", name)?;
        let code = annotations
            .iter()
            .find_map(|it| it["pods.platform-gate.io/code"].as_str());
        // Taints of nodes as young as these count as passing there, so that it may still see a candidate.
        silent += usize::from(code == Some("no-candidate"));
        ensure!(
            matches!(code, Some("no-candidate" | "not-found")),
            "{name}: {annotations:?}"
        );
    }
    ensure!(
        silent > 0,
        "the gate called none of the pods without a candidate so"
    );
    for (name, _) in with.take(12) {
        let annotations = cluster.audit_annotations("pods", name)?;
        let code = annotations
            .iter()
            .find_map(|it| it["pods.platform-gate.io/code"].as_str());
        ensure!(code == Some("not-found"), "{name}: {annotations:?}");
    }
    Ok(())
}

/// A DaemonSet of a Linux image without a nodeSelector: its pods for Windows nodes cannot run, and were one of them denied,
/// its controller would stop before the Linux nodes have theirs. One that runs on no node is denied.
pub(crate) fn a_daemon_set_gets_its_pods_where_they_run(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("daemon-set")?;
    let daemon_set = |name: &str, image: &str, selector: Value| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": namespace.name()},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "nodeSelector": selector,
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{"name": "agent", "image": image}],
                    },
                },
            },
        })
        .to_string()
    };
    kubectl.apply(&daemon_set("agent", "test/runs:1", json!({})))?;
    let nodes = [
        REAL_NODE,
        "linux-arm64",
        "windows-2016",
        "windows-2019",
        "windows-2025",
    ];
    until("every node has its pod", MINUTE, || {
        let pods = kubectl.get(&["pods", "-n", namespace.name(), "-l", "app=agent"])?;
        let pods = pods["items"].as_array().context("no pods")?;
        let is_there = |node: &str| pods.iter().any(|pod| pod["spec"]["nodeName"] == *node);
        Ok(nodes.iter().all(|node| is_there(node)).then_some(()))
    })?;
    let selector = json!({"node.kubernetes.io/windows-build": "10.0.17763"});
    kubectl.apply(&daemon_set("nowhere", "test/runs:1", selector))?;
    let fact = "no matching manifest for windows/amd64 10.0.17763";
    kubectl.wait_for_event(namespace.name(), "DaemonSet/nowhere", fact, MINUTE)?;
    let pods = kubectl.get(&["pods", "-n", namespace.name(), "-l", "app=nowhere"])?;
    ensure!(pods["items"] == json!([]), "it has pods: {pods}");
    Ok(())
}
