//! What would pin the objects of a report: one strategic merge patch each, as YAML documents. `kubectl patch --patch-file`
//! takes one, `patches` of a kustomization all of them.
//!
//! Leaves out the verdicts, which the other formats have.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::{Fix, ObjectReport, Report, printable};

/// Writes the patches; nothing where there are none.
///
/// # Errors
/// `out` takes no more.
pub fn write(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    for object in &report.objects {
        if let Some(fix) = &object.fix {
            let place = format!("{}:{}: {}", object.file, object.at.line, object.label());
            writeln!(out, "---\n# {}", printable(&place))?;
            let document = serde_saphyr::to_string(&document(object, fix));
            write!(out, "{}", document.map_err(std::io::Error::other)?)?;
        }
    }
    Ok(())
}

/// The patch with what tells whose it is.
fn document(object: &ObjectReport, fix: &Fix) -> Value {
    let mut document = json!({"apiVersion": object.api_version, "kind": object.kind, "metadata": {"name": object.name}});
    if !object.namespace.is_empty() {
        document["metadata"]["namespace"] = Value::from(object.namespace.as_str());
    }
    for (key, value) in fix.merge.as_object().into_iter().flatten() {
        match (document[key].as_object_mut(), value.as_object()) {
            (Some(own), Some(added)) => own.extend(Map::clone(added)),
            _ => document[key] = value.clone(),
        }
    }
    document
}
