//! The flags of every command that speaks to registries. Leaves out credentials: those are `logins`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::config::Settings;
use crate::registry::{EgressPolicy, Proxies, RegistrySettings};

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
    /// What the flags and the settings come to, for the user of a command. What is left out of the settings' files is
    /// told.
    pub(super) fn settings(
        &self,
        settings: &Settings,
        egress: EgressPolicy,
    ) -> anyhow::Result<RegistrySettings> {
        tell(&settings.left_out, &[]);
        self.valid(settings, egress)
    }

    /// The same for whoever may create pods. What has been told before is not told again.
    pub(super) fn serving(
        &self,
        settings: &Settings,
        told: &[String],
        egress: EgressPolicy,
    ) -> anyhow::Result<RegistrySettings> {
        tell(&settings.left_out, told);
        Ok(RegistrySettings {
            hides_refusals: true,
            ..self.valid(settings, egress)?
        })
    }

    fn valid(&self, settings: &Settings, egress: EgressPolicy) -> anyhow::Result<RegistrySettings> {
        let mut valid = RegistrySettings::new(egress);
        valid.hosts = settings.registries.clone();
        valid.credentials = settings.credentials.clone();
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

fn tell(left_out: &[String], told: &[String]) {
    for problem in left_out.iter().filter(|problem| !told.contains(problem)) {
        tracing::warn!("{problem}; it is left out");
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
