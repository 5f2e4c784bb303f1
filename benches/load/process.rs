//! A server under load: a process of its own, on a core of its own where there are two, and what the system counts of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A running server. Ends when dropped.
pub(crate) struct Process {
    child: Child,
    /// `127.0.0.1:PORT`, where reviews go.
    pub(crate) address: String,
}

/// Memory that a process has in use, in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

/// Whether servers and client are kept apart, each on a core of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinned(bool);

impl Pinned {
    /// Keeps this process, the client, to the second core, if there is one and the command `taskset`.
    pub(crate) fn client() -> Self {
        let id = std::process::id().to_string();
        let mut command = Command::new("taskset");
        command.args(["--all-tasks", "--cpu-list", "--pid", "1", &id]);
        let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        Self(done.is_ok_and(|status| status.success()))
    }

    pub(crate) fn told(self) -> &'static str {
        if self.0 {
            "servers on core 0, client on core 1"
        } else {
            "not pinned: `taskset` or a second core is missing, so that the client disturbs the servers"
        }
    }

    fn command(self, program: &Path) -> Command {
        if !self.0 {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0"]).arg(program);
        command
    }
}

impl Process {
    /// Starts a program, whose log says where it listens. It gets nothing of the environment.
    pub(crate) fn start(pinned: Pinned, program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = pinned.command(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("the server does not start")?;
        let log = child.stderr.take().context("the log is piped")?;
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let listening = lines.find(|line| line.contains("listening"));
        let line: serde_json::Value =
            serde_json::from_str(&listening.context("the server ended before it listened")?)?;
        // Somebody has to read on, or the server waits for it.
        std::thread::spawn(move || lines.for_each(drop));
        let address = line["webhook"].as_str().context("no address in the log")?;
        Ok(Self {
            address: address.to_owned(),
            child,
        })
    }

    /// The time that its threads have had a core.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let spent = text.split(' ').next().context("schedstat is empty")?;
            nanoseconds += spent.parse::<u64>()?;
        }
        ensure!(nanoseconds > 0, "the kernel keeps no schedstat");
        Ok(Duration::from_nanos(nanoseconds))
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            let kibibytes: f64 = number.context("no such line in status")?.parse()?;
            Ok(kibibytes / 1024.0)
        };
        Ok(Memory {
            now: of("VmRSS:")?,
            peak: of("VmHWM:")?,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
