//! Node selector terms: `nodeaffinity.GetRequiredNodeAffinity(pod).Match(node)` of k8s.io/component-helpers.

use std::collections::BTreeMap;

use crate::domain::pod::{NodeSelectorRequirement, NodeSelectorTerm};
use crate::domain::text::Text;

/// A requirement that the scheduler can read. What it cannot read makes its term match nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement<'a> {
    /// The label has one of the values.
    In(&'a [Text<'a>]),
    /// The label is absent or has none of the values.
    NotIn(&'a [Text<'a>]),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is an integer above the number.
    Gt(i64),
    /// The label is an integer below the number.
    Lt(i64),
}

impl<'a> Requirement<'a> {
    /// Reads a requirement on a label, by the rules of `labels.NewRequirement`.
    #[must_use]
    pub fn parse(requirement: &'a NodeSelectorRequirement<'a>) -> Option<Self> {
        let values = requirement.values.as_slice();
        let number = || match values {
            [value] => value.parse().ok(),
            _ => None,
        };
        if !is_label_key(&requirement.key) || !values.iter().all(|value| is_label_value(value)) {
            return None;
        }
        match &*requirement.operator {
            "In" => (!values.is_empty()).then_some(Self::In(values)),
            "NotIn" => (!values.is_empty()).then_some(Self::NotIn(values)),
            "Exists" => values.is_empty().then_some(Self::Exists),
            "DoesNotExist" => values.is_empty().then_some(Self::DoesNotExist),
            "Gt" => number().map(Self::Gt),
            "Lt" => number().map(Self::Lt),
            _ => None,
        }
    }
}

/// Whether a label, `None` where the node lacks it, satisfies a requirement.
#[must_use]
pub fn matches_requirement(requirement: Requirement<'_>, label: Option<&str>) -> bool {
    let one_of = |values: &[Text<'_>], label: &str| values.iter().any(|value| **value == *label);
    let number = || label.and_then(|label| label.parse::<i64>().ok());
    match requirement {
        Requirement::In(values) => label.is_some_and(|label| one_of(values, label)),
        Requirement::NotIn(values) => label.is_none_or(|label| !one_of(values, label)),
        Requirement::Exists => label.is_some(),
        Requirement::DoesNotExist => label.is_none(),
        Requirement::Gt(bound) => number().is_some_and(|number| number > bound),
        Requirement::Lt(bound) => number().is_some_and(|number| number < bound),
    }
}

/// Whether any term matches. No terms match nothing, and so does a term without requirements.
#[must_use]
pub fn terms_match(
    terms: &[NodeSelectorTerm<'_>],
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    terms.iter().any(|term| term_matches(term, name, labels))
}

fn term_matches(
    term: &NodeSelectorTerm<'_>,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let by_label = |requirement: &NodeSelectorRequirement<'_>| {
        let label = labels.get(&*requirement.key).map(String::as_str);
        Requirement::parse(requirement)
            .is_some_and(|requirement| matches_requirement(requirement, label))
    };
    !is_empty(term)
        && term.match_expressions.iter().all(by_label)
        && term
            .match_fields
            .iter()
            .all(|requirement| field_matches(requirement, name))
}

/// Whether a term has no requirement at all; such a term selects no node.
pub fn is_empty(term: &NodeSelectorTerm<'_>) -> bool {
    term.match_expressions.is_empty() && term.match_fields.is_empty()
}

/// A requirement on a field: `In` or `NotIn` with exactly one value. A field other than `metadata.name` is empty.
pub fn field_matches(requirement: &NodeSelectorRequirement<'_>, name: &str) -> bool {
    let field = if &*requirement.key == "metadata.name" {
        name
    } else {
        ""
    };
    match (&*requirement.operator, requirement.values.as_slice()) {
        ("In", [value]) => **value == *field,
        ("NotIn", [value]) => **value != *field,
        _ => false,
    }
}

/// A qualified name: an optional DNS prefix and a name of at most 63 characters.
fn is_label_key(key: &str) -> bool {
    // Keys are short: `split_once` takes longer to set out.
    let (prefix, name) = match key.bytes().position(|b| b == b'/') {
        Some(at) => (Some(&key[..at]), &key[at + 1..]),
        None => (None, key),
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_dns_subdomain)
}

fn is_dns_subdomain(text: &str) -> bool {
    let is_edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &[u8]| {
        let edges = [label.first(), label.last()];
        edges.iter().all(|b| b.is_some_and(|b| is_edge(*b)))
            && label.iter().all(|b| is_edge(*b) || *b == b'-')
    };
    text.len() <= 253 && text.as_bytes().split(|b| *b == b'.').all(is_label)
}

/// At most 63 characters, alphanumeric at both ends; may be empty.
fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(term: &str, labels: &[(&str, &str)]) -> bool {
        let terms: Vec<NodeSelectorTerm<'_>> = serde_json::from_str(term).unwrap();
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        terms_match(&terms, "node-1", &labels)
    }

    #[test]
    fn operators() {
        for (operator, values, label, want) in [
            ("In", r#"["a","b"]"#, Some("b"), true),
            ("In", r#"["a"]"#, None, false),
            ("In", "[]", Some("a"), false),
            ("NotIn", r#"["a"]"#, Some("b"), true),
            ("NotIn", r#"["a"]"#, None, true),
            ("NotIn", r#"["not a label"]"#, Some("b"), false),
            ("Exists", "[]", Some(""), true),
            ("Exists", r#"["a"]"#, Some("a"), false),
            ("DoesNotExist", "null", None, true),
            ("Gt", r#"["4"]"#, Some("10"), true),
            ("Gt", r#"["4"]"#, Some("4"), false),
            ("Lt", r#"["4"]"#, Some("32Gi"), false),
            ("Lt", r#"["4","5"]"#, Some("1"), false),
            ("Near", "[]", Some("1"), false),
        ] {
            let term = format!(
                r#"[{{"matchExpressions":[{{"key":"x","operator":"{operator}","values":{values}}}]}}]"#
            );
            let labels: Vec<_> = label.map(|value| ("x", value)).into_iter().collect();
            assert_eq!(
                matches(&term, &labels),
                want,
                "{operator} {values} on {label:?}"
            );
        }
    }

    #[test]
    fn terms_are_ored_and_empty_ones_match_nothing() {
        let yes = r#"{"matchExpressions":[{"key":"x","operator":"DoesNotExist"}]}"#;
        let no = r#"{"matchExpressions":[{"key":"x","operator":"Exists"}]}"#;
        for (terms, want) in [
            ("[]".to_owned(), false),
            ("[{}]".to_owned(), false),
            (format!("[{{}},{yes}]"), true),
            (format!("[{no},{yes}]"), true),
            (format!("[{no}]"), false),
        ] {
            assert_eq!(matches(&terms, &[]), want, "{terms}");
        }
    }

    #[test]
    fn the_name_is_the_only_field() {
        for (requirement, want) in [
            (
                r#"{"key":"metadata.name","operator":"In","values":["node-1"]}"#,
                true,
            ),
            (
                r#"{"key":"metadata.name","operator":"In","values":["node"]}"#,
                false,
            ),
            (
                r#"{"key":"metadata.name","operator":"NotIn","values":["node-2"]}"#,
                true,
            ),
            (
                r#"{"key":"metadata.name","operator":"In","values":["node-1","node-2"]}"#,
                false,
            ),
            (r#"{"key":"metadata.name","operator":"Exists"}"#, false),
        ] {
            assert_eq!(
                matches(&format!(r#"[{{"matchFields":[{requirement}]}}]"#), &[]),
                want,
                "{requirement}"
            );
        }
    }
}
