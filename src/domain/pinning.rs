//! What a pod that may land wrong lacks: the least requirements on nodes' platform labels that keep it where it runs.
//!
//! Unlike [`super::pin`], which finds one nodeSelector for people to paste, this keeps every right node. Leaves out how
//! requirements are written into a pod (`admission`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::decision::{Assessment, GroupVerdict, Joint};
use super::node::NodePlatform;
use super::pin::Axis;
use super::verdict::Verdict;

/// Requirements on labels, ANDed: each label has one of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements(pub Vec<(Axis, Vec<String>)>);

/// Alternatives, ORed: at least one, and one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinning(pub Vec<Requirements>);

/// Reasons that an annotation lists.
const REASONS: usize = 3;

/// Sets of axes, in the order in which they are tried: the fewest first, then os, arch, windows-build.
const AXES: [&[Axis]; 7] = [
    &[Axis::Os],
    &[Axis::Arch],
    &[Axis::WindowsBuild],
    &[Axis::Os, Axis::Arch],
    &[Axis::Os, Axis::WindowsBuild],
    &[Axis::Arch, Axis::WindowsBuild],
    &[Axis::Os, Axis::Arch, Axis::WindowsBuild],
];

/// The least that keeps a pod off the candidate nodes which cannot run it, and on all those which can.
///
/// `None` where nothing is wrong, nothing is right, something is unknown, or labels do not tell right from wrong.
#[must_use]
pub fn pinning(assessment: &Assessment<'_>) -> Option<Pinning> {
    if assessment
        .candidates()
        .any(|group| group.joint == Joint::Unknown)
    {
        return None;
    }
    let right = platforms(assessment, |group| {
        group.group.candidates > 0 && group.joint == Joint::Runs
    });
    // Nodes whose kubelets refuse the pod's `spec.os` are wrong too: the scheduler does not know of it.
    let wrong = platforms(assessment, |group| {
        group.group.refused_by_os > 0
            || (group.group.candidates > 0 && group.joint == Joint::CannotRun)
    });
    if right.is_empty() || wrong.is_empty() {
        return None;
    }
    separate(&right, &wrong)
}

/// Why: the images that cannot run, and where. One line, the same for the same facts.
#[must_use]
pub fn reason(pinning: &Pinning, assessment: &Assessment<'_>) -> String {
    let wrong = assessment
        .candidates()
        .filter(|group| group.joint == Joint::CannotRun);
    let cannot = |group: &GroupVerdict| -> Vec<String> {
        let images = assessment.images.iter().zip(&group.images);
        let failing = images.filter(|(_, verdict)| matches!(verdict, Verdict::CannotRun(_)));
        let node = group.group.platform.describe();
        failing
            .map(|(image, _)| format!("{} cannot run on {node}", image.image.image))
            .collect()
    };
    let mut reasons: Vec<String> = wrong.flat_map(cannot).collect();
    reasons.dedup();
    let more = reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{pinning}: {}{more}", reasons.join(", "))
}

fn platforms<'a>(
    assessment: &'a Assessment<'_>,
    which: impl Fn(&GroupVerdict) -> bool,
) -> Vec<&'a NodePlatform> {
    let groups = assessment.groups.iter().filter(|group| which(group));
    groups.map(|group| &*group.group.platform).collect()
}

/// Whether nodes of that architecture run the pod, and nodes of another one too.
#[must_use]
pub fn has_choice_of(architecture: &str, assessment: &Assessment<'_>) -> bool {
    let runs = assessment
        .candidates()
        .filter(|group| group.joint == Joint::Runs);
    let mut architectures: Vec<&str> = runs
        .map(|group| group.group.platform.architecture.as_str())
        .collect();
    architectures.sort_unstable();
    architectures.dedup();
    architectures.len() > 1 && architectures.contains(&architecture)
}

/// One set of requirements where that is possible; else one for each operating system, or for each platform.
fn separate(right: &[&NodePlatform], wrong: &[&NodePlatform]) -> Option<Pinning> {
    let by = |axes: &[Axis]| -> Option<Pinning> {
        let parts = parts(right, axes);
        let requirements = parts.iter().map(|part| requirements(part, wrong, axes));
        requirements.collect::<Option<_>>().map(Pinning)
    };
    let splits: [&[Axis]; 4] = [
        &[],
        &[Axis::Os],
        &[Axis::Os, Axis::Arch],
        &[Axis::Os, Axis::Arch, Axis::WindowsBuild],
    ];
    splits.into_iter().find_map(by)
}

/// Platforms in parts that have the same values on the axes.
fn parts<'a>(platforms: &[&'a NodePlatform], axes: &[Axis]) -> Vec<Vec<&'a NodePlatform>> {
    let mut parts: BTreeMap<Vec<Option<String>>, Vec<&NodePlatform>> = BTreeMap::new();
    for platform in platforms {
        let values = axes.iter().map(|axis| axis.value(platform)).collect();
        parts.entry(values).or_default().push(platform);
    }
    parts.into_values().collect()
}

/// The least requirements that every right platform meets and no wrong one; `must` are axes that have to be among
/// them, where the platforms have such a label.
fn requirements(
    right: &[&NodePlatform],
    wrong: &[&NodePlatform],
    must: &[Axis],
) -> Option<Requirements> {
    let labelled = |axis: &Axis| right.iter().all(|platform| axis.value(platform).is_some());
    let must: Vec<Axis> = must.iter().copied().filter(labelled).collect();
    let with_must = |axes: &&&[Axis]| must.iter().all(|axis| axes.contains(axis));
    AXES.iter()
        .filter(with_must)
        .find_map(|axes| on(axes, right, wrong))
}

fn on(axes: &[Axis], right: &[&NodePlatform], wrong: &[&NodePlatform]) -> Option<Requirements> {
    let values = |axis: &Axis| -> Option<(Axis, Vec<String>)> {
        let values: Option<BTreeSet<String>> =
            right.iter().map(|platform| axis.value(platform)).collect();
        Some((*axis, values?.into_iter().collect()))
    };
    let requirements = Requirements(axes.iter().map(values).collect::<Option<_>>()?);
    let excludes_all = !wrong.iter().any(|wrong| requirements.fit(wrong));
    excludes_all.then_some(requirements)
}

impl Requirements {
    /// Whether nodes of a platform meet them, if they carry the labels that kubelets set.
    #[must_use]
    pub fn fit(&self, platform: &NodePlatform) -> bool {
        self.0.iter().all(|(axis, values)| {
            axis.value(platform)
                .is_some_and(|value| values.contains(&value))
        })
    }
}

impl Pinning {
    /// As a nodeSelector, where that can say it: it takes one value a label, and no alternatives.
    #[must_use]
    pub fn as_node_selector(&self) -> Option<Vec<(&'static str, &str)>> {
        let [Requirements(only)] = self.0.as_slice() else {
            return None;
        };
        let pair = |(axis, values): &'_ (Axis, Vec<String>)| match values.as_slice() {
            [_] => Some(axis.label()),
            _ => None,
        };
        let labels: Option<Vec<_>> = only.iter().map(pair).collect();
        let values = only
            .iter()
            .filter_map(|(_, values)| Some(values.first()?.as_str()));
        Some(labels?.into_iter().zip(values).collect())
    }
}

/// For people: `kubernetes.io/os=linux,kubernetes.io/arch in (amd64,arm64)`, as kubectl writes selectors.
impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (axis, values)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match values.as_slice() {
                [value] => write!(f, "{comma}{}={value}", axis.label())?,
                values => write!(f, "{comma}{} in ({})", axis.label(), values.join(","))?,
            }
        }
        Ok(())
    }
}

/// Alternatives are joined by `or`.
impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alternatives: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&alternatives.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platforms(text: &str) -> Vec<NodePlatform> {
        text.split_whitespace()
            .map(|word| NodePlatform::from_platform(&word.parse().unwrap(), None))
            .collect()
    }

    fn found(right: &str, wrong: &str) -> Option<String> {
        let (right, wrong) = (platforms(right), platforms(wrong));
        let right: Vec<_> = right.iter().collect();
        let wrong: Vec<_> = wrong.iter().collect();
        separate(&right, &wrong).map(|pinning| pinning.to_string())
    }

    #[test]
    fn only_the_axes_that_matter_and_all_that_is_right() {
        const SERVER_2019: &str = "windows/amd64:10.0.17763";
        const SERVER_2022: &str = "windows/amd64:10.0.20348";
        for (right, wrong, want) in [
            ("linux/amd64", SERVER_2019, "kubernetes.io/os=linux"),
            (
                "linux/amd64 linux/arm64",
                SERVER_2019,
                "kubernetes.io/os=linux",
            ),
            ("linux/amd64", "linux/arm64", "kubernetes.io/arch=amd64"),
            (
                "linux/amd64 linux/arm64",
                "linux/s390x",
                "kubernetes.io/arch in (amd64,arm64)",
            ),
            (SERVER_2019, "linux/amd64", "kubernetes.io/os=windows"),
            (
                SERVER_2019,
                &format!("linux/amd64 {SERVER_2022}"),
                "node.kubernetes.io/windows-build=10.0.17763",
            ),
            (
                "linux/amd64",
                &format!("linux/arm64 {SERVER_2022}"),
                "kubernetes.io/os=linux,kubernetes.io/arch=amd64",
            ),
            (
                &format!("linux/arm64 {SERVER_2019}"),
                &format!("linux/amd64 {SERVER_2022}"),
                "kubernetes.io/os=linux,kubernetes.io/arch=arm64 or \
                 kubernetes.io/os=windows,node.kubernetes.io/windows-build=10.0.17763",
            ),
        ] {
            assert_eq!(
                found(right, wrong).as_deref(),
                Some(want),
                "{right} | {wrong}"
            );
        }
    }

    #[test]
    fn nodes_alike_in_all_labels_cannot_be_told_apart() {
        assert_eq!(found("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(found("linux/amd64", "linux/amd64"), None);
    }
}
