//! The decision on a pod: the verdicts on its images, joined per group of nodes, and what the policy makes of them
//! (SEMANTICS 8, rule 18).
//!
//! Leaves out wording: that is `message`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::image::Image;
use super::inventory::NodeGroup;
use super::node::NodePlatform;
use super::pin::{Axis, axis};
use super::placement::Exclusion;
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

/// What the names of runtime handlers mean, by the operator's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handlers {
    /// Handlers that isolate by Hyper-V.
    pub hyperv: Vec<String>,
    /// Handlers that run WebAssembly.
    pub wasm: Vec<String>,
    /// Hyper-V pods pull for their guest's platform (SEMANTICS 8, rule 16).
    pub guest_pull: bool,
}

impl Default for Handlers {
    fn default() -> Self {
        // The name that containerd itself gives to its Hyper-V handler.
        Self {
            hyperv: vec!["runhcs-wcow-hypervisor".to_owned()],
            wasm: Vec::new(),
            guest_pull: false,
        }
    }
}

impl Handlers {
    /// What a pod's handler does; the empty name is the default handler.
    #[must_use]
    pub fn of(&self, name: &str) -> Handler {
        let is_in = |names: &[String]| names.iter().any(|known| known == name);
        Handler {
            hyperv: is_in(&self.hyperv),
            guest_pull: self.guest_pull,
            wasm: is_in(&self.wasm),
        }
    }
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
    /// Why nodes of the group are no candidates, the most frequent reason first; filled where somebody will read it.
    pub excluded: Vec<(Exclusion, u64)>,
}

/// Everything known about a pod: the ground of a decision.
#[derive(Debug, Clone)]
pub struct Assessment<'a> {
    /// The pod's images.
    pub images: Vec<ResolvedImage<'a>>,
    /// Every group of nodes in the cluster, candidates or not.
    pub groups: Vec<GroupVerdict>,
    /// Platforms that the pod asks for and no node has, where there is no candidate.
    pub implied: Vec<GroupVerdict>,
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
    /// No node is known at all, which is no ground for a denial whatever the policy says.
    NoNodes,
}

/// Why a denial became a warning, or nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Softened {
    /// The enforcement action is `warn` or `audit`.
    EnforcementAction,
    /// A DaemonSet's controller stops its whole batch when one pod is refused, and other pods of it can run.
    DaemonSet,
    /// The list of nodes is too old to prove anything.
    StaleNodes,
    /// The pools that autoscalers may grow are to be read, and cannot be.
    UnknownPools,
    /// Nobody knows the RuntimeClass, which may send the pods elsewhere.
    RuntimeClass,
    /// It is a workload: its pods will be denied.
    Template,
}

/// What happens to the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was found.
    pub outcome: Outcome,
    /// What is done about it.
    pub action: Action,
    /// Why what would be a denial is none.
    pub softened: Option<Softened>,
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
            Self::NoNodes => "no-nodes",
        }
    }
}

impl<'a> Assessment<'a> {
    /// Judges every image on every group.
    #[must_use]
    pub fn new(images: Vec<ResolvedImage<'a>>, groups: Vec<NodeGroup>, handler: Handler) -> Self {
        let judge = |group: NodeGroup| judge_group(group, handler, &images);
        let mut groups: Vec<GroupVerdict> = groups.into_iter().map(judge).collect();
        open_up(&mut groups);
        let implied = Vec::new();
        Self {
            images,
            groups,
            implied,
        }
    }

    /// Judges groups of nodes too that were left out, which must be none that count.
    pub fn add_groups(&mut self, others: Vec<NodeGroup>, handler: Handler) {
        let judge = |group: NodeGroup| judge_group(group, handler, &self.images);
        let others: Vec<GroupVerdict> = others.into_iter().map(judge).collect();
        self.groups.extend(others);
        self.groups
            .sort_by(|a, b| a.group.order().cmp(&b.group.order()));
    }

    /// Judges the platforms too that the pod asks for and no node has.
    #[must_use]
    pub fn with_implied(mut self, implied: Vec<NodeGroup>, handler: Handler) -> Self {
        let judge = |group: NodeGroup| judge_group(group, handler, &self.images);
        self.implied = implied.into_iter().map(judge).collect();
        self
    }

    /// Whether the platforms that the pod asks for, and no node has, cannot run it.
    #[must_use]
    pub fn asks_in_vain(&self) -> bool {
        let cannot = |verdict: &GroupVerdict| verdict.joint == Joint::CannotRun;
        !self.implied.is_empty() && self.implied.iter().all(cannot)
    }

    /// The groups that the pod may land on.
    pub fn candidates(&self) -> impl Iterator<Item = &GroupVerdict> + Clone {
        self.groups
            .iter()
            .filter(|verdict| verdict.group.candidates > 0)
    }

    /// The codes of all causes and doubts on candidate nodes, each once.
    #[must_use]
    pub fn finding_codes(&self) -> Vec<&'static str> {
        let verdicts = self.candidates().flat_map(|group| &group.images);
        let codes: BTreeSet<_> = verdicts.filter_map(|verdict| verdict.code()).collect();
        codes.into_iter().collect()
    }

    /// How many nodes the scheduler may bind the pod to though their kubelets refuse its `spec.os`.
    #[must_use]
    pub fn refused_by_os(&self) -> u64 {
        self.groups
            .iter()
            .map(|verdict| verdict.group.refused_by_os)
            .sum()
    }

    /// What the verdicts come to.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let with = |joint: Joint| {
            self.candidates()
                .filter(move |verdict| verdict.joint == joint)
        };
        let any = |joint: Joint| with(joint).next().is_some();
        let platforms = |joint: Joint| -> Vec<&NodePlatform> {
            with(joint)
                .map(|verdict| &*verdict.group.platform)
                .collect()
        };
        let doubt = with(Joint::Unknown)
            .flat_map(|verdict| &verdict.images)
            .find_map(|verdict| match verdict {
                Verdict::Unknown(doubt) => Some(*doubt),
                _ => None,
            });
        match (any(Joint::Runs), any(Joint::CannotRun), doubt) {
            (false, false, None) if self.groups.is_empty() => Outcome::NoNodes,
            (false, false, None) => Outcome::NoCandidate,
            (false, true, None) => Outcome::Nowhere,
            (true, false, None) if self.refused_by_os() > 0 => {
                Outcome::MayLandWrong(vec![Axis::Os])
            }
            (true, false, None) => Outcome::Runs,
            (true, true, _) => {
                let (right, wrong) = (platforms(Joint::Runs), platforms(Joint::CannotRun));
                Outcome::MayLandWrong(axes(&right, &wrong))
            }
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

/// Counts what autoscalers may add. A node that may never come, or whose labels nobody knows, is a place where the pod may
/// run, and proves nothing against it.
fn open_up(groups: &mut [GroupVerdict]) {
    let runs =
        |verdict: &GroupVerdict| verdict.group.candidates > 0 && verdict.joint == Joint::Runs;
    let runs_on_nodes = groups.iter().any(runs);
    for verdict in groups {
        let Some(fits) = verdict.group.open else {
            continue;
        };
        verdict.group.candidates = match verdict.joint {
            Joint::Runs => fits.surely + fits.perhaps,
            Joint::Unknown if !runs_on_nodes => fits.surely + fits.perhaps,
            Joint::Unknown => 0,
            Joint::CannotRun => fits.surely,
        };
    }
}

fn judge_group(group: NodeGroup, handler: Handler, images: &[ResolvedImage<'_>]) -> GroupVerdict {
    let verdicts: Vec<Verdict> = images
        .iter()
        .map(|image| judge_image(&group.platform, handler, image))
        .collect();
    GroupVerdict {
        joint: join(&verdicts),
        images: verdicts,
        group,
        excluded: Vec::new(),
    }
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

/// Applies the policy. `spared` is a reason that keeps this pod from being denied.
#[must_use]
pub fn decide(policy: &Policy, assessment: &Assessment<'_>, spared: Option<Softened>) -> Decision {
    let outcome = assessment.outcome();
    let wanted = match &outcome {
        Outcome::Runs => Action::Allow,
        Outcome::Nowhere => on_the_best_group(policy, assessment),
        Outcome::MayLandWrong(axes) => may_land_wrong(policy, axes),
        Outcome::Unknown(_) => on_doubts(policy, assessment),
        Outcome::NoCandidate if assessment.asks_in_vain() => policy.no_candidate.max(Action::Warn),
        Outcome::NoCandidate => policy.no_candidate,
        Outcome::NoNodes => policy.no_candidate.min(Action::Warn),
    };
    let by_mode = Some(Softened::EnforcementAction);
    let (action, softened) = match (wanted, policy.enforcement_action) {
        (Action::Deny, EnforcementAction::Warn) => (Action::Warn, by_mode),
        (Action::Deny, EnforcementAction::Audit) => (Action::Allow, by_mode),
        (_, EnforcementAction::Audit) => (Action::Allow, None),
        (Action::Deny, EnforcementAction::Deny) if spared.is_some() => (Action::Warn, spared),
        (wanted, _) => (wanted, None),
    };
    Decision {
        outcome,
        action,
        softened,
    }
}

/// A pod that runs nowhere may land on any of its groups: the mildest counts, and in a group the worst image.
fn on_the_best_group(policy: &Policy, assessment: &Assessment<'_>) -> Action {
    assessment
        .candidates()
        .filter_map(|group| worst(policy, assessment, group))
        .min()
        .unwrap_or(Action::Allow)
}

fn on_doubts(policy: &Policy, assessment: &Assessment<'_>) -> Action {
    assessment
        .candidates()
        .filter(|group| group.joint == Joint::Unknown)
        .filter_map(|group| worst(policy, assessment, group))
        .max()
        .unwrap_or(Action::Allow)
}

fn worst(policy: &Policy, assessment: &Assessment<'_>, group: &GroupVerdict) -> Option<Action> {
    let images = assessment.images.iter().zip(&group.images);
    images
        .map(|(resolved, verdict)| policy.action_on(resolved.image.image, *verdict))
        .max()
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
mod tests;
