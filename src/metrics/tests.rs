//! What `/metrics` says, line by line.

use super::*;

#[test]
fn every_metric_is_written_under_its_name() {
    let metrics = Metrics::default();
    metrics.reviewed(RequestLabels {
        kind: "pod",
        operation: "create",
        decision: "deny",
        reason: "os-mismatch",
    });
    metrics.answered(Duration::from_millis(3), true);
    metrics.answered(Duration::from_millis(3), false);
    metrics.found("no-match");
    metrics.shed();
    metrics.set_nodes([
        ("linux", "amd64", 1),
        ("linux", "amd64", 1),
        ("plan9", "vax", 1),
    ]);
    metrics.read_node_age_from(|| Some(Duration::from_millis(1500)));
    metrics.set_certificate_expiry(SystemTime::UNIX_EPOCH + Duration::from_secs(7));
    metrics.settings_taken(SystemTime::UNIX_EPOCH + Duration::from_secs(9));
    metrics.set_certificate_in_order(true);
    metrics.set_namespaces([("warn", 3), ("off", 1)]);
    metrics.set_namespaces([("warn", 2), ("off", 0)]);
    metrics.exempted("image");
    let text = metrics.to_text();
    for line in [
        "platform_gate_certificate_in_order 1",
        "platform_gate_webhook_configured 0",
        "platform_gate_config_reload_success 1",
        r#"platform_gate_namespaces{enforcement_action="warn"} 2"#,
        r#"platform_gate_namespaces{enforcement_action="off"} 0"#,
        r#"platform_gate_exemptions_total{kind="image"} 1"#,
        "platform_gate_config_last_reload_success_timestamp_seconds 9",
        r#"platform_gate_admission_requests_total{kind="pod",operation="create",decision="deny",reason="os-mismatch"} 1"#,
        r#"platform_gate_admission_duration_seconds_count{cache="cold"} 1"#,
        r#"platform_gate_admission_duration_seconds_bucket{le="10.0",cache="warm"} 1"#,
        r#"platform_gate_admission_findings_total{code="no-match"} 1"#,
        "platform_gate_admission_shed_total 1",
        "platform_gate_admission_in_flight 0",
        r#"platform_gate_nodes{os="linux",arch="amd64"} 2"#,
        r#"platform_gate_nodes{os="other",arch="other"} 1"#,
        "platform_gate_node_cache_age_seconds 1.5",
        "platform_gate_certificate_expiry_timestamp_seconds 7",
        concat!(
            r#"platform_gate_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""} 1"#
        ),
    ] {
        assert!(text.lines().any(|got| got == line), "{line} not in\n{text}");
    }
}

#[test]
fn both_durations_are_shown_before_the_first_review() {
    let text = Metrics::default().to_text();
    for cache in ["warm", "cold"] {
        let line =
            format!(r#"platform_gate_admission_duration_seconds_count{{cache="{cache}"}} 0"#);
        assert!(text.lines().any(|got| got == line), "{line} not in\n{text}");
    }
}

#[test]
fn nodes_that_have_gone_are_no_longer_counted() {
    let metrics = Metrics::default();
    metrics.set_nodes([("windows", "amd64", 1)]);
    metrics.set_nodes([("linux", "arm64", 1)]);
    assert!(!metrics.to_text().contains("windows"));
}

#[test]
fn a_review_counts_as_in_flight_until_it_ends() {
    let metrics = Metrics::default();
    let timer = metrics.review_started();
    assert!(metrics.to_text().contains("admission_in_flight 1"));
    drop(timer);
    assert!(metrics.to_text().contains("admission_in_flight 0"));
}
