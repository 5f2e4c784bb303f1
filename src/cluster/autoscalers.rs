//! The pools of autoscalers, from the objects of Karpenter and of the Cluster API, where a cluster has them.
//!
//! They are few and change seldom: they are listed again and again instead of watched, so that a kind that is not
//! installed costs nothing. Leaves out what they mean for a pod (`domain::autoscaler`).

use std::time::Duration;

use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::list::ListError;
use crate::domain::autoscaler::{Autoscalers, KarpenterNodePool, MachineGroup, OpenPool};

/// Between two lists.
const PAUSE: Duration = Duration::from_secs(10);
/// For how long a list counts whose successors fail.
const STALE_AFTER: Duration = Duration::from_secs(300);
/// Longest wait for a list.
const LONGEST: Duration = Duration::from_secs(30);

/// API groups, and their versions to try in turn.
const KARPENTER: (&str, [&str; 2]) = ("karpenter.sh", ["v1", "v1beta1"]);
const CLUSTER_API: (&str, [&str; 2]) = ("cluster.x-k8s.io", ["v1beta2", "v1beta1"]);
const MACHINE_KINDS: [&str; 3] = ["MachineDeployment", "MachineSet", "MachinePool"];

/// Tells for ever of the pools that there are, and of `None` once nobody could tell for too long. `wanted` says whose,
/// each time anew, and is
/// told along.
///
/// What goes wrong is logged once until it goes well.
pub async fn follow_pools(
    client: Client,
    wanted: impl Fn() -> Autoscalers,
    mut on_list: impl FnMut(Autoscalers, Option<Vec<OpenPool>>),
) {
    let mut count = 0;
    let mut failing_since: Option<Instant> = None;
    loop {
        let asked = wanted();
        match list_pools(client.clone(), asked).await {
            Ok(pools) => {
                failing_since = None;
                if count != pools.len() {
                    count = pools.len();
                    tracing::info!(pools = count, "the pools of autoscalers are read");
                }
                on_list(asked, Some(pools));
            }
            Err(error) => {
                if failing_since.is_none() {
                    let error = error_text(&error);
                    tracing::warn!(
                        error,
                        "reading the pools of autoscalers failed, trying again"
                    );
                }
                let since = failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > STALE_AFTER {
                    on_list(asked, None);
                }
            }
        }
        #[allow(clippy::disallowed_methods, reason = "the pause of a poll")]
        tokio::time::sleep(PAUSE).await;
    }
}

fn error_text(error: &ListError) -> String {
    match error {
        ListError::Failed(cause) => format!("{error}: {cause}"),
        ListError::Timeout(_) => error.to_string(),
    }
}

/// Lists the pools that there are now.
///
/// # Errors
/// The API server does not answer, or refuses. A kind that it does not know has no objects.
pub async fn list_pools(client: Client, wanted: Autoscalers) -> Result<Vec<OpenPool>, ListError> {
    let mut pools = Vec::new();
    if wanted.karpenter {
        let node_pools = resources(KARPENTER, "NodePool");
        let node_pools: Vec<KarpenterNodePool> = list_any(client.clone(), node_pools).await?;
        pools.extend(node_pools.iter().flat_map(KarpenterNodePool::pools));
    }
    if wanted.cluster_api {
        for kind in MACHINE_KINDS.map(|kind| resources(CLUSTER_API, kind)) {
            let groups: Vec<MachineGroup> = list_any(client.clone(), kind).await?;
            pools.extend(groups.iter().filter_map(MachineGroup::pool));
        }
    }
    Ok(pools)
}

/// A kind in all its versions.
fn resources((group, versions): (&str, [&str; 2]), kind: &str) -> Vec<ApiResource> {
    let resource = |version| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    versions.map(resource).into()
}

/// The objects of the first version that the API server knows.
async fn list_any<T: DeserializeOwned>(
    client: Client,
    versions: Vec<ApiResource>,
) -> Result<Vec<T>, ListError> {
    for version in versions {
        let objects = Api::<DynamicObject>::all_with(client.clone(), &version);
        let params = ListParams::default();
        match tokio::time::timeout(LONGEST, objects.list(&params)).await? {
            Ok(objects) => return Ok(objects.items.into_iter().filter_map(read).collect()),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Vec::new())
}

/// One that cannot be read is left out: its owner's controller cannot read it either.
fn read<T: DeserializeOwned>(object: DynamicObject) -> Option<T> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let read = serde_json::to_value(object).and_then(serde_json::from_value);
    read.inspect_err(|error| tracing::warn!(name, %error, "a pool of an autoscaler cannot be read"))
        .ok()
}
