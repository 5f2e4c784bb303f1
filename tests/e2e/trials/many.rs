//! Writes to the API server in great number: nodes made and changed, pods made.
//!
//! Connections may end in the moment of a request, as an API server ends idle ones: such a write is made again, or left out
//! where one more or less does not matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod as PodObject};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::simulated_nodes;
use crate::pod::Pod;

/// Of all that is made here.
pub(super) const LABEL: &str = "example.com/many";
/// Node updates a second.
const CHURN: u64 = 100;
/// Node updates under way at most.
const AT_ONCE: usize = 20;

/// Nodes that kwok keeps Ready, half of them of each architecture.
pub(super) async fn create_nodes(client: &Client, count: usize) -> Result<()> {
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

/// Labels of nodes change, one after the other, until told to stop. Returns how many have, and how many should have.
pub(super) async fn churn(
    client: Client,
    nodes: usize,
    goes_on: Arc<AtomicBool>,
) -> Result<(u64, u64)> {
    let api: Api<Node> = Api::all(client);
    let mut pace = tokio::time::interval(Duration::from_millis(1000 / CHURN));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (mut updates, mut done) = (0, 0);
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
            && let Some(ended) = under_way.join_next().await
        {
            done += succeeded(&ended?)?;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        done += succeeded(&ended?)?;
    }
    Ok((done, updates))
}

/// How many updates that is: a connection may end in the moment of a request.
fn succeeded<T>(update: &kube::Result<T>) -> Result<u64> {
    match update {
        Ok(_) => Ok(1),
        Err(kube::Error::Service(_)) => Ok(0),
        Err(error) => bail!("a node was not updated: {error}"),
    }
}

/// Creates pods that nobody schedules, so many at a time, and deletes them. Gives the latencies in ms, shortest first.
pub(super) async fn create_pods(
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
            create(&pods, &pod).await?;
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

/// Creates a pod. Tries again where the connection ended in the moment of the request, as an API server ends idle ones.
async fn create(pods: &Api<PodObject>, pod: &PodObject) -> Result<()> {
    let how = PostParams::default();
    let created = match pods.create(&how, pod).await {
        Err(kube::Error::Service(_)) => pods.create(&how, pod).await,
        created => created,
    };
    match created {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        created => Ok(created.map(drop)?),
    }
}
