//! A pinning written into a PodSpec, and the JSON patch that says so.
//!
//! Works on the object as it came, not on the lean pod: what is not read must not be lost. Leaves out whether and what
//! to pin, which is the domain's and the gate's.

use serde_json::{Map, Value, json};

use crate::domain::pinning::{Pinning, Requirements};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const TERMS: &str = "nodeSelectorTerms";

/// Adds the requirements to a PodSpec, ANDed with what it requires already.
///
/// Terms of a required node affinity are ORed, so each of them gets the requirements; another term would loosen what
/// the author wrote. A term without any requirement selects no node and must go on doing so.
pub fn pin_spec(spec: &mut Value, pinning: &Pinning) {
    let terms = spec.pointer(&format!("/affinity/nodeAffinity/{REQUIRED}/{TERMS}"));
    let terms = terms.and_then(Value::as_array).cloned();
    match (terms, pinning.as_node_selector()) {
        (None, Some(labels)) => {
            let selector = child(spec, "nodeSelector");
            for (label, value) in labels {
                selector[label] = Value::from(value);
            }
        }
        (terms, _) => {
            // No requirement is what one term without restrictions would be, if there were such a term.
            let terms = terms.unwrap_or_else(|| vec![Value::Null]);
            let pinned = terms.iter().flat_map(|term| pin_term(term, pinning));
            let pinned: Vec<Value> = pinned.collect();
            let affinity = child(child(child(spec, "affinity"), "nodeAffinity"), REQUIRED);
            affinity[TERMS] = Value::from(pinned);
        }
    }
}

/// The term with each alternative.
fn pin_term(term: &Value, pinning: &Pinning) -> Vec<Value> {
    let has = |field: &str| {
        term.get(field)
            .and_then(Value::as_array)
            .is_some_and(|requirements| !requirements.is_empty())
    };
    if !term.is_null() && !has("matchExpressions") && !has("matchFields") {
        return vec![term.clone()];
    }
    let with = |requirements: &Requirements| {
        let mut term = if term.is_null() {
            json!({})
        } else {
            term.clone()
        };
        let mut expressions = match term["matchExpressions"].take() {
            Value::Array(expressions) => expressions,
            _ => Vec::new(),
        };
        let added = requirements.0.iter().map(
            |(axis, values)| json!({"key": axis.label(), "operator": "In", "values": values}),
        );
        expressions.extend(added);
        term["matchExpressions"] = Value::from(expressions);
        term
    };
    pinning.0.iter().map(with).collect()
}

/// The object under a key; made where there is none.
fn child<'v>(parent: &'v mut Value, key: &str) -> &'v mut Value {
    if !parent[key].is_object() {
        parent[key] = Value::Object(Map::new());
    }
    &mut parent[key]
}

#[cfg(test)]
mod tests;
