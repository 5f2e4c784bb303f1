//! Keeping watch: a Windows node joins, and the cluster is told which workloads may now land there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install;
use super::replicas::{counted, replicas};
use crate::cluster::Cluster;
use crate::cluster::simulated_nodes::{guest, manifest_of, tolerates_guests};
use crate::progress;
use crate::wait::until;

const CRD: &str = include_str!("policyreports.yaml");
const CRD_NAME: &str = "customresourcedefinition/policyreports.wgpolicyk8s.io";
const LIMIT: Duration = Duration::from_secs(60);
/// For settings to arrive: a kubelet may take its time.
const SETTINGS: Duration = Duration::from_secs(150);
/// A label of nodes that no other trial has.
const POOL: &str = "watched";

pub(crate) fn a_node_that_joins_is_reported_within_a_minute(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    kubectl.apply(CRD)?;
    kubectl.run(&["wait", "--for=condition=Established", CRD_NAME])?;
    join(cluster, "watched-linux", ("linux", "amd64", "6.1.0"))?;
    let namespace = kubectl.namespace("watched")?;
    deploy(cluster, namespace.name())?;
    keeps_watch(cluster, namespace.name())?;
    kubectl.run(&["delete", "node", "watched-linux"])?;
    install::upgrade(cluster, &Value::Null, &Value::Null)?;
    kubectl.run(&["delete", CRD_NAME]).map(drop)
}

/// Workloads of which one may land on any node of the pool, and one is of an image that nobody knows.
fn deploy(cluster: &Cluster, name: &str) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let pool = json!({"pool": POOL});
    let linux = json!({"pool": POOL, "kubernetes.io/os": "linux"});
    for workload in [
        workload("free", name, "test/amd64-only:1", &pool),
        workload("pinned", name, "test/amd64-only:1", &linux),
        workload("lost", name, "test/there-is-none:1", &linux),
    ] {
        kubectl.apply(&workload.to_string())?;
    }
    install::upgrade(cluster, &Value::Null, &json!({"watch": {"enabled": true}}))
}

fn keeps_watch(cluster: &Cluster, name: &str) -> Result<()> {
    let kubectl = &cluster.kubectl;
    until("a report of what runs", SETTINGS, || {
        Ok(summary(cluster, name).filter(|it| *it == json!([2, 0, 0, 1])))
    })?;
    ensure!(events(cluster, name)?.is_empty(), "the start is no news");

    let joined = Instant::now();
    join(
        cluster,
        "watched-windows",
        ("windows", "amd64", "10.0.20348.2402"),
    )?;
    until("a report of what may land wrong", LIMIT, || {
        Ok(summary(cluster, name).filter(|it| *it == json!([1, 0, 1, 1])))
    })?;
    let took = joined.elapsed();
    ensure!(
        warned(cluster, name)? == ["Deployment free"],
        "{:?}",
        warned(cluster, name)?
    );
    let news = until("an event", LIMIT, || {
        Ok(Some(events(cluster, name)?).filter(|events| !events.is_empty()))
    })?;
    ensure!(news == ["MayLandWrong Deployment free"], "{news:?}");
    until("the metric", LIMIT, || {
        Ok((may_land_wrong(cluster)? == Some(warned_of(cluster)?)).then_some(()))
    })?;
    progress::say(&format!(
        "{:.1} s after a Windows node joined:",
        took.as_secs_f64()
    ));
    progress::say(
        kubectl
            .run(&["get", "policyreports", "-n", name])?
            .trim_end(),
    );

    kubectl.run(&["delete", "node", "watched-windows"])?;
    until("all is well again", LIMIT, || {
        let is_told = events(cluster, name)?.contains(&"LandsRight Deployment free".to_owned());
        Ok(summary(cluster, name).filter(|it| is_told && *it == json!([2, 0, 0, 1])))
    })?;
    Ok(())
}

fn join(cluster: &Cluster, name: &str, platform: (&str, &str, &str)) -> Result<()> {
    let (os, architecture, _) = platform;
    let labels = json!({"pool": POOL, "kubernetes.io/os": os, "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name});
    let node = manifest_of(name, platform, &labels, &[guest()]);
    cluster.kubectl.apply(&node.to_string())
}

fn workload(name: &str, namespace: &str, image: &str, selector: &Value) -> Value {
    let labels = json!({"app": name});
    let spec = json!({"nodeSelector": selector, "tolerations": tolerates_guests(),
        "containers": [{"name": "main", "image": image}]});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec}}})
}

/// What passes, fails, is warned of and is skipped; nothing while there is no report.
fn summary(cluster: &Cluster, namespace: &str) -> Option<Value> {
    let report = report(cluster, namespace).ok()?;
    let counts = ["pass", "fail", "warn", "skip"].map(|result| report["summary"][result].clone());
    Some(Value::from(counts.to_vec()))
}

fn report(cluster: &Cluster, namespace: &str) -> Result<Value> {
    let name = "policyreports.wgpolicyk8s.io/platform-gate";
    cluster.kubectl.get(&["-n", namespace, name])
}

/// Kind and name of what the report warns of.
fn warned(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let report = report(cluster, namespace)?;
    let results = report["results"].as_array().context("no results")?.iter();
    let warned = results.filter(|result| result["result"] == "warn");
    let named = warned.map(|result| told(&result["resources"][0]));
    Ok(named.collect())
}

/// How many workloads the reports of all namespaces warn of: those of other trials may still be there, or going away.
fn warned_of(cluster: &Cluster) -> Result<f64> {
    let reports = cluster
        .kubectl
        .get(&["policyreports.wgpolicyk8s.io", "--all-namespaces"])?;
    let reports = reports["items"].as_array().context("no list")?.iter();
    let warned = reports.filter_map(|report| report["summary"]["warn"].as_f64());
    Ok(warned.sum())
}

/// Reason, kind and name of our events.
fn events(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let events = cluster
        .kubectl
        .get(&["events.events.k8s.io", "-n", namespace])?;
    let events = events["items"].as_array().context("no list")?.iter();
    let ours = events.filter(|event| event["reportingController"] == "platform-gate.io/watch");
    let named = ours.map(|event| {
        let reason = event["reason"].as_str().unwrap_or_default();
        format!("{reason} {}", told(&event["regarding"]))
    });
    Ok(named.collect())
}

fn told(object: &Value) -> String {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    format!("{} {}", text("kind"), text("name"))
}

/// How many workloads may land wrong, by the pod that keeps watch; `None` where none has told yet.
fn may_land_wrong(cluster: &Cluster) -> Result<Option<f64>> {
    let watched = "platform_gate_watched_workloads{";
    let pods = replicas(cluster)?;
    let watches = pods.iter().find(|pod| counted(pod, watched).is_some());
    let count = |pod| counted(pod, &format!("{watched}code=\"may-land-wrong\"}}"));
    Ok(watches.map(|pod| count(pod).unwrap_or_default()))
}
