//! The watch on RuntimeClasses: which handler each name stands for.
//!
//! Leaves out what a handler means, which the operator's settings say. Scheduling rules of a RuntimeClass are in the
//! pod by the time it is reviewed: an admission plugin of the API server merges them.

use std::collections::HashMap;
use std::pin::pin;

use futures::{Stream, StreamExt};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use super::WATCH_SECONDS;
use super::list::{ListError, list};

/// Watches RuntimeClasses for ever and tells `on_change` of all that there are: name and handler.
///
/// What goes wrong is logged and tried again, less and less often.
pub async fn watch_runtime_classes(client: Client, on_change: impl FnMut(HashMap<String, String>)) {
    let classes: Api<RuntimeClass> = Api::all(client);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    deliver(watcher(classes, config).default_backoff(), on_change).await;
}

/// Lists the RuntimeClasses that there are now: name and handler.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn list_runtime_classes(client: Client) -> Result<HashMap<String, String>, ListError> {
    let classes = list(&Api::<RuntimeClass>::all(client)).await?;
    let pair = |class: RuntimeClass| (class.name_any(), class.handler);
    Ok(classes.into_iter().map(pair).collect())
}

async fn deliver<E: std::fmt::Display>(
    events: impl Stream<Item = Result<watcher::Event<RuntimeClass>, E>>,
    mut on_change: impl FnMut(HashMap<String, String>),
) {
    let mut events = pin!(events);
    let mut handlers = HashMap::new();
    let mut listing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                handlers = HashMap::new();
                listing = true;
            }
            Ok(watcher::Event::InitDone) => listing = false,
            Ok(watcher::Event::InitApply(class) | watcher::Event::Apply(class)) => {
                _ = handlers.insert(class.name_any(), class.handler);
            }
            Ok(watcher::Event::Delete(class)) => _ = handlers.remove(&class.name_any()),
            Err(error) => {
                tracing::warn!(%error, "watching RuntimeClasses failed, trying again");
                continue;
            }
        }
        if !listing {
            on_change(handlers.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watcher::Event;

    fn class(name: &str, handler: &str) -> RuntimeClass {
        let mut class = RuntimeClass {
            handler: handler.to_owned(),
            ..RuntimeClass::default()
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
        deliver(futures::stream::iter(events), |handlers| {
            let mut handlers: Vec<_> = handlers
                .into_iter()
                .map(|(name, handler)| format!("{name}={handler}"))
                .collect();
            handlers.sort();
            told.push(handlers.join(" "));
        })
        .await;
        assert_eq!(told, ["a=runc b=hv", "a=other b=hv", "a=other"]);
    }
}
