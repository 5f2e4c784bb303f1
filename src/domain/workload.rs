//! Workloads: the kinds of object that make pods, and the pods that they make.
//!
//! Leaves out finding objects in files (`cli`) and what follows from a pod (`decision`). Objects of any other kind are
//! nobody's concern here.

use serde::{Deserialize, Deserializer};

use super::pod::{Pod, PodMetadata, or_default};
use super::text::Text;

/// A kind of object that makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// v1 Pod: the pod itself.
    Pod,
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// apps/v1 DaemonSet: its pods go to every node that they may go to.
    DaemonSet,
    /// apps/v1 ReplicaSet.
    ReplicaSet,
    /// v1 ReplicationController.
    ReplicationController,
    /// batch/v1 Job.
    Job,
    /// batch/v1 CronJob.
    CronJob,
}

/// An object that makes pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload<'a> {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its namespace, empty where it does not say.
    pub namespace: Text<'a>,
    /// Its name, or what the API server is to make one from.
    pub name: Text<'a>,
    /// Whether another object made it, as a Deployment makes ReplicaSets: what is wrong is that one's to say.
    pub is_owned: bool,
    /// The pod itself, or the template of those that it makes.
    pub pod: Pod<'a>,
}

impl WorkloadKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::Pod,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::Job,
        Self::CronJob,
    ];

    /// The kind of an object by its `apiVersion` and `kind`, of whatever version; `None` where it makes no pods that
    /// we know of. The group counts: other groups have a `Job` too.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version
            .split_once('/')
            .map_or("", |(group, _version)| group);
        Self::of_group(group, kind)
    }

    /// The same by API group and kind.
    #[must_use]
    pub fn of_group(group: &str, kind: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|known| known.name() == kind)?;
        found.groups().contains(&group).then_some(found)
    }

    /// The word in the object's field `kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// The API groups that have it; `extensions` is where the workloads of `apps` once were.
    fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Pod | Self::ReplicationController => &[""],
            Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::ReplicaSet => {
                &["apps", "extensions"]
            }
            Self::Job | Self::CronJob => &["batch"],
        }
    }

    /// Where the pod stands in the object: the path of what holds its `spec`, such as `spec.template`; empty for a
    /// Pod.
    #[must_use]
    pub fn pod_path(self) -> &'static str {
        match self {
            Self::Pod => "",
            Self::CronJob => "spec.jobTemplate.spec.template",
            _ => "spec.template",
        }
    }

    /// The path of a field of the pod in the object: `spec.containers[0].image` stands at
    /// `spec.template.spec.containers[0].image` of a Deployment.
    #[must_use]
    pub fn field(self, field_of_pod: &str) -> String {
        match self.pod_path() {
            "" => field_of_pod.to_owned(),
            path => format!("{path}.{field_of_pod}"),
        }
    }

    /// Reads an object of this kind.
    ///
    /// # Errors
    /// A field that decides has another type than the API gives it.
    pub fn read<'de, D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Workload<'de>, D::Error> {
        let (metadata, pod) = match self {
            Self::Pod => {
                let pod = Pod::deserialize(deserializer)?;
                (pod.metadata.clone(), pod)
            }
            Self::CronJob => {
                let object = CronJob::deserialize(deserializer)?;
                (object.metadata, object.spec.job_template.spec.template)
            }
            _ => {
                let object = Templated::deserialize(deserializer)?;
                (object.metadata, object.spec.template)
            }
        };
        let is_owned = metadata.controller().is_some();
        let name = if metadata.name.is_empty() {
            metadata.generate_name
        } else {
            metadata.name
        };
        Ok(Workload {
            kind: self,
            namespace: metadata.namespace,
            name,
            is_owned,
            pod,
        })
    }
}

/// Every kind with a pod template in its spec: they differ in what is not read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Templated<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    metadata: PodMetadata<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    spec: TemplatedSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplatedSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    template: Pod<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CronJob<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    metadata: PodMetadata<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    spec: CronJobSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CronJobSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    job_template: JobTemplate<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobTemplate<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    spec: TemplatedSpec<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_group_and_kind() {
        for (api_version, kind, want) in [
            ("v1", "Pod", Some(WorkloadKind::Pod)),
            ("apps/v1", "Deployment", Some(WorkloadKind::Deployment)),
            (
                "extensions/v1beta1",
                "DaemonSet",
                Some(WorkloadKind::DaemonSet),
            ),
            ("batch/v1", "CronJob", Some(WorkloadKind::CronJob)),
            ("batch/v1beta1", "CronJob", Some(WorkloadKind::CronJob)),
            ("batch.volcano.sh/v1alpha1", "Job", None),
            ("v1", "Deployment", None),
            ("apps/v1", "Pod", None),
            ("v1", "Service", None),
            ("", "", None),
        ] {
            assert_eq!(
                WorkloadKind::of(api_version, kind),
                want,
                "{api_version} {kind}"
            );
        }
    }

    #[test]
    fn every_kind_keeps_its_pod_where_its_path_says() {
        for kind in WorkloadKind::ALL {
            let mut object = serde_json::json!({"metadata": {"name": "of-the-pod"},
                "spec": {"containers": [{"name": "web", "image": "nginx"}]}});
            for key in kind.pod_path().rsplit('.').filter(|key| !key.is_empty()) {
                object = serde_json::json!({ key: object });
            }
            object["metadata"] = serde_json::json!({"generateName": "web-", "namespace": "shop"});
            let workload = kind.read(&object).unwrap();
            let image = workload.pod.spec.images()[0];
            assert_eq!((image.name, image.image), ("web", "nginx"), "{kind:?}");
            assert_eq!(
                (&*workload.namespace, &*workload.name),
                ("shop", "web-"),
                "{kind:?}"
            );
            assert!(!workload.is_owned, "{kind:?}");
            object["metadata"]["ownerReferences"] =
                serde_json::json!([{"kind": "Widget", "name": "w", "controller": true}]);
            assert!(kind.read(&object).unwrap().is_owned, "{kind:?}");
            let pointer = format!("/{}", kind.field("spec").replace('.', "/"));
            assert!(object.pointer(&pointer).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn nulls_are_no_trouble_and_wrong_types_are_told() {
        let kind = WorkloadKind::CronJob;
        for json in [
            "{}",
            r#"{"metadata":null,"spec":null}"#,
            r#"{"spec":{"jobTemplate":null}}"#,
        ] {
            let object: serde_json::Value = serde_json::from_str(json).unwrap();
            assert!(
                kind.read(&object).unwrap().pod.spec.images().is_empty(),
                "{json}"
            );
        }
        let wrong =
            serde_json::json!({"spec": {"template": {"spec": {"containers": [{"image": 5}]}}}});
        let error = WorkloadKind::Job.read(&wrong).unwrap_err().to_string();
        assert!(error.contains("expected text"), "{error}");
    }
}
