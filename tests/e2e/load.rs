//! A steady load of admission reviews, made as any client makes them: dry runs of pods through the API server, one that
//! must be admitted and one that must be rejected in turn.
//!
//! What came of them is counted at the API server: in its metrics, and in its audit log, which outlives it and has a line
//! for every call. A call whose connection to the API server itself broke is made again once that is ready.

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
use serde_json::Value;

use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::Namespace;
use crate::pod::Pod;
use crate::wait::until;

/// Between two calls of each of the callers.
const PACE: Duration = Duration::from_millis(40);
const CALLERS: usize = 2;
/// The pod that must be admitted, and the one that must be rejected.
const RIGHT: &str = "right";
const WRONG: &str = "wrong";

/// Calls under way.
pub(crate) struct Load<'a> {
    cluster: &'a Cluster,
    state: Arc<State>,
    thread: Option<JoinHandle<Result<()>>>,
    before: Failures,
    namespace: Namespace<'a>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    calls: AtomicUsize,
    broken: AtomicUsize,
    changed: std::sync::Mutex<Vec<String>>,
}

/// What came of the calls.
pub(crate) struct Tally {
    calls: usize,
    /// Connections to the API server that broke.
    pub(crate) broken: usize,
    changed: Vec<String>,
    failures: Failures,
    audited: Audited,
}

/// What the audit log says of the calls.
#[derive(Debug, Default)]
struct Audited {
    calls: usize,
    /// Those without an answer of ours.
    unanswered: Vec<String>,
    /// Those with another answer than their pod must get.
    misjudged: Vec<String>,
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
            Pod::new(namespace.name(), RIGHT, "test/amd64-only:1").on_node(REAL_NODE),
            Pod::new(namespace.name(), WRONG, "test/arm64-only:1").on_node(REAL_NODE),
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
            namespace,
        })
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::Relaxed)
    }

    /// Goes on until there have been `least` calls, and some after this moment, and ends.
    pub(crate) fn finish(mut self, least: usize) -> Result<Tally> {
        let least = least.max(self.calls() + 50);
        until("enough calls", Duration::from_secs(600), || {
            let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            Ok((ended || self.calls() >= least).then_some(()))
        })?;
        self.state.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the load runs once")?;
        thread.join().map_err(|_| anyhow!("the load panicked"))??;
        let changed = self.state.changed.lock().map_err(|_| anyhow!("poisoned"))?;
        Ok(Tally {
            calls: self.calls(),
            broken: self.state.broken.load(Ordering::Relaxed),
            changed: changed.clone(),
            failures: Failures::counted(self.cluster)?.without(&self.before),
            audited: self.audited()?,
        })
    }

    /// Waits until the audit log has every call.
    fn audited(&self) -> Result<Audited> {
        until("every call is audited", Duration::from_secs(20), || {
            let events = self.cluster.audit_events(self.namespace.name())?;
            let audited = Audited::of(&events);
            Ok((audited.calls >= self.calls()).then_some(audited))
        })
    }
}

impl Audited {
    fn of(events: &[Value]) -> Self {
        let mut audited = Self::default();
        for event in events {
            let object = &event["objectRef"];
            if object["resource"] != "pods" || event["verb"] != "create" {
                continue;
            }
            audited.calls += 1;
            let must = match object["name"].as_str() {
                Some(RIGHT) => "allow",
                _ => "deny",
            };
            match event["annotations"]["pods.platform-gate.io/decision"].as_str() {
                Some(decision) if decision == must => {}
                Some(_) => audited.misjudged.push(event.to_string()),
                None => audited.unanswered.push(event.to_string()),
            }
        }
        audited
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
            self.failures.0.is_empty() && self.changed.is_empty() && self.unanswered() == 0,
            "{self}: {:#?} {:#?} {:#?}",
            self.failures,
            &self.changed[..self.changed.len().min(5)],
            &self.audited.unanswered[..self.unanswered().min(5)],
        );
        self.answers_are_right()
    }

    /// Whatever failed: where platform-gate did answer, it answered as always.
    pub(crate) fn answers_are_right(&self) -> Result<()> {
        let misjudged = &self.audited.misjudged;
        ensure!(misjudged.is_empty(), "{self}: {misjudged:#?}");
        Ok(())
    }

    /// Calls without an answer of ours.
    pub(crate) fn unanswered(&self) -> usize {
        self.audited.unanswered.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, failed, changed) = (self.calls, self.unanswered(), self.changed.len());
        write!(
            f,
            "{calls} calls, {failed} without an answer of ours, {changed} other verdicts"
        )?;
        match self.broken {
            0 => Ok(()),
            broken => write!(f, ", {broken} connections to the API server broke"),
        }
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
        let client = Client::try_from(config)?;
        let callers = (0..CALLERS).map(|_| call(&client, namespace, pods, state));
        futures::future::try_join_all(callers).await.map(drop)
    })
}

async fn call(client: &Client, namespace: &str, pods: &[String; 2], state: &State) -> Result<()> {
    let api = Api::namespaced(client.clone(), namespace);
    let [right, wrong] = [
        serde_json::from_str(&pods[0])?,
        serde_json::from_str(&pods[1])?,
    ];
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !state.stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let admitted = ask(client, &api, &right, state).await;
        let rejected = ask(client, &api, &wrong, state).await;
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

/// A call, made again where the connection to the API server broke. Before that it has to be ready, as behind a load
/// balancer.
async fn ask(
    client: &Client,
    api: &Api<PodObject>,
    pod: &PodObject,
    state: &State,
) -> kube::Result<()> {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    loop {
        match api.create(&dry_run, pod).await {
            Ok(_) => return Ok(()),
            Err(answer @ kube::Error::Api(_)) => return Err(answer),
            Err(error) if state.stop.load(Ordering::Relaxed) => return Err(error),
            Err(_) => state.broken.fetch_add(1, Ordering::Relaxed),
        };
        let mut pace = tokio::time::interval(PACE);
        while !state.stop.load(Ordering::Relaxed) && !is_ready(client).await {
            pace.tick().await;
        }
    }
}

async fn is_ready(client: &Client) -> bool {
    match hyper::Request::get("/readyz").body(Vec::new()) {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}
