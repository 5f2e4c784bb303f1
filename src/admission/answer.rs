//! `Answer`: what a review came to, and the bounds that every answer keeps.
//!
//! The bounds are those of the API server and of those who read its messages; wording is the domain's.

use std::borrow::Cow;
use std::mem::take;

/// An event cuts notes near 1 KiB, and a ReplicaSet's user sees the message only there.
pub const MAX_MESSAGE_BYTES: usize = 900;
/// Warnings become HTTP headers, cut by the API server at this length.
pub const MAX_WARNING_CHARS: usize = 256;
/// More are noise next to the warnings of other webhooks.
pub const MAX_WARNINGS: usize = 5;
const MAX_CAUSES: usize = 64;
/// What would have been a message has to fit.
const MAX_ANNOTATION_CHARS: usize = MAX_MESSAGE_BYTES;

/// What a review came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the operation may go on.
    pub allowed: bool,
    /// Why not, decisive fact first; shown only when denied.
    pub message: String,
    /// Why not, field by field; sent only when denied.
    pub causes: Vec<Cause>,
    /// What the user should know, most important first.
    pub warnings: Vec<String>,
    /// What the audit log should keep; the API server puts the webhook's name before each key.
    pub audit_annotations: Vec<Annotation>,
    /// What is to be changed, as a JSON patch; only a mutating webhook may say so.
    pub patch: Option<String>,
}

/// A key and a value for the audit log.
pub type Annotation = (&'static str, Cow<'static, str>);

/// One reason for a denial, by the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Path of the field, such as `spec.containers[0].image`.
    pub field: String,
    /// The code of what is wrong with it.
    pub reason: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl Answer {
    /// An answer that lets the operation go on, with warnings.
    #[must_use]
    pub fn allow(warnings: Vec<String>) -> Self {
        Self {
            allowed: true,
            warnings,
            ..Self::default()
        }
    }

    /// The same answer within the bounds, whatever it was made of.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.message = cut_bytes(clean(self.message, Lines::Keep), MAX_MESSAGE_BYTES);
        self.causes.truncate(MAX_CAUSES);
        for Cause { field, message, .. } in &mut self.causes {
            *field = cut_chars(clean(take(field), Lines::Join), MAX_WARNING_CHARS);
            *message = cut_bytes(clean(take(message), Lines::Keep), MAX_MESSAGE_BYTES);
        }
        self.warnings = bounded_warnings(self.warnings);
        self.audit_annotations = bounded_annotations(self.audit_annotations);
        self
    }
}

fn bounded_warnings(warnings: Vec<String>) -> Vec<String> {
    let mut bounded = Vec::new();
    for warning in warnings {
        let warning = cut_chars(clean(warning, Lines::Join), MAX_WARNING_CHARS);
        if bounded.len() < MAX_WARNINGS && !warning.is_empty() && !bounded.contains(&warning) {
            bounded.push(warning);
        }
    }
    bounded
}

/// The API server refuses keys that are no qualified name once its prefix is before them.
fn bounded_annotations(mut annotations: Vec<Annotation>) -> Vec<Annotation> {
    let mut at = 0;
    while let Some((key, _)) = annotations.get(at) {
        let is_repeated = annotations[..at].iter().any(|(before, _)| before == key);
        if is_annotation_name(key) && !is_repeated {
            at += 1;
        } else {
            annotations.remove(at);
        }
    }
    for (_, value) in &mut annotations {
        if !is_clean(value, Lines::Join) || value.len() > MAX_ANNOTATION_CHARS {
            let cleaned = clean(take(value).into_owned(), Lines::Join);
            *value = cut_chars(cleaned, MAX_ANNOTATION_CHARS).into();
        }
    }
    annotations
}

fn is_annotation_name(key: &str) -> bool {
    let key = key.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    key.len() <= 63 && edge(key.first()) && edge(key.last()) && key.iter().all(inner)
}

/// Whether line breaks stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Keep,
    Join,
}

/// Control characters become spaces: in a header they make the whole warning vanish, in a terminal or a log worse.
fn clean(text: String, lines: Lines) -> String {
    if is_clean(&text, lines) {
        return text;
    }
    let cleaned: String = text
        .chars()
        .map(|c| if lines.keep(c) { c } else { ' ' })
        .collect();
    cleaned.trim().to_owned()
}

fn is_clean(text: &str, lines: Lines) -> bool {
    text.trim().len() == text.len() && text.chars().all(|c| lines.keep(c))
}

impl Lines {
    fn keep(self, c: char) -> bool {
        !c.is_control() || (c == '\n' && self == Self::Keep)
    }
}

fn cut_chars(mut text: String, max: usize) -> String {
    if text.chars().count() > max {
        let end = text.char_indices().nth(max - 1).map_or(0, |(at, _)| at);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn cut_bytes(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max - '…'.len_utf8();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KEYS: &[&str] = &[
        "decision",
        "would-deny",
        "a.b",
        "",
        "a/b",
        "-a",
        "a-",
        "a b",
        "ä",
        LONG,
    ];
    const LONG: &str = "a123456789a123456789a123456789a123456789a123456789a123456789abcd";

    proptest! {
        #[test]
        fn every_answer_keeps_the_bounds(
            message in ".{0,1200}",
            warnings in proptest::collection::vec("(.|\\s|\u{7f}|\u{85}){0,300}", 0..9),
            keys in proptest::collection::vec(proptest::sample::select(KEYS), 0..9),
        ) {
            let annotations = keys.into_iter().map(|key| (key, message.clone().into())).collect();
            let causes = vec![Cause { field: message.clone(), reason: "no-match", message: message.clone() }; 70];
            let answer = Answer { allowed: false, message, causes, warnings, audit_annotations: annotations, patch: None };
            let bounded = answer.clone().bounded();

            prop_assert!(bounded.message.len() <= MAX_MESSAGE_BYTES);
            prop_assert!(bounded.warnings.len() <= MAX_WARNINGS);
            prop_assert!(bounded.causes.len() <= MAX_CAUSES);
            for warning in &bounded.warnings {
                prop_assert!(!warning.is_empty());
                prop_assert!(warning.chars().count() <= MAX_WARNING_CHARS);
                prop_assert!(!warning.chars().any(char::is_control));
            }
            let unique: HashSet<_> = bounded.warnings.iter().collect();
            prop_assert_eq!(unique.len(), bounded.warnings.len());
            let keys: HashSet<_> = bounded.audit_annotations.iter().map(|(key, _)| key).collect();
            prop_assert_eq!(keys.len(), bounded.audit_annotations.len());
            prop_assert!(keys.iter().all(|key| !key.contains(['/', ' '])));
            prop_assert_eq!(bounded.clone().bounded(), bounded);
        }
    }

    #[test]
    fn what_keeps_the_bounds_is_left_alone() {
        let answer = Answer {
            allowed: false,
            message: "no matching manifest\nfor windows/amd64".into(),
            causes: vec![Cause {
                field: "spec.containers[0].image".into(),
                reason: "no-match",
                message: "no".into(),
            }],
            warnings: vec!["first".into(), "second".into()],
            audit_annotations: vec![("decision", "deny".into())],
            patch: None,
        };
        assert_eq!(answer.clone().bounded(), answer);
    }

    #[test]
    fn warnings_keep_their_order_and_lose_repeats() {
        let warnings = ["b", "a", "b", " a ", "", "c", "d", "e", "f"].map(String::from);
        assert_eq!(
            bounded_warnings(warnings.to_vec()),
            ["b", "a", "c", "d", "e"]
        );
    }

    #[test]
    fn cutting_marks_what_is_missing() {
        assert_eq!(cut_chars("äöü".into(), 2), "ä…");
        assert_eq!(cut_bytes("ääää".into(), 6), "ä…");
        assert_eq!(cut_bytes("abcdef".into(), 6), "abcdef");
    }
}
