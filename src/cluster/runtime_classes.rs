//! The watch on RuntimeClasses: which handler each name stands for, and where its pods go.
//!
//! Leaves out what a handler means, which the operator's settings say.

use std::pin::pin;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::node::v1 as node;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use super::WATCH_SECONDS;
use super::list::{ListError, list};
use crate::domain::pod::Toleration;
use crate::domain::runtime_class::{RuntimeClass, RuntimeClasses, Scheduling};

/// Watches RuntimeClasses for ever and tells `on_change` of all that there are.
///
/// What goes wrong is logged and tried again, less and less often.
pub async fn watch_runtime_classes(client: Client, on_change: impl FnMut(RuntimeClasses)) {
    let classes: Api<node::RuntimeClass> = Api::all(client);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    deliver(watcher(classes, config).default_backoff(), on_change).await;
}

/// Lists the RuntimeClasses that there are now.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn list_runtime_classes(client: Client) -> Result<RuntimeClasses, ListError> {
    let classes = list(&Api::<node::RuntimeClass>::all(client)).await?;
    Ok(classes.into_iter().map(named).collect())
}

async fn deliver<E: std::fmt::Display>(
    events: impl Stream<Item = Result<watcher::Event<node::RuntimeClass>, E>>,
    mut on_change: impl FnMut(RuntimeClasses),
) {
    let mut events = pin!(events);
    let mut classes = RuntimeClasses::new();
    let mut listing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                classes = RuntimeClasses::new();
                listing = true;
            }
            Ok(watcher::Event::InitDone) => listing = false,
            Ok(watcher::Event::InitApply(class) | watcher::Event::Apply(class)) => {
                classes.extend([named(class)]);
            }
            Ok(watcher::Event::Delete(class)) => _ = classes.remove(&class.name_any()),
            Err(error) => {
                tracing::warn!(%error, "watching RuntimeClasses failed, trying again");
                continue;
            }
        }
        if !listing {
            on_change(classes.clone());
        }
    }
}

/// What decides of a class, with its name.
fn named(class: node::RuntimeClass) -> (String, RuntimeClass) {
    let name = class.name_any();
    let scheduling = class.scheduling.unwrap_or_default();
    let toleration = |raw: core::Toleration| {
        let text = |field: Option<String>| field.unwrap_or_default().into();
        Toleration {
            key: text(raw.key),
            operator: text(raw.operator),
            value: text(raw.value),
            effect: text(raw.effect),
        }
    };
    let tolerations = scheduling.tolerations.into_iter().flatten();
    let decisive = RuntimeClass {
        handler: class.handler,
        scheduling: Scheduling {
            node_selector: scheduling.node_selector.unwrap_or_default(),
            tolerations: tolerations.map(toleration).collect(),
        },
    };
    (name, decisive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watcher::Event;

    fn class(name: &str, handler: &str) -> node::RuntimeClass {
        let mut class = node::RuntimeClass {
            handler: handler.to_owned(),
            ..node::RuntimeClass::default()
        };
        class.metadata.name = Some(name.to_owned());
        class
    }

    #[tokio::test]
    async fn a_list_is_told_when_it_is_complete_and_changes_one_by_one() {
        let events = [
            Ok(Event::Init),
            Ok(Event::InitApply(class("a", "runc"))),
            Ok(Event::InitApply(class("b", "hv"))),
            Ok(Event::InitDone),
            Err("the API server is away"),
            Ok(Event::Apply(class("a", "other"))),
            Ok(Event::Delete(class("b", "hv"))),
        ];
        let mut told = Vec::new();
        deliver(futures::stream::iter(events), |classes| {
            let mut classes: Vec<_> = classes
                .into_iter()
                .map(|(name, class)| format!("{name}={}", class.handler))
                .collect();
            classes.sort();
            told.push(classes.join(" "));
        })
        .await;
        assert_eq!(told, ["a=runc b=hv", "a=other b=hv", "a=other"]);
    }

    #[test]
    fn scheduling_rules_are_kept() {
        let json = r#"{"metadata":{"name":"windows"},"handler":"runhcs","scheduling":{"nodeSelector":{"a":"b"},
            "tolerations":[{"key":"os","operator":"Exists"}]}}"#;
        let raw: node::RuntimeClass = serde_json::from_str(json).unwrap();
        let lean: RuntimeClass = serde_json::from_str(json).unwrap();
        assert_eq!(named(raw), ("windows".to_owned(), lean.clone()));
        assert_eq!(lean.scheduling.tolerations.len(), 1);
    }
}
