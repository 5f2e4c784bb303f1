//! One review: from the API server's bytes to our answer's, and the reviews that need no judgement.

use std::sync::atomic::Ordering;

use crate::admission::{
    AdmissionRequest, Answer, Cause, Operation, ReviewError, parse_review, write_response,
};
use crate::domain::pod::Pod;
use crate::domain::policy::Action;
use crate::metrics::{Metrics, RequestLabels};
use crate::registry::{Caller, Keychain};

use tokio::time::Instant;

use super::{Gate, Judgement};

type PodRequest<'a> = AdmissionRequest<'a, Pod<'a>>;

impl Gate {
    /// Answers the body of an `AdmissionReview` on a pod. Registries are waited for until the deadline.
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
        let (answer, labels) = match self.pod_to_judge(&request) {
            Some(pod) => self.answer(&request, pod, deadline).await,
            None => (
                Answer::allow(Vec::new()),
                labels(&request, "allow", "not-judged"),
            ),
        };
        metrics.reviewed(labels);
        Ok(write_response(&request.uid, answer))
    }

    /// The pod of a review that has to be judged; everything else passes at once, whatever the registries do.
    fn pod_to_judge<'r>(&self, request: &'r PodRequest<'_>) -> Option<&'r Pod<'r>> {
        let pod = request.object.as_ref()?;
        let is_pod = &*request.kind.kind == "Pod" && request.kind.group.is_empty();
        let own = request.namespace.as_deref() == self.own_namespace.as_deref()
            && self.own_namespace.is_some();
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

    async fn answer(
        &self,
        request: &PodRequest<'_>,
        pod: &Pod<'_>,
        deadline: Instant,
    ) -> (Answer, RequestLabels) {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let keychain = self.keychain(namespace, pod, deadline).await;
        let caller = Caller {
            keychain: &keychain,
            namespace: Some(namespace),
        };
        let judgement = self.judge(pod, caller, deadline).await;
        let decision = judgement.decision.action.as_str();
        let labels = labels(request, decision, judgement.decision.outcome.code());
        if judgement.decision.action != Action::Allow || judgement.decision.softened.is_some() {
            log(request, pod, decision, &judgement);
        }
        (judgement.into_answer(), labels)
    }
}

impl Gate {
    /// The credentials that the pod's kubelet would have from its pull secrets; none where reading them is off.
    async fn keychain(&self, namespace: &str, pod: &Pod<'_>, deadline: Instant) -> Keychain {
        let reads = self.reads_pull_secrets.load(Ordering::Relaxed);
        let Some(pull_secrets) = self.pull_secrets.as_ref().filter(|_| reads) else {
            return Keychain::anonymous();
        };
        let names: Vec<&str> = pod
            .spec
            .image_pull_secrets
            .iter()
            .map(|secret| &*secret.name)
            .collect();
        pull_secrets
            .keychain(namespace, &names, &pod.spec.service_account_name, deadline)
            .await
    }
}

/// Whether an update changed what a verdict rests on: the images, or the placement of a gated pod (OPERATIONS A9).
fn has_changed(old: &Pod<'_>, new: &Pod<'_>) -> bool {
    let (old, new) = (&old.spec, &new.spec);
    let images = |spec: &'_ crate::domain::pod::PodSpec<'_>| -> Vec<String> {
        spec.images()
            .iter()
            .map(|image| image.image.to_owned())
            .collect()
    };
    let same_place = old.node_selector == new.node_selector && old.affinity == new.affinity;
    images(old) != images(new) || !same_place
}

fn labels(request: &PodRequest<'_>, decision: &'static str, reason: &'static str) -> RequestLabels {
    RequestLabels {
        operation: request.operation.as_str(),
        decision,
        reason,
    }
}

/// One line per denial and warning. The image and the names of the pod are the author's words: they are fields,
/// escaped by the formatter, and nothing that a registry said is among them.
fn log(request: &PodRequest<'_>, pod: &Pod<'_>, decision: &str, judgement: &Judgement<'_>) {
    let name = if pod.metadata.name.is_empty() {
        &pod.metadata.generate_name
    } else {
        &pod.metadata.name
    };
    tracing::info!(
        uid = &*request.uid,
        namespace = request.namespace.as_deref().unwrap_or_default(),
        pod = &**name,
        operation = request.operation.as_str(),
        decision,
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
        }
    }
}
