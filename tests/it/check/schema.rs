//! As much of JSON Schema (draft 4) as the schema of SARIF uses, its patterns and formats apart.
//!
//! A keyword that it does not know fails the test, so that nothing passes for being overlooked.

use serde_json::Value;

/// What is wrong with a value, each with its place; nothing if it fits.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    violations_below(schema, schema, value)
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let fits = match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                check(root, root.pointer(pointer).unwrap(), value, at, found);
                true
            }
            "type" => match rule.as_array() {
                Some(names) => names.iter().any(|name| is_type(name, value)),
                None => is_type(rule, value),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" | "oneOf" => {
                let fits = |schema: &&Value| violations_below(root, schema, value).is_empty();
                let count = rule.as_array().unwrap().iter().filter(fits).count();
                count == 1 || (keyword == "anyOf" && count > 1)
            }
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "minItems" | "uniqueItems" | "items" => {
                check_items(root, (keyword, rule), value, at, found);
                true
            }
            "properties" | "required" | "additionalProperties" => {
                check_fields(root, (schema, keyword), value, at, found);
                true
            }
            "$schema" | "id" | "title" | "description" | "default" | "definitions" => true,
            "pattern" | "format" => true,
            unknown => panic!("a keyword that this does not check: {unknown}"),
        };
        if !fits {
            found.push(format!("{at}: {value} breaks {keyword}: {rule}"));
        }
    }
}

fn violations_below(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(root, schema, value, "", &mut found);
    found
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        unknown => panic!("a type that this does not check: {unknown}"),
    }
}

fn check_items(
    root: &Value,
    (keyword, rule): (&str, &Value),
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) {
    let Some(items) = value.as_array() else {
        return;
    };
    let repeats = || (1..items.len()).any(|end| items[..end].contains(&items[end]));
    match keyword {
        "minItems" if (items.len() as u64) < rule.as_u64().unwrap() => {
            found.push(format!("{at}: fewer items than {rule}"));
        }
        "uniqueItems" if *rule == true && repeats() => found.push(format!("{at}: items repeat")),
        "items" => {
            for (index, item) in items.iter().enumerate() {
                check(root, rule, item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn check_fields(
    root: &Value,
    (schema, keyword): (&Value, &str),
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) {
    let Some(fields) = value.as_object() else {
        return;
    };
    let rule = &schema[keyword];
    match keyword {
        "required" => {
            for name in rule.as_array().unwrap() {
                if !fields.contains_key(name.as_str().unwrap()) {
                    found.push(format!("{at}: {name} is missing"));
                }
            }
        }
        "properties" => {
            for (name, schema) in rule.as_object().unwrap() {
                if let Some(field) = fields.get(name) {
                    check(root, schema, field, &format!("{at}/{name}"), found);
                }
            }
        }
        _ => {
            let others = fields
                .iter()
                .filter(|(name, _)| schema["properties"].get(name).is_none());
            for (name, field) in others {
                match rule {
                    Value::Bool(false) => found.push(format!("{at}: {name} is not known")),
                    Value::Bool(true) => {}
                    schema => check(root, schema, field, &format!("{at}/{name}"), found),
                }
            }
        }
    }
}

#[test]
fn what_breaks_the_schema_is_found() {
    let schema: Value = serde_json::from_str(
        r##"{"type": "object", "required": ["a"], "additionalProperties": false, "properties": {
            "a": {"type": "integer", "minimum": 1}, "b": {"$ref": "#/definitions/b"},
            "c": {"enum": ["x", "y"]}, "d": {"anyOf": [{"required": ["e"]}, {"required": ["f"]}]}},
            "definitions": {"b": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string"}}}}"##,
    )
    .unwrap();
    for (value, wrong) in [
        (r#"{"a": 1, "b": ["x"], "c": "y", "d": {"f": 1}}"#, 0),
        ("{}", 1),
        (r#"{"a": 0}"#, 1),
        (r#"{"a": 1.5}"#, 1),
        (r#"{"a": 1, "b": []}"#, 1),
        (r#"{"a": 1, "b": ["x", "x", 1]}"#, 2),
        (r#"{"a": 1, "c": "z"}"#, 1),
        (r#"{"a": 1, "d": {}}"#, 1),
        (r#"{"a": 1, "z": 1}"#, 1),
        ("[]", 1),
    ] {
        let found = violations(&schema, &serde_json::from_str(value).unwrap());
        assert_eq!(found.len(), wrong, "{value}: {found:?}");
    }
}
