//! One review: from the API server's bytes to our answer's, and the reviews that need no judgement.

use std::sync::atomic::Ordering;

use crate::admission::{
    AdmissionRequest, Answer, Operation, ReviewError, parse_review, parse_uid, write_response,
};
use crate::cluster::pull_secrets::PullSecrets;
use crate::domain::lookup::LookupFailure;
use crate::domain::pod::{Pod, PodSpec};
use crate::domain::policy::{Action, EnforcementAction};
use crate::domain::verdict::{Doubt, Verdict};
use crate::domain::workload::WorkloadKind;
use crate::metrics::{Metrics, RequestLabels};
use crate::registry::{Caller, Keychain};

use tokio::time::Instant;

use super::Gate;
use super::answer::{Reviewed, Subject};
use super::workloads::templated;

/// Boxed, since a pod is large and the request is moved as it is read.
pub(super) type PodRequest<'a> = AdmissionRequest<'a, Box<Pod<'a>>>;

const OVERLOADED: &str =
    "platform-gate is overloaded; it did not check whether the images can run.";

impl Gate {
    /// Answers the body of an `AdmissionReview` on a pod or on what makes pods. Registries are waited for until the
    /// deadline.
    ///
    /// # Errors
    /// The body is no review; the caller answers HTTP 400.
    pub async fn review(
        &self,
        body: &[u8],
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Vec<u8>, ReviewError> {
        let started = Instant::now();
        let request: PodRequest<'_> = parse_review(body)?;
        let reviewed = match templated(&request.kind) {
            // Boxed, so that the reviews of pods need no room for it.
            Some(kind) => Box::pin(self.review_workload(body, kind, deadline)).await?,
            None => self.review_pod(&request, deadline).await,
        };
        reviewed.count(metrics);
        reviewed.tell_trace();
        metrics.answered(started.elapsed(), reviewed.asked);
        Ok(write_response(&request.uid, reviewed.answer))
    }

    /// Answers a review that there is no time for, without a look at its object: by what the operator wants of what is
    /// not known.
    ///
    /// # Errors
    /// The body is no review, or nothing may be admitted unchecked: the caller answers HTTP 400 or 429.
    pub fn review_overloaded(
        &self,
        body: &[u8],
        metrics: &Metrics,
    ) -> Result<Vec<u8>, ReviewError> {
        let uid = parse_uid(body)?;
        let policy = &self.rules.load().policy;
        let overloaded = Verdict::Unknown(Doubt::Lookup(LookupFailure::Overloaded));
        let action = match policy.enforcement_action {
            EnforcementAction::Deny => policy.action_on("", overloaded),
            EnforcementAction::Warn => policy.action_on("", overloaded).min(Action::Warn),
            EnforcementAction::Audit => Action::Allow,
        };
        metrics.reviewed(RequestLabels {
            kind: "unknown",
            operation: "unknown",
            decision: action.as_str(),
            reason: LookupFailure::Overloaded.code(),
        });
        let warnings = match action {
            Action::Deny => return Err(ReviewError::Overloaded),
            Action::Warn => vec![OVERLOADED.to_owned()],
            Action::Allow => Vec::new(),
        };
        let annotations = [("decision", action.as_str()), ("code", "overloaded")];
        let answer = Answer {
            audit_annotations: annotations.map(|(key, value)| (key, value.into())).into(),
            ..Answer::allow(warnings)
        };
        Ok(write_response(&uid, answer))
    }

    async fn review_pod(&self, request: &PodRequest<'_>, deadline: Instant) -> Reviewed {
        match self.pod_to_judge(request) {
            Some(pod) => self.answer(request, pod, deadline).await,
            None => Reviewed::not_judged(WorkloadKind::Pod, request.operation),
        }
    }

    /// The pod of a review that has to be judged; everything else passes at once, whatever the registries do.
    pub(super) fn pod_to_judge<'r>(&self, request: &'r PodRequest<'_>) -> Option<&'r Pod<'r>> {
        let pod = request.object.as_ref()?;
        let is_pod = &*request.kind.kind == "Pod" && request.kind.group.is_empty();
        let own = self.is_own_namespace(request.namespace.as_deref());
        let of_node = request.user_info.is_node;
        let judged = match request.operation {
            Operation::Create => !(pod.metadata.is_mirror && of_node),
            Operation::Update => request
                .old_object
                .as_ref()
                .is_none_or(|old| has_changed(old, pod)),
            Operation::Delete | Operation::Connect => false,
        };
        (is_pod && !own && judged).then_some(pod)
    }

    /// Whether objects of that namespace always pass.
    pub(super) fn is_own_namespace(&self, namespace: Option<&str>) -> bool {
        self.own_namespace.is_some() && namespace == self.own_namespace.as_deref()
    }

    async fn answer(&self, request: &PodRequest<'_>, pod: &Pod<'_>, deadline: Instant) -> Reviewed {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        if let Some(exemption) = self.exempt_namespace(namespace, deadline).await {
            return Reviewed::exempt(WorkloadKind::Pod, request.operation, exemption);
        }
        let keychain = self.keychain(namespace, &pod.spec, deadline).await;
        let caller = Caller {
            keychain: &keychain,
            namespace: Some(namespace),
            in_background: false,
        };
        // Of a pod that runs nothing is told.
        let judgement = self.judge_pod(pod, caller, deadline, false).await;
        let metadata = &pod.metadata;
        let name = if metadata.name.is_empty() {
            &metadata.generate_name
        } else {
            &metadata.name
        };
        let subject = Subject {
            kind: WorkloadKind::Pod,
            namespace,
            name,
            uid: &request.uid,
            operation: request.operation,
            owner: metadata.controller(),
            dry_run: request.dry_run == Some(true),
        };
        self.finish(&subject, judgement)
    }

    /// Where pods' own pull secrets are; whether they are read is said by [`Gate::read_pull_secrets`].
    #[must_use]
    pub fn with_pull_secrets(mut self, pull_secrets: PullSecrets) -> Self {
        self.pull_secrets = Some(pull_secrets);
        self
    }

    /// Lets pods' own pull secrets be read or not, so that private images are judged.
    pub fn read_pull_secrets(&self, reads: bool) {
        self.reads_pull_secrets.store(reads, Ordering::Relaxed);
    }

    /// The credentials that the pod's kubelet would have from its pull secrets; none where reading them is off.
    pub(super) async fn keychain(
        &self,
        namespace: &str,
        spec: &PodSpec<'_>,
        deadline: Instant,
    ) -> Keychain {
        let reads = self.reads_pull_secrets.load(Ordering::Relaxed);
        let Some(pull_secrets) = self.pull_secrets.as_ref().filter(|_| reads) else {
            return Keychain::anonymous();
        };
        let names: Vec<&str> = spec
            .image_pull_secrets
            .iter()
            .map(|secret| &*secret.name)
            .collect();
        let keychain =
            pull_secrets.keychain(namespace, &names, &spec.service_account_name, deadline);
        Box::pin(keychain).await
    }
}

/// Whether an update changed what a verdict rests on: the images, or the placement of a gated pod (OPERATIONS A9).
fn has_changed(old: &Pod<'_>, new: &Pod<'_>) -> bool {
    let (old, new) = (&old.spec, &new.spec);
    let images = |spec: &'_ PodSpec<'_>| -> Vec<String> {
        spec.images()
            .iter()
            .map(|image| image.image.to_owned())
            .collect()
    };
    let same_place = old.node_selector == new.node_selector && old.affinity == new.affinity;
    images(old) != images(new) || !same_place
}
