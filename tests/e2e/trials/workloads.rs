//! What makes pods: whoever applies it is told at once, and nobody else is told again.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::verdicts::{BUILD, contains_all};
use crate::cluster::Cluster;
use crate::kubectl::Kubectl;
use crate::wait::until;

const MINUTE: Duration = Duration::from_secs(60);
const FACT: &str = "no matching manifest for windows/amd64 10.0.14393";

/// The story's pod, of a Deployment.
fn deployment(namespace: &str) -> Value {
    let labels = json!({"app": "nanoserver"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "nanoserver", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {BUILD: "10.0.14393"},
                    "containers": [{"name": "app", "image": "hello-world:nanoserver"}],
                },
            },
        },
    })
}

pub(crate) fn a_deployment_is_warned_and_its_replica_set_told(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("deployment")?;
    let applied = deployment(namespace.name()).to_string();
    let applied = kubectl.output(&["apply", "-f", "-"], &applied)?;
    let told = String::from_utf8_lossy(&applied.stderr);
    ensure!(applied.status.success(), "a Deployment was denied: {told}");
    let but = "Warning: The object is stored, but its pods will be rejected.";
    contains_all(&told, &[&format!("Warning: {FACT}"), but])?;
    let set = replica_set(kubectl, namespace.name())?;
    let object = format!("ReplicaSet/{set}");
    let event = kubectl.wait_for_event(namespace.name(), &object, FACT, MINUTE)?;
    contains_all(
        &event,
        &["hello-world:nanoserver", "To fix it", "10.0.17763"],
    )?;
    the_replica_set_is_not_judged(cluster, &set)
}

fn replica_set(kubectl: &Kubectl, namespace: &str) -> Result<String> {
    let sets = ["replicasets", "-n", namespace, "-l", "app=nanoserver"];
    until("the ReplicaSet is made", MINUTE, || {
        let sets = kubectl.get(&sets)?;
        let name = sets["items"][0]["metadata"]["name"].as_str();
        Ok(name.map(str::to_owned))
    })
}

/// Its controller made it: the audit log has a word of ours for the Deployment, and none for the ReplicaSet.
fn the_replica_set_is_not_judged(cluster: &Cluster, set: &str) -> Result<()> {
    let annotations = |resource: &str, name: &str| -> Result<String> {
        let annotations = cluster.audit_annotations(resource, name)?;
        Ok(serde_json::to_string(&annotations)?)
    };
    let of_deployment = annotations("deployments", "nanoserver")?;
    contains_all(&of_deployment, &["workloads.platform-gate.io/decision"])?;
    let of_set = annotations("replicasets", set)?;
    ensure!(of_set != "[]", "the ReplicaSet is not in the audit log");
    ensure!(!of_set.contains("platform-gate.io"), "{of_set}");
    Ok(())
}
