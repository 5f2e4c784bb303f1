//! Nodes: the lean Kubernetes object that decides, and the platform that a node's runtime runs images for.
//!
//! Leaves out which pods may land on a node (`placement`) and how nodes arrive (`cluster`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use super::platform::Platform;
use super::runtime::Runtime;
use super::windows::WindowsVersion;

/// The label that carries a Windows node's `major.minor.build`.
pub const WINDOWS_BUILD_LABEL: &str = "node.kubernetes.io/windows-build";
/// The label that carries a node's operating system.
pub const OS_LABEL: &str = "kubernetes.io/os";
/// The label that carries a node's architecture.
pub const ARCH_LABEL: &str = "kubernetes.io/arch";

/// A v1 Node, of which only what decides is read. Whatever is absent or null is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Node {
    /// Name, labels and age.
    #[serde(deserialize_with = "or_default")]
    pub metadata: NodeMetadata,
    /// Taints.
    #[serde(deserialize_with = "or_default")]
    pub spec: NodeSpec,
    /// What the kubelet reports.
    #[serde(deserialize_with = "or_default")]
    pub status: NodeStatus,
}

/// The part of a Node's metadata that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeMetadata {
    /// The node's name, unique in the cluster.
    pub name: String,
    /// Labels, that nodeSelector and node affinity ask for.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// When the node was registered, RFC 3339.
    pub creation_timestamp: Option<String>,
    /// Needed by watches only.
    pub resource_version: Option<String>,
}

impl NodeMetadata {
    /// When the node was registered, in seconds since 1970; `None` where it does not say, or not readably.
    #[must_use]
    pub fn created(&self) -> Option<i64> {
        let text = self.creation_timestamp.as_deref()?;
        let time =
            time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
                .ok()?;
        Some(time.unix_timestamp())
    }
}

/// The part of a Node's spec that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Taints that pods must tolerate.
    #[serde(deserialize_with = "or_default")]
    pub taints: Vec<Taint>,
    /// Networks of the node's pods, which no registry look-up may reach.
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pub pod_cidrs: Vec<String>,
}

/// A v1 Taint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value, empty where there is none.
    #[serde(deserialize_with = "or_default")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// As `kubectl taint` writes it: `key=value:NoSchedule`.
impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        write!(f, ":{}", self.effect)
    }
}

/// The part of a Node's status that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    /// What the kubelet says of its machine.
    #[serde(deserialize_with = "or_default")]
    pub node_info: NodeInfo,
    /// The node's own addresses, which no registry look-up may reach.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<NodeAddress>,
}

/// v1 NodeAddress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// An IP address, or a name.
    pub address: String,
}

/// v1 NodeSystemInfo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeInfo {
    /// The kubelet's `GOOS`.
    pub operating_system: String,
    /// The kubelet's `GOARCH`.
    pub architecture: String,
    /// `major.minor.build.revision` on Windows.
    pub kernel_version: String,
    /// `containerd://2.1.5`.
    pub container_runtime_version: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What a node's runtime is, as far as images go. Nodes that are equal here give every image the same verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePlatform {
    /// Operating system, normalised; empty if the node does not say.
    pub os: String,
    /// Architecture, normalised; empty if the node does not say.
    pub architecture: String,
    /// CPU variant, normalised. Kubernetes reports none, so it is known only where somebody states it.
    pub variant: Option<String>,
    /// Version of a Windows node, where it can be read.
    pub windows: Option<WindowsVersion>,
    /// The runtime; `None` where nobody knows it, as with virtual kubelets.
    pub runtime: Option<Runtime>,
    /// Architectures that the node runs by emulation (QEMU binfmt, Rosetta), normalised.
    pub emulates: Vec<String>,
}

/// What an operator knows of some nodes and Kubernetes does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeOverride {
    /// Labels that a node must carry for this to hold; none is every node.
    pub match_labels: BTreeMap<String, String>,
    /// The runtime's rules, where nodeInfo misleads: a containerd that is configured to pull client-side, say.
    pub runtime: Option<Runtime>,
    /// Architectures that the nodes run by emulation.
    pub emulates: Vec<String>,
    /// CPU variant of Arm nodes.
    pub variant: Option<String>,
}

impl NodeOverride {
    /// Whether it holds for a node.
    #[must_use]
    pub fn is_for(&self, node: &Node) -> bool {
        let has = |(key, value): (&String, &String)| node.metadata.labels.get(key) == Some(value);
        self.match_labels.iter().all(has)
    }
}

impl NodePlatform {
    /// The platform that a node reports, corrected by every override that holds for it; a later one wins.
    #[must_use]
    pub fn with_overrides(node: &Node, overrides: &[NodeOverride]) -> Self {
        let mut platform = Self::of(node);
        for known in overrides.iter().filter(|known| known.is_for(node)) {
            platform.runtime = known.runtime.or(platform.runtime);
            platform.variant = known.variant.clone().or(platform.variant);
            platform.emulates.extend(known.emulates.iter().cloned());
        }
        platform.emulates.sort();
        platform.emulates.dedup();
        platform
    }

    /// The platform that a node reports: nodeInfo first, labels where it says nothing (SEMANTICS section 5).
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let info = &node.status.node_info;
        let label = |key: &str| node.metadata.labels.get(key).map_or("", String::as_str);
        let first = |a: &'_ str, b: &'_ str| {
            if a.is_empty() {
                b.to_owned()
            } else {
                a.to_owned()
            }
        };
        let stated = Platform::new(
            &first(&info.operating_system, label(OS_LABEL)),
            &first(&info.architecture, label(ARCH_LABEL)),
        );
        let windows = WindowsVersion::parse(&info.kernel_version)
            .or_else(|| WindowsVersion::parse(label(WINDOWS_BUILD_LABEL)));
        let runtime = Runtime::from_node_info(&info.container_runtime_version);
        Self::from_platform(&stated, runtime).with_windows(windows)
    }

    /// The platform of a node that somebody states, as `--platform` does. `arm` without a variant stays without:
    /// which one it is, is not known.
    #[must_use]
    pub fn from_platform(platform: &Platform, runtime: Option<Runtime>) -> Self {
        let normal = platform.normalized();
        let states_no_variant =
            platform.variant.is_none() && platform.architecture.eq_ignore_ascii_case("arm");
        let windows = platform
            .os_version
            .as_deref()
            .and_then(WindowsVersion::parse);
        let variant = if states_no_variant {
            None
        } else {
            normal.variant
        };
        let node = Self {
            os: normal.os,
            architecture: normal.architecture,
            variant,
            windows: None,
            runtime,
            emulates: Vec::new(),
        };
        node.with_windows(windows)
    }

    fn with_windows(mut self, version: Option<WindowsVersion>) -> Self {
        self.windows = version.filter(|_| self.is_windows());
        self
    }

    /// Whether the node runs Windows.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.os == "windows"
    }

    /// The platform in our own notation: `windows/amd64:10.0.14393`, `linux/arm/v7`.
    #[must_use]
    pub fn written(&self) -> String {
        self.describe().replacen(' ', ":", 1)
    }

    /// A name for the nodes of this platform that no other platform has: it tells the revision of Windows and the
    /// runtime too, as in `windows/amd64:10.0.14393.2551, containerd 2.3`.
    #[must_use]
    pub fn group_name(&self) -> String {
        let revision = self.windows.and_then(|version| version.revision);
        let revision = revision.map(|revision| format!(".{revision}"));
        let runtime = self.runtime.map_or("unknown runtime", Runtime::releases);
        let emulates = self.emulates.iter().map(|name| format!(" + {name}"));
        format!(
            "{}{}{}, {runtime}",
            self.written(),
            revision.unwrap_or_default(),
            emulates.collect::<String>(),
        )
    }

    /// The platform and version as error messages write them: `windows/amd64 10.0.14393`, `linux/arm/v7`.
    #[must_use]
    pub fn describe(&self) -> String {
        let or_unknown = |text: &'_ str| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                text.to_owned()
            }
        };
        let mut text = format!(
            "{}/{}",
            or_unknown(&self.os),
            or_unknown(&self.architecture)
        );
        if let Some(variant) = &self.variant {
            text = format!("{text}/{variant}");
        }
        match self.windows {
            Some(version) => format!("{text} {version}"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(json: &str) -> Node {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_node_says_what_it_is() {
        for (json, want) in [
            (r#"{"metadata":{"name":"a"}}"#, "unknown/unknown"),
            (
                r#"{"metadata":null,"spec":null,"status":{"nodeInfo":null}}"#,
                "unknown/unknown",
            ),
            (
                r#"{"status":{"nodeInfo":{"operatingSystem":"windows","architecture":"amd64","kernelVersion":"10.0.14393.2551"}}}"#,
                "windows/amd64 10.0.14393",
            ),
            (
                r#"{"metadata":{"labels":{"kubernetes.io/os":"windows","kubernetes.io/arch":"amd64",
                "node.kubernetes.io/windows-build":"10.0.20348"}}}"#,
                "windows/amd64 10.0.20348",
            ),
            (
                r#"{"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"arm64","kernelVersion":"6.1.0"}}}"#,
                "linux/arm64",
            ),
        ] {
            assert_eq!(NodePlatform::of(&node(json)).describe(), want, "{json}");
        }
    }

    #[test]
    fn an_operator_may_know_better() {
        let json = r#"{"metadata":{"labels":{"pool":"old"}},"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"arm",
            "containerRuntimeVersion":"containerd://2.2.0"}}}"#;
        let old = |known: NodeOverride| {
            let labels = [("pool".to_owned(), "old".to_owned())];
            NodeOverride {
                match_labels: labels.into(),
                ..known
            }
        };
        let overrides = [
            old(NodeOverride {
                variant: Some("v6".to_owned()),
                ..NodeOverride::default()
            }),
            NodeOverride {
                emulates: vec!["amd64".to_owned()],
                ..NodeOverride::default()
            },
            NodeOverride {
                match_labels: [("pool".to_owned(), "new".to_owned())].into(),
                runtime: Some(Runtime::CriO),
                ..NodeOverride::default()
            },
        ];
        let platform = NodePlatform::with_overrides(&node(json), &overrides);
        assert_eq!(platform.variant.as_deref(), Some("v6"));
        assert_eq!(platform.emulates, ["amd64"]);
        assert_eq!(
            platform.runtime,
            Runtime::from_node_info("containerd://2.2.0")
        );
    }

    #[test]
    fn a_group_of_nodes_has_a_name() {
        let info = |os: &str, kernel: &str, runtime: &str| {
            let json = format!(
                r#"{{"status":{{"nodeInfo":{{"operatingSystem":"{os}","architecture":"amd64",
                "kernelVersion":"{kernel}","containerRuntimeVersion":"{runtime}"}}}}}}"#
            );
            NodePlatform::of(&node(&json)).group_name()
        };
        assert_eq!(
            info("windows", "10.0.14393.2551", "containerd://1.7.27"),
            "windows/amd64:10.0.14393.2551, containerd from 1.6.23 or 1.7.6"
        );
        assert_eq!(
            info("linux", "6.8.0", "virtual"),
            "linux/amd64, unknown runtime"
        );
    }

    #[test]
    fn the_revision_is_kept() {
        let json = r#"{"metadata":{"labels":{"node.kubernetes.io/windows-build":"10.0.14393"}},
            "status":{"nodeInfo":{"operatingSystem":"windows","architecture":"amd64","kernelVersion":"10.0.14393.2551"}}}"#;
        assert_eq!(
            NodePlatform::of(&node(json)).windows.unwrap().revision,
            Some(2551)
        );
    }

    #[test]
    fn arm_without_a_variant_stays_unknown() {
        let arm = |text: &str| NodePlatform::from_platform(&text.parse().unwrap(), None).variant;
        assert_eq!(arm("linux/arm"), None);
        assert_eq!(arm("linux/arm/v6").as_deref(), Some("v6"));
        assert_eq!(arm("linux/armhf").as_deref(), Some("v7"));
    }
}
