//! What settings say of nodes: overrides of what nodes report, taints that pass by themselves.

use crate::domain::inventory::NodeRules;
use crate::domain::node::NodeOverride;
use crate::domain::platform::Platform;

use super::raw;

/// The valid form, with every mistake noted.
pub(super) fn rules(
    agent_taints: Option<Vec<String>>,
    overrides: Vec<raw::NodeOverride>,
    mistakes: &mut Vec<String>,
) -> NodeRules {
    let overrides = overrides
        .into_iter()
        .enumerate()
        .map(|(at, raw)| valid(at, raw, mistakes))
        .collect();
    let default = NodeRules::default();
    NodeRules {
        agent_taints: agent_taints.unwrap_or(default.agent_taints),
        overrides,
    }
}

fn valid(at: usize, raw: raw::NodeOverride, mistakes: &mut Vec<String>) -> NodeOverride {
    let mut note =
        |field: &str, what: String| mistakes.push(format!("nodeOverrides[{at}].{field}: {what}"));
    let runtime = raw.runtime.and_then(|text| match text.parse() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            note("runtime", format!("{error}"));
            None
        }
    });
    if let Some(variant) = raw
        .arm_variant
        .as_deref()
        .filter(|variant| !["v5", "v6", "v7", "v8"].contains(variant))
    {
        note("armVariant", format!("{variant:?} is not v5, v6, v7 or v8"));
    }
    let normal = |text: &String| Platform::new("linux", text).normalized().architecture;
    NodeOverride {
        match_labels: raw.match_labels,
        runtime,
        emulates: raw.emulates.iter().map(normal).collect(),
        variant: raw.arm_variant,
    }
}
