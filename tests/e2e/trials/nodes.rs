//! What the cluster does by itself: the behaviour that platform-gate foretells.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::layout::{KUBERNETES_SERVICE, REGISTRY_ADDRESS};
use crate::cluster::{Cluster, REAL_NODE};
use crate::images::real_images;
use crate::pod::Pod;
use crate::process::output;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn simulated_nodes_are_ready(cluster: &Cluster) -> Result<()> {
    let names = Cluster::node_names();
    for name in &names {
        cluster.kubectl.wait(
            "default",
            &format!("node/{name}"),
            "condition=Ready",
            MINUTE,
        )?;
    }
    // What kwok fills in must not have replaced what the node's manifest says.
    let node = cluster.kubectl.get(&["node", "windows-2022"])?;
    let info = &node["status"]["nodeInfo"];
    ensure!(
        info["kernelVersion"] == "10.0.20348.2402",
        "nodeInfo is {info}"
    );
    ensure!(
        info["containerRuntimeVersion"] == "containerd://1.7.20",
        "nodeInfo is {info}"
    );
    let real = cluster.kubectl.get(&["node", REAL_NODE])?;
    let runtime = &real["status"]["nodeInfo"]["containerRuntimeVersion"];
    ensure!(
        runtime
            .as_str()
            .is_some_and(|it| it.starts_with("containerd://2.")),
        "it runs {runtime}"
    );
    Ok(())
}

pub(crate) fn a_working_pod_runs(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("working-pod")?;
    let pod = Pod::new(namespace.name(), "works", "test/runs:1")
        .args(&["exit", "0"])
        .on_node(REAL_NODE);
    kubectl.apply(&pod.manifest())?;
    kubectl.wait(
        namespace.name(),
        "pod/works",
        "jsonpath={.status.phase}=Succeeded",
        MINUTE,
    )?;
    let log = kubectl.run(&["logs", "-n", namespace.name(), "works"])?;
    ensure!(
        log.trim() == "running as linux/amd64",
        "the pod printed {log:?}"
    );
    Ok(())
}

pub(crate) fn a_pod_reaches_the_api_server_and_the_registry(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("reach")?;
    for (name, address) in [
        ("api-server", format!("{KUBERNETES_SERVICE}:443")),
        ("registry", cluster.registry.host()),
    ] {
        let image = format!("{}/test/single-amd64:1", cluster.registry.host());
        let pod = Pod::new(namespace.name(), name, &image)
            .args(&["dial", &address])
            .on_node(REAL_NODE);
        kubectl.apply(&pod.manifest())?;
        let object = format!("pod/{name}");
        kubectl.wait(
            namespace.name(),
            &object,
            "jsonpath={.status.phase}=Succeeded",
            MINUTE,
        )?;
    }
    Ok(())
}

pub(crate) fn an_arm64_only_image_fails_on_the_real_node(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("arm64-only")?;
    let pod = Pod::new(namespace.name(), "fails", "test/arm64-only:1").on_node(REAL_NODE);
    kubectl.apply(&pod.manifest())?;
    kubectl
        .wait_for_event(
            namespace.name(),
            "Pod/fails",
            "no match for platform in manifest",
            MINUTE,
        )
        .map(drop)
}

pub(crate) fn the_registry_serves_real_manifests_byte_for_byte(cluster: &Cluster) -> Result<()> {
    for image in real_images()? {
        let reference = format!("{REGISTRY_ADDRESS}:5000/{}", image.name);
        let served = output(cluster.command("crane").args(["manifest", &reference]))
            .with_context(|| image.name.clone())?;
        ensure!(
            served.as_bytes() == image.document.bytes,
            "{} is served with other bytes",
            image.name
        );
    }
    Ok(())
}

pub(crate) fn the_answers_of_admission_reach_the_caller(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("answers")?;
    let pod = Pod::new(namespace.name(), "answers", "test/runs:1");
    let warnings = kubectl.accepts(&pod.manifest())?;
    ensure!(
        warnings.is_empty(),
        "warnings for a plain pod: {warnings:?}"
    );

    let deprecated = pod.node_selector("beta.kubernetes.io/os", "linux");
    let warnings = kubectl.accepts(&deprecated.manifest())?;
    ensure!(
        warnings.iter().any(|it| it.contains("deprecated")),
        "warnings: {warnings:?}"
    );

    let message = kubectl.rejects(&deprecated.container("main", "test/runs:1").manifest())?;
    ensure!(
        message.contains("spec.containers[1].name: Duplicate value"),
        "message: {message}"
    );

    let annotations = cluster.audit_annotations("pods", "answers")?;
    ensure!(annotations.len() == 3, "the audit log has {annotations:?}");
    Ok(())
}
