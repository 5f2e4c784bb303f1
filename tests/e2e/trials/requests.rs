//! Requests that are not what they look like: dry runs, of which nothing may come, and mirror pods, by which a kubelet tells
//! of what it runs already.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install;
use super::replicas::{counted, replicas};
use super::verdicts::{BUILD, contains_all};
use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::Kubectl;
use crate::pod::Pod;
use crate::wait::until;

const MINUTE: Duration = Duration::from_secs(60);
const FACT: &str = "no matching manifest for windows/amd64 10.0.14393";
/// By which a pod says that it is a mirror of one that a kubelet runs.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// `kubectl apply --dry-run=server` is answered as any request, and nothing comes of it: no object, and, where events are
/// asked for, none of them.
pub(crate) fn a_dry_run_is_answered_and_leaves_nothing_behind(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("dry-run")?;
    let apply = ["apply", "--dry-run=server", "-f", "-"];
    // Another value would keep the API server from asking, and refuse every dry run.
    ensure!(side_effects(kubectl)? == "None");
    for (image, denied) in [
        ("hello-world:nanoserver", true),
        ("hello-world:nanoserver-sac2016", false),
    ] {
        let name = if denied { "denied" } else { "admitted" };
        let pod = Pod::new(namespace.name(), name, image).node_selector(BUILD, "10.0.14393");
        let output = kubectl.output(&apply, &pod.manifest())?;
        ensure!(output.status.success() != denied, "{image}: {output:?}");
        if denied {
            contains_all(&String::from_utf8_lossy(&output.stderr), &[FACT])?;
        }
        let audited = cluster.audit_annotations("pods", name)?;
        let decision = |told: &Value| told["pods.platform-gate.io/decision"] == name_of(denied);
        ensure!(audited.iter().any(decision), "{name}: {audited:?}");
    }
    // The API server keeps to the connection that it has: of two replicas, one might be asked all the time.
    let alone = json!({"replicaCount": 1});
    install::upgrade(cluster, &json!({"events": true}), &alone)?;
    until("one replica is left", MINUTE, || {
        let pods = kubectl.get(&["pods", "-n", install::NAMESPACE])?;
        Ok((pods["items"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })?;
    ensure!(side_effects(kubectl)? == "NoneOnDryRun");
    no_event_comes_of_it(kubectl, namespace.name())?;
    let pods = kubectl.get(&["pods", "-n", namespace.name()])?;
    ensure!(pods["items"] == json!([]), "there are pods: {pods}");
    install::upgrade(cluster, &Value::Null, &Value::Null)
}

fn name_of(denied: bool) -> &'static str {
    if denied { "deny" } else { "allow" }
}

fn side_effects(kubectl: &Kubectl) -> Result<String> {
    let path = "-o=jsonpath={.webhooks[?(@.name==\"pods.platform-gate.io\")].sideEffects}";
    kubectl.run(&[
        "get",
        "validatingwebhookconfiguration",
        "platform-gate",
        path,
    ])
}

/// A replica writes its events in their order: once it has told of a pod that was asked for after the dry runs, nothing is to
/// come of those.
fn no_event_comes_of_it(kubectl: &Kubectl, namespace: &str) -> Result<()> {
    for name in ["before", "tried", "after"] {
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}});
        kubectl.apply(&owner.to_string())?;
    }
    is_told(kubectl, namespace, "before")?;
    let tried = owned(kubectl, namespace, "tried")?;
    for _ in 0..3 {
        contains_all(&kubectl.rejects(&tried)?, &[FACT])?;
    }
    is_told(kubectl, namespace, "after")?;
    let told = events(kubectl, namespace, "tried")?;
    ensure!(told == 0, "{told} events tell of a dry run");
    Ok(())
}

/// The story's pod, made by an owner.
fn owned(kubectl: &Kubectl, namespace: &str, owner: &str) -> Result<String> {
    let uid = kubectl.get(&["configmap", owner, "-n", namespace])?["metadata"]["uid"].clone();
    let pod = Pod::new(namespace, owner, "hello-world:nanoserver");
    let mut pod: Value = serde_json::from_str(&pod.node_selector(BUILD, "10.0.14393").manifest())?;
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid,
        "controller": true}]);
    Ok(pod.to_string())
}

/// Asks for the owner's pod, and means it, until its owner is told.
fn is_told(kubectl: &Kubectl, namespace: &str, owner: &str) -> Result<()> {
    let pod = owned(kubectl, namespace, owner)?;
    until("an event of the owner", MINUTE * 3, || {
        let output = kubectl.output(&["create", "-f", "-"], &pod)?;
        ensure!(!output.status.success(), "the pod was admitted");
        Ok((events(kubectl, namespace, owner)? > 0).then_some(()))
    })
}

/// How many events tell an owner of its pods.
fn events(kubectl: &Kubectl, namespace: &str, owner: &str) -> Result<usize> {
    let fields = format!("regarding.name={owner},reason=PodRejected");
    let events = ["events.events.k8s.io", "--field-selector", &fields];
    let events = kubectl.get(&[&events[..], &["-n", namespace]].concat())?;
    events["items"].as_array().map(Vec::len).context("no list")
}

/// The node's own kubelet runs a pod from a file, and tells the API server by a mirror pod. What runs nowhere is admitted
/// then, since a refusal would only hide it; who is no node is not believed.
pub(crate) fn a_mirror_pod_is_let_in_and_a_forged_one_is_not(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("mirrors")?;
    let wrong = Pod::new(namespace.name(), "static", "test/arm64-only:1").manifest();
    let before = let_in(cluster)?;
    let mirror = format!("static-{REAL_NODE}");
    let get = ["pod", &mirror, "-n", namespace.name()];
    let running = cluster.static_pod("mirrors", &wrong)?;
    let pod = until("the kubelet fails, and says so", MINUTE, || {
        let pod = kubectl.get(&get).ok();
        Ok(pod.filter(|pod| {
            let state = &pod["status"]["containerStatuses"][0]["state"];
            let message = state["waiting"]["message"].as_str().unwrap_or_default();
            message.contains("no match for platform in manifest")
        }))
    })?;
    ensure!(pod["metadata"]["annotations"][MIRROR].is_string(), "{pod}");
    ensure!(created_by_the_node(cluster, namespace.name())?);
    let after = let_in(cluster)?;
    ensure!(after > before, "we let in {before}, then {after}");

    let mut forged: Value = serde_json::from_str(&wrong)?;
    forged["metadata"]["annotations"] = json!({MIRROR: "forged"});
    forged["spec"]["nodeName"] = json!(REAL_NODE);
    let message = kubectl.rejects(&forged.to_string())?;
    let words = [
        "pods.platform-gate.io",
        "no matching manifest for linux/amd64",
    ];
    contains_all(&message, &words)?;

    drop(running);
    until("the mirror pod is gone", MINUTE, || {
        Ok(kubectl.get(&get).is_err().then_some(()))
    })
}

/// Whether the audit log has the creation of a pod by the node itself.
fn created_by_the_node(cluster: &Cluster, namespace: &str) -> Result<bool> {
    let user = format!("system:node:{REAL_NODE}");
    let events = cluster.audit_events(namespace)?;
    Ok(events.iter().any(|event| {
        event["verb"] == "create"
            && event["objectRef"]["resource"] == "pods"
            && event["user"]["username"] == user
            && event["responseStatus"]["code"] == 201
    }))
}

/// How many pods the replicas were asked about and did not judge.
fn let_in(cluster: &Cluster) -> Result<f64> {
    let series = r#"platform_gate_admission_requests_total{kind="pod",operation="create",decision="allow",reason="not-judged"}"#;
    let counts = replicas(cluster)?.into_iter();
    Ok(counts.filter_map(|pod| counted(&pod, series)).sum())
}
