//! A pinning written into a PodSpec, and the JSON patch that says so.
//!
//! Works on the object as it came, not on the lean pod: what is not read must not be lost. Leaves out whether and what
//! to pin, which is the domain's and the gate's.

use json_patch::diff;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::domain::pin::Axis;
use crate::domain::pinning::{Pinning, Requirements};
use crate::domain::pod::Pod;
use crate::domain::workload::WorkloadKind;

/// Says on a pod what was added to it, and why.
pub const PINNED_ANNOTATION: &str = "platform-gate.io/pinned";

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const TERMS: &str = "nodeSelectorTerms";

/// A pod, or an object with the template of pods, and what is to be added to it.
#[derive(Debug, Clone)]
pub struct PinnedPod {
    before: Value,
    after: Value,
    /// Where in the object the pod is, as keys.
    path: &'static str,
}

impl PinnedPod {
    /// Reads a pod to which nothing is added yet.
    ///
    /// # Errors
    /// It is not JSON, or no Pod.
    pub fn parse(object: &RawValue) -> Result<Self, serde_json::Error> {
        let before: Value = serde_json::from_str(object.get())?;
        Pod::deserialize(&before)?;
        Ok(Self::of_object(&before, WorkloadKind::Pod))
    }

    /// What makes the pods of an object of this kind, which has been read as one, with nothing added yet.
    #[must_use]
    pub fn of_object(object: &Value, kind: WorkloadKind) -> Self {
        Self {
            before: object.clone(),
            after: object.clone(),
            path: kind.pod_path(),
        }
    }

    /// Adds requirements, and the annotation that gives the reason.
    pub fn pin(&mut self, pinning: &Pinning, reason: &str) {
        let pod = self.pod_mut();
        pin_spec(child(pod, "spec"), pinning);
        let annotations = child(child(pod, "metadata"), "annotations");
        annotations[PINNED_ANNOTATION] = Value::from(reason);
    }

    /// Adds a preference for an architecture, unless the author prefers one already.
    pub fn prefer(&mut self, architecture: &str) {
        prefer_architecture(child(self.pod_mut(), "spec"), architecture);
    }

    /// The pod as it will be.
    ///
    /// # Errors
    /// It is no Pod, which would be our mistake.
    pub fn pod(&self) -> Result<Pod<'_>, serde_json::Error> {
        let pod = self.keys().fold(&self.after, |object, key| &object[key]);
        Pod::deserialize(pod)
    }

    fn pod_mut(&mut self) -> &mut Value {
        let keys = self.keys();
        keys.fold(&mut self.after, child)
    }

    fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('.').filter(|key| !key.is_empty())
    }

    /// The JSON patch (RFC 6902) from one to the other; `None` where nothing was added.
    #[must_use]
    pub fn patch(&self) -> Option<String> {
        let patch = diff(&self.before, &self.after);
        (!patch.0.is_empty()).then(|| patch.to_string())
    }

    /// The same as a strategic merge patch: what was added, under its keys. Lists that changed are whole, and all of them
    /// are lists that a merge replaces. `None` where nothing was added.
    #[must_use]
    pub fn merge_patch(&self) -> Option<Value> {
        added(&self.before, &self.after)
    }
}

/// What `after` has and `before` has not; objects key by key, everything else whole.
fn added(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let added = after.iter().filter_map(|(key, value)| {
        let before = before.get(key).unwrap_or(&Value::Null);
        Some((key.clone(), added(before, value)?))
    });
    let added: Map<String, Value> = added.collect();
    (!added.is_empty()).then_some(Value::Object(added))
}

/// Prefers nodes of an architecture. What the author prefers already is left alone, so twice is as once.
fn prefer_architecture(spec: &mut Value, architecture: &str) {
    let key = Axis::Arch.label();
    let node_affinity = child(child(spec, "affinity"), "nodeAffinity");
    let mut preferred = match node_affinity[PREFERRED].take() {
        Value::Array(preferred) => preferred,
        _ => Vec::new(),
    };
    let names_it = |term: &Value| {
        let expressions = term["preference"]["matchExpressions"].as_array();
        expressions.is_some_and(|expressions| expressions.iter().any(|e| e["key"] == key))
    };
    if !preferred.iter().any(names_it) {
        let expression = json!({"key": key, "operator": "In", "values": [architecture]});
        preferred.push(json!({"weight": 50, "preference": {"matchExpressions": [expression]}}));
    }
    node_affinity[PREFERRED] = Value::from(preferred);
}

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
        let added = requirements
            .0
            .iter()
            .map(|(axis, values)| json!({"key": axis.label(), "operator": "In", "values": values}));
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
