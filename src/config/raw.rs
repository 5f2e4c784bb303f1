//! The settings file as it is written. Every key is optional; an unknown key is a mistake.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::callers::Callers;
use super::certificate::Certificate;
use crate::domain::decision::Handlers;
use crate::domain::policy::{self, Action, EnforcementAction};
use crate::domain::rules;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    enforcement_action: EnforcementAction,
    may_land_wrong: MayLandWrong,
    unknown: Option<Action>,
    no_candidate: Option<Action>,
    workloads: Option<Action>,
    pub(super) findings: BTreeMap<String, Action>,
    pub(super) exempt_images: Vec<String>,
    pub(super) exempt_registries: Vec<String>,
    pub(super) exempt_namespaces: Vec<String>,
    pub(super) runtime_handlers: RuntimeHandlers,
    pub(super) pin: Pin,
    pub(super) node_overrides: Vec<NodeOverride>,
    pub(super) agent_taints: Option<Vec<String>>,
    pub(super) pools: Vec<Pool>,
    pub(super) autoscalers: Autoscalers,
    pub(super) pull_secrets: bool,
    pub(super) blocked_networks: Vec<String>,
    pub(super) registries: BTreeMap<String, Registry>,
    pub(super) hosts_dir: PathBuf,
    pub(super) registries_conf: PathBuf,
    pub(super) default_credentials: PathBuf,
    pub(super) credential_providers: CredentialProviders,
    pub(super) warm_up: bool,
    pub(super) watch: Option<Watch>,
    pub(super) events: bool,
    pub(super) callers: Option<Callers>,
    pub(super) certificate: Option<Certificate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MayLandWrong {
    os: Option<Action>,
    windows_build: Option<Action>,
    arch: Option<Action>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RuntimeHandlers {
    pub(super) hyperv: Vec<String>,
    pub(super) wasm: Vec<String>,
    pub(super) hyperv_pull_platform: PullPlatform,
}

/// What pods get besides what they lack.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Pin {
    prefer_architecture: Option<String>,
}

/// Whether what makes pods is judged in the background, and whose Lease says by whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Watch {
    pub(super) lease_name: String,
}

/// Whose platform Hyper-V pods pull for (SEMANTICS 8, rule 16).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PullPlatform {
    #[default]
    Host,
    Guest,
}

impl Default for RuntimeHandlers {
    fn default() -> Self {
        let Handlers { hyperv, wasm, .. } = Handlers::default();
        Self {
            hyperv,
            wasm,
            hyperv_pull_platform: PullPlatform::Host,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NodeOverride {
    pub(super) match_labels: BTreeMap<String, String>,
    pub(super) runtime: Option<String>,
    pub(super) emulates: Vec<String>,
    pub(super) arm_variant: Option<String>,
}

/// Whose pools are read from the cluster.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Autoscalers {
    pub(super) karpenter: bool,
    pub(super) cluster_api: bool,
}

/// Nodes that an autoscaler may make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) windows_build: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) taints: Vec<PoolTaint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolTaint {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
    #[serde(default)]
    pub(super) effect: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Registry {
    pub(super) mirrors: Vec<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_certificate_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) plain_http: bool,
    pub(super) unknown: Option<Action>,
    pub(super) findings: BTreeMap<String, Action>,
    pub(super) token_hosts: Vec<String>,
}

/// The kubelet's file and folder of the same names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CredentialProviders {
    pub(super) config_file: PathBuf,
    pub(super) bin_dir: PathBuf,
}

impl Settings {
    pub(super) fn policy(&self) -> policy::Policy {
        let default = policy::Policy::default();
        let axes = default.may_land_wrong;
        policy::Policy {
            enforcement_action: self.enforcement_action,
            may_land_wrong: policy::MayLandWrong {
                os: self.may_land_wrong.os.unwrap_or(axes.os),
                windows_build: self
                    .may_land_wrong
                    .windows_build
                    .unwrap_or(axes.windows_build),
                arch: self.may_land_wrong.arch.unwrap_or(axes.arch),
            },
            unknown: self.unknown.unwrap_or(default.unknown),
            no_candidate: self.no_candidate.unwrap_or(default.no_candidate),
            workloads: self.workloads.unwrap_or(default.workloads),
            findings: BTreeMap::new(),
            registries: BTreeMap::new(),
        }
    }
}

impl From<RuntimeHandlers> for Handlers {
    fn from(raw: RuntimeHandlers) -> Self {
        let guest_pull = raw.hyperv_pull_platform == PullPlatform::Guest;
        Self {
            hyperv: raw.hyperv,
            wasm: raw.wasm,
            guest_pull,
        }
    }
}

impl From<Pin> for rules::Pin {
    fn from(raw: Pin) -> Self {
        Self {
            prefer_architecture: raw.prefer_architecture,
        }
    }
}
