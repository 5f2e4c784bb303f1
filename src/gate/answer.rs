//! From a judgement to what is told of it: the admission answer, the log line and the numbers, all with the same codes.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::admission::{Annotation, Answer, Cause, Operation};
use crate::cluster::events::{Events, OwnerEvent};
use crate::domain::decision::Assessment;
use crate::domain::exemption::Exemption;
use crate::domain::pod::OwnerReference;
use crate::domain::policy::Action;
use crate::domain::workload::WorkloadKind;
use crate::metrics::{Metrics, RequestLabels};
use crate::trace;

use super::{Gate, Judgement};

/// What a review came to.
pub(super) struct Reviewed {
    pub(super) answer: Answer,
    /// Whether a registry was waited for.
    pub(super) asked: bool,
    labels: RequestLabels,
    findings: Vec<&'static str>,
    exemptions: Vec<Exemption>,
}

/// Exemptions of one review that the audit log names; a pod may have hundreds of containers.
const AUDITED: usize = 5;

impl Reviewed {
    /// What needs no judgement passes in silence.
    pub(super) fn not_judged(kind: WorkloadKind, operation: Operation) -> Self {
        Self::silent(labels(kind, operation, "allow", "not-judged"), Vec::new())
    }

    /// So does what is exempt, but the audit log says why.
    pub(super) fn exempt(kind: WorkloadKind, operation: Operation, exemption: Exemption) -> Self {
        Self::silent(labels(kind, operation, "allow", "exempt"), vec![exemption])
    }

    fn silent(labels: RequestLabels, exemptions: Vec<Exemption>) -> Self {
        let mut answer = Answer::allow(Vec::new());
        answer.audit_annotations.extend(told(&exemptions));
        Self {
            answer,
            asked: false,
            labels,
            findings: Vec::new(),
            exemptions,
        }
    }

    pub(super) fn count(&self, metrics: &Metrics) {
        metrics.reviewed(self.labels);
        for code in &self.findings {
            metrics.found(code);
        }
        for exemption in &self.exemptions {
            metrics.exempted(exemption.kind.as_str());
        }
    }

    /// Adds the decision to the span of the review.
    pub(super) fn tell_trace(&self) {
        trace::record("platform_gate.decision", self.labels.decision);
        trace::record("platform_gate.reason", self.labels.reason);
    }
}

/// What the audit log says of exemptions that were used.
fn told(exemptions: &[Exemption]) -> Option<Annotation> {
    let told = exemptions
        .iter()
        .take(AUDITED)
        .map(|exemption| format!("{}: {}", exemption.kind.as_str(), exemption.what));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| ("exempt", told.join("; ").into()))
}

/// The object under review, as far as the log tells of it.
pub(super) struct Subject<'a> {
    pub(super) kind: WorkloadKind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) operation: Operation,
    /// The controller that made it.
    pub(super) owner: Option<&'a OwnerReference<'a>>,
    /// Nothing comes of the review, whatever the answer.
    pub(super) dry_run: bool,
}

impl Gate {
    /// Where events on the owners of pods are handed in; whether they are is said by [`Gate::report_events`].
    #[must_use]
    pub fn with_events(mut self, events: Events) -> Self {
        self.events = Some(events);
        self
    }

    /// Lets owners of pods have events of what is denied and warned of, or not.
    pub fn report_events(&self, reports: bool) {
        self.reports_events.store(reports, Ordering::Relaxed);
    }

    /// Tells of a judgement and makes it the answer.
    pub(super) fn finish(&self, subject: &Subject<'_>, judgement: Judgement<'_>) -> Reviewed {
        if !judgement.is_silent() {
            self.tell(subject, &judgement);
        }
        finish(subject, judgement)
    }

    /// In the log and in an event of the owner, but what repeats for an owner only once in a while.
    fn tell(&self, subject: &Subject<'_>, judgement: &Judgement<'_>) {
        let findings = judgement.assessment.finding_codes().join(" ");
        let decision = &judgement.decision;
        let Some(owner) = subject.owner else {
            return log(subject, judgement, &findings, 0);
        };
        let reports = self.reports_events.load(Ordering::Relaxed) && !subject.dry_run;
        let what = [
            subject.namespace,
            &owner.kind,
            &owner.name,
            &owner.uid,
            decision.action.as_str(),
            decision.outcome.code(),
            &findings,
            // What was told in the log alone is no reason to leave out the event.
            if reports { "event" } else { "" },
        ];
        let Some(held_back) = self.repeats.tell(&what, Instant::now()) else {
            return;
        };
        log(subject, judgement, &findings, held_back);
        let events = self.events.as_ref().filter(|_| reports);
        if let (Some(events), Some(event)) = (events, event(subject, owner, judgement)) {
            events.report(event);
        }
    }
}

/// What the owner's event says. There is none of what is only recorded, nor on what names no object.
fn event(
    subject: &Subject<'_>,
    owner: &OwnerReference<'_>,
    judgement: &Judgement<'_>,
) -> Option<OwnerEvent> {
    let reason = match judgement.decision.action {
        Action::Deny => "PodRejected",
        Action::Warn => "PodMayNotRun",
        Action::Allow => return None,
    };
    let is_named = [&owner.api_version, &owner.name, &owner.uid];
    is_named
        .iter()
        .all(|text| !text.is_empty())
        .then(|| OwnerEvent {
            namespace: subject.namespace.to_owned(),
            api_version: owner.api_version.to_string(),
            kind: owner.kind.to_string(),
            name: owner.name.to_string(),
            uid: owner.uid.to_string(),
            reason,
            note: judgement.message.text.clone(),
        })
}

fn finish(subject: &Subject<'_>, mut judgement: Judgement<'_>) -> Reviewed {
    let decision = &judgement.decision;
    let labels = labels(
        subject.kind,
        subject.operation,
        decision.action.as_str(),
        decision.outcome.code(),
    );
    let findings = if judgement.is_silent() {
        Vec::new()
    } else {
        judgement.assessment.finding_codes()
    };
    let asked = judgement.asked;
    let exemptions = std::mem::take(&mut judgement.exemptions);
    let mut answer = judgement.into_answer();
    answer.audit_annotations.extend(told(&exemptions));
    Reviewed {
        answer,
        asked,
        labels,
        findings,
        exemptions,
    }
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

/// One line per denial and warning. `repeats` is how many such lines were held back before it. The image and the names are the author's words: they are fields, escaped by the
/// formatter, and nothing that a registry said is among them.
fn log(subject: &Subject<'_>, judgement: &Judgement<'_>, findings: &str, repeats: u64) {
    tracing::info!(
        uid = subject.uid,
        namespace = subject.namespace,
        kind = subject.kind.name(),
        name = subject.name,
        operation = subject.operation.as_str(),
        decision = judgement.decision.action.as_str(),
        code = judgement.decision.outcome.code(),
        owner = subject.owner.map(|owner| &*owner.name),
        repeats,
        findings,
        message = judgement.message.text,
    );
}

impl Judgement<'_> {
    /// Whether nothing is to be told of it.
    fn is_silent(&self) -> bool {
        self.decision.action == Action::Allow && self.decision.softened.is_none()
    }

    /// The admission answer: a denial carries the message, a warning carries warnings, silence carries annotations
    /// only.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        let audit_annotations = self.annotations();
        let Self {
            decision, message, ..
        } = self;
        let causes = message.causes.into_iter().map(|cause| Cause {
            field: cause.field,
            reason: cause.code,
            message: cause.text,
        });
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

    /// What the audit log keeps (OPERATIONS A16).
    fn annotations(&self) -> Vec<Annotation> {
        let decision = &self.decision;
        let mut kept: Vec<Annotation> = vec![
            ("decision", decision.action.as_str().into()),
            ("code", decision.outcome.code().into()),
        ];
        if !self.is_silent() {
            let source = match self.asked {
                _ if self.assessment.images.is_empty() => "",
                true => "registry",
                false => "cache",
            };
            kept.extend([
                ("findings", self.assessment.finding_codes().join(" ").into()),
                ("digests", digests(&self.assessment).into()),
                ("source", source.into()),
                ("nodes", revision(&self.assessment).into()),
            ]);
        }
        if decision.softened.is_some() {
            kept.push(("would-deny", self.message.text.clone().into()));
        }
        kept.retain(|(_, value)| !value.is_empty());
        kept
    }
}

fn digests(assessment: &Assessment<'_>) -> String {
    let images = assessment.images.iter();
    let known = images.filter_map(|image| image.answer.as_ref().ok());
    known
        .map(|image| image.digest.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Names the set of nodes that was judged: the same platforms with as many nodes and candidates have the same name, on
/// every replica.
fn revision(assessment: &Assessment<'_>) -> String {
    let mut groups: Vec<String> = assessment
        .groups
        .iter()
        .map(|verdict| {
            let group = &verdict.group;
            let (candidates, nodes) = (group.candidates, group.nodes);
            format!("{candidates}/{nodes} {}", group.platform.group_name())
        })
        .collect();
    groups.sort();
    // FNV-1a: a name to compare, of which nothing depends.
    let hash = groups
        .join("\n")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}
