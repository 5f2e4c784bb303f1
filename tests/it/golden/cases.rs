//! The rows: images, nodes and a pod for every class of verdict.

/// A review. What a row does not say is as in [`PLAIN`].
pub(super) struct Case {
    /// The name of its golden file.
    pub(super) name: &'static str,
    /// `Pod`, `PodOfDaemonSet`, `Ephemeral`, or the kind of a workload around the pod.
    pub(super) kind: &'static str,
    /// The pod's spec, as JSON.
    pub(super) spec: &'static str,
    pub(super) nodes: &'static [&'static str],
    /// Settings, as YAML.
    pub(super) settings: &'static str,
    /// Nothing has been heard of nodes.
    pub(super) stale: bool,
    /// The same was asked before.
    pub(super) warm: bool,
}

const PLAIN: Case = Case {
    name: "",
    kind: "Pod",
    spec: "{}",
    nodes: LINUX,
    settings: "",
    stale: false,
    warm: false,
};

const LINUX: &[&str] = &["2 linux/amd64 containerd://2.2.0"];
const WINDOWS: &[&str] = &["2 windows/amd64:10.0.20348.2402 containerd://1.7.20"];
/// The cluster of the demo.
const STORY: &[&str] = &[
    "1 windows/amd64:10.0.14393.2551 containerd://1.6.36",
    "2 windows/amd64:10.0.17763.5458 containerd://1.7.20",
    "3 linux/amd64 containerd://2.2.0",
];
const MIXED: &[&str] = &[
    "2 linux/amd64 containerd://2.2.0",
    "1 linux/arm64 containerd://2.2.0",
    "4 windows/amd64:10.0.17763.5458 containerd://1.7.20",
    "1 windows/amd64:10.0.20348.2402 containerd://1.7.20",
];

/// Repositories of `docker.io/library` with a tag `1`: `=` before the config of a single manifest, else the entries of
/// an index.
pub(super) fn images() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("amd64", &["linux/amd64"]),
        ("arm64", &["linux/arm64"]),
        ("both", &["linux/amd64", "linux/arm64"]),
        ("ltsc2019", &["windows/amd64:10.0.17763.615"]),
        ("v3", &["linux/amd64/v3"]),
        ("i386", &["linux/386"]),
        ("armv7", &["linux/arm/v7"]),
        ("armv8", &["linux/arm/v8"]),
        ("silent", &["linux/arm64", "-"]),
        ("feature", &["linux/amd64+sse9"]),
        ("artifact", &["artifact"]),
        (
            "single-arm64",
            &[r#"={"os":"linux","architecture":"arm64"}"#],
        ),
        (
            "single-v3",
            &[r#"={"os":"linux","architecture":"amd64","variant":"v3"}"#],
        ),
        (
            "single-2016",
            &[r#"={"os":"windows","architecture":"amd64","os.version":"10.0.14393.1"}"#],
        ),
        (
            "single-2019",
            &[r#"={"os":"windows","architecture":"amd64","os.version":"10.0.17763.5458"}"#],
        ),
        ("no-os", &[r#"={"architecture":"amd64"}"#]),
    ]
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "story",
        spec: r#"{"containers":[{"name":"app","image":"hello-world:nanoserver"}],
            "nodeSelector":{"node.kubernetes.io/windows-build":"10.0.14393"}}"#,
        nodes: STORY,
        ..PLAIN
    },
    Case {
        name: "story-cured",
        spec: r#"{"containers":[{"name":"app","image":"hello-world:nanoserver-sac2016"}],
            "nodeSelector":{"node.kubernetes.io/windows-build":"10.0.14393"}}"#,
        nodes: STORY,
        ..PLAIN
    },
    Case {
        name: "denied-from-the-cache",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        warm: true,
        ..PLAIN
    },
    Case {
        name: "several-containers",
        spec: r#"{"initContainers":[{"name":"setup","image":"arm64:1"}],
            "containers":[{"name":"web","image":"amd64:1"},{"name":"side","image":"ltsc2019:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "no-shared-node",
        spec: r#"{"containers":[{"name":"web","image":"amd64:1"},{"name":"win","image":"ltsc2019:1"}]}"#,
        nodes: STORY,
        ..PLAIN
    },
    Case {
        name: "taint-before-the-cure",
        spec: r#"{"containers":[{"name":"app","image":"ltsc2019:1"}]}"#,
        nodes: &[
            "2 linux/amd64 containerd://2.2.0",
            "3 windows/amd64:10.0.17763.5458 containerd://1.7.20 os=windows",
        ],
        ..PLAIN
    },
    Case {
        name: "affinity-before-the-cure",
        spec: r#"{"containers":[{"name":"app","image":"ltsc2019:1"}],"affinity":{"nodeAffinity":{
            "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[
            {"key":"kubernetes.io/os","operator":"In","values":["linux"]}]}]}}}}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "node-name-before-the-cure",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}],"nodeName":"node-0-0"}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "cause-no-match",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}]}"#,
        nodes: WINDOWS,
        ..PLAIN
    },
    Case {
        name: "cause-variant",
        spec: r#"{"containers":[{"name":"app","image":"v3:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "cause-os",
        spec: r#"{"containers":[{"name":"app","image":"single-2019:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "cause-arch",
        spec: r#"{"containers":[{"name":"app","image":"single-arm64:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "cause-windows-build",
        spec: r#"{"containers":[{"name":"app","image":"single-2019:1"}]}"#,
        nodes: WINDOWS,
        ..PLAIN
    },
    Case {
        name: "cause-set-to-warn",
        spec: r#"{"containers":[{"name":"app","image":"single-arm64:1"}]}"#,
        settings: "findings: {arch: warn}",
        ..PLAIN
    },
    Case {
        name: "may-land-wrong-os",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}]}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "may-land-wrong-arch",
        spec: r#"{"containers":[{"name":"app","image":"amd64:1"}],"nodeSelector":{"kubernetes.io/os":"linux"}}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "may-land-wrong-windows-build",
        spec: r#"{"containers":[{"name":"app","image":"ltsc2019:1"}],"nodeSelector":{"kubernetes.io/os":"windows"}}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "may-land-wrong-denied",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}]}"#,
        nodes: MIXED,
        settings: "mayLandWrong: {os: deny}",
        ..PLAIN
    },
    Case {
        name: "spec-os",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}],"os":{"name":"linux"}}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "no-candidate",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}],"nodeSelector":{"gpu":"true"}}"#,
        ..PLAIN
    },
    Case {
        name: "no-nodes",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}]}"#,
        nodes: &[],
        ..PLAIN
    },
    Case {
        name: "stale-nodes",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        stale: true,
        ..PLAIN
    },
    Case {
        name: "unknown-pools",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        settings: "autoscalers: {karpenter: true}",
        ..PLAIN
    },
    Case {
        name: "pod-of-daemon-set",
        kind: "PodOfDaemonSet",
        spec: r#"{"containers":[{"name":"agent","image":"amd64:1"}],"affinity":{"nodeAffinity":{
            "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[
            {"key":"metadata.name","operator":"In","values":["node-1-0"]}]}]}}}}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "enforcement-warn",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        settings: "enforcementAction: warn",
        ..PLAIN
    },
    Case {
        name: "enforcement-audit",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        settings: "enforcementAction: audit",
        ..PLAIN
    },
    Case {
        name: "deployment",
        kind: "Deployment",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "deployment-denied",
        kind: "Deployment",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1"}]}"#,
        settings: "workloads: deny",
        ..PLAIN
    },
    Case {
        name: "daemon-set",
        kind: "DaemonSet",
        spec: r#"{"containers":[{"name":"agent","image":"amd64:1"}]}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "ephemeral-container",
        kind: "Ephemeral",
        spec: r#"{"nodeName":"node-0-0","containers":[{"name":"app","image":"both:1"}],
            "ephemeralContainers":[{"name":"debugger-x7","image":"arm64:1"}]}"#,
        nodes: MIXED,
        ..PLAIN
    },
    Case {
        name: "image-volume",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}],
            "volumes":[{"name":"models","image":{"reference":"arm64:1"}}]}"#,
        ..PLAIN
    },
    Case {
        name: "hyper-v",
        spec: r#"{"runtimeClassName":"runhcs-wcow-hypervisor","containers":[{"name":"app","image":"single-2019:1"}]}"#,
        nodes: WINDOWS,
        ..PLAIN
    },
    Case {
        name: "host-process",
        spec: r#"{"securityContext":{"windowsOptions":{"hostProcess":true}},"hostNetwork":true,
            "containers":[{"name":"app","image":"single-2019:1"}]}"#,
        nodes: WINDOWS,
        ..PLAIN
    },
    Case {
        name: "doubt-pull-never",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1","imagePullPolicy":"Never"}]}"#,
        ..PLAIN
    },
    Case {
        name: "doubt-set-to-deny",
        spec: r#"{"containers":[{"name":"app","image":"arm64:1","imagePullPolicy":"Never"}]}"#,
        settings: "findings: {pull-never: deny}",
        ..PLAIN
    },
    Case {
        name: "doubt-wasm",
        spec: r#"{"runtimeClassName":"spin","containers":[{"name":"app","image":"amd64:1"}]}"#,
        settings: "runtimeHandlers: {wasm: [spin]}",
        ..PLAIN
    },
    Case {
        name: "doubt-schema1",
        spec: r#"{"containers":[{"name":"app","image":"mitr/busybox:latest"}]}"#,
        ..PLAIN
    },
    Case {
        name: "doubt-artifact",
        spec: r#"{"containers":[{"name":"app","image":"artifact:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "doubt-fallback-only",
        spec: r#"{"containers":[{"name":"app","image":"i386:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "doubt-aarch32",
        spec: r#"{"containers":[{"name":"app","image":"armv7:1"}]}"#,
        nodes: &["1 linux/arm64 containerd://1.7.20"],
        ..PLAIN
    },
    Case {
        name: "doubt-cpu-level",
        spec: r#"{"containers":[{"name":"app","image":"single-v3:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "doubt-platformless-entry",
        spec: r#"{"containers":[{"name":"app","image":"silent:1"}]}"#,
        nodes: &["2 linux/amd64 cri-o://1.33.0"],
        ..PLAIN
    },
    Case {
        name: "doubt-incomplete-config",
        spec: r#"{"containers":[{"name":"app","image":"no-os:1"}]}"#,
        ..PLAIN
    },
    Case {
        name: "doubt-revision",
        spec: r#"{"containers":[{"name":"app","image":"single-2016:1"}]}"#,
        nodes: &["1 windows/amd64:10.0.14393.2551 containerd://1.6.36"],
        ..PLAIN
    },
    Case {
        name: "doubt-node-version",
        spec: r#"{"containers":[{"name":"app","image":"single-2019:1"}]}"#,
        nodes: &["1 windows/amd64 containerd://1.7.20"],
        ..PLAIN
    },
    Case {
        name: "doubt-arm-variant",
        spec: r#"{"containers":[{"name":"app","image":"armv8:1"}]}"#,
        nodes: &["1 linux/arm containerd://1.7.20"],
        ..PLAIN
    },
    Case {
        name: "doubt-node-unknown",
        spec: r#"{"containers":[{"name":"app","image":"both:1"}]}"#,
        nodes: &["1 linux/amd64 virtual://1"],
        ..PLAIN
    },
    Case {
        name: "doubt-runtime-version",
        spec: r#"{"containers":[{"name":"app","image":"feature:1"}]}"#,
        nodes: &["1 linux/amd64 containerd://unknown"],
        ..PLAIN
    },
];
