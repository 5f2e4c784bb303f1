//! The pods of platform-gate themselves: which there are, and what each of them tells over plain HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::install::NAMESPACE;
use crate::cluster::Cluster;

/// The chart's `metricsPort`.
const PORT: u16 = 8080;

/// Those that are there to stay: one that is being replaced goes on for a while.
pub(super) fn replicas(cluster: &Cluster) -> Result<Vec<Value>> {
    let selector = "app.kubernetes.io/component=webhook";
    let list = cluster
        .kubectl
        .get(&["pods", "-n", NAMESPACE, "-l", selector])?;
    let mut pods = list["items"].as_array().context("no list")?.clone();
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(pods)
}

/// What a pod answers to a GET; `None` while it answers nothing, or not with 200.
pub(super) fn get(pod: &Value, path: &str) -> Option<String> {
    let address = pod["status"]["podIP"].as_str()?;
    let target = format!("{address}:{PORT}").parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(1)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

/// The sum of a pod's series that begin so; `None` where it has none.
pub(super) fn counted(pod: &Value, series: &str) -> Option<f64> {
    let metrics = get(pod, "/metrics")?;
    let series = metrics.lines().filter(|line| line.starts_with(series));
    series
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .reduce(|a, b| a + b)
}
