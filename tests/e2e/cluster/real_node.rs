//! The one node that is real: containerd with runc, and a kubelet. It runs whatever the registry serves.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::control_plane::Keys;
use super::layout::{Layout, NODE_ADDRESS, POD_RANGE};
use crate::images::PAUSE;
use crate::process::Process;
use crate::registry::Registry;
use crate::wait::until;

/// The real node's name.
pub(crate) const NAME: &str = "linux-amd64";

/// Where containerd listens.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// Starts containerd, which pulls from `registry` whatever host an image names.
pub(crate) fn start_containerd(layout: &Layout, registry: &Registry) -> Result<Process> {
    write_mirrors(layout, registry)?;
    write_network(layout)?;
    let config = layout.write("containerd.toml", &containerd_config(layout)?)?;
    let mut command = layout.command("containerd");
    command.arg("--config").arg(config);
    let mut process = Process::start("containerd", &layout.logs, &mut command)?;
    until("containerd answers", Duration::from_secs(30), || {
        process.check_running()?;
        Ok(UnixStream::connect(SOCKET).is_ok().then_some(()))
    })?;
    Ok(process)
}

fn containerd_config(layout: &Layout) -> Result<String> {
    let root = layout.state_of("containerd")?;
    Ok(format!(
        r#"
version = 3
root = "{root}"
state = "/run/containerd"

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
path = "{root}/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{config}/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE, as in many CI containers, runc could not lower the score.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{config}/cni"
"#,
        root = root.display(),
        config = layout.config.display(),
    ))
}

/// The registry stands for every registry: `_default` is asked for each host that has no folder of its own.
fn write_mirrors(layout: &Layout, registry: &Registry) -> Result<PathBuf> {
    let (url, ca) = (registry.url(), registry.ca().display());
    let hosts =
        format!("server = \"{url}\"\nca = \"{ca}\"\ncapabilities = [\"pull\", \"resolve\"]\n");
    layout.write("certs.d/_default/hosts.toml", &hosts)
}

fn write_network(layout: &Layout) -> Result<PathBuf> {
    layout.write(
        "cni/10-bridge.conflist",
        &format!(
            r#"{{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{{
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": true,
    "ipam": {{
      "type": "host-local",
      "ranges": [[{{"subnet": "{POD_RANGE}"}}]],
      "routes": [{{"dst": "0.0.0.0/0"}}]
    }}
  }}]
}}
"#
        ),
    )
}

/// Starts the kubelet, which registers the node.
pub(crate) fn start_kubelet(layout: &Layout, keys: &Keys) -> Result<Process> {
    let user = format!("system:node:{NAME}");
    let kubeconfig = keys
        .authority()
        .kubeconfig(layout, &user, Some("system:nodes"))?;
    let config = kubelet_config(layout, &keys.authority().certificate)?;
    let config = layout.write("kubelet.yaml", &config)?;
    let mut command = layout.command("kubelet");
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--config")
        .arg(config)
        .arg("--root-dir")
        .arg(layout.state_of("kubelet")?)
        .args([
            "--hostname-override",
            NAME,
            "--node-ip",
            NODE_ADDRESS,
            "--v",
            "2",
        ]);
    Process::start("kubelet", &layout.logs, &mut command)
}

/// The limits are those of a machine that is not the cluster's own: cgroups may be v1 and shared, swap may be on, the
/// disk may be nearly full.
fn kubelet_config(layout: &Layout, client_ca: &Path) -> Result<String> {
    // Pods must not ask the name servers of this machine, which cannot be reached.
    let resolver = layout.write("resolv.conf", "")?;
    Ok(format!(
        "
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_ADDRESS}
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: '{client_ca}'}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{SOCKET}
resolvConf: '{resolver}'
volumePluginDir: '{state}/volume-plugins'
serializeImagePulls: false
registryPullQPS: 0
syncFrequency: 5s
staticPodPath: '{static_pods}'
fileCheckFrequency: 1s
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
localStorageCapacityIsolation: false
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: '0%', nodefs.available: '0%', nodefs.inodesFree: '0%', imagefs.available: '0%'}}
",
        client_ca = client_ca.display(),
        resolver = resolver.display(),
        state = layout.state.display(),
        static_pods = layout.static_pods()?.display(),
    ))
}
