//! Which architectures and variants a node accepts, best first (SEMANTICS 1.3): the list that
//! `containerd/platforms` builds in `platformVector`, answered as a rank instead of a list.

use crate::domain::image::EntryPlatform;
use crate::domain::platform::ArchitectureFamily as Family;

/// An architecture and its variant, normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpu<'a> {
    pub(super) family: Family,
    pub(super) architecture: &'a str,
    pub(super) variant: Option<&'a str>,
}

impl<'a> Cpu<'a> {
    pub(super) fn new(architecture: &'a str, variant: Option<&'a str>) -> Self {
        Self {
            family: Family::of(architecture),
            architecture,
            variant,
        }
    }

    pub(super) fn of_entry(platform: &'a EntryPlatform) -> Self {
        Self {
            family: platform.family,
            architecture: &platform.normal.architecture,
            variant: platform.normal.variant.as_deref(),
        }
    }
}

/// Whether [`rank`] may be anything but `None`, whatever the variants.
pub(super) fn may_fit(node: Family, entry: Family) -> bool {
    node == entry
        || matches!(
            (node, entry),
            (Family::Amd64, Family::I386) | (Family::Arm64, Family::Arm)
        )
}

/// How well an entry's architecture fits a node: 0 is the node's own, higher is a fallback; `None` does not fit.
pub(super) fn rank(node: Cpu<'_>, entry: Cpu<'_>) -> Option<u8> {
    match node.family {
        Family::Amd64 => rank_on_amd64(node.variant, entry),
        Family::Arm64 => rank_on_arm64(node.variant, entry),
        Family::Arm => rank_of_arm(node.variant, entry),
        Family::I386 | Family::Other => (node == entry).then_some(0),
    }
}

/// `amd64/vN` takes its own level and lower ones, then 386. containerd itself never states a level.
fn rank_on_amd64(variant: Option<&str>, entry: Cpu<'_>) -> Option<u8> {
    match entry.family {
        Family::I386 => entry.variant.is_none().then_some(u8::MAX),
        Family::Amd64 if entry.variant == variant => Some(0),
        Family::Amd64 => {
            let own = variant.map_or(Some(1), amd64_level)?;
            match entry.variant {
                None => own.checked_sub(1),
                Some(level) => own.checked_sub(amd64_level(level)?).filter(|_| own > 1),
            }
        }
        _ => None,
    }
}

fn amd64_level(variant: &str) -> Option<u8> {
    variant
        .strip_prefix('v')?
        .parse()
        .ok()
        .filter(|level| *level > 1)
}

/// arm64 takes its own minor version and lower ones, then 32-bit Arm from v8 down. A node that states none is v8.
fn rank_on_arm64(variant: Option<&str>, entry: Cpu<'_>) -> Option<u8> {
    match entry.family {
        Family::Arm64 => {
            let (major, minor) = arm64_version(variant)?;
            let (entry_major, entry_minor) = arm64_version(entry.variant)?;
            if entry_major == major {
                return minor.checked_sub(entry_minor);
            }
            // Armv9.N includes Armv8.(N+5), and containerd knows no 8.10.
            let newest_v8 = (minor + 5).min(9);
            (major == 9)
                .then(|| {
                    newest_v8
                        .checked_sub(entry_minor)
                        .map(|steps| steps + minor + 1)
                })
                .flatten()
        }
        Family::Arm => {
            arm64_version(variant)?;
            rank_of_arm(Some("v8"), entry).map(|steps| steps + 100)
        }
        _ => None,
    }
}

/// arm64 up to v0.2.1 of the library: the same variant to the letter, where only `8` and `v8` mean none, then 32-bit
/// Arm. `written` is the entry's variant before normalising.
pub(super) fn rank_on_arm64_without_minors(
    variant: Option<&str>,
    entry: Cpu<'_>,
    written: Option<&str>,
) -> Option<u8> {
    if entry.family == Family::Arm {
        return rank_of_arm(variant.or(Some("v8")), entry).map(|steps| steps + 1);
    }
    let stated =
        written.filter(|word| !matches!(word.to_ascii_lowercase().as_str(), "" | "8" | "v8"));
    let same = match (stated, variant) {
        (Some(stated), Some(own)) => stated.eq_ignore_ascii_case(own),
        (stated, own) => stated.is_none() && own.is_none(),
    };
    (entry.family == Family::Arm64 && same).then_some(0)
}

/// `v8`, `v8.3`, `v9`: those that containerd knows, up to 8.9 and 9.7.
fn arm64_version(variant: Option<&str>) -> Option<(u8, u8)> {
    let Some(variant) = variant else {
        return Some((8, 0));
    };
    let version = variant.strip_prefix('v')?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let version = (major.parse().ok()?, minor.parse().ok()?);
    matches!(version, (8, 0..=9) | (9, 0..=7)).then_some(version)
}

/// `arm/vN` takes vN down to v5. Without a variant it counts as v7 (rule 15).
fn rank_of_arm(variant: Option<&str>, entry: Cpu<'_>) -> Option<u8> {
    let own = variant.unwrap_or("v7");
    let entry_variant = entry.variant.filter(|_| entry.family == Family::Arm)?;
    if entry_variant == own {
        return Some(0);
    }
    let level = |variant: &str| variant.strip_prefix('v')?.parse::<u8>().ok();
    let steps = level(own)?.checked_sub(level(entry_variant)?)?;
    (level(entry_variant)? >= 5).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::platform::Platform;

    /// The variants of `candidates` that a node accepts, best first.
    fn accepted(node: &str, candidates: &str) -> String {
        let parse = |text: &str| {
            format!("linux/{text}")
                .parse::<Platform>()
                .unwrap()
                .normalized()
        };
        let node = parse(node);
        let mut found: Vec<(u8, &str)> = candidates
            .split(' ')
            .filter_map(|text| {
                let entry = parse(text);
                let own = Cpu::new(&node.architecture, node.variant.as_deref());
                let offered = Cpu::new(&entry.architecture, entry.variant.as_deref());
                rank(own, offered).map(|rank| (rank, text))
            })
            .collect();
        found.sort();
        found
            .iter()
            .map(|(_, text)| *text)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn what_may_not_fit_does_not() {
        let all = [
            "amd64", "386", "arm64", "arm", "ppc64le", "s390x", "riscv64", "",
        ];
        for (node, entry) in all.iter().flat_map(|node| all.map(|entry| (*node, entry))) {
            let fits = [None, Some("v5"), Some("v7"), Some("v8"), Some("v9.7")]
                .iter()
                .any(|variant| rank(Cpu::new(node, *variant), Cpu::new(entry, *variant)).is_some());
            let may = may_fit(Family::of(node), Family::of(entry));
            assert!(may || !fits, "{entry} on {node}");
        }
    }

    #[test]
    fn what_a_node_accepts() {
        let all = "amd64 amd64/v2 amd64/v3 amd64/v4 386 arm64 arm64/v8.1 arm64/v8.5 arm64/v8.6 arm64/v9 arm/v8 arm/v7 \
                   arm/v6 arm/v5 ppc64le s390x riscv64";
        for (node, want) in [
            ("amd64", "amd64 386"),
            ("amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
            ("arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
            (
                "arm64/v8.5",
                "arm64/v8.5 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            (
                "arm64/v9",
                "arm64/v9 arm64/v8.5 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            (
                "arm64/v9.1",
                "arm64/v9 arm64/v8.6 arm64/v8.5 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            ("arm64/v8.10", ""),
            ("arm", "arm/v7 arm/v6 arm/v5"),
            ("arm/v6", "arm/v6 arm/v5"),
            ("arm/v5", "arm/v5"),
            ("386", "386"),
            ("s390x", "s390x"),
            ("i686", ""),
        ] {
            assert_eq!(accepted(node, all), want, "{node}");
        }
    }
}
