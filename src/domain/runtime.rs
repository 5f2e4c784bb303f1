//! Container runtimes: which rules a node's runtime follows when it picks an image (SEMANTICS 1.5, 2.1 and 7).
//!
//! Leaves out the picking itself: that is `verdict`.

use std::fmt;
use std::str::FromStr;

use super::windows::Floor;

/// A container runtime, as far as picking a platform goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// containerd of a known release.
    Containerd(Containerd),
    /// containerd of an unknown release: judged as before 2.1 and as 2.1 and later.
    ContainerdAnyVersion,
    /// CRI-O.
    CriO,
    /// Docker engine through cri-dockerd.
    Docker,
}

/// What differs between containerd releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Containerd {
    /// The matching code that the release carries.
    pub library: Library,
    /// Whether the CRI pulls through the transfer service (2.1 and later, unless configured otherwise), which
    /// downloads only entries of the node's exact platform.
    pub transfer: bool,
}

/// Generations of containerd's platform matching, oldest first: `containerd/platforms` and what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Library {
    /// 1.6.0 to 1.6.22, 1.7.0 to 1.7.5: Windows hosts take their own build only.
    Prefix,
    /// v0.2.1 and the hcsshim rule before it: 1.6.23 and later, 1.7.6 and later.
    V0_2_1,
    /// v1.0.0-rc.1: 2.0, 2.1.0 to 2.1.5.
    Rc1,
    /// v1.0.0-rc.2: 2.1.6 and later, 2.2.
    Rc2,
    /// v1.0.0-rc.4: 2.3.
    Rc4,
    /// v1.0.0-rc.5: 2.4 and later.
    Rc5,
}

/// A runtime that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a container runtime: write containerd, containerd@2.2.0, cri-o or docker")]
pub struct RuntimeError {
    text: String,
}

impl Library {
    /// Whether `os.features` of an entry count at all (since rc.3).
    #[must_use]
    pub fn compares_features(self) -> bool {
        self >= Self::Rc4
    }

    /// Whether Windows hosts use the list of fallback architectures, and index order (up to rc.1), instead of the
    /// highest `os.version` of their own architecture (since rc.2).
    #[must_use]
    pub fn windows_uses_fallback_list(self) -> bool {
        self <= Self::Rc1
    }

    /// Whether the minor versions of arm64 are known (since the release candidates). Before, `arm64/v8.2` was a word like
    /// any other.
    #[must_use]
    pub fn knows_arm64_minors(self) -> bool {
        self >= Self::Rc1
    }

    /// Whether variant and version of a config are read when an entry names no platform.
    #[must_use]
    pub fn reads_whole_config(self) -> bool {
        self >= Self::Rc1
    }

    /// The oldest Windows build that hosts of the stable ABI take.
    #[must_use]
    pub fn windows_floor(self) -> Floor {
        match self {
            Self::Prefix => Floor::OwnBuild,
            Self::V0_2_1 | Self::Rc1 | Self::Rc5 => Floor::Ltsc2022,
            Self::Rc2 | Self::Rc4 => Floor::NewestLtscBelow,
        }
    }
}

impl Containerd {
    /// The rules of a containerd release.
    #[must_use]
    pub fn of_version(major: u32, minor: u32, patch: u32) -> Self {
        let library = match (major, minor, patch) {
            (0, ..) | (1, 0..=5, _) | (1, 6, 0..=22) | (1, 7, 0..=5) => Library::Prefix,
            (1, ..) => Library::V0_2_1,
            (2, 0, _) | (2, 1, 0..=5) => Library::Rc1,
            (2, 1 | 2, _) => Library::Rc2,
            (2, 3, _) => Library::Rc4,
            _ => Library::Rc5,
        };
        Self {
            library,
            transfer: (major, minor) >= (2, 1),
        }
    }
}

impl Runtime {
    /// Reads `status.nodeInfo.containerRuntimeVersion`: `containerd://2.1.5`, `cri-o://1.34.1`, `docker://28.5`.
    /// `None` is a runtime that nobody knows, such as a virtual kubelet's.
    #[must_use]
    pub fn from_node_info(text: &str) -> Option<Self> {
        let (name, version) = text.split_once("://")?;
        Self::from_parts(name, Some(version))
    }

    /// The runtime and the releases that follow the same rules, such as `containerd 2.3`. No two runtimes share one.
    #[must_use]
    pub fn releases(self) -> &'static str {
        match self {
            Self::ContainerdAnyVersion => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Containerd(Containerd { library, transfer }) => match (library, transfer) {
                (Library::Prefix, _) => "containerd up to 1.6.22 or 1.7.5",
                (Library::V0_2_1, _) => "containerd from 1.6.23 or 1.7.6",
                (Library::Rc1, false) => "containerd 2.0",
                (Library::Rc1, true) => "containerd 2.1.0-2.1.5",
                (Library::Rc2, _) => "containerd 2.1.6-2.2",
                (Library::Rc4, _) => "containerd 2.3",
                (Library::Rc5, _) => "containerd from 2.4",
            },
        }
    }

    fn from_parts(name: &str, version: Option<&str>) -> Option<Self> {
        match name {
            "containerd" => Some(match version.and_then(parse_version) {
                Some((major, minor, patch)) => {
                    Self::Containerd(Containerd::of_version(major, minor, patch))
                }
                None => Self::ContainerdAnyVersion,
            }),
            "cri-o" => Some(Self::CriO),
            "docker" => Some(Self::Docker),
            _ => None,
        }
    }
}

/// `2.1.5`, `v1.7.20-rc.1`, `28.5`: what is missing counts as 0.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let core = text.split(['-', '+', '~']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(|part| part.parse::<u32>().ok());
    let major = numbers.next()??;
    let mut next = || numbers.next().map_or(Some(0), |number| number);
    Some((major, next()?, next()?))
}

/// Reads what `--runtime` takes: `containerd[@VERSION]`, `cri-o`, `docker`.
impl FromStr for Runtime {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || RuntimeError {
            text: text.to_owned(),
        };
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if version.is_some_and(|version| parse_version(version).is_none()) {
            return Err(error());
        }
        Self::from_parts(name, version).ok_or_else(error)
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containerd(_) | Self::ContainerdAnyVersion => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_info_picks_the_rules() {
        use Library::{Prefix, Rc1, Rc2, Rc4, Rc5, V0_2_1};
        for (text, library, transfer) in [
            ("containerd://1.6.22", Prefix, false),
            ("containerd://1.6.23", V0_2_1, false),
            ("containerd://1.7.5", Prefix, false),
            ("containerd://1.7.27-k3s1", V0_2_1, false),
            ("containerd://v2.0.7", Rc1, false),
            ("containerd://2.1.5", Rc1, true),
            ("containerd://2.1.6", Rc2, true),
            ("containerd://2.2.0+unknown", Rc2, true),
            ("containerd://2.3.4", Rc4, true),
            ("containerd://2.4.0-beta.1", Rc5, true),
            ("containerd://3.0", Rc5, true),
        ] {
            let want = Some(Runtime::Containerd(Containerd { library, transfer }));
            assert_eq!(Runtime::from_node_info(text), want, "{text}");
        }
        for (text, want) in [
            ("cri-o://1.34.1", Some(Runtime::CriO)),
            ("docker://28.5", Some(Runtime::Docker)),
            ("containerd://Unknown", Some(Runtime::ContainerdAnyVersion)),
            ("containerd", None),
            ("", None),
            ("wasmcloud://1.0", None),
        ] {
            assert_eq!(Runtime::from_node_info(text), want, "{text}");
        }
    }

    #[test]
    fn the_flag_is_read() {
        assert_eq!("containerd".parse(), Ok(Runtime::ContainerdAnyVersion));
        assert_eq!(
            "containerd@1.7.20".parse(),
            Ok(Runtime::Containerd(Containerd::of_version(1, 7, 20)))
        );
        assert_eq!("docker@28".parse(), Ok(Runtime::Docker));
        assert!("containerd@x".parse::<Runtime>().is_err());
        assert!("rkt".parse::<Runtime>().is_err());
    }
}
