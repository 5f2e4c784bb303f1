//! Runs this program a second time in network, pid and mount namespaces of its own, and cleans up after it.
//!
//! The namespaces are what makes the clean-up reliable: when the inner program ends, however it does, the kernel ends
//! every process of its pid namespace (shims and containers too) and drops its mounts and addresses. What outlives a
//! namespace is removed here: cgroups, and the run's folder unless a trial failed.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::cgroups;
use crate::progress::say;

const RUN_DIR: &str = "PLATFORM_GATE_E2E_RUN_DIR";
const BIN_DIR: &str = "PLATFORM_GATE_E2E_BIN_DIR";
/// The name of platform-gate's own image in the run's folder.
const IMAGE: &str = "platform-gate-image.tar";

/// The folder of the logs in the run's folder.
pub(crate) const LOGS: &str = "logs";

/// What the inner program is told by the outer one.
pub(crate) struct Inside {
    /// The run's folder: configuration, keys and logs.
    pub(crate) run_dir: PathBuf,
    /// The programs that `tools/build` made.
    pub(crate) bin_dir: PathBuf,
}

impl Inside {
    /// Is this the inner program?
    pub(crate) fn from_env() -> Option<Self> {
        let run_dir = env::var_os(RUN_DIR)?.into();
        let bin_dir = env::var_os(BIN_DIR)?.into();
        Some(Self { run_dir, bin_dir })
    }

    /// platform-gate's own image, as `hack/image` made it.
    pub(crate) fn image(&self) -> PathBuf {
        self.run_dir.join(IMAGE)
    }
}

/// The outer program: its exit code is the inner one's.
pub(crate) fn run_isolated() -> Result<ExitCode> {
    let is_root = fs::metadata("/proc/self")
        .context("/proc is not mounted")?
        .uid()
        == 0;
    ensure!(
        is_root,
        "the cluster tests need root: they start a kubelet, containers and network namespaces"
    );
    let bin_dir = build_tools()?;
    let run_dir = tempfile::Builder::new()
        .prefix("platform-gate-e2e-")
        .tempdir()
        .context("cannot create a folder for this run")?
        .keep();
    build_image(&run_dir.join(IMAGE))?;
    let child = start_inner(&run_dir, &bin_dir)?;
    let result = wait_or_interrupt(child);
    cgroups::remove_of_run(&run_dir.join(LOGS))?;
    let succeeded = matches!(result, Ok(true));
    if succeeded {
        fs::remove_dir_all(&run_dir)
            .with_context(|| format!("cannot remove {}", run_dir.display()))?;
    } else {
        say(&format!(
            "the logs are kept in {}",
            run_dir.join(LOGS).display()
        ));
    }
    result.map(|succeeded| {
        if succeeded {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

fn build_tools() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/tools/build");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(
        output.status.success(),
        "{} failed: see above",
        script.display()
    );
    let text = String::from_utf8(output.stdout).context("the folder of the tools is not UTF-8")?;
    Ok(text.trim().into())
}

fn build_image(file: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/image");
    let mut command = Command::new(&script);
    command.arg(file).stdin(Stdio::null());
    // What cargo tells this test of itself would make it build half of the image's crates anew.
    let of_cargo = |name: &str| {
        name.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name)
    };
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| of_cargo(name)) {
        command.env_remove(name);
    }
    let status = command.status();
    let status = status.with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(status.success(), "{} failed: see above", script.display());
    Ok(())
}

fn start_inner(run_dir: &Path, bin_dir: &Path) -> Result<Child> {
    // Each of the three dies with the one before it, so that even SIGKILL of this program leaves nothing.
    Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
        ])
        .args(["--mount-proc", "--kill-child", "--"])
        .arg(env::current_exe().context("cannot find this program")?)
        .args(env::args_os().skip(1))
        .env(RUN_DIR, run_dir)
        .env(BIN_DIR, bin_dir)
        .spawn()
        .context("cannot run setpriv and unshare")
}

/// True if the inner program succeeded. Ctrl-C and SIGTERM end it first.
fn wait_or_interrupt(mut child: Child) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut interrupt = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
    let mut terminate = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    let mut child_ended = runtime.block_on(async { signal(SignalKind::child()) })?;
    loop {
        if let Some(status) = child
            .try_wait()
            .context("cannot wait for the inner program")?
        {
            return Ok(status.success());
        }
        let interrupted = runtime.block_on(async {
            tokio::select! {
                _ = child_ended.recv() => false,
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
            }
        });
        if interrupted {
            child.kill().context("cannot end the inner program")?;
            child.wait().context("cannot wait for the inner program")?;
            bail!("interrupted");
        }
    }
}
