//! Judging what makes pods while nobody waits: with the few look-ups of its own that the registry client has for that.
//!
//! Leaves out what is watched, when it is judged and who is told (`watch`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Gate, Judgement, Terms};
use crate::domain::decision::{Assessment, Outcome};
use crate::domain::pod::PodSpec;
use crate::domain::policy::{Action, EnforcementAction, NamespaceAction};
use crate::domain::workload::WorkloadKind;
use crate::registry::Caller;

/// Longest wait for the images of a template.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What becomes of the next pods of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub outcome: Outcome,
    /// In words; empty where they run.
    pub message: String,
    /// Whether a registry had to be asked.
    pub asked: bool,
}

impl Gate {
    /// A higher number once a template may be judged differently than before, as far as that is known here.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let nodes = self.inventory().revision();
        nodes + self.revision.load(Ordering::Relaxed)
    }

    /// Judges a template; `None` where nobody wants it judged. What the settings allow in silence runs.
    pub async fn judge_in_background(
        &self,
        namespace: &str,
        spec: &PodSpec<'_>,
        kind: WorkloadKind,
    ) -> Option<Found> {
        let deadline = Instant::now() + TIMEOUT;
        if self.is_own_namespace(Some(namespace))
            || self.exempt_namespace(namespace, deadline).await.is_some()
        {
            return None;
        }
        let keychain = self.keychain(namespace, spec, deadline).await;
        let rules = self.rules.load_full();
        let terms = Terms {
            rules: &rules,
            // In audit mode nothing is said to anybody, and everything is to be told here.
            label: Some(NamespaceAction::Enforce(EnforcementAction::Warn)),
            caller: Caller {
                keychain: &keychain,
                namespace: Some(namespace),
                in_background: true,
            },
            deadline,
            asked: &AtomicBool::default(),
            tells_all: true,
        };
        let admitted = self.admitted(spec);
        let (assessment, exemptions) = self.assess(spec, &admitted, terms).await;
        let assessment = self.lasting(&admitted, assessment);
        let spared = self.spared_template(spec, kind, &assessment);
        Some(found(terms.conclude(assessment, exemptions, spared)))
    }

    /// A node that has just joined may lose its taints, or they may be there for good. Nothing is said against a
    /// template that runs if they stay, so that no node causes an alarm that passes by itself.
    fn lasting<'a>(&self, placed: &PodSpec<'_>, now: Assessment<'a>) -> Assessment<'a> {
        if now.outcome() == Outcome::Runs {
            return now;
        }
        let Some(groups) = self.inventory().groups_grown(placed) else {
            return now;
        };
        let handler = self.handler(&self.rules.load(), placed);
        let grown = Assessment::new(now.images.clone(), groups, handler);
        match grown.outcome() {
            Outcome::Runs => grown,
            _ => now,
        }
    }
}

fn found(judgement: Judgement<'_>) -> Found {
    let asked = judgement.asked;
    match judgement.decision.action {
        Action::Allow => Found {
            outcome: Outcome::Runs,
            message: String::new(),
            asked,
        },
        Action::Warn | Action::Deny => Found {
            outcome: judgement.decision.outcome,
            message: judgement.message.text,
            asked,
        },
    }
}
