//! Tables over whole indexes: a node, an index in one line, and what comes of it.
#![allow(clippy::too_many_lines, reason = "a table may be long")]

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
fn entries_without_a_platform_come_last_and_only_the_first_counts() {
    for (platform, runtime, entries, want) in [
        (
            "linux/amd64",
            "containerd@2.2.0",
            "[linux/amd64] linux/amd64",
            "runs 1",
        ),
        ("linux/amd64", "containerd@2.2.0", "[linux/amd64]", "runs 0"),
        (
            "linux/amd64",
            "containerd@2.2.0",
            "[linux/arm64] [linux/amd64]",
            "cannot-run no-match",
        ),
        (
            "linux/amd64",
            "cri-o",
            "[linux/arm64]",
            "unknown platformless-entry",
        ),
        (
            "linux/arm64",
            "containerd@2.0.0",
            "[linux/arm/v7]",
            "unknown aarch32",
        ),
        (
            "linux/arm",
            "containerd@2.0.0",
            "[linux/arm/v8]",
            "unknown arm-variant",
        ),
        (
            "linux/arm",
            "containerd@2.0.0",
            "linux/arm/v8 [linux/arm64]",
            "unknown arm-variant",
        ),
        (
            "windows/amd64:10.0.20348",
            "containerd@2.3.0",
            "[windows/amd64+win32k+win32k]",
            "runs 0",
        ),
    ] {
        check(platform, runtime, entries, want);
    }
}

/// Seen on a real node with containerd 2.2.0: `get image compressed resource size: content digest ...: not found`.
#[test]
fn containerd_fails_on_an_entry_without_a_platform_beside_others() {
    for (runtime, entries, want) in [
        (
            "containerd@2.2.0",
            "linux/arm64 [linux/amd64]",
            "unknown platformless-entry",
        ),
        (
            "containerd@1.7.20",
            "[linux/amd64] linux/arm64",
            "unknown platformless-entry",
        ),
        (
            "containerd",
            "[linux/amd64] unknown/unknown",
            "unknown platformless-entry",
        ),
        (
            "containerd@2.2.0",
            "linux/arm64 [linux/arm64]",
            "cannot-run no-match",
        ),
        (
            "containerd@2.2.0",
            "linux/arm64 [linux/amd64] linux/amd64",
            "runs 2",
        ),
        ("docker", "linux/arm64 [linux/amd64]", "runs 1"),
    ] {
        check("linux/amd64", runtime, entries, want);
    }
}

/// Single manifests: rules 11 to 15.
#[test]
fn single_manifests_are_judged_by_their_config() {
    use Isolation::{HostProcess, HyperV, Process};
    for (platform, isolation, config, want) in [
        ("linux/amd64", Process, "linux/amd64", "runs"),
        ("linux/amd64", Process, "linux/386", "runs"),
        ("linux/amd64", Process, "linux/arm64", "cannot-run arch"),
        (
            "linux/amd64",
            Process,
            "windows/amd64:10.0.20348",
            "cannot-run os",
        ),
        (
            "linux/amd64",
            Process,
            "linux/amd64/v3",
            "unknown cpu-level",
        ),
        ("linux/arm64", Process, "linux/arm/v7", "unknown aarch32"),
        ("linux/arm", Process, "linux/arm/v6", "runs"),
        ("linux/arm", Process, "linux/arm/v8", "unknown arm-variant"),
        ("linux/arm/v6", Process, "linux/arm/v7", "cannot-run arch"),
        (
            "windows/amd64:10.0.20348",
            Process,
            "windows/386:10.0.20348.1",
            "cannot-run arch",
        ),
        (
            "windows/amd64:10.0.20348",
            Process,
            "windows/amd64/v3:10.0.17763.1",
            "cannot-run windows-build",
        ),
        (
            "windows/amd64:10.0.20348",
            Process,
            "windows/amd64:10.0.17763.1",
            "cannot-run windows-build",
        ),
        (
            "windows/amd64:10.0.20348",
            HyperV,
            "windows/amd64:10.0.17763.1",
            "runs",
        ),
        (
            "windows/amd64:10.0.17763",
            HyperV,
            "windows/amd64:10.0.20348.1",
            "cannot-run windows-build",
        ),
        (
            "windows/amd64:10.0.20348",
            HostProcess,
            "windows/amd64:10.0.26100.1",
            "runs",
        ),
        ("windows/amd64:10.0.20348", Process, "windows/amd64", "runs"),
        (
            "windows/amd64",
            Process,
            "windows/amd64:10.0.20348",
            "unknown node-version",
        ),
        (
            "windows/amd64:10.0.14393.1",
            Process,
            "windows/amd64:10.0.14393.2",
            "unknown revision",
        ),
        (
            "windows/amd64:10.0.14393.1",
            HyperV,
            "windows/amd64:10.0.14393.2",
            "runs",
        ),
    ] {
        let content = ImageContent::Manifest(config.parse::<Platform>().unwrap().into());
        let usage = ImageUse {
            isolation,
            ..ImageUse::default()
        };
        assert_eq!(
            say(judge(&node(platform, "containerd@2.2.0"), usage, &content)),
            want,
            "{config} on {platform}"
        );
    }
}

#[test]
fn emulation_helps_single_manifests_only() {
    let mut node = node("linux/amd64", "containerd@2.2.0");
    node.emulates = vec!["arm64".to_owned()];
    let single = ImageContent::Manifest(Platform::new("linux", "arm64").into());
    assert_eq!(say(judge(&node, ImageUse::default(), &single)), "runs");
    let listed = ImageContent::Index(index("linux/arm64"));
    assert_eq!(
        say(judge(&node, ImageUse::default(), &listed)),
        "cannot-run no-match"
    );
}

/// Microsoft's table (SEMANTICS 2.5), columns 2016, 2019, 2022 and 2025: P process isolation, H Hyper-V isolation.
#[test]
fn microsofts_matrix() {
    let builds = ["10.0.14393", "10.0.17763", "10.0.20348", "10.0.26100"];
    for (host, row) in [
        ("10.0.14393", ["PH", "", "", ""]),
        ("10.0.17763", ["H", "PH", "", ""]),
        ("10.0.20348", ["H", "H", "PH", ""]),
        ("10.0.26100", ["H", "H", "PH", "PH"]),
    ] {
        for (build, want) in builds.iter().zip(row) {
            let content = ImageContent::Manifest(
                format!("windows/amd64:{build}")
                    .parse::<Platform>()
                    .unwrap()
                    .into(),
            );
            let node = node(&format!("windows/amd64:{host}"), "containerd@2.2.0");
            for (letter, isolation) in [('P', Isolation::Process), ('H', Isolation::HyperV)] {
                let usage = ImageUse {
                    isolation,
                    ..ImageUse::default()
                };
                let runs = matches!(judge(&node, usage, &content), Verdict::Runs { .. });
                assert_eq!(
                    runs,
                    want.contains(letter),
                    "{build} on {host}, {isolation:?}"
                );
            }
        }
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

#[test]
fn a_nested_index_decides_for_the_entry_that_leads_to_it() {
    for (platform, runtime, entries, want) in [
        (
            "linux/amd64",
            "containerd@2.0.0",
            "linux/arm64 linux/amd64{linux/arm64,linux/amd64}",
            "runs 1",
        ),
        (
            "linux/amd64",
            "containerd@2.2.0",
            "linux/amd64{linux/386}",
            "unknown fallback-only",
        ),
        (
            "linux/amd64",
            "containerd@2.2.0",
            "linux/386{}",
            "cannot-run no-match",
        ),
        (
            "linux/arm64",
            "containerd@2.0.0",
            "linux/arm/v7{linux/s390x}",
            "cannot-run no-match",
        ),
        (
            "linux/arm64",
            "containerd@2.0.0",
            "linux/arm/v7{linux/arm64}",
            "runs 0",
        ),
        (
            "windows/amd64",
            "containerd@2.2.0",
            "windows/amd64 windows/amd64:10.0.26100.1{}",
            "unknown node-version",
        ),
        (
            "windows/amd64",
            "containerd@2.2.0",
            "windows/amd64:10.0.26100.1{} [windows/amd64]",
            "unknown node-version",
        ),
        (
            "windows/amd64",
            "containerd@2.2.0",
            "windows/amd64:10.0.26100.1{}",
            "cannot-run no-match",
        ),
    ] {
        check(platform, runtime, entries, want);
    }
}
