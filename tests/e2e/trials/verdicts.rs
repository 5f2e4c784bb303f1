//! What a user of the cluster sees of platform-gate, through kubectl: pods rejected with a reason and a cure, others
//! admitted, in silence or with a warning.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::{Kubectl, Namespace};
use crate::pod::Pod;

const MINUTE: Duration = Duration::from_secs(60);
pub(super) const BUILD: &str = "node.kubernetes.io/windows-build";

fn pod(namespace: &Namespace<'_>, image: &str) -> Pod {
    Pod::new(namespace.name(), "pod", image)
}

pub(super) fn contains_all(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in {text:?}");
    }
    Ok(())
}

/// Rejected, and the message has all the words.
fn rejected(kubectl: &Kubectl, pod: &Pod, words: &[&str]) -> Result<()> {
    contains_all(&kubectl.rejects(&pod.manifest())?, words)
}

/// Admitted without a word.
fn admitted(kubectl: &Kubectl, pod: &Pod) -> Result<()> {
    let warnings = kubectl.accepts(&pod.manifest())?;
    ensure!(warnings.is_empty(), "admitted with warnings: {warnings:?}");
    Ok(())
}

/// Admitted with one warning that has all the words.
fn warned(kubectl: &Kubectl, pod: &Pod, words: &[&str]) -> Result<()> {
    let warnings = kubectl.accepts(&pod.manifest())?;
    ensure!(!warnings.is_empty(), "admitted without a warning");
    contains_all(&warnings.join("\n"), words)
}

pub(crate) fn the_story_is_told(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("story")?;
    let on_2016 = |image: &str| pod(&namespace, image).node_selector(BUILD, "10.0.14393");
    let words = [
        "pods.platform-gate.io",
        "no matching manifest for windows/amd64 10.0.14393 in the manifest list entries",
        "hello-world:nanoserver",
        "windows/amd64:10.0.17134.885",
        "windows/amd64:10.0.17763.615",
        "1 node windows/amd64 10.0.14393 (Windows Server 2016)",
        "nodeSelector: {node.kubernetes.io/windows-build: 10.0.17763}",
        "instead of the nodeSelector that it has",
        "a tag of the image that is built for windows/amd64 10.0.14393",
        "platform-gate suggest hello-world:nanoserver --platform windows/amd64:10.0.14393",
    ];
    rejected(kubectl, &on_2016("hello-world:nanoserver"), &words)?;
    admitted(kubectl, &on_2016("hello-world:nanoserver-sac2016"))?;
    admitted(
        kubectl,
        &pod(&namespace, "hello-world:nanoserver").node_selector(BUILD, "10.0.17763"),
    )
}

pub(crate) fn wrong_platforms_are_rejected(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("wrong-platforms")?;
    let linux_on_windows = pod(&namespace, "centos:7").on_node("windows-2019");
    let fact = "no matching manifest for windows/amd64 10.0.17763 in the manifest list entries";
    rejected(
        kubectl,
        &linux_on_windows,
        &[fact, "linux/amd64", "kubernetes.io/os: linux"],
    )?;
    let windows_on_linux = pod(&namespace, "test/windows-only:1").on_node(REAL_NODE);
    rejected(
        kubectl,
        &windows_on_linux,
        &["no matching manifest for linux/amd64", "10.0.17763.5458"],
    )?;
    let arm64_on_amd64 = pod(&namespace, "test/arm64-only:1").on_node(REAL_NODE);
    rejected(
        kubectl,
        &arm64_on_amd64,
        &["no matching manifest for linux/amd64", "linux/arm64"],
    )?;
    let amd64_on_arm64 = pod(&namespace, "centos:6.6").on_node("linux-arm64");
    rejected(
        kubectl,
        &amd64_on_arm64,
        &["no matching manifest for linux/arm64", "linux/amd64"],
    )?;
    let ltsc2022_on_2025 =
        pod(&namespace, "golang:windowsservercore-ltsc2022").on_node("windows-2025");
    admitted(kubectl, &ltsc2022_on_2025)
}

pub(crate) fn images_that_share_no_node_are_rejected(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("mixed-containers")?;
    admitted(
        kubectl,
        &pod(&namespace, "test/amd64-only:1")
            .node_selector("kubernetes.io/os", "linux")
            .node_selector("kubernetes.io/arch", "amd64"),
    )?;
    admitted(
        kubectl,
        &pod(&namespace, "hello-world:nanoserver").node_selector(BUILD, "10.0.17763"),
    )?;
    let both = pod(&namespace, "test/amd64-only:1").container("windows", "hello-world:nanoserver");
    let words = [
        "no node can run all images of this pod",
        "test/amd64-only:1",
        "hello-world:nanoserver",
        "split the pod",
    ];
    rejected(kubectl, &both, &words)
}

pub(crate) fn what_cannot_be_looked_up_is_admitted_with_a_warning(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("unknown")?;
    let host = cluster.registry.host();
    let missing = pod(&namespace, &format!("{host}/test/no-such-image:1")).on_node(REAL_NODE);
    warned(
        kubectl,
        &missing,
        &["test/no-such-image:1", "was not found in its registry"],
    )?;
    // The registry's host, on a port where nothing listens.
    let address = host.split(':').next().context("the registry's address")?;
    let down = pod(&namespace, &format!("{address}:5999/test/runs:1")).on_node(REAL_NODE);
    warned(
        kubectl,
        &down,
        &[":5999/test/runs:1", "the registry is not reachable"],
    )
}

/// What a node has under a name, no registry knows: not even that it is the wrong image is held against the pod. The node says
/// what it does not have.
pub(crate) fn what_is_never_pulled_is_left_to_the_node(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("never-pulled")?;
    let pod = pod(&namespace, "test/windows-only:1")
        .on_node(REAL_NODE)
        .never_pulled();
    warned(kubectl, &pod, &["is never pulled", "[pull-never]"])?;
    kubectl.apply(&pod.manifest())?;
    let said = "is not present with pull policy of Never";
    kubectl
        .wait_for_event(namespace.name(), "Pod/pod", said, MINUTE)
        .map(drop)
}

pub(crate) fn a_pod_that_may_land_wrong_is_warned(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("may-land-wrong")?;
    let words = [
        "nodes this pod may land on cannot run",
        "windows/amd64 10.0.17763",
        "add nodeSelector: {kubernetes.io/os: linux}",
    ];
    warned(kubectl, &pod(&namespace, "test/runs:1"), &words)?;
    admitted(
        kubectl,
        &pod(&namespace, "test/runs:1").node_selector("kubernetes.io/os", "linux"),
    )
}

pub(crate) fn admitted_pods_run(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("admitted")?;
    kubectl.apply(
        &pod(&namespace, "test/runs:1")
            .args(&["exit", "0"])
            .on_node(REAL_NODE)
            .manifest(),
    )?;
    kubectl.wait(
        namespace.name(),
        "pod/pod",
        "jsonpath={.status.phase}=Succeeded",
        MINUTE,
    )
}

pub(crate) fn the_audit_log_says_why(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("audit-log")?;
    let pod = Pod::new(namespace.name(), "audited", "test/arm64-only:1").on_node(REAL_NODE);
    kubectl.rejects(&pod.manifest())?;
    let annotations = cluster.audit_annotations("pods", "audited")?;
    let ours = annotations.first().context("no audit annotations")?;
    ensure!(
        ours["pods.platform-gate.io/decision"] == "deny",
        "the annotations are {ours}"
    );
    ensure!(
        ours["pods.platform-gate.io/code"] == "nowhere",
        "the annotations are {ours}"
    );
    ensure!(
        ours["pods.platform-gate.io/digests"]
            .as_str()
            .is_some_and(|text| text.starts_with("sha256:")),
        "{ours}"
    );
    Ok(())
}

/// `kubectl debug` and `kubectl set image` on a running pod are judged against the node that it is bound to.
pub(crate) fn ephemeral_containers_and_image_updates_are_judged(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("updates")?;
    kubectl.apply(&pod(&namespace, "test/runs:1").on_node(REAL_NODE).manifest())?;
    kubectl.wait(namespace.name(), "pod/pod", "condition=Ready", MINUTE)?;
    let refused = |arguments: &[&str]| -> Result<()> {
        let arguments = [arguments, &["-n", namespace.name()]].concat();
        let output = kubectl.output(&arguments, "")?;
        ensure!(!output.status.success(), "{arguments:?} was let through");
        contains_all(
            &String::from_utf8_lossy(&output.stderr),
            &["no matching manifest for linux/amd64", "linux/arm64"],
        )
    };
    refused(&[
        "debug",
        "pod/pod",
        "--image=test/arm64-only:1",
        "--target=main",
    ])?;
    refused(&["set", "image", "pod/pod", "main=test/arm64-only:1"])?;
    kubectl
        .run(&["label", "pod", "pod", "changed=yes", "-n", namespace.name()])
        .map(drop)
}
