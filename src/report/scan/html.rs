//! A scan as one page that needs nothing else: a matrix of workloads by groups of nodes. It can be read without a network
//! and without scripts, which do nothing but filter; a policy in the page forbids all others.
//!
//! Everything that comes from the cluster is escaped: names of images are an attacker's to choose.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Cell, Change, Row, Scan, State};
use crate::report::Standing;

const PAGE: &str = include_str!("../html/page.html");
const STYLE: &str = include_str!("../html/style.css");
const SCRIPT: &str = include_str!("../html/script.js");

/// Writes a scan.
///
/// # Errors
/// `out` takes no more.
pub fn write(out: &mut impl Write, scan: &Scan) -> std::io::Result<()> {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let _ = write_body(&mut body, scan);
    // What is put in last is not looked at again: nothing in it can be a place to fill.
    let page = PAGE
        .replace("{{style-hash}}", &hash(STYLE))
        .replace("{{script-hash}}", &hash(SCRIPT))
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        .replacen("{{body}}", &body, 1);
    out.write_all(page.as_bytes())
}

/// What a content security policy knows a script or style by.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn write_body(out: &mut String, scan: &Scan) -> std::fmt::Result {
    let found = &scan.summary;
    writeln!(out, "<header><h1>Which workloads run on which nodes</h1>")?;
    let nodes: u64 = scan.node_groups.iter().map(|column| column.nodes).sum();
    writeln!(
        out,
        "<p class=\"soft\">{} workloads, {} pods, {} images, {nodes} nodes. Made by platform-gate {}.</p>",
        found.workloads,
        found.pods,
        found.images,
        env!("CARGO_PKG_VERSION")
    )?;
    if !scan.what_if.is_empty() {
        let what_if = scan
            .what_if
            .iter()
            .map(|text| format!("<code>{}</code>", escaped(text)));
        let what_if: Vec<String> = what_if.collect();
        writeln!(
            out,
            "<p class=\"what-if\">As it would be, if {}: {} would break.</p>",
            what_if.join(" and "),
            counted(found.breaks.unwrap_or_default(), "workload")
        )?;
    }
    writeln!(out, "</header>\n<main>")?;
    write_filters(out, scan)?;
    write_matrix(out, scan)?;
    write_images(out, scan)?;
    writeln!(out, "</main>")
}

fn write_filters(out: &mut String, scan: &Scan) -> std::fmt::Result {
    // Shown by the script, without which it would do nothing.
    writeln!(out, "<form class=\"filters\" hidden>")?;
    writeln!(
        out,
        "<label>Find<input type=\"search\" name=\"text\" placeholder=\"name, image, reason\"></label>"
    )?;
    writeln!(
        out,
        "<label>Namespace<select name=\"namespace\"><option value=\"\">all</option>"
    )?;
    let namespaces: BTreeSet<&str> = scan
        .workloads
        .iter()
        .map(|row| row.namespace.as_str())
        .collect();
    for namespace in namespaces.into_iter().filter(|name| !name.is_empty()) {
        let name = escaped(namespace);
        writeln!(out, "<option value=\"{name}\">{name}</option>")?;
    }
    writeln!(out, "</select></label>")?;
    writeln!(
        out,
        "<label>Nodes<select name=\"column\"><option value=\"\">any</option>"
    )?;
    for (at, column) in scan.node_groups.iter().enumerate() {
        writeln!(
            out,
            "<option value=\"{at}\">{}</option>",
            escaped(&column.name)
        )?;
    }
    writeln!(out, "</select></label>")?;
    writeln!(
        out,
        "<label>There<select name=\"there\"><option value=\"\">anything</option>\
         <option value=\"runs\">runs</option><option value=\"cannot-run\">may land, cannot run</option>\
         <option value=\"unknown\">not known</option><option value=\"excluded\">may not land</option>\
         <option value=\"images-runs\">images are ready</option>\
         <option value=\"images-cannot-run\">images are missing</option></select></label>"
    )?;
    write_chips(out, scan)
}

fn write_chips(out: &mut String, scan: &Scan) -> std::fmt::Result {
    writeln!(
        out,
        "<fieldset><legend>Show only</legend><div class=\"chips\">"
    )?;
    if let Some(breaks) = scan.summary.breaks {
        chip(out, "breaks", "would break", breaks)?;
    }
    for state in State::ALL {
        let count = scan
            .workloads
            .iter()
            .filter(|row| row.verdict == state)
            .count();
        chip(out, class_of(state), state.words(), count)?;
    }
    writeln!(
        out,
        "</div></fieldset>\n</form>\n<p class=\"soft\" id=\"shown\" role=\"status\"></p>"
    )
}

fn chip(out: &mut String, value: &str, words: &str, count: usize) -> std::fmt::Result {
    if count == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "<label><input type=\"checkbox\" name=\"state\" value=\"{value}\">{words} <b>{count}</b></label>"
    )
}

fn write_matrix(out: &mut String, scan: &Scan) -> std::fmt::Result {
    writeln!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Workloads by nodes\">"
    )?;
    writeln!(
        out,
        "<table id=\"workloads\"><thead><tr><th scope=\"col\">Workload</th><th scope=\"col\">Its pods</th>"
    )?;
    for column in &scan.node_groups {
        let (platform, runtime) = column.name.split_once(", ").unwrap_or((&column.name, ""));
        let added = if column.what_if { ", what if" } else { "" };
        let nodes = u64_counted(column.nodes, "node");
        writeln!(
            out,
            "<th scope=\"col\">{}<span class=\"soft\">{}</span><span class=\"soft\">{nodes}{added}</span></th>",
            escaped(platform),
            escaped(runtime),
        )?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    for row in &scan.workloads {
        write_row(out, scan, row)?;
    }
    writeln!(out, "</tbody></table></div>")?;
    writeln!(
        out,
        "<p class=\"key soft\"><span>✓ its pods may land there and run</span><span>✗ they may land there and cannot run</span>\
         <span>? not known</span><span>– they may not land there; after it, whether their images would run</span></p>"
    )
}

fn write_row(out: &mut String, scan: &Scan, row: &Row) -> std::fmt::Result {
    let breaks = row.change == Some(Change::Breaks);
    writeln!(
        out,
        "<tr data-state=\"{}\" data-change=\"{}\" data-namespace=\"{}\"><th scope=\"row\"><span class=\"name\">{}</span>\
         <span class=\"meta\">{}{} · {}</span>",
        class_of(row.verdict),
        if breaks { "breaks" } else { "" },
        escaped(&row.namespace),
        escaped(&row.name),
        match row.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{} · ", escaped(namespace)),
        },
        escaped(&row.kind),
        counted(row.pods, "pod"),
    )?;
    write_details(out, scan, row)?;
    writeln!(out, "</th>")?;
    let worse = match row.before.filter(|before| *before != row.verdict) {
        Some(before) if breaks => {
            format!(
                "<span class=\"breaks-too\">today: {}</span>",
                before.words()
            )
        }
        Some(before) => format!("<span class=\"meta\">today: {}</span>", before.words()),
        None => String::new(),
    };
    writeln!(
        out,
        "<td class=\"mark {}\"><span class=\"badge\">{}</span>{worse}</td>",
        class_of(row.verdict),
        row.verdict.words()
    )?;
    for cell in &row.node_groups {
        write_cell(out, cell)?;
    }
    writeln!(out, "</tr>")
}

fn write_details(out: &mut String, scan: &Scan, row: &Row) -> std::fmt::Result {
    let images = counted(row.images.len(), "image");
    match row.message.is_empty() {
        true => write!(out, "<details><summary>{images}</summary>")?,
        false => write!(out, "<details><summary>why, and {images}</summary>")?,
    }
    if !row.message.is_empty() {
        write!(out, "<p>{}</p>", escaped(&row.message))?;
    }
    write!(out, "<ul>")?;
    for image in &row.images {
        write!(out, "<li><code>{}</code></li>", escaped(image))?;
    }
    for (cell, column) in row.node_groups.iter().zip(&scan.node_groups) {
        if let Some(why) = &cell.why {
            write!(
                out,
                "<li>{}: {}</li>",
                escaped(&column.platform),
                escaped(why)
            )?;
        }
    }
    write!(out, "</ul></details>")
}

fn write_cell(out: &mut String, cell: &Cell) -> std::fmt::Result {
    let (class, mark, words) = match (cell.verdict, cell.images) {
        (Standing::Runs, _) => ("runs", "✓", "runs"),
        (Standing::CannotRun, _) => ("cannot-run", "✗", "cannot run"),
        (Standing::Unknown, _) => ("unknown", "?", "not known"),
        (Standing::Excluded, Standing::Runs) => ("excluded", "–", "image ready"),
        (Standing::Excluded, Standing::CannotRun) => ("excluded", "–", "no image"),
        (Standing::Excluded, _) => ("excluded", "–", "not known"),
    };
    let images = match cell.images {
        Standing::Runs => "runs",
        Standing::CannotRun => "cannot-run",
        Standing::Unknown | Standing::Excluded => "unknown",
    };
    let title = cell
        .why
        .as_deref()
        .map(|why| format!(" title=\"{}\"", escaped(why)));
    writeln!(
        out,
        "<td class=\"mark {class}\" data-cell=\"{class}\" data-images=\"{images}\"{}><span class=\"badge\">{mark} {words}</span></td>",
        title.unwrap_or_default()
    )
}

fn write_images(out: &mut String, scan: &Scan) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Images</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Images\">"
    )?;
    writeln!(
        out,
        "<table class=\"images\"><thead><tr><th scope=\"col\">Image</th><th scope=\"col\">Offers</th></tr></thead><tbody>"
    )?;
    for image in &scan.images {
        let offers = match image.error {
            Some(error) => format!(
                "<span class=\"soft\">not known: the image {}</span>",
                escaped(error)
            ),
            None => escaped(&image.platforms.join(", ")),
        };
        writeln!(
            out,
            "<tr><th scope=\"row\"><code>{}</code></th><td>{offers}</td></tr>",
            escaped(&image.image)
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn class_of(state: State) -> &'static str {
    match state {
        State::Runs => "runs",
        State::MayLandWrong => "may-land-wrong",
        State::Unknown => "unknown",
        State::NoNode => "no-node",
        State::CannotRun => "cannot-run",
    }
}

fn counted(number: usize, one: &str) -> String {
    u64_counted(number as u64, one)
}

fn u64_counted(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Text as it may stand in an element or in a quoted attribute. Control characters and those that turn the direction of
/// text are left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {}
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::scan::{Column, ScannedImage};

    fn page(scan: Scan) -> String {
        let mut page = Vec::new();
        write(&mut page, &scan.counted()).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let evil = "\"><img src=x onerror=alert(1)></script>{{script}}'\u{202e}";
        let scan = Scan {
            what_if: vec![evil.to_owned()],
            node_groups: vec![Column {
                name: evil.to_owned(),
                platform: evil.to_owned(),
                nodes: 1,
                what_if: true,
            }],
            workloads: vec![Row {
                namespace: evil.to_owned(),
                kind: evil.to_owned(),
                name: evil.to_owned(),
                pods: 1,
                verdict: State::CannotRun,
                code: "nowhere",
                message: evil.to_owned(),
                before: Some(State::Runs),
                change: Some(Change::Breaks),
                images: vec![evil.to_owned()],
                systems: Vec::new(),
                node_groups: vec![Cell {
                    verdict: Standing::CannotRun,
                    images: Standing::CannotRun,
                    why: Some(evil.to_owned()),
                }],
            }],
            images: vec![ScannedImage {
                image: evil.to_owned(),
                platforms: vec![evil.to_owned()],
                error: None,
            }],
            ..Scan::default()
        };
        let page = page(scan);
        assert!(
            !page.contains("<img") && !page.contains('\u{202e}'),
            "{page}"
        );
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert_eq!(page.matches("</script").count(), 1, "{page}");
        assert_eq!(page.matches("'use strict'").count(), 1, "{page}");
        for place in ["{{style}}", "{{style-hash}}", "{{script-hash}}", "{{body}}"] {
            assert!(!page.contains(place), "{place}");
        }
        // Nothing is fetched from anywhere.
        for word in [
            "http://", "https://", " src=\"", " href=", "url(", "@import",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
