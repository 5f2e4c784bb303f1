//! The trials, in the order they run. A trial is a function of the cluster; it makes a namespace of its own.

mod autoscalers;
mod cert_manager;
mod certificates;
mod cli;
mod credentials;
mod install;
mod many;
mod nodes;
mod operate;
mod outage;
mod outcomes;
mod pin;
mod placement;
mod policy;
mod replicas;
mod requests;
mod scale;
mod verdicts;
mod waits;
mod watch;
mod workloads;

use anyhow::Result;
use libtest_mimic::{Failed, Trial};

use crate::cluster::{self, Cluster};

/// The trial that those after it need.
pub(crate) const INSTALLATION: &str = "helm_installs_it";

/// The trial whose programs are built in full mode alone.
const CERT_MANAGER: &str = "cert_manager_makes_and_renews_it";

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
    (
        "the_real_node_runs_what_it_can_and_says_why_not",
        outcomes::the_real_node_runs_what_it_can_and_says_why_not,
    ),
    (
        "inspect_foretells_what_the_real_node_does",
        outcomes::inspect_foretells_what_the_real_node_does,
    ),
    // From here on platform-gate is installed.
    (INSTALLATION, install::helm_installs_it),
    ("the_story_is_told", verdicts::the_story_is_told),
    (
        "a_deployment_is_warned_and_its_replica_set_told",
        workloads::a_deployment_is_warned_and_its_replica_set_told,
    ),
    (
        "wrong_platforms_are_rejected",
        verdicts::wrong_platforms_are_rejected,
    ),
    (
        "images_that_share_no_node_are_rejected",
        verdicts::images_that_share_no_node_are_rejected,
    ),
    (
        "what_cannot_be_looked_up_is_admitted_with_a_warning",
        verdicts::what_cannot_be_looked_up_is_admitted_with_a_warning,
    ),
    (
        "what_is_never_pulled_is_left_to_the_node",
        verdicts::what_is_never_pulled_is_left_to_the_node,
    ),
    (
        "a_pod_that_may_land_wrong_is_warned",
        verdicts::a_pod_that_may_land_wrong_is_warned,
    ),
    ("admitted_pods_run", verdicts::admitted_pods_run),
    (
        "verdicts_are_what_the_real_node_does",
        outcomes::verdicts_are_what_the_real_node_does,
    ),
    ("the_audit_log_says_why", verdicts::the_audit_log_says_why),
    (
        "ephemeral_containers_and_image_updates_are_judged",
        verdicts::ephemeral_containers_and_image_updates_are_judged,
    ),
    (
        "a_mirror_pod_is_let_in_and_a_forged_one_is_not",
        requests::a_mirror_pod_is_let_in_and_a_forged_one_is_not,
    ),
    (
        "a_daemon_set_gets_its_pods_where_they_run",
        placement::a_daemon_set_gets_its_pods_where_they_run,
    ),
    (
        "the_scheduler_binds_to_our_candidates",
        placement::the_scheduler_binds_to_our_candidates,
    ),
    (
        "check_says_what_the_webhook_said",
        cli::check_says_what_the_webhook_said,
    ),
    (
        "a_namespace_in_warn_mode_stands_beside_one_in_deny_mode",
        policy::a_namespace_in_warn_mode_stands_beside_one_in_deny_mode,
    ),
    (
        "a_tenant_cannot_exempt_its_own_namespace",
        policy::a_tenant_cannot_exempt_its_own_namespace,
    ),
    (
        "helm_upgrade_changes_settings_without_a_restart",
        policy::helm_upgrade_changes_settings_without_a_restart,
    ),
    (
        "owners_have_one_event_where_asked_for",
        workloads::owners_have_one_event_where_asked_for,
    ),
    (
        "a_dry_run_is_answered_and_leaves_nothing_behind",
        requests::a_dry_run_is_answered_and_leaves_nothing_behind,
    ),
    (
        "private_images_are_judged_with_credentials",
        credentials::private_images_are_judged_with_credentials,
    ),
    (
        "what_runs_is_known_after_a_warm_start",
        credentials::what_runs_is_known_after_a_warm_start,
    ),
    (
        "a_pool_of_karpenter_is_a_place_to_run",
        autoscalers::a_pool_of_karpenter_is_a_place_to_run,
    ),
    (
        "nothing_fails_while_pods_are_replaced",
        operate::nothing_fails_while_pods_are_replaced,
    ),
    (
        "nothing_fails_while_certificates_change",
        operate::nothing_fails_while_certificates_change,
    ),
    (
        "nothing_fails_during_upgrade_and_rollback",
        operate::nothing_fails_during_upgrade_and_rollback,
    ),
    (
        "callers_have_to_show_a_certificate",
        certificates::callers_have_to_show_a_certificate,
    ),
    (
        "a_certificate_of_ones_own_is_followed",
        certificates::a_certificate_of_ones_own_is_followed,
    ),
    (CERT_MANAGER, cert_manager::cert_manager_makes_and_renews_it),
    (
        "nothing_fails_while_the_api_server_restarts",
        outage::nothing_fails_while_the_api_server_restarts,
    ),
    ("helm_test_passes", operate::helm_test_passes),
    (
        "pinned_pods_land_where_they_run",
        pin::pinned_pods_land_where_they_run,
    ),
    (
        "a_node_that_joins_is_reported_within_a_minute",
        watch::a_node_that_joins_is_reported_within_a_minute,
    ),
    (
        "scan_finds_what_a_migration_breaks",
        cli::scan_finds_what_a_migration_breaks,
    ),
    (
        "restricted_is_all_that_it_needs",
        install::restricted_is_all_that_it_needs,
    ),
    ("many_nodes_and_pods", scale::many_nodes_and_pods),
    ("no_call_failed", install::no_call_failed),
    // From here on calls fail, as they must.
    (
        "a_killed_replica_is_missed_for_a_moment",
        outage::a_killed_replica_is_missed_for_a_moment,
    ),
    (
        "a_cluster_comes_up_with_nobody_to_ask",
        outage::a_cluster_comes_up_with_nobody_to_ask,
    ),
    ("damage_is_repaired", operate::damage_is_repaired),
    (
        "five_replicas_at_once_make_one_ca",
        operate::five_replicas_at_once_make_one_ca,
    ),
    (
        "helm_test_fails_with_a_broken_ca",
        operate::helm_test_fails_with_a_broken_ca,
    ),
    (
        "helm_uninstall_leaves_nothing_behind",
        install::helm_uninstall_leaves_nothing_behind,
    ),
];

/// Whether trials take their time: `PLATFORM_GATE_FULL` is set.
fn is_full() -> bool {
    std::env::var_os("PLATFORM_GATE_FULL").is_some()
}

/// All trials, for libtest-mimic.
pub(crate) fn all() -> Vec<Trial> {
    ALL.iter()
        .map(|(name, run)| {
            let trial = Trial::test(*name, || {
                run(cluster::shared()).map_err(|error| Failed::from(format!("{error:#}")))
            });
            trial.with_ignored_flag(*name == CERT_MANAGER && !is_full())
        })
        .collect()
}
