//! What the documents say is so: every finding has its section, commands and flags exist, quoted answers are the
//! program's own, links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use platform_gate::domain::decision::Outcome;
use platform_gate::domain::lookup::LookupFailure;
use platform_gate::domain::verdict::{Cause, Doubt};

use super::tidy::{read, tracked};

const FINDINGS: &str = "docs/findings.md";
/// What every section of a finding has.
const PARTS: [&str; 5] = [
    "**Means:**",
    "**The runtime says:**",
    "**The pod:**",
    "**Fix:**",
    "**Example:**",
];

#[test]
fn every_finding_has_a_section_and_every_section_is_a_finding() {
    let outcomes = [
        Outcome::Runs,
        Outcome::Nowhere,
        Outcome::MayLandWrong(Vec::new()),
        Outcome::NoCandidate,
        Outcome::NoNodes,
    ];
    let mut codes: BTreeSet<&str> = outcomes.iter().map(code_of_its_own).collect();
    codes.extend(Cause::ALL.map(Cause::code));
    codes.extend(Doubt::ALL.map(Doubt::code));
    codes.extend(LookupFailure::ALL.map(LookupFailure::code));
    let text = read(FINDINGS);
    let sections: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let missing: Vec<_> = codes.difference(&sections).collect();
    let invented: Vec<_> = sections.difference(&codes).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{FINDINGS}: no section for {missing:?}; no finding for {invented:?}"
    );
}

/// A new outcome does not compile until it is here, and then in the list above.
fn code_of_its_own(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Runs
        | Outcome::Nowhere
        | Outcome::MayLandWrong(_)
        | Outcome::Unknown(_)
        | Outcome::NoCandidate
        | Outcome::NoNodes => outcome.code(),
    }
}

#[test]
fn every_section_of_a_finding_is_complete() {
    let text = read(FINDINGS);
    for section in text.split("\n### ").skip(1) {
        let (code, body) = section.split_once('\n').unwrap();
        let body = body.split("\n## ").next().unwrap_or_default();
        let missing: Vec<_> = PARTS.iter().filter(|part| !body.contains(**part)).collect();
        assert!(missing.is_empty(), "{FINDINGS}, {code}: no {missing:?}");
    }
}

#[test]
fn commands_and_flags_in_the_documents_exist() {
    for file in ["README.md", FINDINGS, "SECURITY.md", "CONTRIBUTING.md"] {
        for (program, words) in commands(&read(file)) {
            let Some(command) = words.first().filter(|word| !word.starts_with('-')) else {
                continue;
            };
            let help = help(command);
            let flags = words
                .iter()
                .filter(|word| word.starts_with("--") && word.len() > 2);
            for flag in flags {
                let flag = flag.split('=').next().unwrap_or_default();
                assert!(
                    help.contains(flag),
                    "{file}: {program}{command} has no {flag}"
                );
            }
        }
    }
}

/// The command lines of a document that run the program: how it is called, and the words after that.
fn commands(text: &str) -> Vec<(&'static str, Vec<String>)> {
    const CALLS: [&str; 3] = ["cargo run --release -- ", "cargo run -- ", "platform-gate "];
    let spans = text.split('`').skip(1).step_by(2);
    let inline = spans.filter(|span| !span.contains('\n'));
    shell_lines(text)
        .into_iter()
        .chain(inline)
        .filter_map(|line| {
            let call = CALLS.into_iter().find(|call| line.starts_with(call))?;
            let words = line[call.len()..]
                .split_whitespace()
                .map(str::to_owned)
                .take_while(|word| !matches!(word.as_str(), "|" | "&&" | "#" | ">"));
            Some((call, words.collect()))
        })
        .collect()
}

fn help(command: &str) -> String {
    let output = run(&[command, "--help"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "there is no command {command}: {told}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_platform-gate"))
        .args(arguments)
        .output()
        .unwrap()
}

/// The first words of the README's denial are kubectl's; the rest is the webhook's, but for the container's name.
#[test]
fn the_denial_of_the_readme_is_what_the_demo_prints() {
    let readme = read("README.md");
    let blocks = readme.split("```").skip(1).step_by(2);
    let denials = blocks.filter_map(|block| {
        let words: Vec<&str> = block.split_whitespace().collect();
        let text = words.join(" ");
        let (_, denial) = text.split_once("denied the request: ")?;
        Some(denial.replace("\"hello\"", "\"app-1\""))
    });
    let denials: Vec<String> = denials.collect();
    assert!(!denials.is_empty(), "the README shows no denial");
    let demo = run(&["demo", "--json"]);
    let told = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "the demo failed: {told}");
    let answers = String::from_utf8(demo.stdout).unwrap();
    let messages: Vec<String> = answers.lines().filter_map(message).collect();
    for denial in denials {
        assert!(
            messages.contains(&denial),
            "{denial:?} is none of the demo's denials: {messages:#?}"
        );
    }
}

/// The message of a denial.
fn message(review: &str) -> Option<String> {
    let review: serde_json::Value = serde_json::from_str(review).unwrap();
    let message = review["response"]["status"]["message"].as_str();
    message.map(str::to_owned)
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for file in tracked("md") {
        let text = read(&file);
        for target in links(&text) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            if path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let folder = Path::new(&file).parent().unwrap();
            let path = if path.is_empty() {
                PathBuf::from(&file)
            } else {
                normal(&folder.join(path))
            };
            let found = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
            let has_anchor = || anchors(&read(&path.display().to_string())).contains(anchor);
            if !found.exists() || (!anchor.is_empty() && !has_anchor()) {
                broken.push(format!("{file}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links into nothing: {broken:#?}");
}

/// `](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            let without_code: Vec<&str> = line.split('`').step_by(2).collect();
            prose.push_str(&without_code.join("`"));
            prose.push('\n');
        }
    }
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The command lines of the fenced code blocks: all lines of `sh`, of other blocks those after a prompt.
fn shell_lines(text: &str) -> Vec<&str> {
    let mut block = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, Some("sh")) => lines.push(line),
            (None, _) => lines.extend(line.strip_prefix("$ ")),
        }
    }
    lines
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}
