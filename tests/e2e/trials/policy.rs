//! What operators set, and whom it concerns: namespaces with an action of their own, and settings that change while pods
//! are being created.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install::{self, NAMESPACE};
use crate::cluster::{Cluster, REAL_NODE};
use crate::pod::Pod;
use crate::wait::until;

const LABEL: &str = "platform-gate.io/enforcement-action";
/// For a kubelet to bring a changed ConfigMap, and for both replicas to look at it.
const LIMIT: Duration = Duration::from_secs(150);
/// Answers in a row after which both replicas have spoken, in all likelihood.
const IN_A_ROW: usize = 12;

fn wrong(namespace: &str) -> String {
    Pod::new(namespace, "wrong", "test/arm64-only:1")
        .on_node(REAL_NODE)
        .manifest()
}

pub(crate) fn a_namespace_in_warn_mode_stands_beside_one_in_deny_mode(
    cluster: &Cluster,
) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let (strict, lenient) = (kubectl.namespace("strict")?, kubectl.namespace("lenient")?);
    let label = |value: &str| {
        let label = format!("{LABEL}={value}");
        kubectl.run(&["label", "--overwrite", "namespace", lenient.name(), &label])
    };
    let message = kubectl.rejects(&wrong(strict.name()))?;
    ensure!(
        message.contains("no matching manifest") || message.contains("linux/arm64"),
        "{message}"
    );
    for (value, warns) in [("warn", true), ("audit", false), ("off", false)] {
        label(value)?;
        let pod = wrong(lenient.name());
        let told = until(&format!("the label {value} counts"), LIMIT / 10, || {
            let warnings = kubectl.accepts(&pod).ok();
            Ok(warnings.filter(|warnings| warnings.is_empty() != warns))
        });
        let warnings = told?;
        ensure!(warnings.is_empty() != warns, "{value}: {warnings:?}");
        kubectl.rejects(&wrong(strict.name()))?;
    }
    label("deny")?;
    until("the label deny counts", LIMIT / 10, || {
        Ok(kubectl.rejects(&wrong(lenient.name())).ok())
    })?;
    Ok(())
}

/// The pods of platform-gate, each with its restarts.
fn pods(cluster: &Cluster) -> Result<Vec<(String, i64)>> {
    let pods = cluster.kubectl.get(&["pods", "-n", NAMESPACE])?;
    let pods = pods["items"].as_array().context("no pods")?;
    let mut told: Vec<(String, i64)> = pods
        .iter()
        .map(|pod| {
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_i64();
            (pod["metadata"]["uid"].to_string(), restarts.unwrap_or(-1))
        })
        .collect();
    told.sort();
    Ok(told)
}

pub(crate) fn helm_upgrade_changes_settings_without_a_restart(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("upgraded")?;
    let pod = wrong(namespace.name());
    let before = pods(cluster)?;
    let (going_on, calls) = (AtomicBool::new(true), AtomicU32::new(0));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while going_on.load(Ordering::Relaxed) {
                // Whether it is let in is what changes; that it was asked about is seen in the API server's metrics.
                let _ = kubectl.accepts(&pod);
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
        let result = switch(cluster, &pod);
        going_on.store(false, Ordering::Relaxed);
        result
    });
    result?;
    let calls = calls.load(Ordering::Relaxed);
    ensure!(calls > 20, "only {calls} pods were created meanwhile");
    let after = pods(cluster)?;
    ensure!(
        before == after,
        "pods restarted: {before:?}, then {after:?}"
    );
    install::no_call_failed(cluster)
}

fn switch(cluster: &Cluster, pod: &str) -> Result<()> {
    let kubectl = &cluster.kubectl;
    kubectl.rejects(pod)?;
    install::upgrade(cluster, &json!({"enforcementAction": "warn"}))?;
    in_a_row("warnings take the place of denials", || {
        kubectl
            .accepts(pod)
            .is_ok_and(|warnings| !warnings.is_empty())
    })?;
    // A rule of nodes: the nodes held are seen anew.
    let emulates = json!({"nodeOverrides": [
        {"matchLabels": {"kubernetes.io/hostname": REAL_NODE}, "emulates": ["arm64"]},
    ]});
    install::upgrade(cluster, &emulates)?;
    in_a_row("the node is said to emulate arm64", || {
        kubectl
            .accepts(pod)
            .is_ok_and(|warnings| warnings.is_empty())
    })?;
    install::upgrade(cluster, &Value::Null)?;
    in_a_row("denials are back", || kubectl.rejects(pod).is_ok())
}

fn in_a_row(what: &str, mut probe: impl FnMut() -> bool) -> Result<()> {
    let mut count = 0;
    until(what, LIMIT, || {
        count = if probe() { count + 1 } else { 0 };
        Ok((count == IN_A_ROW).then_some(()))
    })
}
