//! The documents of a file: YAML, several of them, or JSON. A document that cannot be read spoils no other.
//!
//! Leaves out which files there are (`files`) and what the documents mean (`objects`).

use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::located::Located;
use crate::report::Position;

/// A document that cannot be read: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) at: Position,
    pub(super) message: String,
}

/// Reads the documents of a text; those of nothing but comments are left out.
pub(super) fn read(text: &str) -> Vec<Result<Located, Unreadable>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = split(text)
        .into_iter()
        .flat_map(|(line, document)| read_document(document, line));
    documents
        .filter(|document| {
            document
                .as_ref()
                .map_or(true, |document| !document.is_null())
        })
        .collect()
}

/// Cuts a text at the lines that start a document, as `kubectl` does; each part with the lines before it. A part of
/// directives and comments alone belongs to the document after it.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut has_content) = (0, 0, false);
    let (mut offset, mut number) = (0, 0);
    for line in text.split_inclusive('\n') {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if is_marker && has_content {
            parts.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, number);
        }
        let bare = line.trim();
        has_content =
            is_marker || (has_content || !(bare.is_empty() || bare.starts_with(['#', '%'])));
        offset += line.len();
        number += 1;
    }
    parts.push((start_line, &text[start..]));
    parts
}

/// Reads one part of a text, which is one document unless `...` ends it early.
fn read_document(text: &str, lines_before: u64) -> Vec<Result<Located, Unreadable>> {
    match serde_saphyr::from_multiple_with_options::<Located>(text, options()) {
        Ok(mut documents) => {
            for document in &mut documents {
                document.lower_by(lines_before);
            }
            documents.into_iter().map(Ok).collect()
        }
        // Tabs between tokens are JSON and no YAML.
        Err(error) => match serde_json::from_str(text) {
            Ok(value) => vec![Ok(Located::at_line(value, lines_before + 1))],
            Err(_) => vec![Err(unreadable(&error, lines_before))],
        },
    }
}

fn unreadable(error: &serde_saphyr::Error, lines_before: u64) -> Unreadable {
    let found = error
        .location()
        .map_or((1, 1), |at| (at.line(), at.column()));
    let (line, column) = (found.0.max(1), found.1.max(1));
    let message = error.to_string();
    // The place is told once, counted from the start of the file.
    let place = format!(" at line {line}, column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message);
    Unreadable {
        at: Position {
            line: line + lines_before,
            column,
        },
        message: message.to_owned(),
    }
}

/// Files are the user's own and may be long; what is nested or aliased without end stays refused. Snippets of the
/// text are not shown: there may be a Secret in them. Of repeated keys the last counts, as `kubectl` has it.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 256,
            max_events: 50_000_000,
            max_nodes: 20_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let name = |document: Result<Located, Unreadable>| match document {
            Ok(document) => format!("{}@{}", document.text("a"), document.at.line),
            Err(error) => format!("error@{}:{}", error.at.line, error.at.column),
        };
        read(text).into_iter().map(name).collect()
    }

    #[test]
    fn a_text_is_cut_into_documents() {
        for (text, want) in [
            ("a: x\n", vec!["x@1"]),
            ("", vec![]),
            ("# nothing\n---\n# here\n---\n", vec![]),
            ("---\na: x\n---\na: v\n", vec!["x@2", "v@4"]),
            ("%YAML 1.2\n---\na: x\n...\n---\na: v\n", vec!["x@3", "v@6"]),
            ("--- {a: x}\n--- # note\na: v", vec!["x@1", "v@3"]),
            ("a: x\r\n---\r\na: v\r\n", vec!["x@1", "v@3"]),
            ("a: |\n  ---\n  x\n---\na: z", vec!["---\nx\n@1", "z@5"]),
            ("\u{feff}{\"a\":\"x\"}", vec!["x@1"]),
            ("{\n\t\"a\":\t\"x\"\n}", vec!["x@1"]),
            ("a: x\na: v\n", vec!["v@1"]),
        ] {
            assert_eq!(names(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_broken_document_spoils_no_other() {
        let found = names("a: x\n---\na: [1,\n b: }\n---\na: z\n");
        assert_eq!(found[0], "x@1");
        assert!(found[1].starts_with("error@3:"), "{found:?}");
        assert_eq!(found[2], "z@6");
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        let deep = "[".repeat(100_000);
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &(0..9)
                .fold((String::new(), "a".to_owned()), |(text, last), at| {
                    let list = vec![format!("*{last}"); 9].join(",");
                    (format!("{text}k{at}: &k{at} [{list}]\n"), format!("k{at}"))
                })
                .0;
        for text in [deep, bomb] {
            assert!(matches!(read(&text).as_slice(), [Err(_)]));
        }
    }
}
