//! The trials, in the order they run. A trial is a function of the cluster; it makes a namespace of its own.

mod nodes;

use anyhow::Result;
use libtest_mimic::{Failed, Trial};

use crate::cluster::{self, Cluster};

type Run = fn(&Cluster) -> Result<()>;

/// First what the harness itself promises: if one of these fails, the others say nothing about platform-gate.
const ALL: &[(&str, Run)] = &[
    (
        "simulated_nodes_are_ready",
        nodes::simulated_nodes_are_ready,
    ),
    ("a_working_pod_runs", nodes::a_working_pod_runs),
    (
        "a_pod_reaches_the_api_server_and_the_registry",
        nodes::a_pod_reaches_the_api_server_and_the_registry,
    ),
    (
        "an_arm64_only_image_fails_on_the_real_node",
        nodes::an_arm64_only_image_fails_on_the_real_node,
    ),
    (
        "the_registry_serves_real_manifests_byte_for_byte",
        nodes::the_registry_serves_real_manifests_byte_for_byte,
    ),
    (
        "the_answers_of_admission_reach_the_caller",
        nodes::the_answers_of_admission_reach_the_caller,
    ),
];

/// All trials, for libtest-mimic.
pub(crate) fn all() -> Vec<Trial> {
    ALL.iter()
        .map(|(name, run)| {
            Trial::test(*name, || {
                run(cluster::shared()).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect()
}
