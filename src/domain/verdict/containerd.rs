//! Picking from an index as containerd does, client-side or through its transfer service, and as the Docker engine
//! does with the same code (SEMANTICS 1.2 to 1.5, 2.1; rules 5 to 10, 13, 14 and 16).

use std::cmp::Reverse;

use crate::domain::image::{EntryContent, EntryPlatform, ImageIndex, IndexEntry};
use crate::domain::node::NodePlatform;
use crate::domain::runtime::{Containerd, Library};
use crate::domain::windows::WindowsVersion;

use super::accept::{rank, rank_on_arm64_without_minors};
use super::{Cause, Doubt, ImageUse, Isolation, Verdict, is_ignored};

/// A node's matcher: what `Default()` of containerd/platforms is on that node.
#[derive(Clone, Copy)]
pub(super) struct Picker<'a> {
    node: &'a NodePlatform,
    usage: ImageUse,
    rules: Containerd,
    docker: bool,
}

impl<'a> Picker<'a> {
    pub(super) fn new(node: &'a NodePlatform, usage: ImageUse, rules: Containerd) -> Self {
        Self {
            node,
            usage,
            rules,
            docker: false,
        }
    }

    /// Docker engine: containerd's list, a CPU level that we do not know, no transfer service (SEMANTICS section 7).
    pub(super) fn docker(node: &'a NodePlatform, usage: ImageUse) -> Self {
        Self {
            node,
            usage,
            rules: Containerd {
                library: Library::Rc5,
                transfer: false,
            },
            docker: true,
        }
    }

    /// How well a platform fits, 0 best; `None` if it does not (rules 5 and 6).
    fn fit(&self, platform: &EntryPlatform) -> Option<u8> {
        let rank = self.fit_architecture(platform)?;
        (self.fits_os(platform) && self.fits_features(platform) && self.fits_version(platform))
            .then_some(rank)
    }

    fn fits_os(&self, platform: &EntryPlatform) -> bool {
        platform.normal.os.is_empty() || platform.normal.os == self.node.os
    }

    fn fit_architecture(&self, platform: &EntryPlatform) -> Option<u8> {
        let own = (
            self.node.architecture.as_str(),
            self.node.variant.as_deref(),
        );
        let entry = (
            platform.normal.architecture.as_str(),
            platform.normal.variant.as_deref(),
        );
        if own.0 == "arm64" && !self.rules.library.knows_arm64_minors() {
            return rank_on_arm64_without_minors(own.1, entry, platform.written.variant.as_deref());
        }
        if self.node.is_windows() && !self.rules.library.windows_uses_fallback_list() {
            return (own == entry).then_some(0);
        }
        rank(own, entry)
    }

    /// Nodes have no features, so an entry must need none; a Windows matcher drops one `win32k` (SEMANTICS 1.2).
    fn fits_features(&self, platform: &EntryPlatform) -> bool {
        match platform.written.os_features.as_slice() {
            _ if !self.rules.library.compares_features() => true,
            [] => true,
            [feature] => self.node.is_windows() && feature == "win32k",
            _ => false,
        }
    }

    fn fits_version(&self, platform: &EntryPlatform) -> bool {
        let (Some(host), Some(written)) = (self.node.windows, version(platform)) else {
            return true;
        };
        match WindowsVersion::parse(written) {
            None => false,
            Some(entry) if self.pulls_for_guest() => host.takes_in_hyperv(entry),
            Some(entry) => host.takes(entry, self.rules.library.windows_floor()),
        }
    }

    fn pulls_for_guest(&self) -> bool {
        self.usage.isolation == Isolation::HyperV && self.usage.guest_pull
    }

    /// Whether a fallback entry is 32-bit Arm on an arm64 node.
    fn is_aarch32(&self, platform: &EntryPlatform) -> bool {
        self.node.architecture == "arm64" && platform.normal.architecture == "arm"
    }
}

/// The `os.version` of an entry, unless it is empty.
fn version(platform: &EntryPlatform) -> Option<&str> {
    platform
        .written
        .os_version
        .as_deref()
        .filter(|version| !version.is_empty())
}

/// Judges an index: the first entry that survives filter and sort is taken, and no other is tried (SEMANTICS 1.4).
pub(super) fn judge(picker: &Picker<'_>, index: &ImageIndex) -> Verdict {
    match best_entry(picker, index) {
        Some((position, entry, platform, rank)) => {
            judge_entry(picker, index, (position, entry, platform, rank))
        }
        None => match index
            .manifests
            .iter()
            .enumerate()
            .find(|(_, entry)| entry.platform.is_none())
        {
            Some((position, entry)) => judge_platformless(picker, position, &entry.content),
            None => judge_near_miss(picker, index),
        },
    }
}

type Best<'a> = (usize, &'a IndexEntry, &'a EntryPlatform, u8);

fn best_entry<'a>(picker: &Picker<'_>, index: &'a ImageIndex) -> Option<Best<'a>> {
    let by_version = picker.node.is_windows() && !picker.rules.library.windows_uses_fallback_list();
    let usable = index
        .manifests
        .iter()
        .enumerate()
        .filter_map(|(position, entry)| {
            let platform = entry.platform.as_ref().filter(|_| !is_ignored(entry))?;
            Some((position, entry, platform, picker.fit(platform)?))
        });
    // `min_by_key` keeps the first of equals, as containerd's stable sort does. Windows versions are compared as
    // text, the greatest first (SEMANTICS 1.4).
    usable.min_by_key(|(_, _, platform, rank)| {
        (
            *rank,
            Reverse(if by_version {
                version(platform).unwrap_or_default()
            } else {
                ""
            }),
        )
    })
}

fn judge_entry(picker: &Picker<'_>, index: &ImageIndex, best: Best<'_>) -> Verdict {
    let (position, entry, platform, rank) = best;
    if rank > 0 {
        if picker.rules.transfer {
            return Verdict::Unknown(Doubt::FallbackOnly);
        }
        if picker.is_aarch32(platform) {
            return Verdict::Unknown(Doubt::Aarch32);
        }
    }
    match &entry.content {
        EntryContent::Index(nested) => inside(judge(picker, nested), position),
        EntryContent::Failed(failure) => Verdict::Unknown(Doubt::Lookup(*failure)),
        EntryContent::Unread | EntryContent::Manifest(_) => {
            judge_windows(picker, index, position, platform)
        }
    }
}

/// A verdict from inside a nested index, told as the entry of the outer one.
fn inside(verdict: Verdict, position: usize) -> Verdict {
    match verdict {
        Verdict::Runs { .. } => Verdict::Runs {
            chosen: Some(position),
        },
        other => other,
    }
}

/// What the version rule leaves open: a node of unknown version (rule 14), the revision of 2016 (rule 13).
fn judge_windows(
    picker: &Picker<'_>,
    index: &ImageIndex,
    position: usize,
    platform: &EntryPlatform,
) -> Verdict {
    let runs = Verdict::Runs {
        chosen: Some(position),
    };
    if !picker.node.is_windows() {
        return runs;
    }
    let Some(host) = picker.node.windows else {
        let unversioned = index.manifests.iter().position(|entry| {
            entry
                .platform
                .as_ref()
                .is_some_and(|other| version(other).is_none() && picker.fit(other).is_some())
        });
        return match unversioned {
            Some(position) => Verdict::Runs {
                chosen: Some(position),
            },
            None => Verdict::Unknown(Doubt::NodeVersion),
        };
    };
    let entry = version(platform).and_then(WindowsVersion::parse);
    match entry {
        Some(entry)
            if picker.usage.isolation == Isolation::Process
                && host.differs_in_2016_revision(entry) =>
        {
            Verdict::Unknown(Doubt::Revision)
        }
        _ => runs,
    }
}

/// Only entries without a platform are left: the first one's config or nested index decides (rule 9).
fn judge_platformless(picker: &Picker<'_>, position: usize, content: &EntryContent) -> Verdict {
    match content {
        EntryContent::Failed(failure) => Verdict::Unknown(Doubt::Lookup(*failure)),
        EntryContent::Unread => Verdict::Unknown(Doubt::PlatformlessEntry),
        EntryContent::Index(nested) => inside(judge(picker, nested), position),
        EntryContent::Manifest(config) => {
            let bare = (!picker.rules.library.reads_whole_config()).then(|| bare(config));
            let config = bare.as_ref().unwrap_or(config);
            match picker.fit(config) {
                None => Verdict::CannotRun(Cause::NoMatch),
                Some(1..) if picker.is_aarch32(config) => Verdict::Unknown(Doubt::Aarch32),
                Some(_)
                    if picker.node.is_windows()
                        && picker.node.windows.is_none()
                        && version(config).is_some() =>
                {
                    Verdict::Unknown(Doubt::NodeVersion)
                }
                Some(_) => Verdict::Runs {
                    chosen: Some(position),
                },
            }
        }
    }
}

/// Operating system and architecture alone.
fn bare(platform: &EntryPlatform) -> EntryPlatform {
    let written = &platform.written;
    EntryPlatform::from(crate::domain::platform::Platform::new(
        &written.os,
        &written.architecture,
    ))
}

/// Nothing fits. Where only the variant is in the way, say so (rules 10 and 15).
fn judge_near_miss(picker: &Picker<'_>, index: &ImageIndex) -> Verdict {
    let node = picker.node;
    let mut variants = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| {
            let same_architecture = platform.normal.architecture == node.architecture;
            let others_fit = picker.fits_os(platform)
                && picker.fits_features(platform)
                && picker.fits_version(platform);
            same_architecture && others_fit
        });
    let Some(first) = variants.next() else {
        return Verdict::CannotRun(Cause::NoMatch);
    };
    let mut variants = std::iter::once(first).chain(variants);
    let is_v8 = |platform: &EntryPlatform| platform.normal.variant.as_deref() == Some("v8");
    match node.architecture.as_str() {
        "arm" if node.variant.is_none() && variants.any(is_v8) => {
            Verdict::Unknown(Doubt::ArmVariant)
        }
        "amd64" | "arm64" if picker.docker => Verdict::Unknown(Doubt::CpuLevel),
        _ => Verdict::CannotRun(Cause::Variant),
    }
}
