//! What runs, and on which nodes: from the kubeconfig's cluster, or from files.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::workloads::Found;
use crate::cli::check;
use crate::cli::logging::complain;
use crate::cli::nodes::{Cluster, Unanswered};
use crate::cli::progress::Progress;
use crate::cluster::pods;
use crate::domain::pod::Pod;
use crate::domain::workload::WorkloadKind;

/// Everything that runs in a cluster now.
pub(super) async fn from_cluster(client: kube::Client) -> anyhow::Result<Found> {
    let progress = Progress::new("pods listed", 0);
    let listed = pods::list_pods(client.clone(), |count| progress.show(count)).await;
    let pods = listed.map_err(|error| Unanswered::of("pods", error))?;
    drop(progress);
    let owners = match pods::list_owners(client).await {
        Ok(owners) => owners,
        Err(error) => {
            let error = anyhow::Error::from(error);
            complain(&format!(
                "ReplicaSets and Jobs cannot be listed, so pods are told by those instead of their Deployments and \
                 CronJobs: {error:#}"
            ));
            Default::default()
        }
    };
    Ok(Found {
        pods,
        owners,
        ..Found::default()
    })
}

/// Pods and workloads in files; their RuntimeClasses become the cluster's. The second is whether there are mistakes in them, which have then been told.
pub(super) fn from_files(files: &[PathBuf], cluster: &mut Cluster) -> (Found, bool) {
    let mut objects = check::read(files);
    cluster
        .runtime_classes
        .extend(objects.runtime_classes.drain());
    let mut found = Found::default();
    let mut mistakes = objects.mistakes;
    for object in &objects.found {
        let workload = match object.workload() {
            Ok(workload) => workload,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        let json = object.json();
        match (workload.kind, controller(json)) {
            (WorkloadKind::Pod, _) => {
                let phase = json.pointer("/status/phase").and_then(Value::as_str);
                // What has been read once can be read again.
                let pod = Pod::<'static>::deserialize(json.clone());
                let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
                found.pods.extend(pod.ok().filter(|_| !has_ended));
            }
            (kind, Some(owner)) => {
                let name = (
                    workload.namespace.to_string(),
                    kind.name().to_owned(),
                    workload.name.to_string(),
                );
                found.owners.insert(name, owner);
            }
            (kind, None) => found.templates.extend(kind.read(json.clone()).ok()),
        }
    }
    for mistake in &mistakes {
        complain(&mistake.to_string());
    }
    (found, !mistakes.is_empty())
}

/// Kind and name of what controls an object.
fn controller(object: &Value) -> Option<(String, String)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let text = |field: &str| Some(owner[field].as_str()?.to_owned());
    Some((text("kind")?, text("name")?))
}
