//! A policy report: what becomes of the next pods of the workloads of a namespace. PolicyReport (wgpolicyk8s.io) and Report
//! (openreports.io) have the same fields.
//!
//! Leaves out how it is written to a cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::printable;
use super::scan::State;

/// Results that a report lists: it is one object, of which etcd takes 1.5 MB. The summary counts all.
const RESULTS: usize = 500;
/// Characters of a message.
const MESSAGE: usize = 1000;

/// A workload, and what was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// As in the object.
    pub api_version: String,
    /// As in the object.
    pub kind: &'static str,
    /// As in the object.
    pub name: &'a str,
    /// As in the object.
    pub uid: &'a str,
    /// What becomes of its next pods.
    pub state: State,
    /// The code of the finding.
    pub code: &'static str,
    /// In words.
    pub message: &'a str,
}

/// The report of a namespace, without what tells which object it is. Workloads that run are counted, the others listed,
/// the worst first.
#[must_use]
pub fn report<'a>(namespace: &str, entries: impl Iterator<Item = Entry<'a>>) -> Value {
    let mut summary = BTreeMap::from(["pass", "fail", "warn", "error", "skip"].map(|it| (it, 0)));
    let mut listed = Vec::new();
    for entry in entries {
        *summary.entry(result(entry.state)).or_default() += 1;
        if entry.state != State::Runs {
            listed.push(entry);
        }
    }
    listed.sort_by_key(|entry| (std::cmp::Reverse(entry.state), entry.kind, entry.name));
    let results = listed.iter().take(RESULTS);
    let results: Vec<Value> = results.map(|entry| write(namespace, entry)).collect();
    json!({
        "scope": {"apiVersion": "v1", "kind": "Namespace", "name": namespace},
        "summary": summary,
        "results": results,
    })
}

/// What is not known is never a failure.
fn result(state: State) -> &'static str {
    match state {
        State::Runs => "pass",
        State::MayLandWrong | State::NoNode => "warn",
        State::Unknown => "skip",
        State::CannotRun => "fail",
    }
}

fn write(namespace: &str, entry: &Entry<'_>) -> Value {
    let severity = match entry.state {
        State::CannotRun => "high",
        State::MayLandWrong => "medium",
        State::NoNode => "low",
        State::Unknown | State::Runs => "info",
    };
    let message: String = printable(entry.message).chars().take(MESSAGE).collect();
    json!({
        "source": "platform-gate",
        "policy": "platforms",
        "rule": entry.code,
        "category": "Scheduling",
        "severity": severity,
        "result": result(entry.state),
        "scored": entry.state == State::CannotRun,
        "message": message,
        "resources": [{"apiVersion": entry.api_version, "kind": entry.kind, "namespace": namespace, "name": entry.name,
            "uid": entry.uid}],
        "properties": {"verdict": entry.state.words()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, state: State) -> Entry<'_> {
        Entry {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment",
            name,
            uid: "u",
            state,
            code: "c",
            message: "why\u{1b}",
        }
    }

    #[test]
    fn the_worst_is_first_what_runs_is_counted_and_what_is_unknown_fails_nobody() {
        let entries = [
            entry("a", State::Runs),
            entry("b", State::Unknown),
            entry("c", State::MayLandWrong),
            entry("e", State::CannotRun),
            entry("d", State::CannotRun),
        ];
        let report = report("shop", entries.into_iter());
        assert_eq!(
            report["summary"],
            json!({"pass": 1, "fail": 2, "warn": 1, "error": 0, "skip": 1})
        );
        let told = report["results"].as_array().unwrap().iter().map(|result| {
            let name = result["resources"][0]["name"].as_str().unwrap();
            format!("{name} {}", result["result"].as_str().unwrap())
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told, ["d fail", "e fail", "b skip", "c warn"]);
        assert_eq!(report["results"][0]["message"], "why ");
    }

    #[test]
    fn a_report_is_bounded_and_its_summary_counts_all() {
        let names: Vec<String> = (0..2000).map(|number| format!("w{number}")).collect();
        let message = "x".repeat(5000);
        let entries = names.iter().map(|name| Entry {
            message: &message,
            ..entry(name, State::MayLandWrong)
        });
        let report = report("shop", entries);
        assert_eq!(report["summary"]["warn"], 2000);
        assert!(report.to_string().len() < 1_000_000);
    }
}
