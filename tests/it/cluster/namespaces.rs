//! The watch on namespaces: what the API server is asked for, and what becomes of their labels.

use std::time::Duration;

use platform_gate::cluster::namespaces::{Namespaces, watch_namespaces};
use platform_gate::domain::policy::NamespaceAction;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::fake::Fake;

fn namespace(name: &str, action: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {
        "name": name, "labels": {"platform-gate.io/enforcement-action": action}}})
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

async fn action(namespaces: &Namespaces, name: &str) -> &'static str {
    let deadline = Instant::now() + Duration::from_secs(5);
    let action = namespaces.action(name, deadline).await;
    action.map_or("none", NamespaceAction::as_str)
}

#[tokio::test]
async fn labels_follow_the_cluster_and_only_metadata_is_asked_for() {
    let fake = Fake::start().await;
    fake.put(&path("calm"), namespace("calm", "warn"));
    fake.put(&path("odd"), namespace("odd", "loudly"));
    let namespaces = Namespaces::default();
    let (tell, mut told) = mpsc::unbounded_channel();
    let watching = watch_namespaces(fake.client.clone(), namespaces.clone(), move || {
        tell.send(()).unwrap();
    });
    let watching = tokio::spawn(watching);
    told.recv().await.unwrap();
    assert_eq!(action(&namespaces, "calm").await, "warn");
    assert_eq!(action(&namespaces, "odd").await, "none");
    while !fake
        .asked()
        .iter()
        .any(|asked| asked.query.contains("watch=true"))
    {
        tokio::task::yield_now().await;
    }
    fake.put(&path("calm"), namespace("calm", "off"));
    told.recv().await.unwrap();
    assert_eq!(action(&namespaces, "calm").await, "off");
    fake.put(&path("new"), namespace("new", "audit"));
    assert_eq!(action(&namespaces, "new").await, "audit");
    for asked in fake.asked() {
        let accept = &asked.headers["accept"];
        assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
    }
    watching.abort();
}
