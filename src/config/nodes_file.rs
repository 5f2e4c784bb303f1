//! The node inventory as a file: what `kubectl get nodes -o yaml` or `-o json` prints, one Node, or several YAML
//! documents.

use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use crate::domain::node::{Node, NodeMetadata, NodeSpec, NodeStatus};

/// A List, a NodeList or a Node; `kind` says which. An entry of a NodeList may leave its kind out.
///
/// The fields of a Node stand here again, since a flattened struct loses the line of a mistake.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    kind: String,
    items: Option<Vec<Document>>,
    metadata: Option<NodeMetadata>,
    spec: Option<NodeSpec>,
    status: Option<NodeStatus>,
}

impl Document {
    fn into_node(self) -> Node {
        Node {
            metadata: self.metadata.unwrap_or_default(),
            spec: self.spec.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
        }
    }
}

/// Reads the nodes of a file; `path` is for messages.
///
/// # Errors
/// Text that is neither YAML nor JSON, an object that is no Node, a Node without a name, no Node at all.
pub fn parse_nodes(path: &Path, text: &str) -> Result<Vec<Node>, ConfigError> {
    let documents = match parse_json(text) {
        Some(document) => document.map(|document| vec![document]),
        None => serde_saphyr::from_multiple_with_options(text, yaml_options())
            .map_err(|error| error.to_string()),
    };
    let documents: Vec<Document> = documents.map_err(|message| ConfigError::Malformed {
        path: path.to_owned(),
        message,
    })?;
    let mut mistakes = Vec::new();
    let mut nodes = Vec::new();
    for document in documents {
        collect(document, &mut nodes, &mut mistakes);
    }
    if nodes.is_empty() && mistakes.is_empty() {
        mistakes.push(
            "there is no Node in it: give what `kubectl get nodes -o yaml` prints".to_owned(),
        );
    }
    if mistakes.is_empty() {
        return Ok(nodes);
    }
    Err(ConfigError::Invalid {
        path: path.to_owned(),
        mistakes,
    })
}

/// The document, or what is wrong in it; `None` where the text is no JSON, which YAML may still be.
fn parse_json(text: &str) -> Option<Result<Document, String>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut json) {
        Ok(document) => Some(Ok(document)),
        Err(error) if error.inner().is_data() => Some(Err(error.to_string())),
        Err(_) => None,
    }
}

fn collect(document: Document, nodes: &mut Vec<Node>, mistakes: &mut Vec<String>) {
    let items = match (document.kind.as_str(), document.items) {
        ("List" | "NodeList", Some(items)) => items,
        ("Node", items) => vec![Document { items, ..document }],
        ("", _) => {
            return mistakes.push("kind: missing; it must be List, NodeList or Node".to_owned());
        }
        (kind @ ("List" | "NodeList"), None) => {
            return mistakes.push(format!("items: missing in a {kind}"));
        }
        (kind, _) => return mistakes.push(format!("kind: {kind:?} is not List, NodeList or Node")),
    };
    for (at, item) in items.into_iter().enumerate() {
        let kind = item.kind.clone();
        let node = item.into_node();
        match kind.as_str() {
            "Node" | "" if node.metadata.name.is_empty() => {
                mistakes.push(format!("items[{at}].metadata.name: missing"));
            }
            "Node" | "" => nodes.push(node),
            kind => mistakes.push(format!("items[{at}].kind: {kind:?} is not Node")),
        }
    }
}

/// A node list of 15,000 nodes is some 200 MB of YAML; it is the operator's own file.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000_000,
            max_nodes: 100_000_000,
            max_total_scalar_bytes: 2 << 30,
        },
    }
}
