//! What settings say of nodes: overrides of what nodes report, taints that pass by themselves, pools that may grow.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::autoscaler::Autoscalers;
use crate::domain::inventory::NodeRules;
use crate::domain::node::{
    ARCH_LABEL, Node, NodeInfo, NodeMetadata, NodeOverride, NodeSpec, NodeStatus, OS_LABEL, Taint,
    WINDOWS_BUILD_LABEL,
};
use crate::domain::platform::Platform;
use crate::domain::windows::WindowsVersion;

use super::raw;

/// The valid form, with every mistake noted.
pub(super) fn rules(
    agent_taints: Option<Vec<String>>,
    overrides: Vec<raw::NodeOverride>,
    pools: Vec<raw::Pool>,
    autoscalers: &raw::Autoscalers,
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
        pools: valid_pools(pools, mistakes),
        autoscalers: Autoscalers {
            karpenter: autoscalers.karpenter,
            cluster_api: autoscalers.cluster_api,
        },
    }
}

fn valid_pools(pools: Vec<raw::Pool>, mistakes: &mut Vec<String>) -> Vec<Node> {
    let mut names = BTreeSet::new();
    let mut valid = Vec::new();
    for (at, pool) in pools.into_iter().enumerate() {
        let mut note =
            |field: &str, what: &str| mistakes.push(format!("pools[{at}].{field}: {what}"));
        if !names.insert(pool.name.clone()) {
            note("name", &format!("{:?} is declared twice", pool.name));
        }
        check_pool(&pool, &mut note);
        valid.push(node_of(pool));
    }
    valid
}

fn check_pool(pool: &raw::Pool, note: &mut impl FnMut(&str, &str)) {
    if !["linux", "windows"].contains(&pool.os.as_str()) {
        note("os", &format!("{:?} is not linux or windows", pool.os));
    }
    if pool.architecture.is_empty() {
        note("architecture", "missing; write amd64 or arm64");
    }
    match &pool.windows_build {
        Some(build) if WindowsVersion::parse(build).is_none() => {
            note(
                "windowsBuild",
                &format!("{build:?} is not major.minor.build, such as 10.0.20348"),
            );
        }
        Some(_) if pool.os != "windows" => {
            note("windowsBuild", "is for pools with os: windows only")
        }
        _ => {}
    }
    for (at, taint) in pool.taints.iter().enumerate() {
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str()) {
            note(
                &format!("taints[{at}].effect"),
                &format!(
                    "{:?} is not NoSchedule, PreferNoSchedule or NoExecute",
                    taint.effect
                ),
            );
        }
    }
}

/// The node that would join, with the labels that its kubelet would set. Its containerd is of any release.
fn node_of(pool: raw::Pool) -> Node {
    let build = pool.windows_build.unwrap_or_default();
    let own = [
        (OS_LABEL, &pool.os),
        (ARCH_LABEL, &pool.architecture),
        (WINDOWS_BUILD_LABEL, &build),
    ];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    let mut labels: BTreeMap<String, String> = own
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    labels.extend(pool.labels);
    let taint = |raw: raw::PoolTaint| Taint {
        key: raw.key,
        value: raw.value,
        effect: raw.effect,
    };
    Node {
        // No node can be called so: the name is not one of DNS.
        metadata: NodeMetadata {
            name: format!("pool:{}", pool.name),
            labels,
            ..NodeMetadata::default()
        },
        spec: NodeSpec {
            taints: pool.taints.into_iter().map(taint).collect(),
            pod_cidrs: Vec::new(),
        },
        status: NodeStatus {
            node_info: NodeInfo {
                operating_system: pool.os,
                architecture: pool.architecture,
                kernel_version: build,
                container_runtime_version: "containerd://unknown".to_owned(),
            },
            addresses: Vec::new(),
        },
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
