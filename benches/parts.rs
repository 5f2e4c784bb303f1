//! The parts of a review besides the decision, each beside a floor: `cargo bench --bench parts`.
//!
//! The floor of what is read is a walk over the same bytes that keeps nothing; that of the others is such a walk over a
//! review of 7 KB.

#[path = "common/recorded.rs"]
mod recorded;
#[path = "common/spread.rs"]
mod spread;
#[path = "load/support.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "as the tests have it"
)]
mod support;
#[path = "common/table.rs"]
mod table;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;
use platform_gate::admission::{AdmissionRequest, parse_review, write_response};
use platform_gate::domain::pod::Pod;
use platform_gate::domain::rules::Rules;
use platform_gate::gate::{Gate, Judgement};
use platform_gate::registry::{
    Caller, EgressPolicy, Keychain, Registry, RegistrySettings, manifest_entries,
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::Instant;

use support::registry::FakeRegistry;
use support::site::{INDEX, MANIFEST, Site, descriptor, index_of};
use table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REVIEW: &str = include_str!("../tests/data/review-6k.json");

fn main() -> Result<()> {
    support::certificates::install_provider();
    let mut table = Table::new("parts")?;
    reviews(&mut table)?;
    manifests(&mut table);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(warm(&mut table))?;
    table.conclude()
}

/// What the API server sends, to the pod of it.
fn reviews(table: &mut Table) -> Result<()> {
    let sizes = [
        ("2 KB", small_review()),
        ("6 KB", REVIEW.to_owned()),
        ("100 KB", padded_review(100 << 10)?),
        ("2.9 MB", padded_review(2_900_000)?),
    ];
    for (size, text) in &sizes {
        let bytes = text.as_bytes();
        let parse = || -> bool {
            let request: Result<AdmissionRequest<'_, Pod<'_>>, _> = parse_review(bytes);
            request.is_ok_and(|request| request.object.is_some())
        };
        anyhow::ensure!(parse(), "the review of {size} does not read");
        table.row(&format!("review of {size}"), || walk(bytes), parse);
    }
    Ok(())
}

fn walk(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

fn small_review() -> String {
    let variables: Vec<Value> = (0..20)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": format!("a value of the usual length, {at}")}))
        .collect();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE", "namespace": "shop", "object": {"metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a", "image": "registry.example/app:1", "env": variables}]}}}})
    .to_string()
}

/// The review of 7 KB, with so many more environment variables that it has that size.
fn padded_review(size: usize) -> Result<String> {
    let mut review: Value = serde_json::from_str(REVIEW)?;
    let more = (size - REVIEW.len()) / 100;
    let containers = &mut review["request"]["object"]["spec"]["containers"];
    let env = containers[0]["env"].as_array_mut().context("it has some")?;
    env.extend(
        (0..more)
            .map(|at| json!({"name": format!("SETTING_{at:07}"), "value": format!("{at:064}")})),
    );
    Ok(review.to_string())
}

/// What registries send.
fn manifests(table: &mut Table) {
    let cases = [
        (
            "list of 10",
            include_str!("../tests/data/images/mongo-latest.json"),
        ),
        (
            "index of 16",
            include_str!("../tests/data/images/redis-7-alpine.json"),
        ),
        (
            "manifest",
            include_str!("../tests/data/images/hello-world-amd64-manifest.json"),
        ),
    ];
    for (name, text) in cases {
        let bytes = text.as_bytes();
        let parse = || manifest_entries(None, bytes);
        table.row(
            &format!("{name}, {} bytes", bytes.len()),
            || walk(bytes),
            parse,
        );
    }
}

/// What is known already, and the words for a pod that is denied.
async fn warm(table: &mut Table) -> Result<()> {
    let entry = |at: usize| descriptor(MANIFEST, &at.to_string(), Some("windows/amd64"));
    let index = index_of(&(0..8).map(entry).collect::<Vec<_>>());
    let site = Site::new().manifest("app", "1", INDEX, index);
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = Registry::new(RegistrySettings::new(EgressPolicy::Cli))?;
    let reference =
        platform_gate::domain::reference::Reference::parse(&format!("{}/app:1", server.host()))?;
    let keychain = Keychain::anonymous();
    let deadline = Instant::now() + Duration::from_secs(600);
    let found = registry.fetch_image(&reference, &keychain, deadline).await;
    found.map_err(|failure| anyhow::anyhow!("the image is not found: {failure:?}"))?;
    let floor = || walk(REVIEW.as_bytes());
    let hit = || {
        let known = registry.fetch_image(&reference, &keychain, deadline);
        known.now_or_never().is_some_and(|answer| answer.is_ok())
    };
    anyhow::ensure!(hit(), "what is known takes no waiting");
    table.row("cache hit", floor, hit);

    let gate = Arc::new(Gate::new(Rules::default(), registry.clone(), None));
    gate.update(|inventory| inventory.replace_all(nodes()));
    let text = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "a", "image": format!("{}/app:1", server.host())}]}})
    .to_string();
    let pod: Pod<'_> = serde_json::from_str(&text)?;
    let caller = Caller {
        keychain: &keychain,
        namespace: None,
        in_background: false,
    };
    let judgement: Judgement<'_> = gate.judge(&pod, caller, deadline).await;
    let (assessment, decision) = (&judgement.assessment, &judgement.decision);
    table.row("words of a denial", floor, || {
        platform_gate::domain::message::describe(assessment, decision)
    });
    let answer = judgement.clone().into_answer();
    anyhow::ensure!(!answer.allowed, "the pod is to be denied");
    table.row("answer of a denial", floor, || {
        write_response("705ab4f5", answer.clone())
    });
    let allowed = platform_gate::admission::Answer::allow(Vec::new());
    table.row("answer of an allowance", floor, || {
        write_response("705ab4f5", allowed.clone())
    });
    Ok(())
}

fn nodes() -> Vec<platform_gate::domain::node::Node> {
    let node = |at: usize| {
        let architecture = ["amd64", "arm64"][at % 2];
        serde_json::from_value(json!({"metadata": {"name": format!("n{at}"), "labels": {
            "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture}},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": architecture,
            "kernelVersion": "6.8.0", "containerRuntimeVersion": "containerd://2.2.0"}}}))
        .ok()
    };
    (0..15).filter_map(node).collect()
}
