//! Picking from an index as CRI-O does (SEMANTICS section 7): plain text comparison, no aliases, no features, no
//! versions; Linux only.

use crate::domain::image::{EntryContent, ImageIndex};
use crate::domain::node::NodePlatform;

use super::{Cause, Doubt, Verdict};

/// Judges an index as `ChooseInstance` of go.podman.io/image picks from it.
pub(super) fn judge(node: &NodePlatform, index: &ImageIndex) -> Verdict {
    if node.os != "linux" {
        return Verdict::Unknown(Doubt::Node);
    }
    let wanted = wanted_variants(node);
    let taken = wanted.iter().find_map(|variant| find(node, variant, index));
    match taken {
        Some(position) => judge_taken(index, position),
        None if index.manifests.iter().any(|entry| entry.platform.is_none()) => {
            Verdict::Unknown(Doubt::PlatformlessEntry)
        }
        None => judge_near_miss(node, index),
    }
}

fn judge_taken(index: &ImageIndex, position: usize) -> Verdict {
    match &index.manifests[position].content {
        // CRI-O picks a nested index and then fails on it; that was read, not run (SEMANTICS section 4).
        EntryContent::Index(_) => Verdict::Unknown(Doubt::PlatformlessEntry),
        EntryContent::Failed(failure) => Verdict::Unknown(Doubt::Lookup(*failure)),
        EntryContent::Unread | EntryContent::Manifest(_) => Verdict::Runs {
            chosen: Some(position),
        },
    }
}

/// The variants asked for, best first; empty is an entry without one.
fn wanted_variants(node: &NodePlatform) -> Vec<&str> {
    const ARM: [&str; 5] = ["v8", "v7", "v6", "v5", ""];
    match (node.architecture.as_str(), node.variant.as_deref()) {
        ("arm", variant) => {
            let own = variant.unwrap_or("v7");
            ARM.iter()
                .position(|known| *known == own)
                .map_or_else(|| vec![own, ""], |at| ARM[at..].to_vec())
        }
        ("arm64", None) => vec!["v8", ""],
        (_, variant) => vec![variant.unwrap_or("")],
    }
}

fn find(node: &NodePlatform, variant: &str, index: &ImageIndex) -> Option<usize> {
    index.manifests.iter().position(|entry| {
        entry.platform.as_ref().is_some_and(|platform| {
            let written = &platform.written;
            written.os == node.os
                && written.architecture == node.architecture
                && written.variant.as_deref().unwrap_or("") == variant
        })
    })
}

fn judge_near_miss(node: &NodePlatform, index: &ImageIndex) -> Verdict {
    let mut same = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| {
            platform.written.os == node.os && platform.written.architecture == node.architecture
        });
    let Some(first) = same.next() else {
        return Verdict::CannotRun(Cause::NoMatch);
    };
    let is_v8 = |platform: &crate::domain::image::EntryPlatform| {
        platform.written.variant.as_deref() == Some("v8")
    };
    if node.architecture == "arm" && node.variant.is_none() && (is_v8(first) || same.any(is_v8)) {
        return Verdict::Unknown(Doubt::ArmVariant);
    }
    Verdict::CannotRun(Cause::Variant)
}
