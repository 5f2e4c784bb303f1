//! A program of the cluster: started with its own log file, asked whether it still runs, ended where a trial wants it so.
//! All of them are in one pid namespace, which ends the rest when the harness ends.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running program.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to the end of `<logs>/<name>.log`.
    pub(crate) fn start(name: &str, logs: &Path, command: &mut Command) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// An error that shows the end of the log if the program has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        let status = self
            .child
            .try_wait()
            .with_context(|| format!("cannot ask for {}", self.name))?;
        let Some(status) = status else { return Ok(()) };
        bail!(
            "{} ended with {status}; the end of {}:\n{}",
            self.name,
            self.log.display(),
            tail(&self.log)
        )
    }

    /// Sends it the signal (`TERM`, `KILL`) and waits for its end.
    pub(crate) fn end(mut self, signal: &str) -> Result<()> {
        let id = self.child.id().to_string();
        output(Command::new("kill").args(["-s", signal, &id]))?;
        let status = self.child.wait();
        status
            .map(drop)
            .with_context(|| format!("cannot wait for {}", self.name))
    }
}

/// The last lines of a log file, for error messages.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Runs a program to its end and gives its standard output; its standard error is the error's text.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
