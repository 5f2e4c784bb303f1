//! `platform-gate inspect`, asked for the real node.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{Cluster, REAL_NODE};

/// The verdict on each image, as `images::cases` writes them.
pub(super) fn verdicts(cluster: &Cluster, images: &[String]) -> Result<Vec<String>> {
    let settings = json!({
        "registries": {
            "docker.io": {"mirrors": [cluster.registry.url()]},
            cluster.registry.host(): {"caFile": cluster.registry.ca()},
        },
    });
    let file = "/run/platform-gate/inspect.json";
    fs::write(file, settings.to_string()).context(file)?;
    // A non-zero status says that an image cannot run or is not known, and most cannot.
    let output = Command::new(env!("CARGO_BIN_EXE_platform-gate"))
        .args(["inspect", "--registry-config", file, "-o", "json"])
        .args(["--platform", "linux/amd64", "--runtime", &runtime(cluster)?])
        .args(images)
        .output()
        .context("cannot run platform-gate inspect")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(errors.is_empty(), "inspect complains: {errors}");
    let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    lines.map(|line| verdict(&line?)).collect()
}

/// The real node's runtime, as `--runtime` takes it.
fn runtime(cluster: &Cluster) -> Result<String> {
    let node = cluster.kubectl.get(&["node", REAL_NODE])?;
    let version = &node["status"]["nodeInfo"]["containerRuntimeVersion"];
    let version = version.as_str().context("no containerRuntimeVersion")?;
    Ok(version.replace("://", "@"))
}

fn verdict(line: &Value) -> Result<String> {
    if let Some(code) = line["error"]["code"].as_str() {
        return Ok(format!("unknown {code}"));
    }
    let found = &line["matches"][0];
    let kind = found["verdict"]
        .as_str()
        .with_context(|| format!("no verdict in {line}"))?;
    let chosen = || {
        let entries = line["platforms"]
            .as_array()
            .filter(|_| line["manifestList"] == true)?;
        let position = entries
            .iter()
            .position(|entry| entry["digest"] == found["chosen"])?;
        Some(position.to_string())
    };
    let detail = found["code"].as_str().map(str::to_owned).or_else(chosen);
    Ok(detail.map_or_else(|| kind.to_owned(), |detail| format!("{kind} {detail}")))
}
