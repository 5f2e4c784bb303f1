//! The node inventory as a file: what `kubectl get nodes -o yaml` or `-o json` prints, one Node, or several YAML
//! documents.

use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use crate::domain::node::Node;

/// A List, a NodeList or a single Node. Which one, `kind` says.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    items: Option<Vec<Item>>,
    #[serde(flatten)]
    node: Node,
}

/// An entry of a List names its kind, one of a NodeList may leave it out.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    kind: String,
    #[serde(flatten)]
    node: Node,
}

/// Reads the nodes of a file; `path` is for messages.
///
/// # Errors
/// Text that is neither YAML nor JSON, an object that is no Node, a Node without a name, no Node at all.
pub fn parse_nodes(path: &Path, text: &str) -> Result<Vec<Node>, ConfigError> {
    let malformed = |message: String| ConfigError::Malformed {
        path: path.to_owned(),
        message,
    };
    let documents: Vec<Document> = if text.trim_start().starts_with('{') {
        let mut json = serde_json::Deserializer::from_str(text);
        let document = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| malformed(error.to_string()))?;
        vec![document]
    } else {
        serde_saphyr::from_multiple_with_options(text, yaml_options())
            .map_err(|error| malformed(error.to_string()))?
    };
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

fn collect(document: Document, nodes: &mut Vec<Node>, mistakes: &mut Vec<String>) {
    let items = match (document.kind.as_str(), document.items) {
        ("List" | "NodeList", Some(items)) => items,
        ("Node", None) => vec![Item {
            kind: "Node".to_owned(),
            node: document.node,
        }],
        ("", None) => {
            return mistakes.push("kind: missing; it must be List, NodeList or Node".to_owned());
        }
        (kind @ ("List" | "NodeList"), None) => {
            return mistakes.push(format!("items: missing in a {kind}"));
        }
        (kind, _) => return mistakes.push(format!("kind: {kind:?} is not List, NodeList or Node")),
    };
    for (at, item) in items.into_iter().enumerate() {
        match item.kind.as_str() {
            "Node" | "" if item.node.metadata.name.is_empty() => {
                mistakes.push(format!("items[{at}].metadata.name: missing"));
            }
            "Node" | "" => nodes.push(item.node),
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
