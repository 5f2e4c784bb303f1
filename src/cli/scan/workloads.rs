//! From pods to workloads: a Deployment, not its forty pods. Pods belong to what controls what made them.
//!
//! Leaves out where pods come from (`source`) and what they are judged to be.

use std::collections::{BTreeMap, HashMap};

use crate::cluster::pods::ObjectName;
use crate::domain::pod::{Pod, PodSpec};
use crate::domain::workload::{Workload as Object, WorkloadKind};

/// More than this many controllers above a pod are a circle.
const MAX_OWNERS: usize = 8;

/// What pods tolerate once admission and a DaemonSet's controller have seen them: states that pass by themselves.
const ADDED_TOLERATIONS: [&str; 7] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/network-unavailable",
];

/// Something that makes pods, with the pods that it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) namespace: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// Running pods; none where only its template is known.
    pub(super) pods: usize,
    /// What its pods ask for, each once: two while it is being rolled out.
    pub(super) variants: Vec<PodSpec<'static>>,
}

/// What there is, before it is sorted out.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pods: Vec<Pod<'static>>,
    /// Workloads that nothing controls, by their templates.
    pub(super) templates: Vec<Object<'static>>,
    /// The controllers of objects that have one: kind and name.
    pub(super) owners: HashMap<ObjectName, (String, String)>,
}

impl Workload {
    /// The rules that hold for the pods that it makes.
    pub(super) fn rules(&self) -> WorkloadKind {
        match self.kind.as_str() {
            "DaemonSet" => WorkloadKind::DaemonSet,
            // Any kind that is not known makes pods as a Deployment does.
            _ => WorkloadKind::Deployment,
        }
    }
}

/// Sorts pods to their workloads, which come ordered by namespace, kind and name.
pub(super) fn group(found: Found) -> Vec<Workload> {
    let mut workloads: BTreeMap<ObjectName, Workload> = BTreeMap::new();
    for template in found.templates {
        let name = (
            template.namespace.to_string(),
            template.kind.name().to_owned(),
            template.name.to_string(),
        );
        add(&mut workloads, name, essence(&template.pod.spec), 0);
    }
    for pod in found.pods {
        let name = owner_of(&pod, &found.owners);
        // A static pod is its node's: there it stays.
        let spec = match pod.metadata.is_mirror {
            true => pod.spec,
            false => essence(&pod.spec),
        };
        add(&mut workloads, name, spec, 1);
    }
    workloads.into_values().collect()
}

fn add(
    workloads: &mut BTreeMap<ObjectName, Workload>,
    name: ObjectName,
    spec: PodSpec<'static>,
    pods: usize,
) {
    let workload = workloads
        .entry(name)
        .or_insert_with_key(|(namespace, kind, name)| Workload {
            namespace: namespace.clone(),
            kind: kind.clone(),
            name: name.clone(),
            pods: 0,
            variants: Vec::new(),
        });
    workload.pods += pods;
    if !workload.variants.contains(&spec) {
        workload.variants.push(spec);
    }
}

/// What the next pod of the same template asks for: without what the scheduler, a DaemonSet's controller, the API server
/// or `kubectl debug` added to this one.
fn essence(spec: &PodSpec<'static>) -> PodSpec<'static> {
    let mut spec = spec.without_node_name();
    spec.ephemeral_containers.clear();
    spec.volumes
        .retain(|volume| !volume.image.reference.is_empty());
    spec.tolerations
        .retain(|toleration| !ADDED_TOLERATIONS.contains(&&*toleration.key));
    spec
}

fn owner_of(pod: &Pod<'_>, owners: &HashMap<ObjectName, (String, String)>) -> ObjectName {
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.to_string();
    let name = match metadata.name.is_empty() {
        true => &metadata.generate_name,
        false => &metadata.name,
    };
    let itself = (namespace.clone(), "Pod".to_owned(), name.to_string());
    let mut references = metadata.owner_references.iter();
    let Some(owner) = references.find(|owner| owner.controller) else {
        return itself;
    };
    if metadata.is_mirror || &*owner.kind == "Node" {
        return itself;
    }
    let mut found = (namespace, owner.kind.to_string(), owner.name.to_string());
    for _ in 0..MAX_OWNERS {
        match owners.get(&found) {
            Some((kind, name)) => (found.1, found.2) = (kind.clone(), name.clone()),
            None => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: &str, node: &str, image: &str) -> Pod<'static> {
        let owner = owner
            .split_once('/')
            .map(|(kind, name)| json!({"kind": kind, "name": name, "controller": true}));
        Pod::deserialize(json!({
            "metadata": {"name": name, "namespace": "shop", "ownerReferences": owner.as_slice()},
            "spec": {
                "nodeName": node,
                "containers": [{"name": "a", "image": image}],
                "volumes": [{"name": format!("kube-api-access-{name}"), "projected": {}}],
                "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn pods_are_counted_under_what_made_them() {
        let key = |kind: &str, name: &str| ("shop".to_owned(), kind.to_owned(), name.to_owned());
        let to = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        let found = Found {
            pods: vec![
                pod("web-1-a", "ReplicaSet/web-1", "n1", "nginx:1"),
                pod("web-1-b", "ReplicaSet/web-1", "n2", "nginx:1"),
                pod("web-2-a", "ReplicaSet/web-2", "n2", "nginx:2"),
                pod("report-7-a", "Job/report-7", "n1", "report"),
                pod("loose", "", "n1", "x"),
                pod("odd-a", "Widget/odd", "n1", "x"),
                pod("rs-a", "ReplicaSet/alone", "n1", "x"),
                pod("circle", "ReplicaSet/round", "n1", "x"),
            ],
            owners: HashMap::from([
                (key("ReplicaSet", "web-1"), to("Deployment", "web")),
                (key("ReplicaSet", "web-2"), to("Deployment", "web")),
                (key("Job", "report-7"), to("CronJob", "report")),
                (key("ReplicaSet", "round"), to("ReplicaSet", "round")),
            ]),
            ..Found::default()
        };
        let told: Vec<String> = group(found)
            .iter()
            .map(|w| {
                format!(
                    "{}/{}: {} pods, {} variants",
                    w.kind,
                    w.name,
                    w.pods,
                    w.variants.len()
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "CronJob/report: 1 pods, 1 variants",
                "Deployment/web: 3 pods, 2 variants",
                "Pod/loose: 1 pods, 1 variants",
                "ReplicaSet/alone: 1 pods, 1 variants",
                "ReplicaSet/round: 1 pods, 1 variants",
                "Widget/odd: 1 pods, 1 variants",
            ]
        );
    }
}
