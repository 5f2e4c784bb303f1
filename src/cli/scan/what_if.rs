//! `--what-if`: other nodes than those that there are.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::domain::node::{
    ARCH_LABEL, Node, NodeInfo, NodeMetadata, NodePlatform, NodeSpec, NodeStatus, OS_LABEL,
    WINDOWS_BUILD_LABEL,
};
use crate::domain::platform::{Platform, PlatformError};
use crate::domain::windows::WindowsVersion;

/// A change of the cluster's nodes, and how it was asked for.
#[derive(Debug, Clone)]
pub(super) struct WhatIf {
    pub(super) text: String,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    /// A node of that platform joins, without taints.
    Add(Platform),
    /// All Windows nodes become that version.
    Windows(String),
    /// The nodes with these labels go.
    Remove(Vec<Requirement>),
}

/// One requirement of a label selector, as `kubectl -l` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Is(String, String),
    /// Absent labels too.
    IsNot(String, String),
    Exists(String),
    DoesNotExist(String),
}

/// What cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum WhatIfError {
    #[error("write add=PLATFORM, windows=BUILD or remove=SELECTOR")]
    Unknown,
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(
        "{0:?} is no platform of nodes: write linux/ARCH or windows/ARCH:BUILD, such as windows/amd64:10.0.20348"
    )]
    NoNode(String),
    #[error("{0:?} is no Windows build: write 10.0.20348")]
    Build(String),
    #[error(
        "{0:?} is no label selector: write KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas in between"
    )]
    Selector(String),
}

impl FromStr for WhatIf {
    type Err = WhatIfError;

    fn from_str(text: &str) -> Result<Self, WhatIfError> {
        let change = match text.split_once('=') {
            Some(("add", platform)) => Change::Add(parse_platform(platform)?),
            Some(("windows", build)) => Change::Windows(parse_build(build)?),
            Some(("remove", selector)) => Change::Remove(parse_selector(selector)?),
            _ => return Err(WhatIfError::Unknown),
        };
        Ok(Self {
            text: text.to_owned(),
            change,
        })
    }
}

fn parse_platform(text: &str) -> Result<Platform, WhatIfError> {
    let platform: Platform = text.parse()?;
    let version = platform
        .os_version
        .as_deref()
        .and_then(WindowsVersion::parse);
    match (platform.os.as_str(), version) {
        ("linux", _) | ("windows", Some(_)) => Ok(platform),
        _ => Err(WhatIfError::NoNode(text.to_owned())),
    }
}

/// `10.0.20348`, or the build alone.
fn parse_build(text: &str) -> Result<String, WhatIfError> {
    let text = match text.parse::<u16>() {
        Ok(build) => format!("10.0.{build}"),
        Err(_) => text.to_owned(),
    };
    match WindowsVersion::parse(&text) {
        Some(_) => Ok(text),
        None => Err(WhatIfError::Build(text)),
    }
}

fn parse_selector(text: &str) -> Result<Vec<Requirement>, WhatIfError> {
    let mistake = || WhatIfError::Selector(text.to_owned());
    let requirement = |part: &str| {
        let part = part.trim();
        let is = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
        let found = if let Some(pair) = part.split_once("!=").map(is) {
            Requirement::IsNot(pair.0, pair.1)
        } else if let Some(pair) = part
            .split_once("==")
            .or_else(|| part.split_once('='))
            .map(is)
        {
            Requirement::Is(pair.0, pair.1)
        } else if let Some(key) = part.strip_prefix('!') {
            Requirement::DoesNotExist(key.trim().to_owned())
        } else {
            Requirement::Exists(part.to_owned())
        };
        let is_key = |key: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            !key.is_empty() && key.chars().all(fits)
        };
        is_key(found.key()).then_some(found).ok_or_else(mistake)
    };
    text.split(',').map(requirement).collect()
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Self::Is(key, _)
            | Self::IsNot(key, _)
            | Self::Exists(key)
            | Self::DoesNotExist(key) => key,
        }
    }

    fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = labels.get(self.key());
        match self {
            Self::Is(_, value) => label == Some(value),
            Self::IsNot(_, value) => label != Some(value),
            Self::Exists(_) => label.is_some(),
            Self::DoesNotExist(_) => label.is_none(),
        }
    }
}

impl WhatIf {
    /// The nodes as they would be.
    ///
    /// # Errors
    /// Nothing would change, so the question is not the one that was meant.
    pub(super) fn apply(&self, nodes: &mut Vec<Node>) -> Result<(), String> {
        let text = &self.text;
        match &self.change {
            Change::Add(platform) => {
                let node = joining(platform, nodes);
                nodes.push(node);
            }
            Change::Windows(version) => {
                let mut windows = nodes
                    .iter_mut()
                    .filter(|node| NodePlatform::of(node).is_windows());
                let first = windows
                    .next()
                    .ok_or_else(|| format!("{text}: there is no Windows node"))?;
                [first]
                    .into_iter()
                    .chain(windows)
                    .for_each(|node| become_windows(node, version));
            }
            Change::Remove(requirements) => {
                let before = nodes.len();
                let labels = |node: &Node| node.metadata.labels.clone();
                nodes.retain(|node| !requirements.iter().all(|one| one.is_met(&labels(node))));
                if nodes.len() == before {
                    return Err(format!("{text}: no node has such labels"));
                }
            }
        }
        Ok(())
    }

    /// The platform that joins.
    pub(super) fn target(&self) -> Option<String> {
        match &self.change {
            Change::Add(platform) => Some(NodePlatform::of(&joining(platform, &[])).written()),
            _ => None,
        }
    }
}

fn become_windows(node: &mut Node, version: &str) {
    version.clone_into(&mut node.status.node_info.kernel_version);
    let build = WindowsVersion::parse(version).map(|version| version.to_string());
    let label = WINDOWS_BUILD_LABEL.to_owned();
    node.metadata
        .labels
        .insert(label, build.unwrap_or_default());
}

/// A node that joins: with the labels that its kubelet would set, and the runtime that most nodes of its operating system
/// have.
fn joining(platform: &Platform, nodes: &[Node]) -> Node {
    let runtime = usual_runtime(&platform.os, nodes);
    let version = platform.os_version.clone().unwrap_or_default();
    let build = WindowsVersion::parse(&version).map(|version| version.to_string());
    let normal = platform.normalized();
    let name = format!("{}-{}-{}", normal.os, normal.architecture, nodes.len());
    let labels = [
        (OS_LABEL, Some(normal.os.clone())),
        (ARCH_LABEL, Some(normal.architecture.clone())),
        (WINDOWS_BUILD_LABEL, build),
        ("kubernetes.io/hostname", Some(name.clone())),
    ];
    let labels = labels
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Node {
        metadata: NodeMetadata {
            // No node can be called so: the name is not one of DNS.
            name: format!("what-if:{name}"),
            labels: labels.collect(),
            ..NodeMetadata::default()
        },
        spec: NodeSpec::default(),
        status: NodeStatus {
            node_info: NodeInfo {
                operating_system: normal.os,
                architecture: normal.architecture,
                kernel_version: version,
                container_runtime_version: runtime,
            },
            addresses: Vec::new(),
        },
    }
}

fn usual_runtime(os: &str, nodes: &[Node]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in nodes.iter().filter(|node| NodePlatform::of(node).os == os) {
        *counts
            .entry(&node.status.node_info.container_runtime_version)
            .or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(_, count)| *count);
    usual
        .map_or("containerd://unknown", |(runtime, _)| runtime)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<Node> {
        let mut nodes = Vec::new();
        for what_if in [
            "add=linux/amd64",
            "add=windows/amd64:10.0.17763.1",
            "add=linux/arm64/v8",
        ] {
            what_if
                .parse::<WhatIf>()
                .unwrap()
                .apply(&mut nodes)
                .unwrap();
        }
        nodes
    }

    fn after(what_ifs: &[&str]) -> String {
        let mut nodes = nodes();
        for what_if in what_ifs {
            what_if
                .parse::<WhatIf>()
                .unwrap()
                .apply(&mut nodes)
                .unwrap();
        }
        let platforms = nodes.iter().map(|node| NodePlatform::of(node).written());
        platforms.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn nodes_join_change_and_go() {
        for (what_ifs, want) in [
            (vec![], "linux/amd64 windows/amd64:10.0.17763 linux/arm64"),
            (
                vec!["windows=26100"],
                "linux/amd64 windows/amd64:10.0.26100 linux/arm64",
            ),
            (vec!["remove=kubernetes.io/arch=amd64"], "linux/arm64"),
            (
                vec!["remove=kubernetes.io/arch!=amd64"],
                "linux/amd64 windows/amd64:10.0.17763",
            ),
            (
                vec!["remove=node.kubernetes.io/windows-build"],
                "linux/amd64 linux/arm64",
            ),
            (
                vec!["remove=!node.kubernetes.io/windows-build, kubernetes.io/os==linux"],
                "windows/amd64:10.0.17763",
            ),
            (
                vec![
                    "windows=10.0.20348",
                    "remove=node.kubernetes.io/windows-build=10.0.20348",
                ],
                "linux/amd64 linux/arm64",
            ),
        ] {
            assert_eq!(after(&what_ifs), want, "{what_ifs:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, want) in [
            ("add", "write add=PLATFORM"),
            ("drop=x", "write add=PLATFORM"),
            ("add=linux", "os/arch"),
            ("add=windows/amd64", "no platform of nodes"),
            ("add=darwin/arm64", "no platform of nodes"),
            ("windows=2022x", "no Windows build"),
            ("remove=", "no label selector"),
            ("remove=a=b,", "no label selector"),
            ("remove=a in (b)", "no label selector"),
        ] {
            let told = text.parse::<WhatIf>().unwrap_err().to_string();
            assert!(told.contains(want), "{text}: {told}");
        }
        for text in ["windows=20348", "remove=gone"] {
            let mut nodes = nodes();
            nodes.retain(|node| !NodePlatform::of(node).is_windows());
            assert!(
                text.parse::<WhatIf>().unwrap().apply(&mut nodes).is_err(),
                "{text}"
            );
        }
    }
}
