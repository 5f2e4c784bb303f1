//! cert-manager's controllers and its CA injector, as a program of the host, for the trial that needs them.
//!
//! Left out: its webhook, which looks at what people write.

use anyhow::Result;

use super::Cluster;
use crate::process::Process;

impl Cluster {
    /// Installs cert-manager's kinds and starts it; it runs until it is ended.
    pub(crate) fn start_cert_manager(&self) -> Result<Process> {
        let kinds = self.layout.bin.join("cert-manager-crds");
        let kinds = kinds.display().to_string();
        let apply = ["apply", "--server-side", "-f", &kinds];
        self.kubectl.run(&apply)?;
        let established = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            &kinds,
        ];
        self.kubectl.run(&established)?;
        let mut command = self.layout.command("cert-manager");
        command.arg(&self.keys.admin_kubeconfig);
        Process::start("cert-manager", &self.layout.logs, &mut command)
    }

    /// Ends it and removes its kinds, with all objects of them.
    pub(crate) fn end_cert_manager(&self, running: Process) -> Result<()> {
        running.end("TERM")?;
        let kinds = self.layout.bin.join("cert-manager-crds");
        let delete = ["delete", "-f", &kinds.display().to_string()];
        self.kubectl.run(&delete).map(drop)
    }
}
