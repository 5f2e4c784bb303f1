//! A real cluster: a control plane, one real node, simulated nodes of other platforms and a registry, all of this
//! machine's making. `Cluster` is what the trials see of it.
//!
//! Left out: stopping. The parts live in the namespaces of `isolation` and end with them.

mod cert_manager;
mod control_plane;
mod host;
pub(crate) mod layout;
pub(crate) mod pki;
mod real_node;
pub(crate) mod simulated_nodes;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::images;
use crate::isolation::Inside;
use crate::kubectl::Kubectl;
use crate::process::{Process, output};
use crate::progress::{say, step};
use crate::registry::Registry;
use crate::wait::until;
use control_plane::Keys;
pub(crate) use control_plane::SHOWN_TO_WEBHOOKS;
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
    keys: Keys,
    /// Programs that trials end and start again.
    parts: Mutex<BTreeMap<Part, Process>>,
    _others: Vec<Process>,
}

/// A program that trials end and start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    ApiServer,
    Controllers,
    Kubelet,
}

impl Part {
    fn start(self, layout: &Layout, keys: &Keys) -> Result<Process> {
        match self {
            Self::ApiServer => control_plane::start_api_server(layout, keys),
            Self::Controllers => control_plane::start_controllers(layout, keys),
            Self::Kubelet => real_node::start_kubelet(layout, keys),
        }
    }
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

/// A pod that the real node runs by itself.
pub(crate) struct StaticPod {
    file: PathBuf,
}

impl Drop for StaticPod {
    fn drop(&mut self) {
        // Fails only where the whole folder is gone.
        let _ = fs::remove_file(&self.file);
    }
}

impl Cluster {
    fn start(inside: &Inside) -> Result<Self> {
        host::mount_folders()?;
        let layout = Layout::create(inside)?;
        host::mount_pod_logs(&layout.logs)?;
        host::add_addresses()?;
        let keys = Keys::create(&layout)?;

        let etcd = step("etcd", || control_plane::start_etcd(&layout))?;
        let mut api_server = Part::ApiServer.start(&layout, &keys)?;
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

        let mut parts = BTreeMap::from([(Part::ApiServer, api_server)]);
        for part in [Part::Controllers, Part::Kubelet] {
            parts.insert(part, part.start(&layout, &keys)?);
        }
        let scheduler = control_plane::start_scheduler(&layout, &keys)?;
        kubectl.apply(&simulated_nodes::manifest())?;
        let kwok = simulated_nodes::start_kwok(&layout, &keys)?;
        let mut others = vec![etcd, containerd, scheduler, kwok];
        step("nodes", || {
            wait_for_nodes(&kubectl, others.iter_mut().chain(parts.values_mut()))
        })?;
        Ok(Self {
            kubectl,
            registry,
            image: inside.image(),
            layout,
            keys,
            parts: Mutex::new(parts),
            _others: others,
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

    /// Ends a part with a signal (`TERM`, `KILL`).
    pub(crate) fn end(&self, part: Part, signal: &str) -> Result<()> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let process = parts.remove(&part);
        process
            .with_context(|| format!("{part:?} does not run"))?
            .end(signal)
    }

    /// Starts a part that was ended. The API server is ready then.
    pub(crate) fn start_again(&self, part: Part) -> Result<()> {
        let mut process = part.start(&self.layout, &self.keys)?;
        if part == Part::ApiServer {
            wait_for_api_server(&self.kubectl, &mut process)?;
        }
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part, process);
        Ok(())
    }

    /// Ends a container as the kernel does when memory runs out: without a word to it.
    pub(crate) fn kill_container(&self, id: &str) -> Result<()> {
        let mut ctr = self.command("ctr");
        ctr.args(["--address", real_node::SOCKET, "--namespace", "k8s.io"]);
        output(ctr.args(["task", "kill", "--signal", "SIGKILL", id])).map(drop)
    }

    /// Lets the real node run a pod by itself, without an API server, until the value is dropped.
    pub(crate) fn static_pod(&self, name: &str, manifest: &str) -> Result<StaticPod> {
        let file = self.layout.static_pods()?.join(format!("{name}.json"));
        fs::write(&file, manifest).with_context(|| file.display().to_string())?;
        Ok(StaticPod { file })
    }

    /// The annotations that admission left in the audit log on the requests for a resource (`pods`) of a name.
    pub(crate) fn audit_annotations(&self, resource: &str, name: &str) -> Result<Vec<Value>> {
        let mut events = control_plane::audit_events(&self.layout)?;
        events.retain(|event| {
            let object = &event["objectRef"];
            object["resource"] == resource && object["name"] == name
        });
        let annotations = events
            .into_iter()
            .map(|mut event| event["annotations"].take());
        Ok(annotations.collect())
    }

    /// The requests in a namespace, as the audit log has them.
    pub(crate) fn audit_events(&self, namespace: &str) -> Result<Vec<Value>> {
        let mut events = control_plane::audit_events(&self.layout)?;
        events.retain(|event| event["objectRef"]["namespace"] == namespace);
        Ok(events)
    }
}

fn wait_for_api_server(kubectl: &Kubectl, process: &mut Process) -> Result<()> {
    until("the API server's /readyz", Duration::from_secs(60), || {
        process.check_running()?;
        Ok(kubectl.run(&["get", "--raw", "/readyz"]).ok().map(drop))
    })
}

fn wait_for_nodes<'a>(
    kubectl: &Kubectl,
    processes: impl Iterator<Item = &'a mut Process>,
) -> Result<()> {
    let mut processes: Vec<&mut Process> = processes.collect();
    until(
        "all nodes are Ready and free of start-up taints",
        Duration::from_secs(60),
        || {
            processes
                .iter_mut()
                .try_for_each(|process| process.check_running())?;
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
