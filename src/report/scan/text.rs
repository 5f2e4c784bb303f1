//! A scan as text for people: what stands in whose way, the worst first, and the counts. What runs is counted only.

use std::io::Write;

use super::{Change, Row, Scan, State};
use crate::report::{Standing, printable};

/// Writes a scan. `colours` marks verdicts with the codes of terminals.
///
/// # Errors
/// `out` takes no more.
pub fn write(out: &mut impl Write, scan: &Scan, colours: bool) -> std::io::Result<()> {
    if scan.what_if.is_empty() {
        for (state, words) in [
            (
                State::CannotRun,
                "cannot run on any node that they may land on",
            ),
            (State::NoNode, "may land on no node"),
            (State::Unknown, "not known"),
            (
                State::MayLandWrong,
                "may land on a node that cannot run them",
            ),
        ] {
            let rows = scan.workloads.iter().filter(|row| row.verdict == state);
            write_rows(out, scan, words, rows, colours)?;
        }
    } else {
        writeln!(out, "If {}:\n", printable(&scan.what_if.join(" and ")))?;
        for (change, words) in [
            (Change::Breaks, "would break"),
            (Change::Worse, "would be worse off"),
            (Change::Better, "would be better off"),
        ] {
            let rows = scan
                .workloads
                .iter()
                .filter(|row| row.change == Some(change));
            write_rows(out, scan, words, rows, colours)?;
        }
        if scan
            .workloads
            .iter()
            .all(|row| row.change == Some(Change::Same))
        {
            writeln!(out, "no workload would be better or worse off\n")?;
        }
        write_readiness(out, scan)?;
    }
    writeln!(out, "{}", summary(scan))
}

fn write_rows<'a>(
    out: &mut impl Write,
    scan: &Scan,
    heading: &str,
    rows: impl Iterator<Item = &'a Row>,
    colours: bool,
) -> std::io::Result<()> {
    let rows: Vec<&Row> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{} {heading}:",
        counted(rows.len(), "workload", "workloads")
    )?;
    for row in rows {
        let colour = match row.verdict {
            State::CannotRun | State::NoNode => "31",
            State::MayLandWrong | State::Unknown => "33",
            State::Runs => "32",
        };
        let label = printable(&row.label());
        let label = match colours {
            true => format!("\u{1b}[1;{colour}m{label}\u{1b}[0m"),
            false => label,
        };
        let pods = counted(row.pods, "pod", "pods");
        let before = row.before.filter(|before| *before != row.verdict);
        let change =
            before.map(|before| format!(": {} instead of {}", row.verdict.words(), before.words()));
        writeln!(out, "  {label} ({pods}){}", change.unwrap_or_default())?;
        if !row.message.is_empty() {
            writeln!(out, "    {}", printable(&row.message))?;
        }
        if row.verdict == State::NoNode {
            writeln!(out, "    {}", images_run_on(scan, row))?;
        }
    }
    writeln!(out)
}

/// Where the images would run of a workload that no node takes.
fn images_run_on(scan: &Scan, row: &Row) -> String {
    let cells = row.node_groups.iter().zip(&scan.node_groups);
    let ready = cells.filter(|(cell, _)| cell.images == Standing::Runs);
    let mut platforms: Vec<&str> = ready.map(|(_, column)| column.platform.as_str()).collect();
    platforms.dedup();
    match platforms.is_empty() {
        true => "Its images run on no node that there is.".to_owned(),
        false => format!("Its images run on {}.", platforms.join(", ")),
    }
}

/// Which workloads have images for the nodes that join.
fn write_readiness(out: &mut impl Write, scan: &Scan) -> std::io::Result<()> {
    for (at, column) in scan
        .node_groups
        .iter()
        .enumerate()
        .filter(|(_, column)| column.what_if)
    {
        let (ready, missing) = scan.readiness(at);
        writeln!(
            out,
            "Images for {}: {} of {}.",
            column.platform,
            ready.len(),
            counted(ready.len() + missing.len(), "workload", "workloads")
        )?;
        for row in &missing {
            let why = row.node_groups.get(at).and_then(|cell| cell.why.as_deref());
            let why = why.unwrap_or("it is not known");
            writeln!(out, "  not {}: {}", printable(&row.label()), printable(why))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn summary(scan: &Scan) -> String {
    let found = &scan.summary;
    let mut parts = vec![format!("{} run", found.runs)];
    for (number, words) in [
        (found.may_land_wrong, "may land wrong"),
        (found.unknown, "not known"),
        (found.no_node, "without a node"),
        (found.cannot_run, "cannot run"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {words}"));
        }
    }
    let breaks = match found.breaks {
        Some(breaks) => format!("; {breaks} would break"),
        None => String::new(),
    };
    format!(
        "{} with {} and {}: {}{breaks}",
        counted(found.workloads, "workload", "workloads"),
        counted(found.pods, "pod", "pods"),
        counted(found.images, "image", "images"),
        parts.join(", "),
    )
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
