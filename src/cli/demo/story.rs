//! The story: eight pods, what becomes of each, and the reviews that the API server would post for them.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// What is to become of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Admitted,
    Warned,
    Denied,
}

/// A pod of the story.
pub(super) struct Case {
    pub(super) title: &'static str,
    images: &'static [&'static str],
    /// Labels of the nodes that the pod asks for.
    node_selector: &'static [(&'static str, &'static str)],
    pub(super) expected: Expected,
}

const OS: &str = "kubernetes.io/os";
const ARCH: &str = "kubernetes.io/arch";
const BUILD: &str = "node.kubernetes.io/windows-build";

pub(super) const CASES: [Case; 8] = [
    Case {
        title: "hello-world:nanoserver for the Windows Server 2016 node: both builds it offers are newer",
        images: &["hello-world:nanoserver"],
        node_selector: &[(BUILD, "10.0.14393")],
        expected: Expected::Denied,
    },
    Case {
        title: "hello-world:nanoserver-sac2016 for the same node: the cure",
        images: &["hello-world:nanoserver-sac2016"],
        node_selector: &[(BUILD, "10.0.14393")],
        expected: Expected::Admitted,
    },
    Case {
        title: "hello-world:nanoserver for the Windows Server 2019 node: the other cure",
        images: &["hello-world:nanoserver"],
        node_selector: &[(BUILD, "10.0.17763")],
        expected: Expected::Admitted,
    },
    Case {
        title: "centos:7 for the arm64 node: it is built for arm64 too",
        images: &["centos:7"],
        node_selector: &[(ARCH, "arm64")],
        expected: Expected::Admitted,
    },
    Case {
        title: "centos:6.6 for the arm64 node: it is built for amd64 only",
        images: &["centos:6.6"],
        node_selector: &[(ARCH, "arm64")],
        expected: Expected::Denied,
    },
    Case {
        title: "centos:7 without a nodeSelector: the scheduler may put it on Windows",
        images: &["centos:7"],
        node_selector: &[],
        expected: Expected::Warned,
    },
    Case {
        title: "centos:7 and hello-world:nanoserver in one pod: each has a node, no node has both",
        images: &["centos:7", "hello-world:nanoserver"],
        node_selector: &[],
        expected: Expected::Denied,
    },
    Case {
        title: "an image that its registry does not have: no proof, so it is admitted",
        images: &["REGISTRY/centos:9"],
        node_selector: &[(OS, "linux")],
        expected: Expected::Warned,
    },
];

impl Case {
    /// The `AdmissionReview` of creating the pod. `REGISTRY` in an image stands for the registry's own address.
    pub(super) fn review(&self, number: usize, registry: SocketAddr) -> String {
        let container = |(at, image): (usize, &&str)| {
            let image = image.replace("REGISTRY", &registry.to_string());
            json!({"name": format!("app-{}", at + 1), "image": image})
        };
        let containers: Vec<Value> = self.images.iter().enumerate().map(container).collect();
        let node_selector: serde_json::Map<String, Value> = self
            .node_selector
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let name = format!("demo-{}", number + 1);
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": format!("00000000-0000-0000-0000-{number:012}"),
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "name": name,
                "namespace": "default",
                "operation": "CREATE",
                "userInfo": {"username": "demo"},
                "object": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": "default"},
                    "spec": {"containers": containers, "nodeSelector": node_selector},
                },
            },
        })
        .to_string()
    }
}
