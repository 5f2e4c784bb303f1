//! How long answers took, by the histograms of those who gave them and of the API server that waited for them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::replicas::{get, replicas};
use crate::cluster::Cluster;

/// Of platform-gate: from a request read to its answer.
const OWN: &str = "platform_gate_admission_duration_seconds_bucket{";
/// Of the API server: all that a webhook takes, connecting and encoding included.
const WAITED: &str = "apiserver_admission_webhook_admission_duration_seconds_bucket{";

/// Answers so far, by the greatest time that they took, in seconds as the metrics write it.
pub(super) struct Waits {
    own: BTreeMap<String, f64>,
    waited: BTreeMap<String, f64>,
}

impl Waits {
    pub(super) fn so_far(cluster: &Cluster) -> Result<Self> {
        let mut own = BTreeMap::new();
        for pod in replicas(cluster)? {
            add(&mut own, &get(&pod, "/metrics").context("no metrics")?, OWN);
        }
        let mut waited = BTreeMap::new();
        let metrics = cluster.kubectl.run(&["get", "--raw", "/metrics"])?;
        add(&mut waited, &metrics, WAITED);
        Ok(Self { own, waited })
    }

    /// What part of the answers since `before` took at most so long.
    pub(super) fn told_since(&self, before: &Self) -> String {
        let parts = |now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>, of: &[&str]| {
            let since = |le: &str| {
                let at = |counts: &BTreeMap<String, f64>| counts.get(le).copied();
                at(now).unwrap_or_default() - at(before).unwrap_or_default()
            };
            let part = |le: &&str| format!("{:.1} % in {le} s", 100.0 * since(le) / since("+Inf"));
            of.iter().map(part).collect::<Vec<_>>().join(", ")
        };
        format!(
            "answered by platform-gate: {}; had by the API server: {}",
            parts(&self.own, &before.own, &["0.001", "0.005", "0.025"]),
            parts(&self.waited, &before.waited, &["0.005", "0.025", "0.1"])
        )
    }
}

fn add(counts: &mut BTreeMap<String, f64>, metrics: &str, series: &str) {
    let lines = metrics.lines().filter(|line| line.starts_with(series));
    // Other webhooks have series of that name too.
    for line in lines.filter(|line| !line.contains("name=") || line.contains("platform-gate")) {
        let le = line
            .split("le=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let count = line
            .rsplit(' ')
            .next()
            .and_then(|count| count.parse::<f64>().ok());
        if let Some((le, count)) = le.zip(count) {
            *counts.entry(le.to_owned()).or_default() += count;
        }
    }
}
