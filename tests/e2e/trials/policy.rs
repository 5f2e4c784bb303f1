//! What operators set, and whom it concerns: namespaces with an action of their own, and settings that change while pods
//! are being created.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install;
use super::replicas::replicas;
use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::Kubectl;
use crate::pod::Pod;
use crate::wait::until;

const LABEL: &str = "platform-gate.io/enforcement-action";
/// For a kubelet to bring a changed ConfigMap, and for both replicas to look at it.
const LIMIT: Duration = Duration::from_secs(150);
/// Answers in a row that are no chance. They may all be of one replica, since the API server keeps to the connections that it
/// has; the other follows by itself.
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
    let pods = replicas(cluster)?;
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
    install::upgrade(cluster, &json!({"enforcementAction": "warn"}), &Value::Null)?;
    in_a_row("warnings take the place of denials", || {
        kubectl
            .accepts(pod)
            .is_ok_and(|warnings| !warnings.is_empty())
    })?;
    let exempt = json!({"exemptImages": ["docker.io/test/arm64-only:*"]});
    install::upgrade(cluster, &exempt, &Value::Null)?;
    in_a_row("the image is exempt", || {
        kubectl
            .accepts(pod)
            .is_ok_and(|warnings| warnings.is_empty())
    })?;
    install::upgrade(cluster, &Value::Null, &Value::Null)?;
    in_a_row("denials are back", || kubectl.rejects(pod).is_ok())
}

/// A probe succeeds again and again.
pub(super) fn in_a_row(what: &str, mut probe: impl FnMut() -> bool) -> Result<()> {
    let mut count = 0;
    until(what, LIMIT, || {
        count = if probe() { count + 1 } else { 0 };
        Ok((count == IN_A_ROW).then_some(()))
    })
}

/// Who may edit namespaces, and nothing else.
const TENANT: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "tenant"}, "rules": [
        {"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
         "verbs": ["get", "create", "update", "patch"]}]},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "tenant"},
     "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tenant"},
     "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}]}]}"#;

pub(crate) fn a_tenant_cannot_exempt_its_own_namespace(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    kubectl.apply(TENANT)?;
    let namespace = kubectl.namespace("tenants")?;
    let (name, off) = (namespace.name(), format!("{LABEL}=off"));
    let protected = json!({"namespaceLabelPolicy": {"enabled": true}});
    let tenant = |arguments: &[&str]| kubectl.run(&[&["--as", "tenant"], arguments].concat());
    let label = ["label", "--overwrite", "namespace", name];
    let set = [&label[..], &[&off]].concat();

    tenant(&set).context("nothing keeps a tenant from it")?;
    install::upgrade(cluster, &Value::Null, &protected)?;
    let warn = format!("{LABEL}=warn");
    let dry = [&label[..], &[&warn, "--dry-run=server"]].concat();
    let refusal = until("the policy is in force", LIMIT / 5, || {
        Ok(tenant(&dry).err().map(|error| format!("{error:#}")))
    })?;
    ensure!(
        refusal.contains("enforcementactions.platform-gate.io"),
        "{refusal}"
    );

    stays_out(kubectl, name)?;
    let removed = format!("{LABEL}-");
    tenant(&[&label[..], &["team=a"]].concat()).context("other labels are the tenant's")?;
    kubectl
        .run(&[&label[..], &[&removed]].concat())
        .context("an administrator may")?;
    kubectl.run(&[
        "create",
        "clusterrolebinding",
        "setters",
        "--user",
        "tenant",
        "--clusterrole",
        "platform-gate-namespace-labels",
    ])?;
    until("the tenant may, by the role", LIMIT / 5, || {
        Ok(tenant(&set).ok())
    })?;

    kubectl.run(&["delete", "clusterrolebinding", "setters", "tenant"])?;
    kubectl.run(&["delete", "clusterrole", "tenant"])?;
    install::upgrade(cluster, &Value::Null, &Value::Null)
}

/// Every way to a namespace's label that its editor has is closed.
fn stays_out(kubectl: &Kubectl, name: &str) -> Result<()> {
    let tenant = |arguments: &[&str]| kubectl.run(&[&["--as", "tenant"], arguments].concat());
    let label = ["label", "--overwrite", "namespace", name];
    let (removed, audit) = (format!("{LABEL}-"), format!("{LABEL}=audit"));
    let patch = format!(r#"{{"metadata": {{"labels": {{"{LABEL}": "audit"}}}}}}"#);
    let status = [
        "patch",
        "namespace",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    for (what, arguments) in [
        ("remove it", [&label[..], &[&removed]].concat()),
        ("change it", [&label[..], &[&audit]].concat()),
        (
            "set another of ours",
            [&label[..], &["platform-gate.io/x=y"]].concat(),
        ),
        ("change it through the status", status.to_vec()),
    ] {
        ensure!(tenant(&arguments).is_err(), "a tenant can {what}");
    }
    let born = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "born-exempt", "labels": {LABEL: "off"}}});
    let create = ["--as", "tenant", "create", "--dry-run=server", "-f", "-"];
    let output = kubectl.output(&create, &born.to_string())?;
    ensure!(
        !output.status.success(),
        "a tenant can create an exempt namespace"
    );
    Ok(())
}
