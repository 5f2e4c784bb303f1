//! A real cluster: a control plane, one real node, simulated nodes of other platforms and a registry, all of this
//! machine's making. `Cluster` is what the trials see of it.
//!
//! Left out: stopping. The parts live in the namespaces of `isolation` and end with them.

mod control_plane;
mod host;
pub(crate) mod layout;
pub(crate) mod pki;
mod real_node;
pub(crate) mod simulated_nodes;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::images;
use crate::isolation::Inside;
use crate::kubectl::Kubectl;
use crate::process::Process;
use crate::progress::{say, step};
use crate::registry::Registry;
use crate::wait::until;
use control_plane::Keys;
use layout::Layout;

/// The real node: Linux, amd64, this machine's kernel.
pub(crate) const REAL_NODE: &str = real_node::NAME;

static SHARED: OnceLock<Cluster> = OnceLock::new();

/// The running cluster.
pub(crate) struct Cluster {
    /// Speaks to the API server as its administrator.
    pub(crate) kubectl: Kubectl,
    /// Serves every image of the tests, under every registry's name.
    pub(crate) registry: Registry,
    /// platform-gate's own image, as an archive.
    pub(crate) image: PathBuf,
    layout: Layout,
    _processes: Vec<Process>,
}

/// Starts the cluster that `shared` gives to the trials.
pub(crate) fn start_shared(inside: &Inside) -> Result<()> {
    let began = Instant::now();
    let cluster = Cluster::start(inside)?;
    say(&format!(
        "the cluster is ready after {:.1} s",
        began.elapsed().as_secs_f32()
    ));
    SHARED
        .set(cluster)
        .map_err(|_| anyhow!("the cluster was started twice"))
}

/// The cluster of this run.
pub(crate) fn shared() -> &'static Cluster {
    SHARED
        .get()
        .expect("main starts the cluster before the trials")
}

impl Cluster {
    fn start(inside: &Inside) -> Result<Self> {
        host::mount_folders()?;
        let layout = Layout::create(inside)?;
        host::mount_pod_logs(&layout.logs)?;
        host::add_addresses()?;
        let keys = Keys::create(&layout)?;

        let etcd = step("etcd", || control_plane::start_etcd(&layout))?;
        let mut api_server = control_plane::start_api_server(&layout, &keys)?;
        let registry = step("registry, with its images", || {
            let registry = Registry::start(&layout)?;
            images::publish(&registry, &layout.bin)?;
            Ok(registry)
        })?;
        let containerd = step("containerd", || {
            real_node::start_containerd(&layout, &registry)
        })?;
        let kubectl = Kubectl::new(&layout, &keys.admin_kubeconfig);
        step("API server", || {
            wait_for_api_server(&kubectl, &mut api_server)
        })?;

        let mut processes = vec![etcd, api_server, containerd];
        processes.push(control_plane::start_controllers(&layout, &keys)?);
        processes.push(control_plane::start_scheduler(&layout, &keys)?);
        processes.push(real_node::start_kubelet(&layout, &keys)?);
        kubectl.apply(&simulated_nodes::manifest())?;
        processes.push(simulated_nodes::start_kwok(&layout, &keys)?);
        step("nodes", || wait_for_nodes(&kubectl, &mut processes))?;
        Ok(Self {
            kubectl,
            registry,
            image: inside.image(),
            layout,
            _processes: processes,
        })
    }

    /// The names of all nodes, the real one first.
    pub(crate) fn node_names() -> Vec<&'static str> {
        let simulated = simulated_nodes::ALL.iter().map(|node| node.name);
        [REAL_NODE].into_iter().chain(simulated).collect()
    }

    /// A command for one of the built programs (helm, crane, ...), which knows the API server and trusts the registry.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.layout.command(program);
        command
            .env("KUBECONFIG", self.kubectl.kubeconfig())
            .env("SSL_CERT_FILE", self.registry.ca());
        command
    }

    /// The annotations that admission left in the audit log on the requests for a resource (`pods`) of a name.
    pub(crate) fn audit_annotations(&self, resource: &str, name: &str) -> Result<Vec<Value>> {
        control_plane::audit_annotations(&self.layout, resource, name)
    }
}

fn wait_for_api_server(kubectl: &Kubectl, process: &mut Process) -> Result<()> {
    until("the API server's /readyz", Duration::from_secs(60), || {
        process.check_running()?;
        Ok(kubectl.run(&["get", "--raw", "/readyz"]).ok().map(drop))
    })
}

fn wait_for_nodes(kubectl: &Kubectl, processes: &mut [Process]) -> Result<()> {
    until(
        "all nodes are Ready and free of start-up taints",
        Duration::from_secs(60),
        || {
            processes.iter_mut().try_for_each(Process::check_running)?;
            let nodes = kubectl.get(&["nodes"])?;
            let nodes = nodes["items"].as_array().map_or(&[][..], Vec::as_slice);
            let usable = nodes.iter().filter(|node| is_usable(node)).count();
            Ok((usable == Cluster::node_names().len()).then_some(()))
        },
    )
}

fn is_usable(node: &Value) -> bool {
    let conditions = node["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let mut keys = taints.filter_map(|taint| taint["key"].as_str());
    ready.any(|condition| condition["status"] == "True")
        && !keys.any(|key| key.starts_with("node.kubernetes.io/"))
}
