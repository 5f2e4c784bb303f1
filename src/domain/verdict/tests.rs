//! Tables over whole indexes: a node, an index in one line, and what comes of it.
#![allow(clippy::too_many_lines, reason = "a table may be long")]

mod platformless;
mod singles;

use super::*;
use crate::domain::image::{Digest, EntryContent};
use crate::domain::platform::Platform;

fn digest(n: usize) -> Digest {
    Digest::parse(&format!("sha256:{n:064}")).unwrap()
}

fn platform(word: &str) -> Platform {
    let mut features = word.split('+');
    let mut platform: Platform = features.next().unwrap().parse().unwrap();
    platform.os_features = features.map(str::to_owned).collect();
    platform
}

/// An index in one line: platforms by blanks; `[...]` is an entry without a platform that holds a config, `+word`
/// adds a feature, `{...}` holds a nested index by commas.
fn index(text: &str) -> ImageIndex {
    let manifests = text.split_whitespace().enumerate().map(|(n, word)| {
        if let Some(config) = word
            .strip_prefix('[')
            .and_then(|word| word.strip_suffix(']'))
        {
            return IndexEntry::new(
                digest(n),
                None,
                EntryContent::Manifest(platform(config).into()),
            );
        }
        if let Some((outer, nested)) = word.split_once('{') {
            let nested = nested.strip_suffix('}').unwrap().replace(',', " ");
            let content = EntryContent::Index(index(&nested));
            return IndexEntry::new(digest(n), Some(platform(outer)), content);
        }
        IndexEntry::new(digest(n), Some(platform(word)), EntryContent::Unread)
    });
    ImageIndex {
        manifests: manifests.collect(),
    }
}

fn node(platform: &str, runtime: &str) -> NodePlatform {
    NodePlatform::from_platform(&platform.parse().unwrap(), Some(runtime.parse().unwrap()))
}

fn say(verdict: Verdict) -> String {
    match verdict {
        Verdict::Runs {
            chosen: Some(position),
        } => format!("runs {position}"),
        Verdict::Runs { chosen: None } => "runs".to_owned(),
        other => format!("{} {}", other.kind(), other.code().unwrap()),
    }
}

#[track_caller]
fn check(platform: &str, runtime: &str, entries: &str, want: &str) {
    let content = ImageContent::Index(index(entries));
    let got = say(judge(
        &node(platform, runtime),
        ImageUse::default(),
        &content,
    ));
    assert_eq!(got, want, "{entries} on {platform}, {runtime}");
}

#[test]
fn the_story() {
    let nanoserver = "windows/amd64:10.0.17134.885 windows/amd64:10.0.17763.615";
    check(
        "windows/amd64:10.0.14393.2551",
        "containerd@1.7.20",
        nanoserver,
        "cannot-run no-match",
    );
    check(
        "windows/amd64:10.0.17763.5458",
        "containerd@1.7.20",
        nanoserver,
        "runs 1",
    );
    check(
        "linux/amd64",
        "containerd@1.7.20",
        nanoserver,
        "cannot-run no-match",
    );
    let sac2016 = "windows/amd64:10.0.14393.2551";
    check(
        "windows/amd64:10.0.14393.2551",
        "containerd@1.7.20",
        sac2016,
        "runs 0",
    );
    check(
        "windows/amd64:10.0.14393.5000",
        "containerd@1.7.20",
        sac2016,
        "unknown revision",
    );
}

#[test]
fn linux_fallbacks_depend_on_the_release() {
    for (platform, runtime, entries, want) in [
        ("linux/amd64", "containerd@2.0.0", "linux/386", "runs 0"),
        (
            "linux/amd64",
            "containerd@2.1.0",
            "linux/386",
            "unknown fallback-only",
        ),
        (
            "linux/amd64",
            "containerd",
            "linux/386",
            "unknown fallback-only",
        ),
        (
            "linux/amd64",
            "containerd@2.1.0",
            "linux/386 linux/amd64",
            "runs 1",
        ),
        ("linux/amd64", "cri-o", "linux/386", "cannot-run no-match"),
        ("linux/amd64/v3", "cri-o", "linux/amd64", "runs 0"),
        ("linux/arm64/v9", "cri-o", "linux/arm64", "runs 0"),
        ("linux/amd64", "docker", "linux/386", "runs 0"),
        (
            "linux/arm64",
            "containerd@1.7.20",
            "linux/arm/v7",
            "unknown aarch32",
        ),
        (
            "linux/arm64",
            "containerd@2.2.0",
            "linux/arm/v7",
            "unknown fallback-only",
        ),
        (
            "linux/arm64",
            "containerd@1.7.20",
            "linux/arm/v7 linux/arm64/v8",
            "runs 1",
        ),
        (
            "linux/arm/v7",
            "cri-o",
            "linux/arm/v5 linux/arm/v6",
            "runs 1",
        ),
        (
            "linux/arm",
            "containerd@2.0.0",
            "linux/arm/v8",
            "unknown arm-variant",
        ),
        ("linux/arm", "containerd@2.0.0", "linux/arm/v6", "runs 0"),
    ] {
        check(platform, runtime, entries, want);
    }
}

#[test]
fn variants_that_no_runtime_asks_for() {
    for (platform, runtime, entries, want) in [
        (
            "linux/amd64",
            "containerd@2.2.0",
            "linux/amd64/v3",
            "cannot-run variant",
        ),
        (
            "linux/amd64",
            "cri-o",
            "linux/amd64/v1",
            "cannot-run variant",
        ),
        (
            "linux/amd64",
            "docker",
            "linux/amd64/v3",
            "unknown cpu-level",
        ),
        (
            "linux/arm64",
            "containerd@2.2.0",
            "linux/arm64/v8.1",
            "cannot-run variant",
        ),
        (
            "linux/arm64",
            "containerd@1.7.20",
            "linux/arm64/v8.0",
            "cannot-run variant",
        ),
        (
            "linux/arm64",
            "containerd@2.0.0",
            "linux/arm64/v8.0",
            "runs 0",
        ),
        (
            "linux/amd64",
            "containerd@2.2.0",
            "linux/amd64/v3 linux/arm64",
            "cannot-run variant",
        ),
        (
            "linux/amd64",
            "containerd@2.2.0",
            "unknown/unknown linux/arm64",
            "cannot-run no-match",
        ),
    ] {
        check(platform, runtime, entries, want);
    }
}

#[test]
fn windows_entries() {
    for (platform, runtime, entries, want) in [
        (
            "windows/amd64:10.0.20348",
            "containerd@2.2.0",
            "windows/amd64:10.0.20348.4294 windows/amd64:10.0.20348.999",
            "runs 1",
        ),
        (
            "windows/amd64:10.0.20348",
            "containerd@2.0.0",
            "windows/amd64:10.0.20348.4294 windows/amd64:10.0.20348.999",
            "runs 0",
        ),
        (
            "windows/amd64:10.0.26100",
            "containerd@2.2.0",
            "windows/amd64:10.0.20348.1 windows/amd64:10.0.26100.1",
            "runs 1",
        ),
        (
            "windows/amd64:10.0.28000",
            "containerd@2.2.0",
            "windows/amd64:10.0.20348.1",
            "cannot-run no-match",
        ),
        (
            "windows/amd64:10.0.28000",
            "containerd@2.4.0",
            "windows/amd64:10.0.20348.1",
            "runs 0",
        ),
        (
            "windows/amd64:10.0.28000",
            "containerd",
            "windows/amd64:10.0.20348.1",
            "runs 0",
        ),
        (
            "windows/amd64:10.0.26100",
            "containerd@1.7.5",
            "windows/amd64:10.0.20348.1",
            "cannot-run no-match",
        ),
        (
            "windows/amd64",
            "containerd@2.2.0",
            "windows/amd64:10.0.20348.1",
            "unknown node-version",
        ),
        (
            "windows/amd64",
            "containerd@2.2.0",
            "windows/amd64:10.0.20348.1 windows/amd64",
            "runs 1",
        ),
        (
            "windows/amd64:10.0.20348",
            "containerd@2.2.0",
            "windows/amd64:10.0.x",
            "cannot-run no-match",
        ),
        (
            "windows/amd64:10.0.20348",
            "containerd@2.3.0",
            "windows/amd64:10.0.20348+win32k",
            "runs 0",
        ),
        (
            "windows/amd64:10.0.20348",
            "containerd@2.3.0",
            "windows/amd64:10.0.20348+win32k+win32k",
            "cannot-run no-match",
        ),
        (
            "linux/amd64",
            "containerd@2.2.0",
            "linux/amd64+sse4",
            "runs 0",
        ),
        (
            "linux/amd64",
            "containerd@2.3.0",
            "linux/amd64+sse4",
            "cannot-run no-match",
        ),
        (
            "linux/amd64",
            "containerd",
            "linux/amd64+sse4",
            "unknown runtime-version",
        ),
    ] {
        check(platform, runtime, entries, want);
    }
}

#[test]
fn hyperv_pods_may_pull_for_their_guest() {
    let node = node("windows/amd64:10.0.20348", "containerd@2.2.0");
    let old = ImageContent::Index(index("windows/amd64:10.0.17763.1"));
    for (guest_pull, want) in [(false, "cannot-run no-match"), (true, "runs 0")] {
        let usage = ImageUse {
            isolation: Isolation::HyperV,
            guest_pull,
            ..ImageUse::default()
        };
        assert_eq!(say(judge(&node, usage, &old)), want);
    }
}

#[test]
fn what_cannot_be_judged() {
    let known = node("linux/amd64", "containerd@2.2.0");
    let nowhere = NodePlatform {
        runtime: None,
        ..known.clone()
    };
    let amd64 = ImageContent::Index(index("linux/amd64"));
    let wasm = ImageUse {
        wasm: true,
        ..ImageUse::default()
    };
    let volume = ImageUse {
        volume: true,
        ..ImageUse::default()
    };
    let foreign = ImageContent::Manifest(Platform::new("linux", "s390x").into());
    for (node, usage, content, want) in [
        (
            &nowhere,
            ImageUse::default(),
            &amd64,
            "unknown node-unknown",
        ),
        (&known, wasm, &amd64, "unknown wasm"),
        (
            &known,
            ImageUse::default(),
            &ImageContent::Schema1,
            "unknown schema1",
        ),
        (
            &known,
            ImageUse::default(),
            &ImageContent::Artifact,
            "unknown artifact",
        ),
        (&known, volume, &foreign, "runs"),
    ] {
        assert_eq!(say(judge(node, usage, content)), want);
    }
}

#[test]
fn codes_are_unique() {
    let mut codes: Vec<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
    codes.extend(Doubt::ALL.iter().map(|doubt| doubt.code()));
    codes.extend(LookupFailure::ALL.iter().map(|failure| failure.code()));
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
}
