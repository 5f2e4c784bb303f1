//! The report as SARIF 2.1.0, which code hosts show beside the lines of a change.
//!
//! Leaves out what is well: an object that is allowed has no result.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Value, json};

use super::{Finding, Mistake, ObjectReport, Position, Report};
use crate::domain::policy::Action;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes a report.
///
/// # Errors
/// `out` takes no more.
pub fn write(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &log(report))?;
    writeln!(out)
}

fn log(report: &Report) -> Value {
    let told = || {
        let objects = report.objects.iter();
        objects
            .filter(|object| object.verdict != Action::Allow)
            .flat_map(|object| object.per_image().map(move |finding| (object, finding)))
    };
    let codes: Vec<&str> = told()
        .map(|(_, finding)| finding.code)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = told()
        .map(|(object, finding)| {
            let rule = codes.iter().position(|code| *code == finding.code);
            result(object, finding, rule.unwrap_or_default())
        })
        .collect();
    let notifications: Vec<Value> = report.mistakes.iter().map(notification).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "platform-gate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": report.mistakes.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

/// A finding's code, with a sentence on it.
fn rule(code: &str) -> Value {
    let text = match code {
        "no-match" => "No entry of the image's manifest list is for the node's platform.",
        "variant" => "The image is for CPU variants that the node's runtime never asks for.",
        "os" => "The image is for another operating system than the node's.",
        "arch" => "The image is for another architecture than the node's.",
        "windows-build" => "The image is for a Windows build that the node does not start.",
        "no-candidate" => "No node satisfies what the pod asks of nodes.",
        "no-nodes" => "No node is known.",
        _ => "It is not known whether the image runs on the nodes.",
    };
    json!({"id": code, "shortDescription": {"text": text}})
}

fn result(object: &ObjectReport, finding: &Finding, rule: usize) -> Value {
    let level = if object.verdict == Action::Deny {
        "error"
    } else {
        "warning"
    };
    let text = format!("{}: {}", object.label(), object.sentences.join(" "));
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": text},
        "locations": [location(&object.file, Some(finding.at))],
    })
}

fn notification(mistake: &Mistake) -> Value {
    json!({
        "level": "error",
        "message": {"text": mistake.message},
        "locations": [location(&mistake.file, mistake.at)],
    })
}

fn location(file: &str, at: Option<Position>) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(file)}});
    if let Some(at) = at {
        physical["region"] = json!({"startLine": at.line, "startColumn": at.column});
    }
    json!({"physicalLocation": physical})
}

/// A path as a URI reference, relative where the path is.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    if path.starts_with('/') {
        format!("file://{uri}")
    } else {
        uri
    }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_uris() {
        for (path, want) in [
            ("deploy/web.yaml", "deploy/web.yaml"),
            ("./a b#1.yaml", "a%20b%231.yaml"),
            ("../x:y.yaml", "../x%3Ay.yaml"),
            ("/srv/ü.yaml", "file:///srv/%C3%BC.yaml"),
            ("stdin", "stdin"),
        ] {
            assert_eq!(uri(path), want, "{path}");
        }
    }
}
