//! The verdict on one image on one node: runs, cannot run, or unknown, as the node's runtime would have it.
//!
//! The rules are those of SEMANTICS section 8, quoted by number. Leaves out which nodes a pod may land on
//! (`placement`) and what follows from many verdicts (`decision`).

mod accept;
mod containerd;
mod crio;
mod manifest;
#[cfg(test)]
mod tests;

use super::image::{ImageContent, ImageIndex, IndexEntry};
use super::lookup::LookupFailure;
use super::node::NodePlatform;
use super::runtime::{Containerd, Library, Runtime};

/// Whether an image runs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The runtime takes it. `chosen` is the position of the index entry that it takes; `None` for a single
    /// manifest.
    Runs {
        /// Position in the index, from 0.
        chosen: Option<usize>,
    },
    /// There is proof that it does not run.
    CannotRun(Cause),
    /// There is no proof either way.
    Unknown(Doubt),
}

/// Why an image cannot run on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// No entry of the index is for the node (rule 10).
    NoMatch,
    /// Entries are for the node's architecture, but for CPU variants that its runtime never asks for (rule 10).
    Variant,
    /// A single manifest of another operating system (rule 11).
    Os,
    /// A single manifest of another architecture (rule 12).
    Arch,
    /// A single manifest of a Windows build that the host does not start (rule 13).
    WindowsBuild,
}

/// Why nothing is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// The registry did not say what the image is (rule 2).
    Lookup(LookupFailure),
    /// A Docker schema 1 manifest (rule 2).
    Schema1,
    /// A manifest that is no runnable image (rule 2).
    Artifact,
    /// The pod never pulls the image: it may be on the node already (rule 2).
    PullNever,
    /// The pod's runtime handler runs WebAssembly (rule 3).
    Wasm,
    /// Only entries of a fallback platform: pulls through containerd's transfer service fail (rule 8).
    FallbackOnly,
    /// 32-bit Arm on arm64, which not every CPU can run (rules 8 and 12).
    Aarch32,
    /// The entry needs a CPU level that nodes do not report (rules 10 and 12).
    CpuLevel,
    /// An entry without a platform, which CRI-O takes unread (rule 9) and containerd's CRI fails to pull beside entries
    /// for other platforms.
    PlatformlessEntry,
    /// The config names no operating system or architecture (rule 11), or a version that cannot be read.
    IncompleteConfig,
    /// Windows Server 2016 of another revision (rule 13).
    Revision,
    /// A Windows node of unknown version (rule 14).
    NodeVersion,
    /// An Arm node of unknown variant (rule 15).
    ArmVariant,
    /// A node whose platform or runtime nobody knows.
    Node,
    /// A runtime whose release decides, and is unknown (section 8, default profile).
    RuntimeVersion,
}

/// How a Windows pod is isolated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Process isolation, the default.
    #[default]
    Process,
    /// Hyper-V isolation, chosen by RuntimeClass handler (SEMANTICS 2.4).
    HyperV,
    /// HostProcess containers (SEMANTICS 2.3).
    HostProcess,
}

/// What a pod does with an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ImageUse {
    /// Isolation, that counts on Windows only.
    pub isolation: Isolation,
    /// Mounted as a volume, never run (rule 17).
    pub volume: bool,
    /// The pod's runtime handler runs WebAssembly (rule 3).
    pub wasm: bool,
    /// Hyper-V pods pull for the guest's platform, not the host's (rule 16, `hypervPullPlatform: guest`).
    pub guest_pull: bool,
}

impl Cause {
    /// All causes, for tables and tests.
    pub const ALL: [Self; 5] = [
        Self::NoMatch,
        Self::Variant,
        Self::Os,
        Self::Arch,
        Self::WindowsBuild,
    ];

    /// The stable kebab-case code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoMatch => "no-match",
            Self::Variant => "variant",
            Self::Os => "os",
            Self::Arch => "arch",
            Self::WindowsBuild => "windows-build",
        }
    }
}

impl Doubt {
    /// All doubts that are none of the registry's, for tables and tests.
    pub const ALL: [Self; 14] = [
        Self::Schema1,
        Self::Artifact,
        Self::PullNever,
        Self::Wasm,
        Self::FallbackOnly,
        Self::Aarch32,
        Self::CpuLevel,
        Self::PlatformlessEntry,
        Self::IncompleteConfig,
        Self::Revision,
        Self::NodeVersion,
        Self::ArmVariant,
        Self::Node,
        Self::RuntimeVersion,
    ];

    /// The stable kebab-case code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Lookup(failure) => failure.code(),
            Self::Schema1 => "schema1",
            Self::Artifact => "artifact",
            Self::PullNever => "pull-never",
            Self::Wasm => "wasm",
            Self::FallbackOnly => "fallback-only",
            Self::Aarch32 => "aarch32",
            Self::CpuLevel => "cpu-level",
            Self::PlatformlessEntry => "platformless-entry",
            Self::IncompleteConfig => "incomplete-config",
            Self::Revision => "revision",
            Self::NodeVersion => "node-version",
            Self::ArmVariant => "arm-variant",
            Self::Node => "node-unknown",
            Self::RuntimeVersion => "runtime-version",
        }
    }
}

/// The codes of all causes and doubts: the keys that a policy's findings may have.
pub fn finding_codes() -> impl Iterator<Item = &'static str> {
    let causes = Cause::ALL.into_iter().map(Cause::code);
    let doubts = Doubt::ALL.into_iter().map(Doubt::code);
    let failures = LookupFailure::ALL.into_iter().map(LookupFailure::code);
    causes.chain(doubts).chain(failures)
}

impl Verdict {
    /// `runs`, `cannot-run` or `unknown`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Runs { .. } => "runs",
            Self::CannotRun(_) => "cannot-run",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The code of the cause or doubt; `None` where the image runs.
    #[must_use]
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Runs { .. } => None,
            Self::CannotRun(cause) => Some(cause.code()),
            Self::Unknown(doubt) => Some(doubt.code()),
        }
    }
}

/// Judges an image on a node (SEMANTICS section 8).
#[must_use]
pub fn judge(node: &NodePlatform, usage: ImageUse, content: &ImageContent) -> Verdict {
    let verdict = judge_as_stated(node, usage, content);
    if !matches!(verdict, Verdict::CannotRun(_)) {
        return verdict;
    }
    let Some((best, doubt)) = at_best(node) else {
        return verdict;
    };
    match judge_as_stated(&best, usage, content) {
        Verdict::CannotRun(_) => verdict,
        Verdict::Runs { .. } | Verdict::Unknown(_) => Verdict::Unknown(doubt),
    }
}

/// The most capable CPU that a node may have, where the runtime knows it and we do not, and what that leaves open:
/// an Arm node may be v8 (rule 15), and Docker asks for the CPU's own level (rule 10).
fn at_best(node: &NodePlatform) -> Option<(NodePlatform, Doubt)> {
    let (variant, doubt) = match (node.architecture.as_str(), node.runtime) {
        ("arm", _) => ("v8", Doubt::ArmVariant),
        ("amd64", Some(Runtime::Docker)) => ("v4", Doubt::CpuLevel),
        ("arm64", Some(Runtime::Docker)) => ("v9.7", Doubt::CpuLevel),
        _ => return None,
    };
    let best = || NodePlatform {
        variant: Some(variant.to_owned()),
        ..node.clone()
    };
    node.variant.is_none().then(|| (best(), doubt))
}

fn judge_as_stated(node: &NodePlatform, usage: ImageUse, content: &ImageContent) -> Verdict {
    if usage.wasm {
        return Verdict::Unknown(Doubt::Wasm);
    }
    match content {
        ImageContent::Schema1 => Verdict::Unknown(Doubt::Schema1),
        ImageContent::Artifact => Verdict::Unknown(Doubt::Artifact),
        ImageContent::Index(index) => judge_index(node, usage, index),
        ImageContent::Manifest(_) if usage.volume => Verdict::Runs { chosen: None },
        ImageContent::Manifest(platform) => manifest::judge(node, usage.isolation, platform),
    }
}

fn judge_index(node: &NodePlatform, usage: ImageUse, index: &ImageIndex) -> Verdict {
    let by =
        |rules: Containerd| containerd::judge(&containerd::Picker::new(node, usage, rules), index);
    if node.os.is_empty() || node.architecture.is_empty() {
        return Verdict::Unknown(Doubt::Node);
    }
    match node.runtime {
        None => Verdict::Unknown(Doubt::Node),
        Some(Runtime::Containerd(rules)) => by(rules),
        Some(Runtime::ContainerdAnyVersion) => {
            let old = by(Containerd {
                library: Library::Rc1,
                transfer: false,
            });
            let new = by(Containerd {
                library: Library::Rc5,
                transfer: true,
            });
            agree(old, new)
        }
        // containerd's list without its transfer service (SEMANTICS section 7).
        Some(Runtime::Docker) => by(Containerd {
            library: Library::Rc5,
            transfer: false,
        }),
        Some(Runtime::CriO) => crio::judge(node, index),
    }
}

/// One verdict for a containerd of unknown release: where the releases differ, nothing is certain.
fn agree(old: Verdict, new: Verdict) -> Verdict {
    match (old, new) {
        (_, Verdict::Unknown(_)) => new,
        (Verdict::Unknown(_), _) => old,
        _ if old.kind() == new.kind() => new,
        _ => Verdict::Unknown(Doubt::RuntimeVersion),
    }
}

/// Whether an entry is the `unknown/unknown` of an attestation, which no runtime ever takes (rule 4).
fn is_ignored(entry: &IndexEntry) -> bool {
    entry
        .platform
        .as_ref()
        .is_some_and(|platform| platform.normal.is_unknown())
}
