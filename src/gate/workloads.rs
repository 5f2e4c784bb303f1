//! Reviews of what makes pods: a Deployment is told at apply time what would otherwise stand in an event of its
//! ReplicaSet. Nothing is denied here unless the settings say so.

use std::sync::atomic::AtomicBool;

use serde_json::Deserializer;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::{Reviewed, Subject};
use super::{Gate, Terms};
use crate::admission::{AdmissionRequest, GroupKind, Operation, ReviewError, parse_review};
use crate::domain::decision::Softened;
use crate::domain::policy::Action;
use crate::domain::rules::Rules;
use crate::domain::workload::{Workload, WorkloadKind};
use crate::registry::Caller;

type WorkloadRequest<'a> = AdmissionRequest<'a, &'a RawValue>;

/// The kind of a workload with a template; `None` for pods and everything else.
pub(super) fn templated(kind: &GroupKind<'_>) -> Option<WorkloadKind> {
    WorkloadKind::of_group(&kind.group, &kind.kind).filter(|kind| *kind != WorkloadKind::Pod)
}

impl Gate {
    /// Answers the review of a workload, whose bytes are read anew: they are a pod's for most reviews.
    pub(super) async fn review_workload(
        &self,
        body: &[u8],
        kind: WorkloadKind,
        deadline: Instant,
    ) -> Result<Reviewed, ReviewError> {
        let request: WorkloadRequest<'_> = parse_review(body)?;
        let rules = self.rules.load_full();
        let workload = read(kind, request.object)?;
        let old = read(kind, request.old_object)?;
        match workload {
            Some(workload)
                if rules.policy.workloads != Action::Allow
                    && self.is_to_judge(&request, &workload, old.as_ref()) =>
            {
                Ok(self
                    .answer_workload(&rules, &request, &workload, deadline)
                    .await)
            }
            _ => Ok(Reviewed::not_judged(kind, request.operation)),
        }
    }

    /// What another object made is judged there, and a change counts if it is of the template.
    fn is_to_judge(
        &self,
        request: &WorkloadRequest<'_>,
        workload: &Workload<'_>,
        old: Option<&Workload<'_>>,
    ) -> bool {
        let changed = match request.operation {
            Operation::Create => true,
            Operation::Update => {
                old.is_none_or(|old| workload.pod.spec.differs_from(&old.pod.spec))
            }
            Operation::Delete | Operation::Connect => false,
        };
        changed && !workload.is_owned && !self.is_own_namespace(request.namespace.as_deref())
    }

    async fn answer_workload(
        &self,
        rules: &Rules,
        request: &WorkloadRequest<'_>,
        workload: &Workload<'_>,
        deadline: Instant,
    ) -> Reviewed {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let spec = &workload.pod.spec;
        if let Some(exemption) = self.exempt_namespace(namespace, deadline).await {
            return Reviewed::exempt(workload.kind, request.operation, exemption);
        }
        let keychain = self.keychain(namespace, spec, deadline).await;
        let terms = Terms {
            rules,
            label: self.label(Some(namespace), deadline).await,
            caller: Caller {
                keychain: &keychain,
                namespace: Some(namespace),
                in_background: false,
            },
            deadline,
            asked: &AtomicBool::default(),
            tells_all: true,
        };
        let denied = rules.policy.workloads == Action::Deny;
        let spared = (!denied).then_some(Softened::Template);
        let mut judgement = self
            .judge_template_on(spec, workload.kind, spared, terms)
            .await;
        for cause in &mut judgement.message.causes {
            cause.field = workload.kind.field(&cause.field);
        }
        let subject = Subject {
            kind: workload.kind,
            namespace,
            name: &workload.name,
            uid: &request.uid,
            operation: request.operation,
            owner: None,
            dry_run: request.dry_run == Some(true),
        };
        self.finish(&subject, judgement)
    }
}

fn read<'a>(
    kind: WorkloadKind,
    object: Option<&'a RawValue>,
) -> Result<Option<Workload<'a>>, ReviewError> {
    let read = |object: &'a RawValue| kind.read(&mut Deserializer::from_str(object.get()));
    Ok(object.map(read).transpose()?)
}
