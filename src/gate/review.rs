//! One review: from the API server's bytes to our answer's, and the reviews that need no judgement.

use std::sync::atomic::Ordering;

use crate::admission::{
    AdmissionRequest, Answer, Cause, Operation, ReviewError, parse_review, write_response,
};
use crate::domain::exemption::Exemption;
use crate::domain::pod::{Pod, PodSpec};
use crate::domain::policy::Action;
use crate::domain::workload::WorkloadKind;
use crate::metrics::{Metrics, RequestLabels};
use crate::registry::{Caller, Keychain};

use tokio::time::Instant;

use super::workloads::templated;
use super::{Gate, Judgement};

/// Exemptions of one review that the audit log names; a pod may have hundreds of containers.
const AUDITED: usize = 5;

pub(super) type PodRequest<'a> = AdmissionRequest<'a, Pod<'a>>;
/// What a review came to, what it is counted under, and the exemptions that it used.
pub(super) type Reviewed = (Answer, RequestLabels, Vec<Exemption>);

impl Gate {
    /// Answers the body of an `AdmissionReview` on a pod or on what makes pods. Registries are waited for until the deadline.
    ///
    /// # Errors
    /// The body is no review; the caller answers HTTP 400.
    pub async fn review(
        &self,
        body: &[u8],
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Vec<u8>, ReviewError> {
        let request: PodRequest<'_> = parse_review(body)?;
        let (mut answer, labels, exemptions) = match templated(&request.kind) {
            Some(kind) => self.review_workload(body, kind, deadline).await?,
            None => self.review_pod(&request, deadline).await,
        };
        answer.audit_annotations.extend(note(&exemptions, metrics));
        metrics.reviewed(labels);
        Ok(write_response(&request.uid, answer))
    }

    async fn review_pod(&self, request: &PodRequest<'_>, deadline: Instant) -> Reviewed {
        match self.pod_to_judge(request) {
            Some(pod) => self.answer(request, pod, deadline).await,
            None => (
                Answer::allow(Vec::new()),
                labels(WorkloadKind::Pod, request.operation, "allow", "not-judged"),
                Vec::new(),
            ),
        }
    }

    /// The pod of a review that has to be judged; everything else passes at once, whatever the registries do.
    pub(super) fn pod_to_judge<'r>(&self, request: &'r PodRequest<'_>) -> Option<&'r Pod<'r>> {
        let pod = request.object.as_ref()?;
        let is_pod = &*request.kind.kind == "Pod" && request.kind.group.is_empty();
        let own = self.is_own_namespace(request.namespace.as_deref());
        let of_node = request
            .user_info
            .groups
            .iter()
            .flatten()
            .any(|group| &**group == "system:nodes");
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
            let labels = labels(WorkloadKind::Pod, request.operation, "allow", "exempt");
            return (Answer::allow(Vec::new()), labels, vec![exemption]);
        }
        let keychain = self.keychain(namespace, &pod.spec, deadline).await;
        let caller = Caller {
            keychain: &keychain,
            namespace: Some(namespace),
        };
        let judgement = self.judge(pod, caller, deadline).await;
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
        };
        finish(&subject, judgement)
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
        pull_secrets
            .keychain(namespace, &names, &spec.service_account_name, deadline)
            .await
    }
}

/// The object under review, as far as the log tells of it.
pub(super) struct Subject<'a> {
    pub(super) kind: WorkloadKind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) operation: Operation,
}

/// Tells of a judgement in the log and makes it the answer.
pub(super) fn finish(subject: &Subject<'_>, mut judgement: Judgement<'_>) -> Reviewed {
    let decision = &judgement.decision;
    let labels = labels(
        subject.kind,
        subject.operation,
        decision.action.as_str(),
        decision.outcome.code(),
    );
    if decision.action != Action::Allow || decision.softened.is_some() {
        log(subject, &judgement);
    }
    let exemptions = std::mem::take(&mut judgement.exemptions);
    (judgement.into_answer(), labels, exemptions)
}

/// Counts exemptions that were used, and gives what the audit log says of them.
fn note(exemptions: &[Exemption], metrics: &Metrics) -> Option<(String, String)> {
    for exemption in exemptions {
        metrics.exempted(exemption.kind.as_str());
    }
    let told = exemptions
        .iter()
        .take(AUDITED)
        .map(|exemption| format!("{}: {}", exemption.kind.as_str(), exemption.what));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| ("exempt".to_owned(), told.join("; ")))
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

pub(super) fn labels(
    kind: WorkloadKind,
    operation: Operation,
    decision: &'static str,
    reason: &'static str,
) -> RequestLabels {
    RequestLabels {
        kind: match kind {
            WorkloadKind::Pod => "pod",
            _ => "workload",
        },
        operation: operation.as_str(),
        decision,
        reason,
    }
}

/// One line per denial and warning. The image and the names are the author's words: they are fields, escaped by the
/// formatter, and nothing that a registry said is among them.
fn log(subject: &Subject<'_>, judgement: &Judgement<'_>) {
    tracing::info!(
        uid = subject.uid,
        namespace = subject.namespace,
        kind = subject.kind.name(),
        name = subject.name,
        operation = subject.operation.as_str(),
        decision = judgement.decision.action.as_str(),
        code = judgement.decision.outcome.code(),
        message = judgement.message.text,
    );
}

impl Judgement<'_> {
    /// The admission answer: a denial carries the message, a warning carries warnings, silence carries annotations
    /// only.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        let Self {
            assessment,
            decision,
            message,
            exemptions: _,
        } = self;
        let mut audit_annotations = vec![
            ("decision".to_owned(), decision.action.as_str().to_owned()),
            ("code".to_owned(), decision.outcome.code().to_owned()),
        ];
        let digests = assessment
            .images
            .iter()
            .filter_map(|image| image.answer.as_ref().ok());
        let digests: Vec<&str> = digests.map(|image| image.digest.as_str()).collect();
        if !digests.is_empty() && (decision.action != Action::Allow || decision.softened.is_some())
        {
            audit_annotations.push(("digests".to_owned(), digests.join(" ")));
        }
        if decision.softened.is_some() {
            audit_annotations.push(("would-deny".to_owned(), message.text.clone()));
        }
        let causes = message
            .causes
            .into_iter()
            .map(|(field, message)| Cause { field, message });
        Answer {
            allowed: decision.action != Action::Deny,
            message: message.text,
            causes: causes.collect(),
            warnings: if decision.action == Action::Warn {
                message.warnings
            } else {
                Vec::new()
            },
            audit_annotations,
            patch: None,
        }
    }
}
