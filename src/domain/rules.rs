//! All that an operator may set about decisions, as valid values in one place.
//!
//! Leaves out the file it is written in (`config`) and how registries are reached (`registry`).

use super::decision::Handlers;
use super::exemption::Exemptions;
use super::inventory::NodeRules;
use super::policy::Policy;

/// The operator's rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// What findings do to pods.
    pub policy: Policy,
    /// What is known of nodes.
    pub nodes: NodeRules,
    /// What runtime handlers mean.
    pub handlers: Handlers,
    /// What is never judged: images whose config lies, say, which no webhook can know.
    pub exempt: Exemptions,
    /// How pods that may land wrong are pinned, where they are.
    pub pin: Pin,
}

/// What the mutating webhook adds besides what pods lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pin {
    /// The architecture to prefer for pods that run on several.
    pub prefer_architecture: Option<String>,
}
