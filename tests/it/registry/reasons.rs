//! Each reason for which an image is not known, in the words that whoever creates the pod reads: ours, and none of the
//! registry's.

use platform_gate::domain::rules::Rules;
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use serde_json::json;

use super::*;
use crate::support::certificates::TestCa;
use crate::support::registry::Answer;

/// What the answer to a pod of an image says, warnings and audit annotations.
async fn reply(registry: Registry, image: &str, patience: Duration) -> String {
    let gate = Gate::new(Rules::default(), registry, None);
    let node = json!({
        "metadata": {"name": "node"},
        "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64", "kernelVersion": "6.8.0",
            "containerRuntimeVersion": "containerd://2.2.0"}},
    });
    gate.update(|inventory| inventory.apply(serde_json::from_value(node).unwrap()));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "tenant",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "object": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    });
    let metrics = Metrics::default();
    let until = Instant::now() + patience;
    let body = review.to_string();
    let answer = gate.review(body.as_bytes(), until, &metrics).await;
    String::from_utf8(answer.unwrap()).unwrap()
}

/// An answer with a canary in each place that a registry can write to.
fn canary(status: u16) -> Answer {
    Answer::new(status)
        .header("x-canary", "CANARY")
        .header("warning", "299 - CANARY")
        .header("www-authenticate", "Basic realm=CANARY")
        .body(r#"{"errors":[{"code":"CANARY","message":"CANARY","detail":"CANARY"}]}"#)
}

fn manifest(status: u16) -> Answer {
    canary(status).header("content-type", "application/vnd.oci.image.index.v1+json")
}

#[tokio::test]
async fn each_reason_is_told_in_our_words_alone() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let index = r#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"CANARY"}}"#;
    let answers = [
        (LookupFailure::NotFound, canary(404)),
        (LookupFailure::Unauthorized, canary(401)),
        (LookupFailure::Forbidden, canary(403)),
        (LookupFailure::RateLimited, canary(429)),
        (LookupFailure::Unreachable, canary(503)),
        (LookupFailure::Timeout, canary(200).stalled_body()),
        (LookupFailure::Malformed, manifest(200).body("<html>CANARY")),
        (LookupFailure::TooLarge, manifest(200).long_body(5 << 20)),
        (
            LookupFailure::DigestMismatch,
            manifest(200)
                .header("docker-content-digest", wrong)
                .body(index),
        ),
    ];
    for (reason, answer) in answers {
        let server = FakeRegistry::start(move |_| answer.clone()).await;
        let image = format!("{}/team/app:1", server.host());
        let patience = match reason {
            LookupFailure::Timeout => Duration::from_millis(300),
            _ => Duration::from_secs(30),
        };
        check(
            &reply(registry_for(&[&server]), &image, patience).await,
            reason,
        );
    }
    let ca = TestCa::new();
    let server = FakeRegistry::start_tls(&ca.server, |_| canary(200)).await;
    let registry = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
    let image = format!("{}/team/app:1", server.host());
    let patience = Duration::from_secs(30);
    check(
        &reply(registry.clone(), &image, patience).await,
        LookupFailure::Tls,
    );
    let image = "169.254.169.254/team/app:1";
    check(
        &reply(registry, image, patience).await,
        LookupFailure::Blocked,
    );
}

#[track_caller]
fn check(reply: &str, reason: LookupFailure) {
    let read: serde_json::Value = serde_json::from_str(reply).unwrap();
    assert_eq!(read["response"]["allowed"], true, "{reply}");
    let warning = read["response"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains(reason.explain()), "{reason}: {warning}");
    assert_eq!(read["response"]["auditAnnotations"]["code"], reason.code());
    assert!(!reply.contains("CANARY"), "{reply}");
}
