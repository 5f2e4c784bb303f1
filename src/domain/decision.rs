//! The decision on a pod: the verdicts on its images, joined per group of nodes, and what the policy makes of them
//! (SEMANTICS 8, rule 18).
//!
//! Leaves out wording: that is `message`.

use std::sync::Arc;

use super::image::Image;
use super::inventory::NodeGroup;
use super::node::NodePlatform;
use super::pin::{Axis, axis};
use super::pod::{ImageField, PodImage};
use super::policy::{Action, EnforcementAction, Policy};
use super::verdict::{Doubt, ImageUse, Isolation, Verdict, judge};

/// An image of the pod, with what is known of it.
#[derive(Debug, Clone)]
pub struct ResolvedImage<'a> {
    /// Where the pod names it.
    pub image: PodImage<'a>,
    /// What the registry says it is, or why that is not known.
    pub answer: Result<Arc<Image>, Doubt>,
}

/// How the pod's runtime handler changes the rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handler {
    /// The handler isolates by Hyper-V.
    pub hyperv: bool,
    /// Hyper-V pods pull for their guest's platform.
    pub guest_pull: bool,
    /// The handler runs WebAssembly.
    pub wasm: bool,
}

/// Whether nodes of a group can run the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Joint {
    /// All its images run.
    Runs,
    /// Nothing proves the contrary, but something is unknown.
    Unknown,
    /// At least one image cannot run, on proof.
    CannotRun,
}

/// The verdict on one group of nodes.
#[derive(Debug, Clone)]
pub struct GroupVerdict {
    /// The nodes.
    pub group: NodeGroup,
    /// A verdict for every image of the pod, in their order.
    pub images: Vec<Verdict>,
    /// All of them together.
    pub joint: Joint,
}

/// Everything known about a pod: the ground of a decision.
#[derive(Debug, Clone)]
pub struct Assessment<'a> {
    /// The pod's images.
    pub images: Vec<ResolvedImage<'a>>,
    /// Every group of nodes in the cluster, candidates or not.
    pub groups: Vec<GroupVerdict>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every candidate node runs the pod.
    Runs,
    /// No candidate node can, on proof.
    Nowhere,
    /// Some can and some cannot, and the scheduler cannot tell them apart. The axes are what sets them apart.
    MayLandWrong(Vec<Axis>),
    /// Something decisive is unknown.
    Unknown(Doubt),
    /// No node is a candidate.
    NoCandidate,
}

/// What happens to the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was found.
    pub outcome: Outcome,
    /// What is done about it.
    pub action: Action,
    /// Whether a denial was softened by the enforcement action or for a DaemonSet.
    pub softened: bool,
}

impl Outcome {
    /// The stable kebab-case code of the finding.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Nowhere => "nowhere",
            Self::MayLandWrong(_) => "may-land-wrong",
            Self::Unknown(doubt) => doubt.code(),
            Self::NoCandidate => "no-candidate",
        }
    }
}

impl<'a> Assessment<'a> {
    /// Judges every image on every group.
    #[must_use]
    pub fn new(images: Vec<ResolvedImage<'a>>, groups: Vec<NodeGroup>, handler: Handler) -> Self {
        let judge_group = |group: NodeGroup| {
            let verdicts: Vec<Verdict> = images
                .iter()
                .map(|image| judge_image(&group.platform, handler, image))
                .collect();
            GroupVerdict {
                joint: join(&verdicts),
                images: verdicts,
                group,
            }
        };
        let groups = groups.into_iter().map(judge_group).collect();
        Self { images, groups }
    }

    /// The groups that the pod may land on.
    pub fn candidates(&self) -> impl Iterator<Item = &GroupVerdict> + Clone {
        self.groups
            .iter()
            .filter(|verdict| verdict.group.candidates > 0)
    }

    /// What the verdicts come to.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let with = |joint: Joint| {
            self.candidates()
                .filter(move |verdict| verdict.joint == joint)
        };
        let doubt = with(Joint::Unknown)
            .flat_map(|verdict| &verdict.images)
            .find_map(|verdict| match verdict {
                Verdict::Unknown(doubt) => Some(*doubt),
                _ => None,
            });
        let right: Vec<&NodePlatform> = with(Joint::Runs)
            .map(|verdict| &*verdict.group.platform)
            .collect();
        let wrong: Vec<&NodePlatform> = with(Joint::CannotRun)
            .map(|verdict| &*verdict.group.platform)
            .collect();
        match (right.is_empty(), wrong.is_empty(), doubt) {
            (true, true, None) => Outcome::NoCandidate,
            (true, false, None) => Outcome::Nowhere,
            (false, true, None) => Outcome::Runs,
            (false, false, _) => Outcome::MayLandWrong(axes(&right, &wrong)),
            (_, _, Some(doubt)) => Outcome::Unknown(doubt),
        }
    }
}

/// What sets the wrong nodes apart from the right ones.
fn axes(right: &[&NodePlatform], wrong: &[&NodePlatform]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = wrong
        .iter()
        .filter_map(|wrong| axis(wrong, right))
        .collect();
    axes.sort();
    axes.dedup();
    axes
}

fn judge_image(node: &NodePlatform, handler: Handler, resolved: &ResolvedImage<'_>) -> Verdict {
    let image = match &resolved.answer {
        Ok(image) => image,
        Err(doubt) => return Verdict::Unknown(*doubt),
    };
    let isolation = match resolved.image.isolation() {
        Isolation::HostProcess => Isolation::HostProcess,
        _ if handler.hyperv => Isolation::HyperV,
        other => other,
    };
    let volume = resolved.image.kind == ImageField::Volume;
    let usage = ImageUse {
        isolation,
        volume,
        wasm: handler.wasm,
        guest_pull: handler.guest_pull,
    };
    judge(node, usage, &image.content)
}

/// A group can run the pod when it can run all its images.
fn join(verdicts: &[Verdict]) -> Joint {
    let joint = |verdict: &Verdict| match verdict {
        Verdict::Runs { .. } => Joint::Runs,
        Verdict::Unknown(_) => Joint::Unknown,
        Verdict::CannotRun(_) => Joint::CannotRun,
    };
    verdicts.iter().map(joint).max().unwrap_or(Joint::Runs)
}

/// Applies the policy. `spared` softens a denial to a warning, as for the pods of a DaemonSet whose template runs
/// somewhere else: a denial would make its controller stop the whole batch.
#[must_use]
pub fn decide(policy: &Policy, outcome: Outcome, spared: bool) -> Decision {
    let wanted = match &outcome {
        Outcome::Runs => Action::Allow,
        Outcome::Nowhere => Action::Deny,
        Outcome::MayLandWrong(axes) => may_land_wrong(policy, axes),
        Outcome::Unknown(_) => policy.unknown,
        Outcome::NoCandidate => policy.no_candidate,
    };
    let action = match (wanted, policy.enforcement_action) {
        (Action::Deny, EnforcementAction::Deny) if spared => Action::Warn,
        (Action::Deny, EnforcementAction::Warn) => Action::Warn,
        (_, EnforcementAction::Audit) => Action::Allow,
        (wanted, _) => wanted,
    };
    Decision {
        outcome,
        action,
        softened: wanted == Action::Deny && action != Action::Deny,
    }
}

fn may_land_wrong(policy: &Policy, axes: &[Axis]) -> Action {
    let of_axis = |axis: &Axis| match axis {
        Axis::Os => policy.may_land_wrong.os,
        Axis::Arch => policy.may_land_wrong.arch,
        Axis::WindowsBuild => policy.may_land_wrong.windows_build,
    };
    axes.iter().map(of_axis).max().unwrap_or(Action::Warn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_policy_makes_of_it() {
        let with = |enforcement_action| Policy {
            enforcement_action,
            ..Policy::default()
        };
        let (deny, warn, audit) = (
            EnforcementAction::Deny,
            EnforcementAction::Warn,
            EnforcementAction::Audit,
        );
        for (outcome, enforcement, spared, want) in [
            (Outcome::Runs, deny, false, Action::Allow),
            (Outcome::Nowhere, deny, false, Action::Deny),
            (Outcome::Nowhere, deny, true, Action::Warn),
            (Outcome::Nowhere, warn, false, Action::Warn),
            (Outcome::Nowhere, audit, false, Action::Allow),
            (
                Outcome::MayLandWrong(vec![Axis::Os]),
                deny,
                false,
                Action::Warn,
            ),
            (Outcome::MayLandWrong(vec![]), deny, false, Action::Warn),
            (Outcome::Unknown(Doubt::Node), deny, false, Action::Warn),
            (Outcome::Unknown(Doubt::Node), audit, false, Action::Allow),
            (Outcome::NoCandidate, deny, false, Action::Warn),
        ] {
            let decision = decide(&with(enforcement), outcome.clone(), spared);
            assert_eq!(
                decision.action, want,
                "{outcome:?} {enforcement:?} {spared}"
            );
        }
    }

    #[test]
    fn one_axis_set_to_deny_denies() {
        let mut policy = Policy::default();
        policy.may_land_wrong.windows_build = Action::Deny;
        let action = |axes| decide(&policy, Outcome::MayLandWrong(axes), false).action;
        assert_eq!(action(vec![Axis::Os]), Action::Warn);
        assert_eq!(action(vec![Axis::Os, Axis::WindowsBuild]), Action::Deny);
    }
}
