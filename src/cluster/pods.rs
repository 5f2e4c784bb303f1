//! Lists of what runs in a cluster: its pods, and what made those that made them.
//!
//! Leaves out what belongs together: that is the caller's.

use std::borrow::Cow;
use std::collections::HashMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::list::{ListError, list_pages, list_with};
use crate::domain::pod::Pod;

/// An object in a namespace, by what owner references name it: namespace, kind and name.
pub type ObjectName = (String, String, String);

/// Lists the pods that have not ended. `on_page` is told how many there are so far.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn list_pods(
    client: Client,
    on_page: impl FnMut(usize),
) -> Result<Vec<Pod<'static>>, ListError> {
    let params = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let pods: Vec<ListedPod> = list_with(&Api::all(client), params, on_page).await?;
    Ok(pods.into_iter().map(|pod| pod.pod).collect())
}

/// Lists which controllers the ReplicaSets and Jobs have, as Deployments and CronJobs do: kind and name of each. Of them
/// nothing but metadata is asked for.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn list_owners(
    client: Client,
) -> Result<HashMap<ObjectName, (String, String)>, ListError> {
    let mut owners = HashMap::new();
    add_owners::<ReplicaSet>(client.clone(), "ReplicaSet", &mut owners).await?;
    add_owners::<Job>(client, "Job", &mut owners).await?;
    Ok(owners)
}

async fn add_owners<K>(
    client: Client,
    kind: &str,
    owners: &mut HashMap<ObjectName, (String, String)>,
) -> Result<(), ListError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: &Api<K> = &Api::all(client);
    let objects: Vec<PartialObjectMeta<K>> = list_pages(
        ListParams::default(),
        |params| async move { api.list_metadata(&params).await },
        |_| (),
    )
    .await?;
    for object in objects {
        let ObjectMeta {
            namespace,
            name,
            owner_references,
            ..
        } = object.metadata;
        let mut references = owner_references.unwrap_or_default().into_iter();
        let Some(owner) = references.find(|owner| owner.controller == Some(true)) else {
            continue;
        };
        let key = (
            namespace.unwrap_or_default(),
            kind.to_owned(),
            name.unwrap_or_default(),
        );
        owners.insert(key, (owner.kind, owner.name));
    }
    Ok(())
}

/// A pod as `kube` needs it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
struct ListedPod {
    meta: ObjectMeta,
    pod: Pod<'static>,
}

impl TryFrom<Value> for ListedPod {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        Ok(Self {
            meta: ObjectMeta::default(),
            pod: Pod::deserialize(value)?,
        })
    }
}

impl Resource for ListedPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(&(): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group(&(): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(&(): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(&(): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
