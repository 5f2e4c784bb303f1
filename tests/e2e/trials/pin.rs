//! Pinning: workloads of the shapes that charts have, without any word on nodes, bound by the real scheduler.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install;
use crate::cluster::{Cluster, REAL_NODE};
use crate::progress;
use crate::wait::until;

const WORKLOADS: usize = 30;
const LIMIT: Duration = Duration::from_secs(60);

/// Images, and the untainted nodes that run them.
const IMAGES: [(&str, &[&str]); 5] = [
    ("test/amd64-only:1", &[REAL_NODE]),
    ("test/arm64-only:1", &["linux-arm64"]),
    ("hello-world:nanoserver", &["windows-2019"]),
    ("hello-world:nanoserver-sac2016", &["windows-2016"]),
    ("centos:7", &[REAL_NODE, "linux-arm64"]),
];

pub(crate) fn pinned_pods_land_where_they_run(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    install::upgrade(cluster, &Value::Null, &json!({"pin": {"enabled": true}}))?;
    until("the API server may trust the second webhook", LIMIT, || {
        let configuration = kubectl.get(&["mutatingwebhookconfigurations", install::NAMESPACE])?;
        let bundle = &configuration["webhooks"][0]["clientConfig"]["caBundle"];
        Ok(bundle.is_string().then_some(()))
    })?;
    let (free, pinned) = (kubectl.namespace("free")?, kubectl.namespace("pinned")?);
    kubectl.run(&[
        "label",
        "namespace",
        pinned.name(),
        "platform-gate.io/pin=enabled",
    ])?;
    until("new pods are pinned", LIMIT, || {
        let dry = workload(0, pinned.name()).to_string();
        let output = kubectl.output(
            &[
                "create",
                "-n",
                pinned.name(),
                "--dry-run=server",
                "-o",
                "json",
                "-f",
                "-",
            ],
            &dry,
        )?;
        let pod: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(pod["spec"]["nodeSelector"].is_object().then_some(()))
    })?;

    let wrong_when_free = wrong(cluster, free.name())?;
    let wrong_when_pinned = wrong(cluster, pinned.name())?;
    progress::say(&format!(
        "of {WORKLOADS} workloads, {} landed wrong as they are, {} when pinned",
        wrong_when_free.len(),
        wrong_when_pinned.len()
    ));
    ensure!(
        !wrong_when_free.is_empty(),
        "nothing shows that pinning is needed"
    );
    ensure!(
        wrong_when_pinned.is_empty(),
        "landed wrong: {wrong_when_pinned:?}"
    );
    install::upgrade(cluster, &Value::Null, &Value::Null)
}

/// Creates the workloads, waits until all their pods are bound, and says which of them are on a wrong node.
fn wrong(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let items: Vec<Value> = (0..WORKLOADS)
        .map(|number| workload(number, namespace))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    cluster.kubectl.apply(&list.to_string())?;
    let pods = until("all pods are bound", LIMIT, || {
        let pods = cluster.kubectl.get(&["pods", "-n", namespace])?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let bound = pods
            .iter()
            .filter(|pod| pod["spec"]["nodeName"].is_string());
        Ok((bound.count() >= WORKLOADS).then_some(pods))
    })?;
    let mut wrong = Vec::new();
    for pod in &pods {
        let image = pod["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap_or_default();
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let (_, right) = IMAGES
            .iter()
            .find(|(known, _)| *known == image)
            .context("a pod of no known image")?;
        if !right.contains(&node) {
            wrong.push(format!("{image} on {node}"));
        }
    }
    Ok(wrong)
}

/// A pod, a Job or a Deployment of one of the images; every other one has an affinity of two terms.
fn workload(number: usize, namespace: &str) -> Value {
    let (image, _) = IMAGES[number % IMAGES.len()];
    let name = format!("w{number}");
    let mut spec = json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": image}]});
    if number % 2 == 1 {
        let terms = json!([
            {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]},
            {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]},
        ]);
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    }
    let metadata = json!({"name": name, "namespace": namespace});
    match (number / IMAGES.len()) % 3 {
        0 => json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
        1 => {
            spec["restartPolicy"] = "Never".into();
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
                "spec": {"backoffLimit": 0, "template": {"spec": spec}}})
        }
        _ => {
            let labels = json!({"app": name});
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
                "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}})
        }
    }
}
