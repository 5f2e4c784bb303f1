//! Many pods at once: what they cost a registry, and what becomes of them when it dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use platform_gate::domain::rules::Rules;
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::time::Instant;

use crate::support::load::{Load, Report, client};
use crate::support::program::Server;
use crate::support::registry::{Answer, FakeRegistry};
use crate::support::site::{INDEX, MANIFEST, Site, descriptor, index_of};

const PLATFORMS: [&str; 6] = [
    "linux/amd64",
    "linux/arm64",
    "linux/386",
    "linux/s390x",
    "linux/ppc64le",
    "windows/amd64",
];

/// Tags of one repository, each an image of six platforms and of its own digest.
fn site(tags: usize) -> Site {
    (0..tags).fold(Site::new(), |site, tag| {
        let entry =
            |platform: &&str| descriptor(MANIFEST, &format!("{tag}{platform}"), Some(platform));
        let index = index_of(&PLATFORMS.iter().map(entry).collect::<Vec<_>>());
        site.manifest("app", &tag.to_string(), INDEX, index)
    })
}

fn nodes() -> Value {
    let node = |name: &str, architecture: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"nodeInfo": {
            "operatingSystem": "linux", "architecture": architecture, "kernelVersion": "6.8.0",
            "containerRuntimeVersion": "containerd://2.2.0"}}})
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [node("amd", "amd64"), node("arm", "arm64")]})
}

/// A review of a pod with an image of each of these tags.
fn review(host: &str, number: usize, tags: impl IntoIterator<Item = usize>) -> String {
    let container = |tag| json!({"name": format!("c{tag}"), "image": format!("{host}/app:{tag}")});
    let containers: Vec<Value> = tags.into_iter().map(container).collect();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": number.to_string(), "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "namespace": format!("team-{}", number % 7), "object": {"spec": {"containers": containers}}}})
    .to_string()
}

/// Reviews so many pods of so many cold images at the same time, and says what the registry was asked.
async fn herd(pods: usize, images: usize) -> Vec<String> {
    crate::support::certificates::install_provider();
    let (site, company) = (site(images), Arc::new(Barrier::new(images + 1)));
    let of_server = Arc::clone(&company);
    let server =
        FakeRegistry::start(move |request| site.answer(request).together(&of_server)).await;
    let registry = Registry::new(RegistrySettings::new(EgressPolicy::Cli)).unwrap();
    let gate = Gate::new(Rules::default(), registry, None);
    gate.update(|inventory| {
        let nodes = nodes()["items"].take();
        inventory.replace_all(serde_json::from_value(nodes).unwrap());
    });
    let (metrics, host) = (Metrics::default(), server.host());
    let asked = AtomicUsize::new(0);
    let reviews = (0..pods).map(|number| {
        let body = review(&host, number, 0..images);
        let (gate, metrics, asked) = (&gate, &metrics, &asked);
        async move {
            asked.fetch_add(1, Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(60);
            gate.review(body.as_bytes(), deadline, metrics)
                .await
                .unwrap()
        }
    });
    // The registry answers nothing before every review waits for it.
    let answering = async {
        while asked.load(Ordering::Relaxed) < pods {
            tokio::task::yield_now().await;
        }
        company.wait().await
    };
    let (answers, _) = tokio::join!(join_all(reviews), answering);
    for (number, answer) in answers.iter().enumerate() {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        let response = &answer["response"];
        assert_eq!(response["uid"], number.to_string());
        assert_eq!(
            (&response["allowed"], response.get("warnings")),
            (&true.into(), None)
        );
    }
    let mut lines = server.lines();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_thousand_concurrent_pods_of_one_cold_tag_cost_one_get() {
    assert_eq!(herd(1000, 1).await, ["GET /v2/app/manifests/0"]);
}

#[tokio::test]
async fn a_thousand_concurrent_pods_of_ten_cold_images_cost_ten_gets() {
    let want: Vec<String> = (0..10)
        .map(|tag| format!("GET /v2/app/manifests/{tag}"))
        .collect();
    assert_eq!(herd(1000, 10).await, want);
}

/// A `serve` of its own, with two nodes.
fn serve(folder: &tempfile::TempDir) -> Server {
    let file = folder.path().join("nodes.json");
    std::fs::write(&file, nodes().to_string()).unwrap();
    Server::start(&["--nodes", file.to_str().unwrap()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_pods_over_two_hundred_connections_cost_one_get() {
    let (site, folder) = (site(1), tempfile::tempdir().unwrap());
    let registry = FakeRegistry::start(move |request| site.answer(request)).await;
    let mut server = serve(&folder);
    let load = Load {
        url: format!("https://{}", server.webhook),
        connections: 200,
        reviews: 1000,
    };
    let host = registry.host();
    let report = load.run(move |number| review(&host, number, [0])).await;
    for response in &report.responses {
        assert_eq!(
            (&response["allowed"], response.get("warnings")),
            (&true.into(), None)
        );
    }
    assert_eq!(registry.lines(), ["GET /v2/app/manifests/0"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits half a minute, until what is known has to be asked for again"]
async fn pods_recreated_while_their_registry_is_dead_are_admitted_as_before() {
    const IMAGES: usize = 50;
    let (site, folder) = (site(IMAGES + 1), tempfile::tempdir().unwrap());
    let registry = FakeRegistry::start(move |request| site.answer(request)).await;
    let mut server = serve(&folder);
    let url = format!("https://{}", server.webhook);
    let load = Load {
        url,
        connections: 4,
        reviews: 500,
    };
    let host = registry.host();
    let of_pods = move |number| review(&host, number, [number % IMAGES]);
    load.run(of_pods.clone()).await;
    let warm = load.run(of_pods.clone()).await;
    for response in &warm.responses {
        assert_eq!(
            (&response["allowed"], response.get("warnings")),
            (&true.into(), None)
        );
    }
    assert_eq!(registry.lines().len(), IMAGES);
    drop(registry);
    let dead = load.run(of_pods.clone()).await;
    assert_eq!(dead.responses, warm.responses);
    let extra = Load {
        url: load.url.clone(),
        connections: 1,
        reviews: 1,
    };
    let of_extra = of_pods.clone();
    until_stale(&server, async || {
        extra.run(of_extra.clone()).await;
    })
    .await;
    let stale = load.run(of_pods).await;
    assert_eq!(stale.responses, warm.responses);
    tell(&warm, &dead, &stale);
    server.stop();
}

#[expect(clippy::print_stdout, reason = "a test says what it measured")]
fn tell(warm: &Report, dead: &Report, stale: &Report) {
    let ratio = |report: &Report| report.ratio_to(warm, 99);
    println!("load: registry alive:          {warm}");
    println!(
        "load: dead:                    {dead}, p99 {:.2} of alive",
        ratio(dead)
    );
    println!(
        "load: dead, answers to renew:  {stale}, p99 {:.2} of alive",
        ratio(stale)
    );
}

/// One namespace keeps asking for images of registries that never answer, as fast as it can over thirty connections. The
/// pods of others, each with an image that nobody has asked for before, are judged as without it (OPERATIONS T4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "its figures are the point: run it with --nocapture"]
async fn a_tenant_in_a_tar_pit_keeps_nobody_else_waiting() {
    const IMAGES: usize = 300;
    const PITS: usize = 20;
    let (site, folder) = (site(2 * IMAGES), tempfile::tempdir().unwrap());
    let registry = FakeRegistry::start(move |request| site.answer(request)).await;
    let mut pits = Vec::new();
    for _ in 0..PITS {
        pits.push(FakeRegistry::start(|_| Answer::new(200).stalled_body()).await);
    }
    let pit_hosts: Vec<String> = pits.iter().map(FakeRegistry::host).collect();
    let mut server = serve(&folder);
    let url = format!("https://{}", server.webhook);
    let quiet = |first: usize| {
        let host = registry.host();
        let load = Load {
            url: url.clone(),
            connections: 2,
            reviews: IMAGES,
        };
        async move {
            let of_pods = move |number| review(&host, number, [first + number]);
            load.run(of_pods).await
        }
    };
    let alone = quiet(0).await;
    let greedy = Load {
        url: url.clone(),
        connections: 30,
        reviews: usize::MAX,
    };
    let flood = tokio::spawn(async move {
        let of_pods = move |number: usize| {
            let body = review(&pit_hosts[number % PITS], number, [number]);
            let namespaces = format!("team-{}", number % 7);
            body.replace(&namespaces, "greedy")
        };
        greedy.run(of_pods).await
    });
    let is_stuck = async {
        while pits.iter().map(|pit| pit.lines().len()).sum::<usize>() < PITS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_stuck)
        .await
        .unwrap();
    let beside = quiet(IMAGES).await;
    flood.abort();
    for response in alone.responses.iter().chain(&beside.responses) {
        assert_eq!(
            (&response["allowed"], response.get("warnings")),
            (&true.into(), None)
        );
    }
    tell_of_neighbours(&alone, &beside);
    server.stop();
}

#[expect(clippy::print_stdout, reason = "a test says what it measured")]
fn tell_of_neighbours(alone: &Report, beside: &Report) {
    println!("load: cold images, alone:      {alone}");
    println!(
        "load: beside a tar pit:        {beside}, p99 {:.2} of alone",
        beside.ratio_to(alone, 99)
    );
}

/// Sends a review now and then until its image is answered from what is known while the registry is asked.
async fn until_stale(server: &Server, send: impl AsyncFn()) {
    let (client, url) = (client(), format!("http://{}/metrics", server.metrics));
    let count = async || {
        let text = client.get(&url).send().await.unwrap().text().await.unwrap();
        let mut lines = text
            .lines()
            .filter(|line| line.contains(r#"result="stale""#));
        lines.next().is_some_and(|line| !line.ends_with(" 0"))
    };
    let wait = async {
        while !count().await {
            send().await;
            #[allow(clippy::disallowed_methods, reason = "polls another process's metrics")]
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), wait)
        .await
        .unwrap();
}
