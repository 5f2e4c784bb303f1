//! What the mutating review adds to pods, through `Gate::review_to_pin` as the API server would call it.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use platform_gate::domain::rules::Rules;
use platform_gate::domain::workload::WorkloadKind;
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Keychain, Registry, RegistrySettings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::certificates::install_provider;
use crate::support::registry::FakeRegistry;
use crate::support::site::{INDEX, Site};

/// A registry with `linux` (amd64, arm64), `arm` (linux/arm64), `both` (linux/amd64, Server 2019), and nodes of four
/// platforms.
struct World {
    registry: FakeRegistry,
    gate: Gate,
}

fn index(platforms: &[&str]) -> String {
    let entry = |(at, platform): (usize, &&str)| {
        let platform: Value = serde_json::from_str(platform).unwrap();
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 500, "platform": platform,
            "digest": format!("sha256:{at:064}")})
    };
    let manifests: Vec<Value> = platforms.iter().enumerate().map(entry).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string()
}

const AMD64: &str = r#"{"os":"linux","architecture":"amd64"}"#;
const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;
const SERVER_2019: &str =
    r#"{"os":"windows","architecture":"amd64","os.version":"10.0.17763.5458"}"#;

fn node(name: &str, os: &str, arch: &str, kernel: &str) -> Value {
    let mut labels = json!({"kubernetes.io/os": os, "kubernetes.io/arch": arch});
    if let Some((build, _)) = kernel.rsplit_once('.').filter(|_| os == "windows") {
        labels["node.kubernetes.io/windows-build"] = build.into();
    }
    json!({
        "metadata": {"name": name, "labels": labels},
        "status": {"nodeInfo": {"operatingSystem": os, "architecture": arch, "kernelVersion": kernel,
            "containerRuntimeVersion": "containerd://2.2.0"}},
    })
}

impl World {
    async fn new(rules: Rules) -> Self {
        install_provider();
        let site = Site::new()
            .manifest("linux", "1", INDEX, index(&[AMD64, ARM64]))
            .manifest("arm", "1", INDEX, index(&[ARM64]))
            .manifest("both", "1", INDEX, index(&[AMD64, SERVER_2019]));
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let client = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
        let gate = Gate::new(rules, client, None);
        for node in [
            node("a", "linux", "amd64", "6.8.0"),
            node("b", "linux", "arm64", "6.8.0"),
            node("c", "windows", "amd64", "10.0.17763.5458"),
            node("d", "windows", "amd64", "10.0.20348.2402"),
        ] {
            gate.update(|inventory| inventory.apply(serde_json::from_value(node).unwrap()));
        }
        Self { registry, gate }
    }

    /// The pod with containers of these images and this spec besides.
    fn pod(&self, images: &[&str], spec: &Value) -> Value {
        let container = |image: &&str| json!({"name": image, "image": format!("{}/{image}:1", self.registry.host())});
        let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
        pod["spec"]["containers"] = images.iter().map(container).collect();
        pod
    }

    /// The pod as the API server goes on with it.
    async fn admit(&self, pod: &Value) -> Value {
        let request = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "default",
            "operation": "CREATE", "object": pod}});
        let body = request.to_string();
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = self
            .gate
            .review_to_pin(body.as_bytes(), deadline, &Metrics::default())
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let response = &answer["response"];
        assert_eq!(response["allowed"], true);
        let mut admitted = pod.clone();
        if let Some(patch) = response["patch"].as_str() {
            assert_eq!(response["patchType"], "JSONPatch");
            let patch = BASE64_STANDARD.decode(patch).unwrap();
            let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
            json_patch::patch(&mut admitted, &patch).unwrap();
            assert_ne!(&admitted, pod, "a patch changes something");
        }
        assert_eq!(self.fix(pod).await, admitted, "`check --fix` says the same");
        admitted
    }

    /// The pod as `check --fix` would have it.
    async fn fix(&self, pod: &Value) -> Value {
        let workload = WorkloadKind::Pod.read(pod).unwrap();
        let keychain = Keychain::default();
        let deadline = Instant::now() + Duration::from_secs(10);
        let spec = &workload.pod.spec;
        let judging = self
            .gate
            .judge_template(spec, workload.kind, (&keychain).into(), deadline);
        let assessment = judging.await.assessment;
        let mut fixed = pod.clone();
        if let Some(pinned) = self.gate.fix(pod, &workload, &assessment) {
            let patch: json_patch::Patch = serde_json::from_str(&pinned.patch().unwrap()).unwrap();
            json_patch::patch(&mut fixed, &patch).unwrap();
        }
        fixed
    }
}

#[tokio::test]
async fn a_pod_that_may_land_wrong_gets_what_it_lacks_once() {
    let world = World::new(Rules::default()).await;
    let os = "kubernetes.io/os";
    for (images, want) in [
        (&["linux"][..], json!({os: "linux"})),
        (&["arm"], json!({"kubernetes.io/arch": "arm64"})),
        (&["linux", "arm"], json!({"kubernetes.io/arch": "arm64"})),
        (
            &["linux", "both"],
            json!({os: "linux", "kubernetes.io/arch": "amd64"}),
        ),
    ] {
        let pod = world.pod(images, &json!({}));
        let admitted = world.admit(&pod).await;
        assert_eq!(admitted["spec"]["nodeSelector"], want, "{images:?}");
        let note = &admitted["metadata"]["annotations"]["platform-gate.io/pinned"];
        assert!(
            note.as_str()
                .unwrap()
                .contains("cannot run on windows/amd64 10.0."),
            "{note}"
        );
        assert_eq!(world.admit(&admitted).await, admitted, "once is enough");
    }
}

#[tokio::test]
async fn a_pod_with_two_platforms_gets_an_alternative_for_each_in_every_term() {
    let world = World::new(Rules::default()).await;
    let terms = json!([
        {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]},
    ]);
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let pod = world.pod(&["both"], &json!({"affinity": affinity}));
    let admitted = world.admit(&pod).await;
    let terms = admitted["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"].as_array().unwrap().clone();
    let values = |term: &Value, key: &str| -> Value {
        let expressions = term["matchExpressions"].as_array().unwrap();
        let found = expressions
            .iter()
            .find(|e| e["key"] == key && e["operator"] == "In");
        found.map_or(Value::Null, |expression| expression["values"].clone())
    };
    let said: Vec<_> = terms
        .iter()
        .map(|term| {
            (
                values(term, "kubernetes.io/os"),
                values(term, "kubernetes.io/arch"),
                values(term, "node.kubernetes.io/windows-build"),
            )
        })
        .collect();
    let linux = (json!(["linux"]), json!(["amd64"]), Value::Null);
    let windows = (json!(["windows"]), Value::Null, json!(["10.0.17763"]));
    assert_eq!(said, [linux.clone(), windows.clone(), linux, windows]);
    assert_eq!(world.admit(&admitted).await, admitted);
}

#[tokio::test]
async fn what_is_right_bound_unknown_or_of_a_daemon_set_is_left_alone() {
    let world = World::new(Rules::default()).await;
    let linux = json!({"nodeSelector": {"kubernetes.io/os": "linux"}});
    let mut of_daemon_set = world.pod(&["linux"], &json!({}));
    of_daemon_set["metadata"]["ownerReferences"] =
        json!([{"kind": "DaemonSet", "name": "d", "controller": true}]);
    for pod in [
        world.pod(&["linux"], &linux),
        world.pod(&["linux"], &json!({"nodeName": "c"})),
        world.pod(&["linux", "missing"], &json!({})),
        world.pod(
            &["arm"],
            &json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
        ),
        of_daemon_set,
    ] {
        assert_eq!(world.admit(&pod).await, pod);
    }
}

#[tokio::test]
async fn a_preferred_architecture_is_a_preference_for_pods_that_have_the_choice() {
    let mut rules = Rules::default();
    rules.pin.prefer_architecture = Some("arm64".to_owned());
    let world = World::new(rules).await;
    let preferred = |pod: &Value| {
        pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
            .clone()
    };
    let free = world.admit(&world.pod(&["linux"], &json!({}))).await;
    let expression = json!({"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]});
    assert_eq!(
        preferred(&free),
        json!([{"weight": 50, "preference": {"matchExpressions": [expression]}}])
    );
    assert_eq!(
        free["spec"]["nodeSelector"],
        json!({"kubernetes.io/os": "linux"})
    );
    assert_eq!(world.admit(&free).await, free);

    let no_choice = world.admit(&world.pod(&["arm"], &json!({}))).await;
    assert_eq!(preferred(&no_choice), Value::Null);
}

#[tokio::test]
async fn nodes_without_the_labels_of_kubelets_leave_a_pod_unpinned() {
    let world = World::new(Rules::default()).await;
    let mut unlabelled = node("e", "linux", "amd64", "6.8.0");
    unlabelled["metadata"]["labels"] = json!({});
    world
        .gate
        .update(|inventory| inventory.apply(serde_json::from_value(unlabelled).unwrap()));
    let pod = world.pod(&["linux"], &json!({}));
    assert_eq!(
        world.admit(&pod).await,
        pod,
        "pinning would take a node from it"
    );
}
