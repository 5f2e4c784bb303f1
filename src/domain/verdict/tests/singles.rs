//! Single manifests: a node, a config, and what comes of it.

use super::*;

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
