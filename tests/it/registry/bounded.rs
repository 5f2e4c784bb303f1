//! What hostile answers cost in memory, measured in a process of the test's own (OPERATIONS, threat 8 and R7).

use std::process::Command;

use super::*;
use crate::support::registry::{Answer, Received};
use crate::support::site::{INDEX, MANIFEST, Site, index_of, manifest_of};

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;
const ALONE: &str = "PLATFORM_GATE_TEST_ALONE";
/// Look-ups at the same time.
const AT_ONCE: usize = 4;
const MIB: usize = 1 << 20;

#[test]
fn hostile_answers_cost_no_more_than_twice_what_may_be_read() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(all_bombs());
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("--exact")
        .arg("registry::bounded::hostile_answers_cost_no_more_than_twice_what_may_be_read")
        .env(ALONE, "1")
        .status();
    assert!(status.unwrap().success());
}

/// A list of so many megabytes of the same short entry.
fn list(entry: &str, megabytes: usize) -> String {
    let count = megabytes * MIB / (entry.len() + 1);
    format!("[{}]", vec![entry; count].join(","))
}

/// Documents of almost 4 MiB, and a config of almost 8 MiB.
fn bombs() -> Vec<(&'static str, Site)> {
    let with = |body: String| Site::new().manifest("app", "1", INDEX, body);
    let features = |megabytes| {
        format!(
            r#"{{"os":"linux","os.features":{}}}"#,
            list("\"\"", megabytes)
        )
    };
    let entry = format!(
        r#"{{"digest":"sha256:{}","platform":{}}}"#,
        "a".repeat(64),
        features(3)
    );
    let config = features(7);
    vec![
        (
            "entries",
            with(format!(r#"{{"manifests":{}}}"#, list("{}", 3))),
        ),
        (
            "platforms",
            with(format!(
                r#"{{"manifests":{}}}"#,
                list(r#"{"platform":{}}"#, 3)
            )),
        ),
        ("features", with(index_of(&[entry]))),
        (
            "unknown fields",
            with(format!(r#"{{"manifests":[],"x":{}}}"#, list("{}", 3))),
        ),
        (
            "depth",
            with(format!(r#"{{"manifests":[],"x":{}}}"#, "[".repeat(3 * MIB))),
        ),
        (
            "layers",
            Site::new().manifest(
                "app",
                "1",
                MANIFEST,
                manifest_of(LINUX).replace("[]", &list("{}", 3)),
            ),
        ),
        ("config", Site::new().image("app", "1", &config)),
    ]
}

/// In this order, since memory that is free again hides what is used next.
async fn all_bombs() {
    // Most headers that the HTTP client takes, of which nothing may be kept.
    let challenges = FakeRegistry::start(|request| {
        let realm = format!("{}/{}", request.base(), "r".repeat(300 << 10));
        Answer::challenge(&[&format!(r#"Bearer realm="{realm}",service="x""#)])
    })
    .await;
    check_many("long challenges", &challenges, 100, 16 * MIB).await;
    let tokens = FakeRegistry::start(|request| match request.path.as_str() {
        "/token" => Answer::json(format!(r#"{{"token":"{}"}}"#, "t".repeat(60 << 10))),
        _ if request.authorization.is_some() => Answer::new(404),
        _ => Answer::challenge(&[&format!(r#"Bearer realm="{}/token""#, request.base())]),
    })
    .await;
    check_many("long tokens", &tokens, 400, 16 * MIB).await;
    for (name, site) in bombs() {
        let server = FakeRegistry::start(move |request| site.answer(&one_for_all(request))).await;
        check(name, &server, 2 * 8 * AT_ONCE * MIB).await;
    }
    let endless = FakeRegistry::start(|_| Answer::new(200).long_body(1 << 30)).await;
    check("an endless body", &endless, 2 * 8 * AT_ONCE * MIB).await;
}

/// Every repository is the same one.
fn one_for_all(request: &Received) -> Received {
    let mut inner = request.clone();
    if let Some((_, rest)) = request.path.split_once("/manifests/") {
        inner.path = format!("/v2/app/manifests/{rest}");
    } else if let Some((_, rest)) = request.path.split_once("/blobs/") {
        inner.path = format!("/v2/app/blobs/{rest}");
    }
    inner
}

/// Looks up some images at the same time, and sees that none is read and the memory does not grow by more than this.
async fn check(name: &str, server: &FakeRegistry, limit: usize) {
    let registry = registry_for(&[server]);
    let before = forget_peak();
    let look_ups = (0..AT_ONCE).map(|i| {
        let (registry, server) = (registry.clone(), &server);
        async move { fetch_anonymously(&registry, server, &format!("app{i}:1")).await }
    });
    let outcomes = futures::future::join_all(look_ups).await;
    let grown = peak().saturating_sub(before);
    if name != "unknown fields" && name != "layers" {
        assert!(outcomes.iter().all(Result::is_err), "{name}: {outcomes:?}");
    }
    assert!(grown < limit, "{name}: {} MiB", grown / MIB);
}

/// The same for hundreds of images one after the other, whose answers add up where they are kept.
async fn check_many(name: &str, server: &FakeRegistry, images: usize, limit: usize) {
    let registry = registry_for(&[server]);
    let before = forget_peak();
    for i in 0..images {
        let outcome = fetch_anonymously(&registry, server, &format!("app{i}:1")).await;
        assert!(outcome.is_err(), "{name}");
    }
    let grown = peak().saturating_sub(before);
    assert!(grown < limit, "{name}: {} MiB", grown / MIB);
}

/// Bytes in memory now; from here on they are what the peak is.
fn forget_peak() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    status("VmRSS:")
}

fn peak() -> usize {
    status("VmHWM:")
}

fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}
