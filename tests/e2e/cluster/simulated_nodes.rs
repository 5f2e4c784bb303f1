//! The nodes this machine cannot be: Node objects that look as a kubelet of that platform would have made them, kept
//! Ready by kwok. The scheduler and platform-gate cannot tell the difference. A pod bound to one of them is called
//! Running at once, whatever its image is: nothing is pulled.

use anyhow::Result;
use serde_json::{Value, json};

use super::control_plane::Keys;
use super::layout::Layout;
use crate::process::Process;

const ANNOTATION: &str = "kwok.x-k8s.io/node";

/// A node to simulate.
pub(crate) struct SimulatedNode {
    pub(crate) name: &'static str,
    os: &'static str,
    architecture: &'static str,
    kernel: &'static str,
    os_image: &'static str,
    taint: Option<(&'static str, &'static str)>,
}

/// The simulated nodes. The one of Windows Server 2022 is tainted, as many clusters taint their Windows nodes.
pub(crate) const ALL: &[SimulatedNode] = &[
    windows(
        "windows-2016",
        "10.0.14393.2551",
        "Windows Server 2016 Datacenter",
    ),
    windows(
        "windows-2019",
        "10.0.17763.5458",
        "Windows Server 2019 Datacenter",
    ),
    SimulatedNode {
        taint: Some(("os", "windows")),
        ..windows(
            "windows-2022",
            "10.0.20348.2402",
            "Windows Server 2022 Datacenter",
        )
    },
    windows(
        "windows-2025",
        "10.0.26100.2314",
        "Windows Server 2025 Datacenter",
    ),
    SimulatedNode {
        name: "linux-arm64",
        os: "linux",
        architecture: "arm64",
        kernel: "6.1.0-28-arm64",
        os_image: "Debian GNU/Linux 12 (bookworm)",
        taint: None,
    },
];

const fn windows(
    name: &'static str,
    kernel: &'static str,
    os_image: &'static str,
) -> SimulatedNode {
    SimulatedNode {
        name,
        os: "windows",
        architecture: "amd64",
        kernel,
        os_image,
        taint: None,
    }
}

/// Starts the program that keeps them Ready.
pub(crate) fn start_kwok(layout: &Layout, keys: &Keys) -> Result<Process> {
    let mut command = layout.command("kwok");
    command
        .arg("--kubeconfig")
        .arg(&keys.admin_kubeconfig)
        .arg("--manage-all-nodes=false")
        .arg(format!(
            "--manage-nodes-with-annotation-selector={ANNOTATION}=fake"
        ))
        .args(["--node-ip=10.0.0.7", "--node-lease-duration-seconds=40"]);
    Process::start("kwok", &layout.logs, &mut command)
}

/// All of them as one List, to be applied.
pub(crate) fn manifest() -> String {
    let items: Vec<Value> = ALL.iter().map(SimulatedNode::manifest).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

impl SimulatedNode {
    fn manifest(&self) -> Value {
        let mut labels = json!({
            "kubernetes.io/arch": self.architecture,
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": self.os,
        });
        if self.os == "windows" {
            labels["node.kubernetes.io/windows-build"] = json!(self.build());
        }
        let taints = self
            .taint
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value, "effect": "NoSchedule"}));
        let taints: Vec<Value> = taints.collect();
        let platform = (self.os, self.architecture, self.kernel);
        let mut node = manifest_of(self.name, platform, &labels, &taints);
        node["status"]["nodeInfo"]["osImage"] = json!(self.os_image);
        node
    }

    /// What the kubelet's label says: the kernel version without its revision.
    fn build(&self) -> &str {
        self.kernel
            .rsplit_once('.')
            .map_or(self.kernel, |(build, _revision)| build)
    }
}

/// The taint of nodes that a trial adds: nothing but its own pods may land there, since what lands there does not run.
pub(crate) fn guest() -> Value {
    json!({"key": "example.com/guest", "effect": "NoSchedule"})
}

/// For pods that may land on such nodes.
pub(crate) fn tolerates_guests() -> Value {
    json!([{"key": "example.com/guest", "operator": "Exists"}])
}

/// A node of any platform: operating system, architecture and kernel.
pub(crate) fn manifest_of(
    name: &str,
    (os, architecture, kernel): (&str, &str, &str),
    labels: &Value,
    taints: &[Value],
) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {ANNOTATION: "fake"}},
        "spec": {"taints": taints},
        "status": {
            "capacity": resources(),
            "allocatable": resources(),
            "nodeInfo": {
                "operatingSystem": os,
                "architecture": architecture,
                "kernelVersion": kernel,
                "osImage": os,
                "containerRuntimeVersion": "containerd://1.7.20",
                "kubeletVersion": "v1.35.4",
                "kubeProxyVersion": "",
                "bootID": "", "machineID": "", "systemUUID": "",
            },
        },
    })
}

fn resources() -> Value {
    json!({"cpu": "8", "memory": "32Gi", "pods": "110"})
}
