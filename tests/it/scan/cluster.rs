//! `scan` on the wire of an API server: pages, owners, rights that are missing, and a large cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::{Desk, Told};
use crate::support::registry::{Answer, FakeRegistry, Received};
use crate::support::site::{INDEX, MANIFEST, Site, descriptor, index_of};

/// What a cluster has.
#[derive(Default)]
struct World {
    nodes: Vec<Value>,
    pods: Vec<Value>,
    replica_sets: Vec<Value>,
    jobs: Vec<Value>,
    /// Secrets of the namespace `shop`.
    secrets: Vec<Value>,
    /// Paths that answer 403.
    forbidden: &'static [&'static str],
}

fn node(name: &str, architecture: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": architecture}},
        "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": architecture,
            "kernelVersion": "6.1", "containerRuntimeVersion": "containerd://2.1.0"}},
    })
}

fn owned(name: &str, kind: &str, owner: &str) -> Value {
    json!({"name": name, "namespace": "shop", "uid": name,
        "ownerReferences": [{"apiVersion": "apps/v1", "uid": owner, "kind": kind, "name": owner, "controller": true}]})
}

impl World {
    async fn start(self) -> FakeRegistry {
        FakeRegistry::start(move |request| self.answer(request)).await
    }

    fn answer(&self, request: &Received) -> Answer {
        if self.forbidden.contains(&request.path.as_str()) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                "message": "jobs is forbidden"});
            return Answer::json(status.to_string()).with_status(403);
        }
        let secret = request
            .path
            .strip_prefix("/api/v1/namespaces/shop/secrets/");
        if let Some(name) = secret {
            let mut secrets = self.secrets.iter();
            let secret = secrets.find(|secret| secret["metadata"]["name"] == name);
            return secret.map_or(Answer::new(404), |secret| Answer::json(secret.to_string()));
        }
        match request.path.as_str() {
            "/api/v1/nodes" => page(&self.nodes, &request.query),
            "/api/v1/pods" => page(&self.pods, &request.query),
            "/apis/apps/v1/replicasets" => page(&self.replica_sets, &request.query),
            "/apis/batch/v1/jobs" => page(&self.jobs, &request.query),
            "/apis/node.k8s.io/v1/runtimeclasses" => page(&[], &request.query),
            _ => Answer::new(404),
        }
    }
}

/// A page of a list, as the query's `limit` and `continue` ask.
fn page(items: &[Value], query: &str) -> Answer {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
    let limit: usize = parameter("limit=").unwrap().parse().unwrap();
    let from: usize = parameter("continue=").map_or(0, |from| from.parse().unwrap());
    let next = (from + limit < items.len()).then(|| (from + limit).to_string());
    let items: Vec<&Value> = items.iter().skip(from).take(limit).collect();
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"continue": next, "resourceVersion": "1"}, "items": items});
    Answer::json(list.to_string())
}

async fn scan(desk: &Desk, api: &FakeRegistry, arguments: &[&str]) -> Told {
    let url = api.url();
    desk.write(
        "kubeconfig",
        &format!(
            "{{apiVersion: v1, kind: Config, current-context: a, users: [{{name: a, user: {{}}}}],\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}],\n\
             clusters: [{{name: a, cluster: {{server: {url:?}}}}}]}}"
        ),
    );
    let always = ["scan", "--config", "settings.yaml", "-o", "json"];
    desk.run_with(
        &[&always, arguments].concat(),
        "",
        &[("KUBECONFIG", desk.path("kubeconfig"))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_cost_names_and_no_more() {
    let pod = |name: &str, kind: &str, owner: &str| json!({"metadata": owned(name, kind, owner), "spec": {"containers": [{"name": "a", "image": "centos:7"}]}});
    let world = |forbidden| World {
        nodes: vec![node("a", "amd64")],
        pods: vec![
            pod("web-1-a", "ReplicaSet", "web-1"),
            pod("tidy-1-a", "Job", "tidy-1"),
        ],
        replica_sets: vec![json!({"metadata": owned("web-1", "Deployment", "web")})],
        jobs: vec![json!({"metadata": owned("tidy-1", "CronJob", "tidy")})],
        secrets: Vec::new(),
        forbidden,
    };
    let desk = Desk::new().await;
    let names = |told: &Told| {
        let rows = told.json()["workloads"].clone();
        let name = |row: &Value| format!("{} {}", row["kind"], row["name"]).replace('"', "");
        rows.as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let told = scan(&desk, &world(&[]).start().await, &[]).await;
    assert_eq!((told.code, &*told.err), (0, ""));
    assert_eq!(names(&told), "CronJob tidy, Deployment web");
    let told = scan(&desk, &world(&["/apis/batch/v1/jobs"]).start().await, &[]).await;
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(
        told.err.contains("ReplicaSets and Jobs cannot be listed"),
        "{}",
        told.err
    );
    assert_eq!(names(&told), "Job tidy-1, ReplicaSet web-1");
    let told = scan(&desk, &world(&["/api/v1/pods"]).start().await, &[]).await;
    assert_eq!((told.code, &*told.out), (3, ""));
    assert!(
        told.err.contains("the cluster gives no pods"),
        "{}",
        told.err
    );
}

/// Whose pods have the credentials sees the image; whoever has not is told that it is private.
#[tokio::test(flavor = "multi_thread")]
async fn private_images_are_read_with_the_pods_pull_secrets_where_that_is_asked_for() {
    let site = Site::new().image("app", "1", r#"{"architecture":"amd64","os":"linux"}"#);
    let registry = FakeRegistry::start(move |request| match &request.authorization {
        Some(with) if *with == format!("Basic {}", base64("user:secret")) => site.answer(request),
        _ => Answer::challenge(&["Basic realm=\"private\""]),
    })
    .await;
    let host = registry.host();
    let logins = json!({"auths": {&host: {"username": "user", "password": "secret"}}}).to_string();
    let pod = |name: &str, secret: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"nodeName": "a", "imagePullSecrets": [{"name": secret}],
                "containers": [{"name": "a", "image": format!("{host}/app:1")}]},
        })
    };
    let world = || World {
        nodes: vec![node("a", "amd64")],
        pods: vec![pod("has", "right"), pod("lacks", "missing")],
        secrets: vec![
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "right", "namespace": "shop"},
            "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": base64(&logins)}}),
        ],
        ..World::default()
    };
    let desk = Desk::with(Site::new()).await;
    desk.write("settings.yaml", "{}");
    for (flags, want) in [
        (&[][..], "has unauthorized, lacks unauthorized"),
        (&["--pull-secrets"], "has runs, lacks unauthorized"),
    ] {
        let told = scan(&desk, &world().start().await, flags).await;
        let rows = told.json()["workloads"].clone();
        let row = |row: &Value| format!("{} {}", row["name"], row["code"]).replace('"', "");
        let rows: Vec<String> = rows.as_array().unwrap().iter().map(row).collect();
        assert_eq!(rows.join(", "), want, "{}", told.err);
        assert!(!told.err.contains("secret:"), "{}", told.err);
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// 5,000 pods of 250 Deployments with 300 images, half of them indexes, at a registry 50 ms away.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_cluster_costs_two_requests_an_image() {
    const PODS: usize = 5_000;
    const IMAGES: usize = 300;
    const WORKLOADS: usize = 250;
    let mut site = Site::new();
    for at in 0..IMAGES {
        let config = format!(r#"{{"architecture":"amd64","os":"linux","at":{at}}}"#);
        let repository = format!("team/app-{at}");
        site = match at % 2 {
            0 => site.image(&repository, "1", &config),
            _ => {
                let children = ["linux/amd64", "linux/arm64"].map(|platform| {
                    descriptor(MANIFEST, &format!("{at}{platform}"), Some(platform))
                });
                site.manifest(&repository, "1", INDEX, index_of(&children))
            }
        };
    }
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&now), Arc::clone(&most));
    let registry = FakeRegistry::start(move |request| {
        let under_way = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
        counts.1.fetch_max(under_way, Ordering::SeqCst);
        let done = Arc::clone(&counts.0);
        tokio::spawn(async move {
            #[allow(clippy::disallowed_methods, reason = "as long as the answer takes")]
            tokio::time::sleep(Duration::from_millis(50)).await;
            done.fetch_sub(1, Ordering::SeqCst);
        });
        site.answer(request).after(Duration::from_millis(50))
    })
    .await;
    let host = registry.host();
    let noise = "x".repeat(3_000);
    let pod = |at: usize| {
        let workload = at % WORKLOADS;
        let image = |at: usize| format!("{host}/team/app-{}:1", at % IMAGES);
        json!({
            "metadata": owned(&format!("app-{workload}-rs-{at}"), "ReplicaSet", &format!("app-{workload}-rs")),
            "spec": {"nodeName": format!("node-{}", at % 200), "containers": [
                {"name": "a", "image": image(workload), "env": [{"name": "NOISE", "value": noise}]},
                {"name": "b", "image": image(workload + 50)}]},
        })
    };
    let api = World {
        nodes: (0..200).map(|at| node(&format!("node-{at}"), "amd64")).collect(),
        pods: (0..PODS).map(pod).collect(),
        replica_sets: (0..WORKLOADS)
            .map(|at| json!({"metadata": owned(&format!("app-{at}-rs"), "Deployment", &format!("app-{at}"))}))
            .collect(),
        ..World::default()
    }
    .start()
    .await;
    let desk = Desk::with(Site::new()).await;
    desk.write("settings.yaml", "{}");
    let began = Instant::now();
    let told = scan(&desk, &api, &["--what-if", "add=linux/arm64"]).await;
    let took = began.elapsed();
    assert_eq!((told.code, &*told.err), (0, ""));
    let json = told.json();
    let summary = &json["summary"];
    assert_eq!(
        (&summary["pods"], &summary["images"]),
        (&PODS.into(), &IMAGES.into()),
        "{summary}"
    );
    // Where either image is for amd64 alone, the pod may now land wrong.
    assert_eq!(
        (&summary["workloads"], &summary["mayLandWrong"]),
        (&WORKLOADS.into(), &125.into()),
        "{summary}"
    );
    let lines = registry.lines();
    let of_image = |at: usize| {
        let prefix = format!("/v2/team/app-{at}/");
        lines.iter().filter(|line| line.contains(&prefix)).count()
    };
    assert!(
        (0..IMAGES).all(|at| (1..=2).contains(&of_image(at))),
        "{:?}",
        lines.len()
    );
    // As many at once as the client allows itself at one host: the round trips overlap.
    let most = most.load(Ordering::SeqCst);
    assert!((16..=40).contains(&most), "{most} at once");
    let pages = api
        .received()
        .iter()
        .filter(|asked| asked.path == "/api/v1/pods")
        .count();
    assert_eq!(pages, PODS / 500);
    eprintln!(
        "scan of {PODS} pods and {IMAGES} images, 50 ms away: {took:?}, {} requests, {most} at once",
        lines.len()
    );
}
