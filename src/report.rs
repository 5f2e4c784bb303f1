//! Reports: what a check of objects found, as data, and the writers of its formats.
//!
//! Leaves out how it was found (`cli`). The JSON is an interface: fields are added, never changed.

pub mod fix;
pub mod json;
pub mod policy;
pub mod sarif;
pub mod scan;
pub mod text;

use serde::Serialize;
use serde_json::Value;

use crate::domain::policy::Action;

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// Something in the input that cannot be read: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Where in it; absent if the file cannot be read at all.
    pub at: Option<Position>,
    /// What is wrong.
    pub message: String,
}

/// What was found in all files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One entry per object that makes pods, in the order of the input.
    pub objects: Vec<ObjectReport>,
    /// Objects that make no pods.
    #[serde(skip)]
    pub skipped: usize,
    /// What could not be read.
    #[serde(skip)]
    pub mistakes: Vec<Mistake>,
}

/// What was found of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// As in the object.
    pub api_version: String,
    /// As in the object.
    pub kind: String,
    /// As in the object; empty if it does not say.
    pub namespace: String,
    /// As in the object, or what a name is to be made from.
    pub name: String,
    /// What the webhook does with its pods.
    pub verdict: Action,
    /// What the webhook says of it; empty if nothing is to be said.
    pub message: String,
    /// The warnings of the webhook.
    pub warnings: Vec<String>,
    /// What stands in the way of each image.
    pub findings: Vec<Finding>,
    /// Every group of nodes. One of which only some nodes are candidates is told twice: those, and the others.
    pub node_groups: Vec<GroupReport>,
    /// What keeps its pods where they run, where they may land wrong and that was asked for.
    #[serde(flatten)]
    pub fix: Option<Fix>,
    /// The message, sentence by sentence, at full length.
    #[serde(skip)]
    pub sentences: Vec<String>,
    /// The file that it stands in.
    #[serde(skip)]
    pub file: String,
    /// Where it starts.
    #[serde(skip)]
    pub at: Position,
    /// Whether a registry left open what a verdict rests on.
    #[serde(skip)]
    pub undecided: bool,
}

/// What the pinning webhook would add to pods, for the object that makes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// As a JSON patch (RFC 6902) of the object.
    pub patch: Value,
    /// As a strategic merge patch of the object, without what tells which it is.
    #[serde(skip)]
    pub merge: Value,
}

/// Something that stands in the way of an image, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The stable code.
    pub code: &'static str,
    /// The container or volume; absent where no image is concerned in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The nodes that it concerns; absent where it concerns all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_group: Option<String>,
    /// What is the matter, in the words of the node's runtime.
    pub message: String,
    /// What to call the container: `container "web"`.
    #[serde(skip)]
    pub label: String,
    /// Where the image stands in the file.
    #[serde(skip)]
    pub at: Position,
}

/// What a group of nodes makes of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// The group's name.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// How many nodes.
    pub nodes: u64,
    /// Whether they run the pod.
    pub verdict: Standing,
    /// Why not; absent where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a group of nodes stands to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// They run it.
    Runs,
    /// They cannot, on proof.
    CannotRun,
    /// Nobody knows.
    Unknown,
    /// The pod may not land on them.
    Excluded,
}

impl Report {
    /// How many objects came to a verdict.
    #[must_use]
    pub fn count(&self, verdict: Action) -> usize {
        self.objects
            .iter()
            .filter(|object| object.verdict == verdict)
            .count()
    }
}

impl ObjectReport {
    /// What to call it: `Deployment shop/web`.
    #[must_use]
    pub fn label(&self) -> String {
        let name = if self.name.is_empty() {
            "(no name)"
        } else {
            &self.name
        };
        match self.namespace.as_str() {
            "" => format!("{} {name}", self.kind),
            namespace => format!("{} {namespace}/{name}", self.kind),
        }
    }

    /// One finding of each image that has any, the first; those of no image too.
    pub fn per_image(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .enumerate()
            .filter_map(|(at, finding)| {
                let same = |earlier: &Finding| {
                    (earlier.at, &earlier.label) == (finding.at, &finding.label)
                };
                (!self.findings[..at].iter().any(same)).then_some(finding)
            })
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some(at) => write!(
                f,
                "{}:{}:{}: {}",
                self.file, at.line, at.column, self.message
            ),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// Text without control characters, which in a terminal could pretend to be anything.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
