//! What follows from a finding: the operator's choices, as valid values.
//!
//! Leaves out how they are written in a settings file (`config`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reference::{Reference, prefix_length};
use super::verdict::Verdict;

/// What happens to a pod that would be denied, as in Pod Security Admission's modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnforcementAction {
    /// Reject it.
    #[default]
    Deny,
    /// Admit it with the same message as a warning.
    Warn,
    /// Admit it in silence; the API server's audit log says what would have happened.
    Audit,
}

/// The label by which a namespace asks for an enforcement action of its own.
pub const ENFORCEMENT_LABEL: &str = "platform-gate.io/enforcement-action";

/// What the label of a namespace asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamespaceAction {
    /// Its pods are judged, and this happens to those that would be denied.
    Enforce(EnforcementAction),
    /// Its pods are not judged.
    Off,
}

impl EnforcementAction {
    /// `deny`, `warn` or `audit`, as in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
            Self::Audit => "audit",
        }
    }
}

impl NamespaceAction {
    /// All that there are.
    pub const ALL: [Self; 4] = [
        Self::Enforce(EnforcementAction::Deny),
        Self::Enforce(EnforcementAction::Warn),
        Self::Enforce(EnforcementAction::Audit),
        Self::Off,
    ];

    /// What a value of the label means; `None` if nothing.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == value)
    }

    /// The value of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce(action) => action.as_str(),
            Self::Off => "off",
        }
    }
}

/// What a finding does to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Admit it in silence.
    Allow,
    /// Admit it with a warning.
    Warn,
    /// Reject it.
    Deny,
}

impl Action {
    /// `allow`, `warn` or `deny`, as in settings and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// What a pod that fits some candidate nodes and not others is told, by what sets those nodes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MayLandWrong {
    /// The operating system.
    pub os: Action,
    /// The Windows build.
    pub windows_build: Action,
    /// The architecture.
    pub arch: Action,
}

/// What findings on the images of a registry do, where that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryPolicy {
    /// What is unknown of them, where `findings` says nothing.
    pub unknown: Option<Action>,
    /// Single findings, by their code.
    pub findings: BTreeMap<&'static str, Action>,
}

impl RegistryPolicy {
    fn action_on(&self, verdict: Verdict) -> Option<Action> {
        let by_code = verdict.code().and_then(|code| self.findings.get(code));
        by_code.copied().or(match verdict {
            Verdict::Unknown(_) => self.unknown,
            _ => None,
        })
    }
}

/// The operator's choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What happens to a pod that would be denied.
    pub enforcement_action: EnforcementAction,
    /// Pods that the scheduler may put on a wrong node.
    pub may_land_wrong: MayLandWrong,
    /// Pods of which something decisive is unknown, where `findings` says nothing else.
    pub unknown: Action,
    /// What single findings do, by their code: a cause that denies by default, or a doubt.
    pub findings: BTreeMap<&'static str, Action>,
    /// Pods that no node is a candidate for.
    pub no_candidate: Action,
    /// What images of a registry do otherwise, by its host or a longer prefix of their names; the longest counts.
    pub registries: BTreeMap<String, RegistryPolicy>,
    /// The most that is done about a workload whose pods would be denied: `Allow` leaves workloads unjudged.
    pub workloads: Action,
}

impl Default for MayLandWrong {
    fn default() -> Self {
        Self {
            os: Action::Warn,
            windows_build: Action::Warn,
            arch: Action::Warn,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enforcement_action: EnforcementAction::Deny,
            may_land_wrong: MayLandWrong::default(),
            unknown: Action::Warn,
            findings: BTreeMap::new(),
            no_candidate: Action::Warn,
            registries: BTreeMap::new(),
            workloads: Action::Warn,
        }
    }
}

impl Policy {
    /// The same with another enforcement action, or as it is.
    #[must_use]
    pub fn enforcing(&self, action: Option<EnforcementAction>) -> Cow<'_, Self> {
        match action.filter(|action| *action != self.enforcement_action) {
            None => Cow::Borrowed(self),
            Some(enforcement_action) => Cow::Owned(Self {
                enforcement_action,
                ..self.clone()
            }),
        }
    }

    /// What the verdict on one image, by its reference as written, does to its pod. What is said of its registry goes
    /// before what is said of all.
    #[must_use]
    pub fn action_on(&self, image: &str, verdict: Verdict) -> Action {
        let of_registry = self.of_registry(image);
        if let Some(action) = of_registry.and_then(|policy| policy.action_on(verdict)) {
            return action;
        }
        let default = match verdict {
            Verdict::Runs { .. } => return Action::Allow,
            Verdict::CannotRun(_) => Action::Deny,
            Verdict::Unknown(_) => self.unknown,
        };
        verdict
            .code()
            .and_then(|code| self.findings.get(code))
            .copied()
            .unwrap_or(default)
    }

    fn of_registry(&self, image: &str) -> Option<&RegistryPolicy> {
        if self.registries.is_empty() {
            return None;
        }
        let reference = Reference::parse(image).ok()?;
        let name = reference.name();
        let covering = self
            .registries
            .iter()
            .filter(|(prefix, _)| prefix_length(prefix, name).is_some());
        covering
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, policy)| policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lookup::LookupFailure;
    use crate::domain::verdict::Doubt;

    #[test]
    fn what_is_said_of_a_registry_goes_before_what_is_said_of_all() {
        let of = |unknown, findings: &[(&'static str, Action)]| RegistryPolicy {
            unknown,
            findings: findings.iter().copied().collect(),
        };
        let policy = Policy {
            unknown: Action::Warn,
            findings: [("timeout", Action::Allow)].into(),
            registries: [
                ("*".to_owned(), of(None, &[("rate-limited", Action::Allow)])),
                (
                    "own.example".to_owned(),
                    of(Some(Action::Deny), &[("overloaded", Action::Warn)]),
                ),
                ("own.example/lab".to_owned(), of(Some(Action::Allow), &[])),
            ]
            .into(),
            ..Policy::default()
        };
        for (image, failure, want) in [
            ("nginx", LookupFailure::NotFound, Action::Warn),
            ("nginx", LookupFailure::Timeout, Action::Allow),
            ("nginx", LookupFailure::RateLimited, Action::Allow),
            ("own.example/app", LookupFailure::NotFound, Action::Deny),
            ("own.example/app", LookupFailure::Timeout, Action::Deny),
            ("own.example/app", LookupFailure::Overloaded, Action::Warn),
            ("own.example/app", LookupFailure::RateLimited, Action::Deny),
            (
                "own.example/lab/app",
                LookupFailure::NotFound,
                Action::Allow,
            ),
            (
                "own.example/laboratory",
                LookupFailure::NotFound,
                Action::Deny,
            ),
            (
                "own.example.evil/app",
                LookupFailure::NotFound,
                Action::Warn,
            ),
            (
                "NOT A REFERENCE",
                LookupFailure::InvalidReference,
                Action::Warn,
            ),
        ] {
            let verdict = Verdict::Unknown(Doubt::Lookup(failure));
            assert_eq!(policy.action_on(image, verdict), want, "{image} {failure}");
        }
    }

    #[test]
    fn every_reason_of_a_failed_look_up_can_be_set() {
        for failure in LookupFailure::ALL {
            for action in [Action::Allow, Action::Warn, Action::Deny] {
                let policy = Policy {
                    findings: [(failure.code(), action)].into(),
                    ..Policy::default()
                };
                let verdict = Verdict::Unknown(Doubt::Lookup(failure));
                assert_eq!(policy.action_on("nginx", verdict), action, "{failure}");
            }
        }
    }
}
