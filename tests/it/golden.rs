//! Every verdict class as the API server is told of it: whole answers, kept in `tests/it/golden`. They are read as a
//! newcomer reads them: what happened, why, what to type next.

mod cases;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use platform_gate::admission::write_response;
use platform_gate::config::Settings;
use platform_gate::domain::decision::{Assessment, Handler, ResolvedImage, decide};
use platform_gate::domain::inventory::Inventory;
use platform_gate::domain::lookup::LookupFailure;
use platform_gate::domain::message::describe;
use platform_gate::domain::pod::Pod;
use platform_gate::domain::policy::Policy;
use platform_gate::domain::verdict::{Doubt, finding_codes};
use platform_gate::gate::{Gate, Judgement};
use platform_gate::metrics::Metrics;
use platform_gate::registry::{EgressPolicy, Registry, RegistrySettings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::certificates::install_provider;
use crate::support::registry::FakeRegistry;
use crate::support::site::{MANIFEST, Site, digest_of, index_of, manifest_of};
use cases::{CASES, Case};

fn check(name: &str, answer: &[u8]) {
    let review: Value = serde_json::from_slice(answer).unwrap();
    let text = serde_json::to_string_pretty(&review["response"]).unwrap();
    insta::with_settings!({snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_read_as_they_should() {
    install_provider();
    let site = cases::images().iter().fold(Site::of_fixtures(), serve);
    let registry = FakeRegistry::start(move |request| site.answer(request)).await;
    for case in CASES {
        let answer = answer(case, &registry).await;
        check(case.name, &answer);
    }
}

/// Serves `library/<name>:1`: an index of platforms, or a manifest of one config.
fn serve(site: Site, (name, platforms): &(&str, &[&str])) -> Site {
    let repository = format!("library/{name}");
    if let [config] = platforms
        && let Some(config) = config.strip_prefix('=')
    {
        return site.image(&repository, "1", config);
    }
    if let ["artifact"] = platforms {
        let document = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/x-chart","config":{{"mediaType":"application/x-chart","digest":"{}","size":2}},"layers":[]}}"#,
            digest_of(b"{}")
        );
        return site.manifest(&repository, "1", MANIFEST, document);
    }
    let mut site = site;
    let mut descriptors = Vec::new();
    for platform in *platforms {
        let config = format!(r#"{{"os":"linux","architecture":"amd64","of":{platform:?}}}"#);
        let manifest = manifest_of(&config);
        let digest = digest_of(manifest.as_bytes());
        let platform =
            platform_json(platform).map_or(String::new(), |json| format!(r#","platform":{json}"#));
        let size = manifest.len();
        descriptors.push(format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size}{platform}}}"#
        ));
        site = site
            .manifest(&repository, digest.as_str(), MANIFEST, manifest)
            .blob(&repository, config);
    }
    let index = index_of(&descriptors);
    site.manifest(&repository, "1", crate::support::site::INDEX, index)
}

/// `os/arch[/variant][:version][+feature]` as an index states it; `-` is an entry without a platform.
fn platform_json(text: &str) -> Option<Value> {
    if text == "-" {
        return None;
    }
    let (text, feature) = text
        .split_once('+')
        .map_or((text, None), |(t, f)| (t, Some(f)));
    let (text, version) = text
        .split_once(':')
        .map_or((text, None), |(t, v)| (t, Some(v)));
    let mut parts = text.split('/');
    let mut platform = json!({"os": parts.next(), "architecture": parts.next()});
    let optional = [
        ("variant", parts.next().map(|v| json!(v))),
        ("os.version", version.map(|v| json!(v))),
        ("os.features", feature.map(|f| json!([f]))),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            platform[key] = value;
        }
    }
    Some(platform)
}

async fn answer(case: &Case, registry: &FakeRegistry) -> Vec<u8> {
    let mirror = format!(
        "registries: {{docker.io: {{mirrors: [{:?}]}}}}",
        registry.url()
    );
    let settings = format!("{mirror}\n{}\n", case.settings);
    let settings = Settings::parse(Path::new("settings.yaml"), &settings).unwrap();
    let mut registries = RegistrySettings::new(EgressPolicy::Cli);
    registries.hosts = settings.registries;
    let mut gate = Gate::new(settings.rules, Registry::new(registries).unwrap(), None);
    if case.stale {
        gate = gate.with_node_age(|| None);
    }
    gate.update(|inventory| add_nodes(inventory, case.nodes));
    let deadline = Instant::now() + Duration::from_secs(20);
    let review = review(case).to_string();
    let metrics = Metrics::default();
    // What is known is told the same way as what was just asked for, but for the annotation that says so.
    for _ in 0..usize::from(case.warm) {
        let _ = gate.review(review.as_bytes(), deadline, &metrics).await;
    }
    gate.review(review.as_bytes(), deadline, &metrics)
        .await
        .unwrap()
}

fn review(case: &Case) -> Value {
    let spec: Value = serde_json::from_str(case.spec).unwrap();
    let pod = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
    let mut request = json!({
        "uid": "u-1", "operation": "CREATE", "namespace": "shop", "object": pod, "oldObject": null,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
    });
    if case.kind == "Ephemeral" {
        request["operation"] = json!("UPDATE");
        request["subResource"] = json!("ephemeralcontainers");
        request["oldObject"] =
            json!({"spec": {"nodeName": spec["nodeName"], "containers": spec["containers"]}});
    } else if case.kind == "PodOfDaemonSet" {
        request["object"]["metadata"]["ownerReferences"] =
            json!([{"kind": "DaemonSet", "name": "agent", "controller": true}]);
    } else if case.kind != "Pod" {
        request["kind"] = json!({"group": "apps", "version": "v1", "kind": case.kind});
        request["object"] =
            json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": spec}}});
    }
    review_of(&request)
}

fn review_of(request: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
}

/// Nodes in words: `2 linux/amd64 containerd://2.2.0`, `1 windows/amd64:10.0.17763.1 containerd://1.7.20 os=windows`.
fn add_nodes(inventory: &mut Inventory, nodes: &[&str]) {
    for (group, words) in nodes.iter().enumerate() {
        let mut words = words.split(' ');
        let count: usize = words.next().unwrap().parse().unwrap();
        let platform = words.next().unwrap();
        let runtime = words.next().unwrap();
        let taints: Vec<Value> = words
            .map(|taint| taint.split_once('=').unwrap())
            .map(|(key, value)| json!({"key": key, "value": value, "effect": "NoSchedule"}))
            .collect();
        let (platform, kernel) = platform.split_once(':').unwrap_or((platform, ""));
        let (os, architecture) = platform.split_once('/').unwrap();
        for number in 0..count {
            let name = format!("node-{group}-{number}");
            let mut labels = json!({"kubernetes.io/os": os, "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": name});
            if os == "windows" && !kernel.is_empty() {
                let build = kernel.rsplit_once('.').unwrap().0;
                labels["node.kubernetes.io/windows-build"] = json!(build);
            }
            let node = json!({
                "metadata": {"name": name, "labels": labels},
                "spec": {"taints": taints},
                "status": {"nodeInfo": {"operatingSystem": os, "architecture": architecture,
                    "kernelVersion": kernel, "containerRuntimeVersion": runtime}},
            });
            inventory.apply(serde_json::from_value(node).unwrap());
        }
    }
}

/// One golden file for all reasons why a registry does not tell: they differ in a clause.
#[test]
fn failed_look_ups_read_as_they_should() {
    let text = r#"{"spec":{"containers":[{"name":"web","image":"registry.example/team/app:1"}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(text).unwrap();
    let mut inventory = Inventory::default();
    add_nodes(&mut inventory, &["2 linux/amd64 containerd://2.2.0"]);
    for failure in LookupFailure::ALL {
        let image = pod.spec.images()[0];
        let answer = Err(Doubt::Lookup(failure));
        let images = vec![ResolvedImage { image, answer }];
        let groups = inventory.groups(&pod.spec);
        let assessment = Assessment::new(images, groups, Handler::default());
        let decision = decide(&Policy::default(), &assessment, None);
        let message = describe(&assessment, &decision);
        let judgement = Judgement {
            assessment,
            decision,
            message,
            exemptions: Vec::new(),
            asked: true,
        };
        let answer = write_response("u-1", judgement.into_answer());
        check(&format!("lookup-{}", failure.code()), &answer);
    }
}

/// The golden files as they are kept, by name.
fn kept() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "snap")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn every_finding_has_a_golden_file_and_every_golden_file_a_case() {
    let kept = kept();
    let mut told = BTreeSet::new();
    for (name, text) in &kept {
        let (_, json) = text.split_once("\n---\n").unwrap();
        let answer: Value = serde_json::from_str(json).unwrap();
        let findings = answer["auditAnnotations"]["findings"]
            .as_str()
            .unwrap_or_default();
        told.extend(findings.split(' ').map(str::to_owned));
        let of_case = CASES.iter().any(|case| case.name == name);
        let of_failure = LookupFailure::ALL
            .iter()
            .any(|failure| *name == format!("lookup-{}", failure.code()));
        assert!(
            of_case || of_failure,
            "golden/{name}.snap is of no case: delete it"
        );
    }
    let missing: Vec<_> = finding_codes()
        .filter(|code| !told.contains(*code))
        .collect();
    assert!(missing.is_empty(), "no golden file for {missing:?}");
}

/// What the API bounds, no answer exceeds (OPERATIONS A3 to A5), and none had to be cut to get there.
#[test]
fn no_golden_answer_is_cut_or_out_of_bounds() {
    for (name, text) in kept() {
        let (_, json) = text.split_once("\n---\n").unwrap();
        let answer: Value = serde_json::from_str(json).unwrap();
        assert!(!json.contains('…'), "{name} is cut: {json}");
        let message = answer["status"]["message"].as_str().unwrap_or_default();
        assert!(message.len() <= 900, "{name}: {} bytes", message.len());
        let denied = answer["allowed"] == false;
        assert_eq!(answer["status"]["code"] == 403, denied, "{name}");
        assert_eq!(answer["status"]["reason"] == "Forbidden", denied, "{name}");
        assert_eq!(
            answer["status"]["details"]["causes"][0]["field"].is_string(),
            denied,
            "{name} has a cause for its denial"
        );
        let warnings = answer["warnings"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(warnings.len() <= 5, "{name}");
        let total: usize = warnings
            .iter()
            .map(|warning| warning.as_str().unwrap().chars().count())
            .inspect(|count| assert!(*count <= 256, "{name}: {count} characters"))
            .sum();
        assert!(total < 4096, "{name}: past this the API server cuts all");
        assert!(
            denied || answer["auditAnnotations"]["decision"].is_string(),
            "{name}"
        );
    }
}
