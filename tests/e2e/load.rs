//! A steady load of admission reviews, made as any client makes them: dry runs of pods through the API server, one that
//! must be admitted and one that must be rejected in turn.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::Namespace;
use crate::pod::Pod;
use crate::wait::until;

/// Between two calls of each of the callers.
const PACE: Duration = Duration::from_millis(40);
const CALLERS: usize = 2;

/// Calls under way.
pub(crate) struct Load<'a> {
    cluster: &'a Cluster,
    state: Arc<State>,
    thread: Option<JoinHandle<Result<()>>>,
    before: Failures,
    _namespace: Namespace<'a>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    calls: AtomicUsize,
    changed: std::sync::Mutex<Vec<String>>,
}

/// What came of the calls.
pub(crate) struct Tally {
    calls: usize,
    changed: Vec<String>,
    failures: Failures,
}

/// What the API server counts of our webhooks, by series.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failures(Vec<String>);

impl<'a> Load<'a> {
    /// Begins to call, in a namespace of that name.
    pub(crate) fn start(cluster: &'a Cluster, name: &str) -> Result<Self> {
        let namespace = cluster.kubectl.namespace(&format!("load-{name}"))?;
        let state = Arc::new(State::default());
        let before = Failures::counted(cluster)?;
        let pods = [
            Pod::new(namespace.name(), "right", "test/amd64-only:1").on_node(REAL_NODE),
            Pod::new(namespace.name(), "wrong", "test/arm64-only:1").on_node(REAL_NODE),
        ];
        let pods = pods.map(|pod| pod.manifest());
        let kubeconfig = Kubeconfig::read_from(cluster.kubectl.kubeconfig())?;
        let calls = {
            let (state, namespace) = (Arc::clone(&state), namespace.name().to_owned());
            move || run(kubeconfig, &namespace, &pods, &state)
        };
        Ok(Self {
            cluster,
            state,
            thread: Some(std::thread::spawn(calls)),
            before,
            _namespace: namespace,
        })
    }

    /// Goes on until there have been `least` calls, and some after this moment, and ends.
    pub(crate) fn finish(mut self, least: usize) -> Result<Tally> {
        let least = least.max(self.state.calls.load(Ordering::Relaxed) + 50);
        until("enough calls", Duration::from_secs(600), || {
            let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            let calls = self.state.calls.load(Ordering::Relaxed);
            Ok((ended || calls >= least).then_some(()))
        })?;
        self.state.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the load runs once")?;
        thread.join().map_err(|_| anyhow!("the load panicked"))??;
        let changed = self.state.changed.lock().map_err(|_| anyhow!("poisoned"))?;
        Ok(Tally {
            calls: self.state.calls.load(Ordering::Relaxed),
            changed: changed.clone(),
            failures: Failures::counted(self.cluster)?.without(&self.before),
        })
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    /// Nothing failed and nothing changed.
    pub(crate) fn is_flawless(&self) -> Result<()> {
        ensure!(
            self.failures.0.is_empty() && self.changed.is_empty(),
            "{self}: {:#?} {:#?}",
            self.failures,
            &self.changed[..self.changed.len().min(5)]
        );
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, failed, changed) = (self.calls, self.failures.0.len(), self.changed.len());
        write!(
            f,
            "{calls} calls, {failed} series of failures at the API server, {changed} verdicts changed"
        )
    }
}

impl Failures {
    /// Calls that failed or that the API server went on without.
    fn counted(cluster: &Cluster) -> Result<Self> {
        let metrics = cluster.kubectl.run(&["get", "--raw", "/metrics"])?;
        let is_failure = |line: &&str| {
            line.contains("pods.platform-gate.io")
                && (line.starts_with("apiserver_admission_webhook_fail_open_count")
                    || line.starts_with("apiserver_admission_webhook_rejection_count")
                        && !line.contains("error_type=\"no_error\""))
        };
        Ok(Self(
            metrics
                .lines()
                .filter(is_failure)
                .map(str::to_owned)
                .collect(),
        ))
    }

    fn without(self, before: &Self) -> Self {
        let new = self.0.into_iter().filter(|line| !before.0.contains(line));
        Self(new.collect())
    }
}

fn run(kubeconfig: Kubeconfig, namespace: &str, pods: &[String; 2], state: &State) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let api = Api::namespaced(Client::try_from(config)?, namespace);
        let callers = (0..CALLERS).map(|_| call(&api, pods, state));
        futures::future::try_join_all(callers).await.map(drop)
    })
}

async fn call(api: &Api<PodObject>, pods: &[String; 2], state: &State) -> Result<()> {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let [right, wrong] = [
        serde_json::from_str(&pods[0])?,
        serde_json::from_str(&pods[1])?,
    ];
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !state.stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let admitted = api.create(&dry_run, &right).await.map(drop);
        let rejected = api.create(&dry_run, &wrong).await.map(drop);
        state.calls.fetch_add(2, Ordering::Relaxed);
        let is_ours = |error: &kube::Error| error.to_string().contains("no match");
        let changed = match (admitted, rejected) {
            (Ok(()), Err(error)) if is_ours(&error) => continue,
            (Err(error), _) => format!("what was admitted: {error}"),
            (_, Err(error)) => format!("what was rejected is so for another reason: {error}"),
            (_, Ok(())) => "what was rejected is admitted".to_owned(),
        };
        state
            .changed
            .lock()
            .map_err(|_| anyhow!("poisoned"))?
            .push(changed);
    }
    Ok(())
}
