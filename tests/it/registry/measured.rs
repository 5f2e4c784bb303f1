//! What is counted, under which labels, and that no registry writes them.

use super::*;
use crate::support::registry::Answer;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

pub(super) fn text_of(registry: &Registry) -> String {
    let mut metrics = prometheus_client::registry::Registry::with_prefix("platform_gate");
    registry.register_metrics(&mut metrics);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
    text
}

#[track_caller]
fn check(text: &str, lines: &[String]) {
    for line in lines {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_the_registries_that_the_settings_name() {
    let site = Site::new().image("app", "1", LINUX);
    let named = FakeRegistry::start(move |request| {
        let answer = site.answer(request);
        let answer = answer.header("ratelimit-limit", "100;w=21600");
        answer.header("ratelimit-remaining", "76;w=21600")
    })
    .await;
    let unnamed = FakeRegistry::start(|_| Answer::new(418).header("x", "CANARY")).await;
    let registry = registry_for(&[&named]);
    for _ in 0..3 {
        fetch_anonymously(&registry, &named, "app:1").await.unwrap();
    }
    let outcome = fetch_anonymously(&registry, &unnamed, "canary/app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Tls));
    let reference = Reference::parse("169.254.169.254/app:1").unwrap();
    let anonymous = Keychain::anonymous();
    let blocked = registry.fetch_image(&reference, &anonymous, deadline());
    assert_eq!(blocked.await, Err(LookupFailure::Blocked));
    let (text, host) = (text_of(&registry), named.host());
    let requests = "platform_gate_registry_requests_total";
    check(
        &text,
        &[
            format!(r#"{requests}{{registry="{host}",method="GET",code="200"}} 2"#),
            format!(r#"{requests}{{registry="other",method="GET",code="4xx"}} 1"#),
            format!(r#"{requests}{{registry="other",method="GET",code="tls"}} 1"#),
            format!(r#"platform_gate_registry_rate_limit_remaining{{registry="{host}"}} 76"#),
            format!(r#"platform_gate_registry_rate_limit{{registry="{host}"}} 100"#),
            format!(r#"platform_gate_registry_circuit_open{{registry="{host}"}} 0"#),
            format!(
                r#"platform_gate_registry_request_duration_seconds_count{{registry="{host}"}} 2"#
            ),
            r#"platform_gate_cache_requests_total{cache="images",result="hit"} 2"#.to_owned(),
            r#"platform_gate_cache_requests_total{cache="images",result="miss"} 3"#.to_owned(),
            r#"platform_gate_egress_blocked_total{rule="address"} 1"#.to_owned(),
        ],
    );
    assert!(text.contains("platform_gate_cache_bytes "));
    assert!(!text.to_lowercase().contains("canary"), "{text}");
    assert!(!text.contains(&unnamed.host()), "{text}");
}

#[tokio::test]
async fn a_host_that_is_out_is_seen() {
    let server = FakeRegistry::start(|_| Answer::new(500)).await;
    let registry = registry_for(&[&server]);
    for i in 0..3 {
        let outcome = fetch_anonymously(&registry, &server, &format!("app:{i}")).await;
        assert_eq!(outcome, Err(LookupFailure::Unreachable));
    }
    let open = r#"platform_gate_registry_circuit_open{registry=""#;
    check(
        &text_of(&registry),
        &[format!("{open}{}\"}} 1", server.host())],
    );
}
