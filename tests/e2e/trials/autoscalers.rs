//! Pools that Karpenter may grow: read only when the settings ask, from the moment that there are any.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::install;
use super::policy::in_a_row;
use crate::cluster::Cluster;
use crate::pod::Pod;
use crate::wait::until;

/// For settings to arrive, and for the next look at the pools.
const LIMIT: Duration = Duration::from_secs(120);

/// A pod that runs on s390x alone, of which there is no node: denied until a NodePool would make one.
pub(crate) fn a_pool_of_karpenter_is_a_place_to_run(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("karpenter")?;
    let pod = Pod::new(namespace.name(), "mainframe", "clefos:7.4.1708").manifest();
    kubectl.apply(&definition().to_string())?;
    kubectl.wait(
        "default",
        "crd/nodepools.karpenter.sh",
        "condition=Established",
        LIMIT,
    )?;
    kubectl.apply(&node_pool().to_string())?;
    kubectl.rejects(&pod)?;
    let autoscalers = json!({"autoscalers": {"karpenter": true}});
    install::upgrade(cluster, &autoscalers, &Value::Null)?;
    until("the pool is a place to run", LIMIT, || {
        Ok(kubectl.accepts(&pod).ok().map(drop))
    })?;
    kubectl.run(&["delete", "nodepools", "mainframes"])?;
    until("the pool is gone", LIMIT, || {
        Ok(kubectl.rejects(&pod).ok().map(drop))
    })?;
    // That the setting is off again everywhere is seen by a pool that nobody reads.
    kubectl.apply(&node_pool().to_string())?;
    until("the pool is back", LIMIT, || {
        Ok(kubectl.accepts(&pod).ok().map(drop))
    })?;
    install::upgrade(cluster, &Value::Null, &Value::Null)?;
    in_a_row("pools are not read any more", || {
        kubectl.rejects(&pod).is_ok()
    })?;
    kubectl
        .run(&["delete", "crd", "nodepools.karpenter.sh"])
        .map(drop)
}

fn definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "nodepools.karpenter.sh",
        },
        "spec": {
            "group": "karpenter.sh",
            "scope": "Cluster",
            "names": {"kind": "NodePool", "plural": "nodepools"},
            "versions": [version],
        },
    })
}

fn node_pool() -> Value {
    let requirement =
        |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
    let requirements = [
        requirement("kubernetes.io/os", "linux"),
        requirement("kubernetes.io/arch", "s390x"),
    ];
    json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "mainframes"},
        "spec": {"template": {"spec": {"requirements": requirements}}},
    })
}
