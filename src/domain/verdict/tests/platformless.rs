//! Entries without a platform, and nested indexes: what they lead to decides.

use super::*;

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
