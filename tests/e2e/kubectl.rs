//! The API server through kubectl, as an administrator uses it: apply, get, wait, and whether an object is let in.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::layout::Layout;
use crate::wait::until;

/// kubectl with its kubeconfig.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    /// What was asked of admission, once somebody wants to know.
    noted: Mutex<Option<Vec<Noted>>>,
}

/// An object that admission was asked about, and what kubectl printed.
pub(crate) struct Noted {
    pub(crate) manifest: String,
    pub(crate) accepted: bool,
    pub(crate) told: String,
}

impl Noted {
    /// The object's kind; empty if it does not say.
    pub(crate) fn kind(&self) -> String {
        let object: Option<Value> = serde_json::from_str(&self.manifest).ok();
        let kind = object.as_ref().and_then(|object| object["kind"].as_str());
        kind.unwrap_or_default().to_owned()
    }

    /// The warnings that came with the answer.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let lines = self.told.lines();
        let warnings = lines.filter_map(|line| line.strip_prefix("Warning: "));
        warnings.map(str::to_owned).collect()
    }
}

impl Kubectl {
    /// The built kubectl, as the user of `kubeconfig`.
    pub(crate) fn new(layout: &Layout, kubeconfig: &Path) -> Self {
        Self {
            program: layout.bin.join("kubectl"),
            kubeconfig: kubeconfig.to_owned(),
            home: layout.state.join("home"),
            noted: Mutex::default(),
        }
    }

    /// The kubeconfig, for other programs such as helm.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl and gives its standard output; its standard error is the error's text.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        stdout_of(arguments, &self.output(arguments, "")?)
    }

    /// Runs kubectl with `input` on its standard input, whatever comes of it.
    pub(crate) fn output(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl may end before it has read all; then its own message says why.
            let _ = stdin.write_all(input.as_bytes());
        }
        child
            .wait_with_output()
            .with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// Applies manifests, YAML or JSON.
    pub(crate) fn apply(&self, manifests: &str) -> Result<()> {
        let arguments = ["apply", "-f", "-"];
        stdout_of(&arguments, &self.output(&arguments, manifests)?).map(drop)
    }

    /// `kubectl get ... -o json`.
    pub(crate) fn get(&self, what: &[&str]) -> Result<Value> {
        let text = self.run(&[&["get", "-o", "json"], what].concat())?;
        serde_json::from_str(&text).context("kubectl get printed no JSON")
    }

    /// Asks the API server to let the object in, without keeping it. Gives the warnings that came with the answer.
    pub(crate) fn accepts(&self, manifest: &str) -> Result<Vec<String>> {
        let output = self.dry_run(manifest)?;
        if !output.status.success() {
            bail!(
                "rejected though it should be accepted: {}",
                text(&output.stderr)
            );
        }
        let lines = text(&output.stderr);
        Ok(lines
            .lines()
            .filter_map(|line| line.strip_prefix("Warning: "))
            .map(str::to_owned)
            .collect())
    }

    /// Asks the same of an object that must be refused. Gives the message that a person gets.
    pub(crate) fn rejects(&self, manifest: &str) -> Result<String> {
        let output = self.dry_run(manifest)?;
        if output.status.success() {
            bail!(
                "accepted though it should be rejected; warnings: {:?}",
                text(&output.stderr)
            );
        }
        Ok(text(&output.stderr))
    }

    fn dry_run(&self, manifest: &str) -> Result<Output> {
        let create = ["create", "--dry-run=server", "-o", "name", "-f", "-"];
        let output = self.output(&create, manifest)?;
        if let Some(noted) = self.noted().as_mut() {
            noted.push(Noted {
                manifest: manifest.to_owned(),
                accepted: output.status.success(),
                told: text(&output.stderr),
            });
        }
        Ok(output)
    }

    /// Notes from now on what admission answers.
    pub(crate) fn note_answers(&self) {
        *self.noted() = Some(Vec::new());
    }

    /// What was noted; nothing is from now on.
    pub(crate) fn take_noted(&self) -> Vec<Noted> {
        self.noted().take().unwrap_or_default()
    }

    fn noted(&self) -> MutexGuard<'_, Option<Vec<Noted>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as `kubectl wait --for=CONDITION OBJECT` does. What is known of the object is in the error.
    pub(crate) fn wait(
        &self,
        namespace: &str,
        object: &str,
        condition: &str,
        limit: Duration,
    ) -> Result<()> {
        let (condition, limit) = (
            format!("--for={condition}"),
            format!("--timeout={}s", limit.as_secs()),
        );
        let waited = self.run(&["wait", "-n", namespace, object, &condition, &limit]);
        waited.map(drop).map_err(|error| {
            let state = self.run(&["describe", "-n", namespace, object]);
            error.context(state.unwrap_or_else(|error| format!("{error:#}")))
        })
    }

    /// Waits for an event of an object (`Pod/name`) whose message contains `part`, and gives the message.
    pub(crate) fn wait_for_event(
        &self,
        namespace: &str,
        object: &str,
        part: &str,
        limit: Duration,
    ) -> Result<String> {
        let mut seen = Vec::new();
        let found = until(
            &format!("an event of {object} with {part:?}"),
            limit,
            || {
                seen = self.events(namespace, object)?;
                Ok(seen.iter().find(|message| message.contains(part)).cloned())
            },
        );
        found.with_context(|| format!("events of {object}: {seen:#?}"))
    }

    /// The messages of an object's events.
    pub(crate) fn events(&self, namespace: &str, object: &str) -> Result<Vec<String>> {
        let (kind, name) = object
            .split_once('/')
            .with_context(|| format!("{object} is not KIND/NAME"))?;
        let selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let list = self.get(&["events", "-n", namespace, "--field-selector", &selector])?;
        let events = list["items"].as_array().into_iter().flatten();
        Ok(events
            .filter_map(|event| event["message"].as_str())
            .map(str::to_owned)
            .collect())
    }

    /// A namespace whose pods can be created at once. It is deleted when the value is dropped.
    pub(crate) fn namespace(&self, name: &str) -> Result<Namespace<'_>> {
        self.run(&["create", "namespace", name])?;
        let namespace = Namespace {
            kubectl: self,
            name: name.to_owned(),
        };
        // Controllers come back half a minute after the API server at the latest.
        self.wait(
            name,
            "serviceaccount/default",
            "create",
            Duration::from_secs(60),
        )?;
        Ok(namespace)
    }
}

/// A trial's own namespace.
pub(crate) struct Namespace<'a> {
    kubectl: &'a Kubectl,
    name: String,
}

impl Namespace<'_> {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Whether this works is no trial's business: the cluster ends soon.
        let _ = self
            .kubectl
            .run(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

fn stdout_of(arguments: &[&str], output: &Output) -> Result<String> {
    if !output.status.success() {
        bail!("kubectl {}: {}", arguments.join(" "), text(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
