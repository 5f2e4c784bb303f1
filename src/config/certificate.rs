//! The settings of the webhook's certificate, which the chart writes: objects by name, and who makes the certificate.

use std::time::Duration;

use serde::Deserialize;

/// The objects of an installation that its certificate needs, by name. Their namespace is the pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSettings {
    /// Who makes the certificate.
    pub mode: CertificateMode,
    /// The Secret that keeps it.
    pub secret: String,
    /// The Service that it is for.
    pub service: String,
    /// The webhook configuration that trusts it.
    pub webhook_configuration: String,
    /// The mutating one, where pods are pinned.
    pub mutating_webhook_configuration: Option<String>,
    /// The Lease that the one pod holds which writes.
    pub lease: String,
}

/// Who makes the certificate and tells the API server to trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateMode {
    /// The pods do both.
    SelfManaged {
        /// How long a new CA is trusted before it is used, and the old one after.
        overlap: Duration,
    },
    /// Others make it; the pods publish its CA.
    Provided {
        /// PEM; `None` takes `ca.crt` of the Secret.
        ca_bundle: Option<String>,
    },
    /// cert-manager does both.
    CertManager,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Certificate {
    mode: Mode,
    secret_name: String,
    service_name: String,
    webhook_configuration_name: String,
    mutating_webhook_configuration_name: Option<String>,
    lease_name: Option<String>,
    overlap_seconds: Option<u64>,
    ca_bundle: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    SelfManaged,
    Provided,
    CertManager,
}

const DEFAULT_OVERLAP: u64 = 300;
/// An API server follows a change of `caBundle` within a second or two, if it is well.
const LEAST_OVERLAP: u64 = 5;

pub(super) fn certificate(raw: Certificate, mistakes: &mut Vec<String>) -> CertificateSettings {
    let overlap = raw.overlap_seconds.unwrap_or(DEFAULT_OVERLAP);
    if overlap < LEAST_OVERLAP {
        mistakes.push(format!(
            "certificate.overlapSeconds is {overlap}: API servers need {LEAST_OVERLAP} seconds or more to follow a change"
        ));
    }
    if raw.ca_bundle.is_some() && raw.mode != Mode::Provided {
        mistakes.push(
            "certificate.caBundle is set, but it counts with `mode: provided` alone: leave it out"
                .into(),
        );
    }
    let mode = match raw.mode {
        Mode::SelfManaged => CertificateMode::SelfManaged {
            overlap: Duration::from_secs(overlap),
        },
        Mode::Provided => CertificateMode::Provided {
            ca_bundle: raw.ca_bundle,
        },
        Mode::CertManager => CertificateMode::CertManager,
    };
    CertificateSettings {
        mode,
        lease: raw.lease_name.unwrap_or_else(|| raw.secret_name.clone()),
        secret: raw.secret_name,
        service: raw.service_name,
        webhook_configuration: raw.webhook_configuration_name,
        mutating_webhook_configuration: raw.mutating_webhook_configuration_name,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    fn settings(rest: &str) -> Result<CertificateSettings, String> {
        let text = format!(
            "certificate: {{secretName: s, serviceName: v, webhookConfigurationName: w, {rest}}}"
        );
        let settings = Settings::parse(Path::new("config.yaml"), &text);
        settings
            .map(|settings| settings.certificate.unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn there_are_three_modes() {
        let own = |seconds| CertificateMode::SelfManaged {
            overlap: Duration::from_secs(seconds),
        };
        let provided = |ca: Option<&str>| CertificateMode::Provided {
            ca_bundle: ca.map(str::to_owned),
        };
        for (rest, want) in [
            ("mode: self-managed", own(300)),
            ("mode: self-managed, overlapSeconds: 10", own(10)),
            ("mode: cert-manager", CertificateMode::CertManager),
            ("mode: provided", provided(None)),
            ("mode: provided, caBundle: PEM", provided(Some("PEM"))),
        ] {
            assert_eq!(settings(rest).unwrap().mode, want, "{rest}");
        }
        assert_eq!(settings("mode: provided").unwrap().lease, "s");
        let named = settings("mode: provided, leaseName: l").unwrap();
        assert_eq!((named.lease.as_str(), named.secret.as_str()), ("l", "s"));
    }

    #[test]
    fn contradictions_name_the_field() {
        for (rest, words) in [
            ("mode: self-managed, overlapSeconds: 1", "overlapSeconds"),
            ("mode: cert-manager, caBundle: PEM", "certificate.caBundle"),
            ("mode: mine", "self-managed"),
        ] {
            let error = settings(rest).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
