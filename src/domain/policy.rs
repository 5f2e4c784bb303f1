//! What follows from a finding: the operator's choices, as valid values.
//!
//! Leaves out how they are written in a settings file (`config`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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

    /// What the verdict on one image does to its pod.
    #[must_use]
    pub fn action_on(&self, verdict: Verdict) -> Action {
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
}
