//! Making a JSON document smaller, one thing at a time.

use serde_json::Value;

/// The document without one of its fields or elements, at any depth, in every way.
pub(super) fn smaller(document: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                let mut fewer = fields.clone();
                fewer.remove(key);
                all.push(Value::Object(fewer));
                all.extend(smaller(value).into_iter().map(|value| {
                    let mut changed = fields.clone();
                    changed.insert(key.clone(), value);
                    Value::Object(changed)
                }));
            }
        }
        Value::Array(elements) => {
            for (position, element) in elements.iter().enumerate() {
                let mut fewer = elements.clone();
                fewer.remove(position);
                all.push(Value::Array(fewer));
                all.extend(smaller(element).into_iter().map(|element| {
                    let mut changed = elements.clone();
                    changed[position] = element;
                    Value::Array(changed)
                }));
            }
        }
        _ => {}
    }
    all
}
