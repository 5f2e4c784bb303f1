//! Many nodes and many pods: how long a replica takes to be ready, what it keeps, and what a pod's creation waits for it,
//! beside creations that it is not asked about, in the same run. It tells numbers and asserts none of them.
//!
//! `PLATFORM_GATE_FULL=1` has 5,000 nodes and runs of 300 pods; otherwise there are a few hundred of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod as PodObject};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::install::NAMESPACE;
use super::replicas::{counted, get, replicas};
use super::waits::Waits;
use crate::cluster::{Cluster, simulated_nodes};
use crate::pod::Pod;
use crate::progress::say;
use crate::wait::until;

const MINUTE: Duration = Duration::from_secs(60);
const LABEL: &str = "example.com/many";
/// A namespace that the chart leaves out.
const NOT_ASKED: &str = "kube-system";
/// Node updates a second.
const CHURN: u64 = 100;
/// Node updates under way at most.
const AT_ONCE: usize = 20;

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
            let updates = runtime.block_on(churn)??;
            say(&format!(
                "scale: {concurrent} at a time, {what} ({updates} updates): {}",
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
    Ok(Client::try_from(
        Config::from_custom_kubeconfig(kubeconfig, &options).await?,
    )?)
}

async fn create_nodes(client: &Client, count: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let creations = (0..count).map(|at| {
        let architecture = ["amd64", "arm64"][at % 2];
        let name = format!("many-{at}");
        let labels = json!({"kubernetes.io/arch": architecture, "kubernetes.io/os": "linux",
            "kubernetes.io/hostname": name, LABEL: "yes", "topology.kubernetes.io/zone": format!("zone-{}", at % 3)});
        let platform = ("linux", architecture, "6.8.0");
        let node = simulated_nodes::manifest_of(&name, platform, &labels, &[simulated_nodes::guest()]);
        let nodes = nodes.clone();
        async move {
            let node: Node = serde_json::from_value(node)?;
            nodes.create(&PostParams::default(), &node).await?;
            anyhow::Ok(())
        }
    });
    stream::iter(creations)
        .buffer_unordered(50)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}

/// Deletes one of the pods: how long the next one takes from its first line of log to being ready, and its memory.
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
    let ready = SystemTime::now();
    let name = next["metadata"]["name"].as_str().unwrap_or_default();
    let log = kubectl.run(&["logs", name, "-n", NAMESPACE])?;
    let first_line: Value = serde_json::from_str(log.lines().next().unwrap_or_default())?;
    let told = first_line["timestamp"].as_str().context("no timestamp")?;
    let format = &time::format_description::well_known::Rfc3339;
    let started: SystemTime = time::OffsetDateTime::parse(told, format)?.into();
    let taken = ready.duration_since(started).unwrap_or_default();
    let known = counted(&next, "platform_gate_nodes{").unwrap_or_default();
    ensure!(known >= nodes as f64, "it knows {known} of {nodes} nodes");
    Ok(format!(
        "ready {:.2} s after its first line of log, which knows {known} nodes; MiB of each replica, and of that its own {:?}",
        taken.as_secs_f64(),
        memory()?
    ))
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

/// Labels of nodes change, one after the other, until told to stop. Returns how many have.
async fn churn(client: Client, nodes: usize, goes_on: Arc<AtomicBool>) -> Result<u64> {
    let api: Api<Node> = Api::all(client);
    let mut pace = tokio::time::interval(Duration::from_millis(1000 / CHURN));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut updates = 0;
    let mut under_way = tokio::task::JoinSet::new();
    while goes_on.load(Ordering::Relaxed) {
        pace.tick().await;
        let name = format!("many-{}", updates as usize % nodes);
        let change = json!({"metadata": {"labels": {"example.com/turn": updates.to_string()}}});
        let api = api.clone();
        under_way.spawn(async move {
            let parameters = PatchParams::default();
            api.patch_metadata(&name, &parameters, &Patch::Merge(change))
                .await
        });
        updates += 1;
        // More at a time would only stand in each other's way, until the API server does nothing else.
        while under_way.len() >= AT_ONCE
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(updates)
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

/// Creates pods that nobody schedules, so many at a time, and deletes them. Gives the latencies in ms, shortest first.
async fn create_pods(
    client: &Client,
    namespace: &str,
    count: usize,
    concurrent: usize,
) -> Result<Vec<f64>> {
    let pods: Api<PodObject> = Api::namespaced(client.clone(), namespace);
    let creations = (0..count).map(|at| {
        let pods = pods.clone();
        async move {
            let pod = Pod::new(namespace, &format!("many-{at}"), "test/amd64-only:1")
                .node_selector("kubernetes.io/os", "linux")
                .node_selector("kubernetes.io/arch", "amd64");
            let mut pod: Value = serde_json::from_str(&pod.manifest())?;
            pod["spec"]["schedulerName"] = json!("nobody");
            pod["spec"]["tolerations"] = simulated_nodes::tolerates_guests();
            pod["metadata"]["labels"] = json!({LABEL: "yes"});
            let pod: PodObject = serde_json::from_value(pod)?;
            let began = Instant::now();
            pods.create(&PostParams::default(), &pod).await?;
            anyhow::Ok(began.elapsed().as_secs_f64() * 1e3)
        }
    });
    let created = stream::iter(creations).buffer_unordered(concurrent);
    let mut times: Vec<f64> = created.try_collect().await?;
    times.sort_by(f64::total_cmp);
    let labelled = ListParams::default().labels(LABEL);
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete_collection(&at_once, &labelled).await?;
    Ok(times)
}
