//! The watch on nodes: lean nodes out, one event at a time. And a list of them, for commands that need it once.
//!
//! Keeps nothing; the store of nodes is the caller's, as is what staleness means for a decision.

use std::borrow::Cow;
use std::pin::pin;

use futures::{Stream, StreamExt};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::Deserialize;

use super::WATCH_SECONDS;
use super::list::{ListError, list};
use crate::domain::node::Node;

/// What happened to the nodes of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeEvent {
    /// All nodes there are: the first complete list, or a new one after events may have been missed.
    Restarted(Vec<Node>),
    /// A node is new or has changed.
    Applied(Box<Node>),
    /// The node of this name has gone.
    Deleted(String),
}

/// Watches nodes for ever and tells `on_event` of each change; the first event is the complete list.
///
/// What goes wrong is logged and tried again, less and less often.
pub async fn watch_nodes(client: Client, on_event: impl FnMut(NodeEvent)) {
    let nodes: Api<WatchedNode> = Api::all(client);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    deliver(watcher(nodes, config).default_backoff(), on_event).await;
}

/// Lists the nodes there are now.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn list_nodes(client: Client) -> Result<Vec<Node>, ListError> {
    let nodes = list(&Api::<WatchedNode>::all(client)).await?;
    Ok(nodes.into_iter().map(|node| node.node).collect())
}

async fn deliver<E: std::fmt::Display>(
    events: impl Stream<Item = Result<watcher::Event<WatchedNode>, E>>,
    mut on_event: impl FnMut(NodeEvent),
) {
    let mut events = pin!(events);
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = Vec::new(),
            Ok(watcher::Event::InitApply(node)) => listed.push(node.node),
            Ok(watcher::Event::InitDone) => {
                let nodes = std::mem::take(&mut listed);
                tracing::info!(nodes = nodes.len(), "the list of nodes is complete");
                on_event(NodeEvent::Restarted(nodes));
            }
            Ok(watcher::Event::Apply(node)) => {
                on_event(NodeEvent::Applied(Box::new(node.node)));
            }
            Ok(watcher::Event::Delete(node)) => {
                on_event(NodeEvent::Deleted(node.node.metadata.name));
            }
            Err(error) => tracing::warn!(%error, "watching nodes failed, trying again"),
        }
    }
}

/// A node as `kube` needs it: with metadata of its type, of which a watch reads the resource version.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Node")]
struct WatchedNode {
    meta: ObjectMeta,
    node: Node,
}

impl From<Node> for WatchedNode {
    fn from(mut node: Node) -> Self {
        let meta = ObjectMeta {
            name: Some(node.metadata.name.clone()),
            resource_version: node.metadata.resource_version.take(),
            ..ObjectMeta::default()
        };
        Self { meta, node }
    }
}

impl Resource for WatchedNode {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind(&(): &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group(&(): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(&(): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(&(): &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use kube::runtime::watcher::Event;

    use super::*;

    fn node(name: &str) -> WatchedNode {
        let json = format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"7"}}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn delivered(events: Vec<Result<Event<WatchedNode>, &'static str>>) -> Vec<String> {
        let mut got = Vec::new();
        deliver(futures::stream::iter(events), |event| {
            got.push(match event {
                NodeEvent::Restarted(nodes) => {
                    let names: Vec<_> = nodes.iter().map(|n| n.metadata.name.as_str()).collect();
                    format!("all {}", names.join(" "))
                }
                NodeEvent::Applied(node) => format!("+{}", node.metadata.name),
                NodeEvent::Deleted(name) => format!("-{name}"),
            });
        })
        .now_or_never()
        .unwrap();
        got
    }

    #[test]
    fn a_list_is_delivered_whole_and_only_when_complete() {
        let incomplete = vec![Ok(Event::Init), Ok(Event::InitApply(node("a")))];
        assert!(delivered(incomplete).is_empty());
        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(node("a"))),
            Err("cut off"),
            Ok(Event::Init),
            Ok(Event::InitApply(node("b"))),
            Ok(Event::InitApply(node("c"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(node("d"))),
            Ok(Event::Delete(node("b"))),
        ];
        assert_eq!(delivered(events), ["all b c", "+d", "-b"]);
    }

    #[test]
    fn a_node_without_labels_or_info_is_a_node_and_keeps_its_version_for_the_watch() {
        let node = node("bare");
        assert_eq!(node.meta().resource_version.as_deref(), Some("7"));
        assert!(node.node.metadata.labels.is_empty());
        assert!(node.node.metadata.resource_version.is_none());
    }
}
