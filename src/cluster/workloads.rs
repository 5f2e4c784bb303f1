//! The watch on what makes pods: of each object nothing but what its template says of nodes and images.
//!
//! What another watched object made is left out, as a Deployment's ReplicaSets are: what is wrong is that one's to say. So
//! are Jobs that have ended, and pods: a pod that nothing made is placed once, and never again. Keeps nothing.

use std::pin::pin;

use futures::future::join_all;
use futures::{Stream, StreamExt};
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;

use super::WATCH_SECONDS;
use crate::domain::pod::PodSpec;
use crate::domain::workload::WorkloadKind;

/// Objects of a page: they are read whole, with all that is not kept.
const PAGE: u32 = 100;

/// The kinds that are watched, and their versions.
pub const WATCHED: [(WorkloadKind, &str, &str); 7] = [
    (WorkloadKind::Deployment, "apps", "v1"),
    (WorkloadKind::StatefulSet, "apps", "v1"),
    (WorkloadKind::DaemonSet, "apps", "v1"),
    (WorkloadKind::ReplicaSet, "apps", "v1"),
    (WorkloadKind::ReplicationController, "", "v1"),
    (WorkloadKind::Job, "batch", "v1"),
    (WorkloadKind::CronJob, "batch", "v1"),
];

/// What makes pods: kind, namespace and name.
pub type TemplateName = (WorkloadKind, String, String);

/// What an object makes pods from.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Whose it is.
    pub name: TemplateName,
    /// The object's UID, which tells it from a later one of the same name.
    pub uid: String,
    /// What its pods ask for.
    pub spec: PodSpec<'static>,
}

/// What happened to templates.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateEvent {
    /// All of a kind: the first complete list, or a new one after events may have been missed.
    Restarted(WorkloadKind, Vec<Template>),
    /// One is new, or its object has changed.
    Applied(Box<Template>),
    /// There is none of that name any more.
    Deleted(TemplateName),
}

/// The `apiVersion` of a watched kind.
#[must_use]
pub fn api_version(kind: WorkloadKind) -> String {
    let found = WATCHED.iter().find(|(watched, ..)| *watched == kind);
    match found {
        Some((_, group, version)) if !group.is_empty() => format!("{group}/{version}"),
        _ => "v1".to_owned(),
    }
}

/// Watches all kinds until nobody listens any more. Who is slow to listen slows the watch down.
///
/// What goes wrong is logged and tried again, less and less often.
pub async fn watch_templates(client: Client, events: mpsc::Sender<TemplateEvent>) {
    let watches = WATCHED.map(|(kind, group, version)| {
        let gvk = GroupVersionKind::gvk(group, version, kind.name());
        let resource = ApiResource::from_gvk(&gvk);
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let config = watcher::Config::default()
            .timeout(WATCH_SECONDS)
            .page_size(PAGE);
        deliver(
            kind,
            watcher(objects, config).default_backoff(),
            events.clone(),
        )
    });
    join_all(watches).await;
}

async fn deliver<E: std::fmt::Display>(
    kind: WorkloadKind,
    changes: impl Stream<Item = Result<watcher::Event<DynamicObject>, E>>,
    events: mpsc::Sender<TemplateEvent>,
) {
    let mut changes = pin!(changes);
    let mut listed = Vec::new();
    while let Some(change) = changes.next().await {
        let event = match change {
            Ok(watcher::Event::Init) => {
                listed = Vec::new();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(template(kind, object).ok());
                continue;
            }
            Ok(watcher::Event::InitDone) => {
                TemplateEvent::Restarted(kind, std::mem::take(&mut listed))
            }
            Ok(watcher::Event::Apply(object)) => match template(kind, object) {
                Ok(template) => TemplateEvent::Applied(Box::new(template)),
                Err(name) => TemplateEvent::Deleted(name),
            },
            Ok(watcher::Event::Delete(object)) => TemplateEvent::Deleted(name(kind, &object)),
            Err(error) => {
                let kind = kind.name();
                tracing::warn!(%error, kind, "watching what makes pods failed, trying again");
                continue;
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn name(kind: WorkloadKind, object: &DynamicObject) -> TemplateName {
    let metadata = &object.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (kind, text(&metadata.namespace), text(&metadata.name))
}

/// What is kept of an object; its name where there is nothing to keep.
fn template(kind: WorkloadKind, mut object: DynamicObject) -> Result<Template, TemplateName> {
    let name = name(kind, &object);
    if is_made_by_another(&object) || has_ended(&object.data) {
        return Err(name);
    }
    let uid = object.metadata.uid.take().unwrap_or_default();
    match kind.read(object.data) {
        Ok(workload) => Ok(Template {
            name,
            uid,
            spec: workload.pod.spec,
        }),
        Err(error) => {
            tracing::debug!(%error, ?name, "an object cannot be read");
            Err(name)
        }
    }
}

fn is_made_by_another(object: &DynamicObject) -> bool {
    let mut owners = object.metadata.owner_references.iter().flatten();
    let controller = owners.find(|owner| owner.controller == Some(true));
    controller.is_some_and(|owner| WorkloadKind::of(&owner.api_version, &owner.kind).is_some())
}

/// Whether it is a Job that makes no pods any more.
fn has_ended(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    conditions.any(|condition| {
        condition["status"] == "True"
            && (condition["type"] == "Complete" || condition["type"] == "Failed")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use watcher::Event;

    use super::*;

    fn object(name: &str, rest: &Value) -> DynamicObject {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "nginx"}]}});
        let mut object = json!({"metadata": {"name": name, "namespace": "shop", "uid": "u"},
            "spec": {"template": template}});
        json_patch::merge(&mut object, rest);
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn what_others_made_and_what_has_ended_is_left_out() {
        let owned = |kind: &str, group: &str| {
            json!({"metadata": {"ownerReferences": [{"apiVersion": format!("{group}/v1"), "kind": kind, "name": "o",
                "uid": "u", "controller": true}]}})
        };
        let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        let changes = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(object("a", &json!({})))),
            Ok(Event::InitApply(object("b", &owned("CronJob", "batch")))),
            Ok(Event::InitApply(object("c", &owned("Widget", "x.io")))),
            Err("the API server is away"),
            Ok(Event::InitDone),
            Ok(Event::Apply(object("a", &done))),
            Ok(Event::Apply(object("d", &json!({})))),
            Ok(Event::Delete(object("d", &json!({})))),
        ];
        let (sender, mut events) = mpsc::channel(8);
        deliver(WorkloadKind::Job, futures::stream::iter(changes), sender).await;
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(match event {
                TemplateEvent::Restarted(kind, all) => {
                    let names: Vec<_> = all.iter().map(|one| one.name.2.as_str()).collect();
                    format!("{} {}", kind.name(), names.join(" "))
                }
                TemplateEvent::Applied(one) => format!("+{}", one.name.2),
                TemplateEvent::Deleted(name) => format!("-{}", name.2),
            });
        }
        assert_eq!(told, ["Job a c", "-a", "+d", "-d"]);
    }

    #[test]
    fn versions_are_those_of_the_api() {
        assert_eq!(api_version(WorkloadKind::Deployment), "apps/v1");
        assert_eq!(api_version(WorkloadKind::CronJob), "batch/v1");
        assert_eq!(api_version(WorkloadKind::ReplicationController), "v1");
    }
}
