//! The cluster's own networks: addresses of nodes, of their pods, and of Services. No pod author may have us connect
//! there (OPERATIONS, threat 1).
//!
//! Leaves out the guard itself, which is `registry`'s.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::domain::node::Node;

/// The networks, kept as nodes come and go.
#[derive(Debug, Default)]
pub struct Networks {
    services: Vec<IpNet>,
    blocked: Vec<IpNet>,
    nodes: HashMap<String, Vec<IpNet>>,
}

impl Networks {
    /// Takes the networks of Services.
    pub fn set_services(&mut self, services: Vec<IpNet>) {
        self.services = services;
    }

    /// Takes the networks that the settings name.
    pub fn set_blocked(&mut self, blocked: Vec<IpNet>) {
        self.blocked = blocked;
    }

    /// Forgets all nodes and takes these.
    pub fn replace_all(&mut self, nodes: &[Node]) {
        self.nodes = nodes
            .iter()
            .map(|node| (node.metadata.name.clone(), of_node(node)))
            .collect();
    }

    /// Takes a node; tells whether anything changed, since kubelets report every few seconds and move rarely.
    pub fn apply(&mut self, node: &Node) -> bool {
        let networks = of_node(node);
        self.nodes
            .insert(node.metadata.name.clone(), networks.clone())
            != Some(networks)
    }

    /// Forgets a node; tells whether anything changed.
    pub fn remove(&mut self, name: &str) -> bool {
        self.nodes.remove(name).is_some()
    }

    /// All of them, each once.
    #[must_use]
    pub fn all(&self) -> Vec<IpNet> {
        let nodes = self.nodes.values().flatten();
        let told = self.services.iter().chain(&self.blocked).chain(nodes);
        IpNet::aggregate(&told.copied().collect())
    }
}

fn of_node(node: &Node) -> Vec<IpNet> {
    let addresses = node
        .status
        .addresses
        .iter()
        .filter_map(|address| address.address.parse::<IpAddr>().ok());
    let pods = node
        .spec
        .pod_cidrs
        .iter()
        .filter_map(|network| network.parse().ok());
    addresses.map(IpNet::from).chain(pods).collect()
}

/// The networks that Services get their addresses from. An API server too old to tell has none; then the address of
/// its own Service, which every pod is told, stands for them.
pub async fn service_networks(client: Client, own: Option<IpAddr>) -> Vec<IpNet> {
    let ranges: Api<ServiceCIDR> = Api::all(client);
    let told = match ranges.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => {
            tracing::warn!(%error, "the networks of Services are not known; name them in blockedNetworks");
            Vec::new()
        }
    };
    let told = told
        .into_iter()
        .filter_map(|range| range.spec)
        .flat_map(|spec| spec.cidrs.unwrap_or_default());
    let told: Vec<String> = told.collect();
    let networks = told.iter().filter_map(|network| network.parse().ok());
    networks.chain(own.map(IpNet::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str, pods: &str) -> Node {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"podCIDRs":["{pods}"]}},"status":{{"addresses":[
                {{"type":"InternalIP","address":"{address}"}},{{"type":"Hostname","address":"{name}"}}]}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn networks_follow_the_nodes() {
        let mut networks = Networks::default();
        networks.set_services(vec!["10.96.0.0/16".parse().unwrap()]);
        let text = |networks: &Networks| {
            networks
                .all()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        networks.replace_all(&[node("a", "10.0.0.5", "10.88.0.0/24")]);
        assert_eq!(text(&networks), "10.0.0.5/32 10.88.0.0/24 10.96.0.0/16");
        assert!(
            !networks.apply(&node("a", "10.0.0.5", "10.88.0.0/24")),
            "nothing new"
        );
        assert!(networks.apply(&node("b", "fd00::7", "10.88.1.0/24")));
        assert_eq!(
            text(&networks),
            "10.0.0.5/32 10.88.0.0/23 10.96.0.0/16 fd00::7/128"
        );
        assert!(networks.remove("a") && !networks.remove("a"));
        assert_eq!(text(&networks), "10.88.1.0/24 10.96.0.0/16 fd00::7/128");
        networks.set_blocked(vec!["10.0.0.0/24".parse().unwrap()]);
        assert_eq!(
            text(&networks),
            "10.0.0.0/24 10.88.1.0/24 10.96.0.0/16 fd00::7/128"
        );
    }
}
