//! A document as a tree that knows where each value stands in its text.
//!
//! Leaves out splitting a file into documents (`documents`) and what they mean (`objects`).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::report::Position;

/// A value, and where it starts.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) at: Position,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Value),
    List(Vec<Located>),
    Map(Vec<(String, Located)>),
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Located {
    /// A value of which only the first line is known.
    pub(super) fn at_line(value: Value, line: u64) -> Self {
        let at = Position { line, column: 1 };
        let content = match value {
            Value::Array(items) => {
                let items = items.into_iter().map(|item| Self::at_line(item, line));
                Content::List(items.collect())
            }
            Value::Object(fields) => {
                let fields = fields.into_iter();
                Content::Map(
                    fields
                        .map(|(key, value)| (key, Self::at_line(value, line)))
                        .collect(),
                )
            }
            scalar => Content::Scalar(scalar),
        };
        Self { at, content }
    }

    /// Moves all positions down, for a document that does not start its file.
    pub(super) fn lower_by(&mut self, lines: u64) {
        self.at.line += lines;
        match &mut self.content {
            Content::Scalar(_) => {}
            Content::List(items) => items.iter_mut().for_each(|item| item.lower_by(lines)),
            Content::Map(fields) => fields
                .iter_mut()
                .for_each(|(_, value)| value.lower_by(lines)),
        }
    }

    /// The value of a field. Of repeated keys the last counts, as `kubectl` has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(fields) => fields.iter().rfind(|(name, _)| name == key),
            _ => None,
        }
        .map(|(_, value)| value)
    }

    /// The text of a field; empty where there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        match self.get(key).map(|value| &value.content) {
            Some(Content::Scalar(Value::String(text))) => text,
            _ => "",
        }
    }

    /// The entries of a list; `None` of anything else.
    pub(super) fn items(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether there is nothing in it, as in a document of comments.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    /// Where the steps lead, as far as they lead anywhere.
    pub(super) fn follow<'s>(&self, steps: impl Iterator<Item = Step<'s>>) -> Position {
        let mut here = self;
        for step in steps {
            let next = match step {
                Step::Key(key) => here.get(key),
                Step::Index(at) => here.items().and_then(|items| items.get(at)),
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here.at
    }

    /// The value alone.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(fields) => {
                let fields = fields.iter();
                Value::Object(
                    fields
                        .map(|(key, value)| (key.clone(), value.to_json()))
                        .collect(),
                )
            }
        }
    }
}

/// The steps of a field path such as `spec.containers[0].image`, whose keys have no dots.
pub(super) fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split('.').flat_map(|part| {
        let mut words = part.split('[');
        let key = words.next().filter(|key| !key.is_empty()).map(Step::Key);
        let indexes = words.filter_map(|word| word.trim_end_matches(']').parse().ok());
        key.into_iter().chain(indexes.map(Step::Index))
    })
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self {
            at: Position {
                line: spanned.defined.line(),
                column: spanned.defined.column(),
            },
            content: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Scalar(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Content, E> {
        Ok(Content::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Content::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, path: &str) -> (u64, u64) {
        let tree: Located = serde_saphyr::from_str(text).unwrap();
        let at = tree.follow(steps(path));
        (at.line, at.column)
    }

    #[test]
    fn values_know_where_they_stand() {
        let text = "spec:\n  containers:\n  - name: web\n    image: nginx\n  - {name: b, image: 'redis'}\n";
        for (path, want) in [
            ("spec.containers[0].image", (4, 12)),
            ("spec.containers[1].image", (5, 22)),
            ("spec.containers[0]", (3, 5)),
            ("spec.containers[2].image", (3, 5)),
            ("metadata.name", (1, 1)),
        ] {
            assert_eq!(position(text, path), want, "{path}");
        }
    }

    #[test]
    fn an_alias_stands_where_its_anchor_does() {
        let text =
            "a: &web\n  image: nginx\nspec:\n  containers:\n  - *web\n  - <<: *web\n    name: b\n";
        assert_eq!(position(text, "spec.containers[0].image"), (2, 10));
        assert_eq!(position(text, "spec.containers[1].image"), (2, 10));
    }

    #[test]
    fn the_value_is_that_of_the_text() {
        let text = "{a: 1, b: [true, ~, '5', 1.5, -2], c: {d: yes please}, 7: x}";
        let tree: Located = serde_saphyr::from_str(text).unwrap();
        let want = serde_json::json!(
            {"a": 1, "b": [true, null, "5", 1.5, -2], "c": {"d": "yes please"}, "7": "x"}
        );
        assert_eq!(tree.to_json(), want);
    }
}
