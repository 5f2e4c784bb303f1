//! What is counted of registries. A registry is a label only where the settings name it, and `other` otherwise: pod
//! authors choose the names. Nothing that a registry said is a label.
//!
//! Leaves out serving the numbers: callers give the `prometheus_client` registry that they are part of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::egress::Authority;
use crate::domain::lookup::LookupFailure;

/// From a registry next door to the longest wait for an answer.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    registry: Arc<str>,
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabels {
    registry: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    cache: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: &'static str,
}

/// What became of a question to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheResult {
    Hit,
    /// Given at once and asked for in the background.
    Stale,
    Miss,
}

impl CacheResult {
    fn labels(self) -> CacheLabels {
        CacheLabels {
            cache: "images",
            result: match self {
                Self::Hit => "hit",
                Self::Stale => "stale",
                Self::Miss => "miss",
            },
        }
    }
}

/// The rule of the egress guard that blocked a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Address,
    Name,
    Port,
    Realm,
    Redirect,
    Scheme,
    User,
}

/// What hosts are called, which changes with the settings.
type Names = Arc<ArcSwap<HashMap<Authority, Arc<str>>>>;

/// The numbers of one client; cheap to clone.
#[derive(Clone)]
pub(super) struct Measures {
    /// Hosts that may be a label, by what they are named in references.
    names: Names,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RegistryLabels, Histogram>,
    rate_limits: Family<RegistryLabels, Gauge>,
    rate_limits_remaining: Family<RegistryLabels, Gauge>,
    cache_requests: Family<CacheLabels, Counter>,
    /// Of them, the one that every review counts by.
    cache_hits: Counter,
    blocked: Family<RuleLabels, Counter>,
}

impl Default for Measures {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl fmt::Debug for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measures")
    }
}

impl Measures {
    pub(super) fn new(names: HashMap<Authority, Arc<str>>) -> Self {
        let cache_requests = Family::<CacheLabels, Counter>::default();
        let cache_hits = cache_requests.get_or_create_owned(&CacheResult::Hit.labels());
        Self {
            cache_hits,
            cache_requests,
            names: Arc::new(ArcSwap::from_pointee(names)),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            rate_limits: Family::default(),
            rate_limits_remaining: Family::default(),
            blocked: Family::default(),
        }
    }

    /// What a host is called in logs and labels. A redirect may lead to any host, so one that the settings do not name
    /// has no name of its own.
    pub(super) fn name_of(&self, host: &Authority) -> Arc<str> {
        name_of(&self.names.load(), host)
    }

    /// Replaces the hosts that may be a label.
    pub(super) fn set_names(&self, names: HashMap<Authority, Arc<str>>) {
        self.names.store(Arc::new(names));
    }

    pub(super) fn register(&self, registry: &mut Registry, levels: Arc<dyn Levels>) {
        registry.register(
            "registry_requests",
            "Requests to registries and token servers, by status or by why there was none",
            self.requests.clone(),
        );
        registry.register(
            "registry_request_duration_seconds",
            "Time to the headers of an answer",
            self.durations.clone(),
        );
        registry.register(
            "registry_rate_limit_remaining",
            "Requests that a registry last said it would still answer",
            self.rate_limits_remaining.clone(),
        );
        registry.register(
            "registry_rate_limit",
            "Requests that a registry last said it answers in its window of time",
            self.rate_limits.clone(),
        );
        registry.register(
            "cache_requests",
            "Questions to the cache of images",
            self.cache_requests.clone(),
        );
        registry.register(
            "egress_blocked",
            "Requests not made, by the rule against them",
            self.blocked.clone(),
        );
        let names = Arc::clone(&self.names);
        registry.register_collector(Box::new(Scrape { names, levels }));
    }

    pub(super) fn blocked(&self, rule: Rule) -> LookupFailure {
        let rule = match rule {
            Rule::Address => "address",
            Rule::Name => "name",
            Rule::Port => "port",
            Rule::Realm => "realm",
            Rule::Redirect => "redirect",
            Rule::Scheme => "scheme",
            Rule::User => "user",
        };
        self.blocked.get_or_create(&RuleLabels { rule }).inc();
        LookupFailure::Blocked
    }

    pub(super) fn cache(&self, result: CacheResult) {
        match result {
            CacheResult::Hit => self.cache_hits.inc(),
            other => self.cache_requests.get_or_create(&other.labels()).inc(),
        };
    }

    /// Counts one exchange.
    pub(super) fn exchanged(
        &self,
        host: &Authority,
        method: &reqwest::Method,
        outcome: Result<(StatusCode, &HeaderMap), LookupFailure>,
        time: Duration,
    ) {
        let registry = name_of(&self.names.load(), host);
        let labels = RequestLabels {
            registry: Arc::clone(&registry),
            method: match *method {
                reqwest::Method::HEAD => "HEAD",
                reqwest::Method::POST => "POST",
                _ => "GET",
            },
            code: match outcome {
                Ok((status, _)) => code(status),
                Err(failure) => failure.code(),
            },
        };
        self.requests.get_or_create(&labels).inc();
        let labels = RegistryLabels { registry };
        self.durations
            .get_or_create(&labels)
            .observe(time.as_secs_f64());
        let Ok((_, headers)) = outcome else { return };
        for (name, gauge) in [
            ("ratelimit-limit", &self.rate_limits),
            ("ratelimit-remaining", &self.rate_limits_remaining),
        ] {
            if let Some(number) = rate(headers, name) {
                gauge.get_or_create(&labels).set(number);
            }
        }
    }
}

/// What is read when the numbers are.
pub(super) trait Levels: Send + Sync {
    /// Hosts that do not answer.
    fn open_circuits(&self) -> Vec<Authority>;
    /// Bytes of answers kept.
    fn cache_bytes(&self) -> u64;
}

struct Scrape {
    names: Names,
    levels: Arc<dyn Levels>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let bytes = i64::try_from(self.levels.cache_bytes()).unwrap_or(i64::MAX);
        let help = "Bytes of answers kept";
        let metric = encoder.encode_descriptor("cache_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(bytes).encode(metric)?;
        let names = self.names.load();
        let mut open: HashMap<Arc<str>, i64> = names.values().map(|n| (n.clone(), 0)).collect();
        for host in self.levels.open_circuits() {
            *open.entry(name_of(&names, &host)).or_default() += 1;
        }
        let help = "Hosts of a registry that are left alone since they do not answer";
        let name = "registry_circuit_open";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (registry, hosts) in open {
            let labels = RegistryLabels { registry };
            ConstGauge::new(hosts).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn name_of(names: &HashMap<Authority, Arc<str>>, host: &Authority) -> Arc<str> {
    static OTHER_NAME: OnceLock<Arc<str>> = OnceLock::new();
    let other = || Arc::clone(OTHER_NAME.get_or_init(|| OTHER.into()));
    names.get(host).cloned().unwrap_or_else(other)
}

/// A status that registries are known to use, or the class of any other.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        301 => "301",
        302 => "302",
        307 => "307",
        308 => "308",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        100..=199 => "1xx",
        201..=299 => "2xx",
        300..=399 => "3xx",
        402..=499 => "4xx",
        501..=599 => "5xx",
        _ => "unknown",
    }
}

/// `RateLimit-Remaining: 76;w=21600`.
fn rate(headers: &HeaderMap, name: &str) -> Option<i64> {
    let value = headers.get(name)?.to_str().ok()?;
    let number: u32 = value.split(';').next()?.trim().parse().ok()?;
    Some(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_of_its_limit_is_a_number_or_nothing() {
        for (value, want) in [
            ("76;w=21600", Some(76)),
            (" 0 ", Some(0)),
            ("-1", None),
            ("99999999999", None),
            ("CANARY", None),
        ] {
            let name = reqwest::header::HeaderName::from_static("ratelimit-remaining");
            let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
            assert_eq!(rate(&headers, "ratelimit-remaining"), want, "{value}");
        }
    }

    #[test]
    fn codes_are_few() {
        let all: std::collections::BTreeSet<_> = (100..1000)
            .map(|status| code(StatusCode::from_u16(status).unwrap()))
            .collect();
        assert_eq!(all.len(), 20);
    }
}
