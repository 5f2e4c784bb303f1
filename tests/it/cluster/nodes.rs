//! The watch on nodes.

use platform_gate::cluster::nodes::{NodeEvent, watch_nodes};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::fake::Fake;

fn node(name: &str, os: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/os": os}},
        "status": {"nodeInfo": {"operatingSystem": os}, "images": [{"names": ["x"]}]},
    })
}

fn path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

#[tokio::test]
async fn nodes_come_as_a_list_and_then_one_at_a_time() {
    let fake = Fake::start().await;
    fake.put(&path("a"), node("a", "linux"));
    fake.put(&path("bare"), json!({"metadata": {"name": "bare"}}));
    assert!(fake.freshness.age().is_none());
    let (tell, mut told) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch_nodes(fake.client.clone(), move |event| {
        tell.send(event).unwrap();
    }));

    let NodeEvent::Restarted(nodes) = told.recv().await.unwrap() else {
        panic!("the list comes first");
    };
    let names: Vec<_> = nodes
        .iter()
        .map(|node| node.metadata.name.as_str())
        .collect();
    assert_eq!(names, ["a", "bare"]);
    assert!(fake.freshness.age().is_some());
    while !fake
        .asked()
        .iter()
        .any(|asked| asked.query.contains("watch=true"))
    {
        tokio::task::yield_now().await;
    }

    fake.put(&path("w"), node("w", "windows"));
    let NodeEvent::Applied(added) = told.recv().await.unwrap() else {
        panic!("a new node is applied");
    };
    assert_eq!(added.status.node_info.operating_system, "windows");
    fake.delete(&path("a"));
    assert_eq!(told.recv().await.unwrap(), NodeEvent::Deleted("a".into()));

    let asked = fake.asked();
    assert!(asked[0].headers["user-agent"].starts_with("platform-gate/"));
    let watch = asked
        .iter()
        .find(|asked| asked.query.contains("watch=true"))
        .unwrap();
    assert!(
        watch.query.contains("timeoutSeconds=200"),
        "{}",
        watch.query
    );
    watching.abort();
}

#[tokio::test]
async fn a_bookmark_is_a_sign_of_life_though_no_event() {
    let fake = Fake::start().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch_nodes(fake.client.clone(), move |event| {
        tell.send(event).unwrap();
    }));
    assert_eq!(told.recv().await.unwrap(), NodeEvent::Restarted(vec![]));
    while !fake
        .asked()
        .iter()
        .any(|asked| asked.query.contains("watch=true"))
    {
        tokio::task::yield_now().await;
    }
    // Silence first, so that the age can be seen to fall.
    let silence = std::time::Duration::from_millis(80);
    while fake.freshness.age().unwrap() < silence {
        tokio::task::yield_now().await;
    }
    let bookmark =
        json!({"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}});
    fake.tell(&path("any"), "BOOKMARK", &bookmark);
    while fake.freshness.age().unwrap() >= silence {
        tokio::task::yield_now().await;
    }
    assert!(told.try_recv().is_err());
    watching.abort();
}
