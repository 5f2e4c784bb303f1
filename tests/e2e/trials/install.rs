//! Installing platform-gate with Helm as a user does, with our own image in real pods, and removing it again.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{Cluster, REAL_NODE};
use crate::pod::Pod;
use crate::process::output;
use crate::wait::until;

pub(super) const RELEASE: &str = "platform-gate";
/// The release's namespace.
pub(crate) const NAMESPACE: &str = "platform-gate";
/// What the labels and annotations of the Pod Security Standards begin with.
const PSS: &str = "pod-security.kubernetes.io";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/platform-gate");
const WAIT: [&str; 3] = ["--wait", "--timeout", "120s"];
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn helm_installs_it(cluster: &Cluster) -> Result<()> {
    push_image(cluster)?;
    cluster.kubectl.apply(&restricted_namespace().to_string())?;
    let values = write_values(&values(cluster)?.to_string())?;
    let install = ["install", RELEASE, CHART, "--namespace", NAMESPACE];
    let rest = ["--create-namespace", "--values", &values];
    helm(cluster, &[&install[..], &rest, &WAIT].concat())?;
    let pods = cluster.kubectl.get(&["pods", "-n", NAMESPACE])?;
    let pods = pods["items"].as_array().context("no pods")?;
    ensure!(pods.len() == 2, "{} pods run", pods.len());
    ensure!(
        pods.iter().all(|pod| pod["spec"]["nodeName"] == REAL_NODE),
        "they run on {REAL_NODE}"
    );
    is_enforced(cluster)?;
    cluster.kubectl.note_answers();
    Ok(())
}

/// The release's namespace, under the strictest of the Pod Security Standards from the beginning.
fn restricted_namespace() -> Value {
    let modes = ["enforce", "warn", "audit"];
    let labels = modes.map(|mode| (format!("{PSS}/{mode}"), json!("restricted")));
    let labels = serde_json::Map::from_iter(labels);
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
}

/// Every pod and workload of the release, those of `helm test` too, was held to `restricted`, and none went against it.
pub(crate) fn restricted_is_all_that_it_needs(cluster: &Cluster) -> Result<()> {
    let enforced = format!("{PSS}/enforce-policy");
    let mut pods = 0;
    for event in cluster.audit_events(NAMESPACE)? {
        let told = |key: &str| event["annotations"].get(format!("{PSS}/{key}"));
        ensure!(told("audit-violations").is_none(), "{event}");
        let object = &event["objectRef"];
        let creates = event["verb"] == "create" && object["resource"] == "pods";
        if creates && object["subresource"].is_null() {
            ensure!(event["responseStatus"]["code"] == 201, "{event}");
            ensure!(
                event["annotations"][&enforced] == "restricted:latest",
                "{event}"
            );
            pods += 1;
        }
    }
    ensure!(pods >= 2, "the audit log has {pods} pods");
    Ok(())
}

/// Upgrades the release to other settings and other values, on top of those that it was installed with.
pub(crate) fn upgrade(cluster: &Cluster, settings: &Value, others: &Value) -> Result<()> {
    let mut values = values(cluster)?;
    for (key, value) in settings.as_object().into_iter().flatten() {
        values["settings"][key] = value.clone();
    }
    for (key, value) in others.as_object().into_iter().flatten() {
        values[key] = value.clone();
    }
    let values = write_values(&values.to_string())?;
    let upgrade = ["upgrade", RELEASE, CHART, "--namespace", NAMESPACE];
    helm(
        cluster,
        &[&upgrade[..], &["--values", &values], &WAIT].concat(),
    )
    .map(drop)
}

/// Runs Helm; the state of the pods is in the error.
pub(super) fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let mut helm = cluster.command("helm");
    output(helm.args(arguments)).map_err(|error| error.context(state_of_pods(cluster)))
}

/// The pods are ready; the API server's own view of the Service may be some moments behind.
fn is_enforced(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.kubectl.namespace("enforced")?;
    let pod = Pod::new(namespace.name(), "wrong", "test/arm64-only:1")
        .on_node(REAL_NODE)
        .manifest();
    until("the API server asks platform-gate", MINUTE / 6, || {
        Ok(cluster.kubectl.rejects(&pod).ok().map(drop))
    })
}

fn push_image(cluster: &Cluster) -> Result<()> {
    let mut crane = cluster.command("crane");
    output(crane.arg("push").arg(&cluster.image).arg(image(cluster))).map(drop)
}

fn image(cluster: &Cluster) -> String {
    format!("{}/{}", cluster.registry.host(), repository())
}

fn repository() -> String {
    format!("platform-gate/platform-gate:{}", env!("CARGO_PKG_VERSION"))
}

/// What the operator of this cluster would set: where images come from, and whom to trust.
fn values(cluster: &Cluster) -> Result<Value> {
    let ca = fs::read_to_string(cluster.registry.ca()).context("the registry's CA")?;
    let trusted = json!({"caFile": "/etc/platform-gate/ca/registry.pem"});
    Ok(json!({
        "image": {"registry": cluster.registry.host(), "architectures": ["amd64"]},
        // As short as may be, for the trial that changes the CA.
        "certificate": {"overlapSeconds": 5},
        // Sparse objects must not make it fail: that would skip the webhook.
        "webhook": {"matchConditions": [match_condition()]},
        "registryCA": {"bundles": {"registry.pem": ca}},
        "settings": {
            "registries": {
                "docker.io": {"mirrors": [cluster.registry.url()]},
                cluster.registry.host(): trusted,
                cluster.registry.private_host(): trusted,
            },
        },
    }))
}

/// One that lets every pod of the trials through to us.
fn match_condition() -> Value {
    json!({
        "name": "not-marked",
        "expression": "!has(object.metadata.labels) || !('unasked' in object.metadata.labels)",
    })
}

fn write_values(values: &str) -> Result<String> {
    let path = "/run/platform-gate/values.json";
    fs::write(path, values).context(path)?;
    Ok(path.to_owned())
}

fn state_of_pods(cluster: &Cluster) -> String {
    let describe = cluster.kubectl.run(&["describe", "pods", "-n", NAMESPACE]);
    let logs = cluster.kubectl.run(&[
        "logs",
        "-n",
        NAMESPACE,
        "-l",
        "app.kubernetes.io/name=platform-gate",
        "--tail=50",
    ]);
    let either = |result: Result<String>| result.unwrap_or_else(|error| format!("{error:#}"));
    format!("{}\n{}", either(describe), either(logs))
}

/// What the API server counted: no call failed, none was skipped, no match condition could not be evaluated, and no
/// certificate was without names. A dead webhook exports nothing itself.
pub(crate) fn no_call_failed(cluster: &Cluster) -> Result<()> {
    let metrics = cluster.kubectl.run(&["get", "--raw", "/metrics"])?;
    let ours = |line: &&str| line.contains(".platform-gate.io");
    let lines: Vec<&str> = metrics.lines().filter(ours).collect();
    let rejections = lines
        .iter()
        .filter(|line| line.starts_with("apiserver_admission_webhook_rejection_count"));
    let (ours, failed): (Vec<&str>, Vec<&str>) =
        rejections.partition(|line| line.contains("error_type=\"no_error\""));
    ensure!(
        !ours.is_empty(),
        "the API server counted no rejection of ours"
    );
    ensure!(failed.is_empty(), "calls failed: {failed:#?}");
    let opened: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("apiserver_admission_webhook_fail_open_count"))
        .collect();
    ensure!(
        opened.is_empty(),
        "the API server admitted pods unasked: {opened:#?}"
    );
    for counter in [
        "apiserver_admission_match_condition_evaluation_errors_total",
        "apiserver_webhooks_x509_missing_san_total",
        "apiserver_webhooks_x509_insecure_sha1_total",
    ] {
        let mut lines = metrics.lines().filter(|line| line.starts_with(counter));
        let counted = lines.find(|line| !line.ends_with(" 0"));
        ensure!(counted.is_none(), "{counted:?}");
    }
    let configuration = ["validatingwebhookconfiguration", RELEASE];
    let configuration = cluster.kubectl.get(&configuration)?;
    ensure!(
        configuration["webhooks"][0]["matchConditions"].is_array(),
        "no match condition was evaluated"
    );
    Ok(())
}

/// Kinds of the release's objects.
const CLUSTER_KINDS: &str = "validatingwebhookconfigurations,validatingadmissionpolicies,\
                             validatingadmissionpolicybindings,clusterroles,clusterrolebindings";
const NAMESPACED_KINDS: &str = "deployments,replicasets,pods,services,endpointslices,configmaps,secrets,serviceaccounts,\
                                roles,rolebindings,leases,poddisruptionbudgets";

pub(crate) fn helm_uninstall_leaves_nothing_behind(cluster: &Cluster) -> Result<()> {
    let mut helm = cluster.command("helm");
    output(helm.args([
        "uninstall",
        RELEASE,
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        "120s",
    ]))?;
    until("every object of the release is gone", MINUTE, || {
        Ok(left_behind(cluster)?.is_empty().then_some(()))
    })
    .map_err(|error| error.context(format!("left behind: {:?}", left_behind(cluster))))?;
    let namespace = cluster.kubectl.namespace("uninstalled")?;
    let pod = Pod::new(namespace.name(), "wrong", "test/arm64-only:1").on_node(REAL_NODE);
    cluster.kubectl.accepts(&pod.manifest()).map(drop)
}

/// What is left of the release: by its label in the whole cluster, and anything in its namespace that Kubernetes does
/// not keep in every namespace.
fn left_behind(cluster: &Cluster) -> Result<Vec<String>> {
    let names = |arguments: &[&str]| -> Result<Vec<String>> {
        let text = cluster
            .kubectl
            .run(&[&["get", "-o", "name"], arguments].concat())?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let mut left = names(&[
        CLUSTER_KINDS,
        "-l",
        "app.kubernetes.io/instance=platform-gate",
    ])?;
    left.extend(names(&[NAMESPACED_KINDS, "-n", NAMESPACE])?);
    left.retain(|name| {
        !matches!(
            name.as_str(),
            "configmap/kube-root-ca.crt" | "serviceaccount/default"
        )
    });
    Ok(left)
}
