//! `check` says what the webhook says: verdict, message and warnings, of pods and of their nodes in every shape.

use std::time::Duration;

use platform_gate::config::{Settings, parse_nodes};
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use serde_json::{Value, json};

use super::{Desk, NODES};

/// Images and what places the pod.
const PODS: [(&[&str], &str); 8] = [
    (
        &["hello-world:nanoserver"],
        r#"{"node.kubernetes.io/windows-build":"10.0.14393"}"#,
    ),
    (
        &["hello-world:nanoserver-sac2016"],
        r#"{"node.kubernetes.io/windows-build":"10.0.14393"}"#,
    ),
    (
        &["hello-world:nanoserver"],
        r#"{"kubernetes.io/os":"windows"}"#,
    ),
    (&["centos:7"], "{}"),
    (&["centos:6.6"], r#"{"kubernetes.io/arch":"arm64"}"#),
    (&["centos:7", "hello-world:nanoserver"], "{}"),
    (&["REGISTRY/nothing/here:1"], "{}"),
    (&["centos:7"], r#"{"gpu":"true"}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_are_the_webhooks() {
    let desk = Desk::new().await;
    let gate = gate(&desk);
    let pods: Vec<Value> = PODS
        .iter()
        .map(|(images, selector)| pod(&desk.registry.host(), images, selector))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
    desk.write("pods.json", &list.to_string());
    let told = desk.check(&["-f", "pods.json", "-o", "json"]).await;
    let checked = told.json();
    for (at, pod) in pods.iter().enumerate() {
        let object = &checked["objects"][at];
        let answer = review(&gate, pod).await;
        let warnings = answer.get("warnings").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(object["warnings"], warnings, "{pod}");
        assert_eq!(
            object["verdict"], answer["auditAnnotations"]["decision"],
            "{pod}"
        );
        assert_eq!(
            object["verdict"] == "deny",
            answer["allowed"] == false,
            "{pod}"
        );
        if object["verdict"] == "deny" {
            assert_eq!(object["message"], answer["status"]["message"], "{pod}");
        }
    }
}

fn gate(desk: &Desk) -> Gate {
    let settings = Settings::load(&desk.path("settings.yaml")).unwrap();
    let mut registries = RegistrySettings::new(EgressPolicy::Cli);
    registries.hosts = settings.registries;
    let gate = Gate::new(settings.rules, Registry::new(registries).unwrap(), None);
    let text = std::fs::read_to_string(NODES).unwrap();
    let nodes = parse_nodes(NODES.as_ref(), &text).unwrap();
    gate.update(|inventory| inventory.replace_all(nodes));
    gate
}

fn pod(host: &str, images: &[&str], selector: &str) -> Value {
    let containers = images.iter().enumerate().map(
        |(at, image)| json!({"name": format!("c{at}"), "image": image.replace("REGISTRY", host)}),
    );
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
        "containers": containers.collect::<Vec<_>>(),
        "nodeSelector": serde_json::from_str::<Value>(selector).unwrap(),
    }})
}

async fn review(gate: &Gate, pod: &Value) -> Value {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "namespace": "shop", "object": pod,
    }});
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let answer = gate
        .review(review.to_string().as_bytes(), deadline, &Metrics::default())
        .await;
    let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    answer["response"].clone()
}
