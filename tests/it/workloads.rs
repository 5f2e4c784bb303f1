//! Deployments and the like through the webhook over TLS: warned at apply time, denied only if asked for, and left alone
//! where nothing that decides has changed or another object made them.

use std::sync::Arc;

use platform_gate::domain::policy::Action;
use platform_gate::domain::rules::Rules;
use platform_gate::gate::Gate;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use serde_json::{Value, json};

use crate::support::certificates::install_provider;
use crate::support::registry::FakeRegistry;
use crate::support::site::Site;
use crate::webhook::harness;

const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;
const AMD64: &str = r#"{"os":"linux","architecture":"amd64"}"#;

/// The webhook before one linux/amd64 node and a registry with `arm:1` and `amd:1`.
struct World {
    registry: FakeRegistry,
    webhook: harness::Gate,
}

impl World {
    async fn new(workloads: Action) -> Self {
        install_provider();
        let site = Site::new()
            .image("arm", "1", ARM64)
            .image("amd", "1", AMD64);
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let client = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
        let mut rules = Rules::default();
        rules.policy.workloads = workloads;
        let gate = Gate::new(rules, client, Some("gate-system".to_owned()));
        let node = json!({
            "metadata": {"name": "node"},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64",
                "kernelVersion": "6.8.0", "containerRuntimeVersion": "containerd://2.2.0"}},
        });
        gate.update(|inventory| inventory.apply(serde_json::from_value(node).unwrap()));
        let gate = Arc::new(gate);
        let shared = harness::shared();
        let metrics = Arc::clone(&shared.metrics);
        let review = move |body: axum::body::Bytes, deadline: platform_gate::webhook::Deadline| {
            let (gate, metrics) = (Arc::clone(&gate), Arc::clone(&metrics));
            async move { gate.review(&body, deadline.for_lookups(), &metrics).await }
        };
        let webhook = harness::start_shared(harness::options(), review, shared).await;
        Self { registry, webhook }
    }

    fn pod(&self, image: &str) -> Value {
        let image = format!("{}/{image}:1", self.registry.host());
        json!({"spec": {"containers": [{"name": "app", "image": image}]}})
    }

    async fn review(&self, request: Value) -> Value {
        let mut request = request;
        request["uid"] = json!("u-1");
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let mut client = self.webhook.connect().await;
        client
            .review(review.to_string().as_bytes())
            .await
            .response()
    }
}

/// A workload of a kind around a pod.
fn workload(kind: &str, pod: &Value) -> Value {
    let spec = json!({"template": pod});
    let spec = match kind {
        "CronJob" => json!({"schedule": "@daily", "jobTemplate": {"spec": spec}}),
        _ => spec,
    };
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

fn create(group: &str, kind: &str, object: &Value) -> Value {
    json!({"kind": {"group": group, "version": "v1", "kind": kind}, "operation": "CREATE", "namespace": "shop",
        "object": object, "oldObject": null})
}

fn update(kind: &str, old: &Value, new: &Value) -> Value {
    let mut request = create("apps", kind, new);
    request["operation"] = json!("UPDATE");
    request["oldObject"] = old.clone();
    request
}

const SILENCE: &str = r#"{"allowed":true,"uid":"u-1"}"#;

const KINDS: [(&str, &str, &str); 7] = [
    ("apps", "Deployment", "spec.template"),
    ("apps", "StatefulSet", "spec.template"),
    ("apps", "DaemonSet", "spec.template"),
    ("apps", "ReplicaSet", "spec.template"),
    ("", "ReplicationController", "spec.template"),
    ("batch", "Job", "spec.template"),
    ("batch", "CronJob", "spec.jobTemplate.spec.template"),
];

#[tokio::test]
async fn whoever_applies_what_makes_pods_is_warned() {
    let world = World::new(Action::Warn).await;
    for (group, kind, _) in KINDS {
        let wrong = workload(kind, &world.pod("arm"));
        let answer = world.review(create(group, kind, &wrong)).await;
        assert_eq!(answer["allowed"], true, "{kind}");
        let warnings = answer["warnings"].as_array().unwrap();
        let text = warnings[0].as_str().unwrap();
        assert!(text.starts_with("exec format error"), "{kind}: {text}");
        assert!(
            warnings
                .iter()
                .any(|text| text == "The object is stored, but its pods will be rejected."),
            "{kind}: {warnings:?}"
        );
        assert_eq!(answer["auditAnnotations"]["decision"], "warn", "{kind}");

        let fine = workload(kind, &world.pod("amd"));
        let answer = world.review(create(group, kind, &fine)).await;
        assert!(answer.get("warnings").is_none(), "{kind}: {answer}");
    }
    let metrics = world.webhook.health("/metrics").await;
    let line = r#"platform_gate_admission_requests_total{kind="workload",operation="create",decision="warn",reason="nowhere"} 7"#;
    assert!(
        metrics.text().lines().any(|found| found == line),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_workload_is_denied_where_the_operator_asks_for_it() {
    let world = World::new(Action::Deny).await;
    for (group, kind, path) in KINDS {
        let wrong = workload(kind, &world.pod("arm"));
        let answer = world.review(create(group, kind, &wrong)).await;
        assert_eq!(answer["allowed"], false, "{kind}");
        assert_eq!(answer["status"]["code"], 403, "{kind}");
        assert_eq!(
            answer["status"]["details"]["causes"][0]["field"],
            format!("{path}.spec.containers[0].image"),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn what_is_not_to_be_judged_passes_without_a_look_up() {
    let world = World::new(Action::Warn).await;
    let wrong = workload("Deployment", &world.pod("arm"));
    let mut owned = workload("ReplicaSet", &world.pod("arm"));
    owned["metadata"]["ownerReferences"] =
        json!([{"kind": "Deployment", "name": "web", "controller": true}]);
    let mut scaled = wrong.clone();
    scaled["spec"]["replicas"] = json!(7);
    scaled["spec"]["template"]["metadata"] = json!({"labels": {"a": "b"}});
    let mut own = create("apps", "Deployment", &wrong);
    own["namespace"] = json!("gate-system");
    let mut deleted = update("Deployment", &wrong, &wrong);
    deleted["operation"] = json!("DELETE");
    deleted["object"] = json!(null);
    for request in [
        create("apps", "ReplicaSet", &owned),
        update("Deployment", &wrong, &scaled),
        own,
        deleted,
        create("batch.volcano.sh", "Job", &wrong),
    ] {
        let answer = world.review(request.clone()).await;
        assert_eq!(answer.to_string(), SILENCE, "{request}");
    }
    let off = World::new(Action::Allow).await;
    let wrong = workload("Deployment", &off.pod("arm"));
    let answer = off.review(create("apps", "Deployment", &wrong)).await;
    assert_eq!(answer.to_string(), SILENCE);
    assert_eq!(world.registry.lines(), off.registry.lines());
    assert!(off.registry.lines().is_empty());
}

#[tokio::test]
async fn a_new_image_or_place_in_the_template_is_judged() {
    let world = World::new(Action::Warn).await;
    let right = workload("Deployment", &world.pod("amd"));
    let wrong = workload("Deployment", &world.pod("arm"));
    let answer = world.review(update("Deployment", &right, &wrong)).await;
    assert!(answer["warnings"][0].is_string(), "{answer}");
    let mut moved = wrong.clone();
    moved["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    let answer = world.review(update("Deployment", &wrong, &moved)).await;
    assert!(answer["warnings"][0].is_string(), "{answer}");
}

#[tokio::test]
async fn a_workload_that_cannot_be_read_is_no_review() {
    let world = World::new(Action::Deny).await;
    let broken = json!({"spec": {"template": {"spec": {"containers": [{"image": 5}]}}}});
    let mut request = create("apps", "Deployment", &broken);
    request["uid"] = json!("u-1");
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let mut client = world.webhook.connect().await;
    let reply = client.review(review.to_string().as_bytes()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("expected text"), "{}", reply.text());
}
