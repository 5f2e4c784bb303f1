//! Where things are while a run lasts: folders and addresses, in one place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::isolation::{Inside, LOGS};

/// The real node, the API server and etcd.
pub(crate) const NODE_ADDRESS: &str = "10.0.0.5";
/// The registry: another host than the node, as in a real cluster.
pub(crate) const REGISTRY_ADDRESS: &str = "10.0.0.6";
/// The `kubernetes` Service: the API server itself listens there, so that no kube-proxy is needed.
pub(crate) const KUBERNETES_SERVICE: &str = "10.96.0.1";
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
pub(crate) const POD_RANGE: &str = "10.88.0.0/16";

/// The folders of one run. `config` and `logs` are kept when a trial fails, `state` is in memory.
pub(crate) struct Layout {
    pub(crate) bin: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) state: PathBuf,
}

impl Layout {
    /// Creates the folders.
    pub(crate) fn create(inside: &Inside) -> Result<Self> {
        let layout = Self {
            bin: inside.bin_dir.clone(),
            config: inside.run_dir.join("config"),
            logs: inside.run_dir.join(LOGS),
            state: PathBuf::from("/run/platform-gate"),
        };
        for folder in [&layout.config, &layout.logs, &layout.state] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(layout)
    }

    /// Writes a configuration file and gives its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.config.join(name);
        write_file(&path, content.as_bytes())?;
        Ok(path)
    }

    /// The folder of the pods that the real node runs by itself, without an API server.
    pub(crate) fn static_pods(&self) -> Result<PathBuf> {
        self.state_of("static-pods")
    }

    /// A folder for what a program keeps while it runs.
    pub(crate) fn state_of(&self, name: &str) -> Result<PathBuf> {
        let path = self.state.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    /// A command for one of the built programs. It inherits nothing from the person's environment: proxies and
    /// credentials there have no meaning in the cluster.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            self.bin.display()
        );
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.state.join("home"));
        command
    }
}

/// Writes a file and the folders above it.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
