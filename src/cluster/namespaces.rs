//! `Namespaces`: which enforcement action the labels of the cluster's namespaces ask for, kept by a watch on their
//! metadata.
//!
//! Leaves out what follows from an action, and who may set the label.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::WATCH_SECONDS;
use crate::domain::policy::{ENFORCEMENT_LABEL, NamespaceAction};

/// How long a pod may come before the news of its namespace.
const NEWS_TAKE: Duration = Duration::from_secs(1);

/// What the label of a namespace says; `None` where there is none, or nothing that means anything.
type Label = Option<NamespaceAction>;

/// Every namespace with what its label says. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Namespaces {
    known: Arc<watch::Sender<HashMap<String, Label>>>,
}

impl Namespaces {
    /// What the label of a namespace asks for. One that is not known may be so new that the watch has yet to tell of it,
    /// so that is waited for, a second at most.
    pub async fn action(&self, name: &str, deadline: Instant) -> Option<NamespaceAction> {
        if let Some(label) = self.known.borrow().get(name) {
            return *label;
        }
        // Boxed, as what is rare: the reviews that need not wait carry no room for it.
        Box::pin(self.awaited(name, deadline)).await
    }

    async fn awaited(&self, name: &str, deadline: Instant) -> Label {
        let mut known = self.known.subscribe();
        let told = known.wait_for(|known| known.contains_key(name));
        let until = deadline.min(Instant::now() + NEWS_TAKE);
        match timeout_at(until, told).await {
            Ok(Ok(known)) => known.get(name).copied().flatten(),
            _ => None,
        }
    }

    /// Takes a namespace and the value of its label. A value that means nothing is told in the log.
    pub fn apply(&self, name: &str, value: Option<&str>) {
        let label = label(name, value);
        self.known
            .send_modify(|known| _ = known.insert(name.to_owned(), label));
    }

    /// How many namespaces each action is asked for, those apart that ask for none.
    #[must_use]
    pub fn counts(&self) -> HashMap<&'static str, u64> {
        let mut counts: HashMap<_, _> = NamespaceAction::ALL
            .map(|action| (action.as_str(), 0))
            .into();
        for action in self.known.borrow().values().flatten() {
            *counts.entry(action.as_str()).or_default() += 1;
        }
        counts
    }

    fn replace_all(&self, all: HashMap<String, Label>) {
        self.known.send_replace(all);
    }

    fn remove(&self, name: &str) {
        self.known.send_modify(|known| _ = known.remove(name));
    }
}

fn label(name: &str, value: Option<&str>) -> Label {
    let value = value?;
    let action = NamespaceAction::parse(value);
    if action.is_none() {
        tracing::warn!(
            namespace = name,
            value,
            "the label {ENFORCEMENT_LABEL} means nothing and does nothing: its values are deny, warn, audit and off"
        );
    }
    action
}

/// Watches namespaces for ever, keeps `namespaces`, and calls `on_change` after each change; the first is the complete
/// list.
///
/// What goes wrong is logged and tried again, less and less often.
pub async fn watch_namespaces(client: Client, namespaces: Namespaces, on_change: impl FnMut()) {
    let all: Api<Meta> = Api::all(client);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let events = watcher(all, config).default_backoff();
    deliver(events, &namespaces, on_change).await;
}

type Meta = PartialObjectMeta<Namespace>;

async fn deliver<E: std::fmt::Display>(
    events: impl Stream<Item = Result<watcher::Event<Meta>, E>>,
    namespaces: &Namespaces,
    mut on_change: impl FnMut(),
) {
    let mut events = pin!(events);
    let mut listed = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                listed = HashMap::new();
                continue;
            }
            Ok(watcher::Event::InitApply(namespace)) => {
                let name = namespace.name_any();
                let label = label(&name, value(&namespace));
                listed.insert(name, label);
                continue;
            }
            Ok(watcher::Event::InitDone) => namespaces.replace_all(std::mem::take(&mut listed)),
            Ok(watcher::Event::Apply(namespace)) => {
                namespaces.apply(&namespace.name_any(), value(&namespace));
            }
            Ok(watcher::Event::Delete(namespace)) => namespaces.remove(&namespace.name_any()),
            Err(error) => {
                tracing::warn!(%error, "watching namespaces failed, trying again");
                continue;
            }
        }
        on_change();
    }
}

fn value(namespace: &Meta) -> Option<&str> {
    let value = namespace.labels().get(ENFORCEMENT_LABEL)?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watcher::Event;

    fn namespace(name: &str, value: &str) -> Meta {
        let mut namespace = Meta::default();
        namespace.metadata.name = Some(name.to_owned());
        if !value.is_empty() {
            let label = (ENFORCEMENT_LABEL.to_owned(), value.to_owned());
            namespace.metadata.labels = Some([label].into());
        }
        namespace
    }

    #[tokio::test]
    async fn namespaces_are_known_when_the_list_is_complete_and_follow_changes() {
        let namespaces = Namespaces::default();
        let events = [
            Ok(Event::Init),
            Ok(Event::InitApply(namespace("a", "warn"))),
            Ok(Event::InitApply(namespace("b", "loud"))),
            Ok(Event::InitApply(namespace("c", ""))),
            Ok(Event::InitDone),
            Err("the API server is away"),
            Ok(Event::Apply(namespace("b", "off"))),
            Ok(Event::Apply(namespace("d", "audit"))),
            Ok(Event::Delete(namespace("a", "warn"))),
        ];
        let mut told = Vec::new();
        deliver(futures::stream::iter(events), &namespaces, || {
            let mut known: Vec<_> = namespaces
                .known
                .borrow()
                .iter()
                .map(|(name, label)| {
                    format!("{name}={}", label.map_or("-", NamespaceAction::as_str))
                })
                .collect();
            known.sort();
            told.push(known.join(" "));
        })
        .await;
        assert_eq!(
            told,
            [
                "a=warn b=- c=-",
                "a=warn b=off c=-",
                "a=warn b=off c=- d=audit",
                "b=off c=- d=audit"
            ]
        );
        let counts = namespaces.counts();
        assert_eq!((counts["off"], counts["audit"], counts["warn"]), (1, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_news_of_a_new_namespace_are_waited_for() {
        let namespaces = Namespaces::default();
        let later = Instant::now() + Duration::from_secs(60);
        let asked = tokio::spawn({
            let namespaces = namespaces.clone();
            async move { namespaces.action("new", later).await }
        });
        tokio::task::yield_now().await;
        namespaces.apply("other", None);
        namespaces.apply("new", Some("warn"));
        assert_eq!(
            asked.await.unwrap().map(NamespaceAction::as_str),
            Some("warn")
        );

        let began = Instant::now();
        assert_eq!(namespaces.action("never", later).await, None);
        assert_eq!(began.elapsed(), NEWS_TAKE);
        assert_eq!(namespaces.action("never", began).await, None);
        assert_eq!(namespaces.action("other", later).await, None);
        assert!(began.elapsed() <= NEWS_TAKE + Duration::from_millis(5));
    }
}
