//! Many nodes and many pods: how long a replica takes to be ready, what it keeps, and what a pod's creation waits for it,
//! beside creations that it is not asked about, in the same run. It tells numbers and asserts none of them.
//!
//! `PLATFORM_GATE_FULL=1` has 5,000 nodes and runs of 300 pods; otherwise there are a few hundred of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use platform_gate::cluster::{Freshness, client::client_for};
use serde_json::Value;

use super::install::NAMESPACE;
use super::many::{LABEL, churn, create_nodes, create_pods};
use super::replicas::{counted, get, replicas};
use super::waits::Waits;
use crate::cluster::Cluster;
use crate::progress::say;
use crate::wait::until;

const MINUTE: Duration = Duration::from_secs(60);
/// A namespace that the chart leaves out.
const NOT_ASKED: &str = "kube-system";

struct Size {
    nodes: usize,
    pods: usize,
    rounds: usize,
}

pub(crate) fn many_nodes_and_pods(cluster: &Cluster) -> Result<()> {
    let size = match std::env::var_os("PLATFORM_GATE_FULL") {
        Some(_) => Size {
            nodes: 5000,
            pods: 300,
            rounds: 5,
        },
        None => Size {
            nodes: 300,
            pods: 100,
            rounds: 2,
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let client = runtime.block_on(client(cluster))?;
    let nodes: Api<Node> = Api::all(client.clone());
    let outcome = measure(cluster, &runtime, &client, &size);
    let labelled = ListParams::default().labels(LABEL);
    until("the nodes are gone", MINUTE * 5, || {
        // An API server ends a request after a minute, and goes on where the next one asks.
        let _ = runtime.block_on(nodes.delete_collection(&DeleteParams::default(), &labelled));
        let left = runtime.block_on(nodes.list_metadata(&labelled.clone().limit(1)))?;
        Ok(left.items.is_empty().then_some(()))
    })?;
    outcome
}

fn measure(
    cluster: &Cluster,
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    size: &Size,
) -> Result<()> {
    let began = Instant::now();
    runtime.block_on(create_nodes(client, size.nodes))?;
    say(&format!(
        "scale: {} nodes made in {:.0} s",
        size.nodes,
        began.elapsed().as_secs_f32()
    ));
    for _ in 0..size.rounds {
        say(&format!("scale: {}", restarted(cluster, size.nodes)?));
    }
    let asked = cluster.kubectl.namespace("many")?;
    for concurrent in [50, 200] {
        for (churns, what) in [(false, "quiet nodes"), (true, "100 node updates a second")] {
            let goes_on = Arc::new(AtomicBool::new(churns));
            let churn = runtime.spawn(churn(client.clone(), size.nodes, Arc::clone(&goes_on)));
            let before = Waits::so_far(cluster)?;
            let told = side_by_side(runtime, client, asked.name(), size, concurrent);
            goes_on.store(false, Ordering::Relaxed);
            let (done, updates) = runtime.block_on(churn)??;
            ensure!(
                done + updates / 100 >= updates,
                "{done} of {updates} updates"
            );
            say(&format!(
                "scale: {concurrent} at a time, {what} ({done} updates): {}",
                told?
            ));
            let since = Waits::so_far(cluster)?.told_since(&before);
            say(&format!("scale: {since}"));
        }
    }
    say(&format!(
        "scale: MiB at the end, and of that its own: {:?}",
        memory()?
    ));
    Ok(())
}

async fn client(cluster: &Cluster) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubectl.kubeconfig())?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(client_for(config, &Freshness::default())?)
}

/// Deletes one of the pods: how long the next one takes from its first line of log to being ready, beside the list of nodes
/// that it waits for, and its memory.
fn restarted(cluster: &Cluster, nodes: usize) -> Result<String> {
    let kubectl = &cluster.kubectl;
    let names = |pods: &[Value]| -> Vec<String> {
        let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
        pods.iter().filter_map(name).collect()
    };
    let before = names(&replicas(cluster)?);
    let first = before.first().context("no pod of platform-gate")?;
    kubectl.run(&["delete", "pod", first, "-n", NAMESPACE, "--wait=false"])?;
    let is_next = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str();
        pod["status"]["podIP"].is_string() && !before.iter().any(|known| Some(&**known) == name)
    };
    let next = until("the next pod has an address", MINUTE * 2, || {
        Ok(replicas(cluster)?.into_iter().find(is_next))
    })?;
    until("it is ready", MINUTE * 2, || {
        Ok(get(&next, "/readyz").map(drop))
    })?;
    let name = next["metadata"]["name"].as_str().unwrap_or_default();
    let taken = until_ready(&kubectl.run(&["logs", name, "-n", NAMESPACE])?)?;
    let known = counted(&next, "platform_gate_nodes{").unwrap_or_default();
    ensure!(known >= nodes as f64, "it knows {known} of {nodes} nodes");
    let began = Instant::now();
    kubectl.run(&["get", "--raw", "/api/v1/nodes"])?;
    let listed = began.elapsed();
    Ok(format!(
        "ready {:.2} s after its first line of log, which knows {known} nodes; kubectl takes {:.2} s to list them; MiB of each replica, and of that its own {:?}",
        taken.as_secs_f64(),
        listed.as_secs_f64(),
        memory()?
    ))
}

/// From the first line of a log to the one that tells of the last condition for readiness.
fn until_ready(log: &str) -> Result<Duration> {
    let lines: Vec<Value> = log
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let met = |line: &&Value| line["message"] == "condition for readiness met";
    let (first, last) = (lines.first(), lines.iter().rfind(met));
    let at = |line: Option<&Value>| -> Result<SystemTime> {
        let told = line.and_then(|line| line["timestamp"].as_str());
        let format = &time::format_description::well_known::Rfc3339;
        Ok(time::OffsetDateTime::parse(told.context("no timestamp")?, format)?.into())
    };
    Ok(at(last)?.duration_since(at(first)?)?)
}

/// What each process of platform-gate has in memory, in MiB, and how much of that is its own, not its program's file.
fn memory() -> Result<Vec<(u64, u64)>> {
    let mut of_each = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let path = process?.path();
        // A process may end meanwhile.
        let Ok(status) = std::fs::read_to_string(path.join("status")) else {
            continue;
        };
        let mebibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kibibytes = line?.split_whitespace().next()?.parse::<u64>().ok();
            kibibytes.map(|kib| kib / 1024)
        };
        let resident = mebibytes("VmRSS:").zip(mebibytes("RssAnon:"));
        of_each.extend(resident.filter(|_| status.starts_with("Name:\tplatform-gate\n")));
    }
    Ok(of_each)
}

/// Creates pods in turn where platform-gate is asked and where it is not.
fn side_by_side(
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    asked: &str,
    size: &Size,
    concurrent: usize,
) -> Result<String> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    // The first round warms up.
    for round in 0..=size.rounds {
        let a = runtime.block_on(create_pods(client, NOT_ASKED, size.pods, concurrent))?;
        let b = runtime.block_on(create_pods(client, asked, size.pods, concurrent))?;
        if round > 0 {
            without.push(a);
            with.push(b);
        }
    }
    let told = |part: f64| {
        let at = |times: &Vec<f64>| times[((times.len() - 1) as f64 * part) as usize];
        let spread = |mut figures: Vec<f64>| {
            figures.sort_by(f64::total_cmp);
            let (least, most) = (figures[0], figures[figures.len() - 1]);
            format!("{:.1} ({least:.1}..{most:.1})", figures[figures.len() / 2])
        };
        let more = with.iter().zip(&without).map(|(a, b)| at(a) - at(b));
        let (with, without) = (with.iter().map(at), without.iter().map(at));
        format!(
            "{} with, {} without, {} more",
            spread(with.collect()),
            spread(without.collect()),
            spread(more.collect())
        )
    };
    Ok(format!("ms: p50 {}; p99 {}", told(0.5), told(0.99)))
}
