//! `serve`: the webhook itself, on a cluster or, with `--nodes`, without one.

mod reload;
mod watching;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use clap::Args as ClapArgs;
use futures::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};

use super::registry_args::RegistryArgs;
use super::{Exit, logging};
use crate::admission::ReviewError;
use crate::certificate::{CertificateError, Pair};
use crate::cluster::certificate::Mode;
use crate::cluster::events::{self, Events};
use crate::cluster::namespaces::{self, Namespaces};
use crate::cluster::networks::{self, Networks};
use crate::cluster::nodes::{self, NodeEvent};
use crate::cluster::pods::list_pods;
use crate::cluster::pull_secrets::PullSecrets;
use crate::cluster::{Freshness, autoscalers, certificate, client, runtime_classes};
use crate::config::{self, CertificateMode, CertificateSettings, Settings};
use crate::domain::inventory::Inventory;
use crate::gate::{Gate, unix_now};
use crate::metrics::Metrics;
use crate::registry::{EgressPolicy, Registry};
use crate::trace::Traces;
use crate::webhook::{
    CertStore, Deadline, Options, Readiness, ReviewPath, Server, Shared, Trusted,
};

/// Run the admission webhook
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  platform-gate serve --config /etc/platform-gate/settings/config.yaml
  kubectl get nodes -o yaml > nodes.yaml && platform-gate serve --nodes nodes.yaml --listen 127.0.0.1:8443")]
pub(super) struct Args {
    /// Settings file (YAML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the nodes from this file instead of a cluster: what `kubectl get nodes -o yaml` or `-o json` prints
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Address of the webhook (HTTPS): POST /validate
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics (plain HTTP)
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    metrics_listen: SocketAddr,
    /// Go on serving for so many seconds after SIGTERM, while API servers learn of it
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    drain_delay: u64,
    #[command(flatten)]
    registries: RegistryArgs,
}

/// What look-ups must not reach, as nodes and settings change.
type SharedNetworks = Arc<Mutex<Networks>>;

type ReviewFuture = BoxFuture<'static, Result<Vec<u8>, ReviewError>>;

const LOG_FILTER: &str = "info,kube_client=error,kube_runtime=warn,reqwest=off,hyper=off,hyper_util=off,h2=off,rustls=error";
/// The namespace that the pod runs in, set by the chart.
const NAMESPACE_VARIABLE: &str = "POD_NAMESPACE";
/// The pod's name, set by the chart: under it a replica holds the Lease.
const POD_VARIABLE: &str = "POD_NAME";

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let traces = Traces::from_env()?;
    logging::start_with_traces(LOG_FILTER, traces.as_ref());
    let settings = Settings::load_or_default(args.config.as_deref())?;
    let server = Server::bind(options(&args)).await?;
    let addresses = server.addresses();
    let egress = match &args.nodes {
        Some(_) => EgressPolicy::Cli,
        None => EgressPolicy::Cluster { denied: Vec::new() },
    };
    let registry = Registry::new(args.registries.serving(&settings, &[], egress.clone())?)?;
    let mut metrics = Metrics::default();
    registry.register_metrics(metrics.registry_mut());
    let shared = Shared {
        metrics: Arc::new(metrics),
        ..Shared::default()
    };
    let trusted = trusted_callers(&settings, &shared.certificate)?;
    shared.callers.replace(trusted);
    let networks = SharedNetworks::default();
    lock(&networks).set_blocked(settings.blocked_networks.clone());
    let (watch_lease, leases) = tokio::sync::watch::channel(settings.watch_lease.clone());
    let gate = match &args.nodes {
        Some(path) => without_cluster(path, registry.clone(), &args, &settings, &shared)?,
        None => on_cluster(registry.clone(), &settings, &networks, leases, &shared).await?,
    };
    gate.deny_networks(lock(&networks).all());
    shared.metrics.settings_taken(std::time::SystemTime::now());
    if let Some(path) = args.config {
        let obeying = reload::Obeying {
            gate: Arc::clone(&gate),
            registry,
            flags: args.registries,
            egress,
            left_out: settings.left_out.clone(),
            networks,
            watch_lease,
            shared: shared.clone(),
        };
        tokio::spawn(obeying.watch(config::Reload::new(path, settings)));
    }
    tracing::info!(webhook = %addresses.webhook, metrics = %addresses.health, "listening");
    let review = reviews(&gate, &shared.metrics);
    server.run(review, shared, stop_signal()?).await?;
    if let Some(traces) = traces {
        tokio::task::spawn_blocking(|| traces.finish()).await?;
    }
    Ok(Exit::Fine)
}

/// Whom the webhook answers by the settings; `None` is anybody.
fn trusted_callers(settings: &Settings, own: &CertStore) -> anyhow::Result<Option<Trusted>> {
    let Some(callers) = &settings.callers else {
        return Ok(None);
    };
    Ok(Some(Trusted::new(&callers.ca, callers.names.clone(), own)?))
}

/// What the server makes of a review, by the path that it came on.
fn reviews(
    gate: &Arc<Gate>,
    metrics: &Arc<Metrics>,
) -> impl Fn(ReviewPath, Bytes, Deadline) -> ReviewFuture + Send + Sync + 'static {
    let (gate, metrics) = (Arc::clone(gate), Arc::clone(metrics));
    move |path, body, deadline| {
        let (gate, metrics) = (Arc::clone(&gate), Arc::clone(&metrics));
        Box::pin(async move {
            if deadline.overloaded {
                return gate.review_overloaded(&body, &metrics);
            }
            let deadline = deadline.for_lookups();
            match path {
                ReviewPath::Validate => gate.review(&body, deadline, &metrics).await,
                ReviewPath::Mutate => gate.review_to_pin(&body, deadline, &metrics).await,
            }
        })
    }
}

fn options(args: &Args) -> Options {
    Options {
        listen: args.listen,
        metrics_listen: args.metrics_listen,
        drain_delay: Duration::from_secs(args.drain_delay),
        ..Options::default()
    }
}

/// Nodes from a file, a certificate of our own for this machine's names.
fn without_cluster(
    path: &std::path::Path,
    registry: Registry,
    args: &Args,
    settings: &Settings,
    shared: &Shared,
) -> anyhow::Result<Arc<Gate>> {
    let nodes = config::parse_nodes(path, &config::read(path)?)?;
    let names = [
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        args.listen.ip().to_string(),
    ];
    let issued = crate::certificate::issue(&names, std::time::SystemTime::now())?;
    let validity = shared.certificate.replace(&issued.leaf)?;
    shared.metrics.set_certificate_expiry(validity.not_after);
    shared.metrics.set_certificate_in_order(true);
    tracing::info!(nodes = nodes.len(), file = %path.display(), "nodes are read");
    let gate = Gate::new(settings.rules.clone(), registry, None);
    gate.update(|inventory| inventory.replace_all(nodes));
    shared.metrics.set_nodes(gate.inventory().counts());
    Ok(Arc::new(gate))
}

/// Nodes from a watch, the certificate from the chart's Secret.
async fn on_cluster(
    registry: Registry,
    settings: &Settings,
    networks: &SharedNetworks,
    leases: watching::Leases,
    shared: &Shared,
) -> anyhow::Result<Arc<Gate>> {
    let namespace = std::env::var(NAMESPACE_VARIABLE).ok();
    let names = settings.certificate.as_ref().context(
        "the settings have no `certificate`: install with the chart, or give --nodes FILE to run without a cluster",
    )?;
    let kept = certificate_settings(names, namespace.clone())?;
    let freshness = Freshness::default();
    let client = client::connect(&freshness).await?;
    let age = freshness.clone();
    let (events, handed_in) = Events::channel();
    let instance = kept.identity.clone();
    tokio::spawn(events::write(client.clone(), instance, handed_in));
    let namespaces = Namespaces::default();
    let gate = Gate::new(settings.rules.clone(), registry, namespace)
        .with_node_age(move || age.age())
        .with_pull_secrets(PullSecrets::new(client.clone()))
        .with_namespaces(namespaces.clone())
        .with_events(events);
    gate.report_events(settings.events);
    gate.read_pull_secrets(settings.pull_secrets);
    let gate = Arc::new(gate);
    shared.metrics.read_node_age_from(move || freshness.age());
    keep_certificate(client.clone(), kept, shared)?;
    watch_nodes(client.clone(), &gate, shared, networks);
    watch_namespaces(client.clone(), namespaces, shared);
    watch_runtime_classes(client.clone(), &gate);
    follow_pools(client.clone(), &gate);
    watching::keep_watch(client.clone(), leases, &gate, shared)?;
    if settings.warm_up {
        tokio::spawn(warm_up(client, Arc::clone(&gate), shared.clone()));
    }
    Ok(gate)
}

/// Under this name a replica holds a Lease.
fn identity() -> String {
    std::env::var(POD_VARIABLE).unwrap_or_else(|_| format!("process-{}", std::process::id()))
}

/// Waits until this process is ready: before that it does not know which networks look-ups must not reach.
async fn ready(readiness: &Readiness) {
    while !readiness.is_ready() {
        #[allow(clippy::disallowed_methods, reason = "nobody waits for it")]
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Looks up what runs.
async fn warm_up(client: kube::Client, gate: Arc<Gate>, shared: Shared) {
    ready(&shared.readiness).await;
    match list_pods(client, |_| ()).await {
        Ok(pods) => {
            let (images, known) = gate.warm_up(&pods).await;
            tracing::info!(images, known, "the images of running pods are looked up");
        }
        Err(error) => {
            tracing::warn!(%error, "no warm-up: pods cannot be listed; allow it, or set warmUp to false");
        }
    }
}

fn certificate_settings(
    names: &CertificateSettings,
    namespace: Option<String>,
) -> anyhow::Result<certificate::Settings> {
    let namespace = namespace.with_context(|| {
        format!(
            "{NAMESPACE_VARIABLE} is not set: it must name the namespace of the Secret {}",
            names.secret
        )
    })?;
    Ok(certificate::Settings {
        namespace,
        secret: names.secret.clone(),
        service: names.service.clone(),
        webhook_configuration: names.webhook_configuration.clone(),
        mutating_webhook_configuration: names.mutating_webhook_configuration.clone(),
        mode: match names.mode.clone() {
            CertificateMode::SelfManaged { overlap } => Mode::SelfManaged { overlap },
            CertificateMode::Provided { ca_bundle } => Mode::Provided { ca_bundle },
            CertificateMode::CertManager => Mode::CertManager,
        },
        lease: names.lease.clone(),
        identity: identity(),
    })
}

/// Until the process is told to stop: while it drains, another replica keeps it.
fn keep_certificate(
    client: kube::Client,
    settings: certificate::Settings,
    shared: &Shared,
) -> anyhow::Result<()> {
    let (shared, metrics) = (shared.clone(), Arc::clone(&shared.metrics));
    shared.readiness.lost("certificate");
    let present = move |pair: &Pair| -> Result<(), CertificateError> {
        let validity = shared.certificate.replace(pair)?;
        shared.metrics.set_certificate_expiry(validity.not_after);
        shared.readiness.met("certificate");
        Ok(())
    };
    let tell = move |state: certificate::State| {
        metrics.set_certificate_in_order(state.in_order);
        metrics.set_webhook_configured(state.configured);
    };
    let stop = stop_signal()?;
    tokio::spawn(async move {
        let keeper = certificate::Keeper::new(&client, settings);
        tokio::select! {
            () = keeper.run(present, tell) => {}
            () = stop => {}
        }
    });
    Ok(())
}

/// Keeps the inventory, and the networks that look-ups must not reach.
fn watch_nodes(client: kube::Client, gate: &Arc<Gate>, shared: &Shared, networks: &SharedNetworks) {
    let (gate, shared, networks) = (Arc::clone(gate), shared.clone(), Arc::clone(networks));
    shared.readiness.lost("nodes");
    tokio::spawn(async move {
        let own = std::env::var("KUBERNETES_SERVICE_HOST")
            .ok()
            .and_then(|address| address.parse().ok());
        let services = networks::service_networks(client.clone(), own).await;
        lock(&networks).set_services(services);
        let on_event = move |event: NodeEvent| {
            take_networks(&gate, &mut lock(&networks), &event);
            gate.update(|inventory| take_node(inventory, event));
            shared.metrics.set_nodes(gate.inventory().counts());
            shared.readiness.met("nodes");
        };
        nodes::watch_nodes(client, on_event).await;
    });
}

fn take_networks(gate: &Gate, networks: &mut Networks, event: &NodeEvent) {
    let changed = match event {
        NodeEvent::Restarted(nodes) => {
            networks.replace_all(nodes);
            true
        }
        NodeEvent::Applied(node) => networks.apply(node),
        NodeEvent::Deleted(name) => networks.remove(name),
    };
    if changed {
        gate.deny_networks(networks.all());
    }
}

fn lock(networks: &Mutex<Networks>) -> std::sync::MutexGuard<'_, Networks> {
    // Each change leaves them whole even if a holder panicked.
    networks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_node(inventory: &mut Inventory, event: NodeEvent) {
    inventory.advance(unix_now());
    match event {
        NodeEvent::Restarted(nodes) => inventory.replace_all(nodes),
        NodeEvent::Applied(node) => inventory.apply(*node),
        NodeEvent::Deleted(name) => inventory.remove(&name),
    }
}

/// Until the labels of namespaces are known, a pod might be denied in one that asks for warnings.
fn watch_namespaces(client: kube::Client, namespaces: Namespaces, shared: &Shared) {
    let (shared, known) = (shared.clone(), namespaces.clone());
    shared.readiness.lost("namespaces");
    let on_change = move || {
        shared.metrics.set_namespaces(known.counts());
        shared.readiness.met("namespaces");
    };
    tokio::spawn(namespaces::watch_namespaces(client, namespaces, on_change));
}

fn follow_pools(client: kube::Client, gate: &Arc<Gate>) {
    let (gate, wanting) = (Arc::clone(gate), Arc::clone(gate));
    let wanted = move || wanting.inventory().autoscalers();
    let on_list = move |asked, pools| {
        gate.update(|inventory| {
            // The settings may have changed meanwhile.
            if inventory.autoscalers() == asked {
                inventory.set_open_pools(pools);
            }
        });
    };
    tokio::spawn(autoscalers::follow_pools(client, wanted, on_list));
}

fn watch_runtime_classes(client: kube::Client, gate: &Arc<Gate>) {
    let gate = Arc::clone(gate);
    let on_change = move |classes| gate.set_runtime_classes(classes);
    tokio::spawn(runtime_classes::watch_runtime_classes(client, on_change));
}

/// Completes on SIGTERM, as the kubelet sends it, and on Ctrl-C.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
