//! What the real node's kubelet and containerd do with images of every shape: the truth that verdicts are held against.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::Kubectl;
use crate::pod::Pod;

const MINUTE: Duration = Duration::from_secs(60);

/// What becomes of a container on the real node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// Its program runs.
    Runs,
    /// No entry of its index or list is for the node.
    IsNotPulled,
    /// It is pulled, but its program is for another platform: of a single manifest, containerd does not look at the config.
    DoesNotStart,
}

use Outcome::{DoesNotStart, IsNotPulled, Runs};

/// Images and what becomes of them on linux/amd64.
pub(crate) const ON_LINUX_AMD64: &[(&str, Outcome)] = &[
    ("test/runs:1", Runs),
    ("test/amd64-only:1", Runs),
    ("test/mixed:1", Runs),
    ("test/nested:1", Runs),
    ("test/arm64-only:1", IsNotPulled),
    ("test/windows-only:1", IsNotPulled),
    ("test/single-amd64:1", Runs),
    ("test/single-arm64:1", DoesNotStart),
    ("test/single-windows:1", DoesNotStart),
    // Their configs lie.
    ("test/says-arm64-is-amd64:1", Runs),
    ("test/says-amd64-is-arm64:1", DoesNotStart),
    // Real ones, whose lists alone decide.
    ("hello-world:nanoserver", IsNotPulled),
    ("clefos:7.4.1708", IsNotPulled),
];

pub(crate) fn the_real_node_runs_what_it_can_and_says_why_not(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("outcomes")?;
    for (index, (image, _)) in ON_LINUX_AMD64.iter().enumerate() {
        let pod = Pod::new(namespace.name(), &format!("pod-{index}"), image);
        kubectl.apply(&pod.args(&["exit", "0"]).on_node(REAL_NODE).manifest())?;
    }
    for (index, (image, outcome)) in ON_LINUX_AMD64.iter().enumerate() {
        let observed = observe(kubectl, namespace.name(), &format!("pod-{index}"), outcome);
        observed.with_context(|| format!("{image} on the real node"))?;
    }
    Ok(())
}

/// Waits for the outcome. It never comes if the node does otherwise.
fn observe(kubectl: &Kubectl, namespace: &str, pod: &str, outcome: &Outcome) -> Result<()> {
    let phase = |phase: &str| {
        let condition = format!("jsonpath={{.status.phase}}={phase}");
        kubectl.wait(namespace, &format!("pod/{pod}"), &condition, MINUTE)
    };
    match outcome {
        Runs => phase("Succeeded"),
        IsNotPulled => {
            let why = "no match for platform in manifest";
            kubectl
                .wait_for_event(namespace, &format!("Pod/{pod}"), why, MINUTE)
                .map(drop)
        }
        DoesNotStart => {
            phase("Failed")?;
            let log = kubectl.run(&["logs", "-n", namespace, pod])?;
            ensure!(
                log.contains("exec format error"),
                "the container's log is {log:?}"
            );
            Ok(())
        }
    }
}
