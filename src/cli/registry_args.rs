//! The flags of every command that speaks to registries, and the credentials that the user already has.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::config::Settings;
use crate::registry::{EgressPolicy, Keychain, Proxies, RegistrySettings};

/// How to speak to registries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub(super) struct RegistryArgs {
    /// Speak plain HTTP to this registry, host or host:port (loopback needs no naming)
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
    /// Trust the CAs of this PEM file besides the system's, for every registry
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl RegistryArgs {
    /// What the flags and the settings come to.
    pub(super) fn settings(
        &self,
        settings: &Settings,
        egress: EgressPolicy,
    ) -> anyhow::Result<RegistrySettings> {
        let mut valid = RegistrySettings::new(egress);
        valid.hosts = settings.registries.clone();
        for host in &self.plain_http {
            valid.hosts.entry(host.clone()).or_default().plain_http = true;
        }
        valid.roots = system_roots();
        valid.proxies = Proxies::from_variables(|name| std::env::var(name).ok())?;
        if let Some(path) = &self.ca_file {
            let more =
                read_certificates(path).with_context(|| format!("--ca-file {}", path.display()))?;
            valid.roots.extend(more);
        }
        Ok(valid)
    }
}

/// The CAs of the machine, or of `SSL_CERT_FILE`. None at all is no mistake: loopback registries need none.
fn system_roots() -> Vec<rustls::pki_types::CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(
            "no CA bundle on this machine: HTTPS registries need --ca-file, or caFile in the settings"
        );
    }
    found.certs
}

fn read_certificates(
    path: &Path,
) -> anyhow::Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
    use rustls::pki_types::pem::PemObject;
    let pem = std::fs::read(path)?;
    let certificates: Result<Vec<_>, _> =
        rustls::pki_types::CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.context("it is no PEM file")?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "it holds no certificate; give PEM"
    );
    Ok(certificates)
}

/// The credentials that `docker login` or `podman login` left on this machine. A file that cannot be used is told
/// once and left out.
pub(super) fn user_keychain() -> Keychain {
    docker_config_files()
        .iter()
        .fold(Keychain::anonymous(), |keychain, path| {
            let Ok(bytes) = std::fs::read(path) else {
                return keychain;
            };
            match Keychain::from_docker_config_json(&bytes) {
                Ok(more) => keychain.merge(&more),
                Err(error) => {
                    super::logging::complain(&format!(
                        "credentials in {} are left out: {error}",
                        path.display()
                    ));
                    keychain
                }
            }
        })
}

/// Where docker and podman keep credentials, podman's first, as podman looks for them.
fn docker_config_files() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let podman = variable("REGISTRY_AUTH_FILE")
        .or_else(|| Some(variable("XDG_RUNTIME_DIR")?.join("containers/auth.json")));
    let docker = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
    podman
        .into_iter()
        .chain(docker.map(|folder| folder.join("config.json")))
        .collect()
}
