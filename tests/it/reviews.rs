//! Reviews as the API server sends them, bytes to bytes, with a registry on loopback: which are judged at all, and what
//! namespaces and exemptions change.

use std::time::Duration;

use platform_gate::cluster::events::Events;
use platform_gate::cluster::namespaces::Namespaces;
use platform_gate::domain::exemption::{Exemptions, Pattern};
use platform_gate::domain::rules::Rules;
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::certificates::install_provider;
use crate::support::registry::FakeRegistry;
use crate::support::site::Site;

const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;
const AMD64: &str = r#"{"os":"linux","architecture":"amd64"}"#;

/// One node of amd64, called `node`, and a registry with `arm:1` and `amd:1`.
struct World {
    registry: FakeRegistry,
    gate: Gate,
    metrics: Metrics,
}

impl World {
    async fn new(rules: Rules) -> Self {
        install_provider();
        let site = Site::new()
            .image("arm", "1", ARM64)
            .image("amd", "1", AMD64);
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let client = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
        let gate = Gate::new(rules, client, Some("gate".to_owned()));
        let node = json!({
            "metadata": {"name": "node"},
            "spec": {"taints": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64",
                "containerRuntimeVersion": "containerd://2.2.0"}},
        });
        gate.update(|inventory| inventory.apply(serde_json::from_value(node).unwrap()));
        Self {
            registry,
            gate,
            metrics: Metrics::default(),
        }
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}:1", self.registry.host())
    }

    /// A pod of the image that may go to the node.
    fn pod(&self, image: &str) -> Value {
        json!({"metadata": {"name": "web"}, "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "app", "image": self.image(image)}],
        }})
    }

    async fn review(&self, request: Value) -> Value {
        let mut whole = json!({"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE", "namespace": "shop"});
        for (key, value) in request.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole});
        let deadline = Instant::now() + Duration::from_secs(20);
        let body = review.to_string();
        let answer = self.gate.review(body.as_bytes(), deadline, &self.metrics);
        let mut answer: Value = serde_json::from_slice(&answer.await.unwrap()).unwrap();
        answer["response"].take()
    }

    async fn verdict(&self, request: Value) -> &'static str {
        verdict(&self.review(request).await)
    }
}

fn verdict(response: &Value) -> &'static str {
    match (
        response["allowed"].as_bool().unwrap(),
        &response["warnings"],
    ) {
        (false, _) => "deny",
        (true, Value::Array(_)) => "warn",
        (true, _) => "allow",
    }
}

#[tokio::test]
async fn updates_are_judged_where_images_or_places_change_and_else_pass_without_a_look_up() {
    let world = World::new(Rules::default()).await;
    let old = world.pod("arm");
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let mut finished = old.clone();
    finished["metadata"]["finalizers"] = json!([]);
    finished["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    finished["status"] = json!({"phase": "Failed"});
    for new in [&old, &labelled, &finished] {
        let update = json!({"operation": "UPDATE", "object": new, "oldObject": old});
        assert_eq!(world.verdict(update).await, "allow", "{new}");
    }
    let deleted = json!({"operation": "DELETE", "object": null, "oldObject": old});
    assert_eq!(world.verdict(deleted).await, "allow");
    assert!(world.registry.lines().is_empty(), "nobody was asked");

    let other = json!({"operation": "UPDATE", "object": old, "oldObject": world.pod("amd")});
    assert_eq!(world.verdict(other).await, "deny");
    let mut elsewhere = old.clone();
    elsewhere["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
    let ungated = json!({"operation": "UPDATE", "object": old, "oldObject": elsewhere});
    assert_eq!(world.verdict(ungated).await, "deny");
    // What a pod says of itself at its creation exempts it from nothing.
    assert_eq!(world.verdict(json!({"object": finished})).await, "deny");
}

#[tokio::test]
async fn ephemeral_containers_are_judged_on_the_node_that_the_pod_is_bound_to() {
    let world = World::new(Rules::default()).await;
    let mut old = world.pod("amd");
    old["spec"]["nodeName"] = json!("node");
    for (image, want) in [("arm", "deny"), ("amd", "allow")] {
        let mut new = old.clone();
        new["spec"]["ephemeralContainers"] =
            json!([{"name": "debug", "image": world.image(image)}]);
        let update = json!({"operation": "UPDATE", "subResource": "ephemeralcontainers",
            "object": new, "oldObject": old});
        assert_eq!(world.verdict(update).await, want, "{image}");
    }
}

#[tokio::test]
async fn a_mirror_pod_passes_only_from_its_kubelet() {
    let world = World::new(Rules::default()).await;
    let (node, other) = (json!(["system:nodes"]), json!(["system:authenticated"]));
    for (annotated, groups, want) in [
        (true, &node, "allow"),
        (true, &other, "deny"),
        (false, &node, "deny"),
        (false, &other, "deny"),
    ] {
        let mut pod = world.pod("arm");
        if annotated {
            pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "abc"});
        }
        let request = json!({"object": pod, "userInfo": {"groups": groups}});
        assert_eq!(world.verdict(request).await, want, "{annotated} {groups}");
    }
}

#[tokio::test]
async fn a_pod_with_a_node_name_never_meets_the_scheduler() {
    let world = World::new(Rules::default()).await;
    for (name, image, want) in [
        ("node", "arm", "deny"),
        ("node", "amd", "allow"),
        ("unheard-of", "arm", "warn"),
    ] {
        let mut pod = world.pod(image);
        pod["spec"]["nodeName"] = json!(name);
        // NoSchedule is the scheduler's.
        pod["spec"]["tolerations"] = json!([]);
        assert_eq!(
            world.verdict(json!({"object": pod})).await,
            want,
            "{name} {image}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_gets_the_same_verdict_and_a_pod_that_never_pulls_no_look_up() {
    let world = World::new(Rules::default()).await;
    let mut never = world.pod("arm");
    never["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    assert_eq!(world.verdict(json!({"object": never})).await, "warn");
    assert!(world.registry.lines().is_empty(), "nobody was asked");
    let dry = json!({"object": world.pod("arm"), "dryRun": true});
    assert_eq!(world.verdict(dry).await, "deny");
}

/// A controller asks again and again; what it is told is worth one event, unless nothing was to come of it.
#[tokio::test]
async fn what_owns_pods_gets_one_event_of_what_repeats_where_events_are_asked_for() {
    let World {
        registry,
        gate,
        metrics,
    } = World::new(Rules::default()).await;
    let (events, mut handed_in) = Events::channel();
    let world = World {
        registry,
        gate: gate.with_events(events),
        metrics,
    };
    let owned = |image: &str, owner: &str, controller: bool| {
        let mut pod = world.pod(image);
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": owner, "uid": format!("uid-of-{owner}"), "controller": controller}]);
        json!({"object": pod})
    };
    let mut told = async |requests: Vec<Value>| {
        for request in requests {
            world.review(request).await;
        }
        let told = std::iter::from_fn(|| handed_in.try_recv().ok());
        told.map(|event| format!("{}/{} {}", event.kind, event.name, event.reason))
            .collect::<Vec<_>>()
    };
    let denied = || owned("arm", "web", true);
    assert!(told(vec![denied()]).await.is_empty(), "nobody asked for it");
    world.gate.report_events(true);
    let mut dry = denied();
    dry["dryRun"] = json!(true);
    assert!(
        told(vec![dry]).await.is_empty(),
        "nothing was to come of it"
    );
    let many = told(vec![denied(), denied(), denied()]).await;
    assert_eq!(many, ["ReplicaSet/web PodRejected"]);
    let others = vec![
        owned("arm", "shop", true),
        owned("missing", "web", true),
        owned("amd", "web", true),
        owned("arm", "no-controller", false),
        json!({"object": world.pod("arm")}),
    ];
    let others = told(others).await;
    assert_eq!(
        others,
        ["ReplicaSet/shop PodRejected", "ReplicaSet/web PodMayNotRun"]
    );
}

#[tokio::test]
async fn the_label_of_a_namespace_sets_its_enforcement_action() {
    let World {
        registry,
        gate,
        metrics,
    } = World::new(Rules::default()).await;
    let namespaces = Namespaces::default();
    let world = World {
        registry,
        gate: gate.with_namespaces(namespaces.clone()),
        metrics,
    };
    namespaces.apply("shop", Some("off"));
    assert_eq!(
        world.verdict(json!({"object": world.pod("arm")})).await,
        "allow"
    );
    assert!(world.registry.lines().is_empty(), "nobody was asked");
    for (value, want, annotation) in [
        (None, "deny", ""),
        (Some("deny"), "deny", ""),
        (Some("Off"), "deny", ""),
        (
            Some("warn"),
            "warn",
            "namespace-label: the namespace by its label platform-gate.io/enforcement-action=warn",
        ),
        (
            Some("audit"),
            "allow",
            "namespace-label: the namespace by its label platform-gate.io/enforcement-action=audit",
        ),
        (
            Some("off"),
            "allow",
            "namespace-label: the namespace by its label platform-gate.io/enforcement-action=off",
        ),
    ] {
        namespaces.apply("shop", value);
        let response = world.review(json!({"object": world.pod("arm")})).await;
        assert_eq!(verdict(&response), want, "{value:?}");
        let told = response["auditAnnotations"]["exempt"].as_str();
        assert_eq!(told.unwrap_or_default(), annotation, "{value:?}");
    }
    let text = world.metrics.to_text();
    let line = r#"platform_gate_exemptions_total{kind="namespace-label"} 4"#;
    assert!(text.contains(line), "{text}");
    // A label lowers, and does not make a warning of what is fine.
    namespaces.apply("shop", Some("warn"));
    assert_eq!(
        world.verdict(json!({"object": world.pod("amd")})).await,
        "allow"
    );
}

#[tokio::test]
async fn each_use_of_an_exemption_is_counted_and_audited() {
    let pattern = |text: &str| vec![Pattern::new(text)];
    let images = Exemptions {
        images: pattern("*/arm:*"),
        ..Exemptions::default()
    };
    let registries = Exemptions {
        registries: pattern("127.0.0.1:*"),
        ..Exemptions::default()
    };
    let namespaces = Exemptions {
        namespaces: pattern("sh*"),
        ..Exemptions::default()
    };
    for (exempt, kind, what) in [
        (
            images,
            "image",
            "image: spec.containers[0].image by \"*/arm:*\"",
        ),
        (
            registries,
            "registry",
            "registry: spec.containers[0].image by \"127.0.0.1:*\"",
        ),
        (
            namespaces,
            "namespace",
            "namespace: the namespace by \"sh*\"",
        ),
    ] {
        let rules = Rules {
            exempt,
            ..Rules::default()
        };
        let world = World::new(rules).await;
        let response = world.review(json!({"object": world.pod("arm")})).await;
        assert_eq!(verdict(&response), "allow", "{kind}");
        assert_eq!(response["auditAnnotations"]["exempt"], what);
        assert!(world.registry.lines().is_empty(), "nobody was asked");
        let line = format!(r#"platform_gate_exemptions_total{{kind="{kind}"}} 1"#);
        let text = world.metrics.to_text();
        assert!(text.contains(&line), "{text}");
    }
}
