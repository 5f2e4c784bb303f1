//! From documents to the objects that make pods, Lists opened; others are counted.
//!
//! Leaves out reading text (`documents`) and judging.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::located::{Located, Step};
use crate::domain::runtime_class::{RuntimeClass, RuntimeClasses};
use crate::domain::workload::{Workload, WorkloadKind};
use crate::report::Mistake;

/// An object that makes pods, as it stands in its file.
pub(in crate::cli) struct Object {
    pub(in crate::cli) file: Arc<str>,
    pub(in crate::cli) api_version: String,
    pub(in crate::cli) kind: WorkloadKind,
    pub(super) tree: Located,
    json: Value,
}

/// The objects of all documents so far.
#[derive(Default)]
pub(in crate::cli) struct Objects {
    pub(in crate::cli) found: Vec<Object>,
    /// Where pods of a RuntimeClass go, for those among the objects.
    pub(in crate::cli) runtime_classes: RuntimeClasses,
    /// Objects that make no pods.
    pub(in crate::cli) skipped: usize,
    pub(in crate::cli) mistakes: Vec<Mistake>,
}

/// What the entries of a list are, unless they say it themselves: `PodList` holds Pods.
#[derive(Clone, Copy, Default)]
struct Inherited<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl Objects {
    /// Adds what is in a document of a file. A document that is no object is a mistake in a file that the user
    /// named; folders hold other things too.
    pub(super) fn add(&mut self, file: &Arc<str>, document: &Located, named: bool) {
        if document.text("kind").is_empty() && named {
            return self.mistakes.push(Mistake {
                file: file.to_string(),
                at: Some(document.at),
                message: "kind: missing; give Kubernetes objects, such as a Pod or a Deployment"
                    .to_owned(),
            });
        }
        self.sort_out(file, document, Inherited::default());
    }

    fn sort_out(&mut self, file: &Arc<str>, tree: &Located, inherited: Inherited<'_>) {
        let or = |own: &'_ str, other: &'_ str| if own.is_empty() { other } else { own }.to_owned();
        let api_version = or(tree.text("apiVersion"), inherited.api_version);
        let kind = or(tree.text("kind"), inherited.kind);
        let items = tree.get("items").and_then(Located::items);
        if let (Some(kind), Some(items)) = (kind.strip_suffix("List"), items) {
            let inherited = match kind {
                "" => Inherited::default(),
                kind => Inherited {
                    api_version: &api_version,
                    kind,
                },
            };
            for item in items {
                self.sort_out(file, item, inherited);
            }
            return;
        }
        if kind == "RuntimeClass" && api_version.starts_with("node.k8s.io/") {
            self.add_runtime_class(file, tree);
        }
        match WorkloadKind::of(&api_version, &kind) {
            None => self.skipped += 1,
            Some(kind) => self.found.push(Object {
                file: Arc::clone(file),
                api_version,
                kind,
                json: tree.to_json(),
                tree: tree.clone(),
            }),
        }
    }
}

impl Objects {
    /// Pods of the class, wherever they stand, have its rules; the class itself makes none.
    fn add_runtime_class(&mut self, file: &Arc<str>, tree: &Located) {
        let name = tree
            .get("metadata")
            .map_or("", |metadata| metadata.text("name"));
        let json = tree.to_json();
        let mut track = serde_path_to_error::Track::new();
        let read = serde_path_to_error::Deserializer::new(&json, &mut track);
        match RuntimeClass::deserialize(read) {
            Ok(class) => _ = self.runtime_classes.insert(name.to_owned(), class),
            Err(error) => self
                .mistakes
                .push(mistyped(file, tree, &track.path(), &error)),
        }
    }
}

impl Object {
    /// The object as it is written.
    pub(in crate::cli) fn json(&self) -> &Value {
        &self.json
    }

    /// The images that it names; none where it cannot be read.
    pub(in crate::cli) fn images(&self) -> Vec<String> {
        let Ok(workload) = self.workload() else {
            return Vec::new();
        };
        let images = workload.pod.spec.images().into_iter();
        images.map(|image| image.image.to_owned()).collect()
    }

    /// Reads what decides.
    pub(in crate::cli) fn workload(&self) -> Result<Workload<'_>, Mistake> {
        let mut track = serde_path_to_error::Track::new();
        let json = serde_path_to_error::Deserializer::new(&self.json, &mut track);
        let read = self.kind.read(json);
        read.map_err(|error| mistyped(&self.file, &self.tree, &track.path(), &error))
    }
}

fn mistyped(
    file: &str,
    tree: &Located,
    path: &serde_path_to_error::Path,
    error: &serde_json::Error,
) -> Mistake {
    Mistake {
        file: file.to_owned(),
        at: Some(tree.follow(path.iter().filter_map(step))),
        message: format!("{path}: {error}"),
    }
}

fn step(segment: &serde_path_to_error::Segment) -> Option<Step<'_>> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(Step::Index(*index)),
        serde_path_to_error::Segment::Map { key } => Some(Step::Key(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::documents;

    fn objects(text: &str, named: bool) -> Objects {
        let mut objects = Objects::default();
        for document in documents::read(text) {
            objects.add(&"a.yaml".into(), &document.unwrap(), named);
        }
        objects
    }

    #[test]
    fn lists_are_opened_and_others_counted() {
        let text = "\
kind: List
items:
- {apiVersion: apps/v1, kind: Deployment}
- {apiVersion: v1, kind: ConfigMap}
- {apiVersion: v1, kind: PodList, items: [{metadata: {name: a}}, {}]}
---
{apiVersion: batch/v1, kind: JobList, items: [{}]}
---
{apiVersion: x.io/v1, kind: JobList, items: [{}]}
---
replicas: 3
";
        let found = objects(text, false);
        let kinds: Vec<_> = found
            .found
            .iter()
            .map(|object| (object.kind.name(), object.tree.at.line))
            .collect();
        assert_eq!(
            kinds,
            [("Deployment", 3), ("Pod", 5), ("Pod", 5), ("Job", 7)]
        );
        assert_eq!((found.skipped, found.mistakes.len()), (3, 0));
        assert_eq!(objects(text, true).mistakes[0].at.unwrap().line, 11);
    }

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let text =
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: web\n    image: 1.5\n";
        let found = objects(text, true);
        let mistake = found.found[0].workload().unwrap_err().to_string();
        assert!(
            mistake.starts_with("a.yaml:6:12: spec.containers[0].image: invalid type"),
            "{mistake}"
        );
    }
}
