//! Settings and node files: what is read, and what is said of mistakes.
#![allow(clippy::too_many_lines, reason = "a table may be long")]

use std::path::Path;

use super::*;
use crate::domain::policy::{Action, EnforcementAction};

fn settings(text: &str) -> Result<Settings, String> {
    Settings::parse(Path::new("config.yaml"), text).map_err(|error| error.to_string())
}

fn nodes(text: &str) -> Result<Vec<String>, String> {
    let nodes = parse_nodes(Path::new("nodes.yaml"), text).map_err(|error| error.to_string())?;
    Ok(nodes.into_iter().map(|node| node.metadata.name).collect())
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
enforcementAction: warn
mayLandWrong: {os: deny, arch: allow}
unknown: deny
workloads: allow
registries:
  docker.io:
    mirrors: ["https://mirror.example:5000"]
  plain.example:5000: {plainHttp: true, unknown: deny, findings: {timeout: warn}}
findings: {arch: warn, not-found: deny}
exemptImages: ["docker.io/library/legacy:*"]
exemptRegistries: ["*.internal.example"]
exemptNamespaces: [ci, "build-*"]
runtimeHandlers: {hyperv: [hv], wasm: [spin], hypervPullPlatform: guest}
nodeOverrides:
- matchLabels: {pool: edge}
  runtime: containerd@2.0.0
  emulates: [x86_64]
  armVariant: v6
agentTaints: [example.com/starting]
blockedNetworks: [10.96.0.0/16]
autoscalers: {karpenter: true}
pullSecrets: true
warmUp: true
events: true
pools:
- {name: win, os: windows, architecture: amd64, windowsBuild: 10.0.20348, taints: [{key: os, value: windows, effect: NoSchedule}]}
certificate:
  mode: self-managed
  secretName: platform-gate-tls
  serviceName: platform-gate
  webhookConfigurationName: platform-gate
"#;
    let settings = settings(text).unwrap();
    assert_eq!(
        settings.rules.policy.enforcement_action,
        EnforcementAction::Warn
    );
    assert_eq!(settings.rules.policy.may_land_wrong.os, Action::Deny);
    assert_eq!(
        settings.rules.policy.may_land_wrong.windows_build,
        Action::Warn
    );
    assert_eq!(settings.rules.policy.may_land_wrong.arch, Action::Allow);
    assert_eq!(settings.rules.policy.unknown, Action::Deny);
    assert_eq!(settings.rules.policy.workloads, Action::Allow);
    assert_eq!(
        settings.rules.policy.findings,
        [("arch", Action::Warn), ("not-found", Action::Deny)].into()
    );
    let exempt = &settings.rules.exempt;
    let counts = (
        exempt.images.len(),
        exempt.registries.len(),
        exempt.namespaces.len(),
    );
    assert_eq!(counts, (1, 1, 2));
    let of_registries = &settings.rules.policy.registries;
    assert_eq!(of_registries.len(), 1, "what says nothing is left out");
    let plain = &of_registries["plain.example:5000"];
    assert_eq!(
        (plain.unknown, plain.findings["timeout"]),
        (Some(Action::Deny), Action::Warn)
    );
    assert!(settings.rules.handlers.of("hv").hyperv && settings.rules.handlers.of("spin").wasm);
    let known = &settings.rules.nodes.overrides[0];
    assert_eq!(
        (known.emulates.join(" "), known.variant.as_deref()),
        ("amd64".to_owned(), Some("v6"))
    );
    let pool = &settings.rules.nodes.pools[0];
    assert_eq!(
        crate::domain::node::NodePlatform::of(pool).describe(),
        "windows/amd64 10.0.20348"
    );
    assert_eq!(
        pool.metadata.labels["node.kubernetes.io/windows-build"],
        "10.0.20348"
    );
    assert!(
        settings.pull_secrets
            && settings.warm_up
            && settings.events
            && settings.blocked_networks.len() == 1
    );
    assert_eq!(settings.rules.nodes.agent_taints, ["example.com/starting"]);
    let autoscalers = settings.rules.nodes.autoscalers;
    assert!(autoscalers.karpenter && !autoscalers.cluster_api);
    assert_eq!(
        settings.registries["docker.io"].mirrors[0].url.as_str(),
        "https://mirror.example:5000/"
    );
    assert!(settings.registries["plain.example:5000"].plain_http);
    assert_eq!(settings.certificate.unwrap().secret, "platform-gate-tls");
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "---\n", "{}"] {
        assert_eq!(settings(text).unwrap().rules, Rules::default(), "{text:?}");
    }
}

#[test]
fn mistakes_name_the_line_or_the_field() {
    for (text, words) in [
        (
            "enforcementActoin: deny",
            vec!["config.yaml", "enforcementActoin", "line 1"],
        ),
        ("mayLandWrong:\n  os: never", vec!["line 2", "never"]),
        (
            "enforcementAction: maybe",
            vec!["maybe", "deny", "warn", "audit"],
        ),
        (
            "findings: {nope: warn}\nnodeOverrides:\n- {runtime: rkt, armVariant: v9}\n",
            vec![
                "3 mistake(s)",
                "findings.nope",
                "no-match",
                "nodeOverrides[0].runtime",
                "nodeOverrides[0].armVariant",
                "v5",
            ],
        ),
        (
            "blockedNetworks: [here]\npools:\n- {name: a, os: mac, architecture: ''}\n- {name: a, os: linux, architecture: arm64, windowsBuild: '7', taints: [{key: x}]}\n",
            vec![
                "6 mistake(s)",
                "blockedNetworks[0]",
                "pools[0].os",
                "pools[0].architecture",
                "pools[1].name",
                "declared twice",
                "pools[1].windowsBuild",
                "pools[1].taints[0].effect",
            ],
        ),
        (
            "exemptNamespaces: [a, '']\nexemptRegistries: ['']\nregistries: {a: {findings: {nope: deny}}}",
            vec![
                "3 mistake(s)",
                "registries.\"a\".findings.nope",
                "exemptNamespaces[1]",
                "exemptRegistries[0]",
            ],
        ),
        (
            "registries:\n  a: {mirrors: [ftp://x]}\n  b: {caFile: /does/not/exist}\n  c: {clientKeyFile: /dev/null, headers: {a b: c}}\ncredentialProviders: {binDir: /bin}\n",
            vec![
                "5 mistake(s)",
                "registries.\"c\": write both clientCertificateFile and clientKeyFile",
                "registries.\"c\".headers.\"a b\"",
                "credentialProviders: write both configFile and binDir",
                "registries.\"a\".mirrors[0]",
                "https://",
                "registries.\"b\".caFile",
                "/does/not/exist",
            ],
        ),
    ] {
        let message = settings(text).unwrap_err();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in:\n{message}");
        }
    }
}

#[test]
fn nodes_are_read_as_kubectl_prints_them() {
    let item = "{kind: Node, metadata: {name: a}}";
    for (text, want) in [
        (
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- {item}\n- {{kind: Node, metadata: {{name: b}}}}\n"
            ),
            vec!["a", "b"],
        ),
        (
            "kind: NodeList\nitems: [{metadata: {name: a}}]".to_owned(),
            vec!["a"],
        ),
        (
            format!("{item}\n---\n{{kind: Node, metadata: {{name: b}}}}\n"),
            vec!["a", "b"],
        ),
        (
            r#"{"kind":"List","items":[{"kind":"Node","metadata":{"name":"a","labels":null}}]}"#
                .to_owned(),
            vec!["a"],
        ),
    ] {
        assert_eq!(nodes(&text).unwrap(), want, "{text}");
    }
}

#[test]
fn a_wrong_node_file_is_refused_with_line_and_field() {
    for (text, words) in [
        (
            "kind: List\nitems:\n- kind: Node\n  metadata:\n    name: a\n    labels: 7\n",
            vec!["nodes.yaml", "line 6"],
        ),
        (
            r#"{"kind":"List","items":[{"kind":"Node","spec":{"taints":"x"}}]}"#,
            vec!["items[0]", "line 1"],
        ),
        (
            "kind: List\nitems:\n- kind: Pod\n  metadata: {name: a}\n- kind: Node\n",
            vec!["items[0].kind", "Pod", "items[1].metadata.name"],
        ),
        (
            "kind: Pod\nmetadata: {name: a}\n",
            vec!["kind", "Pod", "NodeList"],
        ),
        ("a: [", vec!["line 1"]),
        ("", vec!["kubectl get nodes"]),
        ("kind: List\nitems: []\n", vec!["kubectl get nodes"]),
    ] {
        let message = nodes(text).unwrap_err();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in:\n{message}");
        }
    }
}

#[test]
fn settings_come_before_the_hosts_folder_and_that_before_registries_conf() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (host, text) in [
        (
            "a.example",
            "[host.'https://folder.example']\n[header]\nx-from = 'folder'\n",
        ),
        ("b.example", "[host.'https://folder.example']\n"),
        ("bad.example", "server ="),
    ] {
        std::fs::create_dir_all(path("certs.d").join(host)).unwrap();
        std::fs::write(path("certs.d").join(host).join("hosts.toml"), text).unwrap();
    }
    let conf = |host: &str| {
        format!("[[registry]]\nlocation='{host}'\n[[registry.mirror]]\nlocation='conf.example'\n")
    };
    let conf = ["a.example", "b.example", "c.example"].map(conf).concat();
    std::fs::write(path("registries.conf"), conf + "[[registry]]\n").unwrap();
    std::fs::write(path("config.json"), "{").unwrap();
    let text = format!(
        "hostsDir: {}\nregistriesConf: {}\ndefaultCredentials: {}\ncredentialProviders: {{configFile: {}, binDir: /bin}}\n\
         registries: {{a.example: {{mirrors: ['https://settings.example']}}}}\n",
        path("certs.d").display(),
        path("registries.conf").display(),
        path("config.json").display(),
        path("providers.yaml").display(),
    );
    let settings = settings(&text).unwrap();
    let mirror = |host: &str| settings.registries[host].mirrors[0].url.host_str();
    assert_eq!(mirror("a.example"), Some("settings.example"));
    assert_eq!(
        settings.registries["a.example"].connection.headers["x-from"],
        "folder"
    );
    assert_eq!(mirror("b.example"), Some("folder.example"));
    assert_eq!(mirror("c.example"), Some("conf.example"));
    for (left_out, want) in settings.left_out.iter().zip([
        "bad.example/hosts.toml: ",
        "registries.conf: registry \"\": give a prefix",
        "config.json: ",
        "providers.yaml: cannot be read",
    ]) {
        assert!(left_out.contains(want), "{left_out}");
    }
    assert_eq!(settings.left_out.len(), 4);
    assert!(settings.credentials.default.is_empty());
}

#[test]
fn files_that_are_not_given_are_not_looked_for() {
    let text = "hostsDir: ''\nregistriesConf: ''\ndefaultCredentials: ''\ncredentialProviders: {configFile: '', binDir: ''}\n";
    let settings = settings(text).unwrap();
    assert_eq!(settings.left_out, [""; 0]);
    assert!(settings.registries.is_empty() && settings.credentials.providers.is_none());
}
