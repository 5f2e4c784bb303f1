//! Taints and tolerations: `FindMatchingUntoleratedTaint` of k8s.io/component-helpers with the scheduler's filter.

use crate::domain::node::Taint;
use crate::domain::pod::Toleration;

/// Taints of passing states: the scheduler waits for them to go, so they do not make a node the wrong one.
const PASSING: [&str; 8] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];

/// Taints that known agents put on a node while it starts or before it is removed.
pub const AGENT_TAINTS: [&str; 12] = [
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "karpenter.sh/unregistered",
    "node.cilium.io/agent-not-ready",
    "projectcalico.org/node-network-unavailable",
    "ebs.csi.aws.com/agent-not-ready",
    "efs.csi.aws.com/agent-not-ready",
    "disk.csi.azure.com/agent-not-ready",
    "file.csi.azure.com/agent-not-ready",
    "node.cluster.x-k8s.io/uninitialized",
];

/// Whether a taint goes away by itself: a node condition, a start-up state, or one of the agents' keys given.
#[must_use]
pub fn is_passing(taint: &Taint, agents: &[String]) -> bool {
    PASSING.contains(&taint.key.as_str()) || agents.contains(&taint.key)
}

/// Whether a taint keeps pods away that do not tolerate it. A pod already bound is subject to `NoExecute` alone.
pub(super) fn repels(taint: &Taint, bound: bool) -> bool {
    taint.effect == "NoExecute" || (taint.effect == "NoSchedule" && !bound)
}

/// Whether any toleration covers the taint.
#[must_use]
pub fn tolerates(tolerations: &[Toleration<'_>], taint: &Taint) -> bool {
    tolerations
        .iter()
        .any(|toleration| covers(toleration, taint))
}

/// `Toleration.ToleratesTaint`. The numeric operators need a feature gate without which the API server refuses the
/// pod, so one that arrives has it.
#[must_use]
pub fn covers(toleration: &Toleration<'_>, taint: &Taint) -> bool {
    let same_effect = toleration.effect.is_empty() || *toleration.effect == *taint.effect;
    let same_key = toleration.key.is_empty() || *toleration.key == *taint.key;
    let numbers = || Some((decimal(&taint.value)?, decimal(&toleration.value)?));
    same_effect
        && same_key
        && match &*toleration.operator {
            "" | "Equal" => *toleration.value == *taint.value,
            "Exists" => true,
            "Lt" => numbers().is_some_and(|(taint, bound)| taint < bound),
            "Gt" => numbers().is_some_and(|(taint, bound)| taint > bound),
            _ => false,
        }
}

/// A decimal integer in its shortest form: no sign but a minus, no leading zeros.
fn decimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let shortest = text == "0" || !digits.starts_with(['0', '+']);
    shortest.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Text;

    #[test]
    fn tolerations_cover_taints() {
        let taint = Taint {
            key: "os".into(),
            value: "windows".into(),
            effect: "NoSchedule".into(),
        };
        for (key, operator, value, effect, want) in [
            ("os", "Equal", "windows", "NoSchedule", true),
            ("os", "", "windows", "", true),
            ("os", "Exists", "", "", true),
            ("", "Exists", "", "", true),
            ("os", "Equal", "linux", "", false),
            ("os", "Exists", "", "NoExecute", false),
            ("other", "Exists", "", "", false),
            ("os", "Gt", "1", "", false),
        ] {
            let [key, operator, value, effect] = [key, operator, value, effect].map(Text::from);
            let toleration = Toleration {
                key,
                operator,
                value,
                effect,
            };
            assert_eq!(
                tolerates(std::slice::from_ref(&toleration), &taint),
                want,
                "{toleration:?}"
            );
        }
    }

    #[test]
    fn numbers_are_in_shortest_form() {
        for (text, want) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("007", None),
            ("+1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(decimal(text), want, "{text}");
        }
    }
}
