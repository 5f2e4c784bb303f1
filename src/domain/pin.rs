//! The nodeSelector that makes a placement right: the fewest platform labels that keep a pod on nodes which run it.

use std::fmt;

use super::node::{ARCH_LABEL, NodePlatform, OS_LABEL, WINDOWS_BUILD_LABEL};

/// What sets nodes apart, as far as labels say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// The operating system, label `kubernetes.io/os`.
    Os,
    /// The architecture, label `kubernetes.io/arch`.
    Arch,
    /// The Windows build, label `node.kubernetes.io/windows-build`.
    WindowsBuild,
}

/// A nodeSelector: label keys and values, in the order os, arch, windows-build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin(pub Vec<(&'static str, String)>);

/// Combinations of axes, the fewest labels first.
const COMBINATIONS: [&[Axis]; 6] = [
    &[Axis::Os],
    &[Axis::Arch],
    &[Axis::WindowsBuild],
    &[Axis::Os, Axis::Arch],
    &[Axis::Os, Axis::WindowsBuild],
    &[Axis::Os, Axis::Arch, Axis::WindowsBuild],
];

impl Axis {
    /// The label that carries it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Os => OS_LABEL,
            Self::Arch => ARCH_LABEL,
            Self::WindowsBuild => WINDOWS_BUILD_LABEL,
        }
    }

    /// The label's value on nodes of a platform; `None` where they do not carry it.
    #[must_use]
    pub fn value(self, platform: &NodePlatform) -> Option<String> {
        match self {
            Self::Os => Some(platform.os.clone()),
            Self::Arch => Some(platform.architecture.clone()),
            Self::WindowsBuild => platform.windows.map(|version| version.to_string()),
        }
        .filter(|value| !value.is_empty())
    }
}

/// The axis that sets a wrong node apart from the right ones: the first on which it differs from all of them.
#[must_use]
pub fn axis(wrong: &NodePlatform, right: &[&NodePlatform]) -> Option<Axis> {
    let differs = |axis: &Axis| {
        right
            .iter()
            .all(|right| axis.value(right) != axis.value(wrong))
    };
    [Axis::Os, Axis::Arch, Axis::WindowsBuild]
        .into_iter()
        .find(differs)
}

/// The shortest selector that takes no wrong node and as many right ones as any of its length. Groups come with
/// their number of nodes.
#[must_use]
pub fn pin(right: &[(&NodePlatform, u64)], wrong: &[&NodePlatform]) -> Option<Pin> {
    COMBINATIONS
        .iter()
        .find_map(|axes| best_of(axes, right, wrong))
}

fn best_of(axes: &[Axis], right: &[(&NodePlatform, u64)], wrong: &[&NodePlatform]) -> Option<Pin> {
    let values = |platform: &NodePlatform| -> Option<Vec<String>> {
        axes.iter().map(|axis| axis.value(platform)).collect()
    };
    let mut candidates: Vec<(u64, Vec<String>)> = Vec::new();
    for (platform, nodes) in right {
        let Some(values) = values(platform) else {
            continue;
        };
        match candidates.iter_mut().find(|(_, known)| *known == values) {
            Some((count, _)) => *count += nodes,
            None => candidates.push((*nodes, values)),
        }
    }
    candidates.retain(|(_, candidate)| {
        wrong
            .iter()
            .all(|wrong| values(wrong).as_ref() != Some(candidate))
    });
    candidates.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let (_, values) = candidates.into_iter().next()?;
    Some(Pin(axes
        .iter()
        .map(|axis| axis.label())
        .zip(values)
        .collect()))
}

impl Pin {
    /// Whether nodes of a platform carry all the labels.
    #[must_use]
    pub fn fits(&self, platform: &NodePlatform) -> bool {
        let axes = [Axis::Os, Axis::Arch, Axis::WindowsBuild];
        self.0.iter().all(|(label, value)| {
            let axis = axes.into_iter().find(|axis| axis.label() == *label);
            axis.and_then(|axis| axis.value(platform)).as_ref() == Some(value)
        })
    }
}

/// As YAML in one line, to paste: `nodeSelector: {kubernetes.io/os: windows}`.
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        write!(f, "nodeSelector: {{{}}}", pairs.join(", "))
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

    #[test]
    fn the_shortest_selector_that_is_right() {
        for (right, wrong, want) in [
            (
                "linux/amd64",
                "windows/amd64:10.0.17763",
                "nodeSelector: {kubernetes.io/os: linux}",
            ),
            (
                "linux/amd64 linux/arm64",
                "windows/amd64:10.0.17763",
                "nodeSelector: {kubernetes.io/os: linux}",
            ),
            (
                "linux/amd64",
                "linux/arm64",
                "nodeSelector: {kubernetes.io/arch: amd64}",
            ),
            (
                "windows/amd64:10.0.17763",
                "windows/amd64:10.0.14393 linux/amd64",
                "nodeSelector: {node.kubernetes.io/windows-build: 10.0.17763}",
            ),
            (
                "linux/amd64",
                "linux/arm64 windows/amd64:10.0.17763",
                "nodeSelector: {kubernetes.io/os: linux, kubernetes.io/arch: amd64}",
            ),
        ] {
            let (right, wrong) = (platforms(right), platforms(wrong));
            let right: Vec<_> = right.iter().map(|platform| (platform, 1)).collect();
            let found = pin(&right, &wrong.iter().collect::<Vec<_>>()).map(|pin| pin.to_string());
            assert_eq!(found.as_deref(), Some(want));
        }
        let same = platforms("linux/amd64");
        assert_eq!(pin(&[(&same[0], 1)], &[&same[0]]), None);
    }

    #[test]
    fn what_sets_nodes_apart() {
        for (wrong, right, want) in [
            ("windows/amd64:10.0.17763", "linux/amd64", Some(Axis::Os)),
            ("linux/arm64", "linux/amd64", Some(Axis::Arch)),
            (
                "windows/amd64:10.0.14393",
                "windows/amd64:10.0.17763",
                Some(Axis::WindowsBuild),
            ),
            ("linux/amd64", "linux/amd64", None),
        ] {
            let (wrong, right) = (platforms(wrong), platforms(right));
            assert_eq!(axis(&wrong[0], &right.iter().collect::<Vec<_>>()), want);
        }
    }
}
