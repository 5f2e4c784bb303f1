//! Settings: from the YAML that an operator writes to values that cannot be wrong. All mistakes are reported at once.
//!
//! Leaves out flags and environment variables, which are `cli`'s, and who obeys settings that have changed.

mod callers;
mod certificate;
mod nodes;
mod nodes_file;
mod raw;
mod registries;
mod reload;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::domain::exemption::{Exemptions, Pattern};
use crate::domain::policy::{Action, RegistryPolicy};
use crate::domain::rules::Rules;
use crate::domain::verdict::finding_codes;
use crate::registry::{HostSettings, OperatorCredentials};

pub use callers::CallerSettings;
pub use certificate::{CertificateMode, CertificateSettings};
pub use nodes_file::parse_nodes;
pub use reload::Reload;

/// Valid settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// What decides.
    pub rules: Rules,
    /// Whether pods' pull secrets are read, for which the chart must give the right.
    pub pull_secrets: bool,
    /// Networks that no look-up may reach, besides those that the cluster tells of.
    pub blocked_networks: Vec<IpNet>,
    /// Registries that need more than the defaults, by host: what the settings say, then the files that they name.
    pub registries: BTreeMap<String, HostSettings>,
    /// Whether the images of pods that run at the start are looked up, for which the chart must give the right to list
    /// pods.
    pub warm_up: bool,
    /// The Lease of the replica that judges what makes pods in the background; absent where none does.
    pub watch_lease: Option<String>,
    /// Whether owners of pods get events, for which the chart must give the right.
    pub events: bool,
    /// The operator's own credentials.
    pub credentials: OperatorCredentials,
    /// What is wrong with the files that the settings name and is left out of them: one sentence each, with the file.
    pub left_out: Vec<String>,
    /// Whom the webhook answers; absent for anybody.
    pub callers: Option<CallerSettings>,
    /// Where the pods of an installation keep their certificate; absent outside a cluster.
    pub certificate: Option<CertificateSettings>,
}

/// A file that cannot be used. The message names the file, the place and the cure.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML, or not of the right shape.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// The file reads well and says what cannot be.
    #[error("{}: {} mistake(s):\n  {}", path.display(), mistakes.len(), mistakes.join("\n  "))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every mistake, each with its field.
        mistakes: Vec<String>,
    },
}

impl Settings {
    /// Reads a settings file if there is one; else everything is as by default.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_or_default(path: Option<&Path>) -> Result<Self, ConfigError> {
        path.map_or_else(|| Ok(Self::default()), Self::load)
    }

    /// Reads a settings file, and the files that it names. What those of the nodes' own kinds (`hosts.toml`,
    /// `registries.conf`, credentials) have that cannot be used is left out, and said in [`Settings::left_out`].
    ///
    /// # Errors
    /// Everything that is wrong with it, at once where it can be read at all.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read(path)?)
    }

    /// Reads the text of a settings file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: raw::Settings = parse_yaml(path, text)?;
        let mut mistakes = Vec::new();
        let mut policy = raw.policy();
        policy.findings = findings("findings", &raw.findings, &mut mistakes);
        policy.registries = of_registries(&raw.registries, &mut mistakes);
        let files = registries::Files {
            hosts_dir: raw.hosts_dir,
            registries_conf: raw.registries_conf,
            default_credentials: raw.default_credentials,
            credential_providers: raw.credential_providers,
        };
        let registries = registries::load(raw.registries, &files, &mut mistakes);
        let settings = Self {
            rules: Rules {
                policy,
                nodes: nodes::rules(
                    raw.agent_taints,
                    raw.node_overrides,
                    raw.pools,
                    &raw.autoscalers,
                    &mut mistakes,
                ),
                handlers: raw.runtime_handlers.into(),
                exempt: Exemptions {
                    images: patterns("exemptImages", &raw.exempt_images, &mut mistakes),
                    registries: patterns("exemptRegistries", &raw.exempt_registries, &mut mistakes),
                    namespaces: patterns("exemptNamespaces", &raw.exempt_namespaces, &mut mistakes),
                },
                pin: raw.pin.into(),
            },
            pull_secrets: raw.pull_secrets,
            blocked_networks: networks(&raw.blocked_networks, &mut mistakes),
            registries: registries.hosts,
            warm_up: raw.warm_up,
            watch_lease: raw.watch.map(|watch| watch.lease_name),
            events: raw.events,
            credentials: registries.credentials,
            left_out: registries.left_out,
            callers: callers::callers(raw.callers, &mut mistakes),
            certificate: raw
                .certificate
                .map(|raw| certificate::certificate(raw, &mut mistakes)),
        };
        if mistakes.is_empty() {
            return Ok(settings);
        }
        Err(ConfigError::Invalid {
            path: path.to_owned(),
            mistakes,
        })
    }
}

/// Reads a whole text file.
///
/// # Errors
/// [`ConfigError::Unreadable`].
pub fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn parse_yaml<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| ConfigError::Malformed {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

fn networks(raw: &[String], mistakes: &mut Vec<String>) -> Vec<IpNet> {
    let mut valid = Vec::new();
    for (at, text) in raw.iter().enumerate() {
        match text.parse() {
            Ok(network) => valid.push(network),
            Err(_) => mistakes.push(format!(
                "blockedNetworks[{at}]: {text:?} is no network: write 10.96.0.0/16"
            )),
        }
    }
    valid
}

/// An empty pattern is for nothing, which nobody means.
fn patterns(field: &str, raw: &[String], mistakes: &mut Vec<String>) -> Vec<Pattern> {
    let empty = raw.iter().enumerate().filter(|(_, text)| text.is_empty());
    mistakes.extend(empty.map(|(at, _)| {
        format!("{field}[{at}]: empty; write a pattern, in which * stands for any characters")
    }));
    raw.iter().map(|text| Pattern::new(text)).collect()
}

/// What registries say of findings; those that say nothing are left out, so that a shorter prefix counts.
fn of_registries(
    raw: &BTreeMap<String, raw::Registry>,
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, RegistryPolicy> {
    let says = raw
        .iter()
        .filter(|(_, raw)| raw.unknown.is_some() || !raw.findings.is_empty());
    let policy = says.map(|(host, raw)| {
        let field = format!("registries.{host:?}.findings");
        let policy = RegistryPolicy {
            unknown: raw.unknown,
            findings: findings(&field, &raw.findings, mistakes),
        };
        (host.clone(), policy)
    });
    policy.collect()
}

fn findings(
    field: &str,
    raw: &BTreeMap<String, Action>,
    mistakes: &mut Vec<String>,
) -> BTreeMap<&'static str, Action> {
    let mut valid = BTreeMap::new();
    for (code, action) in raw {
        match finding_codes().find(|known| known == code) {
            Some(known) => _ = valid.insert(known, *action),
            None => mistakes.push(format!(
                "{field}.{code}: no such finding; the codes are {}",
                finding_codes().collect::<Vec<_>>().join(", ")
            )),
        }
    }
    valid
}
