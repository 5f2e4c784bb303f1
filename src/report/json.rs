//! The report as JSON: one object with everything that programs ask for.
//!
//! Leaves out mistakes in the input and places in files, which `text` and `sarif` tell.

use std::io::Write;

use super::Report;

/// Writes a report.
///
/// # Errors
/// `out` takes no more.
pub fn write(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
