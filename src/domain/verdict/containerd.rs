//! Picking from an index as containerd does, client-side or through its transfer service, and as the Docker engine
//! does with the same code (SEMANTICS 1.2 to 1.5, 2.1; rules 5 to 10, 13, 14 and 16).

use std::cmp::Reverse;

use crate::domain::image::{EntryContent, EntryPlatform, ImageIndex, IndexEntry};
use crate::domain::node::NodePlatform;
use crate::domain::platform::{ArchitectureFamily as Family, Platform};
use crate::domain::runtime::{Containerd, Runtime};
use crate::domain::windows::WindowsVersion;

use super::accept::{Cpu, may_fit, rank, rank_on_arm64_without_minors};
use super::{Cause, Doubt, ImageUse, Isolation, Verdict, is_ignored};

/// A node's matcher: what `Default()` of containerd/platforms is on that node.
#[derive(Clone, Copy)]
pub(super) struct Picker<'a> {
    node: &'a NodePlatform,
    cpu: Cpu<'a>,
    usage: ImageUse,
    rules: Containerd,
}

impl<'a> Picker<'a> {
    pub(super) fn new(node: &'a NodePlatform, usage: ImageUse, rules: Containerd) -> Self {
        Self {
            node,
            cpu: Cpu::new(&node.architecture, node.variant.as_deref()),
            usage,
            rules,
        }
    }

    /// How well a platform fits, 0 best; `None` if it does not (rules 5 and 6).
    fn fit(&self, platform: &EntryPlatform) -> Option<u8> {
        let rank = self.fit_architecture(platform)?;
        let fits =
            self.fits_os(platform) && self.fits_features(platform) && self.fits_version(platform);
        fits.then_some(rank)
    }

    fn fits_os(&self, platform: &EntryPlatform) -> bool {
        platform.normal.os.is_empty() || platform.normal.os == self.node.os
    }

    fn fit_architecture(&self, platform: &EntryPlatform) -> Option<u8> {
        let entry = Cpu::of_entry(platform);
        if self.cpu.family == Family::Arm64 && !self.rules.library.knows_arm64_minors() {
            let written = platform.written.variant.as_deref();
            return rank_on_arm64_without_minors(self.cpu.variant, entry, written);
        }
        if self.node.is_windows() && !self.rules.library.windows_uses_fallback_list() {
            return (self.cpu == entry).then_some(0);
        }
        rank(self.cpu, entry)
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

    fn is_of_unknown_version(&self) -> bool {
        self.node.is_windows() && self.node.windows.is_none()
    }

    /// Whether a fallback entry is 32-bit Arm on an arm64 node.
    fn is_aarch32(&self, platform: &EntryPlatform) -> bool {
        self.cpu.family == Family::Arm64 && platform.family == Family::Arm
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
        Some(best) if picker.is_of_unknown_version() && version(best.2).is_some() => {
            judge_on_unknown_version(picker, index)
        }
        Some(best) => judge_taken(picker, best),
        None => judge_without_fit(picker, index),
    }
}

/// No entry with a platform fits: the first without one is taken (rule 9).
fn judge_without_fit(picker: &Picker<'_>, index: &ImageIndex) -> Verdict {
    let mut entries = index.manifests.iter().enumerate();
    match entries.find(|(_, entry)| entry.platform.is_none()) {
        Some((position, entry)) => judge_sizing(
            picker,
            index,
            judge_platformless(picker, position, &entry.content),
        ),
        None => judge_near_miss(
            picker,
            index.manifests.iter().filter_map(|e| e.platform.as_ref()),
        ),
    }
}

type Best<'a> = (usize, &'a IndexEntry, &'a EntryPlatform, u8);

fn usable<'a>(picker: &Picker<'_>, index: &'a ImageIndex) -> impl Iterator<Item = Best<'a>> {
    let fitting = |(position, entry): (usize, &'a IndexEntry)| {
        let platform = entry.platform.as_ref()?;
        // Most entries of most indexes end here.
        if !may_fit(picker.cpu.family, platform.family) {
            return None;
        }
        let rank = picker.fit(platform).filter(|_| !is_ignored(entry))?;
        Some((position, entry, platform, rank))
    };
    index.manifests.iter().enumerate().filter_map(fitting)
}

fn best_entry<'a>(picker: &Picker<'_>, index: &'a ImageIndex) -> Option<Best<'a>> {
    let by_version = picker.node.is_windows() && !picker.rules.library.windows_uses_fallback_list();
    // `min_by_key` keeps the first of equals, as containerd's stable sort does. Windows versions are compared as
    // text, the greatest first (SEMANTICS 1.4).
    usable(picker, index).min_by_key(|(_, _, platform, rank)| {
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

/// The verdict on an entry once it is the one that is taken. What cannot run inside it cannot run by any pull.
fn judge_taken(picker: &Picker<'_>, (position, entry, platform, rank): Best<'_>) -> Verdict {
    let verdict = match &entry.content {
        EntryContent::Index(nested) => inside(judge(picker, nested), position),
        EntryContent::Failed(failure) => Verdict::Unknown(Doubt::Lookup(*failure)),
        EntryContent::Unread | EntryContent::Manifest(_) => {
            judge_revision(picker, position, platform)
        }
    };
    match verdict {
        Verdict::CannotRun(_) => verdict,
        _ if rank > 0 && picker.rules.transfer => Verdict::Unknown(Doubt::FallbackOnly),
        // A nested index has judged the image that it leads to.
        _ if matches!(entry.content, EntryContent::Index(_)) => verdict,
        _ if picker.is_aarch32(platform) => Verdict::Unknown(Doubt::Aarch32),
        _ => verdict,
    }
}

/// A Windows node of unknown version may take any entry that fits but for its version, and where each has one, none
/// of them (rule 14).
fn judge_on_unknown_version(picker: &Picker<'_>, index: &ImageIndex) -> Verdict {
    let (versioned, unversioned): (Vec<_>, Vec<_>) =
        usable(picker, index).partition(|entry| version(entry.2).is_some());
    let taken = |entry| judge_taken(picker, entry);
    // The first of the best ranked: the rest of those without a version never have their turn.
    let unversioned = unversioned.into_iter().min_by_key(|entry| entry.3);
    let worst = unversioned.map_or(u8::MAX, |entry| entry.3);
    let versioned = versioned.into_iter().filter(|entry| entry.3 <= worst);
    let on_none = unversioned.map_or_else(|| judge_without_fit(picker, index), taken);
    let verdicts: Vec<Verdict> = versioned.map(taken).collect();
    match verdicts
        .iter()
        .all(|verdict| verdict.kind() == on_none.kind())
    {
        true if matches!(on_none, Verdict::Runs { .. }) => on_none,
        true => verdicts[0],
        false => Verdict::Unknown(Doubt::NodeVersion),
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

/// What the version rule leaves open: the revision of 2016 (rule 13).
fn judge_revision(picker: &Picker<'_>, position: usize, platform: &EntryPlatform) -> Verdict {
    let host = picker
        .node
        .windows
        .filter(|_| picker.usage.isolation == Isolation::Process);
    let entry = version(platform).and_then(WindowsVersion::parse);
    match host.zip(entry) {
        Some((host, entry)) if host.differs_in_2016_revision(entry) => {
            Verdict::Unknown(Doubt::Revision)
        }
        _ => Verdict::Runs {
            chosen: Some(position),
        },
    }
}

/// Only entries without a platform are left: the first one's config or nested index decides (rule 9).
fn judge_platformless(picker: &Picker<'_>, position: usize, content: &EntryContent) -> Verdict {
    match content {
        EntryContent::Failed(failure) => Verdict::Unknown(Doubt::Lookup(*failure)),
        EntryContent::Unread => Verdict::Unknown(Doubt::PlatformlessEntry),
        EntryContent::Index(nested) => inside(judge(picker, nested), position),
        EntryContent::Manifest(config) => {
            let config = &as_read(picker, config);
            match picker.fit(config) {
                None => judge_near_miss(picker, std::iter::once(config)),
                Some(1..) if picker.is_aarch32(config) => Verdict::Unknown(Doubt::Aarch32),
                Some(_) if picker.is_of_unknown_version() && version(config).is_some() => {
                    Verdict::Unknown(Doubt::NodeVersion)
                }
                Some(_) => Verdict::Runs {
                    chosen: Some(position),
                },
            }
        }
    }
}

/// What containerd's CRI does next: it asks for the size of what it pulled, and looks at an entry with a platform first.
/// None fits, so none was pulled, and the pull fails; where the node has that entry from elsewhere, it does not.
fn judge_sizing(picker: &Picker<'_>, index: &ImageIndex, verdict: Verdict) -> Verdict {
    let looks_elsewhere = picker.node.runtime != Some(Runtime::Docker)
        && index.manifests.iter().any(|entry| entry.platform.is_some());
    match verdict {
        Verdict::Runs { .. } if looks_elsewhere => Verdict::Unknown(Doubt::PlatformlessEntry),
        _ => verdict,
    }
}

/// What containerd reads of a config: up to 1.7 operating system and architecture alone, then all of it, normalised
/// before it is compared.
fn as_read(picker: &Picker<'_>, config: &EntryPlatform) -> EntryPlatform {
    if picker.rules.library.reads_whole_config() {
        return config.normal.clone().into();
    }
    Platform::new(&config.written.os, &config.written.architecture).into()
}

/// Nothing fits. Where only the variant is in the way, say so (rule 10).
fn judge_near_miss<'a>(
    picker: &Picker<'_>,
    mut offered: impl Iterator<Item = &'a EntryPlatform>,
) -> Verdict {
    let only_variant = offered.any(|platform| {
        platform.normal.architecture == picker.node.architecture
            && picker.fits_os(platform)
            && picker.fits_features(platform)
            && picker.fits_version(platform)
    });
    Verdict::CannotRun(if only_variant {
        Cause::Variant
    } else {
        Cause::NoMatch
    })
}
