//! The program as its users run it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The program, with nothing of the person's environment: no credentials, no proxies, no log filter.
pub(crate) fn platform_gate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform-gate"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// A running `serve`, whose log says where it listens.
pub(crate) struct Server {
    child: Child,
    pub(crate) webhook: String,
    pub(crate) metrics: String,
}

impl Server {
    /// Starts it on free ports of loopback.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same, with variables in its environment.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let listen = [
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
            "--drain-delay",
            "0",
        ];
        let mut command = platform_gate(&[&["serve"][..], arguments, &listen].concat());
        command.envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let listening = log
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("listening"))
            .unwrap();
        let line: serde_json::Value = serde_json::from_str(&listening).unwrap();
        let address = |name: &str| line[name].as_str().unwrap().to_owned();
        Self {
            webhook: address("webhook"),
            metrics: address("metrics"),
            child,
        }
    }

    /// Stops it as the kubelet does, and waits for its end.
    pub(crate) fn stop(&mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed before it stopped the server.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
