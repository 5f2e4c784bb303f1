//! Makes the namespaces of a run into a host for a node: addresses, and folders that hide this machine's own.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::layout::{KUBERNETES_SERVICE, NODE_ADDRESS, REGISTRY_ADDRESS};
use crate::process::output;

/// Hides the folders to which containerd, the kubelet and the CNI plugins write at fixed paths. The mounts are private
/// to this run.
pub(crate) fn mount_folders() -> Result<()> {
    for folder in ["/run", "/var/lib"] {
        output(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", folder]))?;
    }
    Ok(())
}

/// Keeps what pods print with the run's other logs: the kubelet writes it below /var/log.
pub(crate) fn mount_pod_logs(logs: &Path) -> Result<()> {
    output(
        Command::new("mount")
            .arg("--bind")
            .arg(logs)
            .arg("/var/log"),
    )?;
    Ok(())
}

/// Gives the run's network namespace its addresses.
pub(crate) fn add_addresses() -> Result<()> {
    output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    for address in [NODE_ADDRESS, REGISTRY_ADDRESS, KUBERNETES_SERVICE] {
        output(Command::new("ip").args(["address", "add", &format!("{address}/32"), "dev", "lo"]))?;
    }
    Ok(())
}
