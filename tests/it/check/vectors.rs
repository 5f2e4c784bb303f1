//! Every case of `tests/data/placement-vectors.jsonl` through the binary: the answers of Kubernetes' own code, against
//! ours. Each case has one node, and an image that cannot run on it; so a candidate shows as a denial.

use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Desk;
use crate::support::site::Site;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: String,
    pod: Value,
    node: Value,
    candidate: bool,
    #[serde(default)]
    why: String,
    #[serde(default)]
    pins_platform: bool,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../data/placement-vectors.jsonl");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_those_of_kubernetes() {
    let config =
        r#"{"architecture":"s390x","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let desk = Desk::with(Site::new().image("s390x-only", "1", config)).await;
    let cases = cases();
    assert_eq!(cases.len(), 253);
    let run = |case: Case| async { check(&desk, case).await };
    let wrong: Vec<String> = futures::stream::iter(cases)
        .map(run)
        .buffered(4)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    assert!(
        wrong.is_empty(),
        "{} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What is wrong with our answer to a case.
async fn check(desk: &Desk, case: Case) -> Option<String> {
    let (nodes, pod) = (
        format!("{}.node.json", case.id),
        format!("{}.json", case.id),
    );
    let list = json!({"kind": "List", "apiVersion": "v1", "items": [case.node]});
    desk.write(&nodes, &list.to_string());
    desk.write(&pod, &case.pod.to_string());
    let words = [
        "check",
        "--config",
        "settings.yaml",
        "-o",
        "json",
        "--nodes",
        &nodes,
        "-f",
        &pod,
    ];
    let told = desk.run(&words, "").await;
    let object = &told.json()["objects"][0];
    let denied = object["verdict"] == "deny";
    // Platforms that the pod asks for and no node has come before the node.
    let mut groups = object["nodeGroups"].as_array().unwrap().iter();
    let standing = groups.rfind(|group| group["nodes"] == 1).unwrap();
    let fits = if case.candidate {
        denied && standing["verdict"] == "cannot-run" && told.code == 1
    } else {
        (!denied || case.pins_platform)
            && standing["verdict"] == "excluded"
            && is_reason(&case.why, standing["why"].as_str().unwrap_or_default())
    };
    (!fits).then(|| {
        format!(
            "{}: candidate {} {}: {object}",
            case.id, case.candidate, case.why
        )
    })
}

/// Whether the first rule that we say keeps the node away is one of those that do.
fn is_reason(rules: &str, why: &str) -> bool {
    let said = match why.split_once(' ') {
        Some(("taint", taint)) => format!("taint:{}", taint.rsplit(':').next().unwrap()),
        _ => why.to_owned(),
    };
    // A pod may also say `spec.os`, of which the rules of the vectors know nothing.
    rules.split(',').any(|rule| rule == said)
}
