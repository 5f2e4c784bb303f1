//! The platforms that a pod asks for and no node has: an operator may be about to add such nodes. What is found on them is
//! enough for a warning and never for a denial, since nobody knows what will come.
//!
//! Leaves out whether an image runs there (`verdict`).

use super::node::NodePlatform;
use super::pin::Axis;
use super::platform::Platform;
use super::pod::{NodeSelectorTerm, PodSpec};
use super::runtime::Runtime;
use super::windows::WindowsVersion;

/// Most platforms that are looked at.
const MOST: usize = 8;

/// A value of each axis; `None` where the pod does not pin it.
#[derive(Debug, Clone, Default)]
struct Pins<'a> {
    os: Option<&'a str>,
    architecture: Option<&'a str>,
    build: Option<&'a str>,
}

/// The platforms that the pod's nodeSelector and required node affinity pin and that none of those known is.
#[must_use]
pub fn implied_platforms(pod: &PodSpec<'_>, known: &[&NodePlatform]) -> Vec<NodePlatform> {
    let required = &pod.affinity.node_affinity;
    let required = required
        .required_during_scheduling_ignored_during_execution
        .as_ref();
    let own = NodeSelectorTerm::default();
    let terms = required.map_or(std::slice::from_ref(&own), |required| {
        required.node_selector_terms.as_slice()
    });
    let mut found = Vec::new();
    for pins in terms.iter().flat_map(|term| pinned(pod, term)) {
        let fits = |platform: &&NodePlatform| pins.fit(platform);
        if let Some(platform) = pins.platform()
            && !known.iter().any(fits)
            && !found.contains(&platform)
            && found.len() < MOST
        {
            found.push(platform);
        }
    }
    found
}

/// Every way to satisfy the pins of the nodeSelector and of one term.
fn pinned<'a>(pod: &'a PodSpec<'_>, term: &'a NodeSelectorTerm<'_>) -> Vec<Pins<'a>> {
    let mut ways = vec![Pins::default()];
    for axis in [Axis::Os, Axis::Arch, Axis::WindowsBuild] {
        let selected = pod.node_selector.get(axis.label());
        let mut choices: Vec<Vec<&str>> =
            selected.map(|value| vec![&**value]).into_iter().collect();
        let requirements = term.match_expressions.iter();
        let pinning = requirements.filter(|it| &*it.key == axis.label() && &*it.operator == "In");
        choices.extend(pinning.map(|it| it.values.iter().map(|value| &**value).collect()));
        let Some((first, others)) = choices.split_first() else {
            continue;
        };
        let common = first
            .iter()
            .filter(|value| others.iter().all(|other| other.contains(value)));
        let values: Vec<&str> = common.take(MOST).copied().collect();
        let with = |pins: &Pins<'a>, value: &'a str| {
            let mut pins = pins.clone();
            *pins.slot(axis) = Some(value);
            pins
        };
        ways = ways
            .iter()
            .flat_map(|pins| values.iter().map(move |value| with(pins, value)))
            .collect();
    }
    ways
}

impl<'a> Pins<'a> {
    fn slot(&mut self, axis: Axis) -> &mut Option<&'a str> {
        match axis {
            Axis::Os => &mut self.os,
            Axis::Arch => &mut self.architecture,
            Axis::WindowsBuild => &mut self.build,
        }
    }

    fn fit(&self, platform: &NodePlatform) -> bool {
        [
            (Axis::Os, self.os),
            (Axis::Arch, self.architecture),
            (Axis::WindowsBuild, self.build),
        ]
        .into_iter()
        .all(|(axis, pin)| pin.is_none_or(|pin| axis.value(platform).as_deref() == Some(pin)))
    }

    /// The node that would satisfy the pins. Windows nodes of Kubernetes are amd64, and those of other architectures run
    /// Linux; its containerd is of any release. `None` where too little is pinned to say.
    fn platform(&self) -> Option<NodePlatform> {
        let os = match (self.os, self.build) {
            (Some(os @ ("linux" | "windows")), _) => os,
            (Some(_), _) => return None,
            (None, Some(_)) => "windows",
            (None, None) => "linux",
        };
        let architecture = match self.architecture {
            Some(architecture) => architecture,
            None if os == "windows" => "amd64",
            None => return None,
        };
        let mut platform = Platform::new(os, architecture);
        let build = self
            .build
            .filter(|build| WindowsVersion::parse(build).is_some());
        platform.os_version = build.map(str::to_owned);
        let runtime = Runtime::from_node_info("containerd://unknown");
        Some(NodePlatform::from_platform(&platform, runtime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_and_not_there() {
        let known = ["linux/amd64", "windows/amd64:10.0.17763"]
            .map(|text| NodePlatform::from_platform(&text.parse().unwrap(), None));
        let affinity = |terms: &str| {
            format!(
                r#"{{"nodeSelector":{{"kubernetes.io/arch":"amd64"}},"affinity":{{"nodeAffinity":{{
                "requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{terms}}}}}}}}}"#
            )
        };
        let builds = r#"[{"matchExpressions":[{"key":"node.kubernetes.io/windows-build","operator":"In",
            "values":["10.0.14393","10.0.17763","10.0.20348"]}]},
            {"matchExpressions":[{"key":"kubernetes.io/arch","operator":"In","values":["arm64"]}]}]"#;
        for (pod, want) in [
            ("{}".to_owned(), ""),
            (
                r#"{"nodeSelector":{"kubernetes.io/arch":"arm64"}}"#.to_owned(),
                "linux/arm64",
            ),
            (
                r#"{"nodeSelector":{"kubernetes.io/arch":"amd64","gpu":"yes"}}"#.to_owned(),
                "",
            ),
            (
                r#"{"nodeSelector":{"kubernetes.io/os":"windows","kubernetes.io/arch":"arm64"}}"#
                    .to_owned(),
                "windows/arm64",
            ),
            (
                r#"{"nodeSelector":{"node.kubernetes.io/windows-build":"10.0.14393"}}"#.to_owned(),
                "windows/amd64:10.0.14393",
            ),
            (
                r#"{"nodeSelector":{"kubernetes.io/os":"plan9"}}"#.to_owned(),
                "",
            ),
            (
                affinity(builds),
                "windows/amd64:10.0.14393 windows/amd64:10.0.20348",
            ),
            (affinity("[]"), ""),
        ] {
            let spec: PodSpec<'_> = serde_json::from_str(&pod).unwrap();
            let found = implied_platforms(&spec, &known.iter().collect::<Vec<_>>());
            let words: Vec<String> = found.iter().map(NodePlatform::written).collect();
            assert_eq!(words.join(" "), want, "{pod}");
        }
    }

    #[test]
    fn linux_alone_says_too_little() {
        let known = NodePlatform::from_platform(&"windows/amd64".parse().unwrap(), None);
        let spec: PodSpec<'_> =
            serde_json::from_str(r#"{"nodeSelector":{"kubernetes.io/os":"linux"}}"#).unwrap();
        assert_eq!(
            implied_platforms(&spec, &[&known]),
            [],
            "of which architecture?"
        );
    }
}
