//! What the program under load knows: nodes in a file, and images in a registry that speaks as slowly as it is told to.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use serde_json::{Value, json};

use crate::support::registry::{Answer, FakeRegistry, Received};
use crate::support::site::{INDEX, MANIFEST, Site, descriptor, index_of};

/// A review as API servers send it: 7 KB, with all that a Deployment's pod carries.
const REVIEW: &str = include_str!("../../tests/data/review-6k.json");
const PLATFORMS: [&str; 6] = [
    "linux/amd64",
    "linux/arm64",
    "linux/386",
    "linux/s390x",
    "linux/ppc64le",
    "windows/amd64",
];

/// Nodes of two architectures, as many as that, each with a hostname of its own: what `kubectl get nodes -o json` prints.
pub(crate) fn nodes(count: usize) -> String {
    let node = |at: usize| {
        let architecture = ["amd64", "arm64"][at % 2];
        let labels = json!({
            "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture,
            "kubernetes.io/hostname": format!("node-{at}"), "topology.kubernetes.io/zone": format!("zone-{}", at % 3),
            "node.kubernetes.io/instance-type": format!("size-{}", at % 20),
        });
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{at}"), "labels": labels},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": architecture,
            "kernelVersion": "6.8.0", "containerRuntimeVersion": "containerd://2.2.0"}}})
    };
    let items: Vec<Value> = (0..count).map(node).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Repositories `app-0`, `app-1`, ... with a tag `1`: an index of six platforms each.
pub(crate) fn images(count: usize) -> Site {
    (0..count).fold(Site::new(), |site, at| {
        let entry =
            |platform: &&str| descriptor(MANIFEST, &format!("{at}{platform}"), Some(platform));
        let index = index_of(&PLATFORMS.iter().map(entry).collect::<Vec<_>>());
        site.manifest(&format!("app-{at}"), "1", INDEX, index)
    })
}

/// A registry that wants a token for everything, and sends each answer so much later.
pub(crate) async fn far_registry(site: Site, delay: Duration) -> FakeRegistry {
    FakeRegistry::start(move |request| token_answer(&site, request).after(delay)).await
}

fn token_answer(site: &Site, request: &Received) -> Answer {
    if request.path == "/token" {
        return Answer::json(r#"{"token":"opensesame","expires_in":300}"#);
    }
    if request.authorization.as_deref() == Some("Bearer opensesame") {
        return site.answer(request);
    }
    let repository = request.path.trim_start_matches("/v2/");
    let repository = repository.split('/').next().unwrap_or_default();
    let (base, scope) = (request.base(), format!("repository:{repository}:pull"));
    Answer::challenge(&[&format!(
        r#"Bearer realm="{base}/token",service="far",scope="{scope}""#
    )])
}

/// The review of 7 KB with its four images taken from this registry.
pub(crate) fn review_of_four(host: &str) -> Result<Bytes> {
    let mut review: Value = serde_json::from_str(REVIEW)?;
    let spec = &mut review["request"]["object"]["spec"];
    let mut at = 0;
    for list in ["containers", "initContainers"] {
        let containers = spec[list].as_array_mut().context("the review has both")?;
        for container in containers {
            container["image"] = format!("{host}/app-{at}:1").into();
            at += 1;
        }
    }
    Ok(review.to_string().into())
}

/// A short review of a pod with these images of the registry.
pub(crate) fn review_of(host: &str, images: impl IntoIterator<Item = usize>) -> Bytes {
    let container = |at| json!({"name": format!("c{at}"), "image": format!("{host}/app-{at}:1")});
    let containers: Vec<Value> = images.into_iter().map(container).collect();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": "shop",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "object": {"metadata": {"name": "p"}, "spec": {"containers": containers}}}})
    .to_string()
    .into()
}
