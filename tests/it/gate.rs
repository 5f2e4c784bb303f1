//! The gate with a registry on loopback: what an operator's rules make of pods whose nodes cannot run them otherwise.

mod pin;

use std::time::Duration;

use platform_gate::domain::autoscaler::KarpenterNodePool;
use platform_gate::domain::exemption::{Exemptions, Pattern};
use platform_gate::domain::pod::Pod;
use platform_gate::domain::policy::{Action, EnforcementAction};
use platform_gate::domain::rules::Rules;
use platform_gate::domain::runtime_class::{RuntimeClass, RuntimeClasses};
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Keychain, Registry, RegistrySettings};
use serde_json::json;
use tokio::time::Instant;

use crate::support::certificates::install_provider;
use crate::support::registry::FakeRegistry;
use crate::support::site::Site;

const LTSC2019: &str = r#"{"os":"windows","architecture":"amd64","os.version":"10.0.17763.5458"}"#;
const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;

/// One node, and a registry with `app:1`, a single manifest of that config.
struct World {
    registry: FakeRegistry,
    gate: Gate,
}

impl World {
    async fn new(config: &str, node: (&str, &str), rules: Rules) -> Self {
        install_provider();
        let site = Site::new().image("app", "1", config);
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let client = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
        let gate = Gate::new(rules, client, None);
        let (os, kernel) = node;
        let node = json!({
            "metadata": {"name": "node", "labels": {"pool": "edge"}},
            "status": {"nodeInfo": {"operatingSystem": os, "architecture": "amd64", "kernelVersion": kernel,
                "containerRuntimeVersion": "containerd://2.2.0"}},
        });
        gate.update(|inventory| inventory.apply(serde_json::from_value(node).unwrap()));
        Self { registry, gate }
    }

    /// What happens to a pod of the image, under a RuntimeClass; the empty one is none.
    async fn action(&self, runtime_class: &str) -> Action {
        let image = format!("{}/app:1", self.registry.host());
        let pod = json!({"spec": {"runtimeClassName": runtime_class, "containers": [{"name": "app", "image": image}]}});
        let text = pod.to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let judgement = self
            .gate
            .judge(&pod, (&Keychain::anonymous()).into(), deadline)
            .await;
        judgement.decision.action
    }
}

const SERVER_2022: (&str, &str) = ("windows", "10.0.20348.2402");
const LINUX: (&str, &str) = ("linux", "6.8.0");

#[tokio::test]
async fn a_runtime_class_stands_for_the_isolation_of_its_handler() {
    let mut rules = Rules::default();
    rules.handlers.wasm = vec!["spin".to_owned()];
    let world = World::new(LTSC2019, SERVER_2022, rules).await;
    let classes = [
        ("isolated", "runhcs-wcow-hypervisor"),
        ("shared", "runhcs-wcow-process"),
        ("wasm", "spin"),
    ];
    let class = |handler: &str| RuntimeClass {
        handler: handler.to_owned(),
        ..RuntimeClass::default()
    };
    let classes: RuntimeClasses = classes
        .map(|(name, handler)| (name.to_owned(), class(handler)))
        .into();
    world.gate.set_runtime_classes(classes);
    for (class, want) in [
        ("", Action::Deny),
        ("shared", Action::Deny),
        ("isolated", Action::Allow),
        ("wasm", Action::Warn),
        // Not among the classes: taken for a handler's own name.
        ("runhcs-wcow-hypervisor", Action::Allow),
    ] {
        assert_eq!(world.action(class).await, want, "{class:?}");
    }
}

#[tokio::test]
async fn what_the_operator_knows_better_counts() {
    let denied = World::new(ARM64, LINUX, Rules::default()).await;
    assert_eq!(denied.action("").await, Action::Deny);

    let exempt = Rules {
        exempt: Exemptions {
            images: vec![Pattern::new("*/app:*")],
            ..Exemptions::default()
        },
        ..Rules::default()
    };
    assert_eq!(
        World::new(ARM64, LINUX, exempt).await.action("").await,
        Action::Allow
    );

    let mut warned = Rules::default();
    warned.policy.findings = [("arch", Action::Warn)].into();
    assert_eq!(
        World::new(ARM64, LINUX, warned).await.action("").await,
        Action::Warn
    );

    let emulates = |label: &str| {
        let mut rules = Rules::default();
        rules.nodes.overrides = vec![platform_gate::domain::node::NodeOverride {
            match_labels: [("pool".to_owned(), label.to_owned())].into(),
            emulates: vec!["arm64".to_owned()],
            ..Default::default()
        }];
        rules
    };
    assert_eq!(
        World::new(ARM64, LINUX, emulates("edge"))
            .await
            .action("")
            .await,
        Action::Allow
    );
    assert_eq!(
        World::new(ARM64, LINUX, emulates("other"))
            .await
            .action("")
            .await,
        Action::Deny
    );
}

#[tokio::test]
async fn a_stale_list_of_nodes_denies_nothing() {
    for (age, want) in [
        (Some(Duration::from_secs(10)), Action::Deny),
        (Some(Duration::from_secs(3600)), Action::Warn),
        (None, Action::Warn),
    ] {
        let World { registry, gate } = World::new(ARM64, LINUX, Rules::default()).await;
        let world = World {
            registry,
            gate: gate.with_node_age(move || age),
        };
        assert_eq!(world.action("").await, want, "{age:?}");
    }
}

#[tokio::test]
async fn a_warm_up_asks_once_for_what_runs_and_reviews_then_ask_nobody() {
    let world = World::new(ARM64, LINUX, Rules::default()).await;
    let host = world.registry.host();
    let pod = |namespace: &str, image: &str| -> Pod<'static> {
        let spec = json!({"containers": [{"name": "c", "image": image}]});
        let pod = json!({"metadata": {"name": "p", "namespace": namespace}, "spec": spec});
        serde::Deserialize::deserialize(pod).unwrap()
    };
    let mut pods: Vec<_> = (0..20)
        .map(|_| pod("a", &format!("{host}/app:1")))
        .collect();
    pods.push(pod("b", &format!("{host}/app:1")));
    pods.push(pod("b", &format!("{host}/gone:1")));
    pods.push(pod("b", "No Image"));
    assert_eq!(world.gate.warm_up(&pods).await, (3, 2));
    let asked = world.registry.lines();
    assert_eq!(asked.len(), 3, "{asked:?}");
    world.registry.forget();
    assert_eq!(world.action("").await, Action::Deny);
    assert_eq!(world.registry.lines(), [""; 0]);
}

#[tokio::test]
async fn under_overload_the_operator_s_word_on_what_is_unknown_counts() {
    let body =
        br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",
        "operation":"CREATE","object":{"spec":5}}}"#;
    for (unknown, mode, want) in [
        (Action::Warn, EnforcementAction::Deny, Some(true)),
        (Action::Allow, EnforcementAction::Deny, Some(false)),
        (Action::Deny, EnforcementAction::Deny, None),
        (Action::Deny, EnforcementAction::Warn, Some(true)),
        (Action::Deny, EnforcementAction::Audit, Some(false)),
    ] {
        let mut rules = Rules::default();
        rules.policy.findings = [("overloaded", unknown)].into();
        rules.policy.enforcement_action = mode;
        let world = World::new(ARM64, LINUX, rules).await;
        let answer = world.gate.review_overloaded(body, &Metrics::default());
        let warned = answer.ok().map(|bytes| {
            let review: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(review["response"]["allowed"], true);
            assert_eq!(review["response"]["uid"], "u-1");
            review["response"]["warnings"].is_array()
        });
        assert_eq!(warned, want, "{unknown:?} {mode:?}");
    }
}

/// A pool that an autoscaler may grow is a place to run, surely or perhaps; a wrong one proves nothing against a pod that
/// only may land there.
#[tokio::test]
async fn a_pool_that_may_grow_denies_nothing_by_itself() {
    let pool = |os: &str, architecture: &str, taints: serde_json::Value| {
        let requirement = |key: &str, value: &str| {
            let values = if value.is_empty() {
                vec!["linux", "windows"]
            } else {
                vec![value]
            };
            json!({"key": key, "operator": if value.is_empty() { "NotIn" } else { "In" }, "values": values})
        };
        let requirements = [
            requirement("kubernetes.io/os", os),
            requirement("kubernetes.io/arch", architecture),
        ];
        let spec = json!({"requirements": requirements, "taints": taints});
        let pool = json!({"metadata": {"name": "pool"}, "spec": {"template": {"spec": spec}}});
        serde_json::from_value::<KarpenterNodePool>(pool).unwrap()
    };
    let taint = json!([{"key": "dedicated", "effect": "NoSchedule"}]);
    let world = World::new(ARM64, LINUX, Rules::default()).await;
    for (pool, want) in [
        (pool("linux", "amd64", json!([])), Action::Deny),
        (pool("linux", "arm64", json!([])), Action::Warn),
        (pool("linux", "arm64", taint), Action::Deny),
        (pool("", "", json!([])), Action::Warn),
    ] {
        world
            .gate
            .update(|inventory| inventory.set_open_pools(Some(pool.pools())));
        assert_eq!(world.action("").await, want, "{pool:?}");
        world
            .gate
            .update(|inventory| inventory.replace_all(inventory_nodes()));
        assert_eq!(
            world.action("").await,
            want,
            "pools outlive a list of nodes: {pool:?}"
        );
    }
}

/// Nobody can prove that a pod runs nowhere while pools that are asked for have not been read.
#[tokio::test]
async fn pools_that_are_not_known_deny_nothing() {
    let mut rules = Rules::default();
    rules.nodes.autoscalers.karpenter = true;
    let world = World::new(ARM64, LINUX, rules).await;
    for (pools, want) in [
        (None, Action::Warn),
        (Some(Vec::new()), Action::Deny),
        (None, Action::Warn),
    ] {
        let told = format!("{pools:?}");
        world
            .gate
            .update(|inventory| inventory.set_open_pools(pools));
        assert_eq!(world.action("").await, want, "{told}");
    }
    // Pools of an autoscaler that was not asked for before are not known either.
    world
        .gate
        .update(|inventory| inventory.set_open_pools(Some(Vec::new())));
    let mut rules = Rules::default();
    rules.nodes.autoscalers.cluster_api = true;
    world.gate.set_rules(rules);
    assert_eq!(world.action("").await, Action::Warn);
}

fn inventory_nodes() -> Vec<platform_gate::domain::node::Node> {
    let node = json!({
        "metadata": {"name": "node"},
        "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64", "kernelVersion": "6.8.0",
            "containerRuntimeVersion": "containerd://2.2.0"}},
    });
    vec![serde_json::from_value(node).unwrap()]
}
