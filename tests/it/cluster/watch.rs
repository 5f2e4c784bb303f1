//! Keeping watch: what the API server is asked for and told, while nodes come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use platform_gate::domain::rules::Rules;
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use platform_gate::watch::{Settings, Watch};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::fake::{Asked, Fake, LEASE};
use crate::support::registry::FakeRegistry;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;
const WINDOWS: &str = r#"{"os":"windows","architecture":"amd64","os.version":"10.0.17763.5458"}"#;
const OURS: &str = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/shop/policyreports/platform-gate";

/// A cluster of one Linux node, with workloads in the namespace `shop`.
struct World {
    fake: Fake,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    /// Seconds since the nodes were last heard of.
    age: Arc<AtomicU64>,
    registry: FakeRegistry,
}

impl World {
    async fn new() -> Self {
        let site = Site::new()
            .image("linux", "1", LINUX)
            .image("windows", "1", WINDOWS);
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let fake = Fake::start().await;
        let age = Arc::new(AtomicU64::new(0));
        let seconds = Arc::clone(&age);
        let client = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
        let gate = Gate::new(Rules::default(), client, Some("gate".to_owned()))
            .with_node_age(move || Some(Duration::from_secs(seconds.load(Ordering::Relaxed))));
        let world = Self {
            fake,
            gate: Arc::new(gate),
            metrics: Arc::default(),
            age,
            registry,
        };
        world.join("a", "linux", "6.8.0");
        world
    }

    fn join(&self, name: &str, os: &str, kernel: &str) {
        let node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/os": os, "kubernetes.io/arch": "amd64"}},
            "status": {"nodeInfo": {"operatingSystem": os, "architecture": "amd64", "kernelVersion": kernel,
                "containerRuntimeVersion": "containerd://2.2.0"}},
        });
        let node = serde_json::from_value(node).unwrap();
        self.gate.update(|inventory| inventory.apply(node));
    }

    fn deploy(&self, namespace: &str, name: &str, image: &str, selector: &Value) {
        let image = format!("{}/{image}:1", self.registry.host());
        let spec =
            json!({"containers": [{"name": "main", "image": image}], "nodeSelector": selector});
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{name}")},
            "spec": {"template": {"spec": spec}},
        });
        let path = format!("/apis/apps/v1/deployments/{name}");
        self.fake.put(&path, object);
    }

    fn start(&self) -> JoinHandle<()> {
        let watch = Watch {
            client: self.fake.client.clone(),
            gate: Arc::clone(&self.gate),
            metrics: Arc::clone(&self.metrics),
            settings: Settings {
                namespace: "shop".to_owned(),
                lease: "gate-tls".to_owned(),
                identity: "me".to_owned(),
            },
        };
        tokio::spawn(watch.run())
    }

    /// The report as it is told of, once it counts so many.
    async fn report(&self, path: &str, pass: u64, warn: u64, skip: u64) -> Value {
        let want = json!({"pass": pass, "fail": 0, "warn": warn, "error": 0, "skip": skip});
        let what = format!("{path} with {want}");
        let there = || self.fake.has(path) && self.fake.object(path)["summary"] == want;
        until(&what, there).await;
        self.fake.object(path)
    }

    fn events(&self) -> Vec<Value> {
        let is_event = |asked: &Asked| asked.path.starts_with("/apis/events.k8s.io/v1/");
        let writes = self.fake.writes().into_iter().filter(is_event);
        writes.map(|asked| asked.body).collect()
    }

    fn counts(&self, code: &str, number: u64) -> bool {
        let line = format!("platform_gate_watched_workloads{{code=\"{code}\"}} {number}");
        self.metrics.to_text().lines().any(|got| got == line)
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let holds = async {
        while !holds() {
            #[allow(clippy::disallowed_methods, reason = "the pause of a poll")]
            sleep(Duration::from_millis(20)).await;
        }
    };
    let held = timeout(Duration::from_secs(60), holds).await;
    held.unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

#[tokio::test]
async fn who_may_land_wrong_since_a_node_joined_is_told_by_report_event_and_metric() {
    let world = World::new().await;
    world.fake.install("/apis/wgpolicyk8s.io/");
    world.deploy("shop", "web", "linux", &json!({}));
    world.deploy(
        "shop",
        "api",
        "linux",
        &json!({"kubernetes.io/os": "linux"}),
    );
    world.deploy("shop", "lost", "missing", &json!({}));
    world.deploy("gate", "own", "windows", &json!({}));
    // A report of an earlier life, of a namespace in which nothing is left.
    let old = json!({"metadata": {"name": "platform-gate", "namespace": "empty"}});
    let all = "/apis/wgpolicyk8s.io/v1alpha2/policyreports/old";
    world.fake.put(all, old);
    let watching = world.start();

    let report = world.report(OURS, 2, 0, 1).await;
    assert_eq!(
        report["results"][0]["result"], "skip",
        "unknown is no failure"
    );
    assert_eq!(report["results"][0]["rule"], "not-found");
    assert!(world.counts("runs", 2) && world.counts("not-found", 1));
    assert_eq!(world.events(), Vec::<Value>::new(), "the start is no news");

    world.join("w", "windows", "10.0.17763.5458");
    let report = world.report(OURS, 1, 1, 1).await;
    let result = &report["results"][1];
    assert_eq!(result["rule"], "may-land-wrong", "{report}");
    let web = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "uid-web"}]);
    assert_eq!(result["resources"], web);
    until("an event", || world.events().len() == 1).await;
    let event = &world.events()[0];
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&json!("Warning"), &json!("MayLandWrong"))
    );
    assert_eq!(event["regarding"]["name"], "web");
    assert_eq!(event["reportingInstance"], "me");
    assert!(world.counts("may-land-wrong", 1) && world.counts("runs", 1));

    // The template is mended.
    world.deploy(
        "shop",
        "web",
        "linux",
        &json!({"kubernetes.io/os": "linux"}),
    );
    world.report(OURS, 2, 0, 1).await;
    until("another event", || world.events().len() == 2).await;
    assert_eq!(world.events()[1]["reason"], "LandsRight");

    // Nothing is left of a namespace whose workloads have gone.
    for name in ["web", "api", "lost"] {
        world
            .fake
            .delete(&format!("/apis/apps/v1/deployments/{name}"));
    }
    until("no report", || !world.fake.has(OURS)).await;
    let removes = |asked: &Asked| asked.method == "DELETE" && asked.path.contains("/empty/");
    assert!(world.fake.asked().iter().any(removes));
    for asked in world.fake.writes() {
        let ours = asked.path.contains("/policyreports") || asked.path.contains("/events.k8s.io/");
        assert!(ours, "{asked:?}");
    }
    watching.abort();
}

#[tokio::test]
async fn reports_take_the_form_that_is_installed() {
    let world = World::new().await;
    world.fake.install("/apis/openreports.io/");
    world.deploy("shop", "web", "linux", &json!({}));
    let watching = world.start();
    let path = "/apis/openreports.io/v1alpha1/namespaces/shop/reports/platform-gate";
    let report = world.report(path, 1, 0, 0).await;
    let form = (&report["apiVersion"], &report["kind"]);
    assert_eq!(form, (&json!("openreports.io/v1alpha1"), &json!("Report")));
    watching.abort();
}

#[tokio::test]
async fn without_crds_there_are_metrics() {
    let world = World::new().await;
    world.deploy("shop", "web", "windows", &json!({}));
    let watching = world.start();
    until("the metric", || world.counts("nowhere", 1)).await;
    assert_eq!(world.fake.writes().len(), 0);
    watching.abort();
}

#[tokio::test]
async fn nodes_not_heard_of_make_no_news() {
    let world = World::new().await;
    world.fake.install("/apis/wgpolicyk8s.io/");
    world.deploy("shop", "web", "linux", &json!({}));
    let watching = world.start();
    world.report(OURS, 1, 0, 0).await;
    let before = world.metrics.to_text();
    world.age.store(1000, Ordering::Relaxed);
    world.join("w", "windows", "10.0.17763.5458");
    world.deploy("shop", "new", "linux", &json!({}));
    #[allow(clippy::disallowed_methods, reason = "that nothing is told takes time")]
    sleep(Duration::from_secs(8)).await;
    let of_watch = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("_watch"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(of_watch(&world.metrics.to_text()), of_watch(&before));
    assert_eq!(world.fake.object(OURS)["summary"]["warn"], 0);
    world.age.store(0, Ordering::Relaxed);
    world.report(OURS, 0, 2, 0).await;
    watching.abort();
}

#[tokio::test]
async fn who_does_not_hold_the_lease_says_nothing() {
    let world = World::new().await;
    world.fake.install("/apis/wgpolicyk8s.io/");
    world.deploy("shop", "web", "linux", &json!({}));
    let held = |holder: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "gate-tls"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3600}})
    };
    world.fake.put(LEASE, held("another"));
    let watching = world.start();
    let tried = || {
        world
            .fake
            .asked()
            .iter()
            .filter(|asked| asked.path == LEASE)
            .count()
            > 1
    };
    until("the Lease has been looked at", tried).await;
    let watched = |asked: &Asked| asked.path.contains("deployments");
    assert!(
        !world.fake.asked().iter().any(watched),
        "nothing is watched"
    );
    world.fake.put(LEASE, held(""));
    world.report(OURS, 1, 0, 0).await;
    world.fake.put(LEASE, held("another"));
    until("the metric is gone", || !world.counts("runs", 1)).await;
    watching.abort();
}
