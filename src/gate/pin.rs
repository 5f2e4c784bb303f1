//! The mutating review: a pod that may land wrong gets what keeps it where it runs. Everything else passes unchanged.
//!
//! Leaves out which requirements those are (`domain::pinning`) and how they are written (`admission`).

use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;

use crate::admission::{Answer, Operation, PinnedPod, ReviewError, parse_review, write_response};
use crate::domain::decision::{Assessment, GroupVerdict, Joint, Outcome};
use crate::domain::inventory::NodeGroup;
use crate::domain::pinning::{has_choice_of, pinning, reason};
use crate::domain::pod::{Pod, PodSpec};
use crate::domain::rules::Pin;
use crate::domain::workload::{Workload, WorkloadKind};
use crate::metrics::Metrics;
use crate::registry::Caller;

use super::answer::labels;
use super::review::PodRequest;
use super::{Gate, Terms};

impl Gate {
    /// Answers the body of an `AdmissionReview` on a pod with what is to be added to it. Never denies, never warns: the
    /// validating review does, of what comes out of this one.
    ///
    /// # Errors
    /// The body is no review; the caller answers HTTP 400.
    pub async fn review_to_pin(
        &self,
        body: &[u8],
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Vec<u8>, ReviewError> {
        let request: PodRequest<'_> = parse_review(body)?;
        let pinned = match self.pod_to_pin(&request) {
            Some(pod) => self.pinned(&request, pod, body, deadline).await,
            None => None,
        };
        let decision = if pinned.is_some() { "pin" } else { "allow" };
        metrics.reviewed(labels(
            WorkloadKind::Pod,
            request.operation,
            decision,
            "pinning",
        ));
        let answer = pinned.unwrap_or_else(|| Answer::allow(Vec::new()));
        Ok(write_response(&request.uid, answer))
    }

    /// A new pod that the scheduler is to place. A DaemonSet's pods have a node each, and so do bound ones.
    fn pod_to_pin<'r>(&self, request: &'r PodRequest<'_>) -> Option<&'r Pod<'r>> {
        let pod = self.pod_to_judge(request)?;
        let is_free = pod.spec.node_name.is_empty() && !pod.is_of_daemon_set();
        (request.operation == Operation::Create && is_free).then_some(pod)
    }

    async fn pinned(
        &self,
        request: &PodRequest<'_>,
        pod: &Pod<'_>,
        body: &[u8],
        deadline: Instant,
    ) -> Option<Answer> {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let keychain = self.keychain(namespace, &pod.spec, deadline).await;
        let caller = Caller {
            keychain: &keychain,
            namespace: Some(namespace),
            in_background: false,
        };
        let rules = self.rules.load_full();
        let terms = Terms {
            rules: &rules,
            label: None,
            caller,
            deadline,
            asked: &AtomicBool::default(),
            tells_all: false,
        };
        let (assessment, _) = self.assess(&pod.spec, &pod.spec, terms).await;
        // Most pods are right: nothing more is read of them.
        if !has_to_change(&rules.pin, &assessment) {
            return None;
        }
        let object = parse_review::<&RawValue>(body).ok()?.object?;
        let mut pinned = PinnedPod::parse(object).ok()?;
        let added = self.pin(&rules.pin, &assessment, &mut pinned);
        let patch = pinned.patch()?;
        let audit_annotations = added.into_iter().map(|reason| ("pinned", reason.into()));
        Some(Answer {
            patch: Some(patch),
            audit_annotations: audit_annotations.collect(),
            ..Answer::allow(Vec::new())
        })
    }

    /// What would be added to the pods of an object in a file, written into the object, or into the template that it has.
    /// `None` where nothing is: what another object made is mended there, and pods of DaemonSets and bound ones are left
    /// alone.
    #[must_use]
    pub fn fix(
        &self,
        object: &Value,
        workload: &Workload<'_>,
        assessment: &Assessment<'_>,
    ) -> Option<PinnedPod> {
        let is_free = workload.pod.spec.node_name.is_empty()
            && workload.kind != WorkloadKind::DaemonSet
            && !workload.is_owned;
        let mut pinned = is_free.then(|| PinnedPod::of_object(object, workload.kind))?;
        let rules = self.rules.load_full();
        self.pin(&rules.pin, assessment, &mut pinned);
        pinned.patch().is_some().then_some(pinned)
    }

    /// Adds what the pod lacks, and the preferred architecture if it has the choice; returns what was required and why.
    fn pin(
        &self,
        rules: &Pin,
        assessment: &Assessment<'_>,
        pinned: &mut PinnedPod,
    ) -> Option<String> {
        let required = match assessment.outcome() {
            Outcome::MayLandWrong(_) => pinning(assessment)?,
            Outcome::Runs => {
                prefer(rules, assessment, pinned);
                return None;
            }
            _ => return None,
        };
        let reason = reason(&required, assessment);
        let mut with = pinned.clone();
        with.pin(&required, &reason);
        if !self.is_right(assessment, &self.admitted(&with.pod().ok()?.spec)) {
            tracing::debug!(%required, "labels of nodes do not say what the nodes are: the pod is not pinned");
            return None;
        }
        *pinned = with;
        prefer(rules, assessment, pinned);
        Some(reason)
    }

    /// Whether the pod, as it is now, may land on all nodes that run it, and on no other. It would not where nodes lack
    /// the labels that kubelets set, or carry wrong ones.
    fn is_right(&self, assessment: &Assessment<'_>, pinned: &PodSpec<'_>) -> bool {
        let after = self.inventory().groups(pinned);
        let wanted = |group: &NodeGroup| {
            let same = |verdict: &&GroupVerdict| {
                verdict.group.platform == group.platform
                    && verdict.group.are_pools == group.are_pools
            };
            let before = assessment.groups.iter().find(same);
            let runs = before.filter(|verdict| verdict.joint == Joint::Runs);
            runs.map_or(0, |verdict| verdict.group.candidates)
        };
        after
            .iter()
            .all(|group| group.candidates == wanted(group) && group.refused_by_os == 0)
    }
}

/// Whether something may have to be added, as far as the outcome tells.
fn has_to_change(rules: &Pin, assessment: &Assessment<'_>) -> bool {
    match assessment.outcome() {
        Outcome::MayLandWrong(_) => true,
        Outcome::Runs => rules.prefer_architecture.is_some(),
        _ => false,
    }
}

fn prefer(rules: &Pin, assessment: &Assessment<'_>, pinned: &mut PinnedPod) {
    let architecture = rules.prefer_architecture.as_deref();
    if let Some(architecture) = architecture.filter(|it| has_choice_of(it, assessment)) {
        pinned.prefer(architecture);
    }
}
