//! What makes pods: whoever applies it is told at once, and nobody else is told again.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::install;
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

/// A controller retries for ever; its ReplicaSet has one event from each of the two replicas at most, seen by
/// `kubectl events`, and that of pods which were only warned of has one too.
pub(crate) fn owners_have_one_event_where_asked_for(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("events")?;
    install::upgrade(cluster, &json!({"events": true}), &Value::Null)?;
    kubectl.apply(&deployment(namespace.name()).to_string())?;
    let set = replica_set(kubectl, namespace.name())?;
    let of_set = format!("replicaset/{set}");
    let events = ["events", "-n", namespace.name(), "--for", &of_set];
    let seen = || kubectl.run(&events);
    let ours = until("an event of ours", MINUTE * 3, || {
        let seen = seen()?;
        let ours = seen.lines().find(|line| line.contains("PodRejected"));
        Ok(ours.map(str::to_owned))
    })?;
    contains_all(&ours, &[FACT, "Warning"])?;
    // The controller has asked more often than that.
    let asked = |event: &Value| event["count"].as_u64().unwrap_or(1);
    until("the controller has asked often", MINUTE * 3, || {
        let events = kubectl.get(&["events", "-n", namespace.name()])?;
        let events = events["items"].as_array().into_iter().flatten();
        let failed = events.filter(|event| event["reason"] == "FailedCreate");
        Ok((failed.map(asked).sum::<u64>() > 5).then_some(()))
    })?;
    let count = seen()?.matches("PodRejected").count();
    ensure!(count <= 2, "{count} events of ours: {}", seen()?);

    let mut warned = deployment(namespace.name());
    warned["metadata"]["name"] = json!("warned");
    warned["spec"]["template"]["spec"] =
        json!({"containers": [{"name": "app", "image": "test/runs:1"}]});
    let output = kubectl.output(&["apply", "-f", "-"], &warned.to_string())?;
    ensure!(output.status.success(), "{output:?}");
    until("an event of the warning", MINUTE, || {
        let events = kubectl.run(&["events", "-n", namespace.name()])?;
        let mut ours = events.lines().filter(|line| line.contains("PodMayNotRun"));
        Ok(ours
            .any(|line| line.contains("ReplicaSet/warned-"))
            .then_some(()))
    })?;
    install::upgrade(cluster, &Value::Null, &Value::Null)
}
