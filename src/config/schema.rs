//! The JSON Schema of the settings file, `docs/settings.schema.json`, held against what is read, and against the chart's
//! schema, of which it is a part: `UPDATE=1 cargo test --lib settings_schema` takes over what the chart's says.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{callers, certificate, raw};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.schema.json");
const CHART: &str = include_str!("../../charts/platform-gate/values.schema.json");
/// Keys that the chart writes itself, from other values.
const OF_THE_CHART: [&str; 4] = [
    "callers",
    "certificate",
    "pullSecrets",
    "defaultCredentials",
];

/// The schema of the file: the chart's part, and what the chart writes itself.
fn expected() -> Value {
    let chart: Value = serde_json::from_str(CHART).unwrap();
    let mut settings = chart["properties"]["settings"].clone();
    settings["$schema"] = chart["$schema"].clone();
    settings["title"] = json!("Settings of platform-gate, as in serve --config");
    let text = json!({"type": "string", "minLength": 1});
    settings["properties"]["pullSecrets"] = json!({"type": "boolean"});
    settings["properties"]["watch"] = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["leaseName"],
        "properties": {"leaseName": text},
    });
    settings["properties"]["defaultCredentials"] = json!({"type": "string"});
    settings["properties"]["callers"] = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["caFile"],
        "properties": {"caFile": text, "names": {"type": "array", "items": text}},
    });
    settings["properties"]["certificate"] = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["mode", "secretName", "serviceName", "webhookConfigurationName"],
        "properties": {
            "mode": {"enum": ["self-managed", "provided", "cert-manager"]},
            "secretName": text, "serviceName": text, "webhookConfigurationName": text, "leaseName": text,
            "mutatingWebhookConfigurationName": text,
            "overlapSeconds": {"type": "integer", "minimum": 0},
            "caBundle": {"type": "string"},
        },
    });
    let mut definitions = BTreeMap::new();
    collect(&settings.clone(), &chart["definitions"], &mut definitions);
    settings["definitions"] = json!(definitions);
    settings
}

/// The definitions that a schema refers to, and those that they refer to.
fn collect(schema: &Value, all: &Value, found: &mut BTreeMap<String, Value>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(pointer)) = fields.get("$ref") {
                let name = pointer.rsplit('/').next().unwrap().to_owned();
                if found.insert(name.clone(), all[&name].clone()).is_none() {
                    collect(&all[&name], all, found);
                }
            }
            fields.values().for_each(|field| collect(field, all, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, all, found)),
        _ => {}
    }
}

/// The keys that a part of the file may have, as its reader names them when it meets another.
fn keys_read<T: DeserializeOwned>() -> BTreeSet<String> {
    let Err(error) = serde_json::from_value::<T>(json!({"no-such-key": 1})) else {
        panic!("a key that does not exist is read");
    };
    let message = error.to_string();
    let (_, expected) = message.split_once("expected").unwrap();
    let words = expected.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

fn keys_of(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let part = schema
        .pointer(pointer)
        .unwrap_or_else(|| panic!("no {pointer}"));
    assert_eq!(
        part["additionalProperties"], false,
        "{pointer} lets unknown keys pass"
    );
    part["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn settings_schema_is_the_charts() {
    let expected = format!("{:#}\n", expected());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(SCHEMA, &expected).unwrap();
    }
    let found = std::fs::read_to_string(SCHEMA).unwrap();
    assert!(
        found == expected,
        "docs/settings.schema.json is stale: UPDATE=1 cargo test --lib settings_schema"
    );
}

#[test]
fn settings_schema_has_the_keys_that_are_read_and_no_others() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    for (pointer, keys) in [
        ("", keys_read::<raw::Settings>()),
        ("/properties/autoscalers", keys_read::<raw::Autoscalers>()),
        ("/properties/mayLandWrong", keys_read::<raw::MayLandWrong>()),
        (
            "/properties/runtimeHandlers",
            keys_read::<raw::RuntimeHandlers>(),
        ),
        (
            "/properties/credentialProviders",
            keys_read::<raw::CredentialProviders>(),
        ),
        ("/properties/watch", keys_read::<raw::Watch>()),
        ("/properties/callers", keys_read::<callers::Callers>()),
        (
            "/properties/certificate",
            keys_read::<certificate::Certificate>(),
        ),
        (
            "/definitions/nodeOverride",
            keys_read::<raw::NodeOverride>(),
        ),
        ("/definitions/pool", keys_read::<raw::Pool>()),
        (
            "/definitions/pool/properties/taints/items",
            keys_read::<raw::PoolTaint>(),
        ),
        ("/definitions/registry", keys_read::<raw::Registry>()),
    ] {
        assert_eq!(keys_of(&schema, pointer), keys, "{pointer}");
    }
    for key in OF_THE_CHART {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn settings_schema_has_the_values_that_are_read() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    for (pointer, start, end) in [
        ("/definitions/action", "unknown: ", ""),
        ("/properties/enforcementAction", "enforcementAction: ", ""),
        (
            "/properties/runtimeHandlers/properties/hypervPullPlatform",
            "runtimeHandlers: {hypervPullPlatform: ",
            "}",
        ),
        (
            "/definitions/nodeOverride/properties/armVariant",
            "nodeOverrides: [{armVariant: ",
            "}]",
        ),
        (
            "/definitions/pool/properties/os",
            "pools: [{name: a, architecture: amd64, os: ",
            "}]",
        ),
    ] {
        for value in schema.pointer(pointer).unwrap()["enum"].as_array().unwrap() {
            let text = format!("{start}{}{end}", value.as_str().unwrap());
            let read = super::Settings::parse("config.yaml".as_ref(), &text);
            assert!(read.is_ok(), "{text}: {read:?}");
        }
    }
}
