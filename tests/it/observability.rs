//! Alerts, dashboard and runbooks agree with each other and with what `/metrics` exposes.

use std::collections::{BTreeMap, BTreeSet};

use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use serde_json::Value;

use super::tidy::read;

const ALERTS: &str = "charts/platform-gate/files/alerts.yaml";
const DASHBOARD: &str = "charts/platform-gate/files/dashboard.json";
const RUNBOOKS: &str = "docs/runbooks.md";

/// The names of every series. What `/metrics` tells the type of is exact; a family in which nothing was counted yet is
/// known by its name alone.
fn exposed() -> BTreeSet<String> {
    // Fails only when another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut metrics = Metrics::default();
    let settings = RegistrySettings::new(EgressPolicy::Cli);
    let registry = Registry::new(settings).unwrap();
    registry.register_metrics(metrics.registry_mut());
    let registered = format!("{:?}", metrics.registry_mut());
    let text = metrics.to_text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: BTreeMap<&str, &str> = types.map(|line| line.split_once(' ').unwrap()).collect();
    let names = registered.split("Descriptor { name: \"").skip(1);
    let names = names.map(|rest| format!("platform_gate_{}", rest.split_once('"').unwrap().0));
    names
        .chain(types.keys().map(ToString::to_string))
        .flat_map(|name| {
            let suffixes: &[&str] = match types.get(name.as_str()) {
                Some(&"counter") => &["_total"],
                Some(&"histogram") => &["_bucket", "_sum", "_count"],
                Some(&"info") => &["_info"],
                Some(_) => &[""],
                None => &["", "_total", "_bucket", "_sum", "_count"],
            };
            let series = suffixes.iter().map(|suffix| format!("{name}{suffix}"));
            series.collect::<Vec<_>>()
        })
        .collect()
}

/// Every name of ours in a text.
fn used(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("platform_gate_"))
        .collect()
}

#[test]
fn alerts_dashboard_and_runbooks_ask_for_metrics_that_exist() {
    let exposed = exposed();
    assert!(exposed.len() > 15, "{exposed:?}");
    for path in [ALERTS, DASHBOARD, RUNBOOKS] {
        let text = read(path);
        let used = used(&text);
        assert!(!used.is_empty(), "{path} asks for none");
        for name in used {
            assert!(exposed.contains(name), "{path}: nothing exposes {name}");
        }
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = read(ALERTS);
    let alerts: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let runbooks = read(RUNBOOKS);
    let sections: Vec<_> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert!(alerts.len() > 10);
    assert_eq!(alerts, sections);
    let tested = read("hack/alerts-test.yaml");
    for alert in alerts {
        let fires = format!("alertname=\"{alert}\"");
        assert!(tested.contains(&fires), "no test makes {alert} fire");
    }
}

#[test]
fn the_dashboard_is_one() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(panel["title"].is_string() && panel["description"].is_string());
        for target in panel["targets"].as_array().unwrap() {
            assert!(!target["expr"].as_str().unwrap().is_empty());
        }
    }
}
