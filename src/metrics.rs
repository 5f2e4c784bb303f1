//! Every metric of the process, in one registry, with labels whose values are bounded.
//!
//! Names follow Prometheus: base units, `_total` for counters. No image and no namespace is ever a label.

mod callers;
mod watched;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// From a warm answer to what the API server waits for at most.
const DURATION_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

type Gauge64 = Gauge<f64, std::sync::atomic::AtomicU64>;
type AgeOf = Box<dyn Fn() -> Option<Duration> + Send + Sync>;

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    duration: Family<DurationLabels, Histogram>,
    /// Of `duration`, so that they need not be looked for.
    warm: Histogram,
    cold: Histogram,
    in_flight: Gauge,
    shed: Counter,
    nodes: Family<NodeLabels, Gauge>,
    node_cache_age: Gauge64,
    node_age: OnceLock<AgeOf>,
    certificate_expiry: Gauge,
    namespaces: Family<NamespaceLabels, Gauge>,
    exemptions: Family<ExemptionLabels, Counter>,
    settings_are_good: Gauge,
    settings_taken: Gauge,
    certificate_in_order: Gauge,
    webhook_configured: Gauge,
    callers: callers::Callers,
    watched: watched::Watched,
}

/// What a review was counted under. Values are literals, so that their number is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `pod`, `workload` or `unknown`.
    pub kind: &'static str,
    /// `create`, `update`, `delete`, `connect` or `unknown`.
    pub operation: &'static str,
    /// `allow`, `warn`, `deny` or `error`.
    pub decision: &'static str,
    /// Code of what decided, or `none`.
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    cache: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    os: &'static str,
    arch: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    enforcement_action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExemptionLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("platform_gate");
        let duration: Family<_, Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS));
        let of = |cache| duration.get_or_create_owned(&DurationLabels { cache });
        let metrics = Self {
            warm: of("warm"),
            cold: of("cold"),
            duration,
            requests: Family::default(),
            findings: Family::default(),
            shed: Counter::default(),
            in_flight: Gauge::default(),
            nodes: Family::default(),
            node_cache_age: Gauge64::default(),
            node_age: OnceLock::new(),
            certificate_expiry: Gauge::default(),
            namespaces: Family::default(),
            exemptions: Family::default(),
            settings_are_good: Gauge::default(),
            settings_taken: Gauge::default(),
            certificate_in_order: Gauge::default(),
            webhook_configured: Gauge::default(),
            callers: callers::Callers::default(),
            watched: watched::Watched::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "admission_requests",
            "Reviews answered, by operation, decision and the reason for it",
            self.requests.clone(),
        );
        registry.register(
            "admission_duration_seconds",
            "Time from the whole request read to its answer; cold where a registry had to be asked",
            self.duration.clone(),
        );
        registry.register(
            "admission_findings",
            "Causes and doubts in reviews that were not admitted in silence, each once a review",
            self.findings.clone(),
        );
        registry.register(
            "admission_shed",
            "Reviews answered unchecked, since too many were being worked on",
            self.shed.clone(),
        );
        registry.register(
            "admission_in_flight",
            "Reviews being worked on",
            self.in_flight.clone(),
        );
        self.register_state(registry);
    }

    /// What is so at the moment.
    fn register_state(&self, registry: &mut Registry) {
        registry.register(
            "nodes",
            "Nodes known, by operating system and architecture",
            self.nodes.clone(),
        );
        registry.register(
            "node_cache_age_seconds",
            "Time since the watch on nodes last brought anything",
            self.node_cache_age.clone(),
        );
        registry.register(
            "config_reload_success",
            "Whether the settings file as it was last read is in force; 0 while a bad one is refused",
            self.settings_are_good.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When the settings in force were read, in seconds since 1970",
            self.settings_taken.clone(),
        );
        self.register_certificate(registry);
        self.register_choices(registry);
        self.callers.register(registry);
        self.watched.register(registry);
        let build = BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
        };
        registry.register("build", "The running version", Info::new(build));
    }

    /// What operators chose.
    fn register_choices(&self, registry: &mut Registry) {
        registry.register(
            "namespaces",
            "Namespaces whose label asks for an enforcement action of their own, by that action",
            self.namespaces.clone(),
        );
        registry.register(
            "exemptions",
            "Exemptions used, by kind",
            self.exemptions.clone(),
        );
    }

    fn register_certificate(&self, registry: &mut Registry) {
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the serving certificate expires, in seconds since 1970",
            self.certificate_expiry.clone(),
        );
        registry.register(
            "certificate_in_order",
            "1 if the last look at the certificate, its Secret and caBundle found or put them in order, 0 if not",
            self.certificate_in_order.clone(),
        );
        registry.register(
            "webhook_configured",
            "1 if the webhook configuration exists, 0 if it does not or must not be read",
            self.webhook_configured.clone(),
        );
    }

    /// Counts one answered review.
    pub fn reviewed(&self, labels: RequestLabels) {
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a cause or doubt of a review that was not admitted in silence.
    pub fn found(&self, code: &'static str) {
        self.findings.get_or_create(&FindingLabels { code }).inc();
    }

    /// Notes how long a review took, and whether a registry had to be asked.
    pub fn answered(&self, took: Duration, asked: bool) {
        let histogram = if asked { &self.cold } else { &self.warm };
        histogram.observe(took.as_secs_f64());
    }

    /// Counts a review that was answered unchecked under overload.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// Notes that a review has begun; it ends, however it ends, when the guard is dropped.
    #[must_use]
    pub fn review_started(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight { metrics: self }
    }

    /// The registry, for others to add their own metrics to before it is shared.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Replaces the number of nodes by the platforms given, each with its count.
    pub fn set_nodes<'a>(&self, platforms: impl IntoIterator<Item = (&'a str, &'a str, u64)>) {
        self.nodes.clear();
        for (os, arch, count) in platforms {
            let labels = NodeLabels {
                os: known(os, &["linux", "windows"]),
                arch: known(arch, ARCHITECTURES),
            };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.nodes.get_or_create(&labels).inc_by(count);
        }
    }

    /// Sets what tells the age of the node cache when metrics are read; `None` while there is none.
    pub fn read_node_age_from(&self, age: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        // A second source would be a second node cache, which no process has.
        let _ = self.node_age.set(Box::new(age));
    }

    /// Notes the end of the serving certificate's validity.
    pub fn set_certificate_expiry(&self, at: SystemTime) {
        self.certificate_expiry.set(unix_seconds(at));
    }

    /// Replaces the number of namespaces by the actions that their labels ask for.
    pub fn set_namespaces(&self, counts: impl IntoIterator<Item = (&'static str, u64)>) {
        for (enforcement_action, count) in counts {
            let labels = NamespaceLabels { enforcement_action };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.namespaces.get_or_create(&labels).set(count);
        }
    }

    /// Counts one use of an exemption; `kind` is one of few.
    pub fn exempted(&self, kind: &'static str) {
        self.exemptions
            .get_or_create(&ExemptionLabels { kind })
            .inc();
    }

    /// Notes that the settings read at that time are in force.
    pub fn settings_taken(&self, at: SystemTime) {
        self.settings_are_good.set(1);
        self.settings_taken.set(unix_seconds(at));
    }

    /// Notes that the settings file cannot be used as it is now.
    pub fn settings_refused(&self) {
        self.settings_are_good.set(0);
    }

    /// Notes whether certificate, Secret and `caBundle` were last found, or put, in order.
    pub fn set_certificate_in_order(&self, in_order: bool) {
        self.certificate_in_order.set(i64::from(in_order));
    }

    /// Notes whether there is a webhook configuration, without which nobody asks.
    pub fn set_webhook_configured(&self, configured: bool) {
        self.webhook_configured.set(i64::from(configured));
    }

    /// The metrics as OpenMetrics text.
    #[must_use]
    pub fn to_text(&self) -> String {
        if let Some(age) = self.node_age.get().and_then(|age| age()) {
            self.node_cache_age.set(age.as_secs_f64());
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing into a String does not fail");
        text
    }
}

/// Counts one review as in flight from [`Metrics::review_started`] to its drop.
#[derive(Debug)]
pub struct InFlight<'a> {
    metrics: &'a Metrics,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn unix_seconds(at: SystemTime) -> i64 {
    let seconds = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

const ARCHITECTURES: &[&str] = &[
    "amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64", "mips64le",
];

/// A node's own words are not trusted to be few.
fn known(value: &str, all: &[&'static str]) -> &'static str {
    all.iter()
        .find(|one| **one == value)
        .copied()
        .unwrap_or("other")
}

#[cfg(test)]
mod tests;
