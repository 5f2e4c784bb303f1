//! The report as text for people: each object with its verdict, the place of each image that stands in the way, what
//! is wrong and how to fix it, and a last line with the counts.
//!
//! Leaves out mistakes in the input: they go to stderr as they are met.

use std::io::Write;

use super::{ObjectReport, Report, printable};
use crate::domain::policy::Action;

/// Writes a report. `colours` marks verdicts with the codes of terminals.
///
/// # Errors
/// `out` takes no more.
pub fn write(out: &mut impl Write, report: &Report, colours: bool) -> std::io::Result<()> {
    for object in &report.objects {
        write_object(out, object, colours)?;
    }
    if !report.objects.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "{}", summary(report))
}

fn write_object(out: &mut impl Write, object: &ObjectReport, colours: bool) -> std::io::Result<()> {
    let (word, colour) = match object.verdict {
        Action::Deny => ("denied ", "31"),
        Action::Warn => ("warning", "33"),
        Action::Allow => ("allowed", "32"),
    };
    let verdict = if colours {
        format!("\u{1b}[1;{colour}m{word}\u{1b}[0m")
    } else {
        word.to_owned()
    };
    let (label, file) = (printable(&object.label()), printable(&object.file));
    writeln!(out, "{verdict}  {label}  ({file}:{})", object.at.line)?;
    for finding in object.per_image() {
        if let Some(image) = &finding.image {
            let (label, image) = (printable(&finding.label), printable(image));
            let at = finding.at;
            writeln!(
                out,
                "         {file}:{}:{}: {label}: {image}",
                at.line, at.column
            )?;
        }
    }
    for sentence in &object.sentences {
        writeln!(out, "         {}", printable(sentence))?;
    }
    Ok(())
}

fn summary(report: &Report) -> String {
    let count = |number: usize, one: &str, many: &str| {
        format!("{number} {}", if number == 1 { one } else { many })
    };
    let mut text = format!(
        "{} checked: {} denied, {}, {} allowed",
        count(report.objects.len(), "object", "objects"),
        report.count(Action::Deny),
        count(report.count(Action::Warn), "warning", "warnings"),
        report.count(Action::Allow),
    );
    if report.skipped > 0 {
        let others = count(report.skipped, "other makes", "others make");
        text = format!("{text}; {others} no pods");
    }
    if !report.mistakes.is_empty() {
        let mistakes = count(report.mistakes.len(), "mistake", "mistakes");
        text = format!("{text}; {mistakes} in the input");
    }
    text
}
