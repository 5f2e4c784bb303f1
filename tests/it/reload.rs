//! The settings file changed under a running `serve`: what it says takes effect, what is wrong with it is refused, and no
//! review fails meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::certificates::TestCa;
use crate::support::program::Server;
use crate::support::registry::FakeRegistry;
use crate::support::site::Site;

const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;
/// For a change to be noticed on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A folder as the kubelet mounts a ConfigMap: `config.yaml` leads through `..data`, which is swapped.
struct Volume {
    folder: tempfile::TempDir,
    versions: u32,
}

impl Volume {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut volume = Self {
            folder,
            versions: 0,
        };
        volume.swap(text);
        std::os::unix::fs::symlink("..data/config.yaml", volume.file()).unwrap();
        volume
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn swap(&mut self, text: &str) {
        self.versions += 1;
        let version = format!("..version-{}", self.versions);
        std::fs::create_dir(self.path(&version)).unwrap();
        std::fs::write(self.path(&version).join("config.yaml"), text).unwrap();
        std::os::unix::fs::symlink(&version, self.path("..data_tmp")).unwrap();
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }
}

/// What a review and the metrics say.
#[derive(Clone)]
struct Asking {
    client: reqwest::Client,
    webhook: String,
    metrics: String,
    review: String,
}

impl Asking {
    fn new(server: &Server, image: &str) -> Self {
        let object = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
            "namespace": "default", "object": object}});
        Self {
            client: reqwest::Client::builder()
                .tls_danger_accept_invalid_certs(true)
                .no_proxy()
                .build()
                .unwrap(),
            webhook: format!("https://{}/validate?timeout=5s", server.webhook),
            metrics: format!("http://{}/metrics", server.metrics),
            review: review.to_string(),
        }
    }

    /// `deny`, `warn` or `allow`.
    async fn verdict(&self) -> &'static str {
        let request = self.client.post(&self.webhook).body(self.review.clone());
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let response = &answer["response"];
        assert_eq!(response["uid"], "u-1");
        match (
            response["allowed"].as_bool().unwrap(),
            &response["warnings"],
        ) {
            (false, _) => "deny",
            (true, Value::Array(_)) => "warn",
            (true, _) => "allow",
        }
    }

    async fn comes_to(&self, verdict: &str) {
        let until = Instant::now() + LIMIT;
        while self.verdict().await != verdict {
            assert!(Instant::now() < until, "no {verdict} came");
            tokio::task::yield_now().await;
        }
    }

    async fn metrics_come_to(&self, line: &str) {
        let until = Instant::now() + LIMIT;
        loop {
            let answer = self.client.get(&self.metrics).send().await.unwrap();
            let text = answer.text().await.unwrap();
            if text.lines().any(|told| told == line) {
                return;
            }
            assert!(Instant::now() < until, "{line} is not in\n{text}");
        }
    }
}

fn nodes(folder: &Path) -> String {
    let path = folder.join("nodes.json");
    let node = json!({"kind": "Node", "metadata": {"name": "edge", "labels": {"pool": "edge"}}, "status": {"nodeInfo": {
        "operatingSystem": "linux", "architecture": "amd64", "containerRuntimeVersion": "containerd://2.2.0"}}});
    std::fs::write(&path, node.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_take_effect_while_reviews_go_on() {
    let site = Site::new().image("app", "1", ARM64);
    let registry = FakeRegistry::start(move |request| site.answer(request)).await;
    let mut volume = Volume::new("enforcementAction: warn");
    let nodes = nodes(volume.folder.path());
    let file = volume.file();
    let mut server = Server::start(&["--nodes", &nodes, "--config", file.to_str().unwrap()]);
    let asking = Asking::new(&server, &format!("{}/app:1", registry.host()));
    assert_eq!(asking.verdict().await, "warn");

    let going_on = Arc::new(AtomicBool::new(true));
    let stream = tokio::spawn({
        let (going_on, asking) = (Arc::clone(&going_on), asking.clone());
        async move {
            let mut reviews = 0;
            while going_on.load(Ordering::Relaxed) {
                asking.verdict().await;
                reviews += 1;
            }
            reviews
        }
    });

    volume.swap("enforcementAction: deny");
    asking.comes_to("deny").await;

    volume.swap("enforcementAction: allow\nfindigns: {}\n");
    asking
        .metrics_come_to("platform_gate_config_reload_success 0")
        .await;
    assert_eq!(asking.verdict().await, "deny", "what was in force still is");

    let emulates = "nodeOverrides: [{matchLabels: {pool: edge}, emulates: [arm64]}]";
    volume.swap(emulates);
    asking.comes_to("allow").await;
    asking
        .metrics_come_to("platform_gate_config_reload_success 1")
        .await;

    volume.swap("certificate: {mode: self-managed, secretName: a, serviceName: b, webhookConfigurationName: c}");
    asking
        .metrics_come_to("platform_gate_config_reload_success 0")
        .await;
    assert_eq!(asking.verdict().await, "allow");

    volume.swap("exemptImages: []\nfindings: {arch: warn}");
    asking.comes_to("warn").await;

    going_on.store(false, Ordering::Relaxed);
    let reviews = stream.await.unwrap();
    assert!(reviews > 10, "{reviews} reviews went on");
    drop(asking);
    server.stop();
}

/// What a caller gets that shows a certificate of `ca`, or none: 400 is for whom we listen to, since it asks nonsense.
async fn answer_to(server: &Server, ca: Option<&TestCa>) -> Option<u16> {
    let mut client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy();
    if let Some(ca) = ca {
        client = client.identity(reqwest::Identity::from_pem(ca.identity.as_bytes()).unwrap());
    }
    let request = client
        .build()
        .unwrap()
        .post(format!("https://{}/validate", server.webhook))
        // The client may wait for ever for a connection that was refused in the midst of its handshake.
        .timeout(Duration::from_secs(5))
        .body("nonsense");
    let answer = request.send().await.ok()?;
    Some(answer.status().as_u16())
}

async fn comes_to(server: &Server, ca: Option<&TestCa>, answer: Option<u16>) {
    let until = Instant::now() + LIMIT;
    while answer_to(server, ca).await != answer {
        assert!(Instant::now() < until, "no {answer:?} came");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_held_to_the_ca_and_names_of_today() {
    let (old, new) = (TestCa::new(), TestCa::new());
    let mut volume = Volume::new("");
    let ca = volume.path("ca.crt");
    let callers = |name: &str| {
        let file = ca.display();
        format!("callers: {{caFile: {file}, names: [{name}]}}")
    };
    std::fs::write(&ca, &old.pem).unwrap();
    volume.swap(&callers("localhost"));
    let nodes = nodes(volume.folder.path());
    let file = volume.file();
    let mut server = Server::start(&["--nodes", &nodes, "--config", file.to_str().unwrap()]);
    assert_eq!(answer_to(&server, Some(&old)).await, Some(400));
    assert_eq!(answer_to(&server, Some(&new)).await, None);
    assert_eq!(answer_to(&server, None).await, Some(401));

    std::fs::write(&ca, &new.pem).unwrap();
    comes_to(&server, Some(&new), Some(400)).await;
    assert_eq!(answer_to(&server, Some(&old)).await, None);

    let asking = Asking::new(&server, "none");
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----").unwrap();
    let refused = "platform_gate_config_reload_success 0";
    asking.metrics_come_to(refused).await;
    assert_eq!(answer_to(&server, Some(&new)).await, Some(400));

    std::fs::write(&ca, &new.pem).unwrap();
    volume.swap(&callers("elsewhere.test"));
    comes_to(&server, Some(&new), Some(401)).await;

    volume.swap("");
    comes_to(&server, None, Some(400)).await;
    drop(asking);
    server.stop();
}
