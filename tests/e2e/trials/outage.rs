//! What befalls the cluster itself and takes platform-gate with it, or the other way round: the API server ends and comes
//! back, a replica is killed without a word, everything is gone while the API server must ask us.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install::{self, NAMESPACE};
use super::operate::{rolled_out, under_load};
use super::replicas::replicas;
use crate::cluster::{Cluster, Part, REAL_NODE};
use crate::kubectl::Namespace;
use crate::load::Load;
use crate::pod::Pod;
use crate::wait::until;

const MINUTE: Duration = Duration::from_secs(60);
/// What the API server says of a webhook that it cannot reach and may not do without.
const FAILED: &str = "failed calling webhook";

/// The API server's metrics begin anew with it, so they are looked at before; the audit log goes on.
pub(crate) fn nothing_fails_while_the_api_server_restarts(cluster: &Cluster) -> Result<()> {
    let what = "api server restart";
    install::no_call_failed(cluster)?;
    let tally = under_load(cluster, what, || {
        cluster.end(Part::ApiServer, "TERM")?;
        cluster.start_again(Part::ApiServer)
    })?;
    // Otherwise the callers would not have noticed.
    ensure!(tally.broken > 0, "{what}: {tally}");
    tally.is_flawless().context(what)?;
    rolled_out(cluster)
}

/// The API server goes on to call a dead replica for a moment, and tries no other: such a call is admitted unasked, as
/// `Ignore` says. That ends by itself, and what is answered is answered as always.
pub(crate) fn a_killed_replica_is_missed_for_a_moment(cluster: &Cluster) -> Result<()> {
    let what = "replica killed";
    let tally = under_load(cluster, what, || {
        let before = containers(cluster)?;
        cluster.kill_container(&before[0])?;
        // The kubelet takes longer each time that the same one ends.
        until("its container is another", MINUTE * 5, || {
            Ok((!containers(cluster)?.contains(&before[0])).then_some(()))
        })?;
        rolled_out(cluster)
    })?;
    tally.answers_are_right().context(what)?;
    let after = Load::start(cluster, "after-a-kill")?.finish(100)?;
    after.is_flawless().context("after it has come back")
}

/// The containers of platform-gate's pods that run, by their ids: first the one that has been started again least often.
fn containers(cluster: &Cluster) -> Result<Vec<String>> {
    let mut pods = replicas(cluster)?;
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    pods.sort_by_key(restarts);
    let ids = pods.iter().filter_map(|pod| {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
        id?.strip_prefix("containerd://")
    });
    Ok(ids.map(str::to_owned).collect())
}

/// Power is back, and of platform-gate there is nothing but what etcd keeps, with `failurePolicy: Fail` in it: no pod can
/// be made outside the excluded namespaces. Ours can, and so can those of kube-system, and then everyone's.
pub(crate) fn a_cluster_comes_up_with_nobody_to_ask(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("cold-start")?;
    let fail = json!({"webhook": {"failurePolicy": "Fail"}});
    install::upgrade(cluster, &Value::Null, &fail)?;
    everything_is_gone(cluster)?;
    let right = right(&namespace).manifest();
    until(
        "pods are refused, since nobody is there to ask",
        MINUTE / 6,
        || {
            let refused = kubectl.rejects(&right).ok();
            Ok(refused.filter(|message| message.contains(FAILED)))
        },
    )?;

    let system = Pod::new("kube-system", "agent", "test/runs:1").on_node(REAL_NODE);
    kubectl
        .apply(&system.manifest())
        .context("a pod of kube-system")?;
    cluster.start_again(Part::Kubelet)?;
    kubectl.wait("kube-system", "pod/agent", "condition=Ready", MINUTE)?;
    cluster.start_again(Part::Controllers)?;
    until("platform-gate runs again", MINUTE, || {
        Ok((containers(cluster)?.len() == 2).then_some(()))
    })?;
    rolled_out(cluster)?;
    until("pods are admitted again", MINUTE / 6, || {
        Ok(kubectl.accepts(&right).ok().filter(Vec::is_empty))
    })?;
    let wrong = Pod::new(namespace.name(), "wrong", "test/arm64-only:1").on_node(REAL_NODE);
    let message = kubectl.rejects(&wrong.manifest())?;
    ensure!(message.contains("no matching manifest"), "{message}");
    kubectl.run(&["delete", "pod", "agent", "-n", "kube-system"])?;
    install::upgrade(cluster, &Value::Null, &Value::Null)
}

fn right(namespace: &Namespace<'_>) -> Pod {
    Pod::new(namespace.name(), "right", "test/amd64-only:1").on_node(REAL_NODE)
}

/// The control plane's programs, the node's agent, our processes, and our pods in etcd.
fn everything_is_gone(cluster: &Cluster) -> Result<()> {
    cluster.end(Part::Controllers, "KILL")?;
    cluster.end(Part::Kubelet, "KILL")?;
    for container in containers(cluster)? {
        cluster.kill_container(&container)?;
    }
    let delete = ["delete", "pods", "--all", "-n", NAMESPACE];
    let at_once = ["--force", "--grace-period=0"];
    cluster.kubectl.run(&[&delete[..], &at_once].concat())?;
    cluster.end(Part::ApiServer, "KILL")?;
    cluster.start_again(Part::ApiServer)
}
