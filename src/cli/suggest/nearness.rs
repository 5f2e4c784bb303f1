//! How near a tag's name is to another: which words of it are there, which versions, and what is there besides.
//!
//! A registry tells no dates, so newer is what counts higher: 1.10 after 1.9.

use std::cmp::Reverse;

use crate::domain::node::NodePlatform;

/// Orders tags, the nearest first. Lower is nearer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Distance {
    is_another: bool,
    words: usize,
    /// Among equals the newer version comes first.
    age: Reverse<Vec<Part>>,
}

/// A run of digits, or of anything else. Numbers count more than words, as in `1.2.1` and `1.2-rc`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    Number(u64),
}

/// The most that a word can be away from another.
const FAR: usize = 6;

/// How far a tag is from the wanted one, for somebody who looks for images of a platform: names that tell of the
/// platform are nearer.
pub(super) fn distance(wanted: &str, tag: &str, platform: &NodePlatform) -> Distance {
    let (wanted, words) = (words(wanted), words(tag));
    let missing: usize = wanted
        .iter()
        .map(|word| {
            words
                .iter()
                .map(|other| between(word, other))
                .min()
                .unwrap_or(FAR)
        })
        .sum();
    let names = names_of(platform);
    let is_named = |word: &&&str| names.contains(&word.to_ascii_lowercase().as_str());
    let more = words.iter().filter(|word| !wanted.contains(word));
    let more = more.filter(|word| !is_named(word)).count();
    let hint = usize::from(!words.iter().any(|word| is_named(&word)));
    Distance {
        is_another: words != wanted,
        words: 2 * missing + 2 * more + hint,
        age: Reverse(parts(tag)),
    }
}

/// Whether a tag stands for no image of its own: signatures and attestations are filed under a digest's name.
pub(super) fn is_of_a_digest(tag: &str) -> bool {
    tag.strip_prefix("sha256-")
        .is_some_and(|rest| rest.len() >= 64)
}

fn words(tag: &str) -> Vec<&str> {
    tag.split(['-', '_', '+'])
        .filter(|word| !word.is_empty())
        .collect()
}

/// How far a word is from another: versions by how many of their numbers agree from the start, others by their common
/// beginning, as of `ltsc2019` and `ltsc2022`.
fn between(wanted: &str, word: &str) -> usize {
    if wanted == word {
        return 0;
    }
    let (a, b) = (parts(wanted), parts(word));
    let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    if common == 0 {
        // `1` and `2`, and no less `v1` and `v2`, are versions of the same.
        let both = [&a, &b].map(|parts| matches!(parts.first(), Some(Part::Number(_))));
        return if both == [true; 2] { FAR - 1 } else { FAR };
    }
    if common == a.len() {
        // A further number or two: 1.25 and 1.25.3.
        return 1;
    }
    (FAR - 2).saturating_sub(common).max(2)
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number);
        let (part, next) = rest.split_at(end.unwrap_or(rest.len()));
        match part.parse() {
            Ok(number) if is_number => parts.push(Part::Number(number)),
            _ if part == "." => {}
            _ => parts.push(Part::Text(part.to_owned())),
        }
        rest = next;
    }
    parts
}

/// Words by which tags tell of a platform.
fn names_of(platform: &NodePlatform) -> Vec<&str> {
    let mut names = vec![platform.os.as_str(), platform.architecture.as_str()];
    if platform.architecture == "arm64" {
        names.extend(["arm64v8", "aarch64"]);
    }
    names.extend(match platform.windows.map(|version| version.build) {
        Some(14393) => &["sac2016", "ltsc2016", "1607", "10.0.14393"][..],
        Some(16299) => &["1709", "10.0.16299"],
        Some(17134) => &["1803", "10.0.17134"],
        Some(17763) => &["1809", "ltsc2019", "10.0.17763"],
        Some(18362) => &["1903", "10.0.18362"],
        Some(18363) => &["1909", "10.0.18363"],
        Some(19041) => &["2004", "10.0.19041"],
        Some(19042) => &["20h2", "10.0.19042"],
        Some(20348) => &["ltsc2022", "10.0.20348"],
        Some(26100) => &["ltsc2025", "10.0.26100"],
        _ => &[],
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first_and_the_newest_of_equals() {
        for (wanted, platform, want) in [
            (
                "nanoserver",
                "windows/amd64:10.0.14393",
                "nanoserver nanoserver-sac2016 nanoserver-1809 nanoserver-1803 nanoserver1709 windowsservercore linux latest",
            ),
            (
                "1.25-alpine",
                "linux/arm64",
                "1.25-alpine 1.25.10-alpine 1.25.9-alpine 1.24-alpine 1.25 1.25-bookworm",
            ),
            (
                "latest",
                "linux/amd64",
                "latest latest-amd64 latest-arm64v8 2.10 2.9",
            ),
            (
                "ltsc2022",
                "windows/amd64:10.0.17763",
                "ltsc2022 ltsc2019 ltsc2016 1809",
            ),
            ("v1", "linux/amd64", "v1 v1.2.0 v1.1.0 v2"),
        ] {
            let platform = NodePlatform::from_platform(&platform.parse().unwrap(), None);
            let mut tags: Vec<&str> = want.split(' ').rev().collect();
            tags.sort_by_key(|tag| distance(wanted, tag, &platform));
            assert_eq!(tags.join(" "), want);
        }
    }

    #[test]
    fn signatures_are_no_images() {
        let hex = "a".repeat(64);
        assert!(is_of_a_digest(&format!("sha256-{hex}.sig")));
        assert!(!is_of_a_digest("sha256-tools"));
    }
}
