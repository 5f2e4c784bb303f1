//! The command line on the cluster: `check` beside the webhook, and `scan` of a few hundred pods, called by kubectl.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubectl::Noted;
use crate::wait::until;

/// For hundreds of pods to be made, bound and called Running.
const LIMIT: Duration = Duration::from_secs(180);
/// Pods of each Deployment.
const EACH: usize = 100;
const BUILD: &str = "node.kubernetes.io/windows-build";
const FOLDER: &str = "/run/platform-gate/plugin";

/// Every pod that a trial has asked the API server about so far: `check` says of it what the webhook said.
pub(crate) fn check_says_what_the_webhook_said(cluster: &Cluster) -> Result<()> {
    let noted = cluster.kubectl.take_noted();
    let pods: Vec<&Noted> = noted.iter().filter(|noted| noted.kind() == "Pod").collect();
    ensure!(
        pods.len() >= 10,
        "only {} pods were asked about",
        pods.len()
    );
    let manifests: Vec<&str> = pods.iter().map(|noted| noted.manifest.as_str()).collect();
    let file = format!("{FOLDER}/pods.yaml");
    fs::create_dir_all(FOLDER)?;
    fs::write(&file, manifests.join("\n---\n"))?;
    let output = platform_gate(cluster, &["check", "-o", "json", "-f", &file])?;
    let report = json_of(&output)?;
    let objects = report["objects"].as_array().context("no objects")?;
    ensure!(
        objects.len() == pods.len(),
        "{} of {} pods were checked",
        objects.len(),
        pods.len()
    );
    for (noted, object) in pods.iter().zip(objects) {
        is_the_same(noted, object).with_context(|| noted.manifest.clone())?;
    }
    let denied = objects
        .iter()
        .filter(|object| object["verdict"] == "deny")
        .count();
    ensure!((1..pods.len()).contains(&denied), "{denied} are denied");
    Ok(())
}

fn is_the_same(noted: &Noted, object: &Value) -> Result<()> {
    let warnings = noted.warnings();
    let verdict = match (noted.accepted, warnings.is_empty()) {
        (false, _) => "deny",
        (true, false) => "warn",
        (true, true) => "allow",
    };
    ensure!(
        object["verdict"] == verdict,
        "the webhook: {verdict}, {}; check: {object}",
        noted.told
    );
    if noted.accepted {
        ensure!(
            object["warnings"] == json!(warnings),
            "the webhook: {warnings:?}; check: {object}"
        );
        return Ok(());
    }
    let message = object["message"].as_str().context("no message")?;
    ensure!(
        noted.told.trim_end().ends_with(message),
        "the webhook: {}; check: {message}",
        noted.told
    );
    Ok(())
}

/// 300 pods of three Deployments on simulated nodes, scanned as `kubectl platform-gate scan`.
pub(crate) fn scan_finds_what_a_migration_breaks(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.kubectl.namespace("scan")?;
    make_pods(cluster, namespace.name())?;
    let what_if = ["scan", "--what-if", "windows=10.0.20348", "-o"];
    let output = plugin(cluster, &[&what_if[..], &["json"]].concat())?;
    let scan = json_of(&output)?;
    let rows = scan["workloads"].as_array().context("no workloads")?;
    let ours: Vec<Value> = rows
        .iter()
        .filter(|row| row["namespace"] == namespace.name())
        .map(|row| {
            json!([
                row["kind"],
                row["name"],
                row["pods"],
                row["before"],
                row["change"]
            ])
        })
        .collect();
    let want = [
        ("arm", "same"),
        ("win-2016", "breaks"),
        ("win-2019", "breaks"),
    ];
    let want = want.map(|(name, change)| json!(["Deployment", name, EACH, "runs", change]));
    ensure!(ours == want, "{ours:#?}");
    ensure!(
        output.status.code() == Some(1),
        "it ended with {:?}",
        output.status
    );
    let page = plugin(cluster, &[&what_if[..], &["html"]].concat())?;
    let page = String::from_utf8_lossy(&page.stdout);
    for words in [
        "<!doctype html>",
        "win-2019",
        "would break",
        "hello-world:nanoserver-sac2016",
    ] {
        ensure!(page.contains(words), "{words:?} is not in the page");
    }
    // For a person to look at.
    match std::env::var_os("PLATFORM_GATE_SCREENSHOTS") {
        Some(folder) => fs::write(
            Path::new(&folder).join("scan-cluster.html"),
            page.as_bytes(),
        ),
        None => Ok(()),
    }
    .context("the page")
}

/// Three Deployments whose pods all run.
fn make_pods(cluster: &Cluster, namespace: &str) -> Result<()> {
    let kubectl = &cluster.kubectl;
    for (name, image, key, value) in [
        (
            "win-2016",
            "hello-world:nanoserver-sac2016",
            BUILD,
            "10.0.14393",
        ),
        ("win-2019", "hello-world:nanoserver", BUILD, "10.0.17763"),
        ("arm", "test/arm64-only:1", "kubernetes.io/arch", "arm64"),
    ] {
        kubectl.apply(&deployment(namespace, name, image, (key, value)))?;
    }
    let running = [
        "pods",
        "-n",
        namespace,
        "--field-selector=status.phase=Running",
    ];
    until("300 pods run", LIMIT, || {
        let pods = kubectl.get(&running)?;
        let count = pods["items"].as_array().map_or(0, Vec::len);
        Ok((count == 3 * EACH).then_some(()))
    })
}

fn deployment(namespace: &str, name: &str, image: &str, selector: (&str, &str)) -> String {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": EACH,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "nodeSelector": {selector.0: selector.1},
                    "containers": [{"name": "app", "image": image}],
                },
            },
        },
    })
    .to_string()
}

/// Runs the program against the cluster, with the registries of its operator.
fn platform_gate(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform-gate"));
    command.args(arguments);
    run(cluster, command)
}

/// As `platform_gate`, called by kubectl.
fn plugin(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let link = format!("{FOLDER}/kubectl-platform_gate");
    fs::create_dir_all(FOLDER)?;
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_platform-gate"), &link).context("the link")?;
    let mut command = cluster.command("kubectl");
    command
        .arg("platform-gate")
        .args(arguments)
        .env("PATH", FOLDER);
    run(cluster, command)
}

fn run(cluster: &Cluster, mut command: Command) -> Result<Output> {
    let settings = json!({
        "registries": {
            "docker.io": {"mirrors": [cluster.registry.url()]},
            cluster.registry.host(): {"caFile": cluster.registry.ca()},
        },
    });
    let file = "/run/platform-gate/cli.json";
    fs::write(file, settings.to_string()).context(file)?;
    command.args(["--config", file]);
    command.env("KUBECONFIG", cluster.kubectl.kubeconfig());
    command
        .output()
        .with_context(|| format!("cannot run {command:?}"))
}

fn json_of(output: &Output) -> Result<Value> {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON; it complains: {told}"))
}
