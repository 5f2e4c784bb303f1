//! Runs this program a second time in network, pid and mount namespaces of its own, and cleans up after it.
//!
//! The namespaces are what makes the clean-up reliable: when the inner program ends, however it does, the kernel ends
//! every process of its pid namespace (shims and containers too) and drops its mounts and addresses. What outlives a
//! namespace is removed here: cgroups, and the run's folder unless a trial failed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::progress::say;
use crate::wait::until;

const RUN_DIR: &str = "PLATFORM_GATE_E2E_RUN_DIR";
const BIN_DIR: &str = "PLATFORM_GATE_E2E_BIN_DIR";

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
    let child = start_inner(&run_dir, &bin_dir)?;
    let result = wait_or_interrupt(child);
    remove_cgroups(&cgroup_name(&run_dir))?;
    let succeeded = matches!(result, Ok(true));
    if succeeded {
        fs::remove_dir_all(&run_dir)
            .with_context(|| format!("cannot remove {}", run_dir.display()))?;
    } else {
        say(&format!(
            "the logs are kept in {}",
            run_dir.join("logs").display()
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

/// The cgroup under which the kubelet of a run puts its pods.
pub(crate) fn cgroup_name(run_dir: &Path) -> String {
    run_dir
        .file_name()
        .unwrap_or(OsStr::new("platform-gate-e2e"))
        .to_string_lossy()
        .into_owned()
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

/// Removes the run's cgroups from every hierarchy as soon as the last process has left them.
fn remove_cgroups(name: &str) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies =
        fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut tops = vec![root.join(name)];
    tops.extend(hierarchies.flatten().map(|entry| entry.path().join(name)));
    for top in tops.iter().filter(|top| top.is_dir()) {
        until(
            &format!("removing {}", top.display()),
            Duration::from_secs(20),
            || Ok(remove_cgroup(top).then_some(())),
        )?;
    }
    Ok(())
}

fn remove_cgroup(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    // Refused while there is a process in it or a cgroup below it.
    fs::remove_dir(path).is_ok()
}
